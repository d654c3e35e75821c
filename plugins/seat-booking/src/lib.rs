//! Sells the seats of a conference, never more than there are.

use std::collections::BTreeMap;

use lantern_sdk::prelude::*;

/// What the commands need to know of a conference.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Conference {
    /// None until it is opened.
    pub seats: Option<u32>,
    pub reserved: u32,
    /// The seats of each reservation that was not cancelled.
    pub reservations: BTreeMap<String, u32>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    ConferenceOpened { seats: u32 },
    SeatsReserved { reservation: Option<String>, seats: u32 },
    ReservationCancelled { reservation: Option<String>, seats: u32 },
}

#[derive(Debug, Deserialize)]
pub enum Command {
    OpenConference { seats: u32 },
    ReserveSeats { reservation: String, seats: u32 },
    CancelReservation { reservation: String },
}

pub struct SeatBooking;

impl Aggregate for SeatBooking {
    const NAME: &str = "seat-booking";
    const CATEGORY: &str = "conference";
    const STATE_SCHEMA_VERSION: u32 = 1;
    type State = Conference;
    type Event = Event;
    type Command = Command;

    fn evolve(state: &mut Conference, event: Recorded<Event>) -> Result<(), Error> {
        match event.data {
            Event::ConferenceOpened { seats } => state.seats = Some(seats),
            Event::SeatsReserved { reservation, seats } => {
                state.reserved += seats;
                state.reservations.extend(reservation.map(|reservation| (reservation, seats)));
            }
            Event::ReservationCancelled { reservation, seats } => {
                state.reserved = state.reserved.saturating_sub(seats);
                reservation.map(|reservation| state.reservations.remove(&reservation));
            }
        }
        Ok(())
    }

    fn handle(state: &Conference, command: Received<Command>) -> Result<Vec<Event>, Error> {
        match (command.data, state.seats) {
            (Command::OpenConference { .. }, Some(_)) => bail!("the conference is open already"),
            (Command::OpenConference { seats }, None) => Ok(vec![Event::ConferenceOpened { seats }]),
            (_, None) => bail!("the conference is not open"),
            (Command::ReserveSeats { reservation, seats }, Some(all)) => {
                let available = all.saturating_sub(state.reserved);
                ensure!(seats > 0, "a reservation needs at least one seat");
                ensure!(!state.reservations.contains_key(&reservation), "reservation {reservation} exists already");
                ensure!(seats <= available, "{seats} seats were asked for, and {available} are left");
                Ok(vec![Event::SeatsReserved { reservation: Some(reservation), seats }])
            }
            // What happened stays in the log; this takes it back.
            (Command::CancelReservation { reservation }, Some(_)) => match state.reservations.get(&reservation) {
                None => bail!("there is no reservation {reservation}"),
                Some(&seats) => Ok(vec![Event::ReservationCancelled { reservation: Some(reservation), seats }]),
            },
        }
    }
}

export_aggregate!(SeatBooking);

#[cfg(test)]
mod tests {
    use lantern_sdk::testing::{AggregateSpec, Json, json};

    use super::*;

    fn given(events: impl IntoIterator<Item = (&'static str, Json)>) -> AggregateSpec<SeatBooking> {
        AggregateSpec::given(events)
    }

    fn opened(seats: u32) -> (&'static str, Json) {
        ("ConferenceOpened", json!({ "seats": seats }))
    }

    fn reserved(reservation: &str, seats: u32) -> (&'static str, Json) {
        ("SeatsReserved", json!({ "reservation": reservation, "seats": seats }))
    }

    #[test]
    fn seats_are_reserved_as_long_as_there_are_some() {
        let reserve = |seats| ("ReserveSeats", json!({ "reservation": "b", "seats": seats }));
        given([opened(5), reserved("a", 3)]).when(reserve(2)).then_events([reserved("b", 2)]);
        given([opened(5), reserved("a", 3)]).when(reserve(3)).then_rejected("3 seats were asked for, and 2 are left");
        given([]).when(reserve(1)).then_rejected("not open");
    }

    #[test]
    fn a_cancelled_reservation_gives_its_seats_back_once() {
        let cancel = || ("CancelReservation", json!({ "reservation": "a" }));
        let cancelled = ("ReservationCancelled", json!({ "reservation": "a", "seats": 3 }));
        given([opened(5), reserved("a", 3)])
            .when(cancel())
            .then_events([cancelled.clone()])
            .then_state(&Conference { seats: Some(5), ..Conference::default() });
        given([opened(5), reserved("a", 3), cancelled]).when(cancel()).then_rejected("no reservation a");
    }

    #[test]
    fn reservations_of_others_count_even_without_a_name() {
        given([opened(5), ("SeatsReserved", json!({ "seats": 4 }))])
            .when(("ReserveSeats", json!({ "reservation": "a", "seats": 2 })))
            .then_rejected("1 are left");
    }

    #[test]
    fn an_unknown_command_is_refused() {
        given([opened(5)]).when(("SellSeats", json!({}))).then_rejected("unknown variant `SellSeats`");
    }
}

//! How many seats each conference has left.

use lantern_sdk::prelude::*;

table! {
    /// The seats of one conference.
    pub struct Conference in "conferences" {
        key conference: String,
        seats: i64,
        reserved: i64,
        /// Below zero when more seats are reserved than there are.
        available: i64,
        overbooked: bool,
    }
}

#[derive(Deserialize)]
enum Event {
    ConferenceOpened { seats: i64 },
    SeatsReserved { seats: i64 },
    ReservationCancelled { seats: i64 },
}

struct SeatAvailability;

impl Projection for SeatAvailability {
    const NAME: &str = "seat-availability";
    const READ_MODEL_VERSION: u32 = 1;
    const CATEGORIES: &[&str] = &["conference"];
    type Event<'a> = Event;
    type Tables = Table<Conference>;

    fn apply(event: Recorded<Event>, conferences: &mut Table<Conference>) -> Result<(), Error> {
        let row = conferences.get_or_default(event.aggregate_id);
        match event.data {
            Event::ConferenceOpened { seats } => row.seats = seats,
            Event::SeatsReserved { seats } => row.reserved += seats,
            Event::ReservationCancelled { seats } => row.reserved -= seats,
        }
        row.available = row.seats - row.reserved;
        row.overbooked = row.available < 0;
        Ok(())
    }
}

export_projection!(SeatAvailability);

#[cfg(test)]
mod tests {
    use lantern_sdk::testing::{ProjectionSpec, TestEvent, event, json};

    use super::*;

    fn seats(event_type: &str, seats: i64) -> TestEvent {
        event("conference-rust-2026", event_type, json!({ "seats": seats }))
    }

    fn row(seats: i64, reserved: i64, available: i64, overbooked: bool) -> Conference {
        Conference { conference: "rust-2026".into(), seats, reserved, available, overbooked }
    }

    #[test]
    fn reservations_take_seats_and_cancellations_give_them_back() {
        ProjectionSpec::<SeatAvailability>::given([seats("ConferenceOpened", 100)])
            .when([seats("SeatsReserved", 30), seats("SeatsReserved", 5), seats("ReservationCancelled", 10)])
            .then_rows([row(100, 25, 75, false)]);
    }

    #[test]
    fn more_reservations_than_seats_are_a_fact_that_the_row_shows() {
        ProjectionSpec::<SeatAvailability>::given([seats("ConferenceOpened", 10)])
            .when([seats("SeatsReserved", 12)])
            .then_row(row(10, 12, -2, true));
    }

    #[test]
    fn conferences_do_not_share_seats() {
        let other = event("conference-other", "ConferenceOpened", json!({ "seats": 7 }));
        ProjectionSpec::<SeatAvailability>::given([seats("ConferenceOpened", 10)])
            .when([other, seats("SeatsReserved", 1)])
            .then_row(row(10, 1, 9, false))
            .then_row(Conference { seats: 7, available: 7, ..Conference::with_key("other") });
    }

    #[test]
    fn an_event_without_seats_is_refused() {
        ProjectionSpec::<SeatAvailability>::given([])
            .when([event("conference-1", "SeatsReserved", json!({ "seat": 1 }))])
            .then_error("SeatsReserved: missing field `seats`");
    }
}

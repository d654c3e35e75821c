//! Reservations that come at the same time share the seats that are left; what no longer fits is rejected.
//!
//! A resolver is shown only what the writer had not seen. So each event says how many seats are left after it, as its
//! writer knew it: the newest unseen event says how many there are now, and the proposed one is rewritten to be right.

use lantern_sdk::prelude::*;

#[derive(Serialize, Deserialize)]
enum Event {
    SeatsOffered { seats: u32, left: u32 },
    SeatsReserved { seats: u32, left: u32 },
    ReservationCancelled { seats: u32, left: u32 },
}

impl Event {
    fn left(&self) -> u32 {
        let (Self::SeatsOffered { left, .. }
        | Self::SeatsReserved { left, .. }
        | Self::ReservationCancelled { left, .. }) = self;
        *left
    }

    /// The event behind another one that leaves so many seats; `None` when there are too few.
    fn behind(&self, left: u32) -> Option<Self> {
        Some(match *self {
            Self::SeatsOffered { seats, .. } => Self::SeatsOffered { seats, left: left.checked_add(seats)? },
            Self::SeatsReserved { seats, .. } => Self::SeatsReserved { seats, left: left.checked_sub(seats)? },
            Self::ReservationCancelled { seats, .. } => {
                Self::ReservationCancelled { seats, left: left.checked_add(seats)? }
            }
        })
    }
}

struct SeatReservation;

impl ConflictResolver for SeatReservation {
    const NAME: &str = "seat-reservation";
    const CATEGORIES: &[&str] = &["seats"];
    type Event = Event;

    fn resolve(conflict: &Conflict<Event>) -> Result<Resolution, Error> {
        if conflict.expected == 0 {
            return Ok(Resolution::reject("the seats were offered already"));
        }
        let mut left = conflict.unseen.last().map_or(0, |event| event.data.left());
        let mut events = Vec::new();
        for proposed in &conflict.proposed {
            let Some(event) = proposed.data.behind(left) else {
                return Ok(Resolution::reject(format_args!("sold out: {left} seats are left")));
            };
            left = event.left();
            events.push(proposed.rewritten(&event)?);
        }
        Ok(Resolution::Rewrite(events))
    }
}

export_conflict_resolver!(SeatReservation);

#[cfg(test)]
mod tests {
    use lantern_sdk::testing::{ConflictSpec, json};

    use super::*;

    #[test]
    fn reservations_share_the_seats_that_are_left() {
        ConflictSpec::<SeatReservation>::unseen([("SeatsReserved", json!({ "seats": 3, "left": 7 }))])
            .when([
                ("SeatsReserved", json!({ "seats": 2, "left": 8 })),
                ("SeatsReserved", json!({ "seats": 5, "left": 3 })),
            ])
            .then_rewritten([
                ("SeatsReserved", json!({ "seats": 2, "left": 5 })),
                ("SeatsReserved", json!({ "seats": 5, "left": 0 })),
            ]);
    }

    #[test]
    fn a_reservation_that_no_longer_fits_is_rejected() {
        ConflictSpec::<SeatReservation>::unseen([("SeatsReserved", json!({ "seats": 9, "left": 1 }))])
            .when([("SeatsReserved", json!({ "seats": 2, "left": 8 }))])
            .then_rejected("sold out: 1 seats are left");
    }

    #[test]
    fn a_cancelled_reservation_gives_its_seats_to_the_next() {
        ConflictSpec::<SeatReservation>::unseen([
            ("SeatsReserved", json!({ "seats": 1, "left": 0 })),
            ("ReservationCancelled", json!({ "seats": 4, "left": 4 })),
        ])
        .when([("SeatsReserved", json!({ "seats": 4, "left": 6 }))])
        .then_rewritten([("SeatsReserved", json!({ "seats": 4, "left": 0 }))]);
    }

    #[test]
    fn an_event_that_it_does_not_know_is_not_decided_on() {
        ConflictSpec::<SeatReservation>::unseen([("HallClosed", json!({}))])
            .when([("SeatsReserved", json!({ "seats": 1, "left": 0 }))])
            .then_error("version 2: ");
    }
}

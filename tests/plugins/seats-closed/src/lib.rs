//! Another resolver for the category of `plugins/seat-reservation`: it rejects everything.

use lantern_sdk::prelude::*;

#[derive(Serialize, Deserialize)]
enum Event {
    #[serde(other)]
    Any,
}

struct SeatsClosed;

impl ConflictResolver for SeatsClosed {
    const NAME: &str = "seats-closed";
    const CATEGORIES: &[&str] = &["seats"];
    type Event = Event;

    fn resolve(_: &Conflict<Event>) -> Result<Resolution, Error> {
        Ok(Resolution::reject("closed"))
    }
}

export_conflict_resolver!(SeatsClosed);

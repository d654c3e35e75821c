//! How many events each stream has, and which came last.

use lantern_sdk::prelude::*;

table! {
    /// One stream.
    pub struct Stream in "{{name_}}" {
        key stream: String,
        events: i64,
        last_type: String,
    }
}

/// The events to read, and of their data what is used; see lantern-sdk/README.md.
#[derive(Deserialize)]
enum Event {
    Opened {},
    Renamed { name: String },
    Closed {},
}

struct Streams;

impl Projection for Streams {
    const NAME: &str = "{{name}}";
    /// Raise it to have history replayed into new rows.
    const READ_MODEL_VERSION: u32 = 1;
    /// The part of a stream's name before its first dash; none means every stream.
    const CATEGORIES: &[&str] = &["account"];
    type Event<'a> = Event;
    type Tables = Table<Stream>;

    fn apply(event: Recorded<Event>, streams: &mut Table<Stream>) -> Result<(), Error> {
        if let Event::Renamed { name } = &event.data {
            ensure!(!name.is_empty(), "an account has no name");
        }
        let row = streams.get_or_default(event.stream);
        row.events += 1;
        row.last_type = event.event_type.to_owned();
        Ok(())
    }
}

export_projection!(Streams);

#[cfg(test)]
mod tests {
    use lantern_sdk::testing::{ProjectionSpec, event, json};

    use super::*;

    #[test]
    fn events_are_counted() {
        ProjectionSpec::<Streams>::given([event("account-1", "Opened", json!({}))])
            .when([event("account-1", "Closed", json!({}))])
            .then_rows([Stream { stream: "account-1".into(), events: 2, last_type: "Closed".into() }]);
    }

    #[test]
    fn an_empty_name_is_refused() {
        ProjectionSpec::<Streams>::given([])
            .when([event("account-1", "Renamed", json!({ "name": "" }))])
            .then_error("an account has no name");
    }
}

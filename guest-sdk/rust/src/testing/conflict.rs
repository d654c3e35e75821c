//! Unseen events, proposed events, then a decision: a conflict resolver's tests, run natively with `cargo test`.

use std::marker::PhantomData;

use serde_json::Value as Json;

use crate::ConflictResolver;
use crate::bindings::conflict_resolver::{Conflict, Resolution};
use crate::bindings::lantern::plugin::events::{Event, NewEvent};
use crate::conflict_resolver::resolve;

/// The events that a writer had not seen.
pub struct ConflictSpec<R> {
    unseen: Vec<(String, Json)>,
    resolver: PhantomData<R>,
}

/// What the resolver said.
pub struct Resolved<R> {
    resolution: Result<Resolution, String>,
    resolver: PhantomData<R>,
}

impl<R: ConflictResolver> ConflictSpec<R> {
    /// Starts with the events that the writer had not seen, each with its type and its data.
    pub fn unseen<'a>(events: impl IntoIterator<Item = (&'a str, Json)>) -> Self {
        Self { unseen: owned(events), resolver: PhantomData }
    }

    /// The writer proposes these events.
    #[must_use = "say what was decided with one of the then_... methods"]
    pub fn when<'a>(self, proposed: impl IntoIterator<Item = (&'a str, Json)>) -> Resolved<R> {
        let stream = format!("{}-1", R::CATEGORIES.first().copied().unwrap_or_default());
        let unseen: Vec<Event> =
            (2..).zip(&self.unseen).map(|(version, event)| recorded(&stream, version, event)).collect();
        let conflict = Conflict {
            expected: 1,
            actual: 1 + unseen.len() as u64,
            unseen,
            proposed: owned(proposed).into_iter().map(new_event).collect(),
            stream,
        };
        let resolution = resolve::<R>(&conflict).map_err(|error| error.to_string());
        Resolved { resolution, resolver: PhantomData }
    }
}

impl<R: ConflictResolver> Resolved<R> {
    /// The proposed events are appended as they are.
    #[track_caller]
    pub fn then_accepted(self) {
        assert_eq!(self.resolution, Ok(Resolution::Accept), "{}", R::NAME);
    }

    /// Exactly these events are appended instead.
    #[track_caller]
    pub fn then_rewritten<'a>(self, events: impl IntoIterator<Item = (&'a str, Json)>) {
        let Ok(Resolution::Rewrite(found)) = self.resolution else {
            panic!("{}: expected other events, got {:?}", R::NAME, self.resolution);
        };
        let data = |event: &NewEvent| serde_json::from_str::<Json>(&event.data).expect("data is JSON");
        let found: Vec<_> = found.iter().map(|event| (event.event_type.clone(), data(event))).collect();
        assert_eq!(found, owned(events), "{}", R::NAME);
    }

    /// Nothing is appended, and the reason contains this text.
    #[track_caller]
    pub fn then_rejected(self, text: &str) {
        match self.resolution {
            Ok(Resolution::Reject(reason)) => {
                assert!(reason.contains(text), "{}: expected {text:?} in: {reason}", R::NAME);
            }
            other => panic!("{}: expected a rejection with {text:?}, got {other:?}", R::NAME),
        }
    }

    /// The resolver failed, and the error contains this text.
    #[track_caller]
    pub fn then_error(self, text: &str) {
        let error = self.resolution.expect_err("the resolver decided");
        assert!(error.contains(text), "{}: expected {text:?} in: {error}", R::NAME);
    }
}

fn owned<'a>(events: impl IntoIterator<Item = (&'a str, Json)>) -> Vec<(String, Json)> {
    events.into_iter().map(|(event_type, data)| (event_type.to_owned(), data)).collect()
}

pub(super) fn recorded(stream: &str, version: u64, (event_type, data): &(String, Json)) -> Event {
    Event {
        id: format!("00000000-0000-0000-0000-{version:012x}"),
        stream: stream.to_owned(),
        version,
        position: version,
        event_type: event_type.clone(),
        schema_version: 1,
        time: 0,
        content_type: "application/json".to_owned(),
        data: data.to_string(),
        metadata: "{}".to_owned(),
    }
}

fn new_event((event_type, data): (String, Json)) -> NewEvent {
    NewEvent {
        id: "00000000-0000-0000-0000-0000000000ff".to_owned(),
        event_type,
        schema_version: 1,
        time: 0,
        content_type: "application/json".to_owned(),
        data: data.to_string(),
        metadata: "{}".to_owned(),
    }
}

//! Events for tests, and the batch of columns that a host would make of them.

use std::ops::Range;

use serde_json::Value as Json;

use crate::bindings::lantern::plugin::events::{EventBatch, EventKind};

/// An event for a test. Its position and its version in the stream come from its place among the
/// events of the test.
#[derive(Clone, Debug)]
pub struct TestEvent {
    pub stream: String,
    pub event_type: String,
    pub content_type: String,
    pub data: Vec<u8>,
    pub schema_version: u32,
    /// In microseconds since 1970-01-01T00:00:00Z.
    pub time_micros: i64,
    pub metadata: Json,
}

/// An event of a stream, for example `event("order-42", "OrderPaid", json!({}))`.
pub fn event(stream: &str, event_type: &str, data: Json) -> TestEvent {
    TestEvent {
        stream: stream.to_owned(),
        event_type: event_type.to_owned(),
        content_type: "application/json".to_owned(),
        data: data.to_string().into_bytes(),
        schema_version: 1,
        time_micros: 0,
        metadata: Json::Object(serde_json::Map::new()),
    }
}

impl TestEvent {
    pub(super) fn category(&self) -> &str {
        self.stream.split_once('-').map_or(self.stream.as_str(), |(category, _)| category)
    }
}

/// The batch of the events in `range`, which may reach behind the last one.
pub(crate) fn batch_of(events: &[TestEvent], range: Range<usize>) -> EventBatch {
    let mut batch = EventBatch {
        positions: vec![],
        versions: vec![],
        times: vec![],
        schema_versions: vec![],
        kinds: vec![],
        ids: vec![],
        ends: vec![],
        text: vec![],
        kind_table: vec![],
    };
    for place in range.start..range.end.min(events.len()) {
        let event = &events[place];
        let position = place as u64 + 1;
        batch.positions.push(position);
        batch.versions.push(events[..=place].iter().filter(|other| other.stream == event.stream).count() as u64);
        batch.times.push(event.time_micros);
        batch.schema_versions.push(event.schema_version);
        batch.ids.extend_from_slice(&u128::from(position).to_be_bytes());
        for part in [event.stream.as_bytes(), &event.data, event.metadata.to_string().as_bytes()] {
            batch.text.extend_from_slice(part);
            batch.ends.push(batch.text.len() as u32);
        }
        let kind = EventKind {
            category: event.category().to_owned(),
            event_type: event.event_type.clone(),
            content_type: event.content_type.clone(),
        };
        let known = batch.kind_table.iter().position(|known| *known == kind);
        batch.kinds.push(known.unwrap_or(batch.kind_table.len()) as u32);
        if known.is_none() {
            batch.kind_table.push(kind);
        }
    }
    batch
}

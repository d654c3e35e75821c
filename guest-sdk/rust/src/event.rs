//! An event as a projection sees it, and the way from the columns of a batch to it.

use std::fmt;

use serde::Deserialize;

use crate::bindings::lantern::plugin::events::{Event, EventBatch};
use crate::decode::Payload;
use crate::{Error, EventData};

/// An event of the log. `data` is the author's own type; the rest is borrowed from the batch.
#[derive(Clone, Copy, Debug)]
pub struct Recorded<'a, E> {
    pub data: E,
    pub id: EventId,
    /// The stream's name, for example `order-42`.
    pub stream: &'a str,
    /// The part of the stream's name before its first `-`, for example `order`.
    pub category: &'a str,
    /// The part of the stream's name behind its first `-`, for example `42`; empty if it has none.
    pub aggregate_id: &'a str,
    /// What happened, for example `OrderPlaced`.
    pub event_type: &'a str,
    /// Place of the event in its stream; the first is 1.
    pub version: u64,
    /// Place of the event in the whole log; the first is 1.
    pub position: u64,
    /// Which shape the data has; the first shape of an event type is 1.
    pub schema_version: u32,
    /// When it happened, in microseconds since 1970-01-01T00:00:00Z.
    pub time_micros: i64,
    /// A JSON object with what the writer wanted to say about the event; `{}` when nothing.
    pub metadata: &'a str,
}

impl<'a, E> Recorded<'a, E> {
    /// The metadata as a type of the author's own.
    ///
    /// # Errors
    /// When the metadata does not fit `T`.
    pub fn metadata_as<T: Deserialize<'a>>(&self) -> Result<T, Error> {
        serde_json::from_str(self.metadata).map_err(|error| Error::new(format_args!("metadata: {error}")))
    }
}

impl<'a> From<&'a Event> for Recorded<'a, Payload<'a>> {
    fn from(event: &'a Event) -> Self {
        let (category, aggregate_id) = event.stream.split_once('-').unwrap_or((&event.stream, ""));
        Self {
            data: Payload {
                event_type: &event.event_type,
                content_type: &event.content_type,
                bytes: event.data.as_bytes(),
            },
            id: EventId::read(&event.id),
            stream: &event.stream,
            category,
            aggregate_id,
            event_type: &event.event_type,
            version: event.version,
            position: event.position,
            schema_version: event.schema_version,
            time_micros: event.time,
            metadata: &event.metadata,
        }
    }
}

impl<'a> Recorded<'a, Payload<'a>> {
    #[inline]
    pub(crate) fn decoded<E: EventData<'a>>(self) -> Result<Recorded<'a, E>, Error> {
        let data = E::decode(self.data)?;
        Ok(Recorded {
            data,
            id: self.id,
            stream: self.stream,
            category: self.category,
            aggregate_id: self.aggregate_id,
            event_type: self.event_type,
            version: self.version,
            position: self.position,
            schema_version: self.schema_version,
            time_micros: self.time_micros,
            metadata: self.metadata,
        })
    }
}

/// An event's UUID. Prints in its hyphenated lower-case form.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventId(pub [u8; 16]);

impl EventId {
    /// As it is printed, which is how the host writes it.
    fn read(text: &str) -> Self {
        let mut digits = text.bytes().filter_map(|byte| char::from(byte).to_digit(16));
        let mut byte = || Some(digits.next()? << 4 | digits.next()?);
        Self(std::array::from_fn(|_| byte().unwrap_or_default() as u8))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The events of a batch, not decoded yet, each with the place of its kind in the kind table.
pub fn undecoded(batch: &EventBatch) -> impl Iterator<Item = (usize, Recorded<'_, Payload<'_>>)> {
    let (ids, ends) = (batch.ids.as_chunks::<16>().0, batch.ends.as_chunks::<3>().0);
    let count = batch.positions.len();
    let of_others = [ids.len(), ends.len(), batch.kinds.len(), batch.versions.len(), batch.times.len()];
    assert!(of_others == [count; 5] && batch.schema_versions.len() == count, "the columns have different lengths");
    let numbers = batch.positions.iter().zip(&batch.versions).zip(&batch.schema_versions).zip(&batch.times);
    let columns = ends.iter().zip(ids).zip(&batch.kinds).zip(numbers);
    let mut start = 0;
    columns.map(move |(((ends, id), kind), (((position, version), schema_version), time))| {
        let [stream_end, data_end, metadata_end] = ends.map(|end| end as usize);
        let kind_place = *kind as usize;
        let kind = &batch.kind_table[kind_place];
        let stream = text(&batch.text[start..stream_end]);
        let recorded = Recorded {
            data: Payload {
                event_type: &kind.event_type,
                content_type: &kind.content_type,
                bytes: &batch.text[stream_end..data_end],
            },
            id: EventId(*id),
            stream,
            category: &kind.category,
            aggregate_id: stream.get(kind.category.len() + 1..).unwrap_or_default(),
            event_type: &kind.event_type,
            version: *version,
            position: *position,
            schema_version: *schema_version,
            time_micros: *time,
            metadata: text(&batch.text[data_end..metadata_end]),
        };
        start = metadata_end;
        (kind_place, recorded)
    })
}

fn text(bytes: &[u8]) -> &str {
    // SAFETY: the contract says that stream names and metadata are UTF-8; the host checks them when
    // they are appended.
    unsafe { std::str::from_utf8_unchecked(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{batch_of, event, json};

    #[test]
    fn an_event_has_all_that_its_columns_say() {
        let mut second = event("order-4-2", "OrderPaid", json!({ "by": "ann" }));
        second.metadata = json!({ "user": 7 });
        let batch = batch_of(&[event("order", "OrderPlaced", json!({})), second], 0..2);
        let events: Vec<_> = undecoded(&batch).map(|(_, event)| event).collect();
        assert_eq!((events[0].stream, events[0].category, events[0].aggregate_id), ("order", "order", ""));
        let event = &events[1];
        assert_eq!((event.stream, event.category, event.aggregate_id), ("order-4-2", "order", "4-2"));
        assert_eq!((event.event_type, event.data.bytes), ("OrderPaid", &br#"{"by":"ann"}"#[..]));
        assert_eq!((event.version, event.position, event.schema_version), (1, 2, 1));
        let user: std::collections::HashMap<&str, i64> = event.metadata_as().expect("an object");
        assert_eq!(user["user"], 7);
        assert!(event.metadata_as::<Vec<i64>>().expect_err("no list").to_string().starts_with("metadata: "));
    }

    #[test]
    fn an_event_id_is_read_as_it_is_printed() {
        let text = "0190163d-8694-739b-aea5-966c26f8ad90";
        assert_eq!(EventId::read(text).to_string(), text);
    }

    #[test]
    fn an_event_id_prints_as_a_uuid() {
        let id = EventId(std::array::from_fn(|byte| byte as u8 * 0x11));
        assert_eq!(id.to_string(), "00112233-4455-6677-8899-aabbccddeeff");
    }
}

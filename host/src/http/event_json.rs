//! Events as JSON: how clients write new ones and how they read recorded ones. Event data passes
//! through as the text that it is; numbers in it keep all their digits.

use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::event::{EventRef, JSON, NewEvent, RecordedEvent, StreamName, Timestamp, check_name, is_json};

/// A new event as clients write it. The three fields that name a stream belong to imports.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewEventJson<'a> {
    stream: Option<String>,
    aggregate_type: Option<String>,
    aggregate_id: Option<String>,
    id: Option<Uuid>,
    event_type: String,
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
    schema_version: Option<u32>,
    time: Option<String>,
}

impl NewEventJson<'_> {
    /// The event of a request whose path names the stream.
    ///
    /// # Errors
    /// Says which field is wrong, and how.
    pub fn without_stream(self) -> Result<NewEvent, String> {
        if self.stream.is_some() || self.aggregate_type.is_some() || self.aggregate_id.is_some() {
            return Err("the stream is named by the path; leave out stream, aggregate_type and aggregate_id".into());
        }
        self.event(now())
    }

    /// The event of an import, with its stream. An event without a time gets this one.
    ///
    /// # Errors
    /// Says which field is wrong, and how.
    pub fn with_stream(self, time: Timestamp) -> Result<(StreamName, NewEvent), String> {
        let stream = match (&self.stream, &self.aggregate_type, &self.aggregate_id) {
            (Some(stream), None, None) => stream.parse(),
            (None, Some(category), Some(id)) => StreamName::of(category, id),
            _ => return Err("name the stream with either stream, or aggregate_type and aggregate_id".into()),
        };
        Ok((stream.map_err(|invalid| invalid.to_string())?, self.event(time)?))
    }

    fn event(self, default_time: Timestamp) -> Result<NewEvent, String> {
        check_name("event_type", &self.event_type).map_err(|invalid| invalid.to_string())?;
        let metadata = self.metadata.map_or("{}", RawValue::get);
        if !metadata.starts_with('{') {
            return Err(format!("metadata is {metadata}; write a JSON object"));
        }
        if self.schema_version == Some(0) {
            return Err("schema_version is 0; the first is 1".into());
        }
        Ok(NewEvent {
            id: self.id.unwrap_or_else(Uuid::now_v7),
            event_type: self.event_type,
            schema_version: self.schema_version.unwrap_or(1),
            time: self.time.as_deref().map_or(Ok(default_time), timestamp)?,
            content_type: JSON.to_owned(),
            data: self.data.get().as_bytes().to_vec(),
            metadata: metadata.to_owned(),
        })
    }
}

/// A recorded event as clients read it. Data that is not JSON stands in `data_base64`.
#[derive(Serialize)]
pub(super) struct EventJson<'a> {
    position: u64,
    version: u64,
    id: Uuid,
    stream: &'a str,
    pub event_type: &'a str,
    schema_version: u32,
    time: String,
    content_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
    metadata: Option<&'a RawValue>,
}

impl<'a> From<EventRef<'a>> for EventJson<'a> {
    fn from(event: EventRef<'a>) -> Self {
        let (data, data_base64) = data_json(&event.kind.content_type, event.data);
        Self {
            position: event.position.0,
            version: event.version.0,
            id: event.id,
            stream: event.stream,
            event_type: &event.kind.event_type,
            schema_version: event.schema_version,
            time: rfc3339(event.time),
            content_type: &event.kind.content_type,
            data,
            data_base64,
            metadata: serde_json::from_str(event.metadata).ok(),
        }
    }
}

impl<'a> From<&'a RecordedEvent> for EventJson<'a> {
    fn from(event: &'a RecordedEvent) -> Self {
        let (data, data_base64) = data_json(&event.content_type, &event.data);
        Self {
            position: event.position.0,
            version: event.version.0,
            id: event.id,
            stream: event.stream.as_str(),
            event_type: &event.event_type,
            schema_version: event.schema_version,
            time: rfc3339(event.time),
            content_type: &event.content_type,
            data,
            data_base64,
            metadata: serde_json::from_str(&event.metadata).ok(),
        }
    }
}

/// Data as JSON, or else in base64.
pub(super) fn data_json<'a>(content_type: &str, data: &'a [u8]) -> (Option<&'a RawValue>, Option<String>) {
    let json = if is_json(content_type) { serde_json::from_slice(data).ok() } else { None };
    (json, json.is_none().then(|| STANDARD.encode(data)))
}

pub(super) fn rfc3339(time: Timestamp) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(time.0) * 1000).ok();
    // Only years that no clock shows have no RFC 3339 form.
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| "0000-01-01T00:00:00Z".into())
}

/// # Errors
/// Says what a time looks like.
pub(super) fn timestamp(text: &str) -> Result<Timestamp, String> {
    let time = OffsetDateTime::parse(text, &Rfc3339);
    let time = time.map_err(|_| format!("time {text:?} is not RFC 3339, for example 2026-01-31T12:00:00Z"))?;
    // Microseconds of the years 0 to 9999 fit in 64 bits.
    Ok(Timestamp((time.unix_timestamp_nanos() / 1000) as i64))
}

pub(super) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(since_epoch.as_micros() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<NewEventJson<'_>, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn data_keeps_its_text_and_missing_fields_get_their_defaults() {
        let text = r#"{"event_type":"Placed","data":{"n": 1.10, "big":12345678901234567890123}}"#;
        let event = read(text).and_then(NewEventJson::without_stream).expect("an event");
        assert_eq!(event.data, br#"{"n": 1.10, "big":12345678901234567890123}"#);
        assert_eq!((event.schema_version, event.metadata.as_str(), event.content_type.as_str()), (1, "{}", JSON));
    }

    #[test]
    fn a_wrong_field_is_named() {
        let refusal = |text: &str| read(text).and_then(NewEventJson::without_stream).expect_err("was taken");
        assert!(refusal(r#"{"event_type":"A","data":1,"typ":2}"#).contains("unknown field `typ`"));
        assert!(refusal(r#"{"event_type":"A"}"#).contains("missing field `data`"));
        assert!(refusal(r#"{"event_type":"","data":1}"#).contains("event_type is empty"));
        assert!(refusal(r#"{"event_type":"A","data":1,"metadata":[]}"#).contains("JSON object"));
        assert!(refusal(r#"{"event_type":"A","data":1,"time":"yesterday"}"#).contains("RFC 3339"));
        assert!(refusal(r#"{"event_type":"A","data":1,"schema_version":0}"#).contains("schema_version"));
        assert!(refusal(r#"{"event_type":"A","data":1,"stream":"a-1"}"#).contains("path"));
    }

    #[test]
    fn an_import_names_its_stream_in_one_of_two_ways() {
        let stream = |text: &str| {
            read(text).and_then(|event| event.with_stream(Timestamp(0))).map(|(stream, _)| stream.to_string())
        };
        assert_eq!(stream(r#"{"stream":"a-1","event_type":"A","data":1}"#), Ok("a-1".into()));
        let both = r#"{"aggregate_type":"a","aggregate_id":"1-2","event_type":"A","data":1}"#;
        assert_eq!(stream(both), Ok("a-1-2".into()));
        assert!(stream(r#"{"event_type":"A","data":1}"#).is_err());
        assert!(stream(r#"{"stream":"a-1","aggregate_id":"1","event_type":"A","data":1}"#).is_err());
    }

    #[test]
    fn times_read_back_as_they_were_written() {
        for text in ["2026-01-31T12:00:00.000001Z", "1969-12-31T23:59:59.5Z", "9999-12-31T23:59:59Z"] {
            assert_eq!(rfc3339(timestamp(text).expect("a time")), text);
        }
        assert_eq!(timestamp("2026-01-31T13:00:00+01:00"), timestamp("2026-01-31T12:00:00Z"));
    }
}

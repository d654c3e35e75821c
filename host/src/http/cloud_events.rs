//! CloudEvents 1.0 over HTTP: structured, batch and binary.
//!
//! `subject` names the stream and `type` the event type; `time` and the extension `schemaversion`
//! keep their meaning. An `id` that is no UUID becomes one, always the same for one source and id.
//! Every other attribute goes into the event's metadata.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::app::App;
use super::event_json::{now, timestamp};
use super::import::ImportedJson;
use super::openapi::{Operation, Request};
use super::payload::{Payload, unsupported};
use super::problem::Problem;
use super::streams::{EXPECTS, append_events, expected_version};
use crate::event::{ExpectedVersion, JSON, NewEvent, StreamName, check_name, is_json};

const STRUCTURED: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

pub(super) const RECEIVE: Operation = Operation {
    headers: EXPECTS,
    body: &[
        Request { media_type: STRUCTURED, schema: "CloudEvent" },
        Request { media_type: BATCH, schema: "CloudEvents" },
        Request { media_type: "*/*", schema: "Bytes" },
    ],
    problems: &[400, 409, 413, 415, 503, 507],
    ..Operation::new(
        "appendCloudEvents",
        "Append CloudEvents, one (structured, or binary with ce- headers) or a batch; their subject names the stream",
        &[(201, "AppendedOrImported"), (200, "Appended")],
    )
};

type Object<'a> = BTreeMap<String, &'a RawValue>;

/// One CloudEvent, before its attributes find their places.
struct CloudEvent {
    attributes: BTreeMap<String, Value>,
    data: Vec<u8>,
}

pub(super) async fn receive(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    payload: Payload,
) -> Result<Response, Problem> {
    let events = events_of(&headers, &payload)?;
    let expected = expected_version(&headers)?;
    let Some((first, _)) = events.first() else {
        return Err(refused("the batch holds no event"));
    };
    let stream = first.clone();
    if events.iter().all(|(of, _)| *of == stream) {
        let events = events.into_iter().map(|(_, event)| event).collect();
        return append_events(&app, stream, expected.unwrap_or(ExpectedVersion::Any), events).await;
    }
    if expected.is_some() {
        return Err(refused("the header Expected-Version is for events of one stream, and the batch has several")
            .hint("send one batch for each stream, or leave the header out"));
    }
    let imported: ImportedJson = app.state.events.import_async(events).await?.into();
    Ok((StatusCode::CREATED, Json(imported)).into_response())
}

fn events_of(headers: &HeaderMap, payload: &Payload) -> Result<Vec<(StreamName, NewEvent)>, Problem> {
    match payload.media_type.as_str() {
        BATCH => {
            let objects: Vec<Object<'_>> = parse(&payload.bytes, "a JSON array of CloudEvents")?;
            let events = objects.into_iter().map(|object| structured(object).and_then(CloudEvent::place));
            let named = events.enumerate().map(|(index, event)| {
                event.map_err(|reason| {
                    refused(&format!("event {} of the batch: {reason}", index + 1)).fact("index", index)
                })
            });
            named.collect()
        }
        STRUCTURED => {
            let object = parse(&payload.bytes, "a JSON object")?;
            let event = structured(object).and_then(CloudEvent::place);
            Ok(vec![event.map_err(|reason| refused(&reason))?])
        }
        _ if headers.contains_key("ce-specversion") => {
            let event = binary(headers, payload).and_then(CloudEvent::place);
            Ok(vec![event.map_err(|reason| refused(&reason))?])
        }
        other => {
            let hint = format!(
                "send CloudEvents as {STRUCTURED} or {BATCH}, or with ce- headers; \
                 plain events go to POST /streams/{{stream}}/events"
            );
            Err(unsupported(other, &hint))
        }
    }
}

fn parse<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8], what: &str) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| refused(&format!("the body is not {what}: {error}")))
}

fn refused(reason: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_cloud_event", reason)
}

fn structured(mut object: Object<'_>) -> Result<CloudEvent, String> {
    let (data, data_base64) = (object.remove("data"), object.remove("data_base64"));
    let attributes = object.into_iter().map(|(name, raw)| {
        let value = serde_json::from_str(raw.get()).map_err(|error| format!("attribute {name}: {error}"))?;
        Ok((name, value))
    });
    let attributes: BTreeMap<String, Value> = attributes.collect::<Result<_, String>>()?;
    let content_type = match attributes.get("datacontenttype") {
        Some(Value::String(text)) => content_type(text),
        _ => JSON.to_owned(),
    };
    let data = match (data, data_base64) {
        (Some(_), Some(_)) => return Err("has both data and data_base64".into()),
        (None, None) if is_json(&content_type) => b"null".to_vec(),
        (None, None) => Vec::new(),
        (Some(data), None) if is_json(&content_type) => data.get().as_bytes().to_vec(),
        (Some(data), None) => {
            let text: Result<String, _> = serde_json::from_str(data.get());
            text.map_err(|_| {
                format!("data of the content type {content_type} must be a string, or stand in data_base64")
            })?
            .into_bytes()
        }
        (None, Some(encoded)) => {
            let text: Result<String, _> = serde_json::from_str(encoded.get());
            let decoded = text.ok().and_then(|text| STANDARD.decode(text).ok());
            decoded.ok_or("data_base64 is not a string of base64")?
        }
    };
    Ok(CloudEvent { attributes, data })
}

fn binary(headers: &HeaderMap, payload: &Payload) -> Result<CloudEvent, String> {
    let mut attributes = BTreeMap::new();
    for (header, value) in headers {
        if let Some(name) = header.as_str().strip_prefix("ce-") {
            let value =
                percent_decoded(value.as_bytes()).ok_or_else(|| format!("the header {header} is no UTF-8 text"))?;
            attributes.insert(name.to_owned(), Value::String(value));
        }
    }
    if !payload.media_type.is_empty() {
        attributes.insert("datacontenttype".to_owned(), Value::String(payload.media_type.clone()));
    }
    Ok(CloudEvent { attributes, data: payload.bytes.to_vec() })
}

impl CloudEvent {
    /// The stream and the event that it asks to append.
    fn place(mut self) -> Result<(StreamName, NewEvent), String> {
        let spec_version = self.take("specversion")?;
        if spec_version != "1.0" {
            return Err(format!("specversion {spec_version:?} is not known; 1.0 is"));
        }
        let id = self.take("id")?;
        let event_type = self.take("type")?;
        check_name("type", &event_type).map_err(|invalid| invalid.to_string())?;
        let subject =
            self.take("subject").map_err(|reason| format!("{reason}; it names the stream, for example order-42"))?;
        let stream: StreamName = subject.parse().map_err(|invalid| format!("subject: {invalid}"))?;
        let Some(Value::String(source)) = self.attributes.get("source") else {
            return Err("the attribute source is missing or no text".into());
        };
        let uuid = Uuid::parse_str(&id)
            .unwrap_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("{source}\n{id}").as_bytes()));
        let time = if self.attributes.contains_key("time") { timestamp(&self.take("time")?)? } else { now() };
        let schema_version = match self.attributes.remove("schemaversion") {
            None => 1,
            Some(value) => {
                schema_version(&value).ok_or_else(|| format!("schemaversion {value} is no number from 1"))?
            }
        };
        let content_type = match self.attributes.remove("datacontenttype") {
            None | Some(Value::Null) => JSON.to_owned(),
            Some(Value::String(text)) => content_type(&text),
            Some(other) => return Err(format!("datacontenttype {other} is no text")),
        };
        if is_json(&content_type) {
            serde_json::from_slice::<&RawValue>(&self.data).map_err(|error| format!("data is no JSON: {error}"))?;
        }
        if uuid.hyphenated().to_string() != id.to_ascii_lowercase() {
            self.attributes.insert("id".to_owned(), Value::String(id));
        }
        let metadata = serde_json::to_string(&self.attributes).map_err(|error| error.to_string())?;
        let data = self.data;
        Ok((stream, NewEvent { id: uuid, event_type, schema_version, time, content_type, data, metadata }))
    }

    fn take(&mut self, name: &str) -> Result<String, String> {
        match self.attributes.remove(name) {
            Some(Value::String(text)) if !text.is_empty() => Ok(text),
            _ => Err(format!("the attribute {name} is missing or no text")),
        }
    }
}

fn schema_version(value: &Value) -> Option<u32> {
    let number = match value {
        Value::Number(number) => number.as_u64()?.try_into().ok()?,
        Value::String(text) => text.parse().ok()?,
        _ => return None,
    };
    (number >= 1).then_some(number)
}

/// JSON under its one name; every other media type as it is.
fn content_type(text: &str) -> String {
    let essence = text.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(JSON) { JSON.to_owned() } else { text.to_owned() }
}

fn percent_decoded(bytes: &[u8]) -> Option<String> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, after)) = rest.split_first() {
        let hex = (first == b'%').then(|| after.get(..2)).flatten().and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.filter(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match byte.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                rest = &after[2..];
            }
            None => {
                decoded.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(text: &str) -> Result<(StreamName, NewEvent), String> {
        structured(serde_json::from_str(text).expect("an object")).and_then(CloudEvent::place)
    }

    const ID: &str = "0190163d-8694-739b-aea5-966c26f8ad90";

    #[test]
    fn attributes_find_their_places_and_the_rest_is_metadata() {
        let text = format!(
            r#"{{"specversion":"1.0","id":"{ID}","source":"/shop","type":"Placed","subject":"order-1","time":"2026-01-31T12:00:00Z",
                "schemaversion":2,"traceparent":"00-ab","data":{{"n": 1.10}}}}"#
        );
        let (stream, event) = placed(&text).expect("an event");
        assert_eq!((stream.as_str(), event.id.to_string().as_str()), ("order-1", ID));
        assert_eq!((event.event_type.as_str(), event.schema_version), ("Placed", 2));
        assert_eq!(event.data, br#"{"n": 1.10}"#);
        assert_eq!(event.metadata, r#"{"source":"/shop","traceparent":"00-ab"}"#);
    }

    #[test]
    fn an_id_that_is_no_uuid_always_becomes_the_same_one() {
        let text = |source: &str| {
            format!(r#"{{"specversion":"1.0","id":"7","source":"{source}","type":"A","subject":"a-1"}}"#)
        };
        let (first, again, other) = (placed(&text("/x")), placed(&text("/x")), placed(&text("/y")));
        let id = |placed: Result<(StreamName, NewEvent), String>| placed.expect("an event").1;
        let first = id(first);
        assert_eq!(first.metadata, r#"{"id":"7","source":"/x"}"#);
        assert_eq!(first.data, b"null");
        assert_eq!(first.id, id(again).id);
        assert_ne!(first.id, id(other).id);
    }

    #[test]
    fn data_that_is_not_json_travels_as_bytes() {
        let text = |data: &str| {
            format!(
                r#"{{"specversion":"1.0","id":"7","source":"s","type":"A","subject":"a-1","datacontenttype":"text/csv",{data}}}"#
            )
        };
        assert_eq!(placed(&text(r#""data":"a,b""#)).expect("text").1.data, b"a,b");
        assert_eq!(placed(&text(r#""data_base64":"AP8=""#)).expect("bytes").1.data, [0, 255]);
        assert!(placed(&text(r#""data":{"a":1}"#)).is_err());
        assert!(placed(&text(r#""data":"a","data_base64":"AP8=""#)).is_err());
        assert!(placed(&text(r#""data_base64":"*""#)).is_err());
    }

    #[test]
    fn a_missing_attribute_is_named() {
        assert!(placed(r#"{"specversion":"0.3"}"#).expect_err("taken").contains("0.3"));
        let subject = r#"{"specversion":"1.0","id":"7","source":"s","type":"A"}"#;
        assert!(placed(subject).expect_err("taken").contains("subject"));
        let source = r#"{"specversion":"1.0","id":"7","type":"A","subject":"a-1"}"#;
        assert!(placed(source).expect_err("taken").contains("source"));
    }

    #[test]
    fn binary_mode_reads_the_headers() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("ce-specversion", "1.0"),
            ("ce-id", ID),
            ("ce-source", "/s%C3%A9"),
            ("ce-type", "A"),
            ("ce-subject", "a-1"),
        ] {
            headers.insert(name, value.parse().expect("a header"));
        }
        let payload =
            |bytes: &'static [u8], media_type: &str| Payload { bytes: bytes.into(), media_type: media_type.into() };
        let (_, event) =
            binary(&headers, &payload(b"[1]", "application/json")).and_then(CloudEvent::place).expect("an event");
        assert_eq!((event.content_type.as_str(), event.metadata.as_str()), (JSON, "{\"source\":\"/sé\"}"));
        assert!(binary(&headers, &payload(b"[1", "application/json")).and_then(CloudEvent::place).is_err());
        let (_, event) =
            binary(&headers, &payload(&[0, 255], "image/png")).and_then(CloudEvent::place).expect("an event");
        assert_eq!((event.content_type.as_str(), event.data.as_slice()), ("image/png", &[0, 255][..]));
    }

    #[test]
    fn broken_percent_signs_stay_as_they_are() {
        assert_eq!(percent_decoded(b"100% %4 %zz %+1 %41").as_deref(), Some("100% %4 %zz %+1 A"));
        assert_eq!(percent_decoded(b"%ff"), None);
    }
}

//! Events as guests of the other worlds see them and answer them: owned records.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use uuid::Uuid;

use super::bindings::owned::lantern::plugin::events::{Event, NewEvent as GuestNewEvent};
use super::projection::data_text;
use crate::code::CallFailure;
use crate::event::{EventBatch, EventRef, NewEvent, Timestamp, is_json};

/// # Errors
/// When JSON data is not UTF-8.
pub(super) fn into_guest(batch: &EventBatch) -> Result<Vec<Event>, CallFailure> {
    batch.iter().map(|event| one_into_guest(&event)).collect()
}

fn one_into_guest(event: &EventRef<'_>) -> Result<Event, CallFailure> {
    Ok(Event {
        id: event.id.to_string(),
        stream: event.stream.into(),
        version: event.version.0,
        position: event.position.0,
        event_type: event.kind.event_type.clone(),
        schema_version: event.schema_version,
        time: event.time.0,
        content_type: event.kind.content_type.clone(),
        data: data_text(event).map_err(CallFailure::from)?.into_owned(),
        metadata: event.metadata.into(),
    })
}

/// An event that somebody proposed, for a guest that decides on it.
pub(super) fn proposed_into_guest(event: &NewEvent) -> GuestNewEvent {
    let data = match String::from_utf8(event.data.clone()) {
        Ok(text) if is_json(&event.content_type) => text,
        _ => BASE64.encode(&event.data),
    };
    GuestNewEvent {
        id: event.id.to_string(),
        event_type: event.event_type.clone(),
        schema_version: event.schema_version,
        time: event.time.0,
        content_type: event.content_type.clone(),
        data,
        metadata: event.metadata.clone(),
    }
}

/// An event that a guest wants appended. Names and sizes are checked when it is. The nil UUID stands for an id that the
/// guest leaves to Lantern.
///
/// # Errors
/// When the id is no UUID, or data that is not JSON is not base64.
pub(super) fn proposed_by_guest(event: GuestNewEvent) -> Result<NewEvent, CallFailure> {
    let nonsense = |reason: String| CallFailure::Rejected(format!("it answered an event that cannot be: {reason}"));
    let id = match event.id.as_str() {
        "" => Uuid::nil(),
        id => id.parse().map_err(|error| nonsense(format!("the id {id:?} is no UUID: {error}")))?,
    };
    Ok(NewEvent {
        id,
        data: data_bytes(&event.content_type, event.data)?,
        event_type: event.event_type,
        schema_version: event.schema_version,
        time: Timestamp(event.time),
        content_type: event.content_type,
        metadata: event.metadata,
    })
}

/// # Errors
/// When data that is not JSON is not base64.
pub(super) fn data_bytes(content_type: &str, data: String) -> Result<Vec<u8>, CallFailure> {
    if is_json(content_type) {
        return Ok(data.into_bytes());
    }
    BASE64.decode(data).map_err(|error| {
        CallFailure::Rejected(format!(
            "it answered an event of content type {content_type:?} whose data is no base64: {error}"
        ))
    })
}

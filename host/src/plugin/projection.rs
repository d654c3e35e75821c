//! A component of the world `projection` as a [`Projection`]: events go in as typed records, rows
//! come back through host calls.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use uuid::fmt::Hyphenated;
use wasmtime::Store;
use wasmtime::component::InstancePre;

use super::bindings::typed;
use super::bindings::typed::lantern::plugin::events::Event;
use super::code::{GuestWorld, ProjectionWorld};
use super::description;
use super::error::Problem;
use super::guest::{self, Guest, State};
use crate::code::{CallFailure, PluginName};
use crate::event::{EventBatch, EventRef, is_json};
use crate::projection::{ApplyFailure, Description, Pending, Projection};
use crate::read_model::ReadModelDraft;

impl GuestWorld for typed::Projection {
    type Template = typed::ProjectionPre<State>;
    type Description = Description;

    fn template(prepared: InstancePre<State>) -> wasmtime::Result<Self::Template> {
        typed::ProjectionPre::new(prepared)
    }

    fn instantiate(template: &Self::Template, store: &mut Store<State>) -> wasmtime::Result<Self> {
        template.instantiate(store)
    }

    fn describe(&self, store: &mut Store<State>) -> wasmtime::Result<Result<Description, Problem>> {
        self.call_describe(store).map(description::check)
    }

    fn name(description: &Description) -> &PluginName {
        &description.name
    }
}

impl ProjectionWorld for typed::Projection {
    fn into_projection(guest: Guest<Self>) -> Box<dyn Projection> {
        Box::new(TypedProjection { guest })
    }
}

struct TypedProjection {
    guest: Guest<typed::Projection>,
}

impl Projection for TypedProjection {
    fn apply(&mut self, batch: &EventBatch, draft: &mut ReadModelDraft) -> Result<Pending, ApplyFailure> {
        if batch.is_empty() {
            return Ok(Pending::default());
        }
        let mut ids = vec![0; batch.len() * Hyphenated::LENGTH];
        let ids = ids.chunks_exact_mut(Hyphenated::LENGTH);
        let data = batch.iter().map(|event| data_text(&event)).collect::<Result<Vec<_>, _>>()?;
        let events: Vec<_> =
            batch.iter().zip(ids).zip(&data).map(|((event, id), data)| typed(event, id, data)).collect();
        let answer = self.guest.call(draft, events.len(), |guest, store| guest.call_apply(store, &events))?;
        answer.map_err(guest::rejected)?;
        Ok(Pending::default())
    }

    /// Its writes are in the draft already.
    fn flush(&mut self, _: &mut ReadModelDraft) -> Result<(), ApplyFailure> {
        Ok(())
    }
}

fn typed<'a>(event: EventRef<'a>, id: &'a mut [u8], data: &'a str) -> Event<'a> {
    Event {
        id: event.id.hyphenated().encode_lower(id),
        stream: event.stream,
        version: event.version.0,
        position: event.position.0,
        event_type: &event.kind.event_type,
        schema_version: event.schema_version,
        time: event.time.0,
        content_type: &event.kind.content_type,
        data,
        metadata: event.metadata,
    }
}

/// JSON as it is, anything else as base64.
pub(super) fn data_text<'a>(event: &EventRef<'a>) -> Result<Cow<'a, str>, ApplyFailure> {
    if !is_json(&event.kind.content_type) {
        return Ok(Cow::Owned(BASE64.encode(event.data)));
    }
    std::str::from_utf8(event.data).map(Cow::Borrowed).map_err(|error| {
        let (position, content_type) = (event.position, &event.kind.content_type);
        ApplyFailure::Call(CallFailure::Rejected(format!(
            "the data of the event at position {position} is {content_type} and not UTF-8: {error}"
        )))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventKind, Position, StreamVersion, Timestamp};
    use uuid::Uuid;

    fn text(content_type: &str, data: &[u8]) -> Result<String, ApplyFailure> {
        let kind =
            EventKind { category: "order".into(), event_type: "Placed".into(), content_type: content_type.into() };
        let event = EventRef {
            id: Uuid::nil(),
            stream: "order-1",
            version: StreamVersion(1),
            position: Position(1),
            kind: &kind,
            schema_version: 1,
            time: Timestamp(0),
            data,
            metadata: "{}",
        };
        data_text(&event).map(Cow::into_owned)
    }

    #[test]
    fn json_stays_text_and_anything_else_becomes_base64() {
        assert_eq!(text("application/json; charset=utf-8", b"{}").expect("text"), "{}");
        assert_eq!(text("application/vnd.order+json", b"{}").expect("text"), "{}");
        assert_eq!(text("application/octet-stream", &[0, 255]).expect("base64"), "AP8=");
        assert!(matches!(text("application/json", &[255]), Err(ApplyFailure::Call(CallFailure::Rejected(_)))));
    }
}

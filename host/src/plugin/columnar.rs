//! A component of the world `columnar-projection` as a [`Projection`]: events go in as columns, one
//! copy for the whole batch; rows come back as one buffer when the host asks.

use wasmtime::Store;
use wasmtime::component::InstancePre;

use super::bindings::columnar;
use super::bindings::columnar::lantern::plugin::events;
use super::code::{GuestWorld, ProjectionWorld};
use super::description;
use super::error::Problem;
use super::guest::{self, Guest, State};
use crate::code::PluginName;
use crate::event::EventBatch;
use crate::projection::{ApplyFailure, Description, Pending, Projection};
use crate::read_model::ReadModelDraft;

impl GuestWorld for columnar::ColumnarProjection {
    type Template = columnar::ColumnarProjectionPre<State>;
    type Description = Description;

    fn template(prepared: InstancePre<State>) -> wasmtime::Result<Self::Template> {
        columnar::ColumnarProjectionPre::new(prepared)
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

impl ProjectionWorld for columnar::ColumnarProjection {
    fn into_projection(guest: Guest<Self>) -> Box<dyn Projection> {
        Box::new(ColumnarProjection { guest, unflushed_events: 0 })
    }
}

struct ColumnarProjection {
    guest: Guest<columnar::ColumnarProjection>,
    /// Writing rows out costs fuel too, in proportion to the events that changed them.
    unflushed_events: usize,
}

impl Projection for ColumnarProjection {
    fn apply(&mut self, batch: &EventBatch, draft: &mut ReadModelDraft) -> Result<Pending, ApplyFailure> {
        if batch.is_empty() {
            return Ok(Pending::default());
        }
        let kinds = batch.kind_table.iter().map(|kind| events::EventKind {
            category: &kind.category,
            event_type: &kind.event_type,
            content_type: &kind.content_type,
        });
        let kinds: Vec<_> = kinds.collect();
        let columns = events::EventBatch {
            positions: &batch.positions,
            versions: &batch.versions,
            times: &batch.times,
            schema_versions: &batch.schema_versions,
            kinds: &batch.kinds,
            ids: &batch.ids,
            ends: &batch.ends,
            text: &batch.text,
            kind_table: &kinds,
        };
        self.unflushed_events += batch.len();
        let answer = self.guest.call(draft, batch.len(), |guest, store| guest.call_apply(store, columns))?;
        let pending = answer.map_err(guest::rejected)?;
        Ok(Pending { rows: pending.rows, bytes: pending.bytes })
    }

    fn flush(&mut self, draft: &mut ReadModelDraft) -> Result<(), ApplyFailure> {
        let events = std::mem::take(&mut self.unflushed_events);
        let changes = self.guest.call(draft, events, |guest, store| guest.call_flush(store))?;
        draft.apply_changes(changes).map_err(guest::read_model_failure)
    }
}

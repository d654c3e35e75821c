//! One running projection: batches in, a flush buffer out.

use std::rc::Rc;

use crate::bindings::lantern::plugin::events::{EventBatch, Interest};
use crate::bindings::{Pending, ProjectionDescription};
use crate::event::undecoded;
use crate::read_model::{CommittedRows, Tables};
use crate::{Error, EventData, Projection};

/// What the projection says of itself to the host.
pub fn describe<P: Projection>() -> ProjectionDescription {
    let event_types = <P::Event<'static> as EventData<'static>>::event_types().unwrap_or_default();
    let interest = |category: Option<&&str>| Interest {
        category: category.map(|category| (*category).to_owned()),
        event_types: event_types.iter().map(|event_type| (*event_type).to_owned()).collect(),
    };
    let interests = match P::CATEGORIES {
        [] => vec![interest(None)],
        categories => categories.iter().map(|category| interest(Some(category))).collect(),
    };
    ProjectionDescription {
        name: P::NAME.to_owned(),
        read_model_version: P::READ_MODEL_VERSION,
        interests,
        tables: P::Tables::declarations().into_iter().map(|table| table.to_schema()).collect(),
    }
}

/// A projection with the rows that it has in memory. Of no more use after a failure.
pub struct Instance<P: Projection> {
    tables: P::Tables,
}

impl<P: Projection> Instance<P> {
    pub fn new(committed: Rc<dyn CommittedRows>) -> Self {
        Self::with_capacity(committed, P::CACHED_BYTES)
    }

    /// As [`Instance::new`], with another size for [`Projection::CACHED_BYTES`].
    pub fn with_capacity(committed: Rc<dyn CommittedRows>, cached_bytes: usize) -> Self {
        Self { tables: P::Tables::open(&committed, 0, cached_bytes) }
    }

    /// Applies the events that the projection reads, and ignores others.
    ///
    /// # Errors
    /// The failure of the first event that failed.
    pub fn apply(&mut self, batch: &EventBatch) -> Result<Pending, Error> {
        let event_types = <P::Event<'_> as EventData<'_>>::event_types();
        let is_read: Vec<bool> = batch
            .kind_table
            .iter()
            .map(|kind| event_types.is_none_or(|types| types.contains(&kind.event_type.as_str())))
            .collect();
        for (kind, event) in undecoded(batch) {
            if is_read[kind] {
                P::apply(event.decoded()?, &mut self.tables)?;
                self.tables.end_event()?;
            }
        }
        self.tables.end_batch()?;
        let (rows, bytes) = self.tables.pending();
        Ok(Pending { rows: u32::try_from(rows).unwrap_or(u32::MAX), bytes })
    }

    /// Every row changed since the last call, as `wit/worlds.wit` describes it: table by table, each
    /// in the order of its keys.
    pub fn flush(&mut self) -> Vec<u8> {
        let mut changes = Vec::with_capacity(self.tables.pending().1 as usize);
        self.tables.flush(&mut changes);
        changes
    }
}

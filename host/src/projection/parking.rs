//! Events that are put aside: those that nobody can read or apply, and those that wait behind them.

use std::collections::HashSet;
use std::sync::Arc;

use super::failure::Failure;
use super::runner::Runner;
use crate::event::{EventBatch, EventRef, Position, Timestamp, UNREADABLE};
use crate::read_model::{DeadLetter, DeadLetterKind};

impl Runner {
    /// Takes out of the batch what its upcasters cannot read, and the events of parked streams: they wait behind the
    /// failed one. Answers where the first unreadable one was.
    pub(super) fn divert(&mut self) -> Result<Option<Position>, Failure> {
        let is_readable: Vec<bool> = self.batch.kind_table.iter().map(|kind| kind.content_type != UNREADABLE).collect();
        if self.parked_streams.is_empty() && !is_readable.contains(&false) {
            return Ok(None);
        }
        let (batch, mut first, mut parked) = (Arc::clone(&self.batch), None, HashSet::new());
        for (index, event) in batch.iter().enumerate() {
            // What upcasters made of one stored event is parked together.
            if parked.contains(&event.position) {
                continue;
            }
            if self.parked_streams.contains(event.stream) {
                let letter = self.dead_letter(index, DeadLetterKind::Waiting, None)?;
                self.park(letter)?;
            } else if event.is_unreadable() {
                let letter = self.dead_letter(index, DeadLetterKind::Failed, Some(reason(&event)))?;
                self.park(letter)?;
                first.get_or_insert(event.position);
            } else {
                continue;
            }
            parked.insert(event.position);
        }
        if !parked.is_empty() || is_readable.contains(&false) {
            let mut readable = EventBatch::default();
            batch.filtered(|event| !parked.contains(&event.position)).select_kinds(&is_readable, &mut readable);
            self.batch = Arc::new(readable);
        }
        Ok(first)
    }

    /// Why the batch's first unreadable event is so.
    pub(super) fn unreadable(&self) -> Option<String> {
        self.batch.iter().find(EventRef::is_unreadable).map(|event| reason(&event))
    }

    /// Puts an event aside with the next commit.
    pub(super) fn park(&mut self, letter: DeadLetter) -> Result<(), Failure> {
        if self.dead_letters + self.parking.len() as u64 >= self.options.max_dead_letters {
            return Err(Failure::TooManyDeadLetters(self.options.max_dead_letters));
        }
        if letter.kind == DeadLetterKind::Failed {
            self.parked_streams.insert(letter.stream.clone());
        }
        self.parking.push(letter);
        Ok(())
    }

    /// Nothing of what was put aside since the last commit counts.
    pub(super) fn forget_parking(&mut self) {
        for letter in self.parking.drain(..).filter(|letter| letter.kind == DeadLetterKind::Failed) {
            self.parked_streams.remove(&letter.stream);
        }
    }

    /// A dead letter for the stored event behind an event of the batch.
    pub(super) fn dead_letter(
        &mut self,
        index: usize,
        kind: DeadLetterKind,
        reason: Option<String>,
    ) -> Result<DeadLetter, Failure> {
        let batch = Arc::clone(&self.batch);
        let event = batch.get(index);
        let mut stored = Arc::<EventBatch>::default();
        if !event.is_unreadable() && !self.code.upcasters().is_empty() {
            self.log.read_stored(&[event.position], &mut stored)?;
        }
        Ok(DeadLetter {
            position: event.position,
            stream: event.stream.to_owned(),
            version: event.version,
            event_type: stored.iter().next().unwrap_or(event).kind.event_type.clone(),
            kind,
            attempts: u32::from(reason.is_some()),
            reason,
            component_digest: self.code.digest().0.clone(),
            parked_at: Timestamp::now(),
        })
    }
}

fn reason(unreadable: &EventRef<'_>) -> String {
    String::from_utf8_lossy(unreadable.data).into_owned()
}

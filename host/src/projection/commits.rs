//! When a projection's rows are committed, with its checkpoint and dead letters.

use super::Pending;
use super::failure::Failure;
use super::runner::Runner;
use crate::crash_point;
use crate::read_model::{Commit, ReadModelWriter};

impl Runner {
    /// Commits everything that is applied.
    ///
    /// # Errors
    /// When the plugin cannot flush or the read model cannot be written.
    pub fn settle(&mut self) -> Result<(), Failure> {
        self.note_commit(true)?;
        if self.uncommitted_events > 0 || self.read_to > self.checkpoint {
            self.commit()?;
        }
        Ok(())
    }

    /// Whether enough has come together for a commit.
    pub(super) fn is_full(&self, pending: Pending) -> bool {
        let (writes, bytes) = self.draft.size();
        pending.rows as usize + writes >= self.options.flush_rows
            || pending.bytes + bytes as u64 >= self.options.flush_bytes
            || self.uncommitted_events >= self.options.flush_events
    }

    /// Commits and waits until it is done.
    pub(super) fn commit(&mut self) -> Result<(), Failure> {
        if self.uncommitted_events > 0 {
            self.flush()?;
        }
        self.note_commit(true)?;
        let Self { commits, draft, parking, read_to, stopwatch, .. } = self;
        let writer = commits.writer()?;
        let commit = Commit { checkpoint: Some(*read_to), parked: parking, released: &[] };
        stopwatch.time(|times| &mut times.write, || writer.commit(draft, &commit))?;
        if draft.finds() {
            writer.build_indexes()?;
        }
        self.dead_letters += self.parking.len() as u64;
        self.parking.clear();
        self.checkpoint = self.read_to;
        self.visible_to = self.read_to;
        self.uncommitted_events = 0;
        Ok(())
    }

    /// Commits while the plugin works on, where nothing has to wait for it.
    pub(super) fn commit_behind(&mut self) -> Result<(), Failure> {
        // A plugin that finds needs the indexes, and finds faster in the file than in the draft.
        if !self.parking.is_empty() || self.draft.finds() {
            return self.commit();
        }
        self.flush()?;
        self.note_commit(true)?;
        self.commits.begin(&mut self.draft, self.read_to)?;
        self.uncommitted_events = 0;
        Ok(())
    }

    /// Takes note of the commit under way if it has ended, or waits for its end.
    ///
    /// # Errors
    /// When it failed: whoever goes on must go back to the checkpoint.
    pub(super) fn note_commit(&mut self, wait: bool) -> Result<(), Failure> {
        if let Some(outcome) = self.commits.outcome(&mut self.draft, wait) {
            self.checkpoint = outcome?;
            self.visible_to = self.checkpoint;
        }
        Ok(())
    }

    /// The read model's writer, when the commit under way has ended.
    pub(super) fn model(&mut self) -> Result<&mut ReadModelWriter, Failure> {
        self.note_commit(true)?;
        Ok(self.commits.writer()?)
    }

    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        match &mut self.instance {
            Some(instance) => self.stopwatch.time(|times| &mut times.plugin, || instance.flush(&mut self.draft))?,
            None => {}
        }
        crash_point::reached("rows-flushed");
        Ok(())
    }
}

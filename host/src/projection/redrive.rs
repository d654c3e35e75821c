//! Parked events: applied again in the order of their stream, or discarded.

use std::sync::Arc;

use super::failure::{Disposition, Failure};
use super::runner::{Halt, Runner};
use crate::event::Position;
use crate::read_model::{Commit, DeadLetter, DeadLetterKind};

/// Parked events that are looked at together.
const PAGE: usize = 256;

impl Runner {
    /// The streams whose first parked event failed under other code than the present.
    ///
    /// # Errors
    /// When the read model cannot be read.
    pub fn streams_to_redrive(&mut self) -> Result<Vec<String>, Failure> {
        let streams = self.model()?.parked_streams()?;
        let digest = &self.code.digest().0;
        Ok(streams.into_iter().filter(|(_, failed_under)| failed_under != digest).map(|(stream, _)| stream).collect())
    }

    /// All streams that have parked events.
    ///
    /// # Errors
    /// When the read model cannot be read.
    pub fn parked_streams(&mut self) -> Result<Vec<String>, Failure> {
        Ok(self.model()?.parked_streams()?.into_iter().map(|(stream, _)| stream).collect())
    }

    /// Applies the parked events of one stream in order, each in a commit of its own, until one
    /// fails again or none is left. Answers whether the stream is free.
    ///
    /// # Errors
    /// When the log or the read model fails; the events stay parked.
    pub fn redrive(&mut self, stream: &str) -> Result<bool, Halt> {
        let free = self.settle().and_then(|()| {
            self.reset();
            self.try_redrive(stream)
        });
        self.reset();
        // However it ended, the daemon lived: this run is none of those that an event may have ended.
        let finished = self.model().and_then(|model| Ok(model.finish_run()?));
        free.and_then(|free| finished.map(|()| free)).map_err(|failure| match failure.disposition() {
            Disposition::Isolate => Halt { disposition: Disposition::Retry, reason: failure.to_string() },
            disposition => Halt { disposition, reason: failure.to_string() },
        })
    }

    /// Forgets a failed event, whose effect is then missing from the rows for good.
    /// Answers false when this event has not failed.
    ///
    /// # Errors
    /// When the read model cannot be written.
    pub fn discard(&mut self, position: Position) -> Result<Option<DeadLetter>, Failure> {
        let letter = self.model()?.dead_letter(position)?.filter(|letter| letter.kind == DeadLetterKind::Failed);
        if letter.is_some() {
            self.settle()?;
            self.release(position)?;
        }
        Ok(letter)
    }

    fn try_redrive(&mut self, stream: &str) -> Result<bool, Failure> {
        loop {
            let letters = self.model()?.dead_letters_of(stream, PAGE)?;
            if letters.is_empty() {
                self.parked_streams.remove(stream);
                return Ok(true);
            }
            for letter in letters {
                let interests = Arc::clone(&self.code.description().interests);
                self.log.read_positions(&[letter.position], &interests, &mut self.batch)?;
                if let Some(reason) = self.verdict()? {
                    let attempts = letter.attempts + 1;
                    let failed = DeadLetter { attempts, ..self.dead_letter(0, DeadLetterKind::Failed, Some(reason))? };
                    let parked = &[DeadLetter { parked_at: letter.parked_at, ..failed }];
                    self.commits.writer()?.commit(&mut self.draft, &Commit { parked, ..Commit::default() })?;
                    return Ok(false);
                }
                self.release(letter.position)?;
            }
        }
    }

    /// Why the events of one position are to be parked.
    fn verdict(&mut self) -> Result<Option<String>, Failure> {
        match self.unreadable() {
            Some(reason) => Ok(Some(reason)),
            // Read in a newer shape it is none of those that are wanted.
            None if self.batch.is_empty() => Ok(None),
            None => self.apply_alone(),
        }
    }

    fn release(&mut self, position: Position) -> Result<(), Failure> {
        self.commits.writer()?.commit(&mut self.draft, &Commit { released: &[position], ..Commit::default() })?;
        self.dead_letters -= 1;
        Ok(())
    }
}

//! One projection's way through the log: [`Runner::step`] reads a batch, has the plugin apply it
//! and commits. It knows no thread and no clock, so a test or a simulation can drive it.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use super::builds::lines;
use super::failure::{Disposition, Failure};
use super::options::RunnerOptions;
use super::stages::Stopwatch;
use super::{ApplyFailure, Pending, Projection, ProjectionCode, upcasting};
use crate::code::CallFailure;
use crate::crash_point;
use crate::event::{EventBatch, Position};
use crate::event_store::{EventStore, ReadAhead, ReadLimit};
use crate::read_model::{
    DeadLetter, DeadLetterKind, Identity, ReadModelDraft, ReadModelError, ReadModelWriter, WriteBehind,
};

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Events were applied; there may be more.
    Applied,
    /// Nothing is left to read, and all that was read is committed.
    CaughtUp,
    /// A batch failed because of its events; the next steps find out which.
    Isolating,
    /// This event failed alone and is parked.
    Parked(Position),
}

/// What a caller must know of a failed step: [`Disposition::Isolate`] never comes out.
#[derive(Debug)]
pub struct Halt {
    pub disposition: Disposition,
    pub reason: String,
}

/// One projection, its instance and its read model. After any failure it stands at the checkpoint.
pub struct Runner {
    pub(super) options: RunnerOptions,
    pub(super) code: Arc<dyn ProjectionCode>,
    pub(super) log: ReadAhead,
    // The draft's reader closes before the writer, which then tidies the file up.
    pub(super) draft: ReadModelDraft,
    pub(super) commits: WriteBehind,
    pub(super) batch: Arc<EventBatch>,
    pub(super) parked_streams: HashSet<String>,
    pub(super) instance: Option<Box<dyn Projection>>,
    /// Dead letters that go into the next commit.
    pub(super) parking: Vec<DeadLetter>,
    pub(super) dead_letters: u64,
    pub(super) checkpoint: Position,
    /// Everything up to here is applied; from `checkpoint` on it is not committed.
    pub(super) read_to: Position,
    pub(super) visible_to: Position,
    pub(super) uncommitted_events: usize,
    /// While a bad event is looked for: the most events to apply before a commit.
    pub(super) isolating: Option<usize>,
    run_noted: bool,
    unfinished_runs: u32,
    pub(super) stopwatch: Stopwatch,
}

impl Runner {
    /// Opens the read model at `path`, which is made when there is none.
    ///
    /// # Errors
    /// When the log or the read model cannot be opened, or the read model is of something else or
    /// stands behind the end of the log.
    pub fn open(
        events: &EventStore,
        code: Arc<dyn ProjectionCode>,
        path: &Path,
        options: RunnerOptions,
    ) -> Result<Self, Failure> {
        let description = code.description();
        let identity = Identity {
            projection: description.name.as_str().to_owned(),
            read_model_version: description.read_model_version,
            log_id: events.log_id(),
            upcasters: lines(&code.upcasters().identity()),
        };
        let model = ReadModelWriter::open(path, &identity, Arc::new(description.schema.clone()))?;
        let checkpoint = model.checkpoint()?;
        if checkpoint.position > events.head() {
            let reason = format!(
                "it stands at position {} and the log ends at {}: the log was restored from an older copy",
                checkpoint.position,
                events.head()
            );
            return Err(ReadModelError::Incompatible { path: path.to_owned(), reason }.into());
        }
        let (failed, waiting) = model.dead_letter_count()?;
        Ok(Self {
            parked_streams: model.parked_streams()?.into_iter().map(|(stream, _)| stream).collect(),
            isolating: (checkpoint.unfinished_runs >= options.unfinished_runs).then_some(1),
            unfinished_runs: checkpoint.unfinished_runs,
            log: events.read_ahead(upcasting::view(&*code))?,
            draft: model.draft(options.draft_bytes)?,
            batch: Arc::default(),
            instance: None,
            parking: Vec::new(),
            dead_letters: failed + waiting,
            checkpoint: checkpoint.position,
            read_to: checkpoint.position,
            visible_to: checkpoint.position,
            uncommitted_events: 0,
            run_noted: false,
            stopwatch: Stopwatch::default(),
            commits: WriteBehind::new(model),
            code,
            options,
        })
    }

    /// Up to where events are applied, committed or not.
    pub fn read_to(&self) -> Position {
        self.read_to
    }

    /// Up to where queries see every event: the checkpoint, or further where nothing was wanted.
    pub fn visible_to(&self) -> Position {
        self.visible_to
    }

    /// How many events are parked, failed and waiting.
    ///
    /// # Errors
    /// When the read model cannot be read.
    pub fn dead_letter_count(&mut self) -> Result<(u64, u64), Failure> {
        Ok(self.model()?.dead_letter_count()?)
    }

    /// Changes the code between two steps. The caller has seen to it that name, read-model version
    /// and schema are the same.
    ///
    /// # Errors
    /// When what the old code holds back cannot be committed; then it is applied again by the new.
    pub fn replace_code(&mut self, code: Arc<dyn ProjectionCode>) -> Result<(), Halt> {
        let committed = self.settle();
        self.reset();
        let looks = self.log.look_through(upcasting::view(&*code));
        self.code = code;
        self.isolating = None;
        committed.and(looks.map_err(Failure::from)).or_else(|failure| self.recover(failure).map(|_| ()))
    }

    /// One turn: reads a batch, applies it, and commits when enough has come together or when
    /// nothing more is there.
    ///
    /// # Errors
    /// When it cannot go on by itself; see [`Halt`].
    pub fn step(&mut self) -> Result<Step, Halt> {
        self.try_step().or_else(|failure| self.recover(failure))
    }

    fn try_step(&mut self) -> Result<Step, Failure> {
        self.note_commit(false)?;
        let events = self.isolating.unwrap_or(self.options.batch_events);
        let limit = ReadLimit { events, bytes: self.options.batch_bytes };
        let code = Arc::clone(&self.code);
        let scanned = self.log.read_after(self.read_to, &code.description().interests, limit, &mut self.batch)?;
        let read = self.batch.len();
        if read == 0 && scanned.at_end {
            self.read_to = scanned.to;
            self.note_commit(true)?;
            let unwritten = self.read_to.0 - self.checkpoint.0;
            if self.uncommitted_events > 0 || unwritten >= self.options.checkpoint_events {
                self.commit()?;
            }
            self.model()?.build_indexes()?;
            self.visible_to = self.read_to;
            self.acquit()?;
            return Ok(Step::CaughtUp);
        }
        self.uncommitted_events += read;
        let unreadable = self.divert()?;
        let step = unreadable.map_or(Step::Applied, Step::Parked);
        if self.isolating == Some(1) && !self.batch.is_empty() {
            return self.step_alone(scanned.to);
        }
        let pending = if self.batch.is_empty() { Pending::default() } else { self.apply()? };
        self.read_to = scanned.to;
        // At the end of the log, whoever waits for these rows gets them.
        if scanned.at_end || self.isolating.is_some() || unreadable.is_some() {
            self.commit()?;
            self.widen();
        } else if self.is_full(pending) {
            self.commit_behind()?;
        }
        Ok(step)
    }

    /// Applies the events of the one position in the batch, whose verdict is final.
    fn step_alone(&mut self, scanned_to: Position) -> Result<Step, Failure> {
        let verdict = self.apply_alone()?;
        self.read_to = scanned_to;
        let failed = verdict.map(|reason| self.dead_letter(0, DeadLetterKind::Failed, Some(reason))).transpose()?;
        let step = failed.as_ref().map_or(Step::Applied, |letter| Step::Parked(letter.position));
        failed.map_or(Ok(()), |letter| self.park(letter))?;
        self.commit()?;
        self.widen();
        Ok(step)
    }

    /// Applies the batch, of one position, on a fresh instance. The answer is why its event is to
    /// be parked, or none when its rows are in the draft.
    ///
    /// The wall clock gives no verdict: an interrupted event runs again under deterministic fuel.
    pub(super) fn apply_alone(&mut self) -> Result<Option<String>, Failure> {
        if self.unfinished_runs >= 2 * self.options.unfinished_runs {
            let runs = std::mem::take(&mut self.unfinished_runs);
            return Ok(Some(format!("the daemon ended {runs} times while the plugin applied this event")));
        }
        self.instance = None;
        let failure = match self.apply().and_then(|_| self.flush()) {
            Err(Failure::Apply(ApplyFailure::Call(CallFailure::Interrupted(_)))) => {
                self.draft.clear();
                self.instance = Some(self.code.instantiate_metered().map_err(Failure::Start)?);
                let metered = self.apply().and_then(|_| self.flush());
                self.instance = None;
                metered.err()
            }
            answer => answer.err(),
        };
        match failure {
            None => Ok(None),
            Some(failure) if failure.disposition() == Disposition::Isolate => {
                self.instance = None;
                self.draft.clear();
                Ok(Some(failure.to_string()))
            }
            Some(failure) => Err(failure),
        }
    }

    fn apply(&mut self) -> Result<Pending, Failure> {
        if !self.run_noted {
            let digest = self.code.digest().0.clone();
            self.model()?.start_run(&digest)?;
            self.run_noted = true;
        }
        let instance = match &mut self.instance {
            Some(instance) => instance,
            empty => empty.insert(self.code.instantiate().map_err(Failure::Start)?),
        };
        self.stopwatch.count(self.batch.len());
        let apply = || instance.apply(&self.batch, &mut self.draft);
        let applied = self.stopwatch.time(|times| &mut times.plugin, apply);
        self.draft.end_reads();
        crash_point::reached("batch-applied");
        Ok(applied?)
    }

    /// Goes back to the checkpoint after a failure and decides how to go on.
    fn recover(&mut self, failure: Failure) -> Result<Step, Halt> {
        let tried = self.uncommitted_events;
        // The commit under way may have failed, too, and worse.
        let failure = match self.note_commit(true) {
            Err(worse) if worse.disposition() == Disposition::Rebuild => worse,
            _ => failure,
        };
        self.reset();
        if failure.disposition() != Disposition::Rebuild
            && let Err(error) = self.model().and_then(|model| Ok(model.finish_run()?))
        {
            return Err(Halt { disposition: error.disposition(), reason: error.to_string() });
        }
        match failure.disposition() {
            Disposition::Isolate => {
                tracing::debug!(projection = %self.code.description().name, position = %self.checkpoint, tried, %failure, "isolating");
                let next = self.isolating.unwrap_or(8 * self.options.batch_events).min(tried) / 8;
                self.isolating = Some(next.max(1));
                Ok(Step::Isolating)
            }
            disposition => Err(Halt { disposition, reason: failure.to_string() }),
        }
    }

    /// Forgets what is not committed. The instance goes too: its cache is ahead of the file.
    pub(super) fn reset(&mut self) {
        // A commit under way counts if it succeeds; if not, its events are applied again.
        let _ = self.note_commit(true);
        self.instance = None;
        self.draft.clear();
        self.forget_parking();
        self.read_to = self.checkpoint;
        self.uncommitted_events = 0;
        self.run_noted = false;
    }

    /// With nothing left to apply: if the daemon ended while the plugin ran, it was no event behind the checkpoint.
    fn acquit(&mut self) -> Result<(), Failure> {
        if std::mem::take(&mut self.unfinished_runs) > 0 {
            self.model()?.finish_run()?;
            self.isolating = None;
        }
        Ok(())
    }

    /// After a commit: more events at a time again, until none is suspected any more.
    fn widen(&mut self) {
        self.unfinished_runs = 0;
        self.isolating = self.isolating.map(|events| events * 2).filter(|&events| events <= self.options.batch_events);
    }
}

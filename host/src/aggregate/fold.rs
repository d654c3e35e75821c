//! Folds a stream into the state of its aggregate: from the newest snapshot that fits, then page by page.

use std::sync::atomic::Ordering;
use std::time::Instant;

use serde::de::IgnoredAny;
use uuid::Uuid;

use super::handle::Inner;
use super::snapshot_file::Snapshot;
use super::{Aggregate, AggregateCode, AggregateError, Command, Decision};
use crate::code::{CallFailure, CodeIdentity};
use crate::event::{EventBatch, EventRef, Position, StreamName, StreamVersion, Timestamp};
use crate::event_store::{EventStoreError, ReadLimit};
use crate::upcast::Upcasters;

/// Up to where a stream is folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsOf {
    /// Every event there is.
    Now,
    /// Up to the event of this version.
    Version(StreamVersion),
    /// Up to the first event that happened later. Events behind that one do not count, whatever their time: so the
    /// state is one that the stream really had, and events appended later do not change it.
    Time(Timestamp),
}

/// The state of an aggregate after an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folded {
    /// JSON text.
    pub state: String,
    /// Of the last event that was folded; so are the position and the id.
    pub version: StreamVersion,
    pub position: Position,
    pub event_id: Uuid,
    /// The latest time of all events that were folded.
    pub latest_time: Timestamp,
}

/// One stream, and an instance that folds it.
pub(super) struct Folding<'a> {
    inner: &'a Inner,
    code: &'a dyn AggregateCode,
    stream: &'a StreamName,
    upcasters: Upcasters,
    /// Started when it is first needed.
    instance: Option<Box<dyn Aggregate>>,
}

impl<'a> Folding<'a> {
    pub fn new(inner: &'a Inner, code: &'a dyn AggregateCode, stream: &'a StreamName) -> Self {
        Self { inner, code, stream, upcasters: inner.upcasters.present(), instance: None }
    }

    /// The state as of then; `None` when the stream has no event until then.
    pub fn load(&mut self, as_of: AsOf) -> Result<Option<Folded>, AggregateError> {
        let started = Instant::now();
        let snapshot = self.fitting_snapshot(as_of)?;
        let (base, taken) = snapshot.as_ref().map_or((0, None), |it| (it.folded.version.0, Some(it.taken)));
        let mut folded = snapshot.map(|snapshot| snapshot.folded);
        let done = self.fold_on(&mut folded, as_of);
        let is_unfinished = matches!(done, Err(AggregateError::TooSlow { .. }));
        if let Some(folded) = folded.as_ref().filter(|folded| folded.version.0 > base) {
            let policy = &self.inner.options.snapshots;
            if is_unfinished || as_of == AsOf::Now && policy.is_due(folded.version.0 - base, started.elapsed(), taken) {
                self.inner.snapshots.keep(self.snapshot_of(folded.clone()));
            }
        }
        done.map(|()| folded)
    }

    /// Folds what is behind `folded`, as far as it was there at the first look.
    pub fn fold_on(&mut self, folded: &mut Option<Folded>, as_of: AsOf) -> Result<(), AggregateError> {
        let (started, mut end) = (Instant::now(), None);
        loop {
            let after = folded.as_ref().map_or(StreamVersion(0), |folded| folded.version);
            let (page, newest) = self.page(StreamVersion(after.0 + 1), self.inner.options.page)?;
            let end = match as_of {
                AsOf::Version(asked) if asked > newest => {
                    return Err(AggregateError::BeyondStream { stream: self.stream.clone(), asked, newest });
                }
                AsOf::Version(asked) => asked,
                AsOf::Now | AsOf::Time(_) => *end.get_or_insert(newest),
            };
            let counts = |event: &EventRef<'_>| match as_of {
                AsOf::Time(time) => event.version <= end && event.time <= time,
                AsOf::Now | AsOf::Version(_) => event.version <= end,
            };
            let counted = page.iter().take_while(counts).count();
            if counted == 0 {
                return Ok(());
            }
            let version = StreamVersion(page.versions[counted - 1]);
            let is_last = counted < page.len() || version >= end;
            let page = if counted < page.len() { page.filtered(|event| event.version <= version) } else { page };
            self.fold_page(folded, page)?;
            if is_last {
                return Ok(());
            }
            let limit = self.inner.options.load_time;
            if started.elapsed() > limit {
                return Err(AggregateError::TooSlow { stream: self.stream.clone(), version, limit });
            }
        }
    }

    /// What the plugin decides on the command.
    pub fn decide(&mut self, folded: Option<&Folded>, command: &Command) -> Result<Decision, AggregateError> {
        let state = folded.map(|folded| folded.state.as_str());
        let doing = || format!("handle the command {} on version {}", command.command_type, version_of(folded));
        self.call(doing, |instance| instance.handle(state, command))
    }

    /// A failure of the plugin.
    pub fn failed(&self, doing: String, failure: CallFailure) -> AggregateError {
        let code = CodeIdentity { name: self.code.name().clone(), digest: self.code.digest().clone() };
        AggregateError::Plugin { code: Box::new(code), stream: self.stream.clone(), doing, failure }
    }

    fn fold_page(&mut self, folded: &mut Option<Folded>, page: EventBatch) -> Result<(), AggregateError> {
        let (first, last) = (page.versions[0], page.get(page.len() - 1));
        let (version, position, event_id) = (last.version, last.position, last.id);
        let before = folded.as_ref().map(|folded| folded.latest_time.0);
        let latest_time = Timestamp(page.times.iter().copied().chain(before).max().unwrap_or_default());
        let events = page.len() as u64;
        let upcast = self.upcasters.upcast(page);
        let upcast = upcast.map_err(|failure| AggregateError::Upcast { stream: self.stream.clone(), failure })?;
        let state = folded.as_ref().map(|folded| folded.state.as_str());
        let doing = || format!("fold the versions {first} to {version}");
        let max_bytes = self.inner.options.max_state_bytes;
        let state = self.call(doing, |instance| checked(instance.evolve(state, &upcast)?, max_bytes))?;
        self.inner.folded.fetch_add(events, Ordering::Relaxed);
        *folded = Some(Folded { state, version, position, event_id, latest_time });
        Ok(())
    }

    fn call<T>(
        &mut self,
        doing: impl Fn() -> String,
        call: impl FnOnce(&mut dyn Aggregate) -> Result<T, CallFailure>,
    ) -> Result<T, AggregateError> {
        let instance = match self.instance.take() {
            Some(instance) => Ok(instance),
            None => self.code.instantiate(),
        };
        let answer = instance.and_then(|mut instance| Ok((call(&mut *instance)?, instance)));
        let (answer, instance) = answer.map_err(|failure| self.failed(doing(), failure))?;
        self.instance = Some(instance);
        Ok(answer)
    }

    /// The newest snapshot that this code took of this stream, not later than then.
    fn fitting_snapshot(&self, as_of: AsOf) -> Result<Option<Snapshot>, AggregateError> {
        let one = ReadLimit { events: 1, bytes: usize::MAX };
        while let Some(snapshot) = self.inner.snapshots.newest(self.stream, &self.identity(), as_of) {
            let (page, _) = self.page(snapshot.folded.version, one)?;
            // Another event stands there when the log was restored from a copy.
            if page.iter().next().is_some_and(|event| event.id == snapshot.folded.event_id) {
                return Ok(Some(snapshot));
            }
            if !self.inner.snapshots.discard(&snapshot) {
                break;
            }
        }
        Ok(None)
    }

    fn snapshot_of(&self, folded: Folded) -> Snapshot {
        Snapshot { stream: self.stream.clone(), identity: self.identity(), taken: Timestamp::now(), folded }
    }

    /// Everything besides the events that a state depends on.
    fn identity(&self) -> String {
        let code = format!("{} {}", self.code.digest(), self.code.description().state_schema_version);
        let upcasters = self.upcasters.identity();
        upcasters.iter().fold(code, |identity, upcaster| format!("{identity} {}", upcaster.digest))
    }

    fn page(&self, from: StreamVersion, limit: ReadLimit) -> Result<(EventBatch, StreamVersion), EventStoreError> {
        self.inner.events.read_versions(self.stream, from, limit)
    }
}

pub(super) fn version_of(folded: Option<&Folded>) -> StreamVersion {
    folded.map_or(StreamVersion(0), |folded| folded.version)
}

/// A state that the plugin answered, if it is one.
fn checked(state: String, max_bytes: usize) -> Result<String, CallFailure> {
    if state.len() > max_bytes {
        let bytes = state.len();
        return Err(CallFailure::Rejected(format!("the state has {bytes} bytes; at most {max_bytes} are allowed")));
    }
    match serde_json::from_str::<IgnoredAny>(&state) {
        Ok(_) => Ok(state),
        Err(error) => Err(CallFailure::Rejected(format!("the state that it answered is not JSON: {error}"))),
    }
}

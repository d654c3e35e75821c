//! Appends that ask a conflict resolver when their stream has moved on.

use std::sync::Arc;

use tokio::sync::Semaphore;
use uuid::Uuid;

use super::instances::Instances;
use super::{Conflict, ConflictResolverCode, Resolution};
use crate::code::Registry;
use crate::event::{EventBatch, ExpectedVersion, NewEvent, StreamName, StreamVersion, Timestamp};
use crate::event_store::{
    AppendError, AppendRequest, Appended, ConflictDecision, EventStore, EventStoreError, ReadLimit, Rejection,
};

/// Limits of conflict resolution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolutionOptions {
    /// Events that a resolver is shown; a writer that has not seen more than these is rejected.
    pub max_unseen_events: usize,
    /// Bytes of those events.
    pub max_unseen_bytes: usize,
    /// Bytes of events, proposed and rewritten ones together, that are kept of a decision; more is rejected.
    pub max_stored_bytes: usize,
    /// Times that a resolver is asked about one append while its stream goes on moving.
    pub max_attempts: u32,
    /// Decisions at once; more wait.
    pub max_at_once: usize,
}

impl Default for ResolutionOptions {
    fn default() -> Self {
        Self {
            max_unseen_events: 1000,
            max_unseen_bytes: 4 << 20,
            max_stored_bytes: 1 << 20,
            max_attempts: 8,
            max_at_once: 4,
        }
    }
}

/// Appends to the log, and asks the resolver of the stream's category when a writer had not seen the newest events.
/// A cheap handle.
#[derive(Clone)]
pub struct ConflictResolution {
    events: EventStore,
    resolvers: Registry<dyn ConflictResolverCode>,
    instances: Arc<Instances>,
    options: ResolutionOptions,
    room: Arc<Semaphore>,
}

/// What a writer wants appended behind the version that it has seen.
struct Proposal {
    request: AppendRequest,
    seen: StreamVersion,
}

impl ConflictResolution {
    pub fn new(events: EventStore, resolvers: Registry<dyn ConflictResolverCode>, options: ResolutionOptions) -> Self {
        let room = Arc::new(Semaphore::new(options.max_at_once.max(1)));
        let instances = Arc::new(Instances::new(options.max_at_once));
        Self { events, resolvers, instances, options, room }
    }

    /// As [`EventStore::append_async`], but a conflict with events that the writer had not seen is resolved where a
    /// resolver can.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub async fn append(&self, request: AppendRequest) -> Result<Appended, AppendError> {
        let proposal = self.proposal(&request);
        match (self.events.append_async(request).await, proposal) {
            (Err(conflict), Some(proposal)) if proposal.is_behind(&conflict) => {
                let permit = Arc::clone(&self.room).acquire_owned().await.map_err(|_| AppendError::Closed)?;
                let this = self.clone();
                let resolving = tokio::task::spawn_blocking(move || {
                    let result = this.resolve(&proposal);
                    drop(permit);
                    result
                });
                let panicked =
                    |panic| AppendError::Unknown { reason: format!("resolving the conflict failed: {panic}") };
                resolving.await.map_err(panicked)?
            }
            (result, _) => result.map_err(|error| self.undecided(error)),
        }
    }

    /// As [`Self::append`], for threads that may block. Those who call it limit how many do so at once.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub fn append_blocking(&self, request: AppendRequest) -> Result<Appended, AppendError> {
        let proposal = self.proposal(&request);
        match (self.events.append(request), proposal) {
            (Err(conflict), Some(proposal)) if proposal.is_behind(&conflict) => self.resolve(&proposal),
            (result, _) => result.map_err(|error| self.undecided(error)),
        }
    }

    /// What this resolver would decide today on a conflict of the past. Changes nothing.
    ///
    /// # Errors
    /// When the events of then cannot be read.
    pub fn rehearse(
        &self,
        code: &Arc<dyn ConflictResolverCode>,
        past: &ConflictDecision,
    ) -> Result<Resolution, EventStoreError> {
        let ConflictDecision { stream, expected, actual, proposed, .. } = past;
        let events = (actual.0 - expected.0) as usize;
        let (unseen, _) = self.unseen(stream, *expected, events)?;
        let conflict = Conflict {
            stream: stream.clone(),
            expected: *expected,
            actual: *actual,
            unseen,
            proposed: proposed.clone(),
        };
        Ok(self.decided(code, &conflict, past.id))
    }

    fn resolver(&self, category: &str) -> Option<Arc<dyn ConflictResolverCode>> {
        self.resolvers.find(|code| code.description().categories.iter().any(|decided| decided == category))
    }

    /// `None` when nobody could decide, so that nothing needs to be kept.
    fn proposal(&self, request: &AppendRequest) -> Option<Proposal> {
        let seen = seen(request.expected)?;
        self.resolver(request.stream.category())?;
        Some(Proposal { request: request.clone(), seen })
    }

    /// Says why nobody was asked, where a resolver could have been.
    fn undecided(&self, error: AppendError) -> AppendError {
        match error {
            AppendError::WrongExpectedVersion { stream, expected, actual, rejection: None }
                if seen(expected).is_some_and(|seen| seen < actual) =>
            {
                let reason = format!("there is no conflict resolver for the category {}", stream.category());
                let rejection = Some(Box::new(Rejection { conflict: None, reason }));
                AppendError::WrongExpectedVersion { stream, expected, actual, rejection }
            }
            error => error,
        }
    }

    /// Decides until a decision holds. Blocks.
    fn resolve(&self, proposal: &Proposal) -> Result<Appended, AppendError> {
        let AppendRequest { stream, expected, .. } = &proposal.request;
        let mut attempt = 1;
        loop {
            let Some(code) = self.resolver(stream.category()) else {
                // It went a moment ago: as if there had been none.
                return self.append_blocking(proposal.request.clone());
            };
            let decision = self.decide(&code, proposal, attempt).map_err(|error| AppendError::Failed {
                reason: format!("the events that the writer had not seen cannot be read: {error}"),
            })?;
            let reason = match self.events.resolve(&decision) {
                Ok(Some(appended)) => return Ok(appended),
                Ok(None) => decision.reason().unwrap_or_default().to_owned(),
                Err(AppendError::WrongExpectedVersion { .. }) if attempt < self.options.max_attempts => {
                    attempt += 1;
                    continue;
                }
                Err(AppendError::WrongExpectedVersion { .. }) => {
                    self.reject(&decision, format!("the stream moved on during each of {attempt} decisions"))?
                }
                Err(error @ AppendError::Invalid { .. }) => {
                    self.reject(&decision, format!("what the conflict resolver decided cannot be appended: {error}"))?
                }
                Err(error) => return Err(error),
            };
            let rejection = Rejection { conflict: Some(decision.id), reason: format!("rejected: {reason}") };
            return Err(AppendError::WrongExpectedVersion {
                stream: stream.clone(),
                expected: *expected,
                actual: decision.actual,
                rejection: Some(Box::new(rejection)),
            });
        }
    }

    /// Stores a rejection in the place of a decision that does not hold, and answers its reason.
    fn reject(&self, decision: &ConflictDecision, reason: String) -> Result<String, AppendError> {
        let resolution = Resolution::Reject(reason.clone());
        self.events.resolve(&ConflictDecision { resolution, ..decision.clone() })?;
        Ok(reason)
    }

    fn decide(
        &self,
        code: &Arc<dyn ConflictResolverCode>,
        proposal: &Proposal,
        attempt: u32,
    ) -> Result<ConflictDecision, EventStoreError> {
        let Proposal { request: AppendRequest { stream, events, .. }, seen } = proposal;
        let id = Uuid::now_v7();
        let (unseen, actual) = self.unseen(stream, *seen, self.options.max_unseen_events + 1)?;
        let proposed = if bytes(events) > self.options.max_stored_bytes { Vec::new() } else { events.clone() };
        let conflict = Conflict { stream: stream.clone(), expected: *seen, actual, unseen, proposed };
        let resolution = self.decided(code, &conflict, id);
        Ok(ConflictDecision {
            id,
            stream: conflict.stream,
            expected: conflict.expected,
            actual,
            proposed: conflict.proposed,
            resolution,
            resolver: code.name().to_string(),
            digest: code.digest().to_string(),
            attempt,
            time: Timestamp::now(),
            appended: None,
        })
    }

    /// The events of a stream after a version, as resolvers see them, and the stream's newest version.
    fn unseen(
        &self,
        stream: &StreamName,
        after: StreamVersion,
        events: usize,
    ) -> Result<(EventBatch, StreamVersion), EventStoreError> {
        let limit = ReadLimit { events, bytes: self.options.max_unseen_bytes };
        self.events.read_versions(stream, StreamVersion(after.0 + 1), limit)
    }

    /// What the resolver says, if it can be asked and that can be done; else a rejection.
    fn decided(&self, code: &Arc<dyn ConflictResolverCode>, conflict: &Conflict, id: Uuid) -> Resolution {
        let ResolutionOptions { max_unseen_events, max_stored_bytes, .. } = self.options;
        let missed = conflict.actual.0 - conflict.expected.0;
        if conflict.proposed.is_empty() {
            return Resolution::Reject(format!(
                "the proposed events are too large (max_stored_bytes: {max_stored_bytes})"
            ));
        }
        if conflict.unseen.len() as u64 != missed || missed > max_unseen_events as u64 {
            return Resolution::Reject(format!(
                "{missed} events have come since, which is more than a resolver is shown (max_unseen_events, max_unseen_bytes)"
            ));
        }
        let is_current =
            |held: &dyn ConflictResolverCode| self.resolvers.find(|code| std::ptr::addr_eq(code, held)).is_some();
        match self.instances.with(code, is_current, |instance| instance.resolve(conflict)) {
            Err(failure) => Resolution::Reject(format!("the conflict resolver gave no decision: {failure}")),
            Ok(Resolution::Rewrite(events)) if events.is_empty() => {
                Resolution::Reject("the conflict resolver rewrote the events into none".to_owned())
            }
            Ok(Resolution::Rewrite(events)) if bytes(&events) + bytes(&conflict.proposed) > max_stored_bytes => {
                Resolution::Reject(format!("the rewritten events are too large (max_stored_bytes: {max_stored_bytes})"))
            }
            Ok(Resolution::Rewrite(events)) => Resolution::Rewrite(with_ids(events, id)),
            Ok(resolution) => resolution,
        }
    }
}

impl Proposal {
    /// Whether the conflict is with events that the writer had not seen.
    fn is_behind(&self, conflict: &AppendError) -> bool {
        matches!(conflict, AppendError::WrongExpectedVersion { actual, .. } if self.seen < *actual)
    }
}

/// The version that a writer says it has seen; `None` when it says nothing of one.
fn seen(expected: ExpectedVersion) -> Option<StreamVersion> {
    match expected {
        ExpectedVersion::NoStream => Some(StreamVersion(0)),
        ExpectedVersion::Exact(seen) => Some(seen),
        ExpectedVersion::Any | ExpectedVersion::StreamExists => None,
    }
}

/// The same conflict gives the same ids.
fn with_ids(mut events: Vec<NewEvent>, conflict: Uuid) -> Vec<NewEvent> {
    for (place, event) in events.iter_mut().enumerate().filter(|(_, event)| event.id.is_nil()) {
        event.id = Uuid::new_v5(&conflict, &(place as u64).to_be_bytes());
    }
    events
}

fn bytes(events: &[NewEvent]) -> usize {
    events.iter().map(|event| event.data.len() + event.metadata.len()).sum()
}

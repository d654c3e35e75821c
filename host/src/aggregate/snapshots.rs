//! Keeps snapshots: one thread writes them, off the path of requests; whoever folds looks for them.
//! They are never the truth: without any of them, every answer is the same.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::snapshot_file::{Snapshot, SnapshotFile};
use super::{AsOf, SnapshotOptions};
use crate::event::{StreamName, Timestamp};

impl SnapshotOptions {
    /// Whether a load that folded this many events in this time, on top of a snapshot of then, asks for a new one.
    pub(super) fn is_due(&self, events: u64, load: Duration, taken: Option<Timestamp>) -> bool {
        let age = taken.map(|taken| Timestamp::now().0.saturating_sub(taken.0).max(0) as u128);
        events >= self.every_events
            || load > self.slower_than
            || age.is_some_and(|age| age > self.older_than.as_micros())
    }
}

/// Figures for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotStats {
    pub kept: u64,
    /// Of all states that are kept.
    pub bytes: u64,
    /// Written since the daemon started.
    pub taken: u64,
    /// Not written, because too many waited.
    pub dropped: u64,
    /// Found damaged, or not of this log.
    pub ignored: u64,
}

pub(super) struct Snapshots {
    file: Arc<Mutex<SnapshotFile>>,
    counts: Arc<Counts>,
    /// `None` when closed.
    queue: Mutex<Option<SyncSender<Snapshot>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// Since the daemon started.
#[derive(Default)]
struct Counts {
    taken: AtomicU64,
    dropped: AtomicU64,
}

impl Snapshots {
    /// Opens the file and starts the thread that writes.
    pub fn open(path: &Path, options: SnapshotOptions) -> anyhow::Result<Self> {
        let file = Arc::new(Mutex::new(SnapshotFile::open(path)?));
        let (queue, waiting) = sync_channel(options.max_queued);
        let counts = Arc::<Counts>::default();
        let writer = {
            let (file, counts) = (Arc::clone(&file), Arc::clone(&counts));
            let write = move || waiting.iter().for_each(|snapshot| write(&file, &snapshot, &options, &counts));
            thread::Builder::new().name("snapshots".into()).spawn(write)?
        };
        let (queue, writer) = (Mutex::new(Some(queue)), Mutex::new(Some(writer)));
        Ok(Self { file, counts, queue, writer })
    }

    /// Has the snapshot written soon, if there is room among those that wait.
    pub fn keep(&self, snapshot: Snapshot) {
        if lock(&self.queue).as_ref().is_none_or(|queue| queue.try_send(snapshot).is_err()) {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The snapshot of this identity with the latest version, not later than then. One that cannot be read is none.
    pub fn newest(&self, stream: &StreamName, identity: &str, as_of: AsOf) -> Option<Snapshot> {
        or_warn(lock(&self.file).newest(stream, identity, as_of)).flatten()
    }

    /// Deletes a snapshot that does not fit the log. Whether it is gone.
    pub fn discard(&self, snapshot: &Snapshot) -> bool {
        let mut file = lock(&self.file);
        file.ignored += 1;
        let (stream, version) = (snapshot.stream.as_str(), snapshot.folded.version.0);
        let deleted = file.delete("stream = ?1 AND version = ?2", rusqlite::params![stream, version]);
        or_warn(deleted).is_some()
    }

    pub fn delete_all(&self) -> rusqlite::Result<u64> {
        lock(&self.file).delete("true", [])
    }

    pub fn stats(&self) -> SnapshotStats {
        let file = lock(&self.file);
        SnapshotStats {
            kept: file.count,
            bytes: file.bytes,
            taken: self.counts.taken.load(Ordering::Relaxed),
            dropped: self.counts.dropped.load(Ordering::Relaxed),
            ignored: file.ignored,
        }
    }

    /// Writes what waits, and ends.
    pub fn close(&self) {
        lock(&self.queue).take();
        let writer = lock(&self.writer).take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the thread that writes snapshots panicked");
        }
    }
}

impl Drop for Snapshots {
    fn drop(&mut self) {
        self.close();
    }
}

fn write(file: &Mutex<SnapshotFile>, snapshot: &Snapshot, options: &SnapshotOptions, counts: &Counts) {
    match lock(file).save(snapshot, options) {
        Ok(()) => {
            counts.taken.fetch_add(1, Ordering::Relaxed);
        }
        Err(error) => warn(&error),
    }
}

fn or_warn<T>(result: rusqlite::Result<T>) -> Option<T> {
    result.inspect_err(warn).ok()
}

fn warn(error: &rusqlite::Error) {
    tracing::warn!(%error, "snapshots cannot be kept or read; streams are folded from their start");
}

/// Nothing under these locks can be left half-changed by a panic: the file has transactions.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

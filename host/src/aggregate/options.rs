//! Limits of aggregates and of their snapshots.

use std::time::Duration;

use crate::event_store::ReadLimit;

/// Limits of folding streams and handling commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AggregateOptions {
    /// What is read of a stream, and folded, at once.
    pub page: ReadLimit,
    /// The largest state, in bytes of JSON.
    pub max_state_bytes: usize,
    /// How long a request may fold. What was folded until then is kept as a snapshot.
    pub load_time: Duration,
    /// Requests that fold or decide at once; more wait.
    pub max_at_once: usize,
    /// How often a command is decided while others append to its stream.
    pub command_attempts: u32,
    pub snapshots: SnapshotOptions,
}

/// When snapshots are taken, and how many are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotOptions {
    /// One is taken when a load had to fold so many events,
    pub every_events: u64,
    /// or took longer than this,
    pub slower_than: Duration,
    /// or had to fold any on top of a snapshot older than this.
    pub older_than: Duration,
    /// Of one stream; the newest are kept.
    pub max_per_stream: usize,
    /// Bytes of all states together; the oldest go first.
    pub max_bytes: u64,
    /// Snapshots that wait to be written; more are not taken.
    pub max_queued: usize,
}

impl Default for AggregateOptions {
    fn default() -> Self {
        Self {
            page: ReadLimit { events: 1000, bytes: 4 << 20 },
            max_state_bytes: 1 << 20,
            load_time: Duration::from_secs(30),
            max_at_once: 16,
            command_attempts: 64,
            snapshots: SnapshotOptions::default(),
        }
    }
}

impl Default for SnapshotOptions {
    fn default() -> Self {
        Self {
            every_events: 100,
            slower_than: Duration::from_millis(50),
            older_than: Duration::from_secs(24 * 60 * 60),
            max_per_stream: 2,
            max_bytes: 256 << 20,
            max_queued: 64,
        }
    }
}

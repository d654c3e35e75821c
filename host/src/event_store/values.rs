//! What goes into the event store and comes out of it: plain values.

use super::append::Outcome;
use crate::event::{ExpectedVersion, NewEvent, Position, RecordedEvent, StreamName, StreamVersion};

/// Limits of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventStoreOptions {
    /// Events after which a commit takes no more appends that wait.
    pub max_events_per_commit: usize,
    /// Bytes of data and metadata after which a commit takes no more appends that wait.
    pub max_bytes_per_commit: usize,
    /// Appends and imports that wait for the writer; beyond it callers wait to be queued.
    pub max_queued_appends: usize,
    /// Events of one append or import; a larger one is refused.
    pub max_events_per_append: usize,
    /// Bytes of data and metadata of one event; a larger one is refused.
    pub max_event_bytes: usize,
    /// How deep lists and objects may lie in each other in data and metadata.
    pub max_json_depth: usize,
    /// Bytes of events after which a page of a stream ends.
    pub max_page_bytes: usize,
    /// MiB of the file that the writer keeps in memory.
    pub cache_mib: u32,
    /// Readers kept open for reads of streams.
    pub max_idle_readers: usize,
    /// MiB of events kept for projections that are behind others; with 0 each reads for itself.
    pub shared_scan_mib: usize,
    /// Whether old events are packed into segments. Segments are read all the same when not.
    pub seal: bool,
    /// The newest events, so many, are never sealed.
    pub seal_after_events: u64,
    /// Events of one segment.
    pub segment_events: usize,
    /// Bytes of events after which a segment ends.
    pub segment_bytes: usize,
    /// Part of a segment's bytes, in percent, that events of its rarest kinds may have to be kept as rows too.
    pub rare_percent: u32,
    /// Part of the time, in percent, that sealing works at most.
    pub sealing_percent: u32,
}

impl Default for EventStoreOptions {
    fn default() -> Self {
        Self {
            max_events_per_commit: 1000,
            max_bytes_per_commit: 16 << 20,
            max_queued_appends: 1024,
            max_events_per_append: 1000,
            max_event_bytes: 1 << 20,
            max_json_depth: 100,
            max_page_bytes: 16 << 20,
            cache_mib: 64,
            max_idle_readers: 4,
            shared_scan_mib: 64,
            seal: true,
            seal_after_events: 100_000,
            segment_events: 500,
            segment_bytes: 4 << 20,
            rare_percent: 5,
            sealing_percent: 25,
        }
    }
}

/// Events for one stream, appended all or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendRequest {
    pub stream: StreamName,
    pub expected: ExpectedVersion,
    /// At least one, each with an id of its own.
    pub events: Vec<NewEvent>,
}

/// The result of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    pub first_position: Position,
    pub last_position: Position,
    /// The version of the last of the events.
    pub last_version: StreamVersion,
    /// False when the same events were there already: this is the result of their first append.
    pub appended: bool,
}

/// The result of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Imported {
    pub appended: u64,
    /// Events whose id was in the log already.
    pub skipped: u64,
    /// The highest position of any of the events, skipped ones included.
    pub last_position: Position,
}

/// A part of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamPage {
    /// In the order of the read.
    pub events: Vec<RecordedEvent>,
    /// The version of the newest event in the stream; 0 when the stream has none.
    pub version: StreamVersion,
}

/// Which way a stream is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// From the oldest event to the newest.
    #[default]
    Forwards,
    Backwards,
}

/// How much a read returns. A single event is returned whatever its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReadLimit {
    /// At least 1; 0 counts as 1.
    pub events: usize,
    /// Bytes of the batch's columns.
    pub bytes: usize,
}

/// Counts since the log was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventStoreStats {
    pub events_appended: u64,
    pub commits: u64,
    /// Appends that expected another version of their stream.
    pub conflicts: u64,
    /// Batches of the whole log that projections have read.
    pub batches_read: u64,
    /// Batches that a projection took over from another one instead of reading them.
    pub batches_shared: u64,
    /// Events that are packed in segments, of all that there are.
    pub sealed_events: u64,
}

impl From<Outcome> for Appended {
    fn from(outcome: Outcome) -> Self {
        let Outcome { first_position, last_position, last_version, appended, .. } = outcome;
        Self { first_position, last_position, last_version, appended: appended > 0 }
    }
}

impl From<Outcome> for Imported {
    fn from(outcome: Outcome) -> Self {
        let Outcome { last_position, appended, skipped, .. } = outcome;
        Self { appended, skipped, last_position }
    }
}

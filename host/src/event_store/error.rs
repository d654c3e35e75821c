//! What can go wrong with the log, in words for the people who read it.

use std::path::PathBuf;

use rusqlite::ErrorCode;
use uuid::Uuid;

use crate::event::{ExpectedVersion, Invalid, Position, StreamName, StreamVersion};
use crate::sqlite::MigrateError;

/// Why the log could not be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum EventStoreError {
    /// The file is not a log that this Lantern can use. It was not changed.
    #[error("the event log {} cannot be used: {source}", .path.display())]
    Format { path: PathBuf, source: MigrateError },
    /// The disk, the file system or SQLite refused; see [`EventStoreError::is_transient`].
    #[error("could not {doing} the event log {}: {source}", .path.display())]
    Sqlite { doing: &'static str, path: PathBuf, source: rusqlite::Error },
    /// The stored bytes are not those that were written. Everything before `position` is sound.
    #[error(
        "the event log {} is damaged at position {position}: {what}; stop Lantern, check the disk and restore the file from a backup",
        .path.display()
    )]
    Corrupt { path: PathBuf, position: Position, what: String },
    /// The events are sound, and something else in the file is not.
    #[error(
        "the event log {} is damaged, although its events are sound: {what}; stop Lantern, check the disk and restore the file from a backup",
        .path.display()
    )]
    DamagedFile { path: PathBuf, what: String },
    /// The reader knows more events than there are.
    #[error(
        "asked for events after position {after}, but the event log ends at {head}: \
         it was restored from an older copy, or the position belongs to another log"
    )]
    AfterHead { after: Position, head: Position },
    /// The log can be read but not written until Lantern is started again.
    #[error("the event log {} takes no more events: {reason}; check the disk and start Lantern again", .path.display())]
    Stopped { path: PathBuf, reason: String },
    /// The disk refused a copy of the log, or there is another file of its name.
    #[error("the copy {} of the event log could not be written: {source}", .copy.display())]
    Copy { copy: PathBuf, source: std::io::Error },
    /// The machine gives no thread, or one has ended that should not have.
    #[error("the event log is without a thread that it needs: {0}")]
    Thread(#[from] std::io::Error),
}

impl EventStoreError {
    /// Whether the same call may succeed in a while, with nothing done about it.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Sqlite { source, .. } => source.sqlite_error_code().is_some_and(|code| {
                !matches!(code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::PermissionDenied)
            }),
            _ => false,
        }
    }
}

/// Why a conflict was not resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The stored decision; `None` when there is none, because nothing decides on this category.
    pub conflict: Option<Uuid>,
    /// In words for people.
    pub reason: String,
}

/// Why an append or an import was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The conflict: someone else appended first. Nothing was appended.
    #[error(
        "stream {stream} is at version {actual}, but the append expected {expected}{}",
        .rejection.as_ref().map(|rejection| format!("; {}", rejection.reason)).unwrap_or_default()
    )]
    WrongExpectedVersion {
        stream: StreamName,
        expected: ExpectedVersion,
        actual: StreamVersion,
        /// Why the conflict was not resolved; `None` when nobody was asked.
        rejection: Option<Box<Rejection>>,
    },
    /// Some of the ids are in the log, but not as this append. Nothing was appended.
    #[error("event {id} cannot be appended to stream {stream}: {found}; give new events new ids")]
    IdReused { stream: StreamName, id: Uuid, found: String },
    /// A part of the request breaks a rule. Nothing was appended.
    #[error("{}{reason}", .event.map(|index| format!("event {} of the request: ", index + 1)).unwrap_or_default())]
    Invalid {
        /// Which event of the request, counted from 0; `None`: the request as a whole.
        event: Option<usize>,
        reason: Invalid,
    },
    /// The disk is full. Nothing was appended; the same request succeeds when there is room again.
    #[error("nothing was appended, because the disk is full: {reason}")]
    DiskFull { reason: String },
    /// The file is locked, or something like it. Nothing was appended; the same request may succeed later.
    #[error("nothing was appended: {reason}")]
    Failed { reason: String },
    /// Whether the events were appended is not known.
    #[error(
        "it is not known whether the events were appended: {reason}; send them again with the same ids when Lantern has been restarted"
    )]
    Unknown { reason: String },
    /// After an earlier failure the log takes no more events. Nothing was appended.
    #[error(
        "nothing was appended, because the event log takes no more events: {reason}; check the disk and start Lantern again"
    )]
    Stopped { reason: String },
    /// Lantern is shutting down. Nothing was appended.
    #[error("nothing was appended, because the event log is closed")]
    Closed,
}

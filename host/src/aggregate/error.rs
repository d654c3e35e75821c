//! What can go wrong with an aggregate, in words for the people who read it.

use std::time::Duration;

use uuid::Uuid;

use crate::code::{CallFailure, CodeIdentity};
use crate::event::{StreamName, StreamVersion};
use crate::event_store::{AppendError, EventStoreError};
use crate::upcast::UpcastFailure;

/// Why there is no state, or why a command was not handled. Unless it says otherwise, nothing was appended.
#[derive(Debug, thiserror::Error)]
pub enum AggregateError {
    #[error("no aggregate plugin folds the category {category}")]
    UnknownCategory {
        category: String,
        /// The categories that have one.
        known: Vec<String>,
    },
    #[error("stream {stream} is at version {newest}; version {asked} is not there yet")]
    BeyondStream { stream: StreamName, asked: StreamVersion, newest: StreamVersion },
    /// The plugin trapped, took too long, or answered an error or nonsense.
    #[error("the aggregate {} ({}) could not {doing} of stream {stream}: {failure}", .code.name, .code.digest.short())]
    Plugin {
        code: Box<CodeIdentity>,
        stream: StreamName,
        /// For example `fold the versions 1 to 9`.
        doing: String,
        failure: CallFailure,
    },
    #[error("stream {stream} cannot be folded: {failure}")]
    Upcast { stream: StreamName, failure: UpcastFailure },
    #[error("folding stream {stream} took longer than {} s; it came to version {version}", .limit.as_secs_f64())]
    TooSlow { stream: StreamName, version: StreamVersion, limit: Duration },
    /// The plugin refused the command.
    #[error("{reason}")]
    Rejected {
        reason: String,
        stream: StreamName,
        /// The version of the stream that the command was decided on.
        version: StreamVersion,
    },
    /// Another command came with the same id.
    #[error("the command id {id} belongs to another command, which stream {stream} has handled")]
    CommandIdReused { stream: StreamName, id: Uuid },
    #[error("others appended to stream {stream} each of the {attempts} times that the command was decided")]
    Overtaken { stream: StreamName, attempts: u32 },
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(transparent)]
    Log(#[from] EventStoreError),
    #[error("the snapshots could not be deleted: {0}")]
    Snapshots(#[from] rusqlite::Error),
    #[error("the work was not finished: {0}")]
    Unfinished(String),
}

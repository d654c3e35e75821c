//! Derived state: rows, checkpoint and dead letters of every projection, one SQLite file for each
//! build of a read model. Everything here may be deleted and is rebuilt by replay.

use std::path::PathBuf;
use std::sync::Arc;

mod cell;
mod changes;
mod compare;
mod dead_letter;
mod draft;
mod file;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod key;
mod query;
mod schema;
mod statements;
#[cfg(test)]
mod tests;
mod value;
mod write_behind;
mod writer;

pub use compare::Difference;
pub use dead_letter::{DeadLetter, DeadLetterKind};
pub use draft::{ReadBudget, ReadModelDraft};
pub use file::{Identity, delete_files, read_model_of};
pub use query::*;
pub use schema::{Column, ColumnType, Index, RESERVED_COLUMNS, Schema, SchemaError, Table, is_identifier};
pub use value::{Key, Row, Value, bytes_of};
pub use write_behind::WriteBehind;
#[cfg(test)]
pub use write_behind::slow;
pub use writer::{Checkpoint, Commit, ReadModelWriter};

/// What queries need of a read model: the file of its active build and the declared tables.
#[derive(Clone, Debug)]
pub struct ReadModelFile {
    pub path: PathBuf,
    pub schema: Arc<Schema>,
}

/// Why a read model could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ReadModelError {
    /// The plugin named a table, an index or a value that does not fit its own declaration; the
    /// same events fail again, on every machine.
    #[error("{0}")]
    Mismatch(String),
    /// The reads of one call of a plugin were stopped; see [`ReadBudget`].
    #[error("its reads took too long")]
    TooLong,
    /// The file belongs to another projection, another log or another schema.
    #[error("the read model {path} cannot be used: {reason}")]
    Incompatible { path: PathBuf, reason: String },
    /// The file is of a newer Lantern or of something else. It was not changed.
    #[error(
        "the read model {path} cannot be used: {reason}; move it away, then `lantern projection resume` fills a new one"
    )]
    Foreign { path: PathBuf, reason: String },
    /// SQLite finds that the file is not what it was.
    #[error("the read model {path} is damaged: {reason}")]
    Damaged { path: PathBuf, reason: String },
    #[error("the read model {path} cannot be read or written: {source}")]
    Sqlite { path: PathBuf, source: rusqlite::Error },
    #[error("the thread that writes the read model: {0}")]
    Thread(String),
}

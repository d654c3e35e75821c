//! The one writer of a read model: rows, checkpoint and dead letters in one transaction.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, Statement};
use uuid::Uuid;

use super::cell::Cell;
use super::changes::{Change, Changes};
use super::statements::{self, Statements};
use super::{DeadLetter, Identity, ReadModelDraft, ReadModelError, ReadModelFile, Schema, Table, dead_letter, file};
use crate::crash_point;
use crate::event::Position;
use crate::sqlite::{self, WriteBack};

/// The open file of one build of a read model. One thread owns it.
#[derive(Debug)]
pub struct ReadModelWriter {
    pub(super) path: PathBuf,
    pub(super) schema: Arc<Schema>,
    pub(super) statements: Arc<[Statements]>,
    connection: Connection,
    write_back: WriteBack,
    indexed: bool,
}

/// What one commit moves besides the rows.
#[derive(Debug, Default)]
pub struct Commit<'a> {
    /// Where the checkpoint goes; none leaves it.
    pub checkpoint: Option<Position>,
    /// Dead letters to write; one of a position that is parked replaces it.
    pub parked: &'a [DeadLetter],
    /// Positions whose dead letters go.
    pub released: &'a [Position],
}

/// Where a read model stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub position: Position,
    /// How often the plugin was started behind the position by a daemon that then ended.
    pub unfinished_runs: u32,
}

impl ReadModelWriter {
    /// Opens the read model, which is made when there is none.
    ///
    /// # Errors
    /// When the file is not a read model of this identity and schema, or cannot be opened.
    pub fn open(path: &Path, identity: &Identity, schema: Arc<Schema>) -> Result<Self, ReadModelError> {
        let file::Opened { connection, write_back, indexed } = file::open(path, identity, &schema)?;
        let statements = schema.tables().iter().map(Statements::of).collect();
        Ok(Self { path: path.to_owned(), schema, statements, connection, write_back, indexed })
    }

    /// A draft over this read model's committed rows, whose writes may take about `max_bytes` of memory.
    ///
    /// # Errors
    /// When the file cannot be opened a second time, for reading.
    pub fn draft(&self, max_bytes: usize) -> Result<ReadModelDraft, ReadModelError> {
        let reader = sqlite::open_read_only(&self.path).map_err(|source| self.failed(source))?;
        Ok(ReadModelDraft::new(self, reader, max_bytes))
    }

    /// Where the read model stands.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn checkpoint(&self) -> Result<Checkpoint, ReadModelError> {
        self.connection
            .query_row("SELECT position, unfinished_runs FROM lantern_checkpoint", [], |row| {
                Ok(Checkpoint { position: Position(row.get(0)?), unfinished_runs: row.get(1)? })
            })
            .map_err(|source| self.failed(source))
    }

    /// Notes that the plugin is about to run behind the checkpoint, before it runs. A commit, or
    /// [`Self::finish_run`], takes the note back; a daemon that dies leaves it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn start_run(&self, component_digest: &str) -> Result<(), ReadModelError> {
        self.update(
            "UPDATE lantern_checkpoint SET unfinished_runs = unfinished_runs + 1, component_digest = ?",
            [component_digest],
        )
    }

    /// Takes back what [`Self::start_run`] noted: the plugin failed, and the daemon lived.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish_run(&self) -> Result<(), ReadModelError> {
        self.update("UPDATE lantern_checkpoint SET unfinished_runs = 0", [])
    }

    /// Commits the draft with the checkpoint and the dead letters, all or nothing, and clears it.
    ///
    /// # Errors
    /// When the file cannot be written. The draft is then as it was.
    pub fn commit(&mut self, draft: &mut ReadModelDraft, commit: &Commit<'_>) -> Result<(), ReadModelError> {
        self.write(draft.changes(), commit)?;
        draft.clear();
        Ok(())
    }

    /// Commits changes with the checkpoint and the dead letters, all or nothing.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn write(&mut self, changes: &Changes, commit: &Commit<'_>) -> Result<(), ReadModelError> {
        self.try_write(changes, commit).map_err(|source| self.failed(source))
    }

    fn try_write(&mut self, changes: &Changes, commit: &Commit<'_>) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        for (table, statements) in self.statements.iter().enumerate() {
            if changes.keys(table) == 0 {
                continue;
            }
            let mut put = transaction.prepare_cached(&statements.put)?;
            let mut delete = transaction.prepare_cached(&statements.delete)?;
            for change in changes.in_order(&self.schema, table) {
                match change {
                    Change::Put(row) => execute(&mut put, row.iter())?,
                    Change::Delete(key) => execute(&mut delete, key.iter())?,
                }
            }
        }
        for letter in commit.parked {
            dead_letter::put(&transaction, letter)?;
        }
        for position in commit.released {
            dead_letter::delete(&transaction, *position)?;
        }
        if let Some(position) = commit.checkpoint {
            transaction
                .prepare_cached("UPDATE lantern_checkpoint SET position = ?, unfinished_runs = 0")?
                .execute([position.0])?;
        }
        crash_point::reached("rows-written");
        transaction.commit()?;
        crash_point::reached("rows-committed");
        self.write_back()
    }

    /// An error says that the file cannot be trusted. Any other failure is tried again after the next commit: this
    /// one is done.
    fn write_back(&self) -> rusqlite::Result<()> {
        let written_back = self.write_back.after_commit(&self.connection);
        written_back.or_else(|error| if sqlite::is_failed_sync(&error) { Err(error) } else { Ok(()) })
    }

    /// Makes the declared indexes, unless they are there: a file is filled without them, since an
    /// index that grows row by row costs more than one made at the end.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn build_indexes(&mut self) -> Result<(), ReadModelError> {
        if !self.indexed {
            self.try_build_indexes().map_err(|source| self.failed(source))?;
            self.indexed = true;
        }
        Ok(())
    }

    fn try_build_indexes(&mut self) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        for table in self.schema.tables() {
            for index in &table.indexes {
                transaction.execute_batch(&statements::create_index(table, index))?;
            }
        }
        crash_point::reached("indexes-written");
        transaction.commit()?;
        self.write_back()
    }

    /// The first parked events of one stream, in order.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn dead_letters_of(&self, stream: &str, limit: usize) -> Result<Vec<DeadLetter>, ReadModelError> {
        dead_letter::of_stream(&self.connection, stream, limit).map_err(|source| self.failed(source))
    }

    /// The dead letter of one event.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn dead_letter(&self, position: Position) -> Result<Option<DeadLetter>, ReadModelError> {
        dead_letter::get(&self.connection, position).map_err(|source| self.failed(source))
    }

    /// Every stream that has parked events, with the digest of the code that failed on its first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn parked_streams(&self) -> Result<Vec<(String, String)>, ReadModelError> {
        dead_letter::streams(&self.connection).map_err(|source| self.failed(source))
    }

    /// How many events failed, and how many wait behind them.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn dead_letter_count(&self) -> Result<(u64, u64), ReadModelError> {
        dead_letter::count(&self.connection).map_err(|source| self.failed(source))
    }

    fn update(&self, sql: &str, parameters: impl rusqlite::Params) -> Result<(), ReadModelError> {
        self.connection.execute(sql, parameters).map_err(|source| self.failed(source))?;
        Ok(())
    }

    fn failed(&self, source: rusqlite::Error) -> ReadModelError {
        ReadModelError::Sqlite { path: self.path.clone(), source }
    }
}

impl ReadModelFile {
    /// A finished read model whose plugin may be gone.
    ///
    /// # Errors
    /// When the file is missing or is no read model.
    pub fn open(path: &Path) -> Result<Self, ReadModelError> {
        Ok(Self { path: path.to_owned(), schema: file::schema_of(path)? })
    }

    /// Where the read model stands, and how many events failed and wait.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn standing(&self) -> Result<(Position, (u64, u64)), ReadModelError> {
        self.read(|connection| {
            let position = connection.query_row("SELECT position FROM lantern_checkpoint", [], |row| row.get(0))?;
            Ok((Position(position), dead_letter::count(connection)?))
        })
    }

    /// Whether its rows can be those of this log, as far as the log goes.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn belongs_to(&self, log_id: Uuid, head: Position) -> Result<bool, ReadModelError> {
        self.read(|connection| {
            let position: u64 =
                connection.query_row("SELECT position FROM lantern_checkpoint", [], |row| row.get(0))?;
            Ok(file::read_identity(connection)?.log_id == log_id && position <= head.0)
        })
    }

    /// Parked events after a position, in the order of the log.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn dead_letters(&self, after: Position, limit: usize) -> Result<Vec<DeadLetter>, ReadModelError> {
        self.read(|connection| dead_letter::list(connection, after, limit))
    }

    /// The rows of all tables.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn row_count(&self) -> Result<u64, ReadModelError> {
        self.read(|connection| {
            let count = |table: &Table| {
                connection
                    .query_row(&format!("SELECT count(*) FROM \"{}\"", table.name), [], |row| row.get::<_, u64>(0))
            };
            self.schema.tables().iter().map(count).sum()
        })
    }

    fn read<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, ReadModelError> {
        sqlite::open_read_only(&self.path)
            .and_then(|connection| read(&connection))
            .map_err(|source| ReadModelError::Sqlite { path: self.path.clone(), source })
    }
}

fn execute<'a>(statement: &mut Statement<'_>, cells: impl Iterator<Item = Cell<'a>>) -> rusqlite::Result<()> {
    for (place, cell) in cells.enumerate() {
        statement.raw_bind_parameter(place + 1, cell)?;
    }
    statement.raw_execute().map(drop)
}

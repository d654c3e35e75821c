//! The file of one build of a read model: made, opened and checked against what it should be.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::statements;
use super::{Column, Index, ReadModelError, Schema, Table, dead_letter};
use crate::crash_point;
use crate::sqlite::{self, MigrateError, Synchronous, WriteBack};

/// "LtRM": what `file` says of a read model.
const APPLICATION_ID: i32 = 0x4c74_524d;
/// Raised when the tables that start with `lantern_` change.
const FORMAT: i32 = 1;

/// Pages in the write-ahead log after which a commit writes them back.
const WAL_PAGES: i32 = if cfg!(test) { 8 } else { 1000 };

/// What a read model's file says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub projection: String,
    pub read_model_version: u32,
    /// The log it was folded from.
    pub log_id: Uuid,
}

const CREATE: &str = "
    CREATE TABLE lantern_identity (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        projection TEXT NOT NULL,
        read_model_version INTEGER NOT NULL,
        log_id TEXT NOT NULL
    );
    -- Every event up to position is in the rows or parked. unfinished_runs counts how often the
    -- plugin was started behind it by a daemon that then ended; component_digest is its code.
    CREATE TABLE lantern_checkpoint (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        position INTEGER NOT NULL,
        unfinished_runs INTEGER NOT NULL,
        component_digest TEXT NOT NULL
    );
    INSERT INTO lantern_checkpoint VALUES (1, 0, 0, '');
";

/// A read model that may be written.
pub(super) struct Opened {
    pub connection: Connection,
    pub write_back: WriteBack,
    /// Every declared index is there.
    pub indexed: bool,
}

/// Opens the file, which is made, without indexes, when there is none.
///
/// # Errors
/// [`ReadModelError::Incompatible`] when the file is not a read model of this identity and schema,
/// [`ReadModelError::Foreign`] when it is none that this Lantern can read.
pub(super) fn open(path: &Path, identity: &Identity, schema: &Schema) -> Result<Opened, ReadModelError> {
    let failed = |source| ReadModelError::Sqlite { path: path.to_owned(), source };
    let mut connection = sqlite::open(path, APPLICATION_ID, Synchronous::Normal).map_err(|error| match error {
        MigrateError::Sqlite(source) => failed(source),
        other => foreign(path, other.to_string()),
    })?;
    let mut indexed = schema.tables().iter().all(|table| table.indexes.is_empty());
    match format(&connection).map_err(failed)? {
        None => create(&mut connection, identity, schema).map_err(failed)?,
        Some(Ok(())) => {
            let found = read_identity(&connection).map_err(failed)?;
            if found != *identity {
                return Err(incompatible(path, format!("it is {found:?}, not {identity:?}")));
            }
            let found = read_schema(&connection).map_err(failed)?;
            if !is_part_of(&found, schema) {
                return Err(incompatible(path, "its tables differ from those the plugin declares".into()));
            }
            indexed = found == *schema;
        }
        Some(Err(reason)) => return Err(foreign(path, reason)),
    }
    let write_back = WriteBack::new(&mut connection, WAL_PAGES).map_err(failed)?;
    Ok(Opened { connection, write_back, indexed })
}

/// Whether the tables are the same, but for indexes that are not made yet.
fn is_part_of(found: &Schema, declared: &Schema) -> bool {
    let same = |(found, declared): (&Table, &Table)| {
        let same_but_indexes = Table { indexes: found.indexes.clone(), ..declared.clone() };
        *found == same_but_indexes && found.indexes.iter().all(|index| declared.indexes.contains(index))
    };
    found.tables().len() == declared.tables().len() && found.tables().iter().zip(declared.tables()).all(same)
}

/// The tables of a finished file, for queries when its plugin is gone.
///
/// # Errors
/// When the file is not a read model.
pub(super) fn schema_of(path: &Path) -> Result<Arc<Schema>, ReadModelError> {
    let failed = |source| ReadModelError::Sqlite { path: path.to_owned(), source };
    let connection = sqlite::open_read_only(path).map_err(failed)?;
    match format(&connection).map_err(failed)? {
        Some(Ok(())) => read_schema(&connection).map(Arc::new).map_err(failed),
        Some(Err(reason)) => Err(foreign(path, reason)),
        None => Err(incompatible(path, "it is empty".into())),
    }
}

/// What SQLite adds to the name of a file for its companions; the journal is there only while the file is made.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// The read model that a file is or belongs to: its companions may be all that a crash has left of it.
pub fn read_model_of(path: &Path) -> PathBuf {
    let name = path.to_string_lossy();
    let companion = COMPANIONS.iter().find_map(|suffix| name.strip_suffix(suffix));
    companion.map_or_else(|| path.to_owned(), PathBuf::from)
}

/// Deletes a read model: its file and its companions. A missing file is no error.
///
/// # Errors
/// When a file exists and cannot be deleted.
pub fn delete_files(path: &Path) -> std::io::Result<()> {
    for suffix in [""].iter().chain(&COMPANIONS) {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match std::fs::remove_file(PathBuf::from(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => crash_point::reached("read-model-half-deleted"),
        }
    }
    Ok(())
}

/// `None` for an empty file; an error text for a file that is something else.
fn format(connection: &Connection) -> rusqlite::Result<Option<Result<(), String>>> {
    let application_id: i32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let format: i32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(match (application_id, format, tables) {
        (0, 0, 0) => None,
        (APPLICATION_ID, FORMAT, _) => Some(Ok(())),
        (APPLICATION_ID, other, _) => {
            Some(Err(format!("it has file format {other} and this Lantern knows format {FORMAT}")))
        }
        _ => Some(Err("it is a database of something else".into())),
    })
}

fn create(connection: &mut Connection, identity: &Identity, schema: &Schema) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(CREATE)?;
    transaction.execute_batch(dead_letter::CREATE)?;
    transaction.execute(
        "INSERT INTO lantern_identity VALUES (1, ?, ?, ?)",
        params![identity.projection, identity.read_model_version, identity.log_id.to_string()],
    )?;
    for table in schema.tables() {
        transaction.execute_batch(&statements::create(table))?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()
}

pub(super) fn read_identity(connection: &Connection) -> rusqlite::Result<Identity> {
    let identity = connection
        .query_row("SELECT projection, read_model_version, log_id FROM lantern_identity", [], |row| {
            let log_id: String = row.get(2)?;
            Ok(Identity {
                projection: row.get(0)?,
                read_model_version: row.get(1)?,
                log_id: Uuid::parse_str(&log_id).unwrap_or_default(),
            })
        })
        .optional()?;
    Ok(identity.unwrap_or(Identity { projection: String::new(), read_model_version: 0, log_id: Uuid::nil() }))
}

fn read_schema(connection: &Connection) -> rusqlite::Result<Schema> {
    let names: Vec<String> = connection
        .prepare(
            "SELECT name FROM sqlite_schema
             WHERE type = 'table' AND name NOT LIKE 'lantern\\_%' ESCAPE '\\' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
             ORDER BY rowid",
        )?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let tables = names.into_iter().map(|name| read_table(connection, name)).collect::<rusqlite::Result<_>>()?;
    Schema::new(tables).map_err(|error| invalid_schema(&error.to_string()))
}

fn read_table(connection: &Connection, name: String) -> rusqlite::Result<Table> {
    let mut keys = Vec::new();
    let columns = connection
        .prepare("SELECT name, type, \"notnull\", pk FROM pragma_table_info(?) ORDER BY cid")?
        .query_map([&name], |row| {
            let name: String = row.get(0)?;
            let declared: String = row.get(1)?;
            let not_null: bool = row.get(2)?;
            let key: usize = row.get(3)?;
            if key > 0 {
                keys.push((key, name.clone()));
            }
            let column_type = statements::column_type(&declared).ok_or_else(|| invalid_schema(&declared))?;
            Ok(Column { name, column_type, nullable: !not_null })
        })?
        .collect::<rusqlite::Result<_>>()?;
    keys.sort();
    let index_names: Vec<String> = connection
        .prepare(
            "SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL ORDER BY rowid",
        )?
        .query_map([&name], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut indexes = Vec::new();
    for index in index_names {
        let columns = connection
            .prepare("SELECT name FROM pragma_index_info(?) ORDER BY seqno")?
            .query_map([&index], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        indexes.push(Index { name: index, columns });
    }
    Ok(Table { name, columns, primary_key: keys.into_iter().map(|(_, name)| name).collect(), indexes })
}

fn invalid_schema(what: &str) -> rusqlite::Error {
    rusqlite::Error::InvalidColumnName(format!("a table that Lantern did not make: {what}"))
}

fn foreign(path: &Path, reason: String) -> ReadModelError {
    ReadModelError::Foreign { path: path.to_owned(), reason }
}

fn incompatible(path: &Path, reason: String) -> ReadModelError {
    ReadModelError::Incompatible { path: path.to_owned(), reason }
}

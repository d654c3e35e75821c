//! Opens SQLite files the way Lantern needs them and brings their tables up to date.
//! Knows no table: each owner of a file brings its own.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::hooks::Wal;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior, ffi};

#[cfg(test)]
pub mod faulty;

/// How long a statement waits for a lock that another connection holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The write-ahead log is cut back to this size when it starts over.
const WAL_BYTES: i64 = 64 << 20;

/// Statements that stay prepared; replays use a handful for each table or event kind.
const PREPARED_STATEMENTS: usize = 128;

/// When a commit is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synchronous {
    /// Before the commit returns. For facts.
    Full,
    /// Some time later; what is lost at a power failure is the newest commits, never part of one.
    /// For what can be derived again.
    Normal,
}

/// Why a file was not brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error(
        "it is a database of something else (application id {found:#x}, expected {expected:#x}); name another file, or move this one away"
    )]
    Foreign { found: i32, expected: i32 },
    #[error(
        "it has file format {found} and this Lantern knows formats up to {known}; run the Lantern that wrote it or a newer one"
    )]
    Newer { found: usize, known: usize },
    #[error(
        "it has file format {found} and this Lantern reads format {known}; start `lantern serve` once, which brings it up to date"
    )]
    Older { found: usize, known: usize },
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// Opens a file for reading and writing, in WAL mode. The file is made when there is none; its
/// folder must exist.
///
/// # Errors
/// When the file belongs to something else, which is then not changed; when SQLite cannot open it, or
/// the file system cannot hold a write-ahead log.
pub fn open(path: &Path, application_id: i32, synchronous: Synchronous) -> Result<Connection, MigrateError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    harden(&connection)?;
    format_of(&connection, application_id, usize::MAX)?;
    let is_new = connection.query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0))? == 0;
    if is_new && synchronous == Synchronous::Full {
        // Whoever frees pages may hand them back.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    // To its end: the disk may fail after the row that tells the mode.
    let mut switch = connection.prepare("PRAGMA journal_mode = WAL")?;
    let modes: Vec<String> = switch.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    drop(switch);
    if !modes.iter().all(|mode| mode.eq_ignore_ascii_case("wal")) {
        let reason = "its file system cannot hold a write-ahead log; use a local disk".to_owned();
        return Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CANTOPEN), Some(reason)).into());
    }
    let level = match synchronous {
        Synchronous::Full => "FULL",
        Synchronous::Normal => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", level)?;
    // A page that makes no sense is noticed before something is written because of it.
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES)?;
    Ok(connection)
}

/// Writes the pages of the write-ahead log back into the file when there are many. Other than SQLite, which would do
/// it by itself, this tells when the disk fails meanwhile.
#[derive(Debug)]
pub struct WriteBack {
    pages: Arc<AtomicI32>,
    after: i32,
}

impl WriteBack {
    /// From now on SQLite does not do it on this connection.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn new(connection: &mut Connection, after: i32) -> rusqlite::Result<Self> {
        let pages = Arc::new(AtomicI32::new(0));
        let noted = Arc::clone(&pages);
        connection.wal_hook(Some(move |_: &mut Wal, pages| {
            noted.store(pages, Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self { pages, after })
    }

    /// To be called after a commit.
    ///
    /// # Errors
    /// When the disk failed. The commit is done all the same, and what could not be written back is still safe in the
    /// write-ahead log, unless a sync failed: see [`is_failed_sync`].
    pub fn after_commit(&self, connection: &Connection) -> rusqlite::Result<()> {
        if self.pages.load(Ordering::Relaxed) < self.after {
            return Ok(());
        }
        write_back(connection, "PASSIVE")
    }
}

/// Writes back what no reader holds on to. A full disk is no error: the write-ahead log stays as it is.
///
/// # Errors
/// When the disk failed.
pub fn write_back(connection: &Connection, mode: &str) -> rusqlite::Result<()> {
    let written_back = connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()));
    written_back.or_else(|error| if is_full(&error) { Ok(()) } else { Err(error) })
}

/// From now on nothing is written to the file when it is closed. For one whose disk has failed: after a failed
/// sync the next one succeeds without having written what the first one did not.
pub fn abandon(connection: &Connection) {
    // If this fails, the file is closed as usual.
    let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
}

/// Whether the disk has no room.
pub fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
        || error.sqlite_error().is_some_and(|error| error.extended_code == ffi::SQLITE_IOERR_SHMSIZE)
}

/// Whether written bytes may not have come to the disk, although they can be read.
pub fn is_failed_sync(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| error.extended_code == ffi::SQLITE_IOERR_FSYNC)
}

/// Opens an existing file for reading only. Other connections may write to it meanwhile.
///
/// The file is not mapped into memory: measured, page faults cost more than copies, and a disk error
/// would end the process instead of the read.
///
/// # Errors
/// When there is no such file or SQLite cannot open it.
pub fn open_read_only(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    harden(&connection)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// Copies an existing file to a new one, as of one moment. Other connections may write to it meanwhile.
///
/// # Errors
/// When the file cannot be read or the copy not be written.
pub fn copy(from: &Path, to: &Path) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(from, flags)?;
    harden(&connection)?;
    let to = to.to_str().ok_or_else(|| rusqlite::Error::InvalidPath(to.to_owned()))?;
    connection.execute("VACUUM INTO ?", [to]).map(drop)
}

/// Runs the migrations that the file has not seen yet, all in one transaction. Migration `i` leads
/// to file format `i + 1`; a released migration never changes.
///
/// # Errors
/// When the file belongs to something else or to a newer Lantern; then it stays as it is.
pub fn migrate(connection: &mut Connection, application_id: i32, migrations: &[&str]) -> Result<(), MigrateError> {
    if format_of(connection, application_id, migrations.len())? == migrations.len() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let format = format_of(&transaction, application_id, migrations.len())?;
    for migration in &migrations[format..] {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", application_id)?;
    transaction.pragma_update(None, "user_version", migrations.len() as i64)?;
    transaction.commit()?;
    Ok(())
}

/// Whether the file has the newest format, which is number `known`.
///
/// # Errors
/// When it has not; it stays as it is.
pub fn check_format(connection: &Connection, application_id: i32, known: usize) -> Result<(), MigrateError> {
    match format_of(connection, application_id, known)? {
        found if found < known => Err(MigrateError::Older { found, known }),
        _ => Ok(()),
    }
}

fn format_of(connection: &Connection, application_id: i32, known: usize) -> Result<usize, MigrateError> {
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i32>(0));
    let found_id = number("PRAGMA application_id")?;
    let found = usize::try_from(number("PRAGMA user_version")?).unwrap_or(usize::MAX);
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    if found_id == 0 && found == 0 && tables == 0 {
        return Ok(0);
    }
    if found_id != application_id {
        return Err(MigrateError::Foreign { found: found_id, expected: application_id });
    }
    if found > known {
        return Err(MigrateError::Newer { found, known });
    }
    Ok(found)
}

/// A file may have been made by someone else: nothing in its schema may do more than hold tables.
fn harden(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(PREPARED_STATEMENTS);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // A plan that depended on bound values would be made again for every new value.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    connection.pragma_update(None, "temp_store", "MEMORY")
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::*;

    const FIRST: &str = "CREATE TABLE a (x INTEGER) STRICT; INSERT INTO a VALUES (1);";
    const SECOND: &str = "ALTER TABLE a ADD COLUMN y INTEGER;";

    fn fresh() -> (tempfile::TempDir, Connection) {
        let folder = tempfile::tempdir().unwrap();
        let connection = open(&folder.path().join("a.db"), 7, Synchronous::Full).unwrap();
        (folder, connection)
    }

    #[test]
    fn a_commit_of_facts_is_on_disk_before_it_returns() {
        let (_folder, connection) = fresh();
        let pragma = |sql| connection.query_row(sql, [], |row| row.get::<_, rusqlite::types::Value>(0)).unwrap();
        assert_eq!(pragma("PRAGMA synchronous"), 2.into());
        assert_eq!(pragma("PRAGMA journal_mode"), "wal".to_owned().into());
    }

    #[test]
    fn each_migration_runs_once() {
        let (_folder, mut connection) = fresh();
        migrate(&mut connection, 7, &[FIRST]).unwrap();
        migrate(&mut connection, 7, &[FIRST]).unwrap();
        migrate(&mut connection, 7, &[FIRST, SECOND]).unwrap();
        let rows: (i64, Option<i64>) =
            connection.query_row("SELECT x, y FROM a", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        assert_eq!(rows, (1, None));
    }

    #[test]
    fn a_failed_migration_leaves_the_file_as_it_was() {
        let (_folder, mut connection) = fresh();
        assert!(migrate(&mut connection, 7, &[FIRST, "nonsense"]).is_err());
        assert_eq!(format_of(&connection, 7, 2).unwrap(), 0);
        migrate(&mut connection, 7, &[FIRST, SECOND]).unwrap();
    }

    #[test]
    fn a_newer_or_foreign_file_is_refused() {
        let (_folder, mut connection) = fresh();
        migrate(&mut connection, 7, &[FIRST, SECOND]).unwrap();
        let newer = migrate(&mut connection, 7, &[FIRST]);
        assert!(matches!(newer, Err(MigrateError::Newer { found: 2, known: 1 })), "{newer:?}");
        let foreign = migrate(&mut connection, 8, &[FIRST, SECOND]);
        assert!(matches!(foreign, Err(MigrateError::Foreign { found: 7, expected: 8 })), "{foreign:?}");
    }

    #[test]
    fn a_read_only_connection_sees_commits_and_cannot_write() {
        let (folder, mut connection) = fresh();
        let reader = open_read_only(&folder.path().join("a.db")).unwrap();
        migrate(&mut connection, 7, &[FIRST]).unwrap();
        assert_eq!(reader.query_row("SELECT x FROM a", [], |row| row.get::<_, i64>(0)).unwrap(), 1);
        assert!(reader.execute("DELETE FROM a", []).is_err());
    }
}

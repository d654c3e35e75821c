//! Opens the file of the log for its writer and makes sure that its end is where it was left.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::EventStoreError;
use super::append::Tail;
use super::checksum::chain_start;
use super::sealed::chain_after;
use crate::event::Position;
use crate::sqlite::{self, MigrateError, Synchronous, WriteBack};

/// "LnEv", in the header of the file.
const APPLICATION_ID: i32 = 0x4c6e_4576;

const MIGRATIONS: &[&str] = &[
    include_str!("schema.sql"),
    include_str!("sealing.sql"),
    include_str!("checksums.sql"),
    include_str!("conflicts.sql"),
    include_str!("rare_events.sql"),
    include_str!("conflict_checksums.sql"),
];

/// Pages in the write-ahead log after which a commit writes them back. Pages that change often are
/// then written back less often.
const WAL_PAGES: i32 = if cfg!(test) { 8 } else { 8192 };

pub(super) struct Opened {
    pub connection: Connection,
    pub write_back: WriteBack,
    pub log_id: Uuid,
    pub tail: Tail,
    /// The position of the newest sealed event.
    pub sealed: Position,
}

/// Opens the log, which is made when there is none.
pub(super) fn open(path: &Path, cache_mib: u32) -> Result<Opened, EventStoreError> {
    let failed = |source| EventStoreError::Sqlite { doing: "open", path: path.to_owned(), source };
    let refused = |source| not_usable(path, source);
    let mut connection = sqlite::open(path, APPLICATION_ID, Synchronous::Full).map_err(refused)?;
    sqlite::migrate(&mut connection, APPLICATION_ID, MIGRATIONS).map_err(refused)?;
    let write_back = WriteBack::new(&mut connection, WAL_PAGES).map_err(failed)?;
    // After a sync that failed, the write-ahead log may be in the system's memory only: what follows it would be lost
    // with it.
    sqlite::write_back(&connection, "TRUNCATE").map_err(failed)?;
    connection.pragma_update(None, "cache_size", -1024 * i64::from(cache_mib)).map_err(failed)?;
    let (log_id, tail, sealed) = read_log(&connection).map_err(failed)?;
    let newest = newest_event(&connection, sealed).map_err(failed)?;
    if newest.unwrap_or(Tail { position: Position(0), chain: chain_start(log_id) }) != tail {
        let found = newest.map_or(Position(0), |newest| newest.position);
        let what = format!("it is the newest event that was written, and the log ends at {found} with another one");
        return Err(EventStoreError::Corrupt { path: path.to_owned(), position: tail.position, what });
    }
    Ok(Opened { connection, write_back, log_id, tail, sealed })
}

/// What [`Opened`] says of a log that is there, which is not changed.
pub(super) fn open_read_only(path: &Path) -> Result<(Uuid, Tail, Position), EventStoreError> {
    let failed = |source| EventStoreError::Sqlite { doing: "open", path: path.to_owned(), source };
    let connection = sqlite::open_read_only(path).map_err(failed)?;
    sqlite::check_format(&connection, APPLICATION_ID, MIGRATIONS.len()).map_err(|source| not_usable(path, source))?;
    log_row(&connection).map_err(failed)
}

fn not_usable(path: &Path, source: MigrateError) -> EventStoreError {
    let path = path.to_owned();
    match source {
        MigrateError::Sqlite(source) => EventStoreError::Sqlite { doing: "open", path, source },
        source => EventStoreError::Format { path, source },
    }
}

/// The row of the table `log`, which is made when there is none.
fn read_log(connection: &Connection) -> rusqlite::Result<(Uuid, Tail, Position)> {
    let log_id = Uuid::now_v7();
    connection.execute(
        "INSERT INTO log (only, id, position, chain) VALUES (1, ?, 0, ?) ON CONFLICT DO NOTHING",
        params![log_id.as_bytes(), chain_start(log_id) as i64],
    )?;
    log_row(connection)
}

fn log_row(connection: &Connection) -> rusqlite::Result<(Uuid, Tail, Position)> {
    connection.query_row("SELECT position, chain, id, sealed FROM log", [], |row| {
        Ok((
            Uuid::from_bytes(row.get(2)?),
            Tail { position: Position(row.get::<_, i64>(0)? as u64), chain: row.get::<_, i64>(1)? as u64 },
            Position(row.get::<_, i64>(3)? as u64),
        ))
    })
}

/// The newest event that has a row, or else the newest sealed one.
fn newest_event(connection: &Connection, sealed: Position) -> rusqlite::Result<Option<Tail>> {
    let newest = "SELECT position, chain FROM events ORDER BY position DESC LIMIT 1";
    let row = connection
        .query_row(newest, [], |row| {
            Ok(Tail { position: Position(row.get::<_, i64>(0)? as u64), chain: row.get::<_, i64>(1)? as u64 })
        })
        .optional()?;
    let in_segment = || chain_after(connection, sealed.0).map(|chain| Some(Tail { position: sealed, chain: chain? }));
    if row.is_none() && sealed.0 > 0 { in_segment() } else { Ok(row) }
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::super::fixture::{Fixture, request};
    use super::super::{AppendError, EventStore, EventStoreOptions};
    use super::*;

    #[test]
    fn a_file_of_a_newer_lantern_or_of_something_else_is_refused() {
        for (change, expected) in [("user_version = 99", "file format 99"), ("application_id = 7", "something else")] {
            let fixture = Fixture::new();
            let path = fixture.path();
            fixture.store.clone().close();
            Connection::open(&path).unwrap().execute_batch(&format!("PRAGMA {change}")).unwrap();
            let message = open(&path, 1).err().expect(expected).to_string();
            assert!(message.contains(expected) && message.contains("events.db"), "{message}");
        }
    }

    /// Files as earlier versions of Lantern left them, with all their migrations.
    #[test]
    fn a_log_of_an_older_format_is_brought_up_to_date_in_one_go_and_keeps_its_events() {
        for format in 1..MIGRATIONS.len() {
            let (recent, folder) = (Fixture::in_segments_of(4), tempfile::tempdir().unwrap());
            recent.store.append(request("order-1", 1..=10)).unwrap();
            assert_eq!(if format > 1 { recent.seal() } else { 0 }, if format > 1 { 8 } else { 0 });
            let path = folder.path().join("events.db");
            let connection = Connection::open(&path).unwrap();
            for migration in &MIGRATIONS[..format] {
                connection.execute_batch(migration).unwrap();
            }
            connection.execute("ATTACH ? AS recent", [recent.path().to_string_lossy()]).unwrap();
            let tables = ["log", "streams", "kinds", "events", "segments", "segment_kinds", "segment_index"];
            for table in &tables[..if format > 1 { 7 } else { 4 }] {
                let columns = format!("SELECT group_concat(name) FROM pragma_table_info('{table}', 'main')");
                let columns: String = connection.query_row(&columns, [], |row| row.get(0)).unwrap();
                let copy = format!("INSERT INTO main.{table} ({columns}) SELECT {columns} FROM recent.{table}");
                connection.execute(&copy, []).unwrap();
            }
            let (id, version) = (APPLICATION_ID, format);
            connection
                .execute_batch(&format!("PRAGMA application_id = {id}; PRAGMA user_version = {version}"))
                .unwrap();
            drop(connection);
            assert!(open_read_only(&path).unwrap_err().to_string().contains(&format!("file format {format}")));
            let store = EventStore::open(&path, EventStoreOptions::default()).unwrap();
            assert_eq!(store.verify(|_| true).unwrap(), Some(Position(10)), "format {format}");
            assert_eq!(store.append(request("order-1", 1..=10)).unwrap().last_position, Position(10), "ids are known");
            assert_eq!(store.append(request("order-1", [11])).unwrap().last_version.0, 11);
        }
    }

    #[test]
    fn a_log_that_is_opened_for_reading_takes_no_events_and_is_not_brought_up_to_date() {
        let fixture = Fixture::new();
        fixture.store.append(request("order-1", [1, 2])).unwrap();
        let reading = EventStore::open_read_only(&fixture.path(), EventStoreOptions::default()).unwrap();
        assert_eq!((reading.head(), reading.log_id()), (Position(2), fixture.store.log_id()));
        assert_eq!(reading.append(request("order-1", [3])), Err(AppendError::Closed));
        let empty = fixture.path().with_file_name("empty.db");
        std::fs::write(&empty, "").unwrap();
        let error = open_read_only(&empty).expect_err("refused").to_string();
        assert!(error.contains("file format 0") && error.contains("`lantern serve` once"), "{error}");
        assert_eq!(std::fs::read(&empty).unwrap(), b"");
    }

    #[test]
    fn events_missing_at_the_end_are_noticed_when_the_log_is_opened() {
        let fixture = Fixture::new();
        fixture.store.append(request("order-1", [1, 2, 3])).unwrap();
        fixture.store.clone().close();
        let connection = Connection::open(fixture.path()).unwrap();
        connection.execute("DELETE FROM events WHERE position = 3", []).unwrap();
        let error = open(&fixture.path(), 1).err().expect("refused");
        assert!(matches!(error, EventStoreError::Corrupt { position: Position(3), .. }), "{error}");
    }
}

//! The file of snapshots. It is derived: whatever is wrong with it, it is deleted and made anew.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::{AsOf, Folded, SnapshotOptions};
use crate::event::{Position, StreamName, StreamVersion, Timestamp};
use crate::sqlite::{self, MigrateError, Synchronous};

/// "LtSn".
const APPLICATION_ID: i32 = 0x4c74_536e;

const MIGRATIONS: &[&str] = &["
    CREATE TABLE snapshots (
        -- Counts up: the oldest goes first.
        number INTEGER PRIMARY KEY,
        stream TEXT NOT NULL,
        identity TEXT NOT NULL,
        version INTEGER NOT NULL,
        position INTEGER NOT NULL,
        event_id BLOB NOT NULL,
        latest_time INTEGER NOT NULL,
        taken INTEGER NOT NULL,
        state BLOB NOT NULL,
        checksum BLOB NOT NULL,
        UNIQUE (stream, identity, version)
    ) STRICT;
"];

/// A state that was folded before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub stream: StreamName,
    /// The code that folded it, and all else that it depends on besides the events.
    pub identity: String,
    pub taken: Timestamp,
    pub folded: Folded,
}

pub(super) struct SnapshotFile {
    connection: Connection,
    pub count: u64,
    /// Of all states.
    pub bytes: u64,
    /// Snapshots that were damaged, or of another log.
    pub ignored: u64,
}

impl SnapshotFile {
    /// Opens the file, or makes an empty one in the place of what cannot be used.
    ///
    /// # Errors
    /// When none can be made.
    pub fn open(path: &Path) -> Result<Self, MigrateError> {
        Self::open_as_it_is(path).or_else(|error| {
            tracing::warn!(file = %path.display(), %error, "the snapshots cannot be used; they are made anew");
            for ending in ["", "-wal", "-shm"] {
                // What cannot be deleted is noticed at once, when it is opened again.
                let _ = std::fs::remove_file(format!("{}{ending}", path.display()));
            }
            Self::open_as_it_is(path)
        })
    }

    fn open_as_it_is(path: &Path) -> Result<Self, MigrateError> {
        let mut connection = sqlite::open(path, APPLICATION_ID, Synchronous::Normal)?;
        sqlite::migrate(&mut connection, APPLICATION_ID, MIGRATIONS)?;
        let sql = "SELECT count(*), coalesce(sum(length(state)), 0) FROM snapshots";
        let (count, bytes) = connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(Self { connection, count, bytes, ignored: 0 })
    }

    /// Adds the snapshot, and deletes as many old ones as the limits ask for.
    pub fn save(&mut self, snapshot: &Snapshot, options: &SnapshotOptions) -> rusqlite::Result<()> {
        let Snapshot { stream, identity, taken, folded } = snapshot;
        let (stream, version) = (stream.as_str(), folded.version.0);
        self.delete("stream = ?1 AND identity = ?2 AND version = ?3", params![stream, identity, version])?;
        self.connection
            .prepare_cached(
                "INSERT INTO snapshots
                    (stream, identity, version, position, event_id, latest_time, taken, state, checksum)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                stream,
                identity,
                version,
                folded.position.0,
                folded.event_id.as_bytes(),
                folded.latest_time.0,
                taken.0,
                folded.state.as_bytes(),
                checksum(snapshot).as_bytes(),
            ])?;
        self.count += 1;
        self.bytes += folded.state.len() as u64;
        let newest = "SELECT number FROM snapshots WHERE stream = ?1 ORDER BY number DESC LIMIT ?2";
        let too_many = format!("stream = ?1 AND number NOT IN ({newest})");
        self.delete(&too_many, params![stream, options.max_per_stream])?;
        while self.bytes > options.max_bytes {
            self.delete("number = (SELECT min(number) FROM snapshots)", [])?;
        }
        Ok(())
    }

    /// The snapshot of the latest version, not later than then. Damaged ones on the way to it are deleted.
    pub fn newest(&mut self, stream: &StreamName, identity: &str, as_of: AsOf) -> rusqlite::Result<Option<Snapshot>> {
        let (max_version, max_time) = match as_of {
            AsOf::Now => (i64::MAX, i64::MAX),
            AsOf::Version(version) => (i64::try_from(version.0).unwrap_or(i64::MAX), i64::MAX),
            AsOf::Time(time) => (i64::MAX, time.0),
        };
        loop {
            let found = self
                .connection
                .prepare_cached(
                    "SELECT version, position, event_id, latest_time, taken, state, checksum, number FROM snapshots
                        WHERE stream = ? AND identity = ? AND version <= ? AND latest_time <= ?
                        ORDER BY version DESC LIMIT 1",
                )?
                .query_row(params![stream.as_str(), identity, max_version, max_time], |row| {
                    let snapshot = read(row, (stream, identity))?;
                    let is_sound = row.get::<_, [u8; 16]>(6)? == *checksum(&snapshot).as_bytes();
                    Ok((is_sound.then_some(snapshot), row.get::<_, i64>(7)?))
                })
                .optional()?;
            let Some((None, number)) = found else { return Ok(found.and_then(|(snapshot, _)| snapshot)) };
            self.ignored += self.delete("number = ?1", [number])?;
        }
    }

    /// Deletes what the condition selects, and answers how many there were.
    pub fn delete(&mut self, condition: &str, parameters: impl rusqlite::Params) -> rusqlite::Result<u64> {
        let sql = format!("DELETE FROM snapshots WHERE {condition} RETURNING length(state)");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let deleted = statement.query_map(parameters, |row| row.get::<_, u64>(0))?;
        let deleted = deleted.collect::<rusqlite::Result<Vec<_>>>()?;
        self.count = self.count.saturating_sub(deleted.len() as u64);
        self.bytes = self.bytes.saturating_sub(deleted.iter().sum());
        Ok(deleted.len() as u64)
    }
}

fn read(row: &Row<'_>, (stream, identity): (&StreamName, &str)) -> rusqlite::Result<Snapshot> {
    let folded = Folded {
        version: StreamVersion(row.get(0)?),
        position: Position(row.get(1)?),
        event_id: Uuid::from_bytes(row.get(2)?),
        latest_time: Timestamp(row.get(3)?),
        state: String::from_utf8_lossy(row.get_ref(5)?.as_blob()?).into_owned(),
    };
    let taken = Timestamp(row.get(4)?);
    Ok(Snapshot { stream: stream.clone(), identity: identity.to_owned(), taken, folded })
}

/// Of all that an answer is made from.
fn checksum(snapshot: &Snapshot) -> Uuid {
    let Snapshot { stream, identity, taken: _, folded } = snapshot;
    let Folded { state, version, position, event_id, latest_time } = folded;
    let numbers = format!("{stream}\n{identity}\n{version}\n{position}\n{}\n", latest_time.0);
    Uuid::new_v5(event_id, &[numbers.as_bytes(), state.as_bytes()].concat())
}

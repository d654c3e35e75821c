//! Events that a projection could not apply, and the events of their streams that wait behind them.
//! They live in the read model's file, so they commit with its rows.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::event::{Position, StreamVersion, Timestamp};

/// Why an event is parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadLetterKind {
    /// The projection could not apply it.
    Failed,
    /// It stands behind a failed event of its stream.
    Waiting,
}

/// A parked event. The event itself stays in the log, at `position`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    pub position: Position,
    pub stream: String,
    pub version: StreamVersion,
    pub event_type: String,
    pub kind: DeadLetterKind,
    /// Why it failed; none while it waits.
    pub reason: Option<String>,
    /// How often the projection tried to apply it.
    pub attempts: u32,
    /// The code that failed on it, or that was active when it came to wait.
    pub component_digest: String,
    pub parked_at: Timestamp,
}

pub(super) const CREATE: &str = "
    CREATE TABLE lantern_dead_letters (
        position INTEGER PRIMARY KEY,
        stream TEXT NOT NULL,
        version INTEGER NOT NULL,
        event_type TEXT NOT NULL,
        failed INTEGER NOT NULL,
        reason TEXT,
        attempts INTEGER NOT NULL,
        component_digest TEXT NOT NULL,
        parked_at INTEGER NOT NULL
    );
    CREATE INDEX lantern_dead_letters_by_stream ON lantern_dead_letters (stream, position);
";

const COLUMNS: &str = "position, stream, version, event_type, failed, reason, attempts, component_digest, parked_at";

pub(super) fn put(connection: &Connection, letter: &DeadLetter) -> rusqlite::Result<()> {
    connection
        .prepare_cached(&format!(
            "INSERT OR REPLACE INTO lantern_dead_letters ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        ))?
        .execute(params![
            letter.position.0,
            letter.stream,
            letter.version.0,
            letter.event_type,
            letter.kind == DeadLetterKind::Failed,
            letter.reason,
            letter.attempts,
            letter.component_digest,
            letter.parked_at.0,
        ])?;
    Ok(())
}

pub(super) fn delete(connection: &Connection, position: Position) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM lantern_dead_letters WHERE position = ?", [position.0])?;
    Ok(())
}

/// Parked events after a position, in the order of the log.
pub(super) fn list(connection: &Connection, after: Position, limit: usize) -> rusqlite::Result<Vec<DeadLetter>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM lantern_dead_letters WHERE position > ? ORDER BY position LIMIT ?"
        ))?
        .query_map(params![after.0, limit], read)?
        .collect()
}

/// The parked events of one stream, in order.
pub(super) fn of_stream(connection: &Connection, stream: &str, limit: usize) -> rusqlite::Result<Vec<DeadLetter>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM lantern_dead_letters WHERE stream = ? ORDER BY position LIMIT ?"
        ))?
        .query_map(params![stream, limit], read)?
        .collect()
}

pub(super) fn get(connection: &Connection, position: Position) -> rusqlite::Result<Option<DeadLetter>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM lantern_dead_letters WHERE position = ?"))?
        .query_row([position.0], read)
        .optional()
}

/// Every stream that has parked events, with the digest of the code that failed on its first one.
pub(super) fn streams(connection: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    connection
        .prepare(
            "SELECT stream, component_digest FROM lantern_dead_letters
             WHERE position IN (SELECT min(position) FROM lantern_dead_letters GROUP BY stream) ORDER BY position",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// How many events failed, and how many wait behind them.
pub(super) fn count(connection: &Connection) -> rusqlite::Result<(u64, u64)> {
    connection.query_row(
        "SELECT coalesce(sum(failed), 0), coalesce(sum(1 - failed), 0) FROM lantern_dead_letters",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )
}

fn read(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    Ok(DeadLetter {
        position: Position(row.get(0)?),
        stream: row.get(1)?,
        version: StreamVersion(row.get(2)?),
        event_type: row.get(3)?,
        kind: if row.get(4)? { DeadLetterKind::Failed } else { DeadLetterKind::Waiting },
        reason: row.get(5)?,
        attempts: row.get(6)?,
        component_digest: row.get(7)?,
        parked_at: Timestamp(row.get(8)?),
    })
}

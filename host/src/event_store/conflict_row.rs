//! A decision on a conflict as a row of the table `conflicts`, with its checksum.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rusqlite::Row;
use rusqlite::types::{Type, Value, ValueRef};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::append::Outcome;
use super::checksum::of_values;
use super::{Appended, ConflictDecision, Resolution};
use crate::event::{NewEvent, Position, StreamVersion, Timestamp, is_json};

/// The columns that [`decision`] takes, in its order.
pub(super) const COLUMNS: &str =
    "id, stream, expected, actual, proposed, resolution, rewritten, reason, resolver, digest,
    attempt, time, first_position, last_position, last_version, checksum";

/// The place of the checksum, which covers those before it. Rows of earlier versions have none.
pub(super) const CHECKSUM: usize = 15;

/// The row of a decision and of what it appended.
pub(super) fn values_of(decision: &ConflictDecision, outcome: Option<&Outcome>) -> Vec<Value> {
    let (rewritten, reason) = match &decision.resolution {
        Resolution::Accept => (None, None),
        Resolution::Rewrite(events) => (Some(stored(events)), None),
        Resolution::Reject(reason) => (None, Some(reason.clone())),
    };
    let number = |number: fn(&Outcome) -> u64| outcome.map(|outcome| number(outcome) as i64).into();
    let mut values: Vec<Value> = vec![
        decision.id.into_bytes().to_vec().into(),
        decision.stream.as_str().to_owned().into(),
        (decision.expected.0 as i64).into(),
        (decision.actual.0 as i64).into(),
        stored(&decision.proposed).into(),
        decision.resolution.name().to_owned().into(),
        rewritten.into(),
        reason.into(),
        decision.resolver.clone().into(),
        decision.digest.clone().into(),
        decision.attempt.into(),
        decision.time.0.into(),
        number(|outcome| outcome.first_position.0),
        number(|outcome| outcome.last_position.0),
        number(|outcome| outcome.last_version.0),
    ];
    let checksum = of_values(values.iter().map(ValueRef::from));
    values.push((checksum as i64).into());
    values
}

/// What is wrong with a row that is not as it was written; none when the failure is another one.
pub(super) fn damage(error: &rusqlite::Error) -> Option<String> {
    let what = match error {
        rusqlite::Error::FromSqlConversionFailure(_, _, what) => what.to_string(),
        rusqlite::Error::SqliteFailure(..) | rusqlite::Error::QueryReturnedNoRows => return None,
        other => other.to_string(),
    };
    Some(format!("a decision on a conflict is not what was written: {what}"))
}

pub(super) fn not_as_written(what: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(CHECKSUM, Type::Integer, what.into())
}

/// The decision in a row.
///
/// # Errors
/// When the row cannot be read, or is [damaged](damage).
pub(super) fn decision(row: &Row<'_>) -> rusqlite::Result<ConflictDecision> {
    if let Some(checksum) = row.get::<_, Option<i64>>(CHECKSUM)? {
        let values = (0..CHECKSUM).map(|column| row.get_ref(column)).collect::<Result<Vec<_>, _>>()?;
        if checksum as u64 != of_values(values) {
            return Err(not_as_written("its checksum does not fit".to_owned()));
        }
    }
    let number = |column| row.get::<_, i64>(column).map(|number| number as u64);
    let resolution = match row.get_ref(5)?.as_str()? {
        "accept" => Resolution::Accept,
        "rewrite" => Resolution::Rewrite(events(row, 6)?),
        _ => Resolution::Reject(row.get(7)?),
    };
    let appended = match row.get::<_, Option<i64>>(12)? {
        Some(first) => Some(Appended {
            first_position: Position(first as u64),
            last_position: Position(number(13)?),
            last_version: StreamVersion(number(14)?),
            appended: true,
        }),
        None => None,
    };
    let stream: String = row.get(1)?;
    Ok(ConflictDecision {
        id: Uuid::from_bytes(row.get(0)?),
        stream: stream.parse().map_err(|invalid| unreadable(1, invalid))?,
        expected: StreamVersion(number(2)?),
        actual: StreamVersion(number(3)?),
        proposed: events(row, 4)?,
        resolution,
        resolver: row.get(8)?,
        digest: row.get(9)?,
        attempt: row.get(10)?,
        time: Timestamp(row.get(11)?),
        appended,
    })
}

/// An event in a column. Data is text when it is JSON, else base64.
#[derive(Serialize, Deserialize)]
struct StoredEvent {
    id: Uuid,
    event_type: String,
    schema_version: u32,
    time: i64,
    content_type: String,
    data: String,
    metadata: String,
}

fn events(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<NewEvent>> {
    let stored: Vec<StoredEvent> =
        serde_json::from_str(row.get_ref(column)?.as_str()?).map_err(|error| unreadable(column, error))?;
    let event = |event: StoredEvent| {
        let data = match is_json(&event.content_type) {
            true => event.data.into_bytes(),
            false => BASE64.decode(event.data).map_err(|error| unreadable(column, error))?,
        };
        let StoredEvent { id, event_type, schema_version, time, content_type, metadata, .. } = event;
        Ok(NewEvent { id, event_type, schema_version, time: Timestamp(time), content_type, data, metadata })
    };
    stored.into_iter().map(event).collect()
}

fn stored(events: &[NewEvent]) -> String {
    let event = |event: &NewEvent| StoredEvent {
        id: event.id,
        event_type: event.event_type.clone(),
        schema_version: event.schema_version,
        time: event.time.0,
        content_type: event.content_type.clone(),
        data: match is_json(&event.content_type) {
            true => String::from_utf8_lossy(&event.data).into_owned(),
            false => BASE64.encode(&event.data),
        },
        metadata: event.metadata.clone(),
    };
    serde_json::to_string(&events.iter().map(event).collect::<Vec<_>>()).expect("text and numbers are JSON")
}

fn unreadable(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}

//! From rows of the table `events` into the columns of a batch, each verified against its checksum.

use std::ops::Range;
use std::path::PathBuf;

use rusqlite::types::{FromSqlError, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row};
use uuid::Uuid;

use super::EventStoreError;
use super::checksum::Content;
use super::kinds::{Kind, Kinds};
use super::sealed::Unreadable;
use super::segment::Segment;
use crate::event::{EventBatch, EventRef, Position, StreamVersion, Timestamp};

/// The columns that [`Decoder::push`] takes, in its order.
pub(super) const COLUMNS: &str =
    "position, stream_id, version, kind_id, schema_version, id, time, data, metadata, checksum, chain";

/// Stream names that a reader remembers: of any two whose ids differ by a multiple of this, the later.
const REMEMBERED: usize = 262_144;

/// The place of a kind that the batch does not have yet.
const NO_PLACE: u32 = u32::MAX;

/// The numbers that link an event to the one before it.
#[derive(Clone, Copy)]
pub(super) struct Link {
    pub checksum: u64,
    pub chain: u64,
}

/// Why a row is not an event.
enum Damage {
    What(&'static str),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Damage {
    fn from(error: rusqlite::Error) -> Self {
        match error {
            error @ rusqlite::Error::SqliteFailure(..) => Self::Sqlite(error),
            _ => Self::What("a value has the wrong type"),
        }
    }
}

impl From<FromSqlError> for Damage {
    fn from(_: FromSqlError) -> Self {
        Self::What("a value has the wrong type")
    }
}

pub(super) struct Decoder {
    pub path: PathBuf,
    pub kinds: Kinds,
    streams: StreamNames,
    /// For each kind its place in the batch's kind table, or [`NO_PLACE`].
    places: Vec<u32>,
}

impl Decoder {
    pub fn new(path: PathBuf) -> Self {
        Self { path, kinds: Kinds::default(), streams: StreamNames::default(), places: Vec::new() }
    }

    /// Empties the batch for the events of one read.
    pub fn begin(&mut self, batch: &mut EventBatch) {
        batch.clear();
        self.places.clear();
    }

    /// Adds the row's event to the batch. `None` when that would take the batch beyond `max_bytes`;
    /// a batch takes its first event whatever its size.
    pub fn push(
        &mut self,
        connection: &Connection,
        row: &Row<'_>,
        batch: &mut EventBatch,
        max_bytes: usize,
    ) -> Result<Option<Link>, EventStoreError> {
        let position = row.get::<_, i64>(0).map_err(|source| self.sqlite(source))? as u64;
        self.push_event(connection, row, batch, max_bytes).map_err(|damage| match damage {
            Damage::What(what) => self.corrupt(position, what),
            Damage::Sqlite(source) => self.sqlite(source),
        })
    }

    fn push_event(
        &mut self,
        connection: &Connection,
        row: &Row<'_>,
        batch: &mut EventBatch,
        max_bytes: usize,
    ) -> Result<Option<Link>, Damage> {
        let integer = |column| row.get_ref(column)?.as_i64().map_err(Damage::from);
        let (data, metadata) = (row.get_ref(7)?.as_bytes()?, row.get_ref(8)?.as_str()?);
        if !batch.is_empty() && batch.bytes() + data.len() + metadata.len() > max_bytes {
            return Ok(None);
        }
        let kind_id = integer(3)?;
        if self.kinds.get(kind_id).is_none() {
            self.kinds
                .refresh(connection)?
                .map_err(|_| Damage::What("the names of its kind are not those that were written"))?;
        }
        let kind = self.kinds.get(kind_id).ok_or(Damage::What("its kind is missing"))?;
        if kind.is_text != matches!(row.get_ref(7)?, ValueRef::Text(_)) {
            return Err(Damage::What("a value has the wrong type"));
        }
        let stream = match row.get_ref(1)? {
            // In a copy.
            ValueRef::Text(name) => std::str::from_utf8(name).map_err(|_| Damage::What("its stream has no name"))?,
            id => self.streams.get(connection, id.as_i64()?)?,
        };
        let place = place(&mut self.places, kind_id as usize, || batch.kind_index(&kind.names));
        let start = batch.text.len();
        let event = EventRef {
            id: Uuid::from_slice(row.get_ref(5)?.as_blob()?).map_err(|_| Damage::What("its id is no UUID"))?,
            stream,
            version: StreamVersion(integer(2)? as u64),
            position: Position(integer(0)? as u64),
            kind: &kind.names,
            schema_version: u32::try_from(integer(4)?).map_err(|_| Damage::What("its schema version is too large"))?,
            time: Timestamp(integer(6)?),
            data,
            metadata,
        };
        batch.push(event, place);
        let link = Link { checksum: integer(9)? as u64, chain: integer(10)? as u64 };
        if checksum(&event, kind, &batch.text[start..]) != link.checksum {
            return Err(Damage::What("its checksum does not match what is stored"));
        }
        Ok(Some(link))
    }

    /// Adds these of the segment's events to the batch, as many of them as fit, and answers how many.
    /// All kinds that are in the file must be known; otherwise as [`Decoder::push`].
    pub fn push_sealed(
        &mut self,
        segment: &Segment,
        range: Range<usize>,
        batch: &mut EventBatch,
        max_bytes: usize,
    ) -> Result<usize, EventStoreError> {
        let mut bytes = batch.bytes();
        let fits = |index: &usize| {
            let [stream, data, metadata] = segment.parts(*index).map(<[u8]>::len);
            let fits = bytes + data + metadata <= max_bytes || (batch.is_empty() && *index == range.start);
            bytes += stream + data + metadata + EventBatch::EVENT_BYTES;
            fits
        };
        let count = range.clone().take_while(fits).count();
        let range = range.start..range.start + count;
        for kind in &segment.kinds[range.clone()] {
            let names = self.kinds.get(i64::from(*kind)).map(|kind| &kind.names);
            let names = names.ok_or_else(|| self.corrupt(segment.first_position, "the kind of an event is missing"))?;
            let place = place(&mut self.places, *kind as usize, || batch.kind_index(names));
            batch.kinds.push(place);
        }
        segment.copy(range, batch);
        Ok(count)
    }

    pub fn unreadable(&self, error: Unreadable) -> EventStoreError {
        match error {
            Unreadable::Damaged { position, what } => self.corrupt(position, &format!("in its segment, {what}")),
            Unreadable::Sqlite(source) => self.sqlite(source),
        }
    }

    pub fn corrupt(&self, position: u64, what: &str) -> EventStoreError {
        EventStoreError::Corrupt { path: self.path.clone(), position: Position(position), what: what.to_owned() }
    }

    pub fn sqlite(&self, source: rusqlite::Error) -> EventStoreError {
        EventStoreError::Sqlite { doing: "read", path: self.path.clone(), source }
    }
}

fn checksum(event: &EventRef<'_>, kind: &Kind, text: &[u8]) -> u64 {
    Content {
        position: event.position.0,
        version: event.version.0,
        time: event.time.0,
        schema_version: event.schema_version,
        id: event.id.as_bytes(),
        kind: kind.hash,
        text,
        stream_bytes: event.stream.len(),
        data_bytes: event.data.len(),
    }
    .checksum()
}

/// The number kept for a kind, made when there is none.
fn place(places: &mut Vec<u32>, kind: usize, new: impl FnOnce() -> u32) -> u32 {
    if places.len() <= kind {
        places.resize(kind + 1, NO_PLACE);
    }
    if places[kind] == NO_PLACE {
        places[kind] = new();
    }
    places[kind]
}

/// The names of streams read lately. Row `id` can only be at `id` modulo [`REMEMBERED`].
#[derive(Default)]
struct StreamNames {
    slots: Vec<(i64, Box<str>)>,
}

impl StreamNames {
    fn get(&mut self, connection: &Connection, id: i64) -> Result<&str, Damage> {
        let slot = id as usize % REMEMBERED;
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, Default::default);
        }
        let (known, name) = &mut self.slots[slot];
        if *known != id || name.is_empty() {
            let found: Option<String> = connection
                .prepare_cached("SELECT name FROM streams WHERE id = ?")?
                .query_row([id], |row| row.get(0))
                .optional()?;
            *name = found.ok_or(Damage::What("its stream is missing"))?.into();
            *known = id;
        }
        Ok(name)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::super::fixture::{Fixture, NO_LIMIT, request};
    use super::*;
    use crate::event::Interest;

    /// What a read of everything finds after this change to the file.
    fn damage(change: &str) -> (Position, String) {
        let fixture = Fixture::new();
        for n in 1..=4 {
            fixture.store.append(request(&format!("order-{n}"), [n])).unwrap();
        }
        let fixture = fixture.reopened_after(|connection| {
            assert_eq!(connection.execute(change, []).unwrap(), 1, "{change}");
        });
        let mut batch = EventBatch::default();
        let mut reader = fixture.store.reader().unwrap();
        let error = reader.read_after(Position(0), &[Interest::everything()], NO_LIMIT, &mut batch).unwrap_err();
        assert!(batch.is_empty() && !error.is_transient());
        match error {
            EventStoreError::Corrupt { position, what, .. } => (position, what),
            other => panic!("{change} gave {other}"),
        }
    }

    #[test]
    fn a_changed_value_is_noticed_at_its_position() {
        for change in [
            "data = '{\"n\":4}'",
            "data = CAST(x'7b226e223aff7d' AS TEXT)",
            "metadata = '{} '",
            "metadata = CAST(x'7bff' AS TEXT)",
            "schema_version = 2",
            "schema_version = -1",
            "time = time + 1",
            "version = 2",
            "id = x'00000000000000000000000000000009'",
            "id = x'00'",
            "stream_id = 2, version = 9",
            "stream_id = 99",
            "kind_id = 99",
            "checksum = checksum + 1",
            "chain = chain + 1",
        ] {
            let (position, what) = damage(&format!("UPDATE events SET {change} WHERE position = 3"));
            assert_eq!(position, Position(3), "{change}: {what}");
        }
    }

    #[test]
    fn a_changed_name_is_noticed_at_the_first_event_that_bears_it() {
        assert_eq!(damage("UPDATE streams SET name = 'order-9' WHERE name = 'order-2'").0, Position(2));
        assert_eq!(damage("UPDATE streams SET name = CAST(x'ff' AS TEXT) WHERE name = 'order-2'").0, Position(2));
        assert_eq!(damage("DELETE FROM streams WHERE name = 'order-2'").0, Position(2));
        assert_eq!(damage("UPDATE kinds SET event_type = 'Paid'").0, Position(1));
        assert_eq!(damage("UPDATE kinds SET category = 'cart'").0, Position(1));
    }

    #[test]
    fn a_missing_event_and_one_that_was_moved_are_noticed() {
        assert_eq!(damage("DELETE FROM events WHERE position = 2"), (Position(2), "the event is missing".to_owned()));
        let moved = "UPDATE events SET position = 0 WHERE position = 2";
        assert_eq!(damage(moved), (Position(2), "the event is missing".to_owned()));
    }
}

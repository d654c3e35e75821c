//! Reads the sealed part of the log, on whatever connection the caller has: a segment by a position in
//! it, and where streams and ids are. Every segment is verified when it is unpacked.

use rusqlite::{Connection, OptionalExtension, Row};
use uuid::Uuid;
use zstd::bulk::Decompressor;

use super::checksum;
use super::packed_index::{Key, Map};
use super::segment::{PackedRef, Segment};

/// Unpacked segments that are kept; they may be as large as a batch.
const KEPT: usize = 4;

/// Why sealed events could not be read.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// The segment with this position is not what was written.
    Damaged {
        position: u64,
        what: &'static str,
    },
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Unreadable {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// The segments used last, unpacked.
#[derive(Default)]
pub(super) struct Segments {
    /// The one used last is the last.
    kept: Vec<Segment>,
    zstd: Decompressor<'static>,
    /// The highest key of a sealed id. Most new ids are above it and need no look at the index.
    highest_id: Option<Key>,
}

/// An event with this id.
pub(super) struct Found {
    pub position: u64,
    pub stream: String,
    pub version: u64,
}

impl Segments {
    /// The segment that holds a position, which must be sealed.
    pub fn at(&mut self, connection: &Connection, position: u64) -> Result<&Segment, Unreadable> {
        let holds = |segment: &Segment| (segment.first_position..=segment.last_position()).contains(&position);
        if let Some(place) = self.kept.iter().rposition(holds) {
            self.kept[place..].rotate_left(1);
        } else {
            // An old one gives its memory to the new one.
            let mut segment = if self.kept.len() < KEPT { Segment::default() } else { self.kept.remove(0) };
            self.unpack(connection, position, &mut segment)?;
            self.kept.push(segment);
        }
        Ok(&self.kept[self.kept.len() - 1])
    }

    fn unpack(&mut self, connection: &Connection, position: u64, into: &mut Segment) -> Result<(), Unreadable> {
        let damaged = |what| Unreadable::Damaged { position, what };
        let mut statement = connection.prepare_cached(
            "SELECT first_position, events, chain_before, chain, checksum, numbers, text, packed_checksum FROM segments
             WHERE first_position <= ? ORDER BY first_position DESC LIMIT 1",
        )?;
        let mut rows = statement.query([position as i64])?;
        let missing = "the events are missing";
        let row = rows.next()?.ok_or_else(|| damaged(missing))?;
        let packed = packed(row).map_err(|error| match error {
            error @ rusqlite::Error::SqliteFailure(..) => Unreadable::Sqlite(error),
            _ => damaged("a value has the wrong type"),
        })?;
        let [first_position, events, ..] = packed.row;
        if position - first_position >= events {
            return Err(damaged(missing));
        }
        let damaged = |what| Unreadable::Damaged { position: first_position, what };
        let expected: Option<i64> = row.get(7).map_err(|_| damaged("a value has the wrong type"))?;
        if expected.is_some_and(|expected| expected as u64 != checksum::of_packed(packed.numbers, packed.text)) {
            return Err(damaged("the checksum of its columns does not match what is stored"));
        }
        into.unpack(&packed, &mut self.zstd).map_err(damaged)
    }

    /// To be called when another segment was sealed.
    pub fn grown(&mut self) {
        self.highest_id = None;
    }

    /// The sealed event with this id.
    pub fn find_id(&mut self, connection: &Connection, id: Uuid) -> Result<Option<Found>, Unreadable> {
        let key = key_of(id);
        let highest = match self.highest_id {
            Some(highest) => highest,
            None => Map::Ids.last(connection, (i64::MAX as u64, 0))?.map_or((0, 0), |(key, _)| key),
        };
        self.highest_id = Some(highest);
        if key > highest {
            return Ok(None);
        }
        for (_, first_position) in Map::Ids.find(connection, key, key, usize::MAX)? {
            let segment = self.at(connection, first_position)?;
            if let Some(index) = segment.ids.chunks_exact(16).position(|known| known == id.as_bytes()) {
                return Ok(Some(Found {
                    position: segment.first_position + index as u64,
                    stream: String::from_utf8_lossy(segment.parts(index)[0]).into_owned(),
                    version: segment.versions[index],
                }));
            }
        }
        Ok(None)
    }
}

fn packed<'a>(row: &'a Row<'_>) -> rusqlite::Result<PackedRef<'a>> {
    let number = |column| row.get::<_, i64>(column).map(|number| number as u64);
    Ok(PackedRef {
        row: [number(0)?, number(1)?, number(2)?, number(3)?],
        checksum: number(4)?,
        numbers: row.get_ref(5)?.as_blob()?,
        text: row.get_ref(6)?.as_blob()?,
    })
}

/// Stands for an id in the index. Ids that tell the time are near each other when they were made at
/// about the same time, so that few leaves change, and above all others; the rest of the key is a hash,
/// because many may have been made at one moment.
pub(super) fn key_of(id: Uuid) -> Key {
    let hash = checksum::of_id(id);
    let milliseconds = id.as_u64_pair().0 >> 16;
    let place = if id.get_version_num() == 7 { 1 << 32 | milliseconds >> 10 } else { hash >> 32 };
    (place, hash & 0x0fff_ffff)
}

/// The version of the newest sealed event of a stream; 0 when none is sealed.
pub(super) fn newest_sealed_version(connection: &Connection, stream_id: i64) -> rusqlite::Result<u64> {
    let last = Map::Streams.last(connection, (stream_id as u64, i64::MAX as u64))?;
    Ok(last.filter(|((stream, _), _)| *stream == stream_id as u64).map_or(0, |((_, version), _)| version))
}

/// Where the segment that holds a position begins.
pub(super) fn first_position(connection: &Connection, position: u64) -> rusqlite::Result<u64> {
    let first: Option<i64> = connection
        .prepare_cached("SELECT max(first_position) FROM segments WHERE first_position <= ?")?
        .query_row([position as i64], |row| row.get(0))?;
    Ok(first.map_or(position, |first| first as u64))
}

/// Where the first segment after a position begins; `i64::MAX` when there is none.
pub(super) fn next_segment(connection: &Connection, position: u64) -> rusqlite::Result<u64> {
    let first: Option<i64> = connection
        .prepare_cached("SELECT min(first_position) FROM segments WHERE first_position > ?")?
        .query_row([position as i64], |row| row.get(0))?;
    Ok(first.unwrap_or(i64::MAX) as u64)
}

/// The chain of the last event in the segment that holds a position.
pub(super) fn chain_after(connection: &Connection, position: u64) -> rusqlite::Result<Option<u64>> {
    connection
        .prepare_cached("SELECT chain FROM segments WHERE first_position <= ? ORDER BY first_position DESC LIMIT 1")?
        .query_row([position as i64], |row| row.get::<_, i64>(0).map(|chain| chain as u64))
        .optional()
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::super::fixture::{Fixture, event, interest, request, stream};
    use super::super::{AppendError, AppendRequest, Direction, EventStoreError, EventStoreOptions, ReadLimit};
    use super::*;
    use crate::event::{EventBatch, ExpectedVersion, Interest, NewEvent, Position, StreamVersion};

    const STREAMS: [&str; 4] = ["order-1", "order-2", "cart-1", "customer-1"];
    const TYPES: [&str; 3] = ["Placed", "Paid", "Shipped"];

    /// 60 events in four streams, the last of which has one early and one late event; `Shipped` is rare.
    fn fill(fixture: &Fixture) {
        for n in 0..60u128 {
            let name = if n == 2 || n == 58 { "customer-1" } else { STREAMS[n as usize % 7 % 3] };
            let event_type = if n % 23 == 22 { "Shipped" } else { TYPES[n as usize % 5 % 2] };
            let time = crate::event::Timestamp((n as i64 - 30) << 40);
            let event = NewEvent { event_type: event_type.into(), time, ..event(1000 + n) };
            fixture.store.append(AppendRequest { events: vec![event], ..request(name, []) }).unwrap();
        }
    }

    /// The same events, all in rows, and in segments of so many.
    fn twins(segment_events: usize) -> (Fixture, Fixture) {
        let (plain, sealed) = (Fixture::new(), Fixture::in_segments_of(segment_events));
        fill(&plain);
        fill(&sealed);
        let expected = 60 / segment_events as u64 * segment_events as u64;
        assert_eq!(sealed.seal(), expected);
        let rows: u64 = Connection::open(sealed.path())
            .unwrap()
            .query_row("SELECT count(*) FROM events", [], |row| row.get(0))
            .unwrap();
        assert_eq!(rows, 60 - expected);
        (plain, sealed)
    }

    #[test]
    fn reads_of_the_log_do_not_depend_on_what_is_sealed() {
        let interests = [
            vec![interest(None, &[])],
            vec![interest(None, &["Shipped"])],
            vec![interest(Some("cart"), &[]), interest(Some("order"), &["Paid"])],
            vec![interest(Some("customer"), &[])],
            vec![interest(Some("nothing"), &[])],
        ];
        for segment_events in [1, 7, 20, 60] {
            let (plain, sealed) = twins(segment_events);
            let mut readers = [plain.store.reader().unwrap(), sealed.store.reader().unwrap()];
            for (wanted, events, bytes, after) in interests.iter().flat_map(|wanted| {
                let limits = [(1, 9999), (3, 9999), (20, 9999), (99, 1), (99, 500), (99, 9999)];
                limits
                    .into_iter()
                    .flat_map(move |(events, bytes)| (0..=60).map(move |after| (wanted, events, bytes, after)))
            }) {
                let limit = ReadLimit { events, bytes };
                let [expected, found] = readers.each_mut().map(|reader| {
                    let mut batch = EventBatch::default();
                    let scanned_to = reader.read_after(Position(after), wanted, limit, &mut batch).unwrap();
                    (scanned_to, batch)
                });
                assert_eq!(found, expected, "segments of {segment_events}, {wanted:?} after {after}, {limit:?}");
            }
            let positions = [60, 1, 2, 3, 59, 20, 21, 7].map(Position);
            let [expected, found] = readers.map(|mut reader| {
                let mut batch = EventBatch::default();
                reader.read_positions(&positions, &mut batch).unwrap();
                batch
            });
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn reads_of_a_stream_do_not_depend_on_what_is_sealed() {
        for segment_events in [1, 7, 20, 60] {
            let (plain, sealed) = twins(segment_events);
            for (name, from, max) in STREAMS.iter().chain(&["order-3"]).flat_map(|name| {
                let from = (0..30).chain([u64::MAX]).map(Some).chain([None]);
                from.flat_map(move |from| [1, 3, 99].map(|max| (name, from, max)))
            }) {
                for direction in [Direction::Forwards, Direction::Backwards] {
                    let [expected, found] = [&plain, &sealed].map(|fixture| {
                        let from = from.map(StreamVersion);
                        fixture.store.read_stream(&stream(name), from, direction, max).unwrap()
                    });
                    assert_eq!(found, expected, "segments of {segment_events}, {name} from {from:?} {direction:?}");
                }
                let version = |fixture: &Fixture| fixture.store.stream_version(&stream(name)).unwrap();
                assert_eq!(version(&sealed), version(&plain));
            }
        }
    }

    #[test]
    fn appends_and_imports_recognise_what_is_sealed() {
        let (plain, sealed) = twins(20);
        for fixture in [&plain, &sealed] {
            let store = &fixture.store;
            let again = NewEvent { time: crate::event::Timestamp(0), ..event(1002) };
            let repeated = store.append(AppendRequest { events: vec![again], ..request("customer-1", []) }).unwrap();
            assert_eq!(
                (repeated.first_position, repeated.last_version, repeated.appended),
                (Position(3), StreamVersion(1), false)
            );
            let refusal = store.append(request("order-9", [1002]));
            assert!(matches!(refusal, Err(AppendError::IdReused { .. })), "{refusal:?}");
            let expected = ExpectedVersion::NoStream;
            let conflict = store.append(AppendRequest { expected, ..request("customer-1", [5]) });
            assert!(
                matches!(conflict, Err(AppendError::WrongExpectedVersion { actual: StreamVersion(2), .. })),
                "{conflict:?}"
            );
            let events = (990..1070).map(|n| (stream("order-1"), event(n))).collect();
            let imported = store.import(events).unwrap();
            assert_eq!((imported.appended, imported.skipped, imported.last_position), (20, 60, Position(80)));
            assert_eq!(store.append(request("customer-1", [7])).unwrap().last_version, StreamVersion(3));
        }
        assert_eq!(sealed.seal(), 80);
        assert_eq!(sealed.store.append(request("customer-1", [8])).unwrap().last_version, StreamVersion(4));
    }

    #[test]
    fn what_is_sealed_stays_readable_after_a_restart_with_sealing_switched_off() {
        let (plain, sealed) = twins(60);
        let path = sealed.path();
        sealed.store.clone().close();
        let options = EventStoreOptions { seal: false, ..EventStoreOptions::default() };
        let store = super::super::EventStore::open(&path, options).unwrap();
        let all = |store: &super::super::EventStore| {
            let mut batch = EventBatch::default();
            let limit = ReadLimit { events: 99, bytes: 9999 };
            store.reader().unwrap().read_after(Position(0), &[Interest::everything()], limit, &mut batch).unwrap();
            batch
        };
        assert_eq!(all(&store), all(&plain.store));
        assert_eq!((store.head(), store.stats().sealed_events), (Position(60), 60));
        assert!(store.append(request("order-9", [1003])).is_err_and(|error| error.to_string().contains("position 4")));
        assert_eq!(store.append(request("order-1", [1])).unwrap().last_position, Position(61));
    }

    /// What a read of everything finds after this change to a log with segments at 1, 21 and 41.
    fn damage(change: &str) -> (Position, String) {
        let (_, sealed) = twins(20);
        let sealed = sealed.reopened_after(|connection| {
            assert!(connection.execute(change, []).unwrap() > 0, "{change}");
        });
        let mut batch = EventBatch::default();
        let mut reader = sealed.store.reader().unwrap();
        let limit = ReadLimit { events: 99, bytes: 99_999 };
        match reader.read_after(Position(0), &[Interest::everything()], limit, &mut batch).unwrap_err() {
            EventStoreError::Corrupt { position, what, .. } => (position, what),
            other => panic!("{change} gave {other}"),
        }
    }

    #[test]
    fn a_damaged_segment_is_told_with_its_first_position() {
        for change in [
            "events = 19",
            "events = 21",
            "events = -1",
            "chain = chain + 1",
            "chain_before = chain_before + 1",
            "checksum = checksum + 1",
            "numbers = x''",
            "text = x''",
            "text = numbers",
            "numbers = (SELECT numbers FROM segments WHERE first_position = 41)",
            "(numbers, text, chain, chain_before, checksum) =
             (SELECT numbers, text, chain, chain_before, checksum FROM segments WHERE first_position = 41)",
        ] {
            let (position, what) = damage(&format!("UPDATE segments SET {change} WHERE first_position = 21"));
            assert_eq!(position, Position(21), "{change}: {what}");
        }
        assert_eq!(damage("DELETE FROM segments WHERE first_position = 21").0, Position(21));
        assert_eq!(damage("UPDATE segments SET first_position = 22 WHERE first_position = 21").0, Position(21));
        assert_eq!(damage("UPDATE kinds SET event_type = 'Placed2' WHERE event_type = 'Placed'").0, Position(1));
    }

    #[test]
    fn ids_made_at_one_time_are_near_each_other_and_yet_differ() {
        let at = |milliseconds: u64, rest| Uuid::from_u64_pair(milliseconds << 16 | 0x7000 | rest, 1 << 63);
        let (first, same_moment, later) = (key_of(at(5000, 1)), key_of(at(5000, 2)), key_of(at(7000, 1)));
        assert!(first.0 == same_moment.0 && first.1 != same_moment.1 && first < later);
        assert_ne!(key_of(Uuid::from_u128(1)).0, key_of(Uuid::from_u128(2)).0, "no time, no order");
    }
}

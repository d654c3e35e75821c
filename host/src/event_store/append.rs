//! Decides on appends and imports and adds their rows, inside a transaction that the writer owns.
//! Never begins, commits or answers.
//!
//! One thread appends, one transaction after the other: so positions become visible in their order,
//! and a reader can never skip one that commits late.

use std::collections::HashMap;

use super::checksum::{self, Content};
use super::conflicts::{self, ConflictDecision};
use super::repeat::{earlier_outcome, place_of};
use super::seal::{Sealing, replace_rows, shrink};
use super::sealed::{Segments, Unreadable, newest_sealed_version};
use super::{AppendError, AppendRequest};
use crate::crash_point;
use crate::event::{ExpectedVersion, Invalid, NewEvent, Position, StreamName, StreamVersion, is_json};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, params};

/// Streams and kinds whose row is remembered; beyond it all are forgotten and looked up again.
const REMEMBERED: usize = 65_536;

const INSERT: &str = "INSERT INTO events
    (position, stream_id, version, kind_id, schema_version, id, time, data, metadata, checksum, chain)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

/// What a caller wants from the writer.
#[derive(Debug)]
pub(super) enum Work {
    Append(AppendRequest),
    /// Adds what is not there yet, each event at the end of its stream.
    Import(Vec<(StreamName, NewEvent)>),
    /// Stores a decision on a conflict, and appends what it says: these events.
    Resolve(Box<(ConflictDecision, Vec<NewEvent>)>),
    /// Puts a segment in the place of the rows that it was made of.
    Seal(Box<Sealing>),
    /// Hands at most so many unused pages at the end of the file back to the file system.
    Shrink(i64),
}

impl Work {
    /// How many events it has, and their bytes.
    pub fn size(&self) -> (usize, usize) {
        let bytes = |event: &NewEvent| event.data.len() + event.metadata.len();
        match self {
            Self::Append(request) => (request.events.len(), request.events.iter().map(bytes).sum()),
            Self::Resolve(resolved) => {
                let (decision, events) = &**resolved;
                (events.len(), events.iter().chain(&decision.proposed).map(bytes).sum())
            }
            Self::Import(events) => (events.len(), events.iter().map(|(_, event)| bytes(event)).sum()),
            Self::Seal(sealing) => (sealing.packed.events as usize, sealing.packed.text.len()),
            Self::Shrink(pages) => (*pages as usize, 0),
        }
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub first_position: Position,
    pub last_position: Position,
    pub last_version: StreamVersion,
    pub appended: u64,
    pub skipped: u64,
}

/// Why it did not come about.
#[derive(Debug)]
pub(super) enum Failure {
    /// The request cannot be done; nothing was written for it.
    Refused(AppendError),
    /// A statement failed; the transaction has to be rolled back.
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<Unreadable> for Failure {
    fn from(error: Unreadable) -> Self {
        match error {
            Unreadable::Sqlite(error) => Self::Sqlite(error),
            Unreadable::Damaged { position, what } => {
                let reason = format!("the event log is damaged at position {position}: in its segment, {what}");
                Self::Refused(AppendError::Failed { reason })
            }
        }
    }
}

/// The end of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tail {
    pub position: Position,
    pub chain: u64,
}

#[derive(Clone, Copy)]
struct Stream {
    id: i64,
    version: StreamVersion,
}

#[derive(Clone, Copy)]
struct Kind {
    id: i64,
    hash: u64,
}

/// Knows the end of the log as it is in the open transaction.
pub(super) struct Appender {
    tail: Tail,
    /// `None` as long as nothing is sealed.
    sealed: Option<Segments>,
    /// Whether any proposal was ever rewritten; `None` before it is asked.
    has_rewritten: Option<bool>,
    streams: HashMap<StreamName, Stream>,
    kinds: HashMap<String, Kind>,
    /// The name of a kind, and the text of an event: kept for their memory only.
    kind_name: String,
    text: Vec<u8>,
}

impl Appender {
    pub fn new(tail: Tail, is_sealed: bool) -> Self {
        let sealed = is_sealed.then(Segments::default);
        Self {
            tail,
            sealed,
            has_rewritten: None,
            streams: HashMap::new(),
            kinds: HashMap::new(),
            kind_name: String::new(),
            text: Vec::new(),
        }
    }

    pub fn tail(&self) -> Tail {
        self.tail
    }

    /// Forgets everything since `tail`, because the transaction was rolled back.
    pub fn reset(&mut self, tail: Tail) {
        self.tail = tail;
        self.has_rewritten = None;
        self.streams.clear();
        self.kinds.clear();
    }

    pub fn perform(&mut self, connection: &Connection, work: &Work) -> Result<Outcome, Failure> {
        match work {
            Work::Append(request) => self.append(connection, request),
            Work::Resolve(resolved) => self.resolve(connection, resolved),
            Work::Import(events) => self.import(connection, events),
            Work::Seal(sealing) => {
                replace_rows(connection, sealing)?;
                crash_point::reached("seal-written");
                self.sealed.get_or_insert_default().grown();
                Ok(Outcome::default())
            }
            Work::Shrink(pages) => Ok(shrink(connection, *pages).map(|()| Outcome::default())?),
        }
    }

    fn append(&mut self, connection: &Connection, request: &AppendRequest) -> Result<Outcome, Failure> {
        let AppendRequest { stream, expected, events } = request;
        match self.earlier(connection, stream, events)? {
            Some(earlier) => Ok(earlier),
            None => self.append_new(connection, stream, *expected, events),
        }
    }

    fn resolve(
        &mut self,
        connection: &Connection,
        (decision, events): &(ConflictDecision, Vec<NewEvent>),
    ) -> Result<Outcome, Failure> {
        let ConflictDecision { stream, actual, proposed, .. } = decision;
        if let Some(earlier) = self.earlier(connection, stream, proposed)? {
            return Ok(earlier);
        }
        if events.is_empty() {
            conflicts::insert(connection, decision, None)?;
            return Ok(Outcome::default());
        }
        for (index, event) in events.iter().enumerate() {
            let is_known = place_of(connection, self.sealed.as_mut(), event.id)?.is_some()
                || conflicts::is_rewritten(connection, event.id)?;
            if is_known {
                let reason = Invalid(format!("its id {} is that of another event", event.id));
                return Err(Failure::Refused(AppendError::Invalid { event: Some(index), reason }));
            }
        }
        let outcome = self.append_new(connection, stream, ExpectedVersion::Exact(*actual), events)?;
        conflicts::insert(connection, decision, Some(&outcome))?;
        self.has_rewritten = None;
        Ok(outcome)
    }

    /// The first result of the same append, or of the decision on it.
    fn earlier(
        &mut self,
        connection: &Connection,
        stream: &StreamName,
        events: &[NewEvent],
    ) -> Result<Option<Outcome>, Failure> {
        if self.has_rewritten(connection)?
            && let Some(earlier) = conflicts::rewritten_outcome(connection, stream, events)?
        {
            return Ok(Some(earlier));
        }
        earlier_outcome(connection, self.sealed.as_mut(), (stream, events))
    }

    fn has_rewritten(&mut self, connection: &Connection) -> rusqlite::Result<bool> {
        match self.has_rewritten {
            Some(has_rewritten) => Ok(has_rewritten),
            None => Ok(*self.has_rewritten.insert(conflicts::any_rewritten(connection)?)),
        }
    }

    fn append_new(
        &mut self,
        connection: &Connection,
        stream: &StreamName,
        expected: ExpectedVersion,
        events: &[NewEvent],
    ) -> Result<Outcome, Failure> {
        let actual = self.stream(connection, stream)?.map_or(StreamVersion(0), |stream| stream.version);
        if !expected.matches(actual) {
            let stream = stream.clone();
            return Err(Failure::Refused(AppendError::WrongExpectedVersion {
                stream,
                expected,
                actual,
                rejection: None,
            }));
        }
        let first_position = Position(self.tail.position.0 + 1);
        let mut last_version = actual;
        for event in events {
            last_version = self.insert(connection, stream, event)?;
        }
        let appended = events.len() as u64;
        Ok(Outcome { first_position, last_position: self.tail.position, last_version, appended, skipped: 0 })
    }

    fn import(&mut self, connection: &Connection, events: &[(StreamName, NewEvent)]) -> Result<Outcome, Failure> {
        let mut outcome = Outcome::default();
        for (stream, event) in events {
            let position = if let Some(place) = place_of(connection, self.sealed.as_mut(), event.id)? {
                outcome.skipped += 1;
                place.position
            } else if self.has_rewritten(connection)?
                && let Some(last) = conflicts::rewritten_up_to(connection, event.id)?
            {
                outcome.skipped += 1;
                last
            } else {
                outcome.last_version = self.insert(connection, stream, event)?;
                outcome.appended += 1;
                self.tail.position
            };
            outcome.last_position = outcome.last_position.max(position);
        }
        Ok(outcome)
    }

    fn insert(
        &mut self,
        connection: &Connection,
        name: &StreamName,
        event: &NewEvent,
    ) -> rusqlite::Result<StreamVersion> {
        let kind = self.kind(connection, name.category(), event)?;
        let stream = match self.stream(connection, name)? {
            Some(stream) => stream,
            None => {
                connection.prepare_cached("INSERT INTO streams (name) VALUES (?)")?.execute([name.as_str()])?;
                Stream { id: connection.last_insert_rowid(), version: StreamVersion(0) }
            }
        };
        let position = Position(self.tail.position.0 + 1);
        let version = StreamVersion(stream.version.0 + 1);
        self.text.clear();
        for part in [name.as_str().as_bytes(), &event.data, event.metadata.as_bytes()] {
            self.text.extend_from_slice(part);
        }
        let content = Content {
            position: position.0,
            version: version.0,
            time: event.time.0,
            schema_version: event.schema_version,
            id: event.id.as_bytes(),
            kind: kind.hash,
            text: &self.text,
            stream_bytes: name.as_str().len(),
            data_bytes: event.data.len(),
        };
        let checksum = content.checksum();
        let chain = checksum::chain_on(self.tail.chain, checksum);
        let data = if is_json(&event.content_type) { ValueRef::Text(&event.data) } else { ValueRef::Blob(&event.data) };
        connection.prepare_cached(INSERT)?.execute(params![
            position.0 as i64,
            stream.id,
            version.0 as i64,
            kind.id,
            event.schema_version,
            event.id.as_bytes(),
            event.time.0,
            ToSqlOutput::Borrowed(data),
            event.metadata,
            checksum as i64,
            chain as i64,
        ])?;
        self.tail = Tail { position, chain };
        self.remember(name, Stream { id: stream.id, version });
        Ok(version)
    }

    /// The stream's row and newest version; `None` when it has no event yet.
    fn stream(&mut self, connection: &Connection, name: &StreamName) -> rusqlite::Result<Option<Stream>> {
        if let Some(stream) = self.streams.get(name) {
            return Ok(Some(*stream));
        }
        let found = connection
            .prepare_cached("SELECT id FROM streams WHERE name = ?")?
            .query_row([name.as_str()], |row| row.get(0))
            .optional()?;
        let Some(id) = found else { return Ok(None) };
        let version = newest_version(connection, id)?;
        let stream = Stream { id, version };
        self.remember(name, stream);
        Ok(Some(stream))
    }

    fn remember(&mut self, name: &StreamName, stream: Stream) {
        if let Some(known) = self.streams.get_mut(name) {
            *known = stream;
            return;
        }
        if self.streams.len() >= REMEMBERED {
            self.streams.clear();
        }
        self.streams.insert(name.clone(), stream);
    }

    fn kind(&mut self, connection: &Connection, category: &str, event: &NewEvent) -> rusqlite::Result<Kind> {
        self.kind_name.clear();
        for part in [category, "\n", &event.event_type, "\n", &event.content_type] {
            self.kind_name.push_str(part);
        }
        if let Some(kind) = self.kinds.get(&self.kind_name) {
            return Ok(*kind);
        }
        let names = [category, event.event_type.as_str(), event.content_type.as_str()];
        let hash = checksum::of_kind(names);
        let found = connection
            .prepare_cached("SELECT id FROM kinds WHERE category = ? AND event_type = ? AND content_type = ?")?
            .query_row(names, |row| row.get(0))
            .optional()?;
        let id = match found {
            Some(id) => id,
            None => {
                let insert = "INSERT INTO kinds (category, event_type, content_type, checksum) VALUES (?, ?, ?, ?)";
                connection.execute(insert, params![names[0], names[1], names[2], hash as i64])?;
                connection.last_insert_rowid()
            }
        };
        if self.kinds.len() >= REMEMBERED {
            self.kinds.clear();
        }
        self.kinds.insert(self.kind_name.clone(), Kind { id, hash });
        Ok(Kind { id, hash })
    }
}

/// The version of the newest event of a stream.
pub(super) fn newest_version(connection: &Connection, stream_id: i64) -> rusqlite::Result<StreamVersion> {
    let version: Option<i64> = connection
        .prepare_cached("SELECT max(version) FROM events WHERE stream_id = ?")?
        .query_row([stream_id], |row| row.get(0))?;
    let version = version.map_or_else(|| newest_sealed_version(connection, stream_id), |version| Ok(version as u64))?;
    Ok(StreamVersion(version))
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::super::fixture::{Fixture, NO_LIMIT, event, request, stream};
    use super::*;
    use crate::event::{EventBatch, Interest, RecordedEvent};
    use crate::event_store::Direction;

    fn expecting(expected: ExpectedVersion, request: AppendRequest) -> AppendRequest {
        AppendRequest { expected, ..request }
    }

    #[test]
    fn positions_and_versions_are_dense_and_start_at_1() {
        let fixture = Fixture::new();
        fixture.store.append(request("order-1", [1, 2])).unwrap();
        fixture.store.append(request("order-2", [3])).unwrap();
        let appended = fixture.store.append(request("order-1", [4, 5])).unwrap();
        assert_eq!((appended.first_position, appended.last_position), (Position(4), Position(5)));
        assert_eq!((appended.last_version, appended.appended), (StreamVersion(4), true));
        let mut batch = EventBatch::default();
        let mut reader = fixture.store.reader().unwrap();
        reader.read_after(Position(0), &[Interest::everything()], NO_LIMIT, &mut batch).unwrap();
        assert_eq!((batch.positions, batch.versions), (vec![1, 2, 3, 4, 5], vec![1, 2, 1, 3, 4]));
    }

    #[test]
    fn a_wrong_expected_version_appends_nothing_and_tells_both_versions() {
        let Fixture { store, .. } = &Fixture::new();
        store.append(expecting(ExpectedVersion::NoStream, request("order-1", [1]))).unwrap();
        store.append(expecting(ExpectedVersion::StreamExists, request("order-1", [2]))).unwrap();
        store.append(expecting(ExpectedVersion::Exact(StreamVersion(2)), request("order-1", [3]))).unwrap();
        for (name, expected, actual) in [
            ("order-1", ExpectedVersion::NoStream, 3),
            ("order-1", ExpectedVersion::Exact(StreamVersion(2)), 3),
            ("order-2", ExpectedVersion::StreamExists, 0),
            ("order-2", ExpectedVersion::Exact(StreamVersion(1)), 0),
        ] {
            let conflict = store.append(expecting(expected, request(name, [8, 9])));
            let (stream, actual) = (stream(name), StreamVersion(actual));
            assert_eq!(conflict, Err(AppendError::WrongExpectedVersion { stream, expected, actual, rejection: None }));
        }
        assert_eq!((store.head(), store.stats().conflicts), (Position(3), 4));
    }

    #[test]
    fn of_writers_that_expect_the_same_version_exactly_one_wins() {
        let Fixture { store, .. } = &Fixture::new();
        for version in 0..20u64 {
            let wins: usize = std::thread::scope(|scope| {
                let writers = [0, 1, 2, 3].map(|writer| {
                    let ids = [u128::from(version) * 8 + 2 * writer, u128::from(version) * 8 + 2 * writer + 1];
                    let expected = ExpectedVersion::Exact(StreamVersion(2 * version));
                    scope.spawn(move || store.append(expecting(expected, request("order-1", ids))).is_ok())
                });
                writers.into_iter().map(|writer| usize::from(writer.join().unwrap())).sum()
            });
            assert_eq!(wins, 1);
        }
        assert_eq!(store.stream_version(&stream("order-1")).unwrap(), StreamVersion(40));
        assert_eq!(store.head(), Position(40));
    }

    #[test]
    fn everything_is_there_after_reopening() {
        let fixture = Fixture::new();
        let image = NewEvent { content_type: "image/png".into(), data: vec![0xff, 0], schema_version: 7, ..event(2) };
        fixture.store.append(request("order-1", [1])).unwrap();
        fixture.store.append(AppendRequest { events: vec![image.clone()], ..request("order-1", []) }).unwrap();
        let log_id = fixture.store.log_id();
        let fixture = fixture.reopened_after(|_| ());
        assert_eq!((fixture.store.log_id(), fixture.store.head()), (log_id, Position(2)));
        let page = fixture.store.read_stream(&stream("order-1"), None, Direction::Forwards, 10).unwrap();
        let NewEvent { id, event_type, schema_version, time, content_type, data, metadata } = image;
        let (stream, version, position) = (stream("order-1"), StreamVersion(2), Position(2));
        let expected = RecordedEvent {
            id,
            stream,
            version,
            position,
            event_type,
            schema_version,
            time,
            content_type,
            data,
            metadata,
        };
        assert_eq!(page.events[1], expected);
        assert_eq!(fixture.store.append(request("order-1", [3])).unwrap().last_version, StreamVersion(3));
    }

    #[test]
    fn an_import_goes_to_the_ends_of_many_streams_and_skips_what_is_there() {
        let Fixture { store, .. } = &Fixture::new();
        let events = |ids: &[u128]| ids.iter().map(|n| (stream(&format!("order-{}", n % 2)), event(*n))).collect();
        let first = store.import(events(&[1, 2, 3])).unwrap();
        assert_eq!((first.appended, first.skipped, first.last_position), (3, 0, Position(3)));
        let again = store.import(events(&[2, 3, 4, 4])).unwrap();
        assert_eq!((again.appended, again.skipped, again.last_position), (1, 3, Position(4)));
        assert_eq!(store.import(events(&[1])).unwrap().last_position, Position(1));
        assert_eq!(store.stream_version(&stream("order-0")).unwrap(), StreamVersion(2));
        assert_eq!(store.stats().events_appended, 4);
    }
}

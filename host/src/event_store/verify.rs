//! Verifies the whole log: every event against its checksum and the chain, every index against the events, and every
//! decision on a conflict.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rusqlite::{Connection, ErrorCode, OptionalExtension};
use uuid::Uuid;

use super::narrow::Wanted;
use super::packed_index::Map;
use super::read::LogReader;
use super::sealed::key_of;
use super::segment::Segment;
use super::{EventStore, EventStoreError, ReadLimit};
use crate::event::{EventBatch, Interest, Position};

/// What is read at a time.
const PAGE: ReadLimit = ReadLimit { events: 1000, bytes: 8 << 20 };

/// How far a verification has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verifying {
    /// Every event up to here is what was written.
    Events(Position),
    /// The events up to here can be found through the indexes of sealed events.
    SealedIndexes(Position),
    /// SQLite looks at the rest of the file, in one go.
    File,
}

impl EventStore {
    /// Verifies every event from the first to the newest, and then that all indexes lead to them. Tells how far it is,
    /// and ends without a result when the answer is no. Events may be appended meanwhile. Blocks.
    ///
    /// # Errors
    /// [`EventStoreError::Corrupt`] with the first event that is not what was written or cannot be found, and
    /// [`EventStoreError::DamagedFile`] when the events are sound and something else is not.
    pub fn verify(&self, mut go_on: impl FnMut(Verifying) -> bool) -> Result<Option<Position>, EventStoreError> {
        let mut reader = self.reader()?;
        let Some(end) = reader.verify_events(&mut go_on)? else { return Ok(None) };
        let indexes_end = reader.verify_sealed_indexes(&mut go_on)?;
        if indexes_end.is_none() || !go_on(Verifying::File) {
            return Ok(None);
        }
        reader.verify_file()?;
        Ok(reader.verify_conflicts(|| go_on(Verifying::File))?.then_some(end))
    }
}

impl LogReader {
    /// Answers the end of the log.
    fn verify_events(
        &mut self,
        go_on: &mut impl FnMut(Verifying) -> bool,
    ) -> Result<Option<Position>, EventStoreError> {
        let (mut batch, mut after) = (EventBatch::default(), Position(0));
        loop {
            let to = self.read_verified(after, &mut batch)?;
            if to == after && self.ends_at(to)? {
                return Ok(Some(to));
            }
            after = to;
            if !go_on(Verifying::Events(to)) {
                return Ok(None);
            }
        }
    }

    fn read_verified(&mut self, after: Position, batch: &mut EventBatch) -> Result<Position, EventStoreError> {
        let everything = [Interest::everything()];
        let read = self.read_after(after, &everything, PAGE, batch);
        let Err(EventStoreError::Sqlite { source, .. }) = &read else { return read };
        if source.sqlite_error_code() != Some(ErrorCode::DatabaseCorrupt) {
            return read;
        }
        // SQLite does not say where: the first event that cannot be read alone is the one.
        let what = source.to_string();
        let mut last = after;
        let one = ReadLimit { events: 1, ..PAGE };
        while let Ok(to) = self.read_after(last, &everything, one, batch)
            && to > last
        {
            last = to;
        }
        Err(self.decoder.corrupt(last.0 + 1, &what))
    }

    /// Whether the log ends here and so. No when events were appended since.
    fn ends_at(&mut self, position: Position) -> Result<bool, EventStoreError> {
        let chain = self.chain_at(position.0)?;
        let newest: Option<i64> = self
            .connection
            .query_row("SELECT chain FROM log WHERE position = ?", [position.0 as i64], |row| row.get(0))
            .optional()
            .map_err(|source| self.decoder.sqlite(source))?;
        match newest {
            Some(newest) if newest as u64 != chain => {
                Err(self.decoder.corrupt(position.0, "it is not the event that the log ended with"))
            }
            newest => Ok(newest.is_some()),
        }
    }

    /// Answers the last sealed position.
    fn verify_sealed_indexes(
        &mut self,
        go_on: &mut impl FnMut(Verifying) -> bool,
    ) -> Result<Option<Position>, EventStoreError> {
        self.head()?;
        let sealed = self.sealed;
        let (mut next, mut expected) = (1, Entries::default());
        while next <= sealed {
            let Self { connection, decoder, segments, .. } = self;
            let segment = segments.at(connection, next).map_err(|error| decoder.unreadable(error))?;
            let found = expected.find(connection, segment).map_err(|source| decoder.sqlite(source))?;
            let copied = found.map_err(|what| decoder.corrupt(segment.first_position, what))?;
            next = segment.last_position() + 1;
            self.verify_copies(next - 1, &copied)?;
            if !go_on(Verifying::SealedIndexes(Position(next - 1))) {
                return Ok(None);
            }
        }
        let counted = Entries::count(&self.connection, sealed).map_err(|source| self.decoder.sqlite(source))?;
        self.head()?;
        // When more was sealed meanwhile, there are more.
        if counted != expected && self.sealed == sealed {
            return Err(self.damaged("an index of sealed events has entries that lead to none"));
        }
        Ok(Some(Position(sealed)))
    }

    /// Compares the copies of events of these kinds with the events in the segment that ends here.
    fn verify_copies(&mut self, last: u64, kinds: &BTreeSet<u32>) -> Result<(), EventStoreError> {
        let Self { connection, decoder, segments, .. } = self;
        let segment = segments.at(connection, last).map_err(|error| decoder.unreadable(error))?;
        let (first, mut events, mut copies) = (segment.first_position, EventBatch::default(), EventBatch::default());
        decoder.begin(&mut events);
        for index in (0..segment.len()).filter(|index| kinds.contains(&segment.kinds[*index])) {
            decoder.push_sealed(segment, index..index + 1, &mut events, usize::MAX)?;
        }
        let kinds: Vec<i64> = kinds.iter().map(|kind| i64::from(*kind)).collect();
        let limit = ReadLimit { events: usize::MAX, bytes: usize::MAX };
        self.decoder.begin(&mut copies);
        let wanted = Wanted { after: first - 1, kinds: &kinds, limit };
        let _all = self.read_copies(&[(first, Some(events.len() as u64))], &wanted, &mut copies)?;
        if copies == events {
            Ok(())
        } else {
            Err(self.decoder.corrupt(first, "copies of events of its segment differ"))
        }
    }

    /// What SQLite itself can find: pages that make no sense, and indexes that do not fit to their tables.
    fn verify_file(&mut self) -> Result<(), EventStoreError> {
        let found: String = self
            .connection
            .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
            .map_err(|source| self.decoder.sqlite(source))?;
        if found == "ok" { Ok(()) } else { Err(self.damaged(&found)) }
    }

    fn damaged(&self, what: &str) -> EventStoreError {
        EventStoreError::DamagedFile { path: self.decoder.path.clone(), what: what.to_owned() }
    }
}

/// How many entries the indexes of sealed events have.
#[derive(Debug, Default, PartialEq, Eq)]
struct Entries {
    kinds: u64,
    streams: u64,
    ids: u64,
    copies: u64,
}

impl Entries {
    fn count(connection: &Connection, sealed: u64) -> rusqlite::Result<Self> {
        let of_kinds = "SELECT count(*) FROM segment_kinds WHERE first_position <= ?";
        let kinds = connection.query_row(of_kinds, [sealed as i64], |row| row.get(0))?;
        let of_copies = "SELECT count(*) FROM rare_events WHERE position <= ?";
        let copies = connection.query_row(of_copies, [sealed as i64], |row| row.get(0))?;
        Ok(Self { kinds, streams: Map::Streams.count(connection)?, ids: Map::Ids.count(connection)?, copies })
    }

    /// Looks up everything that the indexes should have of this segment, and counts it. Answers the kinds of event of
    /// which copies are kept.
    fn find(
        &mut self,
        connection: &Connection,
        segment: &Segment,
    ) -> rusqlite::Result<Result<BTreeSet<u32>, &'static str>> {
        let first = segment.first_position;
        let mut kinds: BTreeMap<u32, u64> = BTreeMap::new();
        segment.kinds.iter().for_each(|kind| *kinds.entry(*kind).or_default() += 1);
        self.kinds += kinds.len() as u64;
        let mut copies =
            connection.prepare_cached("SELECT copies FROM segment_kinds WHERE kind_id = ? AND first_position = ?")?;
        let mut copied = BTreeSet::new();
        for (kind, events) in kinds {
            match copies.query_row([i64::from(kind), first as i64], |row| row.get::<_, u64>(0)).optional()? {
                None => return Ok(Err("its segment is missing from the index of kinds")),
                Some(0) => {}
                Some(copies) if copies == events => {
                    self.copies += copies;
                    copied.insert(kind);
                }
                Some(_) => return Ok(Err("the index of kinds has a wrong number of copies of events of its segment")),
            }
        }
        let mut streams: HashMap<&[u8], u64> = HashMap::new();
        let mut ids = BTreeSet::new();
        for (index, id) in segment.ids.chunks_exact(16).enumerate() {
            streams.insert(segment.parts(index)[0], segment.versions[index]);
            ids.insert(key_of(Uuid::from_slice(id).unwrap_or_default()));
        }
        let mut stream_id = connection.prepare_cached("SELECT id FROM streams WHERE name = ?")?;
        for (name, version) in &streams {
            let name = String::from_utf8_lossy(name);
            let id: Option<i64> = stream_id.query_row([name], |row| row.get(0)).optional()?;
            let key = (id.unwrap_or_default() as u64, *version);
            if !Map::Streams.find(connection, key, key, usize::MAX)?.contains(&(key, first)) {
                return Ok(Err("its segment is missing from the index of streams"));
            }
        }
        for key in &ids {
            if !Map::Ids.find(connection, *key, *key, usize::MAX)?.contains(&(*key, first)) {
                return Ok(Err("its segment is missing from the index of ids"));
            }
        }
        self.streams += streams.len() as u64;
        self.ids += ids.len() as u64;
        Ok(Ok(copied))
    }
}

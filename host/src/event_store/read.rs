//! Reads the log in pages, on a connection of its own. Verifies what it reads and holds no
//! transaction between two calls, so that it never keeps the writer from tidying up.

use std::ops::{ControlFlow, Range};
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row};
use uuid::Uuid;

use super::checksum::{chain_on, chain_start};
use super::decode::{COLUMNS, Decoder};
use super::narrow::Wanted;
use super::sealed::{self, Segments};
use super::{EventStoreError, ReadLimit};
use crate::event::{EventBatch, Interest, Position};
use crate::sqlite;

/// The most that a batch may hold: its columns reach 4 GiB.
const MAX_BATCH_BYTES: usize = 1 << 30;

/// Reads events of the log by position. Lives on one thread at a time.
pub struct LogReader {
    pub(super) connection: Connection,
    pub(super) decoder: Decoder,
    pub(super) segments: Segments,
    /// The position of the newest sealed event, as of the last look at the head.
    pub(super) sealed: u64,
    /// The last position that is read.
    end: Position,
    /// The position read last by a scan, and its chain; in the midst of a segment that of its end.
    chained: (u64, u64),
    chain_start: u64,
}

impl LogReader {
    pub(super) fn open(path: &Path, log_id: Uuid, end: Position) -> Result<Self, EventStoreError> {
        let connection = sqlite::open_read_only(path).map_err(|source| EventStoreError::Sqlite {
            doing: "open",
            path: path.to_owned(),
            source,
        })?;
        let chain_start = chain_start(log_id);
        let (decoder, segments) = (Decoder::new(path.to_owned()), Segments::default());
        Ok(Self { connection, decoder, segments, sealed: 0, end, chained: (0, chain_start), chain_start })
    }

    /// Fills the batch, which is emptied first, with the events after a position that one of the
    /// interests selects, in the order of their positions. Answers the last position looked at, where
    /// the next read goes on: that of the last event in the batch when a limit was reached, otherwise
    /// the newest of the log.
    ///
    /// Events that are not wanted are not read. When every kind of event is wanted, the chain through
    /// the events is verified too, otherwise each event's own checksum only.
    ///
    /// # Errors
    /// [`EventStoreError::Corrupt`] at the first event that is missing or not what was written;
    /// [`EventStoreError::AfterHead`] when the log ends before `after`. The batch is then empty.
    pub fn read_after(
        &mut self,
        after: Position,
        interests: &[Interest],
        limit: ReadLimit,
        batch: &mut EventBatch,
    ) -> Result<Position, EventStoreError> {
        self.decoder.begin(batch);
        let read = self.in_one_snapshot(|reader| reader.read_between(after, interests, limit, batch));
        read.inspect_err(|_| batch.clear())
    }

    /// Fills the batch, which is emptied first, with the events at exactly these positions, in the
    /// order given. Ask for few: together they must stay below 1 GiB.
    ///
    /// # Errors
    /// As [`LogReader::read_after`].
    pub fn read_positions(&mut self, positions: &[Position], batch: &mut EventBatch) -> Result<(), EventStoreError> {
        self.decoder.begin(batch);
        let read = self.in_one_snapshot(|reader| {
            let head = reader.head()?;
            if let Some(after) = positions.iter().copied().find(|position| *position > head) {
                return Err(EventStoreError::AfterHead { after, head });
            }
            reader.refresh_kinds()?;
            let positions: Vec<u64> = positions.iter().map(|position| position.0).collect();
            reader.read_runs(&positions, MAX_BATCH_BYTES, batch)
        });
        read.map(|_| ()).inspect_err(|_| batch.clear())
    }

    /// A transaction around many statements: each would else take and release its locks.
    pub(super) fn in_one_snapshot<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, EventStoreError>,
    ) -> Result<T, EventStoreError> {
        self.connection.execute_batch("BEGIN").map_err(|source| self.decoder.sqlite(source))?;
        let result = read(self);
        // After some errors SQLite has ended it already.
        if !self.connection.is_autocommit() {
            let ended = self.connection.execute_batch("ROLLBACK").map_err(|source| self.decoder.sqlite(source));
            return result.and_then(|read| ended.map(|()| read));
        }
        result
    }

    fn read_between(
        &mut self,
        after: Position,
        interests: &[Interest],
        limit: ReadLimit,
        batch: &mut EventBatch,
    ) -> Result<Position, EventStoreError> {
        let limit = ReadLimit { events: limit.events.max(1), bytes: limit.bytes.min(MAX_BATCH_BYTES) };
        let head = self.head()?;
        if after > head {
            return Err(EventStoreError::AfterHead { after, head });
        }
        self.refresh_kinds()?;
        let Some(kinds) = self.decoder.kinds.select(interests) else {
            return self.scan(after, head, limit, batch);
        };
        let kinds = kinds.to_vec();
        self.read_kinds(&Wanted { after: after.0, kinds: &kinds, limit }, head, batch)
    }

    /// Every event after a position and up to the head, with the chain.
    fn scan(
        &mut self,
        after: Position,
        head: Position,
        limit: ReadLimit,
        batch: &mut EventBatch,
    ) -> Result<Position, EventStoreError> {
        let mut chain = self.chain_at(after.0)?;
        let last = head.0.min(after.0.saturating_add(limit.events as u64));
        let _went_on = self.read_run(after.0 + 1..last + 1, limit.bytes, batch, Some(&mut chain))?;
        let scanned_to = batch.positions.last().copied().unwrap_or(after.0);
        self.chained = (scanned_to, chain);
        Ok(Position(scanned_to))
    }

    /// The events at the given positions, neighbours together. Breaks when the batch is full.
    fn read_runs(
        &mut self,
        positions: &[u64],
        max_bytes: usize,
        batch: &mut EventBatch,
    ) -> Result<ControlFlow<()>, EventStoreError> {
        for run in positions.chunk_by(|a, b| a + 1 == *b) {
            if self.read_run(run[0]..run[0] + run.len() as u64, max_bytes, batch, None)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// All events of a range of positions. `chain` is that of the event before the range.
    pub(super) fn read_run(
        &mut self,
        run: Range<u64>,
        max_bytes: usize,
        batch: &mut EventBatch,
        mut chain: Option<&mut u64>,
    ) -> Result<ControlFlow<()>, EventStoreError> {
        let sealed = run.start..run.end.min(self.sealed + 1);
        let run = run.start.max(self.sealed + 1)..run.end;
        if !sealed.is_empty() {
            let went_on = self.read_sealed(sealed, max_bytes, batch, chain.as_deref_mut())?;
            if went_on.is_break() || run.is_empty() {
                return Ok(went_on);
            }
        }
        let Self { connection, decoder, .. } = self;
        let sql = format!("SELECT {COLUMNS} FROM events WHERE position >= ? AND position < ? ORDER BY position");
        let mut statement = connection.prepare_cached(&sql).map_err(|source| decoder.sqlite(source))?;
        let range = [run.start as i64, run.end as i64];
        let mut rows = statement.query(range).map_err(|source| decoder.sqlite(source))?;
        for position in run {
            let row = rows.next().map_err(|source| decoder.sqlite(source))?;
            let found = row.filter(|row| row.get(0) == Ok(position as i64));
            let row = found.ok_or_else(|| decoder.corrupt(position, "the event is missing"))?;
            let Some(link) = decoder.push(connection, row, batch, max_bytes)? else {
                return Ok(ControlFlow::Break(()));
            };
            if let Some(chain) = chain.as_deref_mut() {
                *chain = chain_on(*chain, link.checksum);
                if *chain != link.chain {
                    return Err(decoder.corrupt(position, "it does not follow from the event before it"));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// As [`LogReader::read_run`], of positions that are sealed.
    fn read_sealed(
        &mut self,
        run: Range<u64>,
        max_bytes: usize,
        batch: &mut EventBatch,
        mut chain: Option<&mut u64>,
    ) -> Result<ControlFlow<()>, EventStoreError> {
        let Self { connection, decoder, segments, .. } = self;
        let mut position = run.start;
        while position < run.end {
            let segment = segments.at(connection, position).map_err(|error| decoder.unreadable(error))?;
            let end = run.end.min(segment.last_position() + 1);
            let indices = (position - segment.first_position) as usize..(end - segment.first_position) as usize;
            let taken = decoder.push_sealed(segment, indices, batch, max_bytes)? as u64;
            if let Some(chain) = chain.as_deref_mut().filter(|_| taken > 0) {
                if position == segment.first_position && *chain != segment.chain_before {
                    return Err(decoder.corrupt(position, "it does not follow from the event before it"));
                }
                *chain = segment.chain;
            }
            position += taken;
            if position < end {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Fills the batch as [`LogReader::read_after`], with every event. Answers the chain of the event
    /// before the first and that of the last.
    pub(super) fn read_with_chains(
        &mut self,
        after: Position,
        limit: ReadLimit,
        batch: &mut EventBatch,
    ) -> Result<[u64; 2], EventStoreError> {
        self.read_after(after, &[Interest::everything()], limit, batch)?;
        let chain = self.chained.1;
        Ok([self.chain_at(after.0)?, chain])
    }

    /// The chain of the event at a position, remembered from the last scan or looked up.
    pub(super) fn chain_at(&self, position: u64) -> Result<u64, EventStoreError> {
        if position == 0 {
            return Ok(self.chain_start);
        }
        if position == self.chained.0 {
            return Ok(self.chained.1);
        }
        let of_row = || {
            let mut statement = self.connection.prepare_cached("SELECT chain FROM events WHERE position = ?")?;
            statement.query_row([position as i64], |row| row.get::<_, i64>(0).map(|chain| chain as u64)).optional()
        };
        let chain = if position <= self.sealed { sealed::chain_after(&self.connection, position) } else { of_row() };
        let chain = chain.map_err(|source| self.decoder.sqlite(source))?;
        chain.ok_or_else(|| self.decoder.corrupt(position, "the event is missing"))
    }

    /// The end of the log, as of now, and of its sealed part.
    pub(super) fn head(&mut self) -> Result<Position, EventStoreError> {
        let row = |row: &Row<'_>| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64));
        let (head, sealed) = self
            .connection
            .prepare_cached("SELECT position, sealed FROM log")
            .and_then(|mut statement| statement.query_row([], row))
            .map_err(|source| self.decoder.sqlite(source))?;
        self.sealed = sealed.min(self.end.0);
        Ok(Position(head).min(self.end))
    }

    pub(super) fn refresh_kinds(&mut self) -> Result<(), EventStoreError> {
        let Self { connection, decoder, .. } = self;
        let Err(id) = decoder.kinds.refresh(connection).map_err(|source| decoder.sqlite(source))? else {
            return Ok(());
        };
        let first: Option<i64> =
            connection.query_row(FIRST_OF_KIND, [id], |row| row.get(0)).map_err(|source| decoder.sqlite(source))?;
        Err(decoder.corrupt(first.unwrap_or(0) as u64, "the names of its kind are not those that were written"))
    }
}

const FIRST_OF_KIND: &str = "SELECT min(at) FROM (
    SELECT min(position) AS at FROM events WHERE kind_id = ?1
    UNION ALL SELECT min(first_position) FROM segment_kinds WHERE kind_id = ?1)";

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::super::fixture::{Fixture, NO_LIMIT, event, interest, request};
    use super::*;
    use crate::event::NewEvent;
    use crate::event_store::AppendRequest;

    /// The positions read, and how far the log was looked at.
    fn read(reader: &mut LogReader, after: u64, interests: &[Interest], limit: ReadLimit) -> (Vec<u64>, u64) {
        let mut batch = EventBatch::default();
        let scanned_to = reader.read_after(Position(after), interests, limit, &mut batch).unwrap();
        assert_eq!(batch.iter().count(), batch.len());
        (batch.positions, scanned_to.0)
    }

    /// order Placed: 1, 4, 7; cart Placed: 2, 5, 8; order Paid: 3, 6, 9.
    fn nine_events() -> Fixture {
        let fixture = Fixture::new();
        for n in [1, 4, 7] {
            fixture.append("order-1", n, "Placed");
            fixture.append("cart-1", n + 1, "Placed");
            fixture.append("order-1", n + 2, "Paid");
        }
        fixture
    }

    #[test]
    fn interests_select_by_category_and_type_in_the_order_of_positions() {
        let fixture = nine_events();
        let mut reader = fixture.store.reader().unwrap();
        for (interests, expected) in [
            (vec![interest(None, &[])], vec![1, 2, 3, 4, 5, 6, 7, 8, 9]),
            (vec![interest(Some("order"), &[])], vec![1, 3, 4, 6, 7, 9]),
            (vec![interest(None, &["Placed"])], vec![1, 2, 4, 5, 7, 8]),
            (vec![interest(Some("order"), &["Paid"])], vec![3, 6, 9]),
            (vec![interest(Some("cart"), &[]), interest(None, &["Paid"])], vec![2, 3, 5, 6, 8, 9]),
            (vec![interest(Some("order"), &["Paid"]), interest(Some("order"), &[])], vec![1, 3, 4, 6, 7, 9]),
            (vec![interest(Some("customer"), &[])], vec![]),
        ] {
            assert_eq!(read(&mut reader, 0, &interests, NO_LIMIT), (expected, 9), "{interests:?}");
        }
    }

    #[test]
    fn a_read_that_reaches_a_limit_was_scanned_to_its_last_event_and_goes_on_from_there() {
        let fixture = nine_events();
        let mut reader = fixture.store.reader().unwrap();
        let two = ReadLimit { events: 2, bytes: usize::MAX };
        let one_byte = ReadLimit { events: 9, bytes: 1 };
        let cart = [interest(Some("cart"), &[])];
        assert_eq!(read(&mut reader, 0, &cart, two), (vec![2, 5], 5));
        assert_eq!(read(&mut reader, 5, &cart, two), (vec![8], 9));
        assert_eq!(read(&mut reader, 9, &cart, two), (vec![], 9));
        assert_eq!(read(&mut reader, 2, &cart, one_byte), (vec![5], 5));
        let everything = [Interest::everything()];
        assert_eq!(read(&mut reader, 0, &everything, two), (vec![1, 2], 2));
        assert_eq!(read(&mut reader, 8, &everything, two), (vec![9], 9));
        assert_eq!(read(&mut reader, 2, &everything, one_byte), (vec![3], 3));
    }

    #[test]
    fn kinds_that_appear_later_are_found_by_a_reader_that_is_open() {
        let fixture = nine_events();
        let mut reader = fixture.store.reader().unwrap();
        let wanted = [interest(Some("order"), &["Shipped"]), interest(Some("refund"), &[])];
        assert_eq!(read(&mut reader, 0, &wanted, NO_LIMIT), (vec![], 9));
        fixture.append("refund-1", 10, "Asked");
        fixture.append("cart-1", 11, "Placed");
        fixture.append("order-1", 12, "Shipped");
        assert_eq!(read(&mut reader, 9, &wanted, NO_LIMIT), (vec![10, 12], 12));
    }

    #[test]
    fn a_narrow_read_does_not_touch_events_that_are_not_wanted() {
        let fixture = nine_events().reopened_after(|connection| {
            // Any event of another kind that is read now is an error.
            connection.execute("UPDATE events SET checksum = 0 WHERE position NOT IN (2, 5, 8)", []).unwrap();
        });
        let mut reader = fixture.store.reader().unwrap();
        assert_eq!(read(&mut reader, 0, &[interest(Some("cart"), &[])], NO_LIMIT), (vec![2, 5, 8], 9));
    }

    #[test]
    fn exact_positions_are_read_in_the_order_given() {
        let fixture = nine_events();
        let mut reader = fixture.store.reader().unwrap();
        let mut batch = EventBatch::default();
        reader.read_positions(&[7, 2, 3, 4].map(Position), &mut batch).unwrap();
        assert_eq!(batch.positions, [7, 2, 3, 4]);
        assert_eq!((batch.get(0).stream, batch.get(1).stream), ("order-1", "cart-1"));
        let beyond = reader.read_positions(&[Position(9), Position(10)], &mut batch);
        assert!(matches!(beyond, Err(EventStoreError::AfterHead { after: Position(10), head: Position(9) })));
        assert!(batch.is_empty());
    }

    #[test]
    fn a_reader_that_is_ahead_of_the_log_is_told() {
        let fixture = nine_events();
        let mut reader = fixture.store.reader().unwrap();
        let ahead = reader.read_after(Position(10), &[], NO_LIMIT, &mut EventBatch::default());
        assert!(matches!(ahead, Err(EventStoreError::AfterHead { after: Position(10), head: Position(9) })));
    }

    #[test]
    fn the_chain_is_verified_across_pages_and_from_any_position() {
        let fixture = nine_events().reopened_after(|connection| {
            // Event 5 stays sound in itself, but another one came before it.
            connection.execute("UPDATE events SET chain = chain + 1 WHERE position = 4", []).unwrap();
        });
        let mut batch = EventBatch::default();
        let mut reader = fixture.store.reader().unwrap();
        let error = reader.read_after(Position(4), &[Interest::everything()], NO_LIMIT, &mut batch).unwrap_err();
        assert!(matches!(error, EventStoreError::Corrupt { position: Position(5), .. }), "{error}");
    }

    #[test]
    fn a_batch_never_holds_more_bytes_than_allowed_unless_one_event_does() {
        let fixture = Fixture::new();
        for n in 1..=4 {
            let event = NewEvent { data: vec![b'1'; 1000], ..event(n) };
            fixture.store.append(AppendRequest { events: vec![event], ..request("order-1", []) }).unwrap();
        }
        let mut reader = fixture.store.reader().unwrap();
        let limit = ReadLimit { events: 9, bytes: 2500 };
        assert_eq!(read(&mut reader, 0, &[Interest::everything()], limit), (vec![1, 2], 2));
    }
}

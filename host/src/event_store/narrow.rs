//! Reads the events of some kinds only: rows through the index of kinds, segments by unpacking those that have such
//! events, and kinds that are rare in their segment from the copies that were kept of their events.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::{ControlFlow, Range};

use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator;
use rusqlite::{CachedStatement, Connection, Row, Rows};

use super::decode::COLUMNS;
use super::rare::COPIES;
use super::read::LogReader;
use super::{EventStoreError, ReadLimit, sealed};
use crate::event::{EventBatch, Position};

/// Segments that are looked up at a time.
const SEGMENTS_AT_ONCE: usize = 64;

/// What is read: these kinds, after this position.
pub(super) struct Wanted<'a> {
    pub after: u64,
    pub kinds: &'a [i64],
    pub limit: ReadLimit,
}

/// The first position of a segment with events that are wanted, and how many copies there are of them; `None` when not
/// all of them are copied.
type Place = (u64, Option<u64>);

impl LogReader {
    /// Fills the batch with what is wanted, up to the head. Answers the last position looked at.
    pub(super) fn read_kinds(
        &mut self,
        wanted: &Wanted<'_>,
        head: Position,
        batch: &mut EventBatch,
    ) -> Result<Position, EventStoreError> {
        let went_on = self.read_sealed_kinds(wanted, batch)?;
        if went_on.is_continue() && self.read_rows_of_kinds(wanted, head, batch)?.is_continue() {
            return Ok(head);
        }
        Ok(batch.positions.last().map_or(head, |last| Position(*last)))
    }

    /// What is wanted of the rows. Breaks when the batch is full.
    fn read_rows_of_kinds(
        &mut self,
        wanted: &Wanted<'_>,
        head: Position,
        batch: &mut EventBatch,
    ) -> Result<ControlFlow<()>, EventStoreError> {
        let Self { connection, decoder, sealed, .. } = self;
        let sql = format!("SELECT {COLUMNS} FROM events");
        let mut statements =
            prepare(connection, &sql, "position", wanted.kinds).map_err(|source| decoder.sqlite(source))?;
        let mut rows = Merged::new(&mut statements, wanted.kinds, wanted.after.max(*sealed) + 1..head.0 + 1)
            .map_err(|source| decoder.sqlite(source))?;
        while batch.len() < wanted.limit.events {
            let row = rows.next_before(u64::MAX).map_err(|source| decoder.sqlite(source))?;
            let Some((position, row)) = row else { return Ok(ControlFlow::Continue(())) };
            let is_later = batch.positions.last().is_none_or(|last| position > *last);
            if !is_later || !row.get(3).is_ok_and(|kind| wanted.kinds.contains(&kind)) {
                return Err(decoder.corrupt(position, "the index of kinds has it as another event"));
            }
            if decoder.push(connection, row, batch, wanted.limit.bytes)?.is_none() {
                break;
            }
        }
        Ok(ControlFlow::Break(()))
    }

    /// What is wanted of the sealed events. Breaks when the batch is full.
    fn read_sealed_kinds(
        &mut self,
        wanted: &Wanted<'_>,
        batch: &mut EventBatch,
    ) -> Result<ControlFlow<()>, EventStoreError> {
        let (after, sealed) = (wanted.after, self.sealed);
        let first = || sealed::first_position(&self.connection, after + 1);
        let mut next =
            if after < sealed { first() } else { Ok(u64::MAX) }.map_err(|source| self.decoder.sqlite(source))?;
        while next <= sealed {
            let found = segments_with(&self.connection, wanted.kinds, next..sealed + 1)
                .map_err(|source| self.decoder.sqlite(source))?;
            next = found.last().map_or(u64::MAX, |(last, _)| last + 1);
            for run in found.chunk_by(|(_, one), (_, other)| one.is_some() && other.is_some()) {
                let went_on = match run {
                    [(first, None)] => self.read_segment(*first, wanted, batch)?,
                    run => self.read_copies(run, wanted, batch)?,
                };
                if went_on.is_break() {
                    return Ok(went_on);
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// What is wanted of a segment that has to be unpacked.
    fn read_segment(
        &mut self,
        first: u64,
        wanted: &Wanted<'_>,
        batch: &mut EventBatch,
    ) -> Result<ControlFlow<()>, EventStoreError> {
        let Self { connection, decoder, segments, sealed, .. } = self;
        let segment = segments.at(connection, first).map_err(|error| decoder.unreadable(error))?;
        let here = segment.after(wanted.after).take_while(|index| segment.first_position + *index as u64 <= *sealed);
        for index in here.filter(|index| wanted.kinds.contains(&segment.kinds[*index].into())) {
            let is_full = batch.len() >= wanted.limit.events;
            if is_full || decoder.push_sealed(segment, index..index + 1, batch, wanted.limit.bytes)? == 0 {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// What is wanted of segments with copies of all of it; others that lie between them have nothing of it. The copies of
    /// a segment are counted before any of them counts as read: none may be missing.
    pub(super) fn read_copies(
        &mut self,
        run: &[Place],
        wanted: &Wanted<'_>,
        batch: &mut EventBatch,
    ) -> Result<ControlFlow<()>, EventStoreError> {
        let Self { connection, decoder, sealed, .. } = self;
        let Some(((first, _), (last, _))) = run.first().zip(run.last()) else { return Ok(ControlFlow::Continue(())) };
        let end = sealed::next_segment(connection, *last).map_err(|source| decoder.sqlite(source))?;
        let mut statements =
            prepare(connection, COPIES, "position", wanted.kinds).map_err(|source| decoder.sqlite(source))?;
        let mut rows =
            Merged::new(&mut statements, wanted.kinds, *first..end).map_err(|source| decoder.sqlite(source))?;
        let ends = run.iter().skip(1).map(|(next, _)| *next).chain([end]);
        for ((first, copies), end) in run.iter().zip(ends) {
            let (mut found, mut is_full) = (0, false);
            while let Some((position, row)) = rows.next_before(end).map_err(|source| decoder.sqlite(source))? {
                found += 1;
                if !is_full && position > wanted.after && position <= *sealed {
                    is_full = batch.len() >= wanted.limit.events
                        || decoder.push(connection, row, batch, wanted.limit.bytes)?.is_none();
                }
            }
            if Some(found) != *copies {
                let what = format!(
                    "copies of {} rare events of its segment were kept, and {found} are there",
                    copies.unwrap_or_default()
                );
                return Err(decoder.corrupt(*first, &what));
            }
            if is_full {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// The first segments in a range that have events of these kinds.
fn segments_with(connection: &Connection, kinds: &[i64], range: Range<u64>) -> rusqlite::Result<Vec<Place>> {
    let sql = "SELECT first_position, nullif(copies, 0) FROM segment_kinds";
    let mut statements = prepare(connection, sql, "first_position", kinds)?;
    let mut rows = Merged::new(&mut statements, kinds, range)?;
    let mut places: Vec<Place> = Vec::new();
    while let Some((first, row)) = rows.next_before(u64::MAX)? {
        let copies = row.get::<_, Option<i64>>(1)?.map(|copies| copies as u64);
        let is_full = places.len() >= SEGMENTS_AT_ONCE;
        match places.last_mut() {
            Some((last, all)) if *last == first => {
                *all = all.zip(copies).map(|(all, copies)| all.saturating_add(copies))
            }
            _ if is_full => break,
            _ => places.push((first, copies)),
        }
    }
    Ok(places)
}

/// A statement for each kind that finds its rows in a range of positions, in their order. Statements with different text
/// stay prepared side by side.
fn prepare<'c>(
    connection: &'c Connection,
    select: &str,
    position: &str,
    kinds: &[i64],
) -> rusqlite::Result<Vec<CachedStatement<'c>>> {
    let condition = format!("kind_id = ? AND {position} >= ? AND {position} < ? ORDER BY {position}");
    (0..kinds.len()).map(|nth| connection.prepare_cached(&format!("{select} WHERE {condition} -- {nth}"))).collect()
}

/// The rows of several statements, each by position, in the order of all positions.
struct Merged<'s> {
    cursors: Vec<Rows<'s>>,
    /// The position at which each cursor is, the first on top; without those at their end.
    next: BinaryHeap<Reverse<(u64, usize)>>,
    /// The cursor whose row was given out.
    given: Option<usize>,
}

impl<'s> Merged<'s> {
    fn new(statements: &'s mut [CachedStatement<'_>], kinds: &[i64], range: Range<u64>) -> rusqlite::Result<Self> {
        let cursors = statements
            .iter_mut()
            .zip(kinds)
            .map(|(statement, kind)| statement.query([*kind, range.start as i64, range.end as i64]));
        let cursors: Vec<_> = cursors.collect::<rusqlite::Result<_>>()?;
        let mut merged = Self { next: BinaryHeap::with_capacity(cursors.len()), cursors, given: None };
        (0..kinds.len()).try_for_each(|nth| merged.advance(nth))?;
        Ok(merged)
    }

    /// The next row, if its position comes before this one.
    fn next_before(&mut self, end: u64) -> rusqlite::Result<Option<(u64, &Row<'s>)>> {
        if let Some(given) = self.given.take() {
            self.advance(given)?;
        }
        let Some(Reverse((position, nth))) = self.next.peek().copied().filter(|Reverse((next, _))| *next < end) else {
            return Ok(None);
        };
        self.next.pop();
        self.given = Some(nth);
        Ok(self.cursors[nth].get().map(|row| (position, row)))
    }

    fn advance(&mut self, nth: usize) -> rusqlite::Result<()> {
        self.cursors[nth].advance()?;
        if let Some(row) = self.cursors[nth].get() {
            self.next.push(Reverse((row.get::<_, i64>(0)? as u64, nth)));
        }
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::super::fixture::{Dice, Fixture, NO_LIMIT, event, interest, request, stream};
    use super::super::{EventStore, EventStoreOptions};
    use super::*;
    use crate::event::{Interest, NewEvent};

    const CATEGORIES: [&str; 3] = ["order", "cart", "refund"];
    const TYPES: [&str; 3] = ["Placed", "Paid", "Shipped"];

    /// Appends events of random kinds, of which most are few.
    fn fill(stores: &[&EventStore], events: Range<u128>, dice: &mut Dice) {
        let skewed = |dice: &mut Dice| dice.roll(30).saturating_sub(27);
        let made = events.map(|n| {
            let name = stream(&format!("{}-{}", CATEGORIES[skewed(dice)], dice.roll(4)));
            let data = format!("\"{}\"", "x".repeat(dice.roll(200))).into_bytes();
            (name, NewEvent { data, event_type: TYPES[skewed(dice)].into(), ..event(n) })
        });
        let made: Vec<_> = made.collect();
        for store in stores {
            store.import(made.clone()).unwrap();
        }
    }

    fn interests(dice: &mut Dice) -> Vec<Interest> {
        let one = |dice: &mut Dice| {
            let category = [None, Some("order"), Some("cart"), Some("refund"), Some("nothing")][dice.roll(5)];
            interest(category, [&[][..], &["Placed"], &["Paid", "Shipped"], &["Shipped"], &["Paid"]][dice.roll(5)])
        };
        (0..=dice.roll(2)).map(|_| one(dice)).collect()
    }

    fn read(reader: &mut LogReader, after: u64, wanted: &[Interest], limit: ReadLimit) -> (Position, EventBatch) {
        let mut batch = EventBatch::default();
        (reader.read_after(Position(after), wanted, limit, &mut batch).unwrap(), batch)
    }

    /// Two logs with the same events: one of rows, and one of rows and of segments with and without copies.
    fn twins(dice: &mut Dice) -> (Fixture, Fixture) {
        let options = EventStoreOptions {
            seal_after_events: dice.roll(60) as u64,
            segment_events: 1 + dice.roll(60),
            rare_percent: [0, 5, 20, 40, 100][dice.roll(5)],
            ..EventStoreOptions::default()
        };
        let (plain, mut sealed) = (Fixture::new(), Fixture::with(options));
        fill(&[&plain.store, &sealed.store], 1..151, dice);
        sealed.seal();
        if dice.roll(2) == 0 {
            // As Lantern left it before there were copies.
            let last = dice.roll(150);
            sealed = sealed.reopened_after(|connection| {
                connection.execute("DELETE FROM rare_events WHERE position <= ?", [last]).unwrap();
                let none = "UPDATE segment_kinds SET copies = 0 WHERE first_position <= ?";
                connection.execute(none, [last]).unwrap();
                let rest = "DELETE FROM rare_events WHERE position <= (SELECT max(first_position + events - 1)
                     FROM segments WHERE first_position <= ?)";
                connection.execute(rest, [last]).unwrap();
            });
        }
        fill(&[&plain.store, &sealed.store], 151..201, dice);
        sealed.seal();
        fill(&[&plain.store, &sealed.store], 201..251, dice);
        (plain, sealed)
    }

    #[test]
    fn a_narrow_read_finds_what_a_filter_of_everything_finds_whatever_is_sealed_and_copied() {
        let mut copies = 0;
        for seed in 1..=60 {
            let mut dice = Dice(seed);
            let (plain, sealed) = twins(&mut dice);
            assert_eq!(sealed.store.verify(|_| true).unwrap(), Some(Position(250)), "seed {seed}");
            copies += sealed.count("rare_events");
            let (_, all) = read(&mut plain.store.reader().unwrap(), 0, &[Interest::everything()], NO_LIMIT);
            for _ in 0..30 {
                let wanted = interests(&mut dice);
                let is_wanted = |kind: &crate::event::EventKind| {
                    wanted.iter().any(|it| it.matches(&kind.category, &kind.event_type))
                };
                let limit = ReadLimit { events: 1 + dice.roll(40), bytes: [500, 3000, usize::MAX][dice.roll(3)] };
                let (mut after, end) = (dice.roll(251) as u64, 1 + dice.roll(250) as u64);
                let end = if dice.roll(2) == 0 { 250 } else { end.max(after) };
                let context = format!("seed {seed}, {wanted:?} after {after} up to {end}, {limit:?}");
                let expected =
                    all.filtered(|event| event.position.0 > after && event.position.0 <= end && is_wanted(event.kind));
                let mut readers = [&plain, &sealed].map(|fixture| {
                    let options = EventStoreOptions::default();
                    EventStore::open_up_to(&fixture.path(), options, Position(end)).unwrap().reader().unwrap()
                });
                let mut found = Vec::new();
                while after < end {
                    let [in_rows, here] = readers.each_mut().map(|reader| read(reader, after, &wanted, limit));
                    assert_eq!(here, in_rows, "{context}, at {after}");
                    assert!(here.0.0 > after && here.1.len() <= limit.events, "{context}, at {after}");
                    found.extend_from_slice(&here.1.positions);
                    after = here.0.0;
                }
                assert_eq!(found, expected.positions, "{context}");
            }
        }
        assert!(copies > 300, "only {copies} copies");
    }

    /// 100 events, `Shipped` every tenth of them and `Paid` every fifth, for segments of 20.
    fn hundred_events(rare_percent: u32) -> Fixture {
        let options = EventStoreOptions { seal_after_events: 0, segment_events: 20, ..EventStoreOptions::default() };
        let fixture = Fixture::with(EventStoreOptions { rare_percent, ..options });
        for n in 1..=100 {
            let event_type = if n % 10 == 3 { "Shipped" } else { ["Placed", "Paid"][usize::from(n % 5 == 4)] };
            fixture.append("order-1", n, event_type);
        }
        fixture
    }

    /// These, sealed, with copies of `Shipped`.
    fn with_copies() -> Fixture {
        let fixture = hundred_events(15);
        assert_eq!((fixture.seal(), fixture.count("rare_events")), (100, 10));
        fixture
    }

    #[test]
    fn events_of_a_rare_kind_are_read_without_their_segments() {
        let fixture = with_copies().reopened_after(|connection| {
            // Any segment that is unpacked now is an error.
            connection.execute("UPDATE segments SET checksum = 0", []).unwrap();
        });
        let mut reader = fixture.store.reader().unwrap();
        let (to, batch) = read(&mut reader, 0, &[interest(None, &["Shipped"])], NO_LIMIT);
        assert_eq!((to.0, batch.positions), (100, (3..100).step_by(10).collect()));
        let two = ReadLimit { events: 2, ..NO_LIMIT };
        let (to, batch) = read(&mut reader, 13, &[interest(None, &["Shipped"])], two);
        assert_eq!((to.0, batch.positions), (33, vec![23, 33]));
        for wanted in [&["Shipped", "Paid"][..], &["Paid"]] {
            let read = reader.read_after(Position(0), &[interest(None, wanted)], NO_LIMIT, &mut EventBatch::default());
            assert!(read.is_err_and(|error| error.to_string().contains("in its segment")), "{wanted:?}");
        }
    }

    #[test]
    fn a_copy_that_is_missing_changed_or_misplaced_is_an_error_and_never_a_hole() {
        for (change, expected) in [
            ("DELETE FROM rare_events WHERE position = 43", 41),
            ("DELETE FROM rare_events WHERE position >= 83", 81),
            ("DELETE FROM rare_events", 1),
            ("UPDATE rare_events SET position = 44 WHERE position = 43", 44),
            ("UPDATE rare_events SET stream = 'order-2' WHERE position = 43", 43),
            ("UPDATE rare_events SET position = 65 WHERE position = 43", 41),
            ("UPDATE rare_events SET kind_id = 1 WHERE position = 43", 41),
            ("UPDATE rare_events SET data = '{}' WHERE position = 43", 43),
            ("UPDATE rare_events SET metadata = '{} ' WHERE position = 43", 43),
            ("UPDATE segment_kinds SET copies = 3 WHERE copies = 2 AND first_position = 41", 41),
            ("UPDATE segment_kinds SET copies = 1 WHERE copies = 2 AND first_position = 41", 41),
        ] {
            let fixture = with_copies().reopened_after(|connection| {
                assert!(connection.execute(change, []).unwrap() > 0, "{change}");
            });
            let mut reader = fixture.store.reader().unwrap();
            for events in [1, 3, 99] {
                let (mut after, mut found, limit) = (Position(0), Vec::new(), ReadLimit { events, ..NO_LIMIT });
                let mut batch = EventBatch::default();
                let error = loop {
                    match reader.read_after(after, &[interest(None, &["Shipped"])], limit, &mut batch) {
                        Ok(to) => {
                            assert!(to > after, "{change} was overlooked");
                            (after, found) = (to, [found, batch.positions.clone()].concat());
                        }
                        Err(error) => break error,
                    }
                };
                assert!(
                    matches!(error, EventStoreError::Corrupt { position, .. } if position.0 == expected),
                    "{change}: {error}"
                );
                assert_eq!(found, (3..100).step_by(10).take(found.len()).collect::<Vec<_>>(), "{change}");
                assert!(batch.is_empty() && found.last().is_none_or(|last| *last < expected), "{change}");
            }
            assert!(fixture.store.verify(|_| true).is_err(), "{change}");
        }
    }

    #[test]
    fn an_index_that_leads_to_an_event_of_another_kind_is_noticed() {
        // The index gets the kinds of 43 and 44 the wrong way round. The rows are as they were.
        let swap = "UPDATE events SET kind_id = 5 - kind_id WHERE position IN (43, 44)";
        let index = "main.sqlite_schema WHERE name = 'events_by_kind'";
        let change = format!(
            "{swap}; PRAGMA writable_schema = ON; CREATE TEMP TABLE hidden AS SELECT * FROM {index};
             DELETE FROM {index}; PRAGMA writable_schema = RESET; {swap}; PRAGMA writable_schema = ON;
             INSERT INTO main.sqlite_schema SELECT * FROM hidden; PRAGMA writable_schema = RESET"
        );
        let fixture = hundred_events(0).reopened_after(|connection| connection.execute_batch(&change).unwrap());
        let (mut reader, mut batch) = (fixture.store.reader().unwrap(), EventBatch::default());
        let error = reader.read_after(Position(0), &[interest(None, &["Shipped"])], NO_LIMIT, &mut batch).unwrap_err();
        assert!(matches!(error, EventStoreError::Corrupt { position: Position(44), .. }), "{error}");
        assert!(batch.is_empty() && fixture.store.verify(|_| true).is_err());
    }

    #[test]
    fn each_kind_is_found_by_an_index_in_the_order_of_positions() {
        let fixture = Fixture::new();
        fixture.store.append(request("order-1", [1])).unwrap();
        let reader = fixture.store.reader().unwrap();
        for (sql, index) in [
            (
                format!("SELECT {COLUMNS} FROM events"),
                "events USING INDEX events_by_kind (kind_id=? AND rowid>? AND rowid<?)",
            ),
            (COPIES.to_owned(), "rare_events USING PRIMARY KEY (kind_id=? AND position>? AND position<?)"),
        ] {
            let statements = prepare(&reader.connection, &format!("EXPLAIN QUERY PLAN {sql}"), "position", &[1]);
            let plan: String = statements.unwrap()[0].query_row([1, 1, 9], |row| row.get("detail")).unwrap();
            assert_eq!(plan, format!("SEARCH {index}"));
        }
    }
}

//! Reads the events of some kinds only: of rows through the index of kinds, of segments by unpacking those that have
//! such events, and of kinds that are rare in their segment from the copies that were kept as rows.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::{ControlFlow, Range};

use rusqlite::{Connection, Rows};

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

/// Where there are events that are wanted: the position of one, or the first of a segment that has some. And how many
/// of them are rows; `None` when some are not.
type Place = (u64, Option<u64>);

/// What has a kind and a position, each in an index, and a number of rows.
type Indexed = (&'static str, &'static str, &'static str);
const ROWS: Indexed = ("events", "position", "1");
const COPIES: Indexed = ("rare_events", "position", "1");
const SEGMENTS: Indexed = ("segment_kinds", "first_position", "nullif(copies, 0)");

impl LogReader {
    /// Fills the batch with what is wanted, up to the head. Answers the last position looked at.
    pub(super) fn read_kinds(
        &mut self,
        wanted: &Wanted<'_>,
        head: Position,
        batch: &mut EventBatch,
    ) -> Result<Position, EventStoreError> {
        let Wanted { after, kinds, limit } = *wanted;
        let mut went_on = self.read_sealed_kinds(wanted, batch)?;
        if went_on.is_continue() {
            let range = after.max(self.sealed) + 1..head.0 + 1;
            let found = self.find(ROWS, (kinds, range), limit.events - batch.len())?;
            let positions: Vec<u64> = found.into_iter().map(|(position, _)| position).collect();
            went_on = self.read_runs(&positions, limit.bytes, batch)?;
        }
        if let Some(other) = self.decoder.first_unlike(kinds, batch) {
            return Err(self.decoder.corrupt(other.0, "an index says that it is of another kind"));
        }
        let is_full = went_on.is_break() || batch.len() >= limit.events;
        Ok(batch.positions.last().filter(|_| is_full).map_or(head, |last| Position(*last)))
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
            let found = self.find(SEGMENTS, (wanted.kinds, next..sealed + 1), SEGMENTS_AT_ONCE)?;
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

    /// What is wanted of segments with copies of all of it. Others that lie between them have nothing of it.
    fn read_copies(
        &mut self,
        mut run: &[Place],
        wanted: &Wanted<'_>,
        batch: &mut EventBatch,
    ) -> Result<ControlFlow<()>, EventStoreError> {
        while !run.is_empty() {
            let room = wanted.limit.events - batch.len();
            let mut copies = 0;
            let fits = |(_, here): &&Place| {
                let fits = copies < room as u64;
                copies += here.unwrap_or_default();
                fits
            };
            let (now, later) = run.split_at(run.iter().take_while(fits).count());
            if now.is_empty() {
                return Ok(ControlFlow::Break(()));
            }
            for position in self.find_copies(now, wanted.kinds)? {
                if position <= wanted.after || position > self.sealed {
                    continue;
                }
                let is_full = batch.len() >= wanted.limit.events;
                if is_full || self.read_copy(position, wanted.limit.bytes, batch)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            run = later;
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The copy of a sealed event.
    pub(super) fn read_copy(
        &mut self,
        position: u64,
        max_bytes: usize,
        batch: &mut EventBatch,
    ) -> Result<ControlFlow<()>, EventStoreError> {
        self.read_from(("0 FROM rare_events", position..position + 1), max_bytes, batch, None)
    }

    /// The positions of the copies of these kinds in these segments: of as many as there have to be.
    fn find_copies(&self, run: &[Place], kinds: &[i64]) -> Result<Vec<u64>, EventStoreError> {
        let Some(((first, _), (last, _))) = run.first().zip(run.last()) else { return Ok(Vec::new()) };
        let end = sealed::next_segment(&self.connection, *last).map_err(|source| self.decoder.sqlite(source))?;
        let expected: u64 = run.iter().filter_map(|(_, copies)| *copies).sum();
        let found = self.find(COPIES, (kinds, *first..end), expected as usize + 1)?;
        let found: Vec<u64> = found.into_iter().map(|(position, _)| position).collect();
        let ends = run.iter().skip(1).map(|(next, _)| *next).chain([end]);
        let mut rest = &found[..];
        for ((first, copies), end) in run.iter().zip(ends) {
            let (here, later) = rest.split_at(rest.partition_point(|position| *position < end));
            let expected = copies.unwrap_or_default();
            if here.len() as u64 != expected {
                let what =
                    format!("{expected} events of its segment were kept as rows too, and {} are there", here.len());
                return Err(self.decoder.corrupt(*first, &what));
            }
            rest = later;
        }
        Ok(found)
    }

    fn find(&self, of: Indexed, in_range: (&[i64], Range<u64>), limit: usize) -> Result<Vec<Place>, EventStoreError> {
        merge(&self.connection, of, in_range, limit).map_err(|source| self.decoder.sqlite(source))
    }
}

/// The first places in a range where there are events of one of the kinds, from the index alone.
fn merge(
    connection: &Connection,
    of: Indexed,
    (kinds, range): (&[i64], Range<u64>),
    limit: usize,
) -> rusqlite::Result<Vec<Place>> {
    let statements = (0..kinds.len()).map(|nth| connection.prepare_cached(&of_kind(of, nth)));
    let mut statements = statements.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut cursors = Vec::with_capacity(kinds.len());
    for (statement, kind) in statements.iter_mut().zip(kinds) {
        cursors.push(statement.query([*kind, range.start as i64, range.end as i64])?);
    }
    let mut next = BinaryHeap::with_capacity(kinds.len());
    for (nth, cursor) in cursors.iter_mut().enumerate() {
        next.extend(place_at(cursor)?.map(|place| Reverse((place, nth))));
    }
    let mut places: Vec<Place> = Vec::new();
    while let Some(Reverse(((position, rows), nth))) = next.pop() {
        let is_full = places.len() >= limit;
        match places.last_mut() {
            Some((last, all)) if *last == position => *all = all.zip(rows).map(|(all, rows)| all + rows),
            _ if is_full => break,
            _ => places.push((position, rows)),
        }
        next.extend(place_at(&mut cursors[nth])?.map(|place| Reverse((place, nth))));
    }
    Ok(places)
}

/// The places of one kind, in a range. Statements with different text stay prepared side by side,
/// hence `nth`.
fn of_kind((table, position, rows): Indexed, nth: usize) -> String {
    format!(
        "SELECT /* {nth} */ {position}, {rows} FROM {table}
         WHERE kind_id = ? AND {position} >= ? AND {position} < ? ORDER BY {position}"
    )
}

fn place_at(cursor: &mut Rows<'_>) -> rusqlite::Result<Option<Place>> {
    let Some(row) = cursor.next()? else { return Ok(None) };
    let rows: Option<i64> = row.get(1)?;
    Ok(Some((row.get::<_, i64>(0)? as u64, rows.map(|rows| rows as u64))))
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
        let skewed = |dice: &mut Dice| dice.roll(30).checked_sub(27).unwrap_or_default();
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
        for table in ["events", "rare_events"] {
            let fixture = hundred_events(100);
            if table == "rare_events" {
                assert_eq!((fixture.seal(), fixture.count("rare_events")), (100, 100));
            }
            // The index gets the kinds of 43 and 44 the wrong way round. The rows are as they were.
            let swap = format!("UPDATE {table} SET kind_id = 5 - kind_id WHERE position IN (43, 44)");
            let entry = format!("main.sqlite_schema WHERE name = '{table}_by_kind'");
            let change = format!(
                "{swap}; PRAGMA writable_schema = ON; CREATE TEMP TABLE hidden AS SELECT * FROM {entry};
                 DELETE FROM {entry}; PRAGMA writable_schema = RESET; {swap}; PRAGMA writable_schema = ON;
                 INSERT INTO main.sqlite_schema SELECT * FROM hidden; PRAGMA writable_schema = RESET"
            );
            let fixture = fixture.reopened_after(|connection| connection.execute_batch(&change).unwrap());
            let mut reader = fixture.store.reader().unwrap();
            let mut batch = EventBatch::default();
            let error =
                reader.read_after(Position(0), &[interest(None, &["Shipped"])], NO_LIMIT, &mut batch).unwrap_err();
            assert!(matches!(error, EventStoreError::Corrupt { position: Position(44), .. }), "{table}: {error}");
            assert!(batch.is_empty() && fixture.store.verify(|_| true).is_err());
        }
    }

    #[test]
    fn events_of_a_kind_are_found_by_the_index_alone() {
        let fixture = Fixture::new();
        fixture.store.append(request("order-1", [1])).unwrap();
        let reader = fixture.store.reader().unwrap();
        for (of, table) in [(ROWS, "events"), (COPIES, "rare_events")] {
            let mut plan = reader.connection.prepare(&format!("EXPLAIN QUERY PLAN {}", of_kind(of, 0))).unwrap();
            let plan: String = plan.query_row([1, 1, 9], |row| row.get("detail")).unwrap();
            let expected =
                format!("SEARCH {table} USING COVERING INDEX {table}_by_kind (kind_id=? AND rowid>? AND rowid<?)");
            assert_eq!(plan, expected);
        }
    }
}

//! One projection's reads of the log: batches of the whole log that it shares with others, reduced to the events that
//! it wants, or only these events, whichever is cheaper.

use std::sync::Arc;
use std::time::Duration;

use super::shared_scan::{Place, Reader};
use super::writer::Shared;
use super::{EventStoreError, EventView, LogReader, ReadLimit};
use crate::cpu_time::thread_cpu_time;
use crate::event::{EventBatch, EventKind, Interest, Position, UNREADABLE};

/// What to read.
#[derive(Clone, PartialEq)]
pub(super) struct Request {
    pub after: Position,
    pub interests: Arc<[Interest]>,
    pub limit: ReadLimit,
}

/// How far a read came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// The last position looked at, where the next read goes on.
    pub to: Position,
    /// Whether nothing more was there to read, for now.
    pub at_end: bool,
}

pub(super) struct ScanReader {
    log: LogReader,
    store: Arc<Shared>,
    /// With the density of what it read last.
    reader: Reader,
    /// A batch whose memory can be used again.
    spare: Arc<EventBatch>,
    pub view: Option<Arc<dyn EventView>>,
    /// CPU time of the reads, once somebody wants to know.
    pub cpu: Option<Duration>,
}

impl ScanReader {
    pub fn new(log: LogReader, store: Arc<Shared>, view: Option<Arc<dyn EventView>>) -> Self {
        let reader = Reader { number: store.scan.join(), density: 1.0 };
        Self { log, store, reader, spare: Arc::default(), view, cpu: None }
    }

    /// See [`super::ReadAhead::read_after`].
    pub fn read_after(&mut self, request: &Request, batch: &mut Arc<EventBatch>) -> Result<Scanned, EventStoreError> {
        let Some(cpu) = self.cpu else { return self.read_unmeasured(request, batch) };
        let before = thread_cpu_time();
        let scanned = self.read_unmeasured(request, batch);
        self.cpu = Some(cpu + thread_cpu_time().saturating_sub(before));
        scanned
    }

    fn read_unmeasured(&mut self, request: &Request, batch: &mut Arc<EventBatch>) -> Result<Scanned, EventStoreError> {
        let mut after = request.after;
        if let Some(whole) = self.whole(request) {
            let to = whole.positions.last().map_or(after, |last| Position(*last));
            self.reduce(whole, &request.interests, batch);
            self.note_density(after, to, batch.len());
            if !batch.is_empty() {
                return Ok(Scanned { to, at_end: false });
            }
            after = to;
        }
        let stored = self.view.as_ref().map_or(&*request.interests, |view| view.stored_interests());
        let to = self.log.read_after(after, stored, request.limit, own(batch))?;
        self.note_density(after, to, batch.len());
        // A read that its bytes ended comes to its last event, and so does one that came to the head there.
        let came_further = batch.positions.last() != Some(&to.0) || to >= self.store.head.position();
        let at_end = batch.len() < request.limit.events && came_further;
        self.show(&request.interests, batch)?;
        Ok(Scanned { to, at_end })
    }

    /// As [`LogReader::read_positions`], as they are stored.
    pub fn read_stored(&mut self, positions: &[Position], batch: &mut Arc<EventBatch>) -> Result<(), EventStoreError> {
        self.log.read_positions(positions, own(batch))
    }

    /// What the reader sees of these events and wants.
    pub fn show(&mut self, interests: &[Interest], batch: &mut Arc<EventBatch>) -> Result<(), EventStoreError> {
        if let Some(view) = &self.view {
            let shown = view.show(batch)?.map_or_else(|| std::mem::take(batch), Arc::new);
            self.reduce(shown, interests, batch);
        }
        Ok(())
    }

    /// All events up to the next multiple of the limit, so that readers that began at different positions meet. `None`
    /// when the log does not reach that far yet, when it is cheaper to look events up, and when events cannot be read:
    /// that is told to those who want one of them.
    fn whole(&mut self, request: &Request) -> Option<Arc<EventBatch>> {
        let Self { log, store, reader, spare, view, .. } = self;
        let Request { after, limit, .. } = request;
        let events = limit.events.max(1) as u64;
        let end = (after.0 / events).saturating_add(1).saturating_mul(events);
        if end > store.head.position().0 {
            store.scan.leave(reader.number);
            return None;
        }
        let limit = ReadLimit { events: (end - after.0) as usize, bytes: limit.bytes };
        let place = Place { after: after.0, limit, view: 0 };
        let mut stored = || {
            store.scan.batch(*reader, place, || {
                let mut batch = std::mem::take(spare);
                log.read_after(*after, &[Interest::everything()], limit, own(&mut batch)).ok()?;
                Some(batch)
            })
        };
        let Some(view) = view else { return stored() };
        store.scan.batch(*reader, Place { view: view.key(), ..place }, || {
            let stored = stored()?;
            Some(view.show(&stored).ok()?.map_or(stored, Arc::new))
        })
    }

    /// Replaces the batch by the events of another one that are wanted: by that one itself when all are.
    fn reduce(&mut self, whole: Arc<EventBatch>, interests: &[Interest], batch: &mut Arc<EventBatch>) {
        let is_unreadable = |kind: &EventKind| kind.content_type == UNREADABLE;
        let matches = |kind: &EventKind| interests.iter().any(|it| it.matches(&kind.category, &kind.event_type));
        let wants = |kind: &EventKind| is_unreadable(kind) || matches(kind);
        let wanted: Vec<_> = whole.kind_table.iter().map(wants).collect();
        if wanted.iter().all(|wanted| *wanted) {
            self.spare = std::mem::replace(batch, whole);
        } else {
            whole.select_kinds(&wanted, own(batch));
            self.spare = whole;
        }
        if let Some(view) = self.view.as_ref().filter(|_| batch.kind_table.iter().any(is_unreadable)) {
            *batch = Arc::new(batch.filtered(|event| !event.is_unreadable() || view.concerns(event)));
        }
    }

    fn note_density(&mut self, after: Position, to: Position, wanted: usize) {
        if to > after {
            self.reader.density = wanted as f64 / (to.0 - after.0) as f64;
        }
    }
}

impl Drop for ScanReader {
    fn drop(&mut self) {
        self.store.scan.leave(self.reader.number);
    }
}

/// A batch to write to: this one, or another when somebody else has it too.
fn own(batch: &mut Arc<EventBatch>) -> &mut EventBatch {
    if Arc::get_mut(batch).is_none() {
        *batch = Arc::default();
    }
    Arc::make_mut(batch)
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::super::fixture::{Dice, Fixture, NO_LIMIT, event, interest, request, stream};
    use super::super::head::Head;
    use super::super::{EventStore, EventStoreOptions, ReadAhead};
    use super::*;
    use crate::event::NewEvent;

    const THREE: ReadLimit = ReadLimit { events: 3, bytes: usize::MAX };

    fn everything() -> Arc<[Interest]> {
        [Interest::everything()].into()
    }

    fn reader(store: &EventStore) -> ScanReader {
        ScanReader::new(store.reader().unwrap(), Arc::clone(&store.inner.shared), None)
    }

    /// The events up to the end of the log, or up to an error.
    fn read_all(
        after: u64,
        mut read: impl FnMut(Position, &mut Arc<EventBatch>) -> Result<Scanned, EventStoreError>,
    ) -> (Vec<u64>, Option<EventStoreError>) {
        let (mut positions, mut after, mut batch) = (Vec::new(), Position(after), Arc::default());
        loop {
            match read(after, &mut batch) {
                Ok(scanned) if scanned.at_end && batch.is_empty() => return (positions, None),
                Ok(scanned) => {
                    assert!(scanned.to > after && scanned.to.0 >= *batch.positions.last().unwrap());
                    after = scanned.to;
                }
                Err(error) => return (positions, Some(error)),
            }
            positions.extend(&batch.positions);
        }
    }

    fn read(reader: &mut ScanReader, interests: &Arc<[Interest]>) -> (Vec<u64>, Option<EventStoreError>) {
        read_all(0, |after, batch| {
            reader.read_after(&Request { after, interests: Arc::clone(interests), limit: THREE }, batch)
        })
    }

    #[test]
    fn two_readers_of_one_batch_read_it_once_and_have_the_same_memory() {
        let fixture = Fixture::new();
        fixture.store.append(request("order-1", 1..=10)).unwrap();
        let mut readers = [reader(&fixture.store), reader(&fixture.store)];
        let mut batches = [Arc::default(), Arc::default()];
        for after in [0, 3, 6, 9] {
            for (reader, batch) in readers.iter_mut().zip(&mut batches) {
                let wanted = Request { after: Position(after), interests: everything(), limit: THREE };
                let scanned = reader.read_after(&wanted, batch).unwrap();
                assert_eq!((scanned.to.0, scanned.at_end), ((after + 3).min(10), after == 9));
            }
            // The first reader is alone when it begins. The last event is the growing end of the log.
            assert_eq!(Arc::ptr_eq(&batches[0], &batches[1]), [3, 6].contains(&after));
            assert_eq!(batches[0], batches[1]);
        }
        let stats = fixture.store.stats();
        assert_eq!((stats.batches_read, stats.batches_shared), (4, 2));
    }

    #[test]
    fn damage_is_told_at_its_position_to_each_who_wants_the_event_and_to_nobody_else() {
        let fixture = Fixture::new();
        for n in 1..=9 {
            fixture.append("order-1", n, if n == 5 { "Paid" } else { "Placed" });
        }
        let fixture = fixture.reopened_after(|connection| {
            connection.execute("UPDATE events SET time = time + 1 WHERE position = 5", []).unwrap();
        });
        let mut readers = [reader(&fixture.store), reader(&fixture.store)];
        for reader in &mut readers {
            let (positions, error) = read(reader, &everything());
            assert_eq!(positions, [1, 2, 3]);
            assert!(matches!(error, Some(EventStoreError::Corrupt { position: Position(5), .. })), "{error:?}");
        }
        let (positions, error) = read(&mut readers[0], &[interest(None, &["Placed"])].into());
        assert_eq!((positions, error.is_none()), (vec![1, 2, 3, 4, 6, 7, 8, 9], true));
    }

    #[test]
    fn a_reader_finds_back_to_whole_batches_when_its_events_become_many() {
        let fixture = Fixture::new();
        let mut reader = reader(&fixture.store);
        let placed = [interest(None, &["Placed"])].into();
        for (n, event_type) in (1..=60).map(|n| (n, if (16..46).contains(&n) { "Paid" } else { "Placed" })) {
            fixture.append("order-1", n, event_type);
        }
        let (positions, error) = read(&mut reader, &placed);
        assert_eq!((positions, error.is_none()), ((1..=15).chain(46..=60).collect(), true));
        // Five before the gap, the first of the gap, and three after it, where six events were looked up first.
        assert_eq!(fixture.store.stats().batches_read, 9);
    }

    /// Readers of every kind, on threads, over a log that grows meanwhile: each gets what it would get alone.
    #[test]
    fn with_sharing_each_gets_the_events_that_it_would_get_without() {
        for seed in 1..=30 {
            let mut dice = Dice(seed);
            let fixture = Fixture::new();
            let categories = ["order", "cart", "refund"];
            let fill = |events: u128, from: u128, dice: &mut Dice| {
                let events = (from..from + events).map(|n| {
                    let name = stream(&format!("{}-{}", categories[dice.roll(3)], dice.roll(4)));
                    let data = format!("\"{}\"", "x".repeat(dice.roll(200))).into_bytes();
                    let event_type = ["Placed", "Paid", "Shipped"][dice.roll(6).min(2)].into();
                    (name, NewEvent { data, event_type, ..event(n) })
                });
                fixture.store.import(events.collect()).unwrap();
            };
            fill(300, 1, &mut dice);
            let limit = ReadLimit { events: 1 + dice.roll(40), bytes: [2_000, usize::MAX][dice.roll(2)] };
            let readers: Vec<_> = (0..5)
                .map(|_| {
                    let limit = if dice.roll(4) == 0 { ReadLimit { events: 1 + dice.roll(9), ..limit } } else { limit };
                    let category = [None, Some("order"), Some("cart"), Some("nothing")][dice.roll(4)];
                    let event_types = [&[][..], &["Placed"], &["Paid", "Shipped"], &["Shipped"]][dice.roll(4)];
                    let interests: Arc<[Interest]> = match dice.roll(3) {
                        0 => everything(),
                        _ => [interest(category, event_types), interest(Some("refund"), &["Paid"])].into(),
                    };
                    (fixture.store.read_ahead(None).unwrap(), dice.roll(50) as u64, interests, limit)
                })
                .collect();
            let read = |(mut ahead, from, interests, limit): (ReadAhead, _, Arc<[Interest]>, _)| {
                let mut read_on =
                    |from| read_all(from, |after, batch| ahead.read_after(after, &interests, limit, batch)).0;
                let mut positions = read_on(from);
                while fixture.store.head().0 < 500 {
                    std::thread::yield_now();
                }
                positions.extend(read_on(positions.last().copied().unwrap_or(from)));
                let mut alone = EventBatch::default();
                let mut reader = fixture.store.reader().unwrap();
                reader.read_after(Position(from), &interests, NO_LIMIT, &mut alone).unwrap();
                assert_eq!(positions, alone.positions, "seed {seed}, {interests:?}, {limit:?}, from {from}");
            };
            std::thread::scope(|scope| {
                let threads: Vec<_> = readers.into_iter().map(|reader| scope.spawn(|| read(reader))).collect();
                fill(200, 301, &mut dice);
                threads.into_iter().for_each(|thread| thread.join().unwrap());
            });
        }
    }

    #[test]
    fn without_room_nothing_is_shared() {
        let fixture = Fixture::new();
        fixture.store.append(request("order-1", 1..=9)).unwrap();
        let options = EventStoreOptions { shared_scan_mib: 0, ..EventStoreOptions::default() };
        let shared = Arc::new(Shared::new(&fixture.path(), options, Head::new(fixture.store.head()), Position(0)));
        let mut reader = ScanReader::new(fixture.store.reader().unwrap(), Arc::clone(&shared), None);
        assert_eq!(read(&mut reader, &everything()).0, (1..=9).collect::<Vec<_>>());
        assert_eq!(shared.scan.counts(), [0, 0]);
    }
}

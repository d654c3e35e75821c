//! Batches of the whole log that readers take from one another: each is read, verified and decoded once for all who
//! come to it while it is kept. It is kept for as long as some reader is still behind it and there is room.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::{ReadLimit, lock};
use crate::event::EventBatch;

/// Reading everything costs as much as looking up this part of it.
const BREAK_EVEN: f64 = 0.5;
/// A reader that wants less than this looks its events up even if others have read them: it passes over many batches
/// at once.
const SPARSE: f64 = 0.03;
/// Readers that are no more positions apart can share what they read.
const NEAR: u64 = 100_000;

/// The batches that are kept, and where their readers are.
#[derive(Debug, Default)]
pub(super) struct SharedScan {
    max_bytes: usize,
    state: Mutex<State>,
    /// A batch was read, or could not be.
    done: Condvar,
    joined: AtomicU64,
    read: AtomicU64,
    shared: AtomicU64,
}

/// Whoever takes batches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader {
    /// From [`SharedScan::join`].
    pub number: u64,
    /// The part of the events that it wants, between 0 and 1.
    pub density: f64,
}

/// Stands for the batch of all events after a position, up to a limit, as a view shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub after: u64,
    pub limit: ReadLimit,
    /// 0: as they are stored.
    pub view: u64,
}

#[derive(Debug, Default)]
struct State {
    /// `None` while somebody reads it.
    batches: BTreeMap<Place, Option<Arc<EventBatch>>>,
    /// Of all batches.
    bytes: usize,
    /// Where each reader goes on and its density, by its number.
    readers: BTreeMap<u64, (u64, f64)>,
}

impl SharedScan {
    /// Keeps batches of together at most `max_bytes`; with 0 it has none.
    pub fn new(max_bytes: usize) -> Self {
        Self { max_bytes, ..Self::default() }
    }

    /// A number for one more reader.
    pub fn join(&self) -> u64 {
        self.joined.fetch_add(1, Ordering::Relaxed)
    }

    /// Keeps nothing for this reader any more, until it asks for a batch again.
    pub fn leave(&self, number: u64) {
        let mut state = lock(&self.state);
        state.readers.remove(&number);
        state.forget_passed();
    }

    /// Batches that were read, and those that a reader took which another one had read.
    pub fn counts(&self) -> [u64; 2] {
        [&self.read, &self.shared].map(|count| count.load(Ordering::Relaxed))
    }

    /// The batch at a place. When nobody has it, this reader reads it while the others who want it wait; when that
    /// fails, each of them tries for itself. `None` also when it is cheaper to look events up.
    pub fn batch(
        &self,
        reader: Reader,
        place: Place,
        read: impl FnOnce() -> Option<Arc<EventBatch>>,
    ) -> Option<Arc<EventBatch>> {
        if self.max_bytes == 0 {
            return None;
        }
        let mut state = lock(&self.state);
        state.go_on(reader, place.after);
        if reader.density < SPARSE || state.density_near(place.after) < BREAK_EVEN {
            return None;
        }
        while let Some(kept) = state.batches.get(&place) {
            if let Some(batch) = kept.clone() {
                self.shared.fetch_add(1, Ordering::Relaxed);
                state.go_on(reader, last(&batch));
                return Some(batch);
            }
            state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.batches.insert(place, None);
        drop(state);
        let mut reading = Reading { scan: self, reader, place, batch: None };
        reading.batch = read();
        reading.batch.clone()
    }
}

/// A batch that is being read. However that ends, nobody waits for it any more.
struct Reading<'a> {
    scan: &'a SharedScan,
    reader: Reader,
    place: Place,
    batch: Option<Arc<EventBatch>>,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.scan.state);
        state.batches.remove(&self.place);
        if let Some(batch) = &self.batch {
            self.scan.read.fetch_add(1, Ordering::Relaxed);
            state.bytes += batch.bytes();
            state.batches.insert(self.place, Some(Arc::clone(batch)));
            state.go_on(self.reader, last(batch));
            state.shrink(self.scan.max_bytes);
        }
        self.scan.done.notify_all();
    }
}

impl State {
    fn go_on(&mut self, reader: Reader, after: u64) {
        self.readers.insert(reader.number, (after, reader.density));
        self.forget_passed();
    }

    /// Drops the batches that nobody comes to any more, up to the first that is being read.
    fn forget_passed(&mut self) {
        let first = self.readers.values().map(|(after, _)| *after).min().unwrap_or(u64::MAX);
        let is_passed = |after, batch: &Option<_>| after < first && batch.is_some();
        while let Some(entry) = self.batches.first_entry().filter(|entry| is_passed(entry.key().after, entry.get())) {
            let batch = entry.remove();
            self.bytes -= batch.map_or(0, |batch| batch.bytes());
        }
    }

    /// Drops the batches that readers come to last, until the others are small enough.
    fn shrink(&mut self, max_bytes: usize) {
        while self.bytes > max_bytes {
            let kept = self.batches.iter().filter(|(_, batch)| batch.is_some()).map(|(place, _)| *place);
            let Some(last) = kept.max_by_key(|place| self.distance(place.after)) else { return };
            let batch = self.batches.remove(&last).flatten();
            self.bytes -= batch.map_or(0, |batch| batch.bytes());
        }
    }

    /// How far away the nearest reader is that has still to come there.
    fn distance(&self, after: u64) -> u64 {
        let behind = self.readers.values().filter_map(|(reader, _)| after.checked_sub(*reader));
        behind.min().unwrap_or(u64::MAX)
    }

    /// What the readers near a position want together.
    fn density_near(&self, after: u64) -> f64 {
        self.readers.values().filter(|(reader, _)| reader.abs_diff(after) <= NEAR).map(|(_, density)| density).sum()
    }
}

/// Where whoever has this batch goes on.
fn last(batch: &EventBatch) -> u64 {
    batch.positions.last().copied().unwrap_or_default()
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use std::sync::Barrier;

    use super::*;
    use crate::event::{EventKind, EventRef, JSON, Position, StreamVersion, Timestamp};

    const ROOM: usize = 1 << 20;

    fn place(after: u64) -> Place {
        Place { after, limit: ReadLimit { events: 10, bytes: ROOM }, view: 0 }
    }

    /// The ten events after a position.
    fn ten_events(after: u64) -> Arc<EventBatch> {
        let kind = EventKind { category: "order".into(), event_type: "Placed".into(), content_type: JSON.into() };
        let mut batch = EventBatch::default();
        let index = batch.kind_index(&kind);
        for n in after + 1..=after + 10 {
            let event = EventRef {
                id: uuid::Uuid::nil(),
                stream: "order-1",
                version: StreamVersion(n),
                position: Position(n),
                kind: &kind,
                schema_version: 1,
                time: Timestamp(0),
                data: b"{}",
                metadata: "{}",
            };
            batch.push(event, index);
        }
        Arc::new(batch)
    }

    /// What it wanted to take at each place, in order; true when it had to read.
    fn reads(scan: &SharedScan, number: u64, density: f64, afters: impl IntoIterator<Item = u64>) -> Vec<(u64, bool)> {
        let takes = |after| {
            let mut has_read = false;
            let batch = scan.batch(Reader { number, density }, place(after), || {
                has_read = true;
                Some(ten_events(after))
            });
            batch.map(|batch| (batch.positions[0] - 1, has_read))
        };
        afters.into_iter().filter_map(takes).collect()
    }

    fn kept(scan: &SharedScan) -> Vec<u64> {
        let state = lock(&scan.state);
        let bytes: usize = state.batches.values().flatten().map(|batch| batch.bytes()).sum();
        assert!(state.bytes == bytes && bytes <= scan.max_bytes, "{} counted, {bytes} kept", state.bytes);
        state.batches.keys().map(|place| place.after).collect()
    }

    #[test]
    fn a_batch_is_kept_until_the_last_reader_has_passed_it() {
        let scan = SharedScan::new(ROOM);
        assert_eq!(reads(&scan, 1, 1.0, [0]), [(0, true)]);
        assert_eq!(kept(&scan), [0; 0], "nobody is behind");
        assert_eq!(reads(&scan, 2, 1.0, [0]), [(0, true)]);
        assert_eq!(reads(&scan, 1, 1.0, [10, 20]), [(10, true), (20, true)]);
        assert_eq!(kept(&scan), [10, 20]);
        assert_eq!(reads(&scan, 2, 1.0, [10]), [(10, false)]);
        assert_eq!(kept(&scan), [20]);
        scan.leave(2);
        assert_eq!(kept(&scan), [0; 0]);
        assert_eq!(scan.counts(), [4, 1]);
    }

    #[test]
    fn what_does_not_fit_is_dropped_where_readers_come_last() {
        let scan = SharedScan::new(3 * ten_events(0).bytes());
        assert_eq!(reads(&scan, 1, 1.0, [0]), [(0, true)]);
        assert_eq!(reads(&scan, 2, 1.0, (0..50).step_by(10)).len(), 5);
        assert_eq!(kept(&scan), [10, 20, 30]);
        // A third reader is ahead with a fourth one behind it: theirs are needed sooner than the last of the first.
        assert_eq!(reads(&scan, 3, 1.0, [990]), [(990, true)]);
        assert_eq!(reads(&scan, 4, 1.0, [990, 1000]), [(990, true), (1000, true)]);
        assert_eq!(kept(&scan), [10, 20, 1000]);
        assert_eq!(reads(&scan, 1, 1.0, [10, 20, 30]), [(10, false), (20, false), (30, true)]);
    }

    #[test]
    fn a_batch_that_is_larger_than_the_room_is_not_kept() {
        let scan = SharedScan::new(ten_events(0).bytes() - 1);
        assert_eq!(reads(&scan, 1, 1.0, [0]), [(0, true)]);
        assert_eq!(reads(&scan, 2, 1.0, [0, 10]), [(0, true), (10, true)]);
        assert_eq!(kept(&scan), [0; 0]);
        assert_eq!(reads(&SharedScan::new(0), 1, 1.0, [0]), []);
    }

    #[test]
    fn events_are_looked_up_when_all_who_are_near_want_few() {
        let scan = SharedScan::new(ROOM);
        assert_eq!(reads(&scan, 1, 0.3, [0]), []);
        assert_eq!(reads(&scan, 2, 0.3, [NEAR + 1]), []);
        assert_eq!(reads(&scan, 3, 0.3, [NEAR - 10]), [(NEAR - 10, true)]);
        assert_eq!(reads(&scan, 1, 0.3, [0]), [(0, true)]);
        assert_eq!(reads(&scan, 4, 0.01, [NEAR]), [], "it passes over most batches");
    }

    #[test]
    fn while_one_reads_the_others_wait_and_take_the_same_batch() {
        let scan = SharedScan::new(ROOM);
        let first = Reader { number: 0, density: 1.0 };
        let all_here = || {
            while lock(&scan.state).readers.len() < 4 {
                std::thread::yield_now();
            }
        };
        let reading = Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                scan.batch(first, place(0), || {
                    reading.wait();
                    all_here();
                    Some(ten_events(0))
                })
            });
            reading.wait();
            let others = [1, 2, 3].map(|number| {
                scope.spawn({
                    let scan = &scan;
                    move || reads(scan, number, 1.0, [0])
                })
            });
            for other in others {
                assert_eq!(other.join().unwrap(), [(0, false)]);
            }
        });
        assert_eq!((scan.counts(), kept(&scan)), ([1, 3], vec![]));
    }

    #[test]
    fn a_read_that_fails_or_panics_is_not_kept_and_everybody_else_tries() {
        let scan = SharedScan::new(ROOM);
        let first = Reader { number: 0, density: 1.0 };
        for panics in [false, true] {
            let reading = Barrier::new(2);
            std::thread::scope(|scope| {
                let failed = scope.spawn(|| {
                    scan.batch(first, place(0), || {
                        reading.wait();
                        while lock(&scan.state).readers.len() < 2 {
                            std::thread::yield_now();
                        }
                        assert!(!panics, "a bug");
                        None
                    })
                });
                reading.wait();
                assert_eq!(reads(&scan, 1, 1.0, [0]), [(0, true)]);
                assert_eq!(failed.join().is_err(), panics);
            });
            scan.leave(0);
            scan.leave(1);
        }
    }
}

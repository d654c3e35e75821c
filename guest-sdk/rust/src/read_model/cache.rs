//! Rows in the guest's memory, found by primary key: which of them changed since the last flush, and
//! which of the others make room.
//!
//! A changed row stays until it is handed over, however many there are: the host bounds them by
//! asking for a flush. Unchanged rows stay while there is room in bytes, roughly by when they were last used.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use super::Row;
use super::changed_index::ChangedIndex;
use super::slots_by_hash::SlotsByHash;
use crate::Error;

/// One place for a row. A slot keeps its number as long as its row stays.
struct Slot<R> {
    /// `None`: the slot is free.
    row: Option<R>,
    hash: u32,
    /// Of the row, as it was settled last.
    encoded_len: u32,
    /// Differs from what the host has.
    changed: bool,
    /// There is no such row, only its key; if it changed, the host may still have it.
    absent: bool,
    /// Handed to the author since the last [`RowCache::settle`].
    touched: bool,
    /// Used since it was last looked at for making room.
    used: bool,
    /// In the queue of rows that may make room.
    queued: bool,
}

pub struct RowCache<R> {
    /// Bytes of rows from which on unchanged rows make room.
    capacity: usize,
    bytes: usize,
    slots: Vec<Slot<R>>,
    free: Vec<u32>,
    by_key: SlotsByHash,
    changed: Vec<u32>,
    touched: Vec<u32>,
    /// Slots in the order in which they make room; some may have changed or been freed meanwhile.
    queue: VecDeque<u32>,
    pending_bytes: u64,
    indexes: Vec<ChangedIndex>,
    /// When the cache has seen every row of the table: the hashes of those that it dropped.
    dropped: Option<SlotsByHash>,
    failure: Option<Error>,
}

/// Of an operation in a flush buffer: a byte for its kind and two for the table.
const OPERATION_BYTES: u64 = 3;

/// The most hashes of dropped rows that are kept, in 8 MiB. With more, the host is asked for every row.
const MAX_DROPPED: usize = 1 << 19;

/// Fixed, so that a replay does the same thing every time.
#[inline]
pub fn hash_key<R: Row>(key: R::Key<'_>) -> u32 {
    (FixedState::with_seed(0).hash_one(key) >> 32) as u32
}

impl<R: Row> RowCache<R> {
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            bytes: 0,
            slots: Vec::new(),
            free: Vec::new(),
            by_key: SlotsByHash::default(),
            changed: Vec::new(),
            touched: Vec::new(),
            queue: VecDeque::new(),
            pending_bytes: 0,
            indexes: Vec::new(),
            dropped: None,
            failure: None,
        }
    }

    pub fn find(&mut self, hash: u32, key: R::Key<'_>) -> Option<u32> {
        let has_key = |slot: u32| self.slots[slot as usize].row.as_ref().is_some_and(|row| row.has_key(key));
        let slot = self.by_key.find(hash, has_key)?;
        self.slots[slot as usize].used = true;
        Some(slot)
    }

    /// The host has no rows: all that there will be come from here.
    pub fn know_all(&mut self) {
        self.dropped = Some(SlotsByHash::default());
    }

    /// Whether the host cannot have a row that is not in the cache, by the hash of its key.
    pub fn is_nowhere(&self, hash: u32) -> bool {
        self.dropped.as_ref().is_some_and(|dropped| dropped.find(hash, |_| true).is_none())
    }

    /// Adds a row that is not in the cache, as the host has it.
    pub fn insert(&mut self, hash: u32, row: R) -> u32 {
        while self.bytes >= self.capacity && self.evict_one() {}
        let encoded_len = encoded_len(&row);
        self.bytes += bytes_of(&row, encoded_len);
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(Slot {
                    row: None,
                    hash,
                    encoded_len,
                    changed: false,
                    absent: false,
                    touched: false,
                    used: false,
                    queued: false,
                });
                (self.slots.len() - 1) as u32
            }
        };
        let place = &mut self.slots[slot as usize];
        place.row = Some(row);
        place.encoded_len = encoded_len;
        place.hash = hash;
        place.used = false;
        self.by_key.insert(hash, slot);
        self.enqueue(slot);
        slot
    }

    /// Adds the knowledge that the host has no such row. `row` has the key.
    pub fn insert_absent(&mut self, hash: u32, row: R) -> u32 {
        let slot = self.insert(hash, row);
        self.slots[slot as usize].absent = true;
        slot
    }

    pub fn is_absent(&self, slot: u32) -> bool {
        self.slots[slot as usize].absent
    }

    pub fn is_changed(&self, slot: u32) -> bool {
        self.slots[slot as usize].changed
    }

    pub fn row(&self, slot: u32) -> &R {
        // Slots come from `find` and `insert`, and a row leaves only in `evict_one`.
        self.slots[slot as usize].row.as_ref().expect("the slot holds a row")
    }

    /// The row, for the author to change: it counts as changed from here on.
    pub fn row_mut(&mut self, slot: u32) -> &mut R {
        self.touch(slot);
        let slot = &mut self.slots[slot as usize];
        slot.absent = false;
        slot.row.as_mut().expect("the slot holds a row")
    }

    pub fn delete(&mut self, slot: u32) {
        self.touch(slot);
        self.slots[slot as usize].absent = true;
    }

    fn touch(&mut self, slot: u32) {
        let place = &mut self.slots[slot as usize];
        if !place.touched {
            place.touched = true;
            self.touched.push(slot);
        }
        if !place.changed {
            place.changed = true;
            self.changed.push(slot);
            self.pending_bytes += OPERATION_BYTES + u64::from(place.encoded_len);
        }
    }

    /// Rows changed since the last flush, and the bytes that they take.
    pub fn pending(&self) -> (usize, u64) {
        (self.changed.len(), self.pending_bytes)
    }

    /// Takes note of what the author made of the rows in hand.
    ///
    /// # Errors
    /// When a row cannot be kept as it is.
    pub fn settle(&mut self) -> Result<(), Error> {
        self.settle_touched();
        self.failure.take().map_or(Ok(()), Err)
    }

    fn settle_touched(&mut self) {
        for slot in self.touched.drain(..) {
            let place = &mut self.slots[slot as usize];
            place.touched = false;
            let row = place.row.as_ref().expect("a touched slot holds a row");
            if let Err(error) = check_row(place.hash, row) {
                self.failure.get_or_insert(error);
            }
            let (before, now) = (place.encoded_len, encoded_len(row));
            self.bytes = self.bytes + now as usize - before as usize;
            self.pending_bytes = self.pending_bytes + u64::from(now) - u64::from(before);
            place.encoded_len = now;
            for index in &mut self.indexes {
                self.pending_bytes += index.add(slot, row);
            }
        }
    }

    /// The changed rows with these encoded values in an index, in no order.
    pub fn find_changed(&mut self, index: super::IndexDeclaration, prefix: &[u8]) -> Vec<&R> {
        self.settle_touched();
        let place = match self.indexes.iter().position(|known| known.name() == index.name) {
            Some(place) => place,
            None => {
                let mut added = ChangedIndex::new(index);
                for slot in &self.changed {
                    self.pending_bytes += added.add(*slot, self.row(*slot));
                }
                self.indexes.push(added);
                self.indexes.len() - 1
            }
        };
        let index = &self.indexes[place];
        let mut slots: Vec<u32> = index.candidates(prefix).collect();
        slots.sort_unstable();
        slots.dedup();
        slots
            .into_iter()
            .filter(|slot| !self.is_absent(*slot))
            .map(|slot| self.row(slot))
            .filter(|row| index.holds(*row, prefix))
            .collect()
    }

    /// Calls `write` for each changed row in the order of the keys, `None` for a deleted one, and
    /// forgets that they were changed.
    pub fn flush(&mut self, mut write: impl FnMut(&R, Option<&R>)) {
        self.settle_touched();
        // Rows lie anywhere in memory: to look at each for every comparison takes longer than all else.
        let mut changed: Vec<(u128, u32)> =
            self.changed.iter().map(|slot| (self.row(*slot).sort_prefix(), *slot)).collect();
        changed.sort_unstable_by(|(a, a_slot), (b, b_slot)| {
            a.cmp(b).then_with(|| self.row(*a_slot).key().cmp(&self.row(*b_slot).key()))
        });
        self.changed.clear();
        for (_, slot) in changed {
            let row = self.row(slot);
            write(row, (!self.is_absent(slot)).then_some(row));
            let place = &mut self.slots[slot as usize];
            place.changed = false;
            self.enqueue(slot);
        }
        self.pending_bytes = 0;
        self.indexes.iter_mut().for_each(ChangedIndex::clear);
        while self.bytes > self.capacity && self.evict_one() {}
    }

    /// Drops the unchanged row that was not used for longest, roughly; false when every row changed.
    /// Each turn of the loop is paid for by the use, the change or the insertion that it undoes.
    fn evict_one(&mut self) -> bool {
        while let Some(slot) = self.queue.pop_front() {
            let place = &mut self.slots[slot as usize];
            place.queued = false;
            if place.changed || place.row.is_none() {
                continue;
            }
            if std::mem::take(&mut place.used) {
                self.enqueue(slot);
                continue;
            }
            self.remove(slot);
            return true;
        }
        false
    }

    fn enqueue(&mut self, slot: u32) {
        let place = &mut self.slots[slot as usize];
        if !place.queued {
            place.queued = true;
            self.queue.push_back(slot);
        }
    }

    fn remove(&mut self, slot: u32) {
        let place = &mut self.slots[slot as usize];
        let Some(row) = place.row.take() else { return };
        let was_absent = std::mem::take(&mut place.absent);
        let hash = place.hash;
        self.bytes -= bytes_of(&row, place.encoded_len);
        self.free.push(slot);
        self.by_key.remove(hash, slot);
        if !was_absent {
            self.note_dropped(hash);
        }
    }

    fn note_dropped(&mut self, hash: u32) {
        let Some(dropped) = &mut self.dropped else { return };
        if dropped.len() >= MAX_DROPPED {
            self.dropped = None;
        } else if dropped.find(hash, |_| true).is_none() {
            dropped.insert(hash, 0);
        }
    }
}

/// What a row takes in memory: its place, and about as much text and bytes as it has when it is encoded.
pub fn bytes_of<R>(_: &R, encoded_len: u32) -> usize {
    size_of::<Slot<R>>() + encoded_len as usize
}

/// The host refuses rows far below 4 GiB.
pub fn encoded_len<R: Row>(row: &R) -> u32 {
    row.encoded_len() as u32
}

fn check_row<R: Row>(hash: u32, row: &R) -> Result<(), Error> {
    if hash_key::<R>(row.key()) != hash {
        return Err(Error::new(format_args!(
            "table {}: the key of a row was changed to {:?}; delete the row and put another one instead",
            R::TABLE.name,
            row.key()
        )));
    }
    if let Some(column) = row.nan_column() {
        return Err(Error::new(format_args!(
            "table {}: column {column} of row {:?} is not a number (NaN)",
            R::TABLE.name,
            row.key()
        )));
    }
    Ok(())
}

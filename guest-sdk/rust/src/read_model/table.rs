//! What an author does with the rows of one table. Rows come from the cache, and from the host on a
//! miss; changes stay in the cache until the host asks for them.

use std::rc::Rc;

use super::cache::{RowCache, hash_key};
use super::column::encode_value;
use super::{CommittedRows, IndexDeclaration, MAX_ROWS_PER_READ, Row, Value};
use crate::Error;

/// The rows of one table of the projection's read model. A read sees every write made before it.
///
/// A mutable row counts as changed; it needs no call to be kept. Its key columns must stay as they
/// are, and no `f64` may be NaN: otherwise the event fails.
pub struct Table<R: Row> {
    /// Its place in the description.
    place: u16,
    committed: Rc<dyn CommittedRows>,
    cache: RowCache<R>,
    /// Whether the host was asked if it has rows at all.
    is_known: bool,
}

impl<R: Row> Table<R> {
    pub(crate) fn new(place: u16, committed: Rc<dyn CommittedRows>, capacity: usize) -> Self {
        Self { place, committed, cache: RowCache::new(capacity), is_known: false }
    }

    /// The row with this key.
    pub fn get(&mut self, key: R::Key<'_>) -> Option<&R> {
        let slot = self.present(key)?;
        Some(self.cache.row(slot))
    }

    /// The row with this key, to be changed.
    pub fn get_mut(&mut self, key: R::Key<'_>) -> Option<&mut R> {
        let slot = self.present(key)?;
        Some(self.cache.row_mut(slot))
    }

    /// The row with this key, to be changed. If there is none, one is made whose other columns
    /// have their default: 0, false, empty or null.
    pub fn get_or_default(&mut self, key: R::Key<'_>) -> &mut R {
        let slot = self.slot(key);
        let absent = self.cache.is_absent(slot);
        let row = self.cache.row_mut(slot);
        if absent {
            *row = R::with_key(key);
        }
        row
    }

    /// Inserts the row, or replaces the one with the same key.
    pub fn put(&mut self, row: R) {
        let hash = hash_key::<R>(row.key());
        match self.cache.find(hash, row.key()) {
            Some(slot) => *self.cache.row_mut(slot) = row,
            None => {
                let slot = self.cache.insert(hash, row);
                self.cache.row_mut(slot);
            }
        }
    }

    /// Deletes the row with this key, if there is one.
    pub fn delete(&mut self, key: R::Key<'_>) {
        let hash = hash_key::<R>(key);
        let slot = match self.cache.find(hash, key) {
            Some(slot) => slot,
            None => self.cache.insert(hash, R::with_key(key)),
        };
        self.cache.delete(slot);
    }

    /// Fetches rows that the same event will need, in one call to the host instead of one for each.
    /// Changes nothing but speed; of more than 10,000 keys it fetches the first.
    pub fn prefetch<'k>(&mut self, keys: impl IntoIterator<Item = R::Key<'k>>) {
        self.know();
        let mut is_elsewhere = |key: &R::Key<'k>| {
            let hash = hash_key::<R>(*key);
            self.cache.find(hash, *key).is_none() && !self.cache.is_nowhere(hash)
        };
        let mut wanted: Vec<_> = keys.into_iter().filter(|key| is_elsewhere(key)).take(MAX_ROWS_PER_READ).collect();
        if wanted.is_empty() {
            return;
        }
        wanted.sort_unstable();
        wanted.dedup();
        let values = wanted.iter().map(|key| R::key_values(*key)).collect();
        for (key, row) in wanted.iter().zip(self.committed.get_many(R::TABLE.name, values)) {
            self.remember(*key, row);
        }
    }

    /// Copies of the rows whose columns in the declared index `index` equal `values`, ordered by
    /// primary key. `values` may be fewer than the columns of the index: the first ones then.
    /// At most `limit` rows, and never more than 10,000.
    ///
    /// # Panics
    /// When the index is not declared or a value is not of its column's type.
    pub fn find(&mut self, index: &str, values: &[Value], limit: u32) -> Vec<R> {
        let index = declared_index::<R>(index, values);
        let limit = (limit as usize).min(MAX_ROWS_PER_READ);
        let mut prefix = Vec::new();
        values.iter().for_each(|value| encode_value(value, &mut prefix));
        let mut changed: Vec<R> = self.cache.find_changed(index, &prefix).into_iter().cloned().collect();
        changed.sort_unstable_by(|a, b| a.key().cmp(&b.key()));
        let mut asked = limit;
        loop {
            let rows = self.committed.find(R::TABLE.name, index.name, values, asked as u32);
            let rows: Vec<R> = rows.into_iter().map(decoded).collect();
            let complete = rows.len() < asked;
            let found = self.merged(rows, &changed, complete);
            if complete || found.len() >= limit {
                return found.into_iter().take(limit).collect();
            }
            // Changed rows took the place of committed ones. A trap has the host go on with fewer
            // events, after a flush.
            assert!(
                asked < MAX_ROWS_PER_READ,
                "table {}: more than {MAX_ROWS_PER_READ} rows in {} changed since the last flush",
                R::TABLE.name,
                index.name
            );
            asked = (2 * asked).min(MAX_ROWS_PER_READ);
        }
    }

    /// Committed rows that did not change since, and changed ones; unless `complete`, only up to the
    /// last committed key, because behind it there may be more.
    fn merged(&mut self, committed: Vec<R>, changed: &[R], complete: bool) -> Vec<R> {
        let last = if complete { None } else { committed.last().cloned() };
        let is_known = |row: &&R| last.as_ref().is_none_or(|last| row.key() <= last.key());
        let mut rows: Vec<R> = changed.iter().filter(is_known).cloned().collect();
        for row in committed {
            let slot = self.cache.find(hash_key::<R>(row.key()), row.key());
            if !slot.is_some_and(|slot| self.cache.is_changed(slot)) {
                rows.push(row);
            }
        }
        rows.sort_unstable_by(|a, b| a.key().cmp(&b.key()));
        rows
    }

    fn present(&mut self, key: R::Key<'_>) -> Option<u32> {
        let slot = self.slot(key);
        (!self.cache.is_absent(slot)).then_some(slot)
    }

    /// The slot of the row, or of its absence; on a miss the host answers.
    fn slot(&mut self, key: R::Key<'_>) -> u32 {
        let hash = hash_key::<R>(key);
        if let Some(slot) = self.cache.find(hash, key) {
            return slot;
        }
        self.know();
        if self.cache.is_nowhere(hash) {
            return self.cache.insert_absent(hash, R::with_key(key));
        }
        let row = self.committed.get(R::TABLE.name, R::key_values(key));
        self.remember(key, row)
    }

    /// Before the first row is asked for: a table that is being filled has none that did not come from here.
    fn know(&mut self) {
        if !self.is_known && self.committed.is_empty(R::TABLE.name) {
            self.cache.know_all();
        }
        self.is_known = true;
    }

    /// Keeps what the host answered for a key that is not in the cache.
    fn remember(&mut self, key: R::Key<'_>, row: Option<Vec<Value>>) -> u32 {
        let hash = hash_key::<R>(key);
        match row {
            Some(row) => self.cache.insert(hash, decoded(row)),
            None => self.cache.insert_absent(hash, R::with_key(key)),
        }
    }

    pub(crate) fn settle(&mut self) -> Result<(), Error> {
        self.cache.settle()
    }

    pub(crate) fn pending(&self) -> (usize, u64) {
        self.cache.pending()
    }

    pub(crate) fn flush(&mut self, out: &mut Vec<u8>) {
        const PUT: u8 = 1;
        const DELETE: u8 = 2;
        let place = self.place.to_le_bytes();
        self.cache.flush(|row, kept| {
            out.push(if kept.is_some() { PUT } else { DELETE });
            out.extend_from_slice(&place);
            match kept {
                Some(row) => row.encode(out),
                None => row.encode_key(out),
            }
        });
    }
}

fn decoded<R: Row>(values: Vec<Value>) -> R {
    // The host checks what it stores against the same declaration.
    R::from_values(values).expect("the host sent a row that does not fit the table")
}

fn declared_index<R: Row>(name: &str, values: &[Value]) -> IndexDeclaration {
    let table = R::TABLE;
    let Some(index) = table.indexes.iter().find(|index| index.name == name) else {
        let known: Vec<_> = table.indexes.iter().map(|index| index.name).collect();
        panic!("table {} has no index {name:?}; it has {known:?}", table.name)
    };
    assert!(values.len() <= index.columns.len(), "index {name} has {} columns", index.columns.len());
    for (value, column) in values.iter().zip(index.columns) {
        let declared = table.columns.iter().find(|declared| declared.name == *column);
        let fits = declared.is_some_and(|declared| value.fits(declared.column_type, declared.nullable));
        assert!(fits, "index {name}: {value:?} is not of the type of column {column}");
    }
    *index
}

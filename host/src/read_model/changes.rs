//! Uncommitted changes of every table, kept as the bytes of flush buffers: each key at most once,
//! with the last thing that was written to it. Nothing is copied out of a buffer before it is bound
//! to the statement that writes it.

use std::hash::BuildHasher;
use std::ops::Range;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::cell::{self, Cell};
use super::{ReadModelError, Row, Schema, Table, key};

/// About what a write takes in memory besides its bytes.
const BYTES_PER_WRITE: usize = 64;

/// The changes of every table of a schema, in its order.
#[derive(Debug, Default)]
pub(super) struct Changes {
    tables: Vec<TableChanges>,
    buffers: Vec<Vec<u8>>,
    writes: usize,
    bytes: usize,
    max_bytes: usize,
    hasher: DefaultHashBuilder,
}

#[derive(Debug, Default)]
struct TableChanges {
    key_columns: Vec<usize>,
    /// In the order in which their keys were first written.
    entries: Vec<Entry>,
    /// The encoded keys of the entries, one after the other.
    keys: Vec<u8>,
    by_key: HashTable<u32>,
    /// A key came that is not behind the one before it.
    disordered: bool,
    lookups: Vec<Lookup>,
}

#[derive(Clone, Debug)]
struct Entry {
    key: Range<u32>,
    operation: Operation,
    buffer: u32,
    /// Where the cells begin: of the row, or of the deleted key.
    start: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Operation {
    Put,
    Delete,
}

/// The entries by the values that some columns had when they were written; made by the first `find`.
#[derive(Debug)]
struct Lookup {
    columns: Vec<usize>,
    entries: std::collections::HashMap<Vec<u8>, Vec<u32>>,
}

/// What is to be written to one key.
#[derive(Clone, Copy)]
pub(super) enum Change<'a> {
    Put(Cells<'a>),
    Delete(Cells<'a>),
}

/// The cells of a row or of a key, which were found sound when they were taken.
#[derive(Clone, Copy)]
pub(super) struct Cells<'a> {
    bytes: &'a [u8],
    table: &'a Table,
    /// Of the deleted key: only the key's columns are there.
    key_columns: Option<&'a [usize]>,
}

impl Changes {
    pub fn new(schema: &Schema, max_bytes: usize) -> Self {
        let table = |table: &Table| TableChanges { key_columns: table.key_columns(), ..TableChanges::default() };
        Self { tables: schema.tables().iter().map(table).collect(), max_bytes, ..Self::default() }
    }

    /// No changes, for the same tables.
    pub fn emptied(&self) -> Self {
        let table =
            |table: &TableChanges| TableChanges { key_columns: table.key_columns.clone(), ..Default::default() };
        Self { tables: self.tables.iter().map(table).collect(), max_bytes: self.max_bytes, ..Self::default() }
    }

    /// Writes taken, and the bytes that they hold.
    pub fn size(&self) -> (usize, usize) {
        (self.writes, self.bytes)
    }

    pub fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// Takes a flush buffer. After an error the changes are of no more use.
    ///
    /// # Errors
    /// When a byte does not belong, a change does not fit its table, or the changes are too many.
    pub fn take(&mut self, schema: &Schema, buffer: Vec<u8>) -> Result<(), ReadModelError> {
        self.grow(buffer.len())?;
        let (place, mut rest) = (self.buffers.len() as u32, &buffer[..]);
        let mut row = Vec::new();
        while !rest.is_empty() {
            let taken = self.take_change(schema, &mut rest, &mut row);
            let (operation, index, start) = taken.map_err(|broken| broken.into_error(buffer.len(), rest.len()))?;
            let start = (buffer.len() - start) as u32;
            self.enter(index, operation, (place, start), &row);
        }
        self.buffers.push(buffer);
        Ok(())
    }

    /// Adds one change that fits its table: all cells of a row, or those of a key.
    ///
    /// # Errors
    /// When the changes are too many.
    pub fn add(&mut self, table: usize, operation: Operation, cells: &[Cell<'_>]) -> Result<(), ReadModelError> {
        if self.buffers.is_empty() {
            self.buffers.push(Vec::new());
        }
        let place = self.buffers.len() - 1;
        let start = self.buffers[place].len();
        cells.iter().for_each(|cell| cell.write(&mut self.buffers[place]));
        self.grow(self.buffers[place].len() - start)?;
        self.enter(table, operation, (place as u32, start as u32), cells);
        Ok(())
    }

    fn grow(&mut self, bytes: usize) -> Result<(), ReadModelError> {
        self.bytes += bytes;
        if self.bytes + self.writes * BYTES_PER_WRITE <= self.max_bytes {
            return Ok(());
        }
        let (writes, max_mib) = (self.writes, self.max_bytes >> 20);
        Err(ReadModelError::Mismatch(format!(
            "{writes} writes wait to be committed and would take more than {max_mib} MiB, the limit for one batch of events"
        )))
    }

    /// Takes one change off `rest` and leaves its cells in `cells`. Answers the table, and how many
    /// bytes were left where the cells begin.
    fn take_change<'a>(
        &self,
        schema: &Schema,
        rest: &mut &'a [u8],
        cells: &mut Vec<Cell<'a>>,
    ) -> Result<(Operation, usize, usize), Broken> {
        let [operation, low, high] = cell::take(rest)?;
        let index = usize::from(u16::from_le_bytes([low, high]));
        let Some(table) = schema.tables().get(index) else {
            let declared = self.tables.len();
            return Err(Broken::Buffer(format!("names table {index}, but only {declared} are declared")));
        };
        let start = rest.len();
        cells.clear();
        let mut take = |column| {
            cells.push(Cell::take(rest)?.fit(table, column)?);
            Ok::<_, Broken>(())
        };
        let operation = match operation {
            1 => {
                (0..table.columns.len()).try_for_each(&mut take)?;
                Operation::Put
            }
            2 => {
                self.tables[index].key_columns.iter().copied().try_for_each(&mut take)?;
                Operation::Delete
            }
            other => return Err(Broken::Buffer(format!("has the unknown operation {other}"))),
        };
        Ok((operation, index, start))
    }

    fn enter(&mut self, table: usize, operation: Operation, (buffer, start): (u32, u32), cells: &[Cell<'_>]) {
        self.writes += 1;
        let TableChanges { key_columns, entries, keys, by_key, disordered, lookups } = &mut self.tables[table];
        let key_start = keys.len();
        match operation {
            Operation::Put => key::encode(key_columns.iter().map(|&column| cells[column]), keys),
            Operation::Delete => key::encode(cells.iter().copied(), keys),
        }
        let (before, key) = keys.split_at(key_start);
        let key_of = |entry: &Entry| &before[entry.key.start as usize..entry.key.end as usize];
        let hash = self.hasher.hash_one(key);
        let found = by_key.find(hash, |&entry| key_of(&entries[entry as usize]) == key).copied();
        let entry = Entry { key: key_start as u32..keys.len() as u32, operation, buffer, start };
        let place = match found {
            Some(place) => {
                keys.truncate(key_start);
                let key = entries[place as usize].key.clone();
                entries[place as usize] = Entry { key, ..entry };
                place
            }
            None => {
                *disordered |= entries.last().is_some_and(|last| key_of(last) > key);
                entries.push(entry);
                let place = (entries.len() - 1) as u32;
                let hash_of = |&place: &u32| {
                    let Range { start, end } = entries[place as usize].key;
                    self.hasher.hash_one(&keys[start as usize..end as usize])
                };
                by_key.insert_unique(hash, place, hash_of);
                place
            }
        };
        if operation == Operation::Put {
            lookups.iter_mut().for_each(|lookup| lookup.enter(place, |column| cells[column]));
        }
    }

    /// What is to be written to this encoded key; none when the file holds what holds.
    pub fn get<'a>(&'a self, schema: &'a Schema, table: usize, key: &[u8]) -> Option<Change<'a>> {
        let changes = &self.tables[table];
        let has_key = |&entry: &u32| changes.key(&changes.entries[entry as usize]) == key;
        let place = *changes.by_key.find(self.hasher.hash_one(key), has_key)?;
        Some(self.change(schema, table, place as usize))
    }

    /// The rows to be put that have these values in these columns, with their encoded keys, in no order.
    pub fn find(&self, schema: &Schema, table: usize, columns: &[usize], values: &[Cell<'_>]) -> Vec<(Vec<u8>, Row)> {
        let all = 0..self.tables[table].entries.len() as u32;
        self.rows_with(schema, table, all, |row| has(row, columns, values))
    }

    /// As [`Self::find`], with a lookup that is kept for the next time.
    pub fn find_often(
        &mut self,
        schema: &Schema,
        table: usize,
        columns: &[usize],
        values: &[Cell<'_>],
    ) -> Vec<(Vec<u8>, Row)> {
        let place = self.lookup(schema, table, columns);
        let mut wanted = Vec::new();
        key::encode(values.iter().copied(), &mut wanted);
        let mut places = self.tables[table].lookups[place].entries.get(&wanted).cloned().unwrap_or_default();
        places.sort_unstable();
        places.dedup();
        // A row may have been written again, with other values.
        self.rows_with(schema, table, places, |row| has(row, columns, values))
    }

    fn rows_with(
        &self,
        schema: &Schema,
        table: usize,
        places: impl IntoIterator<Item = u32>,
        wanted: impl Fn(&Row) -> bool,
    ) -> Vec<(Vec<u8>, Row)> {
        let changes = &self.tables[table];
        let put = places.into_iter().filter_map(|place| match self.change(schema, table, place as usize) {
            Change::Put(cells) => Some((changes.key(&changes.entries[place as usize]), cells.to_row())),
            Change::Delete(_) => None,
        });
        put.filter(|(_, row)| wanted(row)).map(|(key, row)| (key.to_vec(), row)).collect()
    }

    /// The lookup by these columns, made when there is none.
    fn lookup(&mut self, schema: &Schema, table: usize, columns: &[usize]) -> usize {
        let changes = &self.tables[table];
        if let Some(place) = changes.lookups.iter().position(|lookup| lookup.columns == columns) {
            return place;
        }
        let mut lookup = Lookup { columns: columns.to_vec(), entries: Default::default() };
        for place in 0..changes.entries.len() {
            if let Change::Put(cells) = self.change(schema, table, place) {
                let row: Vec<_> = cells.iter().collect();
                lookup.enter(place as u32, |column| row[column]);
            }
        }
        let lookups = &mut self.tables[table].lookups;
        lookups.push(lookup);
        lookups.len() - 1
    }

    /// Every change of a table in the order of the keys.
    pub fn in_order<'a>(&'a self, schema: &'a Schema, table: usize) -> impl Iterator<Item = Change<'a>> {
        let changes = &self.tables[table];
        let mut order: Vec<usize> = (0..changes.entries.len()).collect();
        if changes.disordered {
            order.sort_unstable_by_key(|&place| changes.key(&changes.entries[place]));
        }
        order.into_iter().map(move |place| self.change(schema, table, place))
    }

    /// How many keys of a table are to be written.
    pub fn keys(&self, table: usize) -> usize {
        self.tables[table].entries.len()
    }

    fn change<'a>(&'a self, schema: &'a Schema, table: usize, place: usize) -> Change<'a> {
        let TableChanges { key_columns, entries, .. } = &self.tables[table];
        let Entry { operation, buffer, start, .. } = entries[place];
        let bytes = &self.buffers[buffer as usize][start as usize..];
        let table = &schema.tables()[table];
        match operation {
            Operation::Put => Change::Put(Cells { bytes, table, key_columns: None }),
            Operation::Delete => Change::Delete(Cells { bytes, table, key_columns: Some(key_columns) }),
        }
    }
}

impl TableChanges {
    fn key(&self, entry: &Entry) -> &[u8] {
        &self.keys[entry.key.start as usize..entry.key.end as usize]
    }
}

impl Lookup {
    fn enter<'a>(&mut self, place: u32, cell: impl Fn(usize) -> Cell<'a>) {
        let mut values = Vec::new();
        key::encode(self.columns.iter().map(|&column| cell(column)), &mut values);
        self.entries.entry(values).or_default().push(place);
    }
}

impl<'a> Cells<'a> {
    pub fn iter(self) -> impl Iterator<Item = Cell<'a>> {
        let Self { mut bytes, table, key_columns } = self;
        let count = key_columns.map_or(table.columns.len(), <[usize]>::len);
        (0..count).map(move |place| {
            let column = key_columns.map_or(place, |columns| columns[place]);
            let cell = Cell::take(&mut bytes).ok().and_then(|cell| cell.fit(table, column).ok());
            cell.expect("the cells were found sound when they were taken")
        })
    }

    pub fn to_row(self) -> Row {
        self.iter().map(Cell::to_value).collect()
    }
}

fn has(row: &Row, columns: &[usize], values: &[Cell<'_>]) -> bool {
    columns.iter().zip(values).all(|(&column, value)| row[column].as_cell() == *value)
}

/// Why a flush buffer is not taken.
enum Broken {
    /// Follows "the buffer that flush returned".
    Buffer(String),
    Row(ReadModelError),
}

impl From<String> for Broken {
    fn from(what: String) -> Self {
        Self::Buffer(what)
    }
}

impl From<ReadModelError> for Broken {
    fn from(error: ReadModelError) -> Self {
        Self::Row(error)
    }
}

impl Broken {
    fn into_error(self, length: usize, left: usize) -> ReadModelError {
        match self {
            Self::Row(error) => error,
            Self::Buffer(what) => ReadModelError::Mismatch(format!(
                "the buffer that flush returned {what} (near byte {} of {length})",
                length - left
            )),
        }
    }
}

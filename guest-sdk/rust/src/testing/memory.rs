//! A read model in memory that stands in for the host's and is as strict.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};

use crate::read_model::{CommittedRows, MAX_ROWS_PER_READ, TableDeclaration};
use crate::{Error, Value, ensure};

/// The rows of all tables.
#[derive(Debug, PartialEq)]
pub struct MemoryRows {
    tables: Vec<Declared>,
    rows: RefCell<Vec<BTreeMap<Key, Vec<Value>>>>,
}

#[derive(Debug)]
struct Declared(TableDeclaration);

impl PartialEq for Declared {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

/// A primary key in SQLite's order.
#[derive(Clone, Debug)]
struct Key(Vec<Value>);

impl MemoryRows {
    pub fn new(tables: Vec<TableDeclaration>) -> Self {
        let rows = RefCell::new(vec![BTreeMap::new(); tables.len()]);
        Self { tables: tables.into_iter().map(Declared).collect(), rows }
    }

    /// The rows of a table, ordered by primary key.
    pub fn all(&self, table: &str) -> Vec<Vec<Value>> {
        self.rows.borrow()[self.place(table)].values().cloned().collect()
    }

    /// Takes a flush buffer as `wit/worlds.wit` describes it.
    ///
    /// # Errors
    /// When the host would refuse it.
    pub fn apply_changes(&self, changes: &[u8]) -> Result<(), Error> {
        let mut input = Input(changes);
        let mut seen = HashSet::new();
        while !input.0.is_empty() {
            let operation = input.array::<1>()?[0];
            let place = usize::from(u16::from_le_bytes(input.array()?));
            ensure!(place < self.tables.len(), "the flush names table {place}, which is not declared");
            let table = &self.tables[place].0;
            let key = match operation {
                1 => self.put(place, &mut input)?,
                2 => {
                    let key = Key(table.primary_key.iter().map(|_| input.value()).collect::<Result<_, _>>()?);
                    self.rows.borrow_mut()[place].remove(&key);
                    key
                }
                _ => return Err(Error::new(format_args!("the flush has an operation {operation}"))),
            };
            ensure!(seen.insert((place, format!("{key:?}"))), "table {}: {key:?} is flushed twice", table.name);
        }
        Ok(())
    }

    fn put(&self, place: usize, input: &mut Input<'_>) -> Result<Key, Error> {
        let table = &self.tables[place].0;
        let mut row = Vec::with_capacity(table.columns.len());
        for column in table.columns {
            let value = input.value()?;
            let is_nan = matches!(value, Value::Real(real) if real.is_nan());
            let fits = value.fits(column.column_type, column.nullable) && !is_nan;
            ensure!(fits, "table {}: {value:?} does not fit column {}", table.name, column.name);
            row.push(value);
        }
        let key = Key(table.primary_key.iter().map(|name| cell(table, &row, name).clone()).collect());
        self.rows.borrow_mut()[place].insert(key.clone(), row);
        Ok(key)
    }

    fn place(&self, table: &str) -> usize {
        let place = self.tables.iter().position(|declared| declared.0.name == table);
        place.unwrap_or_else(|| panic!("the projection has no table {table:?}"))
    }
}

impl CommittedRows for MemoryRows {
    fn get(&self, table: &str, key: Vec<Value>) -> Option<Vec<Value>> {
        self.rows.borrow()[self.place(table)].get(&Key(key)).cloned()
    }

    fn get_many(&self, table: &str, keys: Vec<Vec<Value>>) -> Vec<Option<Vec<Value>>> {
        assert!(keys.len() <= MAX_ROWS_PER_READ, "{} keys in one call", keys.len());
        keys.into_iter().map(|key| self.get(table, key)).collect()
    }

    fn find(&self, table: &str, index: &str, values: &[Value], limit: u32) -> Vec<Vec<Value>> {
        let place = self.place(table);
        let table = &self.tables[place].0;
        let index = table.indexes.iter().find(|declared| declared.name == index);
        let columns = index.map_or(&[][..], |index| index.columns);
        assert!(values.len() <= columns.len(), "{} values for an index of {columns:?}", values.len());
        let matches =
            |row: &&Vec<Value>| columns.iter().zip(values).all(|(name, value)| cell(table, row, name) == value);
        self.rows.borrow()[place].values().filter(matches).take(limit as usize).cloned().collect()
    }

    fn is_empty(&self, table: &str) -> bool {
        self.rows.borrow()[self.place(table)].is_empty()
    }
}

fn cell<'r>(table: &TableDeclaration, row: &'r [Value], name: &str) -> &'r Value {
    let place = table.columns.iter().position(|column| column.name == name);
    &row[place.expect("keys and indexes name columns of their table")]
}

/// What is left of a flush buffer.
struct Input<'b>(&'b [u8]);

impl<'b> Input<'b> {
    fn take(&mut self, len: usize) -> Result<&'b [u8], Error> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or_else(|| Error::new("the flush ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        Ok(self.take(N)?.try_into()?)
    }

    fn value(&mut self) -> Result<Value, Error> {
        Ok(match self.array::<1>()?[0] {
            0 => Value::Null,
            1 => Value::Integer(i64::from_le_bytes(self.array()?)),
            2 => Value::Real(f64::from_le_bytes(self.array()?)),
            3 => Value::Text(String::from_utf8(self.bytes()?)?),
            4 => Value::Blob(self.bytes()?),
            5 => Value::Boolean(self.array::<1>()?[0] == 1),
            tag => return Err(Error::new(format_args!("the flush has a value with tag {tag}"))),
        })
    }

    fn bytes(&mut self) -> Result<Vec<u8>, Error> {
        let len = u32::from_le_bytes(self.array()?);
        Ok(self.take(len as usize)?.to_vec())
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        let cells = self.0.iter().zip(&other.0).map(|cells| match cells {
            (Value::Integer(a), Value::Integer(b)) => a.cmp(b),
            (Value::Text(a), Value::Text(b)) => a.cmp(b),
            (Value::Blob(a), Value::Blob(b)) => a.cmp(b),
            (Value::Boolean(a), Value::Boolean(b)) => a.cmp(b),
            (a, b) => panic!("{a:?} and {b:?} are no keys of one table"),
        });
        cells.fold(Ordering::Equal, Ordering::then)
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key {}

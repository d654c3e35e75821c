//! Writes that a plugin has made and the host has not committed, over the rows it has.
//!
//! The draft is why no transaction is open while guest code runs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::{Connection, params_from_iter};

use super::changes::{Change, Changes};
use super::statements::{self, Statements};
use super::{Column, ColumnType, Key, ReadModelError, Row, Schema, Table, Value, key};

/// The most rows one call of `get_many` or `find` answers.
pub const MAX_ROWS_PER_READ: usize = 10_000;

/// Uncommitted writes over committed rows. A detached draft (the default) has no tables.
#[derive(Debug, Default)]
pub struct ReadModelDraft {
    schema: Option<Arc<Schema>>,
    path: PathBuf,
    reader: Option<Connection>,
    pub(super) tables: Vec<TableDraft>,
    changed: usize,
}

/// The changes of one table: encoded key to the new row, or to none where the row was deleted.
#[derive(Debug)]
pub(super) struct TableDraft {
    pub statements: Statements,
    pub key_columns: Vec<usize>,
    pub changes: BTreeMap<Vec<u8>, TableChange>,
}

#[derive(Debug)]
pub(super) enum TableChange {
    Put(Row),
    Delete(Key),
}

impl ReadModelDraft {
    pub(super) fn new(schema: Arc<Schema>, path: PathBuf, reader: Connection) -> Self {
        let tables = schema
            .tables()
            .iter()
            .map(|table| TableDraft {
                statements: Statements::of(table),
                key_columns: table.key_columns(),
                changes: BTreeMap::new(),
            })
            .collect();
        Self { schema: Some(schema), path, reader: Some(reader), tables, changed: 0 }
    }

    /// How many writes the draft has taken since it was last committed or cleared.
    pub fn changed(&self) -> usize {
        self.changed
    }

    /// Forgets every write.
    pub fn clear(&mut self) {
        self.changed = 0;
        for table in &mut self.tables {
            table.changes.clear();
        }
    }

    /// The row with this primary key.
    ///
    /// # Errors
    /// When the table is not declared, the key does not fit it, or the file cannot be read.
    pub fn get(&self, table: &str, key: &[Value]) -> Result<Option<Row>, ReadModelError> {
        let (index, table) = self.table(table)?;
        let key = fit_key(table, key.to_vec())?;
        let draft = &self.tables[index];
        match draft.changes.get(&key::encode(&key)) {
            Some(TableChange::Put(row)) => Ok(Some(row.clone())),
            Some(TableChange::Delete(_)) => Ok(None),
            None => {
                let rows = self.select(&draft.statements.get, &key, table)?;
                Ok(rows.into_iter().next())
            }
        }
    }

    /// As [`Self::get`], for at most [`MAX_ROWS_PER_READ`] keys.
    ///
    /// # Errors
    /// As [`Self::get`], and when there are too many keys.
    pub fn get_many(&self, table: &str, keys: &[Key]) -> Result<Vec<Option<Row>>, ReadModelError> {
        if keys.len() > MAX_ROWS_PER_READ {
            return Err(mismatch(format!("get-many of {} keys; at most {MAX_ROWS_PER_READ} are allowed", keys.len())));
        }
        keys.iter().map(|key| self.get(table, key)).collect()
    }

    /// The rows whose indexed columns begin with `values`, by primary key; at most `limit` of them
    /// and never more than [`MAX_ROWS_PER_READ`].
    ///
    /// # Errors
    /// When table, index or values do not fit the declaration, or the file cannot be read.
    pub fn find(&self, table: &str, index: &str, values: &[Value], limit: usize) -> Result<Vec<Row>, ReadModelError> {
        let (place, table) = self.table(table)?;
        let Some(index) = table.indexes.iter().find(|declared| declared.name == index) else {
            return Err(mismatch(format!("find in table {:?} names the unknown index {index:?}", table.name)));
        };
        if values.len() > index.columns.len() {
            return Err(mismatch(format!(
                "find by index {:?} of table {:?} with {} values; the index has {} columns",
                index.name,
                table.name,
                values.len(),
                index.columns.len()
            )));
        }
        let columns: Vec<_> = index.columns.iter().filter_map(|name| table.column_index(name)).collect();
        let values = values
            .iter()
            .zip(&columns)
            .map(|(value, &column)| fit_nullable(table, column, value.clone()))
            .collect::<Result<Vec<_>, _>>()?;
        let limit = limit.min(MAX_ROWS_PER_READ);
        let draft = &self.tables[place];
        // Rows that the draft changed may take places of the answer, so as many more are read.
        let mut parameters = values.clone();
        parameters.push(Value::Integer((limit + draft.changes.len()) as i64));
        let committed = self.select(&statements::find(table, index, values.len()), &parameters, table)?;
        let mut found: BTreeMap<Vec<u8>, Row> = committed
            .into_iter()
            .map(|row| (draft.key_of(&row), row))
            .filter(|(key, _)| !draft.changes.contains_key(key))
            .collect();
        for (key, change) in &draft.changes {
            if let TableChange::Put(row) = change
                && columns.iter().zip(&values).all(|(&column, value)| row[column] == *value)
            {
                found.insert(key.clone(), row.clone());
            }
        }
        Ok(found.into_values().take(limit).collect())
    }

    /// Inserts the row, or replaces the one with the same primary key.
    ///
    /// # Errors
    /// When the table is not declared or the row does not fit it.
    pub fn put(&mut self, table: &str, row: Row) -> Result<(), ReadModelError> {
        let (index, _) = self.table(table)?;
        self.put_at(index, row)
    }

    /// Deletes the row with this key, if there is one.
    ///
    /// # Errors
    /// When the table is not declared or the key does not fit it.
    pub fn delete(&mut self, table: &str, key: Key) -> Result<(), ReadModelError> {
        let (index, _) = self.table(table)?;
        self.delete_at(index, key)
    }

    /// Takes the buffer that a columnar guest's `flush` returned.
    ///
    /// # Errors
    /// When the buffer is broken or a change does not fit its table.
    pub fn apply_changes(&mut self, changes: &[u8]) -> Result<(), ReadModelError> {
        let schema = Arc::clone(self.schema()?);
        let mut changes = Changes::new(&schema, changes);
        while let Some(change) = changes.next()? {
            match change {
                Change::Put { table, row } => self.put_at(table, row)?,
                Change::Delete { table, key } => self.delete_at(table, key)?,
            }
        }
        Ok(())
    }

    fn put_at(&mut self, index: usize, row: Row) -> Result<(), ReadModelError> {
        let schema = Arc::clone(self.schema()?);
        let table = &schema.tables()[index];
        if row.len() != table.columns.len() {
            return Err(mismatch(format!(
                "a row of table {:?} has {} values; the table has {} columns",
                table.name,
                row.len(),
                table.columns.len()
            )));
        }
        let row =
            row.into_iter().enumerate().map(|(column, value)| fit(table, column, value)).collect::<Result<Row, _>>()?;
        let draft = &mut self.tables[index];
        draft.changes.insert(draft.key_of(&row), TableChange::Put(row));
        self.changed += 1;
        Ok(())
    }

    fn delete_at(&mut self, index: usize, key: Key) -> Result<(), ReadModelError> {
        let schema = Arc::clone(self.schema()?);
        let key = fit_key(&schema.tables()[index], key)?;
        self.tables[index].changes.insert(key::encode(&key), TableChange::Delete(key));
        self.changed += 1;
        Ok(())
    }

    fn select(&self, sql: &str, parameters: &[Value], table: &Table) -> Result<Vec<Row>, ReadModelError> {
        let reader = self.reader.as_ref().ok_or_else(detached)?;
        let query = || {
            let mut statement = reader.prepare_cached(sql)?;
            let rows = statement.query_map(params_from_iter(parameters), |row| statements::read_row(row, table))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        query().map_err(|source| ReadModelError::Sqlite { path: self.path.clone(), source })
    }

    fn schema(&self) -> Result<&Arc<Schema>, ReadModelError> {
        self.schema.as_ref().ok_or_else(detached)
    }

    fn table(&self, name: &str) -> Result<(usize, &Table), ReadModelError> {
        let tables = self.schema()?.tables();
        let index = tables.iter().position(|table| table.name == name);
        let index = index.ok_or_else(|| mismatch(format!("the table {name:?} is not declared")))?;
        Ok((index, &tables[index]))
    }
}

impl TableDraft {
    fn key_of(&self, row: &Row) -> Vec<u8> {
        key::encode(self.key_columns.iter().map(|&column| &row[column]))
    }
}

fn fit_key(table: &Table, key: Key) -> Result<Key, ReadModelError> {
    let columns = table.key_columns();
    if key.len() != columns.len() {
        return Err(mismatch(format!(
            "a key of table {:?} has {} values; its primary key has {} columns",
            table.name,
            key.len(),
            columns.len()
        )));
    }
    key.into_iter().zip(columns).map(|(value, column)| fit(table, column, value)).collect()
}

fn fit(table: &Table, column: usize, value: Value) -> Result<Value, ReadModelError> {
    let Column { name, nullable, .. } = &table.columns[column];
    if value == Value::Null && !nullable {
        return Err(mismatch(format!("column {:?} of table {:?} is not nullable and got null", name, table.name)));
    }
    fit_nullable(table, column, value)
}

/// The value as the column keeps it: an integer is taken for a real, and there is one zero.
fn fit_nullable(table: &Table, column: usize, value: Value) -> Result<Value, ReadModelError> {
    let Column { name, column_type, .. } = &table.columns[column];
    let found = match (value, column_type) {
        (Value::Null, _) => return Ok(Value::Null),
        (Value::Integer(integer), ColumnType::Real) => return Ok(Value::Real(integer as f64)),
        (Value::Real(real), ColumnType::Real) if real.is_nan() => "NaN".to_owned(),
        (Value::Real(real), ColumnType::Real) => return Ok(Value::Real(real + 0.0)),
        (value, wanted) => match value.column_type() {
            Some(found) if found == *wanted => return Ok(value),
            Some(found) => found.to_string(),
            None => "null".to_owned(),
        },
    };
    Err(mismatch(format!("column {name:?} of table {:?} holds {column_type} and got {found}", table.name)))
}

fn mismatch(reason: String) -> ReadModelError {
    ReadModelError::Mismatch(reason)
}

fn detached() -> ReadModelError {
    mismatch("the read model cannot be used outside of apply".into())
}

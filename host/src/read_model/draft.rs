//! Writes that a plugin has made and the host has not committed, over the rows it has.
//!
//! The draft is why no transaction is open while guest code runs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use rusqlite::{Connection, ErrorCode, params_from_iter};

use super::cell::Cell;
use super::changes::{Change, Changes, Operation};
use super::statements::{self, Statements};
use super::{Key, ReadModelError, ReadModelWriter, Row, Schema, Table, Value, bytes_of, key};

/// The most rows one call of `get_many` or `find` answers.
pub const MAX_ROWS_PER_READ: usize = 10_000;

/// How long the reads of one call of a plugin may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadBudget {
    Until(Instant),
    /// Instructions of SQLite: the same on every machine.
    Steps(u64),
}

/// Uncommitted writes over committed rows. A detached draft (the default) has no tables.
#[derive(Debug, Default)]
pub struct ReadModelDraft {
    schema: Arc<Schema>,
    path: PathBuf,
    reader: Option<Connection>,
    statements: Arc<[Statements]>,
    changes: Changes,
    /// Changes of which a commit is under way: the file has all of them, or none yet.
    committing: Option<Arc<Changes>>,
    finds: bool,
}

impl ReadModelDraft {
    pub(super) fn new(model: &ReadModelWriter, reader: Connection, max_bytes: usize) -> Self {
        Self {
            schema: Arc::clone(&model.schema),
            path: model.path.clone(),
            reader: Some(reader),
            statements: Arc::clone(&model.statements),
            changes: Changes::new(&model.schema, max_bytes),
            committing: None,
            finds: false,
        }
    }

    /// How many writes the draft has taken since it was last committed or cleared, and their bytes.
    pub fn size(&self) -> (usize, usize) {
        self.changes.size()
    }

    /// Whether [`Self::find`] was ever called.
    pub fn finds(&self) -> bool {
        self.finds
    }

    /// Until this is called again, reads beyond the budget fail with [`ReadModelError::TooLong`].
    pub fn limit_reads(&mut self, budget: ReadBudget) {
        const STEPS_BETWEEN_LOOKS: i32 = 1000;
        let Some(reader) = &mut self.reader else { return };
        let mut steps = 0;
        let is_over = move || {
            steps += STEPS_BETWEEN_LOOKS as u64;
            match budget {
                ReadBudget::Until(end) => Instant::now() >= end,
                ReadBudget::Steps(most) => steps > most,
            }
        };
        // Without it a call may take longer, and ends all the same.
        let _ = reader.progress_handler(STEPS_BETWEEN_LOOKS, Some(is_over));
    }

    /// Forgets every write.
    pub fn clear(&mut self) {
        self.end_reads();
        self.changes = self.changes.emptied();
    }

    pub(super) fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Hands the writes over to be committed. The draft shows them until [`Self::end_commit`].
    pub(super) fn begin_commit(&mut self) -> Arc<Changes> {
        self.end_reads();
        let emptied = self.changes.emptied();
        let changes = Arc::new(std::mem::replace(&mut self.changes, emptied));
        self.committing = Some(Arc::clone(&changes));
        changes
    }

    /// The commit under way is over, for good or not.
    pub(super) fn end_commit(&mut self) {
        self.end_reads();
        self.committing = None;
    }

    /// Lets go of the snapshot that reads have shared since the last call: one for each read would
    /// cost more than the read. As long as it is held, the file's write-ahead log cannot start over.
    pub fn end_reads(&self) {
        if let Some(reader) = self.reader.as_ref().filter(|reader| !reader.is_autocommit()) {
            // Nothing was written: at worst the next read fails and says why.
            let _ = reader.execute_batch("COMMIT");
        }
    }

    /// The row with this primary key.
    ///
    /// # Errors
    /// When the table is not declared, the key does not fit it, the row is larger than a draft may be, or the file
    /// cannot be read.
    pub fn get(&self, table: &str, key: &[Value]) -> Result<Option<Row>, ReadModelError> {
        self.get_within(&mut self.changes.max_bytes(), table, key)
    }

    /// As [`Self::get`], with this room for the row.
    fn get_within(&self, room: &mut usize, table: &str, key: &[Value]) -> Result<Option<Row>, ReadModelError> {
        let (place, table) = self.table(table)?;
        let key = fit_key(table, key)?;
        let mut encoded = Vec::with_capacity(24);
        key::encode(key.iter().copied(), &mut encoded);
        let uncommitted = [Some(&self.changes), self.committing.as_deref()];
        let mut uncommitted = uncommitted.into_iter().flatten();
        match uncommitted.find_map(|changes| changes.get(&self.schema, place, &encoded)) {
            Some(Change::Put(row)) => {
                let row = row.to_row();
                take_room(room, table, &row)?;
                Ok(Some(row))
            }
            Some(Change::Delete(_)) => Ok(None),
            None => {
                let rows = self.select(room, &self.statements[place].get, &key, table)?;
                Ok(rows.into_iter().next())
            }
        }
    }

    /// As [`Self::get`], for at most [`MAX_ROWS_PER_READ`] keys.
    ///
    /// # Errors
    /// As [`Self::get`], when there are too many keys, or all rows together are larger than a draft may be.
    pub fn get_many(&self, table: &str, keys: &[Key]) -> Result<Vec<Option<Row>>, ReadModelError> {
        if keys.len() > MAX_ROWS_PER_READ {
            return Err(mismatch(format!("get-many of {} keys; at most {MAX_ROWS_PER_READ} are allowed", keys.len())));
        }
        let mut room = self.changes.max_bytes();
        keys.iter().map(|key| self.get_within(&mut room, table, key)).collect()
    }

    /// The rows whose indexed columns begin with `values`, by primary key; at most `limit` of them
    /// and never more than [`MAX_ROWS_PER_READ`].
    ///
    /// # Errors
    /// When table, index or values do not fit the declaration, the rows are larger than a draft may be, or the file
    /// cannot be read.
    pub fn find(
        &mut self,
        table: &str,
        index: &str,
        values: &[Value],
        limit: usize,
    ) -> Result<Vec<Row>, ReadModelError> {
        self.finds = true;
        let schema = Arc::clone(&self.schema);
        let (place, table) = self.table_of(&schema, table)?;
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
        let columns = index.columns.iter().filter_map(|name| table.column_index(name));
        let columns: Vec<_> = columns.take(values.len()).collect();
        let fitted = values.iter().zip(&columns).map(|(value, &column)| value.as_cell().fit_nullable(table, column));
        let values = fitted.collect::<Result<Vec<_>, _>>()?;
        let limit = limit.min(MAX_ROWS_PER_READ);
        let uncommitted = [Some(&self.changes), self.committing.as_deref()].into_iter().flatten();
        // Rows that are being changed may take places of the answer, so as many more are read.
        let changing: usize = uncommitted.map(|changes| changes.keys(place)).sum();
        let mut parameters = values.clone();
        parameters.push(Cell::Integer((limit + changing) as i64));
        let room = &mut self.changes.max_bytes();
        let committed = self.select(room, &statements::find(table, index, values.len()), &parameters, table)?;
        let key_columns = table.key_columns();
        let mut found: BTreeMap<Vec<u8>, Row> =
            committed.into_iter().map(|row| (encoded_key(&key_columns, &row), row)).collect();
        if let Some(committing) = &self.committing {
            found.retain(|key, _| committing.get(&schema, place, key).is_none());
            found.extend(committing.find(&schema, place, &columns, &values));
        }
        found.retain(|key, _| self.changes.get(&schema, place, key).is_none());
        found.extend(self.changes.find_often(&schema, place, &columns, &values));
        Ok(found.into_values().take(limit).collect())
    }

    /// Whether the table has no rows. A row that is being deleted counts as one.
    ///
    /// # Errors
    /// When the table is not declared or the file cannot be read.
    pub fn is_empty(&self, table: &str) -> Result<bool, ReadModelError> {
        let (place, table) = self.table(table)?;
        let mut uncommitted = [Some(&self.changes), self.committing.as_deref()].into_iter().flatten();
        if uncommitted.any(|changes| changes.keys(place) > 0) {
            return Ok(false);
        }
        let sql = format!("SELECT * FROM \"{}\" LIMIT 1", table.name);
        Ok(self.select(&mut self.changes.max_bytes(), &sql, &[], table)?.is_empty())
    }

    /// Inserts the row, or replaces the one with the same primary key.
    ///
    /// # Errors
    /// When the table is not declared, the row does not fit it, or too many writes wait.
    pub fn put(&mut self, table: &str, row: Row) -> Result<(), ReadModelError> {
        let schema = Arc::clone(&self.schema);
        let (place, table) = self.table_of(&schema, table)?;
        if row.len() != table.columns.len() {
            return Err(mismatch(format!(
                "a row of table {:?} has {} values; the table has {} columns",
                table.name,
                row.len(),
                table.columns.len()
            )));
        }
        let cells = row.iter().enumerate().map(|(column, value)| value.as_cell().fit(table, column));
        self.changes.add(place, Operation::Put, &cells.collect::<Result<Vec<_>, _>>()?)
    }

    /// Deletes the row with this key, if there is one.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub fn delete(&mut self, table: &str, key: Key) -> Result<(), ReadModelError> {
        let schema = Arc::clone(&self.schema);
        let (place, table) = self.table_of(&schema, table)?;
        self.changes.add(place, Operation::Delete, &fit_key(table, &key)?)
    }

    /// Takes the buffer that a columnar guest's `flush` returned. After an error the draft is empty.
    ///
    /// # Errors
    /// When the buffer is broken, a change does not fit its table, or too many writes wait.
    pub fn apply_changes(&mut self, changes: Vec<u8>) -> Result<(), ReadModelError> {
        self.attached()?;
        let taken = self.changes.take(&self.schema, changes);
        taken.inspect_err(|_| self.clear())
    }

    fn select(
        &self,
        room: &mut usize,
        sql: &str,
        parameters: &[Cell<'_>],
        table: &Table,
    ) -> Result<Vec<Row>, ReadModelError> {
        let reader = self.attached()?;
        let failed = |source: rusqlite::Error| match source.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => ReadModelError::TooLong,
            _ => ReadModelError::Sqlite { path: self.path.clone(), source },
        };
        if reader.is_autocommit() {
            reader.execute_batch("BEGIN").map_err(failed)?;
        }
        let mut statement = reader.prepare_cached(sql).map_err(failed)?;
        let mut found = statement.query(params_from_iter(parameters)).map_err(failed)?;
        let mut rows = Vec::new();
        while let Some(row) = found.next().map_err(failed)? {
            let row = statements::read_row(row, table).map_err(failed)?;
            take_room(room, table, &row)?;
            rows.push(row);
        }
        Ok(rows)
    }

    fn attached(&self) -> Result<&Connection, ReadModelError> {
        self.reader.as_ref().ok_or_else(|| mismatch("the read model cannot be used outside of apply".into()))
    }

    fn table(&self, name: &str) -> Result<(usize, &Table), ReadModelError> {
        self.table_of(&self.schema, name)
    }

    fn table_of<'a>(&self, schema: &'a Schema, name: &str) -> Result<(usize, &'a Table), ReadModelError> {
        self.attached()?;
        let place = schema.tables().iter().position(|table| table.name == name);
        let place = place.ok_or_else(|| mismatch(format!("the table {name:?} is not declared")))?;
        Ok((place, &schema.tables()[place]))
    }
}

fn take_room(room: &mut usize, table: &Table, row: &Row) -> Result<(), ReadModelError> {
    *room = room.checked_sub(bytes_of(row)).ok_or_else(|| {
        mismatch(format!("the rows that a read of table {:?} asks for are too large; read fewer at once", table.name))
    })?;
    Ok(())
}

fn fit_key<'a>(table: &Table, key: &'a [Value]) -> Result<Vec<Cell<'a>>, ReadModelError> {
    let columns = table.key_columns();
    if key.len() != columns.len() {
        return Err(mismatch(format!(
            "a key of table {:?} has {} values; its primary key has {} columns",
            table.name,
            key.len(),
            columns.len()
        )));
    }
    key.iter().zip(columns).map(|(value, column)| value.as_cell().fit(table, column)).collect()
}

fn encoded_key(key_columns: &[usize], row: &Row) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(24);
    key::encode(key_columns.iter().map(|&column| row[column].as_cell()), &mut bytes);
    bytes
}

fn mismatch(reason: String) -> ReadModelError {
    ReadModelError::Mismatch(reason)
}

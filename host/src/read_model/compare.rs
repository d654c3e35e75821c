//! Holds one read model against another that should have the same rows.

use std::path::Path;

use rusqlite::{Connection, params_from_iter};

use super::statements::{self, Statements};
use super::{ReadModelError, ReadModelFile, Row, Table};
use crate::sqlite;

/// The first row, by table and key, that two read models do not share.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    pub table: Table,
    /// The row as it is in this read model; none when it is missing.
    pub found: Option<Row>,
    /// The row as it is in the other one; none when it has no row with this key.
    pub expected: Option<Row>,
}

impl ReadModelFile {
    /// Copies the read model to a new file, as of one moment. It may be written to meanwhile.
    ///
    /// # Errors
    /// When the file cannot be read or the copy not be written.
    pub fn copy_to(&self, path: &Path) -> Result<Self, ReadModelError> {
        sqlite::copy(&self.path, path).map_err(|source| self.failed(source))?;
        Self::open(path)
    }

    /// The first row that differs from `expected`, which has the same tables. None when all rows are the same.
    ///
    /// # Errors
    /// When one of the two cannot be read, or SQLite finds this one damaged.
    pub fn first_difference(&self, expected: &Self) -> Result<Option<Difference>, ReadModelError> {
        let (own, other) = (self.connect()?, expected.connect()?);
        let found: String =
            own.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(|source| self.failed(source))?;
        if found != "ok" {
            return Err(ReadModelError::Damaged { path: self.path.clone(), reason: found });
        }
        for table in self.schema.tables() {
            let difference = in_table(table, &own, &other).map_err(|source| self.failed(source))?;
            if difference.is_some() {
                return Ok(difference);
            }
        }
        Ok(None)
    }

    fn connect(&self) -> Result<Connection, ReadModelError> {
        sqlite::open_read_only(&self.path).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: rusqlite::Error) -> ReadModelError {
        ReadModelError::Sqlite { path: self.path.clone(), source }
    }
}

fn in_table(table: &Table, own: &Connection, other: &Connection) -> rusqlite::Result<Option<Difference>> {
    let sql = statements::all(table);
    let (mut found, mut expected) = (own.prepare(&sql)?, other.prepare(&sql)?);
    let (mut found, mut expected) = (found.query([])?, expected.query([])?);
    loop {
        let read = |row: Option<&rusqlite::Row<'_>>| row.map(|row| statements::read_row(row, table)).transpose();
        let (found, expected) = (read(found.next()?)?, read(expected.next()?)?);
        if found == expected {
            match found {
                Some(_) => continue,
                None => return Ok(None),
            }
        }
        let key = |row: &Row| table.key_columns().into_iter().map(|column| row[column].clone()).collect::<Vec<_>>();
        let difference = |found, expected| Ok(Some(Difference { table: table.clone(), found, expected }));
        return match (found, expected) {
            (Some(found), Some(expected)) if key(&found) == key(&expected) => difference(Some(found), Some(expected)),
            // The first of two rows with different keys is missing on the other side, or else the second.
            (Some(found), Some(expected)) if is_there(table, other, &key(&found))? => difference(None, Some(expected)),
            (Some(found), _) => difference(Some(found), None),
            (None, expected) => difference(None, expected),
        };
    }
}

fn is_there(table: &Table, connection: &Connection, key: &[super::Value]) -> rusqlite::Result<bool> {
    let mut get = connection.prepare(&Statements::of(table).get)?;
    get.exists(params_from_iter(key.iter().map(super::Value::as_cell)))
}

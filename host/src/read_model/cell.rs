//! One cell as it lies in a flush buffer, which `wit/worlds.wit` describes: read, fitted to its
//! column and written without a copy.

use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, ValueRef};

use super::{ColumnType, ReadModelError, Table, Value};

/// One cell that borrows its text or bytes. [`Value`] is the owned form.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    Null,
    Integer(i64),
    Real(f64),
    Text(&'a str),
    Blob(&'a [u8]),
    Boolean(bool),
}

impl<'a> Cell<'a> {
    /// Takes the first cell off `bytes`.
    ///
    /// # Errors
    /// What is wrong with the bytes, in words that follow "the buffer that flush returned".
    pub fn take(bytes: &mut &'a [u8]) -> Result<Self, String> {
        let [tag] = take(bytes)?;
        Ok(match tag {
            0 => Self::Null,
            1 => Self::Integer(i64::from_le_bytes(take(bytes)?)),
            2 => Self::Real(f64::from_le_bytes(take(bytes)?)),
            3 => match std::str::from_utf8(sized(bytes)?) {
                Ok(text) => Self::Text(text),
                Err(error) => return Err(format!("has text that is not UTF-8: {error}")),
            },
            4 => Self::Blob(sized(bytes)?),
            5 => match take(bytes)? {
                [0] => Self::Boolean(false),
                [1] => Self::Boolean(true),
                [other] => return Err(format!("has the boolean {other}")),
            },
            other => return Err(format!("has a value with the unknown tag {other}")),
        })
    }

    /// Adds the cell to `bytes`, as [`Cell::take`] reads it.
    pub fn write(self, bytes: &mut Vec<u8>) {
        let mut sized = |tag, part: &[u8]| {
            bytes.push(tag);
            bytes.extend((part.len() as u32).to_le_bytes());
            bytes.extend_from_slice(part);
        };
        match self {
            Self::Text(text) => sized(3, text.as_bytes()),
            Self::Blob(blob) => sized(4, blob),
            Self::Null => bytes.push(0),
            Self::Integer(integer) => {
                bytes.push(1);
                bytes.extend(integer.to_le_bytes());
            }
            Self::Real(real) => {
                bytes.push(2);
                bytes.extend(real.to_le_bytes());
            }
            Self::Boolean(boolean) => bytes.extend([5, u8::from(boolean)]),
        }
    }

    /// The cell as the table keeps it in this column: an integer is taken for a real, and there is
    /// one zero.
    ///
    /// # Errors
    /// [`ReadModelError::Mismatch`]: what the column holds and what it got.
    pub fn fit(self, table: &Table, column: usize) -> Result<Self, ReadModelError> {
        if self == Self::Null && !table.columns[column].nullable {
            return Err(misfit(table, column, "is not nullable and got null"));
        }
        self.fit_nullable(table, column)
    }

    /// As [`Cell::fit`], for a value that the column is compared with.
    ///
    /// # Errors
    /// As [`Cell::fit`], but not for null.
    pub fn fit_nullable(self, table: &Table, column: usize) -> Result<Self, ReadModelError> {
        let wanted = table.columns[column].column_type;
        let found = match (self, wanted) {
            (Self::Null, _)
            | (Self::Integer(_), ColumnType::Integer)
            | (Self::Text(_), ColumnType::Text)
            | (Self::Blob(_), ColumnType::Blob)
            | (Self::Boolean(_), ColumnType::Boolean) => return Ok(self),
            (Self::Integer(integer), ColumnType::Real) => return Ok(Self::Real(integer as f64)),
            (Self::Real(real), ColumnType::Real) if real.is_nan() => "NaN",
            (Self::Real(real), ColumnType::Real) => return Ok(Self::Real(real + 0.0)),
            (Self::Integer(_), _) => "integer",
            (Self::Real(_), _) => "real",
            (Self::Text(_), _) => "text",
            (Self::Blob(_), _) => "blob",
            (Self::Boolean(_), _) => "boolean",
        };
        Err(misfit(table, column, &format!("holds {wanted} and got {found}")))
    }

    /// The cell as it lies in the file.
    fn in_sqlite(self) -> ValueRef<'a> {
        match self {
            Self::Null => ValueRef::Null,
            Self::Integer(integer) => ValueRef::Integer(integer),
            Self::Real(real) => ValueRef::Real(real),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(blob) => ValueRef::Blob(blob),
            Self::Boolean(boolean) => ValueRef::Integer(i64::from(boolean)),
        }
    }

    pub fn to_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Integer(integer) => Value::Integer(integer),
            Self::Real(real) => Value::Real(real),
            Self::Text(text) => Value::Text(text.to_owned()),
            Self::Blob(blob) => Value::Blob(blob.to_vec()),
            Self::Boolean(boolean) => Value::Boolean(boolean),
        }
    }
}

impl Value {
    pub(super) fn as_cell(&self) -> Cell<'_> {
        match self {
            Self::Null => Cell::Null,
            Self::Integer(integer) => Cell::Integer(*integer),
            Self::Real(real) => Cell::Real(*real),
            Self::Text(text) => Cell::Text(text),
            Self::Blob(blob) => Cell::Blob(blob),
            Self::Boolean(boolean) => Cell::Boolean(*boolean),
        }
    }
}

fn misfit(table: &Table, column: usize, what: &str) -> ReadModelError {
    let (column, table) = (&table.columns[column].name, &table.name);
    ReadModelError::Mismatch(format!("column {column:?} of table {table:?} {what}"))
}

/// Takes the first `N` bytes off.
pub(super) fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], String> {
    let (part, rest) = bytes.split_first_chunk::<N>().ok_or("ends inside a change")?;
    *bytes = rest;
    Ok(*part)
}

fn sized<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let length = u32::from_le_bytes(take(bytes)?) as usize;
    let (part, rest) = bytes.split_at_checked(length).ok_or("ends inside a value")?;
    *bytes = rest;
    Ok(part)
}

impl ToSql for Cell<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(self.in_sqlite()))
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(self.as_cell().in_sqlite()))
    }
}

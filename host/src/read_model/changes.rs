//! Decodes the buffer that a columnar guest hands over in `flush`; `wit/worlds.wit` describes it.

use super::{ReadModelError, Row, Schema, Value};

/// One change of a flush buffer.
#[derive(Debug, PartialEq)]
pub(super) enum Change {
    Put { table: usize, row: Row },
    Delete { table: usize, key: Row },
}

/// Reads changes one after the other; any byte that does not belong is an error.
pub(super) struct Changes<'a> {
    schema: &'a Schema,
    bytes: &'a [u8],
    length: usize,
}

impl<'a> Changes<'a> {
    pub fn new(schema: &'a Schema, bytes: &'a [u8]) -> Self {
        Self { schema, bytes, length: bytes.len() }
    }

    /// The next change; `None` at the end of the buffer.
    pub fn next(&mut self) -> Result<Option<Change>, ReadModelError> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let [operation, low, high] = self.take()?;
        let index = usize::from(u16::from_le_bytes([low, high]));
        let Some(table) = self.schema.tables().get(index) else {
            return Err(
                self.broken(&format!("names table {index}, but only {} are declared", self.schema.tables().len()))
            );
        };
        let change = match operation {
            1 => Change::Put { table: index, row: self.values(table.columns.len())? },
            2 => Change::Delete { table: index, key: self.values(table.primary_key.len())? },
            other => return Err(self.broken(&format!("has the unknown operation {other}"))),
        };
        Ok(Some(change))
    }

    fn values(&mut self, count: usize) -> Result<Row, ReadModelError> {
        (0..count).map(|_| self.value()).collect()
    }

    fn value(&mut self) -> Result<Value, ReadModelError> {
        let [tag] = self.take()?;
        Ok(match tag {
            0 => Value::Null,
            1 => Value::Integer(i64::from_le_bytes(self.take()?)),
            2 => Value::Real(f64::from_le_bytes(self.take()?)),
            3 => match std::str::from_utf8(self.sized()?) {
                Ok(text) => Value::Text(text.to_owned()),
                Err(error) => return Err(self.broken(&format!("has text that is not UTF-8: {error}"))),
            },
            4 => Value::Blob(self.sized()?.to_vec()),
            5 => match self.take()? {
                [0] => Value::Boolean(false),
                [1] => Value::Boolean(true),
                [other] => return Err(self.broken(&format!("has the boolean {other}"))),
            },
            other => return Err(self.broken(&format!("has a value with the unknown tag {other}"))),
        })
    }

    fn sized(&mut self) -> Result<&'a [u8], ReadModelError> {
        let length = u32::from_le_bytes(self.take()?) as usize;
        if length > self.bytes.len() {
            return Err(self.broken("ends inside a value"));
        }
        let (part, rest) = self.bytes.split_at(length);
        self.bytes = rest;
        Ok(part)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], ReadModelError> {
        let Some((part, rest)) = self.bytes.split_first_chunk::<N>() else {
            return Err(self.broken("ends inside a change"));
        };
        self.bytes = rest;
        Ok(*part)
    }

    fn broken(&self, what: &str) -> ReadModelError {
        let offset = self.length - self.bytes.len();
        ReadModelError::Mismatch(format!(
            "the changes that flush returned {what} (near byte {offset} of {})",
            self.length
        ))
    }
}

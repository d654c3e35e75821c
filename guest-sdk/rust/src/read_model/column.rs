//! The Rust types that can be columns, and how a cell is written into the flush buffer.

use std::fmt::Debug;
use std::hash::Hash;

use super::{ColumnType, Value};
use crate::same::same;

/// The tags of the flush buffer; `wit/worlds.wit` describes it.
pub const NULL: u8 = 0;
pub const INTEGER: u8 = 1;
pub const REAL: u8 = 2;
pub const TEXT: u8 = 3;
pub const BLOB: u8 = 4;
pub const BOOLEAN: u8 = 5;

/// A type that can be a column: `i64`, `i32`, `u32`, `f64`, `bool`, `String`, `Vec<u8>`, and
/// `Option` of these for a column that may be null. `f64` may not be NaN.
pub trait Column: Clone + Debug + Default + PartialEq + Sized {
    const TYPE: ColumnType;
    const NULLABLE: bool = false;

    /// Adds the cell to a flush buffer.
    fn encode(&self, out: &mut Vec<u8>);

    /// The bytes that [`Column::encode`] adds.
    fn encoded_len(&self) -> usize;

    /// `None` when the value is of another type.
    fn from_value(value: Value) -> Option<Self>;

    /// Whether it is the one value that a column cannot keep.
    fn is_nan(&self) -> bool {
        false
    }
}

/// A column that can be part of a primary key. A key is looked up by what it borrows: the key of a
/// `String` column is a `&str`.
pub trait KeyColumn: Column + Ord {
    type Borrowed<'k>: Copy + Debug + Hash + Ord;

    fn borrowed(&self) -> Self::Borrowed<'_>;
    /// Whether this is the key, as the table's rows are compared with what is looked up.
    fn is<'k>(&'k self, key: Self::Borrowed<'k>) -> bool {
        self.borrowed() == key
    }
    /// Sorts as the key does, but for keys that begin alike: comparing it is cheaper.
    fn sort_prefix(&self) -> u128;
    fn owned(key: Self::Borrowed<'_>) -> Self;
    fn value(key: Self::Borrowed<'_>) -> Value;
}

macro_rules! integer_columns {
    ($($integer:ty),+) => {$(
        impl Column for $integer {
            const TYPE: ColumnType = ColumnType::Integer;

            fn encode(&self, out: &mut Vec<u8>) {
                out.push(INTEGER);
                out.extend_from_slice(&i64::from(*self).to_le_bytes());
            }

            fn encoded_len(&self) -> usize {
                9
            }

            fn from_value(value: Value) -> Option<Self> {
                match value {
                    Value::Integer(integer) => integer.try_into().ok(),
                    _ => None,
                }
            }
        }

        impl KeyColumn for $integer {
            type Borrowed<'k> = $integer;

            fn borrowed(&self) -> $integer {
                *self
            }

            fn sort_prefix(&self) -> u128 {
                (i64::from(*self) as u64 ^ (1 << 63)).into()
            }

            fn owned(key: $integer) -> Self {
                key
            }

            fn value(key: $integer) -> Value {
                Value::Integer(key.into())
            }
        }

        impl From<$integer> for Value {
            fn from(integer: $integer) -> Self {
                Value::Integer(integer.into())
            }
        }
    )+};
}

integer_columns!(i64, i32, u32);

macro_rules! bytes_column {
    ($owned:ty, $borrowed:ty, $variant:ident, $tag:expr) => {
        impl Column for $owned {
            const TYPE: ColumnType = ColumnType::$variant;

            fn encode(&self, out: &mut Vec<u8>) {
                out.push($tag);
                // The host refuses rows far below 4 GiB.
                out.extend_from_slice(&(self.len() as u32).to_le_bytes());
                out.extend_from_slice(self.as_ref());
            }

            fn encoded_len(&self) -> usize {
                5 + self.len()
            }

            fn from_value(value: Value) -> Option<Self> {
                match value {
                    Value::$variant(value) => Some(value),
                    _ => None,
                }
            }
        }

        impl KeyColumn for $owned {
            type Borrowed<'k> = &'k $borrowed;

            fn borrowed(&self) -> &$borrowed {
                self
            }

            fn sort_prefix(&self) -> u128 {
                let bytes: &[u8] = self.as_ref();
                let mut prefix = [0; 16];
                let length = bytes.len().min(16);
                prefix[..length].copy_from_slice(&bytes[..length]);
                u128::from_be_bytes(prefix)
            }

            #[inline]
            fn is<'k>(&'k self, key: &'k $borrowed) -> bool {
                same(self.as_ref(), key.as_ref())
            }

            fn owned(key: &$borrowed) -> Self {
                key.to_owned()
            }

            fn value(key: &$borrowed) -> Value {
                Value::$variant(key.to_owned())
            }
        }

        impl From<&$borrowed> for Value {
            fn from(value: &$borrowed) -> Self {
                Value::$variant(value.to_owned())
            }
        }

        impl From<$owned> for Value {
            fn from(value: $owned) -> Self {
                Value::$variant(value)
            }
        }
    };
}

bytes_column!(String, str, Text, TEXT);
bytes_column!(Vec<u8>, [u8], Blob, BLOB);

impl Column for bool {
    const TYPE: ColumnType = ColumnType::Boolean;

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[BOOLEAN, u8::from(*self)]);
    }

    fn encoded_len(&self) -> usize {
        2
    }

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Boolean(boolean) => Some(boolean),
            _ => None,
        }
    }
}

impl KeyColumn for bool {
    type Borrowed<'k> = bool;

    fn borrowed(&self) -> bool {
        *self
    }

    fn sort_prefix(&self) -> u128 {
        u128::from(*self)
    }

    fn owned(key: bool) -> Self {
        key
    }

    fn value(key: bool) -> Value {
        Value::Boolean(key)
    }
}

impl From<bool> for Value {
    fn from(boolean: bool) -> Self {
        Value::Boolean(boolean)
    }
}

impl Column for f64 {
    const TYPE: ColumnType = ColumnType::Real;

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(REAL);
        // SQLite knows no negative zero.
        out.extend_from_slice(&(self + 0.0).to_le_bytes());
    }

    fn encoded_len(&self) -> usize {
        9
    }

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Real(real) => Some(real),
            _ => None,
        }
    }

    fn is_nan(&self) -> bool {
        f64::is_nan(*self)
    }
}

impl From<f64> for Value {
    fn from(real: f64) -> Self {
        Value::Real(real)
    }
}

impl<C: Column> Column for Option<C> {
    const TYPE: ColumnType = {
        assert!(!C::NULLABLE, "a column cannot be an Option of an Option");
        C::TYPE
    };
    const NULLABLE: bool = true;

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            None => out.push(NULL),
            Some(cell) => cell.encode(out),
        }
    }

    fn encoded_len(&self) -> usize {
        self.as_ref().map_or(1, C::encoded_len)
    }

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            value => C::from_value(value).map(Some),
        }
    }

    fn is_nan(&self) -> bool {
        self.as_ref().is_some_and(C::is_nan)
    }
}

impl<C: Into<Value>> From<Option<C>> for Value {
    fn from(cell: Option<C>) -> Self {
        cell.map_or(Value::Null, Into::into)
    }
}

/// Adds a value to a buffer in the way [`Column::encode`] does.
pub fn encode_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(NULL),
        Value::Integer(integer) => integer.encode(out),
        Value::Real(real) => real.encode(out),
        Value::Text(text) => text.encode(out),
        Value::Blob(blob) => blob.encode(out),
        Value::Boolean(boolean) => boolean.encode(out),
    }
}

impl Value {
    /// Whether a column of this type can hold the value.
    pub(crate) fn fits(&self, column_type: ColumnType, nullable: bool) -> bool {
        match self {
            Value::Null => nullable,
            Value::Integer(_) => column_type == ColumnType::Integer,
            Value::Real(_) => column_type == ColumnType::Real,
            Value::Text(_) => column_type == ColumnType::Text,
            Value::Blob(_) => column_type == ColumnType::Blob,
            Value::Boolean(_) => column_type == ColumnType::Boolean,
        }
    }
}

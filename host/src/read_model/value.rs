//! One cell of a read model.

/// One cell. Booleans are kept as 0 and 1 in SQLite.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
    Boolean(bool),
}

/// About the memory that values take.
pub fn bytes_of(values: &[Value]) -> usize {
    let own = values.iter().map(|value| match value {
        Value::Text(text) => text.len(),
        Value::Blob(blob) => blob.len(),
        _ => 0,
    });
    own.sum::<usize>() + size_of_val(values)
}

/// The values of all columns, in the order the table declares them.
pub type Row = Vec<Value>;

/// The values of the primary key, in the order the table declares it.
pub type Key = Vec<Value>;

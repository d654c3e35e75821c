//! The SQL of one declared table. Names come from a checked [`Schema`](super::Schema), values are
//! always bound.

use rusqlite::types::ValueRef;

use super::{ColumnType, Index, Row, Table, Value};

/// The statements of one table, made once.
#[derive(Clone, Debug)]
pub(super) struct Statements {
    pub get: String,
    pub put: String,
    pub delete: String,
}

impl Statements {
    pub fn of(table: &Table) -> Self {
        let name = &table.name;
        let columns = column_list(table);
        let parameters = vec!["?"; table.columns.len()].join(", ");
        let key: Vec<_> = table.primary_key.iter().map(|column| format!("\"{column}\" = ?")).collect();
        let key = key.join(" AND ");
        Self {
            get: format!("SELECT {columns} FROM \"{name}\" WHERE {key}"),
            put: format!("INSERT OR REPLACE INTO \"{name}\" ({columns}) VALUES ({parameters})"),
            delete: format!("DELETE FROM \"{name}\" WHERE {key}"),
        }
    }
}

/// Selects rows whose first `values` columns of the index equal parameters, in key order.
/// The last parameter is the limit.
pub(super) fn find(table: &Table, index: &Index, values: usize) -> String {
    let wanted: Vec<_> = index.columns[..values].iter().map(|column| format!("\"{column}\" IS ?")).collect();
    let wanted = if wanted.is_empty() { "TRUE".into() } else { wanted.join(" AND ") };
    let order = quoted(&table.primary_key);
    format!("SELECT {} FROM \"{}\" WHERE {wanted} ORDER BY {order} LIMIT ?", column_list(table), table.name)
}

/// Selects every row in key order.
pub(super) fn all(table: &Table) -> String {
    format!("SELECT {} FROM \"{}\" ORDER BY {}", column_list(table), table.name, quoted(&table.primary_key))
}

/// The statement that makes a table.
pub(super) fn create(table: &Table) -> String {
    let mut columns: Vec<_> = table
        .columns
        .iter()
        .map(|column| {
            let null = if column.nullable { "" } else { " NOT NULL" };
            format!("\"{}\" {}{null}", column.name, declared_type(column.column_type))
        })
        .collect();
    columns.push(format!("PRIMARY KEY ({})", quoted(&table.primary_key)));
    format!("CREATE TABLE \"{}\" ({}) WITHOUT ROWID", table.name, columns.join(", "))
}

/// The statement that makes an index, if it is not there.
pub(super) fn create_index(table: &Table, index: &Index) -> String {
    format!("CREATE INDEX IF NOT EXISTS \"{}\" ON \"{}\" ({})", index.name, table.name, quoted(&index.columns))
}

/// The type names in the file, from which [`column_type`] reads a schema back.
fn declared_type(column_type: ColumnType) -> &'static str {
    match column_type {
        ColumnType::Integer => "INTEGER",
        ColumnType::Real => "REAL",
        ColumnType::Text => "TEXT",
        ColumnType::Blob => "BLOB",
        ColumnType::Boolean => "BOOLEAN",
    }
}

pub(super) fn column_type(declared: &str) -> Option<ColumnType> {
    match declared {
        "INTEGER" => Some(ColumnType::Integer),
        "REAL" => Some(ColumnType::Real),
        "TEXT" => Some(ColumnType::Text),
        "BLOB" => Some(ColumnType::Blob),
        "BOOLEAN" => Some(ColumnType::Boolean),
        _ => None,
    }
}

/// Reads the cells of a row that selected all columns of `table` in order.
pub(super) fn read_row(row: &rusqlite::Row<'_>, table: &Table) -> rusqlite::Result<Row> {
    table.columns.iter().enumerate().map(|(index, column)| read_value(row, index, column.column_type)).collect()
}

/// Reads one cell that was written as `column_type`.
pub(super) fn read_value(row: &rusqlite::Row<'_>, index: usize, column_type: ColumnType) -> rusqlite::Result<Value> {
    Ok(match row.get_ref(index)? {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(integer) => match column_type {
            ColumnType::Boolean => Value::Boolean(integer != 0),
            ColumnType::Real => Value::Real(integer as f64),
            _ => Value::Integer(integer),
        },
        ValueRef::Real(real) => Value::Real(real),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(blob) => Value::Blob(blob.to_vec()),
    })
}

fn column_list(table: &Table) -> String {
    let names: Vec<_> = table.columns.iter().map(|column| format!("\"{}\"", column.name)).collect();
    names.join(", ")
}

fn quoted(names: &[String]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
    names.join(", ")
}

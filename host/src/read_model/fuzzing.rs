//! Flush buffers and query strings for `crate::fuzzing`.

use std::sync::{Arc, OnceLock};

use rusqlite::Connection;

use super::changes::{Change, Changes};
use super::query::fuzzing::sql_of;
use super::{Column, ColumnType, Index, Query, QueryOptions, Schema, Table, statements};

/// Tables with columns of every type, one of them with a key of two columns.
fn schema() -> Arc<Schema> {
    static SCHEMA: OnceLock<Arc<Schema>> = OnceLock::new();
    let column = |name: &str, column_type, nullable| Column { name: name.into(), column_type, nullable };
    let made = SCHEMA.get_or_init(|| {
        let orders = Table {
            name: "orders".into(),
            columns: vec![
                column("id", ColumnType::Text, false),
                column("total", ColumnType::Integer, true),
                column("weight", ColumnType::Real, true),
                column("seal", ColumnType::Blob, true),
                column("paid", ColumnType::Boolean, false),
            ],
            primary_key: vec!["id".into()],
            indexes: vec![Index { name: "by_total".into(), columns: vec!["total".into()] }],
        };
        let mut pairs = orders.clone();
        pairs.name = "pairs".into();
        pairs.columns.swap(0, 4);
        pairs.primary_key = vec!["paid".into(), "id".into()];
        pairs.indexes.clear();
        Arc::new(Schema::new(vec![orders, pairs]).expect("sound"))
    });
    Arc::clone(made)
}

/// A flush buffer is refused, or what was taken comes out again as it went in, in the order of its keys.
pub fn changes(bytes: &[u8]) {
    let schema = schema();
    let mut changes = Changes::new(&schema, 1 << 20);
    if changes.take(&schema, bytes.to_vec()).is_err() {
        return;
    }
    let mut written = Vec::new();
    for place in 0..schema.tables().len() {
        let listed: Vec<_> = changes.in_order(&schema, place).collect();
        assert_eq!(listed.len(), changes.keys(place));
        for change in listed {
            let (operation, cells) = match change {
                Change::Put(cells) => (1, cells),
                Change::Delete(cells) => (2, cells),
            };
            written.extend([operation, place as u8, 0]);
            cells.iter().for_each(|cell| cell.write(&mut written));
        }
    }
    let mut again = Changes::new(&schema, 1 << 20);
    again.take(&schema, written.clone()).expect("what was taken is sound");
    let rows = |changes: &Changes, place| -> Vec<_> {
        let row = |change| match change {
            Change::Put(cells) => (true, cells.to_row()),
            Change::Delete(cells) => (false, cells.to_row()),
        };
        changes.in_order(&schema, place).map(row).collect()
    };
    for place in 0..schema.tables().len() {
        assert_eq!(rows(&changes, place), rows(&again, place));
    }
}

/// A query string is refused, or is one statement that SQLite takes and that has a value for each of its parameters.
pub fn query(bytes: &[u8]) {
    thread_local! {
        static TABLES: Connection = {
            let connection = Connection::open_in_memory().expect("opens");
            let made = schema().tables().iter().try_for_each(|table| connection.execute_batch(&statements::create(table)));
            made.map(|()| connection).expect("sound")
        };
    }
    let text = String::from_utf8_lossy(bytes);
    let pairs = text.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let pairs: Vec<_> = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    for table in schema().tables() {
        let Ok(query) = Query::parse(table, &pairs, &QueryOptions::default()) else { continue };
        for (sql, values) in sql_of(&query) {
            TABLES.with(|connection| {
                let statement = connection.prepare(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
                assert_eq!(statement.parameter_count(), values, "{sql}");
                assert!(statement.readonly(), "{sql}");
            });
        }
    }
}

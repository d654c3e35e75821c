//! The rows that programs come to, and whether they are the same.

use std::path::Path;

use anyhow::Context;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use sha2::{Digest, Sha256};

/// The tables as Lantern makes them for the benchmark's plugins, for programs that make their own.
pub const TABLES: &str = "
    CREATE TABLE orders (order_id TEXT NOT NULL, customer TEXT NOT NULL, status TEXT NOT NULL, city TEXT NOT NULL,
        items INTEGER NOT NULL, total_cents INTEGER NOT NULL, paid_cents INTEGER NOT NULL, scans INTEGER NOT NULL,
        updated_at INTEGER NOT NULL, PRIMARY KEY (order_id)) WITHOUT ROWID;
    CREATE TABLE customers (customer TEXT NOT NULL, orders INTEGER NOT NULL, items INTEGER NOT NULL,
        paid_cents INTEGER NOT NULL, last_seen INTEGER NOT NULL, PRIMARY KEY (customer)) WITHOUT ROWID;
";

/// Both of them, in the order of their keys.
pub const ORDERS_AND_CUSTOMERS: &[&str] = &[
    "SELECT order_id, customer, status, city, items, total_cents, paid_cents, scans, updated_at
     FROM orders ORDER BY order_id",
    "SELECT customer, orders, items, paid_cents, last_seen FROM customers ORDER BY customer",
];

/// Stands for all rows that some queries find. Equal rows have equal digests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowsDigest {
    rows: Vec<u64>,
    sha256: String,
}

impl RowsDigest {
    /// Reads the rows of a SQLite file.
    ///
    /// # Errors
    /// When a query cannot be answered.
    pub fn of(path: &Path, queries: &[&str]) -> anyhow::Result<Self> {
        Self::read(path, queries).with_context(|| format!("cannot read the rows of {}", path.display()))
    }

    fn read(path: &Path, queries: &[&str]) -> rusqlite::Result<Self> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let mut hash = Sha256::new();
        let rows = queries.iter().map(|sql| digest(&connection, sql, &mut hash)).collect::<Result<_, _>>()?;
        let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { rows, sha256 })
    }
}

impl std::fmt::Display for RowsDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} rows, digest {}", self.rows, &self.sha256[..16])
    }
}

fn digest(connection: &Connection, sql: &str, hash: &mut Sha256) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare(sql)?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        count += 1;
        for column in 0..columns {
            match row.get_ref(column)? {
                ValueRef::Integer(integer) => hash.update(integer.to_le_bytes()),
                ValueRef::Text(text) => {
                    hash.update((text.len() as u64).to_le_bytes());
                    hash.update(text);
                }
                other => return Err(rusqlite::Error::InvalidColumnType(column, sql.into(), other.data_type())),
            }
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_different_cell_gives_another_digest() {
        let folder = tempfile::tempdir().expect("a folder");
        let make = |name: &str, scans: i64| {
            let path = folder.path().join(name);
            let connection = Connection::open(&path).expect("opens");
            connection.execute_batch(TABLES).expect("made");
            connection.execute("INSERT INTO orders VALUES ('a', 'b', 'c', 'd', 1, 2, 3, ?, 5)", [scans]).expect("in");
            RowsDigest::of(&path, ORDERS_AND_CUSTOMERS).expect("readable")
        };
        assert_eq!(make("one", 4), make("two", 4));
        assert_ne!(make("three", 4), make("four", 0));
    }
}

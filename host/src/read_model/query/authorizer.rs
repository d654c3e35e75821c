//! What SQL may do on a connection for queries: read the declared tables and the checkpoint, nothing else. The grammar
//! lets no other SQL come about; if a fault of it did, SQLite would refuse it here.

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Connection, Result};

/// Besides the declared tables.
const CHECKPOINT: &str = "lantern_checkpoint";
/// What the SQL of the grammar calls; GLOB is a function, too.
const FUNCTIONS: [&str; 2] = ["count", "glob"];

/// From now on the connection prepares no statement but reads.
///
/// # Errors
/// When SQLite cannot read which tables there are.
pub(super) fn allow_reads_only(connection: &mut Connection) -> Result<()> {
    let readable: Vec<String> = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_>>()?;
    let is_readable = move |name: &str| {
        name == CHECKPOINT || (!name.starts_with("lantern_") && readable.iter().any(|table| table == name))
    };
    connection.authorizer(Some(move |context: AuthContext<'_>| match context.action {
        AuthAction::Select | AuthAction::Transaction { .. } => Authorization::Allow,
        AuthAction::Read { table_name, .. } if is_readable(table_name) => Authorization::Allow,
        AuthAction::Function { function_name } if FUNCTIONS.contains(&function_name) => Authorization::Allow,
        _ => Authorization::Deny,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::{Synchronous, open, open_read_only};

    #[test]
    fn nothing_but_reads_of_declared_tables_is_possible_even_with_injected_sql() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("orders.1.db");
        let other = folder.path().join("other.db").display().to_string();
        let writer = open(&path, 1, Synchronous::Normal).expect("opens");
        writer
            .execute_batch(
                "CREATE TABLE orders (id TEXT PRIMARY KEY); INSERT INTO orders VALUES ('a');
                 CREATE VIEW every_order AS SELECT * FROM orders;
                 CREATE TABLE lantern_checkpoint (position INTEGER); INSERT INTO lantern_checkpoint VALUES (7);
                 CREATE TABLE lantern_dead_letters (stream TEXT);",
            )
            .expect("writes");
        let mut connection = open_read_only(&path).expect("opens");
        allow_reads_only(&mut connection).expect("is read");
        for allowed in [
            "SELECT id FROM orders WHERE id GLOB '*' AND id IN ('a') ORDER BY id LIMIT 1 OFFSET 0",
            "SELECT count(*) FROM orders WHERE id IS NOT NULL",
            "SELECT position FROM lantern_checkpoint",
        ] {
            let rows = connection.query_row(allowed, [], |_| Ok(()));
            assert_eq!(rows, Ok(()), "{allowed}");
        }
        let attach = format!("ATTACH '{other}' AS other");
        let vacuum = format!("VACUUM INTO '{other}'");
        for injected in [
            attach.as_str(),
            vacuum.as_str(),
            "DETACH main",
            "PRAGMA query_only = 0",
            "PRAGMA table_info(orders)",
            "PRAGMA journal_mode = DELETE",
            "SELECT * FROM pragma_table_info('orders')",
            "SELECT * FROM pragma_database_list",
            "SELECT load_extension('x')",
            "SELECT readfile('/etc/passwd')",
            "SELECT * FROM sqlite_master",
            "SELECT id FROM orders UNION SELECT sql FROM sqlite_schema",
            "SELECT id FROM orders WHERE id = (SELECT stream FROM lantern_dead_letters)",
            "SELECT * FROM every_order JOIN sqlite_schema",
            "SELECT * FROM json_each('[1]')",
            "SELECT randomblob(1000000000)",
            "SELECT hex(id) FROM orders",
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
            "INSERT INTO orders VALUES ('b')",
            "UPDATE orders SET id = 'b'",
            "DELETE FROM orders",
            "DROP TABLE orders",
            "CREATE TABLE more (id)",
            "CREATE TEMP TABLE more (id)",
            "CREATE TEMP VIEW more AS SELECT 1",
            "CREATE VIRTUAL TABLE more USING fts5(x)",
            "ANALYZE",
            "REINDEX",
            "SAVEPOINT a",
        ] {
            let error = connection.execute_batch(injected).expect_err(injected).to_string();
            let is_refused =
                ["not authorized", "prohibited", "no such function", "no such module", "authorization denied"];
            assert!(is_refused.iter().any(|reason| error.contains(reason)), "{injected}: {error}");
        }
        assert!(!std::path::Path::new(&other).exists());
    }
}

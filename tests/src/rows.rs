//! Everything that a read model or the log holds, to compare one run with another.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::types::Value as Cell;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use crate::api::Api;
use crate::host::TestHost;

/// Every row of every declared table, by the name of the table, in the order of the primary key.
pub type Rows = BTreeMap<String, Vec<Vec<Cell>>>;

/// Reads the read model that answers queries, as any tool for SQLite can.
#[track_caller]
pub fn rows_of(host: &TestHost, projection: &str) -> Rows {
    let status = host.api().projection(projection);
    let path = status["read_model_path"].as_str().expect("a status has the path of its read model");
    read(Path::new(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn read(path: &Path) -> rusqlite::Result<Rows> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut tables = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")?;
    let tables: Vec<String> = tables.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let declared = tables.into_iter().filter(|name| !name.starts_with("lantern_"));
    declared.map(|table| Ok((table.clone(), read_table(&connection, &table)?))).collect()
}

fn read_table(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Vec<Cell>>> {
    // A table without rowid comes in the order of its key.
    let mut statement = connection.prepare(&format!("SELECT * FROM \"{table}\""))?;
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| (0..columns).map(|column| row.get(column)).collect())?;
    rows.collect()
}

/// Every event of the log without what differs between two runs: when it came.
#[track_caller]
pub fn log_of(api: &Api) -> Vec<Value> {
    log_after(api, 0)
}

/// As [`log_of`], only the events after a position.
#[track_caller]
pub fn log_after(api: &Api, mut after: u64) -> Vec<Value> {
    let mut events = Vec::new();
    loop {
        let mut page = api.get(&format!("/events?limit=1000&after={after}")).expect(200);
        let Value::Array(found) = page["events"].take() else { panic!("a page has events: {page}") };
        events.extend(found);
        let scanned_to = page["scanned_to"].as_u64().expect("a page says how far it looked");
        if scanned_to == page["head"].as_u64().expect("a page says where the log ends") {
            return events;
        }
        after = scanned_to;
    }
}

/// Whether the positions and the versions of every stream run from 1 on without a hole, and no id occurs twice.
pub fn is_dense(log: &[Value]) -> bool {
    let mut versions: BTreeMap<&str, u64> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    (1..).zip(log).all(|(position, event)| {
        let version = versions.entry(event["stream"].as_str().unwrap_or_default()).or_default();
        *version += 1;
        event["position"] == position && event["version"] == *version && ids.insert(event["id"].as_str())
    })
}

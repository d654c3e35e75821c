//! The events and the figures of the plugins in `tests/plugins/`, computed here a second time from the log.

use std::collections::BTreeMap;

use lantern_tests::{Rows, Seeded, TestHost};
use rusqlite::types::Value as Cell;
use serde_json::{Value, json};

/// The name of the projection that every edition provides.
pub const ACCOUNTS: &str = "accounts";
/// The file that the tests drop every edition in as.
pub const FILE: &str = "accounts.wasm";

pub fn deposited(amount: i64) -> Value {
    json!({ "event_type": "Deposited", "data": { "amount": amount } })
}

pub fn withdrawn(amount: i64) -> Value {
    json!({ "event_type": "Withdrawn", "data": { "amount": amount } })
}

/// JSON lines for an import: deposits and withdrawals of 200 accounts, and events that nobody wants.
pub fn history(events: u64) -> String {
    let mut random = Seeded::new(2013);
    let lines = (0..events).map(|_| {
        let (account, amount) = (random.below(200), 20 + random.below(500));
        let event_type = ["Deposited", "Deposited", "Withdrawn", "Renamed"][random.below(4) as usize];
        let category = if random.below(10) == 0 { "branch" } else { "account" };
        let record = json!({
            "aggregate_type": category, "aggregate_id": account.to_string(), "event_type": event_type,
            "time": "2026-01-31T12:00:00Z", "data": { "amount": amount },
        });
        format!("{record}\n")
    });
    lines.collect()
}

/// Imports events with the command line and answers how many were appended.
#[track_caller]
pub fn import(host: &TestHost, lines: &str) -> u64 {
    let file = host.folder().join("import.jsonl");
    std::fs::write(&file, lines).expect("a file can be written");
    let total = host.cli().json(&["events", "import", &file.to_string_lossy()]);
    total["appended"].as_u64().expect("an import says what it appended")
}

/// The rows after these events, if a deposit counts as much as `credited` says of its amount and position.
pub fn folded(log: &[Value], credited: impl Fn(i64, u64) -> i64) -> Rows {
    let mut accounts: BTreeMap<String, (i64, i64, i64)> = BTreeMap::new();
    let mut totals: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for event in log {
        let Some(id) = event["stream"].as_str().and_then(|stream| stream.strip_prefix("account-")) else { continue };
        let amount = event["data"]["amount"].as_i64().unwrap_or_default();
        let position = event["position"].as_u64().expect("an event has a position");
        let change = match event["event_type"].as_str() {
            Some("Deposited") => credited(amount, position),
            Some("Withdrawn") => -amount,
            _ => continue,
        };
        let account = accounts.entry(id.to_owned()).or_default();
        *account = (account.0 + change, account.1 + 1, position as i64);
        let event_type = event["event_type"].as_str().unwrap_or_default();
        let total = totals.entry(event_type.to_owned()).or_default();
        *total = (total.0 + 1, total.1 + change);
    }
    let integers = |values: &[i64]| values.iter().map(|value| Cell::Integer(*value)).collect::<Vec<_>>();
    let row = |key: String, rest: &[i64]| [vec![Cell::Text(key)], integers(rest)].concat();
    let accounts = accounts.into_iter().map(|(id, (balance, entries, at))| row(id, &[balance, entries, at]));
    let totals = totals.into_iter().map(|(event_type, (events, amount))| row(event_type, &[events, amount]));
    Rows::from([("accounts".to_owned(), accounts.collect()), ("totals".to_owned(), totals.collect())])
}

/// The rows of the first edition after these events.
pub fn folded_plainly(log: &[Value]) -> Rows {
    folded(log, |amount, _| amount)
}

//! A read model as lines of text, one for each row and dead letter: to compare, and to take one digest of.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use lantern_tests::{Rows, TestHost, rows_of};
use rusqlite::types::Value as Cell;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Everything that a projection made of the log.
#[derive(Debug, PartialEq)]
pub struct ReadModel {
    pub rows: Rows,
    pub letters: Vec<Letter>,
}

/// An event that is parked.
#[derive(Debug, PartialEq)]
pub struct Letter {
    pub position: u64,
    pub stream: String,
    pub version: u64,
    pub event_type: String,
    /// failed or waiting.
    pub kind: String,
}

/// What the daemon has: the read model, and why events failed.
pub fn observed(host: &TestHost, projection: &str) -> (ReadModel, BTreeMap<u64, String>) {
    let path = format!("/projections/{projection}/dead-letters?limit=1000");
    let answer = host.api().get(&path).expect(200);
    let found = answer["dead_letters"].as_array().expect("a list");
    assert!(found.len() < 1000, "the dead letters fit one page");
    let text = |letter: &Value, name: &str| letter[name].as_str().unwrap_or_default().to_owned();
    let number = |letter: &Value, name: &str| letter[name].as_u64().unwrap_or_default();
    let letter = |letter| Letter {
        position: number(letter, "position"),
        stream: text(letter, "stream"),
        version: number(letter, "version"),
        event_type: text(letter, "event_type"),
        kind: text(letter, "kind"),
    };
    let reasons = found.iter().map(|letter| (number(letter, "position"), text(letter, "reason")));
    (ReadModel { rows: rows_of(host, projection), letters: found.iter().map(letter).collect() }, reasons.collect())
}

impl ReadModel {
    pub fn lines(&self) -> Vec<String> {
        let row = |table: &str, row: &[Cell]| {
            let cells: Vec<_> = row.iter().map(printed).collect();
            format!("{table}: {}", cells.join(" | "))
        };
        let rows = self.rows.iter().flat_map(|(table, rows)| rows.iter().map(move |cells| row(table, cells)));
        rows.chain(self.letters.iter().map(|letter| format!("{letter:?}"))).collect()
    }

    /// Fails with the first lines that differ.
    #[track_caller]
    pub fn check(&self, expected: &Self, what: &str) {
        let (found, expected) = (self.lines(), expected.lines());
        let (has, wants): (BTreeSet<_>, BTreeSet<_>) = (found.iter().collect(), expected.iter().collect());
        let shown = |what: &str, line: &str| format!("{what}: {}", line.chars().take(300).collect::<String>());
        let extra: Vec<_> = has.difference(&wants).map(|line| shown("     found", line)).collect();
        let lacking: Vec<_> = wants.difference(&has).map(|line| shown("  expected", line)).collect();
        if !extra.is_empty() || !lacking.is_empty() {
            let first: Vec<_> = extra.iter().take(8).chain(lacking.iter().take(8)).cloned().collect();
            let (extra, lacking) = (extra.len(), lacking.len());
            panic!("{what}: {extra} lines too many, {lacking} lines lack; the first of each:\n{}", first.join("\n"));
        }
        assert!(found == expected, "{what}: the same lines in another order");
    }
}

/// A cell with its type. Reals with as many digits as they need to be told from any other.
fn printed(cell: &Cell) -> String {
    match cell {
        Cell::Null => "null".to_owned(),
        Cell::Integer(integer) => format!("integer {integer}"),
        Cell::Real(real) => format!("real {real:?}"),
        Cell::Text(text) => format!("text {text:?}"),
        Cell::Blob(bytes) => bytes.iter().fold("blob ".to_owned(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("a text takes everything");
            hex
        }),
    }
}

/// One digest over all read models, by projection.
pub fn digest<'a>(read_models: impl Iterator<Item = (&'a str, &'a ReadModel)>) -> String {
    let mut hash = Sha256::new();
    for (projection, read_model) in read_models {
        for line in [projection.to_owned()].into_iter().chain(read_model.lines()) {
            hash.update(line);
            hash.update("\n");
        }
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

//! Rows for people: all rows of a read model, what differs between two of them, and how that is shown.

use std::cmp::Ordering;

use serde_json::Value as Json;

use super::output::{self, Paint, grouped};
use crate::http::RowJson;
use crate::read_model::{Row, Table, Value};

/// Lines for one table; what exceeds them is counted.
const MAX_LINES: usize = 20;
/// Characters of one value.
const MAX_VALUE: usize = 60;

/// The rows of one table.
pub struct TableRows {
    pub table: Table,
    pub rows: Vec<Row>,
}

/// What became of one row.
#[derive(Debug, PartialEq)]
pub enum Change<'a> {
    Added(&'a Row),
    Removed(&'a Row),
    Changed(&'a Row, &'a Row),
}

/// How a difference is put into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wording {
    /// What a test wants, and what it got.
    ExpectedAndGot,
    /// What was there, and what is there now.
    BeforeAndAfter,
}

/// Rows that are not in both, in the order of their keys.
pub fn changes<'a>(table: &Table, before: &'a [Row], after: &'a [Row]) -> Vec<Change<'a>> {
    let (mut before, mut after) =
        (sorted(table, before).into_iter().peekable(), sorted(table, after).into_iter().peekable());
    let mut changes = Vec::new();
    loop {
        let order = match (before.peek(), after.peek()) {
            (None, None) => return changes,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(before), Some(after)) => by_key(table, before, after),
        };
        let old = if order.is_le() { before.next() } else { None };
        let new = if order.is_ge() { after.next() } else { None };
        match (old, new) {
            (Some(old), Some(new)) if old != new => changes.push(Change::Changed(old, new)),
            (Some(old), None) => changes.push(Change::Removed(old)),
            (None, Some(new)) => changes.push(Change::Added(new)),
            _ => {}
        }
    }
}

fn sorted<'a>(table: &Table, rows: &'a [Row]) -> Vec<&'a Row> {
    let mut rows: Vec<&Row> = rows.iter().collect();
    rows.sort_by(|a, b| by_key(table, a, b));
    rows
}

fn by_key(table: &Table, a: &Row, b: &Row) -> Ordering {
    let keys = keys(table).map(|index| by_value(&a[index], &b[index]));
    keys.fold(Ordering::Equal, Ordering::then)
}

fn by_value(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Integer(a), Value::Integer(b)) => a.cmp(b),
        (Value::Real(a), Value::Real(b)) => a.total_cmp(b),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (Value::Blob(a), Value::Blob(b)) => a.cmp(b),
        (Value::Boolean(a), Value::Boolean(b)) => a.cmp(b),
        // A key has values of one type only, so this is an expectation that fits no row.
        (a, b) => format!("{a:?}").cmp(&format!("{b:?}")),
    }
}

/// Where the columns of the key stand in a row.
fn keys(table: &Table) -> impl Iterator<Item = usize> + '_ {
    table.primary_key.iter().filter_map(|key| table.columns.iter().position(|column| column.name == *key))
}

/// One line for each change, and one that counts them.
pub fn describe(table: &Table, changes: &[Change<'_>], wording: Wording) -> Vec<String> {
    let count = |fits: fn(&Change<'_>) -> bool| changes.iter().filter(|change| fits(change)).count();
    let words = match wording {
        Wording::ExpectedAndGot => ["different", "missing", "not expected"],
        Wording::BeforeAndAfter => ["changed", "removed", "added"],
    };
    let counts = [
        count(|change| matches!(change, Change::Changed(..))),
        count(|change| matches!(change, Change::Removed(_))),
        count(|change| matches!(change, Change::Added(_))),
    ];
    let counted = counts.iter().zip(words).filter(|(count, _)| **count > 0);
    let counted: Vec<String> = counted.map(|(count, word)| format!("{} {word}", grouped(*count as u64))).collect();
    let names: Vec<String> = changes.iter().take(MAX_LINES).map(|change| name(table, change.row())).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let mut lines = vec![format!("{}: {}", table.name, counted.join(", "))];
    for (change, name) in changes.iter().zip(&names) {
        let line = format!("{name:<width$}  {}", change.what(table, wording));
        let line = line.trim_end();
        lines.push(match change {
            Change::Changed(..) => Paint::Yellow.on(format!("  ~ {line}")),
            Change::Removed(_) => Paint::Red.on(format!("  - {line}")),
            Change::Added(_) => Paint::Green.on(format!("  + {line}")),
        });
    }
    if changes.len() > MAX_LINES {
        lines.push(format!("  … and {} more", grouped((changes.len() - MAX_LINES) as u64)));
    }
    lines
}

impl Change<'_> {
    fn row(&self) -> &Row {
        match self {
            Self::Added(row) | Self::Removed(row) | Self::Changed(row, _) => row,
        }
    }

    /// What is to be said besides the key.
    fn what(&self, table: &Table, wording: Wording) -> String {
        let Self::Changed(before, after) = self else { return rest(table, self.row()) };
        let columns = table.columns.iter().zip(before.iter().zip(*after));
        let changed = columns.filter(|(_, (before, after))| before != after).map(|(column, (before, after))| {
            let (before, after) = around_difference(&shown(before), &shown(after));
            match wording {
                Wording::ExpectedAndGot => format!("{}: expected {before}, got {after}", column.name),
                Wording::BeforeAndAfter => format!("{} {before} → {after}", column.name),
            }
        });
        let changed: Vec<String> = changed.collect();
        changed.join(if wording == Wording::ExpectedAndGot { "; " } else { ", " })
    }
}

fn name(table: &Table, row: &Row) -> String {
    let parts: Vec<String> = keys(table)
        .map(|index| match &row[index] {
            Value::Text(text) => output::shortened(text, MAX_VALUE),
            other => shown(other),
        })
        .collect();
    parts.join(" / ")
}

fn rest(table: &Table, row: &Row) -> String {
    let columns = table.columns.iter().zip(row).filter(|(column, _)| !table.primary_key.contains(&column.name));
    let parts: Vec<String> = columns
        .map(|(column, value)| format!("{} {}", column.name, output::shortened(&shown(value), MAX_VALUE)))
        .collect();
    parts.join(", ")
}

/// The value as JSON, which tells text from numbers; a blob in hex.
pub fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Integer(integer) => integer.to_string(),
        Value::Real(real) => format!("{real:?}"),
        Value::Text(text) => Json::from(text.as_str()).to_string(),
        Value::Blob(blob) => format!("x'{}'", blob.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
        Value::Boolean(boolean) => boolean.to_string(),
    }
}

/// Both texts, cut to the place where they differ.
fn around_difference(a: &str, b: &str) -> (String, String) {
    let same = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count();
    let long = a.chars().count().max(b.chars().count()) > MAX_VALUE;
    let skipped = if long { same.saturating_sub(MAX_VALUE / 3) } else { 0 };
    let cut = |text: &str| {
        let rest: String = text.chars().skip(skipped).collect();
        let start = if skipped > 0 { "…" } else { "" };
        format!("{start}{}", output::shortened(&rest, MAX_VALUE))
    };
    (cut(a), cut(b))
}

/// All rows as JSON: an object with a list for each table, one row on each line.
pub fn to_json(tables: &[TableRows], dead_letters: &[u64]) -> serde_json::Result<String> {
    let mut parts = Vec::new();
    for TableRows { table, rows } in tables {
        let rows: Vec<String> = rows
            .iter()
            .map(|row| serde_json::to_string(&RowJson { columns: &table.columns, row }))
            .collect::<Result<_, _>>()?;
        let rows = if rows.is_empty() { String::new() } else { format!("\n    {}\n  ", rows.join(",\n    ")) };
        parts.push(format!("  {}: [{rows}]", Json::from(table.name.as_str())));
    }
    if !dead_letters.is_empty() {
        parts.push(format!("  \"dead_letters\": {}", Json::from(dead_letters)));
    }
    Ok(format!("{{\n{}\n}}\n", parts.join(",\n")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read_model::{Column, ColumnType};

    fn table() -> Table {
        let column = |name: &str, column_type| Column { name: name.into(), column_type, nullable: false };
        let columns = vec![column("events", ColumnType::Integer), column("stream", ColumnType::Text)];
        Table { name: "board".into(), columns, primary_key: vec!["stream".into()], indexes: vec![] }
    }

    fn row(stream: &str, events: i64) -> Row {
        vec![Value::Integer(events), Value::Text(stream.into())]
    }

    #[test]
    fn rows_are_compared_by_key_whatever_their_order() {
        let before = [row("c", 3), row("a", 1), row("b", 2)];
        let after = [row("a", 1), row("b", 7), row("d", 4)];
        let changes = changes(&table(), &before, &after);
        let (b, c, d) = (row("b", 7), row("c", 3), row("d", 4));
        assert_eq!(changes, [Change::Changed(&before[2], &b), Change::Removed(&c), Change::Added(&d)]);
        let lines = describe(&table(), &changes, Wording::BeforeAndAfter);
        let expected =
            ["board: 1 changed, 1 removed, 1 added", "  ~ b  events 2 → 7", "  - c  events 3", "  + d  events 4"];
        assert_eq!(lines, expected);
        let lines = describe(&table(), &changes, Wording::ExpectedAndGot);
        assert_eq!(lines[..2], ["board: 1 different, 1 missing, 1 not expected", "  ~ b  events: expected 2, got 7"]);
    }

    #[test]
    fn many_changes_take_few_lines() {
        let after: Vec<Row> = (0..100).map(|number| row(&number.to_string(), 1)).collect();
        let lines = describe(&table(), &changes(&table(), &[], &after), Wording::BeforeAndAfter);
        assert_eq!((lines.len(), lines.last().map(String::as_str)), (22, Some("  … and 80 more")));
    }

    #[test]
    fn long_texts_are_shown_where_they_differ() {
        let (a, b) = around_difference(&("x".repeat(500) + "a"), &("x".repeat(500) + "b"));
        assert!(a.starts_with('…') && a.ends_with("xa") && b.ends_with("xb") && a.chars().count() < 40, "{a} {b}");
    }

    #[test]
    fn rows_are_written_one_a_line_with_their_columns_in_order() {
        let tables = [TableRows { table: table(), rows: vec![row("a", 1), row("b", 2)] }];
        let json = to_json(&tables, &[7]).expect("serialises");
        let expected = "{\n  \"board\": [\n    {\"events\":1,\"stream\":\"a\"},\n    {\"events\":2,\"stream\":\"b\"}\n  ],\n  \"dead_letters\": [7]\n}\n";
        assert_eq!(json, expected);
    }
}

//! `lantern plugin test`: given events, then rows, in the real sandbox and without a daemon.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::Args;
use serde_json::{Value as Json, json};

use super::super::client::Failure;
use super::super::output::{self, Format, OrderedObject, counted, duration};
use super::super::rows::{self, TableRows, Wording, changes, describe};
use super::super::trial::{Delivery, History, Outcome};
use super::project::Project;
use crate::projection::ProjectionCode;
use crate::read_model::{Column, ColumnType, DeadLetter, Row, Table, Value};
use crate::telemetry::{self, LogFormat};

/// What holds the positions of parked events, beside the tables.
const DEAD_LETTERS: &str = "dead_letters";
/// Dead letters that are told.
const MAX_TOLD: usize = 10;

const FILES: &str = "\
The events are JSON lines, as `lantern events import` takes them; an event without a time gets the first moment of 1970.
The rows are JSON, the rows of each table in any order; tables that are not there are not looked at:
  {\"accounts\": [{\"id\": \"ann\", \"balance\": 70}], \"dead_letters\": [12]}
Events that are parked must be there by position. Everything runs twice, the second time with small batches and fresh
instances: the rows must be the same, as they must be in a replay.";

#[derive(Args)]
#[command(after_help = FILES)]
pub struct Test {
    /// A plugin file, or a plugin's folder: that is built first and has events.jsonl and rows.json
    plugin: PathBuf,
    /// File with the events
    #[arg(long, value_name = "FILE")]
    given: Option<PathBuf>,
    /// File with the rows that they must give
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
    /// Write the rows that they give to that file
    #[arg(long)]
    write: bool,
}

/// What a test found.
struct Verdict {
    /// Differences, in lines for people.
    differences: Vec<String>,
    outcome: Outcome,
    events: u64,
    loading: Duration,
    running: Duration,
}

impl Test {
    pub fn run(&self, format: Format) -> anyhow::Result<ExitCode> {
        telemetry::start_logging(LogFormat::Text, "error,plugin=info")?;
        let (plugin, given, expect) = self.files()?;
        let started = Instant::now();
        let (plugin, _) = super::load(&plugin)?;
        let code = super::projection_of(plugin)?;
        let loading = started.elapsed();
        let history = History::read(&given)?;
        let started = Instant::now();
        let outcome = history.run(&code, Delivery::Usual)?;
        let running = started.elapsed();
        // What it says is known from the first time.
        let silence = tracing::subscriber::NoSubscriber::default();
        let other = tracing::subscriber::with_default(silence, || history.run(&code, Delivery::FreshInstances))?;
        let mut differences = unsteady(&outcome, &other);
        if self.write {
            let json = rows::to_json(&outcome.tables, &outcome.parked_positions())?;
            std::fs::write(&expect, json).with_context(|| format!("cannot write {}", expect.display()))?;
        } else {
            differences.extend(unexpected(&outcome, &expected(&expect, &code)?));
        }
        let verdict = Verdict { differences, outcome, events: history.len(), loading, running };
        match format {
            Format::Json => output::print(verdict.json())?,
            Format::Person => output::print(verdict.text(self.write.then_some(&expect)))?,
        }
        Ok(if verdict.differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// The plugin, built if need be, the events and the expected rows.
    fn files(&self) -> anyhow::Result<(PathBuf, PathBuf, PathBuf)> {
        let project = if self.plugin.is_dir() { Some(Project::open(&self.plugin)?) } else { None };
        let file = |given: &Option<PathBuf>, flag: &str, name: &str| match (given, &project) {
            (Some(file), _) => Ok(file.clone()),
            (None, Some(project)) => Ok(project.folder().join(name)),
            (None, None) => Err(Failure::new(
                format!("{flag} FILE is missing: {} is a file", self.plugin.display()),
                format!("name the file, or give a plugin's folder with {name} in it"),
            )),
        };
        let (given, expect) =
            (file(&self.given, "--given", "events.jsonl")?, file(&self.expect, "--expect", "rows.json")?);
        let plugin = project.as_ref().map_or_else(|| Ok(self.plugin.clone()), Project::build)?;
        Ok((plugin, given, expect))
    }
}

/// What an expectation says: rows of some tables, and positions.
struct Expected {
    tables: Vec<TableRows>,
    dead_letters: Vec<u64>,
}

fn expected(file: &Path, code: &Arc<dyn ProjectionCode>) -> anyhow::Result<Expected> {
    let text = std::fs::read(file).map_err(|error| {
        Failure::new(
            format!("cannot read {}: {error}", file.display()),
            "`--write` makes it from the rows that there are",
        )
    })?;
    let place = || file.display().to_string();
    let OrderedObject(parts) = serde_json::from_slice(&text).with_context(place)?;
    let schema = &code.description().schema;
    let mut expected = Expected { tables: Vec::new(), dead_letters: Vec::new() };
    for (name, content) in parts {
        match schema.table(&name) {
            Some(table) => {
                expected.tables.push(expected_rows(table, &content).map_err(anyhow::Error::msg).with_context(place)?)
            }
            None if name == DEAD_LETTERS => {
                expected.dead_letters = serde_json::from_value(content).with_context(place)?
            }
            None => {
                let known: Vec<&str> = schema.tables().iter().map(|table| table.name.as_str()).collect();
                let message = format!("{}: the plugin has no table {name:?}", file.display());
                return Err(Failure::new(message, format!("its tables are: {}", known.join(", "))).into());
            }
        }
    }
    Ok(expected)
}

fn expected_rows(table: &Table, content: &Json) -> Result<TableRows, String> {
    let rows = content.as_array().ok_or_else(|| format!("{}: write a list of rows", table.name))?;
    let row = |(index, row): (usize, &Json)| {
        expected_row(table, row).map_err(|reason| format!("{}, row {}: {reason}", table.name, index + 1))
    };
    Ok(TableRows { table: table.clone(), rows: rows.iter().enumerate().map(row).collect::<Result<_, _>>()? })
}

fn expected_row(table: &Table, row: &Json) -> Result<Row, String> {
    let row = row.as_object().ok_or("write an object with a field for each column")?;
    if let Some(name) = row.keys().find(|name| table.columns.iter().all(|column| column.name != **name)) {
        return Err(format!("there is no column {name:?}"));
    }
    let cell = |column: &Column| {
        let value = row.get(&column.name).ok_or_else(|| format!("the column {:?} is missing", column.name))?;
        cell(column, value)
            .ok_or_else(|| format!("{value} is no {} for the column {:?}", column.column_type, column.name))
    };
    table.columns.iter().map(cell).collect()
}

/// A value as the API writes it; `None` when it does not fit the column.
fn cell(column: &Column, value: &Json) -> Option<Value> {
    if value.is_null() {
        return column.nullable.then_some(Value::Null);
    }
    match column.column_type {
        ColumnType::Integer => value.as_i64().map(Value::Integer),
        ColumnType::Real => match value.as_str() {
            Some("Infinity") => Some(Value::Real(f64::INFINITY)),
            Some("-Infinity") => Some(Value::Real(f64::NEG_INFINITY)),
            _ => value.as_f64().map(Value::Real),
        },
        ColumnType::Text => value.as_str().map(|text| Value::Text(text.to_owned())),
        ColumnType::Blob => BASE64.decode(value.as_str()?).ok().map(Value::Blob),
        ColumnType::Boolean => value.as_bool().map(Value::Boolean),
    }
}

/// What differs from the expectation.
fn unexpected(outcome: &Outcome, expected: &Expected) -> Vec<String> {
    let tables = expected.tables.iter().filter_map(|wanted| {
        let got = outcome.table(&wanted.table.name)?;
        let changes = changes(&got.table, &wanted.rows, &got.rows);
        (!changes.is_empty()).then(|| describe(&got.table, &changes, Wording::ExpectedAndGot))
    });
    let mut lines: Vec<String> = tables.flatten().collect();
    let missing = expected.dead_letters.iter().filter(|position| !outcome.parked_positions().contains(position));
    lines.extend(
        missing.map(|position| format!("the event at position {position} was expected to be parked, and was applied")),
    );
    let parked = outcome.dead_letters.iter().filter(|letter| !expected.dead_letters.contains(&letter.position.0));
    let parked: Vec<String> = parked.map(letter_line).collect();
    if !parked.is_empty() {
        lines.push(format!("{} could not be applied:", counted(parked.len() as u64, "event")));
        lines.extend(parked.into_iter().take(MAX_TOLD));
    }
    lines
}

/// What differs when nothing but rows lasts between small batches.
fn unsteady(usual: &Outcome, fresh: &Outcome) -> Vec<String> {
    let tables = usual.tables.iter().zip(&fresh.tables).filter_map(|(usual, fresh)| {
        let changes = changes(&usual.table, &usual.rows, &fresh.rows);
        (!changes.is_empty()).then(|| describe(&usual.table, &changes, Wording::BeforeAndAfter))
    });
    let mut lines: Vec<String> = tables.flatten().collect();
    if usual.parked_positions() != fresh.parked_positions() {
        lines.push(format!("parked: {:?} → {:?}", usual.parked_positions(), fresh.parked_positions()));
    }
    if !lines.is_empty() {
        lines.insert(
            0,
            "a replay would differ: with small batches and a fresh instance for each, the rows are others. The projection keeps \
             something outside its rows, or depends on how events are batched:"
                .to_owned(),
        );
    }
    lines
}

/// A parked event for a person, with all that the plugin said.
pub fn letter_line(letter: &DeadLetter) -> String {
    let DeadLetter { position, stream, version, event_type, .. } = letter;
    let reason = letter.reason.as_deref().unwrap_or("waits behind the failed event of its stream");
    format!(
        "  position {position}, {event_type} of {stream}@{version}: {}",
        reason.trim_end().replace('\n', "\n      ")
    )
}

impl Verdict {
    fn text(&self, written: Option<&PathBuf>) -> String {
        let (events, rows) = (counted(self.events, "event"), counted(self.outcome.rows(), "row"));
        let parked = match self.outcome.dead_letters.len() as u64 {
            0 => String::new(),
            parked => format!(", {parked} parked"),
        };
        let done = match (self.differences.is_empty(), written) {
            (true, Some(file)) => format!("written to {}", file.display()),
            (true, None) => "as expected".to_owned(),
            (false, _) => "not as expected".to_owned(),
        };
        let (loading, running) = (duration(self.loading), duration(self.running));
        let summary = format!("{events}, {rows}{parked}: {done} (loaded in {loading}, applied in {running})");
        self.differences.iter().cloned().chain([summary]).collect::<Vec<_>>().join("\n")
    }

    fn json(&self) -> Json {
        let letter = |letter: &DeadLetter| json!({ "position": letter.position.0, "stream": letter.stream, "event_type": letter.event_type, "reason": letter.reason });
        json!({
            "as_expected": self.differences.is_empty(),
            "differences": self.differences,
            "events": self.events,
            "rows": self.outcome.rows(),
            "dead_letters": self.outcome.dead_letters.iter().map(letter).collect::<Vec<_>>(),
            "load_seconds": self.loading.as_secs_f64(),
            "apply_seconds": self.running.as_secs_f64(),
        })
    }
}

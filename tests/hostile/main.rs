//! Hostile plugins, each named by its crime: all of them in one daemon, beside a plugin that does no harm.
//!
//! | Asked | Where |
//! |---|---|
//! | is each stopped where it should be, with a reason for people? does the daemon stay alive and small? | here |
//! | what else may lie in the plugin folder, and in the folder of compiled code? | `files` |
//! | does a plugin that does no harm keep its rate beside those that do? | `neighbours` |
//!
//! How soon a plugin is stopped is measured where its limits can be set exactly: in `host/src/plugin/tests/stopping.rs`.

mod crimes;
mod files;
mod guest;
mod neighbours;

use std::fs;

use crimes::Crime;
use guest::{CATEGORY, Guest};
use lantern_tests::{TestHost, eventually};
use serde_json::{Value, json};

/// Limits that are reached soon.
const SETTINGS: &str = "
    [plugins]
    settle_ms = 20
    max_file_bytes = 1048576
    compile_seconds = 2
    describe_seconds = 1
    call_seconds = 1
    fuel_per_event = 60000000
    memory_mib = 16
    max_cached_artefacts = 1000
    [projections]
    draft_mib = 128
";

/// No instance may have more than 16 MiB, no draft more than 128 MiB, and they are not all large at once.
const MOST_MEMORY_MIB: u64 = 900;

/// The most memory that the daemon has had so far.
fn peak_memory_mib(host: &TestHost) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", host.process_id())).expect("the daemon runs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells it");
    peak.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") >> 10
}

/// What the daemon shows of a plugin that it has stopped: whether the file was refused, why, and what to do.
struct Shown {
    refused: bool,
    reason: String,
    hint: String,
}

fn shown(host: &TestHost, crime: &Crime, position: u64) -> Shown {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    eventually(&format!("{} is stopped", crime.name), || {
        let plugin = host.api().plugin(&format!("{}.wasm", crime.name))?;
        if plugin["state"] == "rejected" {
            return Some(Shown { refused: true, reason: text(&plugin["reason"]), hint: text(&plugin["hint"]) });
        }
        let letters = host.api().get(&format!("/projections/{}/dead-letters", crime.name));
        let letter = letters.json()["dead_letters"].get(0)?.clone();
        assert_eq!((&letter["position"], &letter["stream"]), (&json!(position), &json!("crime-1")), "{}", crime.name);
        Some(Shown { refused: false, reason: text(&letter["reason"]), hint: "-".into() })
    })
}

#[test]
fn every_crime_is_stopped_where_it_should_be_and_the_reason_is_shown() {
    let host = TestHost::with_settings(SETTINGS);
    let daemon = host.process_id();
    let orders = json!([{ "event_type": "Placed", "data": 1 }, { "event_type": "Placed", "data": 2 }]);
    host.api().append("order-01", &orders);
    host.drop_in("neighbour.wasm", &Guest::counting("neighbour", "order").build());
    host.wait_until_live("neighbour");
    let position = host.api().append(&format!("{CATEGORY}-1"), &json!([{ "event_type": "Done", "data": {} }]));
    let crimes = crimes::all();
    crimes.iter().for_each(|crime| host.drop_in(&format!("{}.wasm", crime.name), &crime.file));

    let mut wrong = Vec::new();
    for crime in &crimes {
        let Shown { refused, reason, hint } = shown(&host, crime, position);
        println!("{:?} {}: {reason} | {hint}", crime.stopped, crime.name);
        let is_for_people = !hint.is_empty() && !reason.chars().any(char::is_control) && reason.len() < 5_000;
        if refused != crime.stopped.is_refusal() || !reason.contains(crime.said) || !is_for_people {
            wrong.push(format!("{:?} {} {:?}: {reason:?} {hint:?}", crime.stopped, crime.name, crime.said));
        }
    }
    println!("{} crimes, at most {} MiB", crimes.len(), peak_memory_mib(&host));
    assert!(wrong.is_empty(), "{} of {} crimes:\n{}", wrong.len(), crimes.len(), wrong.join("\n"));

    let listed = host.cli().ok(&["dead-letter", "list"]);
    let parked = |crime: &&Crime| !crime.stopped.is_refusal();
    let is_listed = |crime: &Crime| listed.contains(crime.name);
    assert!(crimes.iter().filter(parked).all(is_listed), "every parked event is shown with its plugin: {listed}");

    assert_eq!(host.process_id(), daemon);
    host.api().append("order-01", &orders);
    host.wait_until_live("neighbour");
    let rows = host.api().get("/projections/neighbour/tables/rows").expect(200);
    assert_eq!(rows, json!([{ "id": "order-01", "n": 4 }]));
    assert!(peak_memory_mib(&host) < MOST_MEMORY_MIB, "{} MiB", peak_memory_mib(&host));
}

#[test]
fn a_check_before_it_is_dropped_says_the_same_of_a_file() {
    let host = TestHost::start();
    // What is slow takes the default limits here.
    let files = crimes::load::crimes().into_iter().filter(|crime| !crime.said.starts_with("compiling"));
    for crime in files.filter(|crime| !crime.said.contains("max_file_bytes")) {
        let file = host.folder().join("checked.wasm");
        fs::write(&file, &crime.file).expect("a file can be written");
        let checked = host.cli().run(&["plugin", "check", &file.to_string_lossy()]);
        assert_eq!(checked.code, Some(1), "{}: {checked:?}", crime.name);
        let said = &checked.stderr;
        assert!(
            said.contains(crime.said) && said.contains("checked.wasm") && said.contains("hint: "),
            "{}: {said}",
            crime.name
        );
    }
}

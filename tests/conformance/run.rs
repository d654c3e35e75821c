//! One language's guests in a real daemon: caught up, replayed, and replayed in other batches; then what it costs.

use std::collections::BTreeMap;
use std::fs;
use std::time::Instant;

use lantern_tests::{TestHost, rows_of, workspace};
use serde_json::json;
use ureq::http::Request;

use crate::expected::{Expected, expected};
use crate::history::{Event, history, large_integers};
use crate::languages::{Guest, Language, LargeIntegers};
use crate::measured::{Measured, cpu_micros, memory_kib, say};
use crate::read_model::{digest, observed};

/// Patience for a machine that does other work, and optimised code from the start: that is what is measured.
const SETTINGS: &str = "[plugins]\ncompile_seconds = 300\nquick_compile_bytes = 67_108_864\n";

/// Fewer events in a call than by default, and a number that divides nothing.
const SMALL_BATCHES: &str = "[projections]\nbatch_events = 7\nflush_rows = 500\n";

/// Replays over which the processor time is taken: one is too short for the clock.
const MEASURED_REPLAYS: u32 = 5;

/// # Panics
/// When anything is not as the fold says.
pub fn run(language: &Language, toolchain: String) -> Measured {
    let started = Instant::now();
    let guests = language.build();
    let built = started.elapsed();
    let history = history();
    let expected = expected(&history);
    write_history(&history);
    let mut host = TestHost::with_settings(SETTINGS);
    append(&host, &history);

    let process = host.process_id();
    let before = memory_kib(process);
    drop_in(&host, &guests[0]);
    let memory_kib = memory_kib(process).saturating_sub(before);
    guests[1..].iter().for_each(|guest| drop_in(&host, guest));
    let found = check(&host, language, &expected, "after it has caught up");
    check_bugs(&host, language, &expected);

    let micros_per_event = replay_flights(&host, &history);
    replay(&host, &guests);
    check(&host, language, &expected, "after a replay");
    host.stop();
    fs::write(host.folder().join("lantern.toml"), format!("{SETTINGS}{SMALL_BATCHES}"))
        .expect("the settings can be written");
    host.start_again();
    guests.iter().for_each(|guest| wait_for_plugin(&host, guest));
    replay(&host, &guests);
    check(&host, language, &expected, "after a replay in small batches");
    check_large_integers(&host, language);

    let compile_millis = compile_millis(&host, &guests[0]);
    say(&format!("{}: built in {built:.1?}, ran in {:.1?}", language.title, started.elapsed() - built));
    Measured {
        title: language.title,
        toolchain,
        digest: found,
        bytes: guests[0].wasm.len(),
        compile_millis,
        micros_per_event,
        memory_kib,
    }
}

/// For whoever wants to look into a line of it.
fn write_history(history: &[Event]) {
    let folder = workspace().join("target/conformance");
    fs::create_dir_all(&folder).expect("a folder can be made");
    let lines: Vec<_> = history.iter().map(Event::to_json).collect();
    fs::write(folder.join("history.jsonl"), lines.join("\n") + "\n").expect("the history can be written");
}

/// Appends everything in order, in as few requests as the kinds of events and the limits allow.
fn append(host: &TestHost, history: &[Event]) {
    let before = host.head();
    for run in history.chunk_by(|event, next| event.is_importable() == next.is_importable()) {
        for chunk in run.chunks(1000) {
            let lines: Vec<_> = chunk.iter().map(Event::to_json).collect();
            let (path, content_type, body) = match chunk[0].is_importable() {
                true => ("/events/import", "application/x-ndjson", lines.join("\n")),
                false => ("/events", "application/cloudevents-batch+json", format!("[{}]", lines.join(","))),
            };
            let request = Request::post(path).header("content-type", content_type).body(body.into_bytes());
            let answer = host.api().send(request.expect("a request"));
            assert!([200, 201].contains(&answer.status), "{}", answer.text());
        }
    }
    assert_eq!(host.head(), before + history.len() as u64);
}

fn drop_in(host: &TestHost, guest: &Guest) {
    let file = format!("{}.wasm", guest.projection);
    host.drop_in(&file, &guest.wasm);
    wait_for_plugin(host, guest);
    host.wait_until_live(guest.projection);
}

fn wait_for_plugin(host: &TestHost, guest: &Guest) {
    let file = format!("{}.wasm", guest.projection);
    let plugin = host.wait_for_plugin(&file, "is loaded or rejected", |plugin| plugin["state"] != "loading");
    assert_eq!(plugin["state"], "loaded", "{plugin:#}");
}

/// Compares every read model, and the reasons of what failed; answers the digest.
fn check(host: &TestHost, language: &Language, expected: &Expected, when: &str) -> String {
    let mut found = BTreeMap::new();
    for (projection, wanted) in &expected.read_models {
        let (read_model, reasons) = observed(host, projection);
        read_model.check(wanted, &format!("{}: {projection} {when}", language.title));
        for (position, reason) in reasons.iter().filter(|(_, reason)| !reason.is_empty()) {
            let wanted = &expected.reasons[&(*projection, *position)];
            assert!(
                reason.contains(wanted),
                "{}: {projection}, {position}: no {wanted:?} in: {reason}",
                language.title
            );
        }
        let failed = read_model.letters.iter().filter(|letter| letter.kind == "failed");
        failed.for_each(|letter| assert!(!reasons[&letter.position].is_empty(), "{letter:?} has no reason"));
        found.insert(*projection, read_model);
    }
    let found = digest(found.iter().map(|(projection, read_model)| (*projection, read_model)));
    let wanted = digest(expected.read_models.iter().map(|(projection, read_model)| (*projection, read_model)));
    assert_eq!(found, wanted, "{} {when}", language.title);
    found
}

/// A bug in a guest says where it is, in the dead letter or in the log.
fn check_bugs(host: &TestHost, language: &Language, expected: &Expected) {
    let (_, reasons) = observed(host, "conformance");
    let log = host.log();
    for position in &expected.traps {
        let told = format!("{}\n{log}", reasons[position]);
        assert!(told.contains(language.bug_says), "{}: no {:?} in: {told}", language.title, language.bug_says);
    }
}

fn replay(host: &TestHost, guests: &[Guest]) {
    for guest in guests {
        host.cli().ok(&["projection", "replay", guest.projection, "--watch"]);
    }
}

/// Processor time of the whole daemon for one event that the flights projection reads.
fn replay_flights(host: &TestHost, history: &[Event]) -> f64 {
    let read = history.iter().filter(|event| event.category() == crate::history::FLIGHTS).count();
    let before = cpu_micros(host.process_id());
    for _ in 0..MEASURED_REPLAYS {
        host.cli().ok(&["projection", "replay", "flights", "--watch"]);
    }
    (cpu_micros(host.process_id()) - before) as f64 / f64::from(MEASURED_REPLAYS) / read as f64
}

fn check_large_integers(host: &TestHost, language: &Language) {
    let large = large_integers();
    let first = host.head() + 1;
    append(host, &large.iter().map(|large| large.event.clone()).collect::<Vec<_>>());
    host.wait_until_live("conformance");
    let (_, reasons) = observed(host, "conformance");
    let rows = rows_of(host, "conformance");
    for (position, large) in (first..).zip(&large) {
        let shown = format!("{}: {} of {:?}", language.title, large.field, large.event);
        match (reasons.get(&position), &large.exact) {
            (Some(reason), exact) => {
                assert!(reason.contains(large.field), "{shown}: the reason does not name it: {reason}");
                let may_refuse = exact.is_none() || language.large_integers == LargeIntegers::Refused;
                assert!(may_refuse, "{shown} was refused: {reason}");
            }
            (None, Some(exact)) => assert_eq!(large.found(&rows), Some(&exact.value), "{shown}"),
            (None, None) => panic!("{shown} was taken, and does not fit 64 bits"),
        }
    }
}

/// How long a file takes to become running code, without anything in a cache.
fn compile_millis(host: &TestHost, guest: &Guest) -> u128 {
    let file = host.folder().join("cold.wasm");
    fs::write(&file, &guest.wasm).expect("a file can be written");
    let started = Instant::now();
    let report = host.cli().json(&["plugin", "check", &file.to_string_lossy()]);
    assert_eq!(report["name"], json!(guest.projection));
    started.elapsed().as_millis()
}

//! A plugin that does no harm beside some that do.

use std::fs;
use std::time::{Duration, Instant};

use lantern_tests::{TestHost, eventually};
use serde_json::json;

use crate::SETTINGS;
use crate::guest::{CATEGORY, Guest};

const EVENTS: usize = 60_000;

/// Most pairs of measured replays. Other work on the machine can only make one slower, so the best pair counts.
const PAIRS: usize = 8;

/// A plugin keeps so much of its rate.
const KEPT: f64 = 0.9;

/// Processor time of each thread of the neighbour. A replay has a thread of its own.
fn processor_times(host: &TestHost) -> Vec<Duration> {
    let tasks = fs::read_dir(format!("/proc/{}/task", host.process_id())).expect("the daemon runs");
    let times = tasks.flatten().filter_map(|task| {
        let read = |file| fs::read_to_string(task.path().join(file)).ok();
        // The kernel keeps 15 letters of a name.
        let is_neighbour = read("comm")?.trim() == "projection neig";
        let nanoseconds = read("schedstat")?.split_whitespace().next()?.parse().ok()?;
        is_neighbour.then_some(Duration::from_nanos(nanoseconds))
    });
    times.collect()
}

/// What a replay costs: processor time, and time on the clock.
fn replay(host: &TestHost) -> [Duration; 2] {
    let build = host.api().projection("neighbour")["build"].as_u64();
    let started = Instant::now();
    host.api().post("/projections/neighbour/replay", &json!({})).expect(200);
    host.wait_until("neighbour", "is replayed", |status| {
        status["build"].as_u64() > build && status["replay"].is_null()
    });
    let clock = started.elapsed();
    let one =
        eventually("the thread of the old build has ended", || <[Duration; 1]>::try_from(processor_times(host)).ok());
    [one[0], clock]
}

#[test]
fn a_plugin_that_does_no_harm_keeps_its_rate_beside_those_that_do() {
    let host = TestHost::with_settings(SETTINGS);
    let event = |n: usize| {
        let stream = format!("{:02}", n % 90);
        json!({ "aggregate_type": "order", "aggregate_id": stream, "event_type": "Placed", "data": {} })
    };
    let lines: Vec<_> = (0..EVENTS).map(|n| event(n).to_string()).collect();
    let file = host.folder().join("orders.jsonl");
    fs::write(&file, lines.join("\n")).expect("a file can be written");
    host.cli().ok(&["events", "import", &file.to_string_lossy()]);
    host.drop_in("neighbour.wasm", &Guest::counting("neighbour", "order").build());
    host.wait_until_live("neighbour");

    // Each of them takes a second or more of every event before it is stopped, and there are more than enough events.
    let hostile = [
        Guest::typed("endless", "(loop $for_ever (br $for_ever))"),
        Guest::typed("flood", "(call $row (i32.const 1)) (loop $more (call $put_row) (br $more))"),
    ];
    for n in 0..200 {
        host.api().append(&format!("{CATEGORY}-{n}"), &json!([{ "event_type": "Done", "data": {} }]));
    }
    let names = ["endless", "flood"];
    for (name, guest) in names.iter().zip(&hostile) {
        host.drop_in(&format!("{name}.wasm"), &guest.build());
        host.wait_until(name, "has parked an event", |status| status["dead_letters"].as_u64() > Some(0));
    }
    let tell = |what: &str| {
        for name in names {
            host.api().post(&format!("/projections/{name}/{what}"), &json!({})).expect(200);
        }
    };
    let mut best: f64 = 0.0;
    for _ in 0..PAIRS {
        tell("pause");
        let [alone, clock_alone] = replay(&host);
        tell("resume");
        let [beside, clock_beside] = replay(&host);
        let kept = alone.as_secs_f64() / beside.as_secs_f64();
        println!(
            "alone {alone:?} of {clock_alone:?}, beside {names:?} {beside:?} of {clock_beside:?}: {kept:.2} of its rate"
        );
        best = best.max(kept);
        if best >= KEPT {
            break;
        }
    }
    for name in names {
        let status = host.api().projection(name);
        assert_eq!(status["state"], "catching-up", "it was at work all the time: {status}");
    }
    assert!(best >= KEPT, "it kept {best:.2} of its rate for each second of the processor");
}

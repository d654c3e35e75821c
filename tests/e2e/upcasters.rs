//! Three generations of one event, and projections that know only the newest.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use lantern_tests::{Rows, Seeded, TestHost, log_of, plugin, rows_of};
use rusqlite::types::Value as Cell;
use serde_json::{Value, json};
use ureq::http::Request;

use crate::accounts::{ACCOUNTS, FILE as ACCOUNTS_FILE, history as of_accounts, import};

const SALES: &str = "ticket-sales";
const SALES_FILE: &str = "ticket-sales.wasm";
const UPCASTER_FILE: &str = "ticket-upcaster.wasm";

/// A ticket as this generation tells it.
fn sold(generation: u64, seat: &str, cents: u64) -> Vec<Value> {
    let event = |event_type: &str, schema_version: u64, data: Value| json!({ "event_type": event_type, "schema_version": schema_version, "data": data });
    let priced = json!({ "seat": seat, "cents": cents, "currency": "EUR" });
    match generation {
        1 => vec![event(
            "TicketSold",
            1,
            json!({ "seat": seat, "price": format!("{}.{:02}", cents / 100, cents % 100) }),
        )],
        2 => vec![event("TicketSold", 2, priced)],
        _ => vec![event("TicketSold", 3, json!({ "seat": seat })), event("PaymentRequested", 1, priced)],
    }
}

/// JSON lines of all three generations in 40 shows.
fn history(tickets: u64) -> String {
    let mut random = Seeded::new(1877);
    let lines = (0..tickets).flat_map(|_| {
        let show = random.below(40);
        let events = sold(1 + random.below(3), "A1", 500 + random.below(9_000));
        events.into_iter().map(move |mut event| {
            event["aggregate_type"] = json!("show");
            event["aggregate_id"] = json!(show.to_string());
            format!("{event}\n")
        })
    });
    lines.collect()
}

/// The rows that plain code makes of the stored events, whatever their generation.
fn folded(log: &[Value]) -> Rows {
    let mut shows: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for event in log {
        let Some(show) = event["stream"].as_str().and_then(|stream| stream.strip_prefix("show-")) else { continue };
        let (tickets, cents) = shows.entry(show.to_owned()).or_default();
        let sold = event["event_type"] == "TicketSold";
        *tickets += i64::from(sold);
        *cents += match (sold, event["schema_version"].as_u64()) {
            (true, Some(1)) => {
                let price = event["data"]["price"].as_str().expect("a price").replace('.', "");
                price.parse::<i64>().expect("digits")
            }
            (true, Some(3)) => 0,
            _ => event["data"]["cents"].as_i64().expect("cents"),
        };
    }
    let row = |(show, (tickets, cents))| vec![Cell::Text(show), Cell::Integer(tickets), Cell::Integer(cents)];
    Rows::from([("shows".to_owned(), shows.into_iter().map(row).collect())])
}

#[track_caller]
fn wait_for_build(host: &TestHost, build: u64) -> Value {
    let head = host.head();
    host.wait_until(SALES, &format!("serves build {build}"), |status| {
        status["build"] == build
            && status["replay"] == Value::Null
            && status["state"] == "live"
            && status["position"].as_u64() >= Some(head)
    })
}

#[track_caller]
fn drop_upcaster(host: &TestHost, package: &'static str) -> Value {
    host.drop_in(UPCASTER_FILE, &plugin(package));
    host.wait_for_plugin(UPCASTER_FILE, "is loaded", |file| file["state"] == "loaded")
}

#[test]
fn old_events_reach_a_projection_that_knows_only_the_newest_and_only_such_projections_are_replayed() {
    let mut host = TestHost::start();
    import(&host, &history(1_500));
    import(&host, &of_accounts(500));
    host.drop_in(ACCOUNTS_FILE, &plugin("accounts-first"));
    host.drop_in(SALES_FILE, &plugin(SALES));
    host.wait_until_live(ACCOUNTS);
    let status = host.wait_until_live(SALES);
    assert_eq!((&status["build"], &status["upcasters"]), (&json!(1), &json!([])));
    assert!(status["dead_letters"].as_u64() > Some(0), "older generations are not for it: {status}");
    let (stored, expected) = (log_of(&host.api()), folded(&log_of(&host.api())));

    let loaded = drop_upcaster(&host, "ticket-upcaster");
    assert_eq!((&loaded["world"], &loaded["name"]), (&json!("upcaster"), &json!("ticket-upcaster")));
    let status = wait_for_build(&host, 2);
    assert_eq!((&status["dead_letters"], &status["waiting"]), (&json!(0), &json!(0)));
    assert_eq!(status["upcasters"], json!([{ "name": "ticket-upcaster", "digest": loaded["digest"] }]));
    assert_eq!(rows_of(&host, SALES), expected);
    assert_eq!(log_of(&host.api()), stored, "stored events stay as they are");
    let shown = host.cli().ok(&["projection", "show", SALES]);
    assert!(shown.contains("reads through") && shown.contains("ticket-upcaster"), "{shown}");
    let folder = host.data_folder().to_string_lossy().into_owned();
    let verified = host.cli().json(&["verify", "projection", SALES, "--data-dir", &folder]);
    assert_eq!(verified["sound"], true, "a replay through the same upcasters: {verified}");

    host.stop();
    host.start_again();
    wait_for_build(&host, 2);
    host.take_out(UPCASTER_FILE);
    let status = wait_for_build(&host, 3);
    assert_eq!(status["upcasters"], json!([]));
    assert!(status["dead_letters"].as_u64() > Some(0), "{status}");
    drop_upcaster(&host, "ticket-upcaster");
    wait_for_build(&host, 4);
    assert_eq!(rows_of(&host, SALES), expected);
    host.wait_until_live(ACCOUNTS);
    assert_eq!(host.api().projection(ACCOUNTS)["build"], 1, "an upcaster that does not touch it");
}

#[test]
fn a_file_that_is_broken_or_of_another_upcaster_s_events_changes_nothing_also_after_a_restart() {
    let mut host = TestHost::start();
    import(&host, &history(300));
    drop_upcaster(&host, "ticket-upcaster");
    host.drop_in(SALES_FILE, &plugin(SALES));
    wait_for_build(&host, 1);
    let whole = plugin("ticket-upcaster");
    host.drop_in(UPCASTER_FILE, &whole[..whole.len() / 2]);
    host.wait_for_plugin(UPCASTER_FILE, "is rejected", |file| file["state"] == "rejected");
    host.drop_in("another.wasm", &plugin("ticket-upcaster-hostile"));
    let refused = host.wait_for_plugin("another.wasm", "is rejected", |file| file["state"] == "rejected");
    let reason = refused["reason"].as_str().unwrap_or_default();
    assert!(reason.contains(UPCASTER_FILE) && reason.contains("TicketSold of schema version"), "{reason}");
    for _ in 0..2 {
        host.api().append("show-1", &json!(sold(1, "A1", 1250)));
        let status = wait_for_build(&host, 1);
        assert_eq!((&status["dead_letters"], &status["upcasters"][0]["name"]), (&json!(0), &json!("ticket-upcaster")));
        assert_eq!(rows_of(&host, SALES), folded(&log_of(&host.api())));
        host.stop();
        host.start_again();
    }
}

#[test]
fn an_upcaster_that_traps_loops_or_lies_parks_the_streams_that_need_it_until_a_better_one_comes() {
    let host = TestHost::with_settings("[plugins]\ncall_seconds = 1\nfuel_per_event = 20_000_000\n");
    import(&host, &history(300));
    import(&host, &of_accounts(300));
    host.drop_in(ACCOUNTS_FILE, &plugin("accounts-first"));
    drop_upcaster(&host, "ticket-upcaster-hostile");
    host.drop_in(SALES_FILE, &plugin(SALES));
    wait_for_build(&host, 1);
    let cases = [
        ("trap", "somebody sits there"),
        ("loop", "fuel"),
        ("lie", "which its description does not say"),
        ("nothing", "no event"),
    ];
    for (seat, _) in cases {
        for events in [sold(1, "A1", 500), sold(2, seat, 700), sold(3, "A2", 900), sold(1, "A3", 1100)] {
            host.api().append(&format!("show-{seat}"), &json!(events));
        }
    }
    let status = host.wait_until(SALES, "has parked four events", |status| {
        status["dead_letters"] == 4 && status["waiting"] == 12 && status["state"] == "live"
    });
    let digest = status["upcasters"][0]["digest"].as_str().expect("a digest")[..12].to_owned();
    let letters = host.api().get("/projections/ticket-sales/dead-letters").expect(200);
    let failed: Vec<&Value> = letters["dead_letters"]
        .as_array()
        .expect("letters")
        .iter()
        .filter(|letter| letter["kind"] == "failed")
        .collect();
    for ((seat, expected), letter) in cases.iter().zip(failed) {
        assert_eq!((&letter["stream"], &letter["version"]), (&json!(format!("show-{seat}")), &json!(2)));
        assert_eq!(letter["event_type"], "TicketSold");
        let reason = letter["reason"].as_str().expect("a reason");
        let position = format!("position {}", letter["position"]);
        for fact in [expected, "ticket-upcaster", digest.as_str(), position.as_str()] {
            assert!(reason.contains(fact), "{seat}: {fact:?} is not in {reason}");
        }
    }
    let parked = |event: &Value| {
        let stream = event["stream"].as_str().unwrap_or_default();
        cases.iter().any(|(seat, _)| stream == format!("show-{seat}")) && event["version"].as_u64() >= Some(2)
    };
    let log = log_of(&host.api());
    let readable: Vec<_> = log.iter().filter(|event| !parked(event)).cloned().collect();
    assert_eq!(rows_of(&host, SALES), folded(&readable), "what came before, and other streams");
    let accounts = host.wait_until_live(ACCOUNTS);
    assert_eq!((&accounts["dead_letters"], &accounts["build"]), (&json!(0), &json!(1)));

    drop_upcaster(&host, "ticket-upcaster");
    let status = wait_for_build(&host, 2);
    assert_eq!((&status["dead_letters"], &status["waiting"]), (&json!(0), &json!(0)));
    assert_eq!(rows_of(&host, SALES), folded(&log));
}

#[test]
fn upcasters_are_swapped_under_load_without_a_failed_query_or_a_step_back() {
    let host = TestHost::start();
    import(&host, &history(3_000));
    drop_upcaster(&host, "ticket-upcaster");
    host.drop_in(SALES_FILE, &plugin(SALES));
    wait_for_build(&host, 1);
    let (stop, queries) = (AtomicBool::new(false), AtomicU64::new(0));
    let hammer = || {
        let (api, mut newest) = (host.api(), 0);
        while !stop.load(Ordering::Relaxed) {
            let request = Request::get("/projections/ticket-sales/tables/shows?limit=5").body(Vec::new());
            let answer = api.try_send(request.expect("a valid request")).expect("an answer");
            assert_eq!(answer.status, 200, "{}", answer.text());
            let position = answer.header("lantern-position").and_then(|position| position.parse::<u64>().ok());
            assert!(position >= Some(newest), "{position:?} after {newest}");
            newest = position.unwrap_or_default();
            queries.fetch_add(1, Ordering::Relaxed);
        }
    };
    let append = || {
        let mut random = Seeded::new(7);
        while !stop.load(Ordering::Relaxed) {
            host.api().append("show-1", &json!(sold(1 + random.below(3), "A1", 100)));
        }
    };
    thread::scope(|scope| {
        let stop_at_end = StopAtEnd(&stop);
        let hammers = [scope.spawn(hammer), scope.spawn(hammer), scope.spawn(append)];
        for (build, package) in [(2, "ticket-upcaster-hostile"), (3, "ticket-upcaster")] {
            host.drop_in(UPCASTER_FILE, &plugin(package));
            host.wait_until(SALES, &format!("serves build {build}"), |status| {
                status["build"] == build && status["replay"] == Value::Null
            });
        }
        drop(stop_at_end);
        hammers.into_iter().for_each(|hammer| hammer.join().expect("every query is answered"));
    });
    wait_for_build(&host, 3);
    assert_eq!(rows_of(&host, SALES), folded(&log_of(&host.api())));
    println!("{} queries over two swaps", queries.load(Ordering::Relaxed));
}

/// Stops the threads also when the test fails.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_daemon_that_dies_while_a_new_upcaster_s_replay_is_under_way_goes_on_with_both_read_models() {
    let mut host = TestHost::with_settings("[projections]\nbatch_events = 5\nflush_events = 50\n");
    import(&host, &history(2_000));
    let first = drop_upcaster(&host, "ticket-upcaster")["digest"].clone();
    host.drop_in(SALES_FILE, &plugin(SALES));
    wait_for_build(&host, 1);
    for (build, package) in (2..5).zip(["ticket-upcaster-hostile", "ticket-upcaster", "ticket-upcaster-hostile"]) {
        host.drop_in(UPCASTER_FILE, &plugin(package));
        host.wait_until(SALES, "begins another build", |status| {
            status["build"] == build || status["replay"]["build"] == build
        });
        host.kill();
        host.start_again();
        host.api().append("show-1", &json!(sold(1, "A1", 100)));
        wait_for_build(&host, build);
        assert_eq!(rows_of(&host, SALES), folded(&log_of(&host.api())), "build {build}");
    }

    // Where the replay stands still, both are seen to go on, each with its own upcaster.
    host.api().post("/projections/ticket-sales/pause", &json!({})).expect(200);
    drop_upcaster(&host, "ticket-upcaster");
    host.wait_until(SALES, "has a replay that waits", |status| status["replay"]["build"] == 5);
    host.kill();
    host.start_again();
    let status = host.wait_until(SALES, "is paused again, with its replay", |status| {
        status["state"] == "paused" && status["replay"]["state"] == "paused"
    });
    assert_eq!(status["replay"]["upcasters"][0]["digest"], first);
    assert_ne!(status["upcasters"][0]["digest"], first);
    host.api().append("show-2", &json!(sold(1, "A1", 100)));
    host.api().post("/projections/ticket-sales/resume", &json!({})).expect(200);
    wait_for_build(&host, 5);
    assert_eq!(rows_of(&host, SALES), folded(&log_of(&host.api())));
}

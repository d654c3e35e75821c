//! Aggregates: commands, states of every version and time, and snapshots that only make them fast.

use std::time::Instant;

use lantern_tests::{Answer, Api, TestHost, eventually, is_dense, log_of, plugin};
use serde_json::{Value, json};

pub(crate) const BOOKING: &str = "seat-booking.wasm";

/// A daemon that sells seats.
#[track_caller]
pub(crate) fn selling(settings: &str) -> TestHost {
    let host = TestHost::with_settings(settings);
    host.drop_in(BOOKING, &plugin("seat-booking"));
    wait_until_loaded(&host, BOOKING);
    host
}

#[track_caller]
pub(crate) fn wait_until_loaded(host: &TestHost, file: &str) {
    host.wait_for_plugin(file, "is loaded", |plugin| plugin["state"] == "loaded");
}

/// Sends a command; none is the answer when the daemon is gone.
pub(crate) fn try_send(api: &Api, path: &str, key: &str, (command_type, data): (&str, Value)) -> Option<Answer> {
    let body = json!({"command_type": command_type, "data": data}).to_string().into_bytes();
    let request = ureq::http::Request::post(format!("/aggregates/{path}/commands"));
    let request = request.header("content-type", "application/json").header("idempotency-key", key);
    api.try_send(request.body(body).expect("a valid request")).ok()
}

#[track_caller]
pub(crate) fn send(api: &Api, path: &str, key: &str, command: (&str, Value)) -> Answer {
    try_send(api, path, key, command).expect("the daemon answers")
}

pub(crate) fn reserve(reservation: &str, seats: u64) -> (&'static str, Value) {
    ("ReserveSeats", json!({"reservation": reservation, "seats": seats}))
}

/// A figure of `/metrics`.
#[track_caller]
pub(crate) fn figure(api: &Api, name: &str) -> u64 {
    let metrics = api.get("/metrics").text();
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|figure| figure.parse().ok()).unwrap_or_else(|| panic!("{name} is no figure in\n{metrics}"))
}

const FOLDED: &str = "lantern_aggregate_events_folded_total";

#[test]
fn seats_are_sold_and_taken_back_and_the_stream_shows_both() {
    let host = selling("");
    host.drop_in("seat-availability.wasm", &plugin("seat-availability"));
    let (api, cli) = (host.api(), host.cli());
    let command = |kind: &str, data: &str| {
        cli.ok(&["aggregate", "command", "conference", "rust", "--type", kind, "--data", data])
    };
    let refused = cli.run(&["aggregate", "show", "conference", "rust"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("conference-rust has no event"), "{refused:?}");
    command("OpenConference", r#"{"seats":5}"#);
    assert!(command("ReserveSeats", r#"{"reservation":"ann","seats":3}"#).contains("1 event appended"));
    let sold_out = cli.run(&[
        "aggregate",
        "command",
        "conference",
        "rust",
        "--type",
        "ReserveSeats",
        "--data",
        r#"{"reservation":"bob","seats":3}"#,
    ]);
    assert!(
        sold_out.code == Some(1) && sold_out.stderr.contains("3 seats were asked for, and 2 are left"),
        "{sold_out:?}"
    );
    command("CancelReservation", r#"{"reservation":"ann"}"#);
    command("ReserveSeats", r#"{"reservation":"bob","seats":3}"#);

    let state =
        |version: &[&str]| cli.json(&[&["aggregate", "show", "conference", "rust"], version].concat())["state"].clone();
    assert_eq!(state(&[]), json!({"seats": 5, "reserved": 3, "reservations": {"bob": 3}}));
    assert_eq!(state(&["--version", "2"]), json!({"seats": 5, "reserved": 3, "reservations": {"ann": 3}}));
    assert_eq!(state(&["--version", "3"]), json!({"seats": 5, "reserved": 0, "reservations": {}}));

    let trail = api.get("/streams/conference-rust/events").expect(200);
    let trail: Vec<_> = trail["events"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|event| {
            json!([
                event["event_type"],
                event["data"]["reservation"],
                event["metadata"]["lantern.command"]["command_type"]
            ])
        })
        .collect();
    let expected = [
        json!(["ConferenceOpened", null, "OpenConference"]),
        json!(["SeatsReserved", "ann", "ReserveSeats"]),
        json!(["ReservationCancelled", "ann", "CancelReservation"]),
        json!(["SeatsReserved", "bob", "ReserveSeats"]),
    ];
    assert_eq!(trail, expected);
    let third = api.get("/streams/conference-rust/events?from=3&limit=1").expect(200);
    let time = third["events"][0]["time"].as_str().expect("a time").to_owned();
    assert_eq!(state(&["--time", &time]), json!({"seats": 5, "reserved": 0, "reservations": {}}));

    host.wait_until_live("seat-availability");
    let rows = api.get("/projections/seat-availability/tables/conferences").expect(200);
    assert_eq!(
        (&rows[0]["reserved"], &rows[0]["available"]),
        (&json!(3), &json!(2)),
        "what commands lead to is read as any event"
    );
    let listed = cli.ok(&["aggregate", "list"]);
    assert!(listed.contains("conference") && listed.contains("seat-booking"), "{listed}");
}

#[test]
fn many_commands_at_once_on_one_aggregate_never_sell_a_seat_twice_and_every_answer_is_true() {
    const SEATS: u64 = 40;
    let host = selling("");
    let api = host.api();
    send(&api, "conference/hall", "open", ("OpenConference", json!({"seats": SEATS}))).expect(201);
    let answers: Vec<(String, u64, Answer)> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..32_u64)
            .map(|n| {
                let api = host.api();
                scope.spawn(move || {
                    let (name, seats) = (format!("guest-{n}"), 1 + n % 3);
                    let answer = send(&api, "conference/hall", &name, reserve(&name, seats));
                    (name, seats, answer)
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().expect("no panic")).collect()
    });
    let log = log_of(&api);
    assert!(is_dense(&log), "the log has a hole or a double");
    let sold: u64 = log.iter().skip(1).map(|event| event["data"]["seats"].as_u64().expect("seats")).sum();
    assert!(sold <= SEATS, "{sold} of {SEATS} seats were sold");
    for (name, seats, answer) in &answers {
        let events: Vec<_> = log.iter().filter(|event| event["data"]["reservation"] == name.as_str()).collect();
        let said = answer.json();
        match answer.status {
            201 => {
                assert_eq!(events.len(), 1, "{name} was told of a reservation: {said}");
                assert_eq!(
                    (&events[0]["position"], &events[0]["version"]),
                    (&said["first_position"], &said["version"])
                );
                assert_eq!(events[0]["data"]["seats"], *seats);
            }
            422 => {
                assert!(events.is_empty(), "{name} was refused and has a reservation: {said}");
                let version = said["version"].as_u64().expect("a version") as usize;
                let taken: u64 =
                    log[1..version].iter().map(|event| event["data"]["seats"].as_u64().expect("seats")).sum();
                assert!(taken + seats > SEATS, "{name} was refused although {} were left: {said}", SEATS - taken);
            }
            status => panic!("{name}: {status} {said}"),
        }
    }
    let told = answers.iter().filter(|(_, _, answer)| answer.status == 201).count();
    assert_eq!(told, log.len() - 1, "every event belongs to someone who was told");
}

#[test]
fn a_long_stream_costs_its_tail_once_there_is_a_snapshot_and_other_code_folds_it_again() {
    const EVENTS: u64 = 100_000;
    let host = TestHost::start();
    let mut lines = String::from(
        "{\"stream\":\"conference-long\",\"event_type\":\"ConferenceOpened\",\"data\":{\"seats\":1000000}}\n",
    );
    for _ in 1..EVENTS {
        lines += "{\"stream\":\"conference-long\",\"event_type\":\"SeatsReserved\",\"data\":{\"seats\":1}}\n";
    }
    let file = host.folder().join("long.jsonl");
    std::fs::write(&file, lines).expect("a file can be written");
    host.cli().ok(&["events", "import", &file.to_string_lossy()]);
    host.drop_in(BOOKING, &plugin("seat-booking"));
    wait_until_loaded(&host, BOOKING);
    let api = host.api();
    let load = |what: &str| {
        let (folded, started) = (figure(&api, FOLDED), Instant::now());
        let state = api.get("/aggregates/conference/long").expect(200);
        let took = started.elapsed();
        let folded = figure(&api, FOLDED) - folded;
        println!("{what}: {folded} events folded in {took:?}");
        (folded, state)
    };
    let kept =
        |count| eventually("a snapshot is written", || (figure(&api, "lantern_snapshots") == count).then_some(()));
    let (folded, whole) = load("without a snapshot");
    assert_eq!((folded, &whole["state"]["reserved"]), (EVENTS, &json!(EVENTS - 1)));
    kept(1);
    assert_eq!(load("with one").0, 0);
    api.append("conference-long", &json!([{"event_type": "SeatsReserved", "data": {"seats": 7}}]));
    let (folded, state) = load("with one and a tail");
    assert_eq!((folded, &state["state"]["reserved"], &state["version"]), (1, &json!(EVENTS + 6), &json!(EVENTS + 1)));

    assert!(api.delete("/snapshots").expect(200)["deleted"].as_u64() > Some(0));
    assert_eq!(load("after they were deleted"), (EVENTS + 1, state.clone()));
    kept(1);
    // A section that says nothing is another file all the same.
    let other = [&plugin("seat-booking")[..], &[0, 3, 1, b'x', 0]].concat();
    host.drop_in(BOOKING, &other);
    eventually("the other code is there", || {
        (api.get("/aggregates").expect(200)["aggregates"][0]["digest"] != state["digest"]).then_some(())
    });
    let (folded, again) = load("with other code");
    assert_eq!((folded, &again["state"]), (EVENTS + 1, &state["state"]));
    assert_ne!(again["digest"], state["digest"]);
}

//! Conflict resolvers: writers that collide, what becomes of them, and what a person is shown.

use lantern_tests::{Answer, Api, TestHost, build_plugins, plugin};
use serde_json::{Value, json};
use ureq::http::Request;

pub const FILE: &str = "seats.wasm";

/// A daemon with the resolver for the category `seats`.
pub fn with_seats(settings: &str) -> TestHost {
    let host = TestHost::with_settings(settings);
    host.drop_in(FILE, &seat_reservation());
    host.wait_for_plugin(FILE, "is loaded", |plugin| plugin["state"] == "loaded");
    host
}

pub fn seat_reservation() -> Vec<u8> {
    std::fs::read(build_plugins(&["seat-reservation"]).remove(0)).expect("the plugin can be read")
}

/// An id that is always the same for a number.
pub fn id(number: u64) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}

pub fn event(number: u64, event_type: &str, data: Value) -> Value {
    json!([{ "id": id(number), "event_type": event_type, "data": data }])
}

pub fn reserved(number: u64, seats: u64, left: u64) -> Value {
    event(number, "SeatsReserved", json!({ "seats": seats, "left": left }))
}

/// Offers seats in a stream that has no event, as its version 1.
pub fn offer(api: &Api, stream: &str, seats: u64) {
    let data = json!({ "seats": seats, "left": seats });
    api.append(stream, &json!([{ "event_type": "SeatsOffered", "data": data }]));
}

pub fn request(stream: &str, seen: u64, events: &Value) -> Request<Vec<u8>> {
    let request = Request::post(format!("/streams/{stream}/events")).header("expected-version", seen);
    let request = request.header("content-type", "application/json");
    request.body(events.to_string().into_bytes()).expect("a valid request")
}

pub fn propose(api: &Api, stream: &str, seen: u64, events: &Value) -> Answer {
    api.send(request(stream, seen, events))
}

pub fn stream(api: &Api, stream: &str) -> Vec<Value> {
    let Value::Array(events) = api.get(&format!("/streams/{stream}/events?limit=1000")).expect(200)["events"].take()
    else {
        panic!("a stream has events");
    };
    events
}

fn left(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["data"]["left"].as_u64().expect("an event says how many seats are left")).collect()
}

#[test]
fn reservations_of_the_same_moment_share_the_seats_and_the_last_ones_are_rejected() {
    let host = with_seats("");
    let (api, cli) = (host.api(), host.cli());
    offer(&api, "seats-1", 10);
    assert_eq!(propose(&api, "seats-1", 1, &reserved(1, 3, 7)).expect(201)["version"], 2);
    let merged = propose(&api, "seats-1", 1, &reserved(2, 4, 6)).expect(201);
    assert_eq!((&merged["version"], &merged["appended"]), (&json!(3), &json!(true)));
    let sold_out = propose(&api, "seats-1", 1, &reserved(3, 4, 6)).expect(409);
    assert_eq!(
        sold_out["detail"],
        "stream seats-1 is at version 3, but the append expected 1; rejected: sold out: 3 seats are left"
    );
    assert_eq!(left(&stream(&api, "seats-1")), [10, 7, 3]);
    let again = propose(&api, "seats-1", 1, &reserved(2, 4, 6)).expect(200);
    assert_eq!((&again["version"], &again["appended"]), (&json!(3), &json!(false)), "the first result");

    let listed = cli.json(&["conflict", "list", "--category", "seats"]);
    let resolutions: Vec<_> = listed.as_array().expect("a list").iter().map(|one| &one["resolution"]).collect();
    assert_eq!(resolutions, ["reject", "rewrite"]);
    let merging = listed[1]["id"].as_str().expect("an id");
    assert_eq!(stream(&api, "seats-1")[2]["metadata"]["lantern.conflict"], merging);
    let shown = cli.ok(&["conflict", "show", merging]);
    for part in ["seat-reservation", "rewrite", "versions 3 to 3", r#"{"left":6,"seats":4}"#, r#"{"left":3,"seats":4}"#]
    {
        assert!(shown.contains(part), "{part} is missing:\n{shown}");
    }
    let table = cli.ok(&["conflict", "list", "--resolution", "reject"]);
    assert!(table.contains("sold out: 3 seats are left") && !table.contains(merging), "{table}");
    let missing = cli.run(&["conflict", "show", &id(9)]);
    assert!(missing.code == Some(1) && missing.stderr.contains("`lantern conflict list`"), "{missing:?}");
}

#[test]
fn a_resolver_is_swapped_between_decisions_and_its_category_is_its_own_until_its_file_goes() {
    let host = with_seats("");
    let api = host.api();
    offer(&api, "seats-1", 10);
    propose(&api, "seats-1", 1, &reserved(1, 3, 7)).expect(201);
    host.drop_in("other.wasm", &plugin("seats-closed"));
    let refused = host.wait_for_plugin("other.wasm", "is rejected", |plugin| plugin["state"] == "rejected");
    let reason = refused["reason"].as_str().expect("a reason");
    assert!(reason.contains("the file seats.wasm provides the conflicts of category seats already"), "{reason}");
    propose(&api, "seats-1", 1, &reserved(2, 1, 9)).expect(201);

    host.take_out(FILE);
    host.wait_for_plugin("other.wasm", "takes over", |plugin| plugin["state"] == "loaded");
    let closed = propose(&api, "seats-1", 1, &reserved(3, 1, 9)).expect(409);
    assert!(closed["detail"].as_str().is_some_and(|detail| detail.ends_with("rejected: closed")), "{closed}");
    host.drop_in("other.wasm", &seat_reservation());
    host.wait_for_plugin("other.wasm", "is swapped", |plugin| plugin["name"] == "seat-reservation");
    propose(&api, "seats-1", 1, &reserved(3, 1, 9)).expect(201);
    host.take_out("other.wasm");
    let nobody = lantern_tests::eventually("nobody decides", || {
        let answer = propose(&api, "seats-1", 1, &reserved(4, 99, 9)).expect(409);
        answer.get("conflict").is_none().then_some(answer)
    });
    assert!(nobody["detail"].as_str().is_some_and(|detail| detail.contains("no conflict resolver")), "{nobody}");
    assert_eq!(left(&stream(&api, "seats-1")), [10, 7, 6, 5]);
}

#[test]
fn a_rehearsal_shows_what_another_resolver_would_decide_and_changes_nothing() {
    let host = with_seats("");
    let (api, cli) = (host.api(), host.cli());
    offer(&api, "seats-1", 6);
    for number in 1..=4 {
        propose(&api, "seats-1", 1, &reserved(number, 2, 4));
    }
    let before = (stream(&api, "seats-1"), api.get("/conflicts").expect(200));
    let data = host.data_folder();
    let rehearse = |package: &str, flags: &[&str]| {
        let file = host.folder().join(format!("{package}.wasm"));
        let bytes = if package == "seats-closed" { plugin("seats-closed") } else { seat_reservation() };
        std::fs::write(&file, bytes).expect("a file can be written");
        let words = ["conflict", "rehearse", file.to_str().expect("text"), "--data-dir", data.to_str().expect("text")];
        cli.run(&[&words, flags].concat())
    };
    let same = rehearse("seat-reservation", &["--fail-on-difference"]);
    assert_eq!(same.code, Some(0), "{same:?}");
    assert!(same.stdout.contains("3 conflicts: 0 accepted, 2 rewritten, 1 rejected"), "{}", same.stdout);
    let other = rehearse("seats-closed", &["--fail-on-difference", "--json"]);
    assert_eq!(other.code, Some(1), "{other:?}");
    let report: Value = serde_json::from_str(&other.stdout).expect("JSON");
    assert_eq!((&report["conflicts"], &report["reject"]), (&json!(3), &json!(3)));
    let differences = report["differences"].as_array().expect("a list");
    assert_eq!(differences.len(), 2);
    assert_eq!(differences[0]["now"], "reject: closed");
    assert!(rehearse("seats-closed", &[]).stdout.contains("then: rewrite: SeatsReserved"));
    assert_eq!((stream(&api, "seats-1"), api.get("/conflicts").expect(200)), before);
}

#[test]
fn decisions_outlive_a_restart() {
    let mut host = with_seats("");
    offer(&host.api(), "seats-1", 6);
    for number in 1..=3 {
        propose(&host.api(), "seats-1", 1, &reserved(number, 3, 3));
    }
    let before = host.api().get("/conflicts").expect(200);
    assert_eq!(before["conflicts"].as_array().map(Vec::len), Some(2));
    host.stop();
    host.start_again();
    assert_eq!(host.api().get("/conflicts").expect(200), before);
    let again = propose(&host.api(), "seats-1", 1, &reserved(2, 3, 3)).expect(200);
    assert_eq!(again["version"], 3, "the first result, though it was rewritten");
}

//! Appending to streams, and reading streams and the log.

use std::thread;

use lantern_tests::{Answer, Api, TestHost, is_dense, log_of};
use serde_json::{Value, json};
use ureq::http::Request;

fn placed(number: u64) -> Value {
    json!({ "event_type": "Placed", "data": { "number": number } })
}

fn append(api: &Api, stream: &str, expected: &str, events: &Value) -> Answer {
    let request = Request::post(format!("/streams/{stream}/events"));
    let request = request.header("expected-version", expected).header("content-type", "application/json");
    api.send(request.body(events.to_string().into_bytes()).expect("a valid request"))
}

fn numbers(events: &Value, field: &str) -> Vec<u64> {
    let events = events.as_array().expect("a list of events");
    events.iter().map(|event| event[field].as_u64().expect("a number")).collect()
}

#[test]
fn positions_and_versions_start_at_one_and_have_no_holes() {
    let host = TestHost::start();
    let api = host.api();
    let first = append(&api, "order-1", "any", &json!([placed(1), placed(2)])).expect(201);
    let appended =
        json!({ "stream": "order-1", "first_position": 1, "last_position": 2, "version": 2, "appended": true });
    assert_eq!(first, appended);
    let second = append(&api, "order-2", "any", &json!([placed(3)])).expect(201);
    assert_eq!((&second["first_position"], &second["version"]), (&json!(3), &json!(1)));
    assert!(is_dense(&log_of(&api)));
}

#[test]
fn what_a_stream_is_expected_to_be_is_checked() {
    let host = TestHost::start();
    let api = host.api();
    let cases = [
        ("stream-exists", 409),
        ("1", 409),
        ("no-stream", 201),
        ("no-stream", 409),
        ("stream-exists", 201),
        ("2", 201),
        ("2", 409),
        ("4", 409),
        ("any", 201),
        ("-1", 400),
    ];
    for (step, (expected, status)) in cases.into_iter().enumerate() {
        let answer = append(&api, "order-1", expected, &json!([placed(step as u64)]));
        assert_eq!(answer.status, status, "step {step}, expected version {expected}: {}", answer.text());
    }
    assert_eq!(numbers(&api.get("/streams/order-1/events").expect(200)["events"], "version"), [1, 2, 3, 4]);
}

#[test]
fn a_conflict_says_which_stream_what_was_expected_what_is_and_what_to_do() {
    let host = TestHost::start();
    let api = host.api();
    api.append("order-1", &json!([placed(1), placed(2)]));
    let answer = append(&api, "order-1", "1", &json!([placed(3)]));
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let problem = answer.expect(409);
    assert_eq!(problem["code"], "wrong_expected_version");
    assert_eq!(
        (&problem["stream"], &problem["expected"], &problem["actual"]),
        (&json!("order-1"), &json!("1"), &json!(2))
    );
    let hint = problem["hint"].as_str().expect("a hint");
    assert!(hint.contains("Expected-Version: 2"), "{hint}");
}

#[test]
fn the_same_ids_again_give_the_first_answer_and_append_nothing() {
    let host = TestHost::start();
    let api = host.api();
    let id = |last: u8| format!("00000000-0000-4000-8000-0000000000{last:02}");
    let with_id = |last| json!({ "id": id(last), "event_type": "Placed", "data": { "number": last } });
    let events = json!([with_id(1), with_id(2)]);
    let first = append(&api, "order-1", "no-stream", &events).expect(201);
    api.append("order-1", &json!([placed(9)]));

    let again = append(&api, "order-1", "no-stream", &events).expect(200);
    assert_eq!(again["appended"], json!(false));
    assert_eq!(
        (&again["first_position"], &again["last_position"]),
        (&first["first_position"], &first["last_position"])
    );

    let elsewhere = append(&api, "order-2", "any", &json!([with_id(1)])).expect(409);
    assert_eq!((&elsewhere["code"], &elsewhere["id"]), (&json!("id_reused"), &json!(id(1))));
    let partly = append(&api, "order-1", "any", &json!([with_id(2), with_id(3)]));
    assert_eq!(partly.status, 409, "{}", partly.text());
    assert_eq!(host.head(), 3);
}

#[test]
fn events_of_one_append_are_there_together_or_not_at_all() {
    let host = TestHost::start();
    let api = host.api();
    for bad in [json!({ "event_type": "", "data": 1 }), json!({ "data": 1 }), json!({ "event_type": "A" }), json!(7)] {
        let answer = append(&api, "order-1", "any", &json!([placed(1), bad]));
        assert_eq!(answer.status, 400, "{bad}: {}", answer.text());
    }
    assert_eq!(append(&api, "order-1", "any", &json!([])).status, 400);
    assert_eq!(host.head(), 0);
}

#[test]
fn appends_of_many_writers_at_once_leave_no_hole_and_lose_nothing() {
    let host = TestHost::start();
    let api = host.api();
    let won: usize = thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let api = &api;
                scope.spawn(move || {
                    let mut won = 0;
                    for round in 0..25 {
                        api.append(&format!("order-{writer}"), &json!([placed(round), placed(round)]));
                        won += usize::from(
                            append(api, "shared-1", &round.to_string(), &json!([placed(round)])).status == 201,
                        );
                    }
                    won
                })
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().expect("a writer ends well")).sum()
    });
    let log = log_of(&api);
    assert!(is_dense(&log));
    let shared = log.iter().filter(|event| event["stream"] == "shared-1").count();
    assert!(shared > 0 && shared <= 25, "{shared} of 25 versions");
    assert_eq!(won, shared, "each version has exactly one winner");
    assert_eq!(log.len(), 8 * 25 * 2 + shared);
}

#[test]
fn a_stream_is_read_forwards_and_backwards_in_pages() {
    let host = TestHost::start();
    let api = host.api();
    api.append("order-1", &Value::from_iter((1..=7).map(placed)));
    api.append("order-2", &json!([placed(8)]));
    let versions = |query: &str| {
        let page = api.get(&format!("/streams/order-1/events?{query}")).expect(200);
        assert_eq!((&page["stream"], &page["version"]), (&json!("order-1"), &json!(7)));
        numbers(&page["events"], "version")
    };
    assert_eq!(versions(""), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(versions("limit=3"), [1, 2, 3]);
    assert_eq!(versions("from=4&limit=3"), [4, 5, 6]);
    assert_eq!(versions("direction=backwards&limit=3"), [7, 6, 5]);
    assert_eq!(versions("direction=backwards&from=2"), [2, 1]);
    assert_eq!(api.get("/streams/order-1/events?direction=sideways").status, 400);
    let nothing = api.get("/streams/order-3/events").expect(200);
    assert_eq!((&nothing["version"], &nothing["events"]), (&json!(0), &json!([])));
}

#[test]
fn the_log_is_read_after_a_position_and_by_category_and_type() {
    let host = TestHost::start();
    let api = host.api();
    for (stream, event_type) in [("order-1", "Placed"), ("cart-1", "Filled"), ("order-1", "Paid"), ("cart-2", "Paid")] {
        api.append(stream, &json!([{ "event_type": event_type, "data": {} }]));
    }
    let page = |query: &str| {
        let page = api.get(&format!("/events?{query}")).expect(200);
        assert_eq!(page["head"], 4);
        (numbers(&page["events"], "position"), page["scanned_to"].as_u64().expect("a position"))
    };
    assert_eq!(page(""), (vec![1, 2, 3, 4], 4));
    assert_eq!(page("after=2"), (vec![3, 4], 4));
    assert_eq!(page("limit=2"), (vec![1, 2], 2));
    assert_eq!(page("category=order"), (vec![1, 3], 4));
    assert_eq!(page("category=order,cart&event_type=Paid"), (vec![3, 4], 4));
    assert_eq!(page("event_type=Filled&event_type=Placed"), (vec![1, 2], 4));
    assert_eq!(page("category=nothing"), (vec![], 4));
    let beyond = api.get("/events?after=5").expect(400);
    assert_eq!((&beyond["code"], &beyond["head"]), (&json!("position_beyond_head"), &json!(4)));
}

#[test]
fn an_event_comes_back_as_it_was_written() {
    let host = TestHost::start();
    let api = host.api();
    let body = br#"[{"id":"11111111-1111-4111-8111-111111111111","event_type":"Placed","schema_version":3,
        "time":"2026-01-31T12:00:00.123456Z","data":{"price": 12345678901234567890.10, "a":"\u00e9"},"metadata":{"by":"me"}}]"#;
    let request = Request::post("/streams/order-a%2Fb%20c/events").header("content-type", "application/json");
    api.send(request.body(body.to_vec()).expect("a valid request")).expect(201);
    let text = api.get("/streams/order-a%2Fb%20c/events").text();
    assert!(text.contains("12345678901234567890.10"), "digits are lost: {text}");
    let page: Value = serde_json::from_str(&text).expect("JSON");
    let event = &page["events"][0];
    assert_eq!((&event["stream"], &event["schema_version"]), (&json!("order-a/b c"), &json!(3)));
    assert_eq!(
        (&event["id"], &event["metadata"]),
        (&json!("11111111-1111-4111-8111-111111111111"), &json!({ "by": "me" }))
    );
    assert_eq!((&event["time"], &event["data"]["a"]), (&json!("2026-01-31T12:00:00.123456Z"), &json!("é")));
}

#[test]
fn an_import_names_the_line_of_a_bad_record_and_appends_nothing_of_its_body() {
    let host = TestHost::start();
    let api = host.api();
    let import = |body: &str| {
        let request = Request::post("/events/import").header("content-type", "application/x-ndjson");
        api.send(request.body(body.as_bytes().to_vec()).expect("a valid request"))
    };
    let good = r#"{"stream":"order-1","event_type":"Placed","data":{}}"#;
    let problem = import(&format!("{good}\n\n{{\"stream\":\"order-1\",\"data\":{{}}}}\n{good}\n")).expect(400);
    assert_eq!((&problem["code"], &problem["line"]), (&json!("invalid_record"), &json!(3)));
    assert_eq!(host.head(), 0);

    let with_id = r#"{"id":"22222222-2222-4222-8222-222222222222","aggregate_type":"order","aggregate_id":"2","event_type":"Placed","data":{}}"#;
    let imported = import(&format!("{good}\n{with_id}\n")).expect(200);
    assert_eq!(imported, json!({ "appended": 2, "skipped": 0, "last_position": 2 }));
    let again = import(with_id).expect(200);
    assert_eq!((&again["appended"], &again["skipped"]), (&json!(0), &json!(1)));
    assert!(is_dense(&log_of(&api)));
}

#[test]
fn appended_events_are_there_after_a_restart_and_after_a_kill() {
    let mut host = TestHost::start();
    host.api().append("order-1", &json!([placed(1)]));
    assert!(host.stop().success());
    host.start_again();
    host.api().append("order-1", &json!([placed(2)]));
    host.kill();
    host.start_again();
    let log = log_of(&host.api());
    assert_eq!(log.len(), 2);
    assert!(is_dense(&log));
}

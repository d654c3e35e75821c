//! CloudEvents over HTTP in their three modes.

use lantern_tests::{Answer, Api, TestHost, is_dense, log_of};
use serde_json::{Value, json};
use ureq::http::Request;

fn post(api: &Api, content_type: &str, body: &Value) -> Answer {
    let request = Request::post("/events").header("content-type", content_type);
    api.send(request.body(body.to_string().into_bytes()).expect("a valid request"))
}

fn event(id: &str, subject: &str) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "/shop", "type": "Placed", "subject": subject,
        "time": "2026-01-31T12:00:00Z", "schemaversion": 2, "region": "eu", "data": { "number": 1 },
    })
}

#[test]
fn a_structured_event_finds_its_stream_type_time_and_metadata() {
    let host = TestHost::start();
    let api = host.api();
    let id = "33333333-3333-4333-8333-333333333333";
    let appended = post(&api, "application/cloudevents+json", &event(id, "order-1")).expect(201);
    assert_eq!((&appended["stream"], &appended["version"]), (&json!("order-1"), &json!(1)));
    let log = log_of(&api);
    assert_eq!(
        (&log[0]["id"], &log[0]["stream"], &log[0]["event_type"]),
        (&json!(id), &json!("order-1"), &json!("Placed"))
    );
    assert_eq!((&log[0]["schema_version"], &log[0]["data"]), (&json!(2), &json!({ "number": 1 })));
    assert_eq!((&log[0]["metadata"]["source"], &log[0]["metadata"]["region"]), (&json!("/shop"), &json!("eu")));
    assert_eq!(log[0]["time"], "2026-01-31T12:00:00Z");
}

#[test]
fn an_event_whose_id_is_no_uuid_is_still_appended_once() {
    let host = TestHost::start();
    let api = host.api();
    for status in [201, 200, 200] {
        post(&api, "application/cloudevents+json", &event("order 17", "order-1")).expect(status);
    }
    assert_eq!(log_of(&api)[0]["metadata"]["id"], "order 17");
    let other_source =
        json!({ "specversion": "1.0", "id": "order 17", "source": "/other", "type": "A", "subject": "order-1" });
    post(&api, "application/cloudevents+json", &other_source).expect(201);
    assert_eq!(host.head(), 2);
}

#[test]
fn a_batch_goes_to_one_stream_or_to_several() {
    let host = TestHost::start();
    let api = host.api();
    let batch = "application/cloudevents-batch+json";
    let one = post(&api, batch, &json!([event("a", "order-1"), event("b", "order-1")])).expect(201);
    assert_eq!((&one["stream"], &one["version"]), (&json!("order-1"), &json!(2)));
    let several =
        post(&api, batch, &json!([event("b", "order-1"), event("c", "order-2"), event("d", "order-1")])).expect(201);
    assert_eq!((&several["appended"], &several["skipped"]), (&json!(2), &json!(1)));
    let log = log_of(&api);
    assert_eq!(log.len(), 4);
    assert!(is_dense(&log));
}

#[test]
fn a_binary_event_may_carry_any_bytes() {
    let host = TestHost::start();
    let api = host.api();
    let binary = |content_type: &str, body: &[u8]| {
        let request = Request::post("/events").header("ce-specversion", "1.0").header("ce-id", "photo 1");
        let request = request.header("ce-source", "/camera").header("ce-type", "Taken").header("ce-subject", "photo-1");
        api.send(request.header("content-type", content_type).body(body.to_vec()).expect("a valid request"))
    };
    binary("image/png", &[0x89, b'P', 0xff, 0x00]).expect(201);
    let log = log_of(&api);
    assert_eq!((&log[0]["content_type"], &log[0]["data_base64"]), (&json!("image/png"), &json!("iVD/AA==")));
    assert_eq!(log[0].get("data"), None);
    assert_eq!(binary("application/json", b"{").status, 400);
}

#[test]
fn an_event_without_a_stream_is_refused_with_the_attribute_it_lacks() {
    let host = TestHost::start();
    let mut lacking = event("a", "order-1");
    lacking.as_object_mut().expect("an object").remove("subject");
    let problem = post(&host.api(), "application/cloudevents+json", &lacking).expect(400);
    assert_eq!(problem["code"], "invalid_cloud_event");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("subject")), "{problem}");
    assert_eq!(post(&host.api(), "text/plain", &lacking).status, 415);
    assert_eq!(host.head(), 0);
}

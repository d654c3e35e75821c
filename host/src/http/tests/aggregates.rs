//! Aggregates: states, commands, and what is wrong with a request.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use super::fixture::{Answer, Api};

const COMMANDS: &str = "/aggregates/order/1/commands";

async fn send(api: &Api, key: &str, body: &str) -> Answer {
    api.post(COMMANDS, &[("idempotency-key", key)], body.to_owned()).await
}

#[tokio::test]
async fn a_state_is_shown_as_of_now_a_version_and_a_time() {
    let api = Api::new();
    for (event_type, day) in [("Placed", 1), ("Paid", 3), ("Shipped", 2)] {
        let event = json!([{"event_type": event_type, "data": {}, "time": format!("2026-01-0{day}T00:00:00Z")}]);
        api.post("/streams/order-1/events", &[], event.to_string()).await;
    }
    let now = api.get("/aggregates/order/1").await;
    let expected = json!({
        "stream": "order-1", "version": 3, "position": 3, "state": [3, true], "state_schema_version": 2,
        "digest": "0rder",
    });
    assert_eq!((now.status.as_u16(), &now.json), (200, &expected));
    assert_eq!((now.header("lantern-stream-version"), now.header("lantern-position")), ("3", "3"));
    for (query, state) in [
        ("version=1", json!([1, false])),
        ("version=2", json!([2, true])),
        ("time=2026-01-01T00:00:00Z", json!([1, false])),
        // The third event happened before, but behind one that had not happened yet.
        ("time=2026-01-02T12:00:00Z", json!([1, false])),
        ("time=2026-01-03T01:00:00%2B01:00", json!([3, true])),
    ] {
        assert_eq!(api.get(&format!("/aggregates/order/1?{query}")).await.json["state"], state, "{query}");
    }
    for (path, problem) in [
        ("/aggregates/order/1?version=4", (400, "version_beyond_stream")),
        ("/aggregates/order/1?version=0", (400, "invalid_parameter")),
        ("/aggregates/order/1?time=yesterday", (400, "invalid_parameter")),
        ("/aggregates/order/1?version=1&time=2026-01-02T00:00:00Z", (400, "invalid_parameter")),
        ("/aggregates/order/1?time=2025-01-02T00:00:00Z", (404, "aggregate_not_found")),
        ("/aggregates/order/2", (404, "aggregate_not_found")),
        ("/aggregates/cart/1", (404, "unknown_category")),
    ] {
        assert_eq!(api.get(path).await.problem(), problem, "{path}");
    }
    assert_eq!(api.get("/aggregates/cart/1").await.json["known"], json!(["order"]));
    assert_eq!(api.get("/aggregates").await.json["aggregates"][0]["category"], "order");
}

#[tokio::test]
async fn head_says_whether_there_is_one_and_folds_nothing() {
    let api = Api::new();
    api.append(&["order-1"]).await;
    for (path, status, version) in
        [("/aggregates/order/1", 200, "1"), ("/aggregates/order/2", 404, ""), ("/aggregates/cart/1", 404, "")]
    {
        let response = api.send(Request::head(path).body(Body::empty()).expect("a request")).await;
        let found = response.headers().get("lantern-stream-version").map_or("", |value| value.to_str().expect("text"));
        assert_eq!((response.status().as_u16(), found), (status, version), "{path}");
    }
    assert_eq!(api.state.aggregates.stats().folded, 0);
}

#[tokio::test]
async fn a_command_is_handled_once_by_its_key_and_refused_with_a_reason() {
    let api = Api::new();
    let pay = r#"{"command_type":"Pay","data":{"by":"ann"},"metadata":{"user":7}}"#;
    let first = send(&api, "payment-1", pay).await;
    assert_eq!(first.status.as_u16(), 201, "{}", first.json);
    assert_eq!(first.json["events"], 1);
    assert_eq!((&first.json["first_position"], &first.json["last_position"]), (&json!(1), &json!(1)));
    api.append(&["order-1"]).await;
    let again = send(&api, "\"payment-1\"", pay).await;
    assert_eq!((again.status.as_u16(), &again.json["appended"]), (200, &json!(false)));
    assert_eq!((&again.json["version"], &again.json["command_id"]), (&json!(1), &first.json["command_id"]));
    let refused = send(&api, "payment-2", pay).await;
    assert_eq!((refused.problem(), &refused.json["detail"]), ((422, "command_rejected"), &json!("it is paid")));
    assert_eq!(refused.json["version"], 2);
    let other = send(&api, "payment-1", r#"{"command_type":"Pay","data":{"by":"bob"}}"#).await;
    assert_eq!(other.problem(), (409, "command_id_reused"));
    let looked = send(&api, "look", r#"{"command_type":"Look","data":null}"#).await;
    assert_eq!((looked.status.as_u16(), &looked.json["events"]), (200, &json!(0)));
    assert_eq!((&looked.json["first_position"], &looked.json["version"]), (&json!(null), &json!(2)));
    let stuck = send(&api, "01977e5e-8f2e-7000-8000-000000000001", r#"{"command_type":"Loop","data":1}"#).await;
    assert_eq!(stuck.problem(), (503, "aggregate_timed_out"));
    assert_eq!(stuck.json["command_id"], "01977e5e-8f2e-7000-8000-000000000001");
    let events = api.get("/streams/order-1/events").await.json;
    let metadata = &events["events"][0]["metadata"];
    assert_eq!((&metadata["user"], &metadata["lantern.command"]["id"]), (&json!(7), &first.json["command_id"]));
    assert_eq!(events["version"], 2);
}

#[tokio::test]
async fn a_command_without_a_key_is_another_one_each_time_and_a_wrong_one_is_refused() {
    let api = Api::new();
    let answer = api.post(COMMANDS, &[], r#"{"command_type":"Pay","data":{}}"#).await;
    assert_eq!(answer.status.as_u16(), 201, "{}", answer.json);
    let answer = api.post(COMMANDS, &[], r#"{"command_type":"Pay","data":{}}"#).await;
    assert_eq!(answer.problem(), (422, "command_rejected"));
    for body in
        ["", "[]", r#"{"data":1}"#, r#"{"command_type":"","data":1}"#, r#"{"command_type":"A","data":1,"id":2}"#]
    {
        assert_eq!(api.post(COMMANDS, &[], body).await.problem(), (400, "invalid_request"), "{body}");
    }
    let listed = r#"{"command_type":"Pay","data":1,"metadata":[]}"#;
    assert_eq!(api.post(COMMANDS, &[], listed).await.problem(), (400, "invalid_request"));
    let answer = api.post(COMMANDS, &[("idempotency-key", " ")], r#"{"command_type":"Pay","data":{}}"#).await;
    assert_eq!(answer.problem(), (400, "invalid_request"));
    let unknown = api.post("/aggregates/cart/1/commands", &[], r#"{"command_type":"Pay","data":{}}"#).await;
    assert_eq!(unknown.problem(), (404, "unknown_category"));
}

#[tokio::test]
async fn snapshots_can_be_deleted_and_are_counted() {
    let api = Api::new();
    let events: Vec<_> = (0..100).map(|_| json!({"event_type": "Placed", "data": {}})).collect();
    api.post("/streams/order-1/events", &[], json!(events).to_string()).await;
    api.get("/aggregates/order/1").await;
    let kept = |kept: u64| format!("lantern_snapshots {kept}\n");
    api.until("/metrics", |text| text.as_str().is_some_and(|text| text.contains(&kept(1)))).await;
    assert_eq!(api.delete("/snapshots").await.json, json!({"deleted": 1}));
    let metrics = api.get("/metrics").await.json;
    let metrics = metrics.as_str().expect("text");
    assert!(metrics.contains(&kept(0)) && metrics.contains("lantern_aggregate_events_folded_total 100\n"), "{metrics}");
}

//! Appending, importing, reading and following events.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use futures_util::StreamExt;
use serde_json::{Value, json};

use super::fixture::{Answer, Api};

const ID: &str = "0190163d-8694-739b-aea5-966c26f8ad90";

#[tokio::test]
async fn the_same_append_again_gives_the_first_result() {
    let api = Api::new();
    let body = format!(r#"[{{"id":"{ID}","event_type":"Placed","data":{{}}}}]"#);
    let first = api.post("/streams/order-1/events", &[("expected-version", "no-stream")], body.clone()).await;
    assert_eq!(first.status, StatusCode::CREATED);
    let result = json!({"stream": "order-1", "first_position": 1, "last_position": 1, "version": 1, "appended": true});
    assert_eq!(first.json, result);
    let again = api.post("/streams/order-1/events", &[("expected-version", "no-stream")], body).await;
    assert_eq!(
        (again.status, &again.json["appended"], &again.json["version"]),
        (StatusCode::OK, &json!(false), &json!(1))
    );
}

#[tokio::test]
async fn a_conflict_says_what_was_expected_and_what_is_there() {
    let api = Api::new();
    api.append(&["order-1", "order-1"]).await;
    let body = r#"[{"event_type":"Paid","data":{}}]"#;
    let conflict = api.post("/streams/order-1/events", &[("expected-version", "1")], body).await;
    assert_eq!(conflict.problem(), (409, "wrong_expected_version"));
    let facts = (&conflict.json["stream"], &conflict.json["expected"], &conflict.json["actual"]);
    assert_eq!(facts, (&json!("order-1"), &json!("1"), &json!(2)));
    assert!(conflict.json["hint"].as_str().expect("a hint").contains("Expected-Version: 2"));
    assert_eq!(api.state.events.head().0, 2);
}

#[tokio::test]
async fn an_append_that_is_not_understood_is_refused_with_the_reason() {
    let api = Api::new();
    let refuse = async |headers: &[(&str, &str)], body: &'static str| {
        let answer = api.post("/streams/order-1/events", headers, body).await;
        (
            answer.status.as_u16(),
            answer.json["code"].as_str().expect("a code").to_owned(),
            answer.json["detail"].to_string(),
        )
    };
    let (status, code, detail) = refuse(&[], r#"{"event_type":"A","data":1}"#).await;
    assert_eq!((status, code.as_str()), (400, "invalid_request"), "{detail}");
    let (.., detail) = refuse(&[], r#"[{"event_type":"A","data":1},{"event_type":"A","data":1,"typ":2}]"#).await;
    assert!(detail.contains("unknown field `typ`"), "{detail}");
    let (.., detail) = refuse(&[], r#"[{"event_type":"A","data":1},{"event_type":"A","data":1,"metadata":1}]"#).await;
    assert!(detail.contains("event 2"), "{detail}");
    let (status, code, _) = refuse(&[], "[]").await;
    assert_eq!((status, code.as_str()), (400, "invalid_event"));
    let (.., detail) = refuse(&[("expected-version", "-1")], "[]").await;
    assert!(detail.contains("no-stream"), "{detail}");
    let (status, code, _) = refuse(&[("content-type", "text/plain")], "[]").await;
    assert_eq!((status, code.as_str()), (415, "unsupported_content_type"));
    assert_eq!(api.post("/streams/-1/events", &[], "[]").await.problem(), (400, "invalid_request"));
    assert_eq!(api.state.events.head().0, 0);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let api = Api::with(crate::http::HttpOptions { max_body_bytes: 100, ..Default::default() });
    let answer = api.post("/streams/order-1/events", &[], vec![b' '; 101]).await;
    assert_eq!(answer.problem(), (413, "body_too_large"));
    let chunks = futures_util::stream::iter((0..3).map(|_| Ok::<_, std::io::Error>(vec![b' '; 50])));
    let answer = api.post("/events/import", &[], Body::from_stream(chunks)).await;
    assert_eq!(answer.problem(), (413, "body_too_large"));
}

#[tokio::test]
async fn a_stream_is_read_in_both_directions_and_its_name_may_hold_anything() {
    let api = Api::new();
    api.append(&["order-a%2Fb%20%C3%A9", "other-1", "order-a%2Fb%20%C3%A9", "order-a%2Fb%20%C3%A9"]).await;
    let versions = |answer: &Answer| -> Vec<u64> {
        let events = answer.json["events"].as_array().expect("events").iter();
        events.map(|event| event["version"].as_u64().expect("a version")).collect()
    };
    let page = api.get("/streams/order-a%2Fb%20%C3%A9/events?from=2&limit=1").await;
    assert_eq!(
        (versions(&page), &page.json["version"], &page.json["stream"]),
        (vec![2], &json!(3), &json!("order-a/b é"))
    );
    let page = api.get("/streams/order-a%2Fb%20%C3%A9/events?direction=backwards&limit=2").await;
    assert_eq!(versions(&page), [3, 2]);
    let page = api.get("/streams/order-none/events").await;
    assert_eq!(page.json, json!({"stream": "order-none", "version": 0, "events": []}));
    assert_eq!(api.get("/streams/order-1/events?direction=up").await.problem(), (400, "invalid_parameter"));
    assert_eq!(api.get("/streams/order-1/events?form=1").await.problem(), (400, "unknown_parameter"));
}

#[tokio::test]
async fn data_comes_back_as_the_text_it_was() {
    let api = Api::new();
    let data = r#"{"n": 1.10, "big": 12345678901234567890123, "s": "\u00e9"}"#;
    api.post("/streams/a-1/events", &[], format!(r#"[{{"event_type":"A","data":{data}}}]"#)).await;
    let response = api.send(Request::get("/streams/a-1/events").body(Body::empty()).expect("a request")).await;
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.expect("a body");
    let body = String::from_utf8(body.to_vec()).expect("text");
    assert!(body.contains(&format!("\"data\":{data}")), "{body}");
}

#[tokio::test]
async fn the_log_is_read_by_category_and_type_page_by_page() {
    let api = Api::new();
    api.append(&["order-1", "cart-1", "order-2", "cart-2"]).await;
    let page = api.get("/events?category=cart&limit=1").await;
    assert_eq!((&page.json["events"][0]["stream"], &page.json["scanned_to"]), (&json!("cart-1"), &json!(2)));
    let page = api.get("/events?category=cart,shop&after=2").await;
    assert_eq!(page.json["events"][0]["stream"], "cart-2");
    assert_eq!((&page.json["scanned_to"], &page.json["head"]), (&json!(4), &json!(4)));
    let page = api.get("/events?event_type=Paid&event_type=Sent").await;
    assert_eq!((&page.json["events"], &page.json["scanned_to"]), (&json!([]), &json!(4)));
    assert_eq!(api.get("/events?after=5").await.problem(), (400, "position_beyond_head"));
    assert_eq!(api.get("/events?limit=5000").await.problem(), (400, "invalid_parameter"));
}

#[tokio::test]
async fn an_import_is_done_whole_or_not_at_all_and_once() {
    let api = Api::new();
    let record =
        |id: &str, more: &str| format!(r#"{{"id":"{id}","stream":"order-1","event_type":"Placed","data":{{}}{more}}}"#);
    let other = ID.replace("90", "91");
    let body = format!("{}\n{}\n", record(ID, ""), record(&other, ""));
    let first = api.post("/events/import", &[("content-type", "application/x-ndjson")], body.clone()).await;
    assert_eq!(first.json, json!({"appended": 2, "skipped": 0, "last_position": 2}));
    let again = api.post("/events/import", &[], body.clone()).await;
    assert_eq!(again.json, json!({"appended": 0, "skipped": 2, "last_position": 2}));
    let third = record(&ID.replace("90", "92"), "");
    for (bad, reason) in [
        (format!("{third}\n\n{}", record(&other, r#","oops":1"#)), "unknown field `oops`"),
        (format!("{third}\n\nnot json"), "expected"),
        (
            format!(
                "{third}\n\n{}",
                record(&ID.replace("90", "93"), &format!(r#","metadata":{{"m":"{}"}}"#, "x".repeat(2 << 20)))
            ),
            "at most",
        ),
    ] {
        let answer = api.post("/events/import", &[], bad).await;
        assert_eq!((answer.problem(), &answer.json["line"]), ((400, "invalid_record"), &json!(3)));
        assert!(answer.json["detail"].to_string().contains(reason), "{}", answer.json);
    }
    assert_eq!(api.state.events.head().0, 2);
}

fn cloud_event(id: &str, subject: &str) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "/shop", "type": "Placed", "subject": subject, "data": {"n": 1}})
}

#[tokio::test]
async fn cloud_events_are_taken_in_all_three_modes() {
    let api = Api::new();
    let structured =
        [("content-type", "application/cloudevents+json; charset=UTF-8"), ("expected-version", "no-stream")];
    let answer = api.post("/events", &structured, cloud_event("1", "order-1").to_string()).await;
    assert_eq!((answer.status, &answer.json["last_position"]), (StatusCode::CREATED, &json!(1)));
    let again = api.post("/events", &structured, cloud_event("1", "order-1").to_string()).await;
    assert_eq!((again.status, &again.json["appended"]), (StatusCode::OK, &json!(false)));

    let batch = json!([cloud_event("2", "order-1"), cloud_event("3", "order-2")]).to_string();
    let answer = api.post("/events", &[("content-type", "application/cloudevents-batch+json")], batch.clone()).await;
    assert_eq!(answer.json, json!({"appended": 2, "skipped": 0, "last_position": 3}));
    let expecting = [("content-type", "application/cloudevents-batch+json"), ("expected-version", "any")];
    assert_eq!(api.post("/events", &expecting, batch).await.problem(), (400, "invalid_cloud_event"));

    let binary = [
        ("content-type", "image/png"),
        ("ce-specversion", "1.0"),
        ("ce-id", "4"),
        ("ce-source", "/shop"),
        ("ce-type", "Drawn"),
        ("ce-subject", "order-1"),
        ("ce-time", "2026-01-31T12:00:00Z"),
    ];
    let answer = api.post("/events", &binary, vec![0_u8, 255]).await;
    assert_eq!((answer.status, &answer.json["version"]), (StatusCode::CREATED, &json!(3)));
    let event = &api.get("/events?after=3").await.json["events"][0];
    let told = (&event["data_base64"], &event["content_type"], &event["time"], event.get("data"));
    assert_eq!(told, (&json!("AP8="), &json!("image/png"), &json!("2026-01-31T12:00:00Z"), None));
    assert_eq!(event["metadata"], json!({"id": "4", "source": "/shop"}));
}

#[tokio::test]
async fn a_cloud_event_that_is_not_understood_is_refused() {
    let api = Api::new();
    let structured = [("content-type", "application/cloudevents+json")];
    let answer = api.post("/events", &structured, r#"{"specversion":"1.0","id":"1","source":"s","type":"A"}"#).await;
    assert_eq!(answer.problem(), (400, "invalid_cloud_event"));
    assert!(answer.json["detail"].to_string().contains("subject"));
    assert_eq!(api.post("/events", &structured, "[]").await.problem(), (400, "invalid_cloud_event"));
    let batch = [("content-type", "application/cloudevents-batch+json")];
    let events = json!([cloud_event("1", "order-1"), cloud_event("2", "-1")]).to_string();
    let answer = api.post("/events", &batch, events).await;
    assert_eq!((answer.problem(), &answer.json["index"]), ((400, "invalid_cloud_event"), &json!(1)));
    assert_eq!(api.post("/events", &batch, "[]").await.problem(), (400, "invalid_cloud_event"));
    let plain = api.post("/events", &[("content-type", "application/json")], "{}").await;
    assert_eq!(plain.problem(), (415, "unsupported_content_type"));
    assert_eq!(api.state.events.head().0, 0);
}

/// Messages of a subscription, one after the other.
struct Messages(axum::body::BodyDataStream);

impl Messages {
    async fn of(api: &Api, path: &str, last_event_id: Option<&str>) -> Self {
        let request = last_event_id.iter().fold(Request::get(path), |request, id| request.header("last-event-id", *id));
        let response = api.send(request.body(Body::empty()).expect("a request")).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self(response.into_body().into_data_stream())
    }

    /// The lines of the next message; none at the end.
    async fn next(&mut self) -> Option<Vec<String>> {
        let chunk = self.0.next().await?.expect("a message");
        let text = String::from_utf8(chunk.to_vec()).expect("text");
        Some(text.lines().map(str::to_owned).collect())
    }

    async fn next_id(&mut self) -> Option<String> {
        self.next().await?.into_iter().find(|line| line.starts_with("id: "))
    }
}

#[tokio::test]
async fn a_subscription_shows_the_past_then_the_future_and_ends_with_the_server() {
    let api = Api::new();
    api.append(&["order-1", "cart-1", "order-2"]).await;
    let mut messages = Messages::of(&api, "/events/subscribe?category=order", None).await;
    let first = messages.next().await.expect("a message");
    assert!(first.contains(&"id: 1".to_owned()) && first.contains(&"event: Placed".to_owned()), "{first:?}");
    let data = first.iter().find_map(|line| line.strip_prefix("data: ")).expect("data");
    assert_eq!(serde_json::from_str::<Value>(data).expect("JSON")["stream"], "order-1");
    assert_eq!(messages.next_id().await.as_deref(), Some("id: 3"));
    api.append(&["cart-2", "order-3"]).await;
    assert_eq!(messages.next_id().await.as_deref(), Some("id: 5"));
    api.app.stop();
    assert_eq!(messages.next().await, None);
}

#[tokio::test]
async fn a_subscription_resumes_behind_the_last_event_that_arrived() {
    let api = Api::new();
    api.append(&["order-1", "order-2", "order-3"]).await;
    let mut messages = Messages::of(&api, "/events/subscribe?after=0", Some("2")).await;
    assert_eq!(messages.next_id().await.as_deref(), Some("id: 3"));
    assert_eq!(api.get("/events/subscribe?after=4").await.problem(), (400, "position_beyond_head"));
    assert_eq!(api.get("/events/subscribe?from=1").await.problem(), (400, "unknown_parameter"));
}

#[tokio::test]
async fn a_reader_that_falls_behind_by_many_pages_misses_nothing() {
    let api = Api::new();
    let mut messages = Messages::of(&api, "/events/subscribe", None).await;
    let record = |n: u32| format!(r#"{{"stream":"order-{n}","event_type":"Placed","data":{{}}}}"#);
    let body: Vec<_> = (1..=1000).map(record).collect();
    let imported = api.post("/events/import", &[], body.join("\n")).await;
    assert_eq!(imported.json["appended"], 1000);
    for position in 1..=1000 {
        assert_eq!(messages.next_id().await, Some(format!("id: {position}")));
    }
}

#[tokio::test]
async fn a_silent_subscription_shows_that_it_is_alive_and_how_far_it_looked() {
    let api =
        Api::with(crate::http::HttpOptions { heartbeat: std::time::Duration::from_millis(1), ..Default::default() });
    let mut messages = Messages::of(&api, "/events/subscribe?category=none", None).await;
    let sign = messages.next().await.expect("a sign of life");
    assert!(sign.contains(&": alive".to_owned()) && sign.contains(&"id: 0".to_owned()), "{sign:?}");
    assert!(!sign.iter().any(|line| line.starts_with("data")), "{sign:?}");
}

#[tokio::test]
async fn line_breaks_in_data_do_not_break_a_message() {
    let api = Api::new();
    let body = "[{\"event_type\":\"A\",\"data\":{\r\n\"a\":\r1\n}}]";
    assert_eq!(api.post("/streams/a-1/events", &[], body).await.status, StatusCode::CREATED);
    let mut messages = Messages::of(&api, "/events/subscribe", None).await;
    let text = messages.next().await.expect("a message").join("\n").replace('\r', "\n");
    let data: String = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    assert_eq!(serde_json::from_str::<Value>(&data).expect("JSON")["data"], json!({"a": 1}));
}

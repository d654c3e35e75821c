//! Projections, their read models and their dead letters.

use axum::http::StatusCode;
use serde_json::json;

use super::fixture::Api;

#[tokio::test]
async fn a_query_is_answered_with_its_checkpoint() {
    let api = Api::new();
    api.append(&["order-1", "order-2", "order-1"]).await;
    let answer = api.get("/projections/counting/tables/streams?at_least=3&order=events.desc&count=exact&limit=1").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.json);
    assert_eq!(answer.json, json!([{"stream": "order-1", "events": 2}]));
    assert_eq!((answer.header("lantern-position"), answer.header("content-range")), ("3", "0-0/2"));
    assert!(["live", "catching-up"].contains(&answer.header("lantern-projection-state")));
    let answer = api.get("/projections/counting/tables/streams?events=gte.2&select=stream").await;
    assert_eq!(answer.json, json!([{"stream": "order-1"}]));
    let answer = api.get("/projections/counting/tables/streams?count=exact&events=gt.9").await;
    assert_eq!((answer.json.clone(), answer.header("content-range")), (json!([]), "*/0"));
}

#[tokio::test]
async fn a_query_that_cannot_be_answered_says_what_is_known() {
    let api = Api::new();
    let unknown = api.get("/projections/orders/tables/streams").await;
    assert_eq!((unknown.problem(), &unknown.json["known"]), ((404, "projection_not_found"), &json!(["counting"])));
    let unknown = api.get("/projections/counting/tables/orders").await;
    assert_eq!((unknown.problem(), &unknown.json["known"]), ((404, "table_not_found"), &json!(["streams"])));
    let unknown = api.get("/projections/counting/tables/streams?total=eq.1").await;
    assert_eq!((unknown.problem(), &unknown.json["parameter"]), ((400, "invalid_query"), &json!("total")));
    assert!(unknown.json["detail"].to_string().contains("stream, events"));
    let injected = api.get("/projections/counting/tables/streams?order=stream;DROP%20TABLE%20streams").await;
    assert_eq!(injected.problem(), (400, "invalid_query"));
    assert_eq!(
        api.get("/projections/counting/tables/streams?timeout_ms=5").await.problem(),
        (400, "invalid_parameter")
    );
}

#[tokio::test]
async fn a_position_beyond_the_head_is_refused_at_once() {
    let api = Api::new();
    let answer = api.get("/projections/counting/tables/streams?at_least=1&timeout_ms=60000").await;
    assert_eq!((answer.problem(), &answer.json["head"]), ((400, "position_beyond_head"), &json!(0)));
}

#[tokio::test]
async fn a_query_that_waits_too_long_says_how_far_the_projection_came() {
    let api = Api::new();
    let held = api.gate.write().await;
    api.append(&["order-1"]).await;
    let answer = api.get("/projections/counting/tables/streams?at_least=1&timeout_ms=1").await;
    assert_eq!((answer.problem(), &answer.json["position"]), ((504, "not_caught_up"), &json!(0)));
    drop(held);
    let answer = api.get("/projections/counting/tables/streams?at_least=1&timeout_ms=60000").await;
    assert_eq!(answer.json, json!([{"stream": "order-1", "events": 1}]));
}

#[tokio::test]
async fn a_query_does_not_wait_for_a_projection_that_does_not_run() {
    let api = Api::new();
    api.until("/projections/counting", |status| status["state"] == "live").await;
    assert_eq!(api.post("/projections/counting/pause", &[], "").await.status, StatusCode::OK);
    api.until("/projections/counting", |status| status["state"] == "paused").await;
    api.append(&["order-1"]).await;
    let answer = api.get("/projections/counting/tables/streams?at_least=1&timeout_ms=60000").await;
    assert_eq!((answer.problem(), &answer.json["state"]), ((409, "projection_not_running"), &json!("paused")));
    let answer = api.get("/projections/counting/tables/streams").await;
    assert_eq!((answer.json.clone(), answer.header("lantern-projection-state")), (json!([]), "paused"));
    assert_eq!(api.post("/projections/counting/resume", &[], "").await.status, StatusCode::OK);
    api.until("/projections/counting", |status| status["state"] != "paused").await;
    let answer = api.get("/projections/counting/tables/streams?at_least=1&timeout_ms=60000").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.json);
}

#[tokio::test]
async fn no_query_fails_while_new_read_models_are_swapped_in() {
    let api = Api::new();
    api.append(&["order-1", "order-2"]).await;
    let rows = json!([{"stream": "order-1", "events": 1}, {"stream": "order-2", "events": 1}]);
    for _ in 0..5 {
        let before = api.get("/projections/counting").await.json["build"].clone();
        assert_eq!(api.post("/projections/counting/replay", &[], "").await.status, StatusCode::OK);
        loop {
            let answer = api.get("/projections/counting/tables/streams?at_least=2&timeout_ms=60000").await;
            assert_eq!((answer.status, &answer.json), (StatusCode::OK, &rows));
            if api.get("/projections/counting").await.json["build"] != before {
                break;
            }
        }
    }
}

#[tokio::test]
async fn dead_letters_are_listed_retried_and_discarded() {
    let api = Api::new();
    let poison = r#"[{"event_type":"Poison","data":{}},{"event_type":"Placed","data":{}}]"#;
    assert_eq!(api.post("/streams/order-1/events", &[], poison).await.status, StatusCode::CREATED);
    api.append(&["order-2"]).await;
    let rows = api.get("/projections/counting/tables/streams?at_least=3&timeout_ms=60000").await;
    assert_eq!(rows.json, json!([{"stream": "order-2", "events": 1}]));
    let letters = api.get("/projections/counting/dead-letters").await.json["dead_letters"].clone();
    assert_eq!(
        (&letters[0]["position"], &letters[0]["kind"], &letters[0]["event_type"]),
        (&json!(1), &json!("failed"), &json!("Poison"))
    );
    assert!(letters[0]["reason"].to_string().contains("poison"));
    assert_eq!((&letters[1]["position"], &letters[1]["kind"]), (&json!(2), &json!("waiting")));

    let retry = api.post("/projections/counting/dead-letters/retry", &[], r#"{"stream":"order-1"}"#).await;
    assert_eq!(retry.status, StatusCode::ACCEPTED);
    let wrong = api.post("/projections/counting/dead-letters/retry", &[], r#"{"steam":"order-1"}"#).await;
    assert_eq!(wrong.problem(), (400, "invalid_request"));
    let waiting = api.delete("/projections/counting/dead-letters/2").await;
    assert_eq!(waiting.problem(), (409, "not_possible"));
    assert_eq!(api.delete("/projections/counting/dead-letters/x").await.problem(), (400, "invalid_request"));
    assert_eq!(api.delete("/projections/counting/dead-letters/1").await.status, StatusCode::OK);
    api.until("/projections/counting/dead-letters", |letters| letters["dead_letters"] == json!([])).await;
    let rows = api.get("/projections/counting/tables/streams?stream=eq.order-1").await;
    assert_eq!(rows.json, json!([{"stream": "order-1", "events": 1}]));
}

#[tokio::test]
async fn what_is_not_possible_is_refused_with_the_reason() {
    let api = Api::new();
    assert_eq!(api.post("/projections/nope/replay", &[], "").await.problem(), (404, "projection_not_found"));
    assert_eq!(api.delete("/projections/counting/replay").await.problem(), (409, "not_possible"));
}

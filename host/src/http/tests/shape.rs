//! What all routes have in common: the table, the document, errors, metrics.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::fixture::Api;
use crate::catalog::{PluginRecord, PluginState};
use crate::event::Timestamp;
use crate::http::routes::routes;

pub(super) fn filled_in(path: &str) -> String {
    path.replace("{stream}", "order-1")
        .replace("{name}", "counting")
        .replace("{table}", "streams")
        .replace("{position}", "1")
        .replace("{category}", "order")
        .replace("{id}", "1")
}

#[tokio::test]
async fn every_route_is_in_the_document_and_the_document_has_no_other() {
    let api = Api::new();
    api.append(&["order-1"]).await;
    let document = api.get("/openapi.json").await.json;
    assert_eq!(document["openapi"], "3.1.0");
    let mut described = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys() {
            described.insert((method.to_uppercase(), path.clone()));
            let request = Request::builder().method(method.to_uppercase().as_str()).uri(filled_in(path));
            let response = api.send(request.body(Body::empty()).expect("a request")).await;
            assert_ne!(response.status(), 405, "{method} {path}");
            assert_ne!(response.status(), 404, "{method} {path}");
        }
    }
    let served: BTreeSet<_> = routes().iter().map(|route| (route.method.to_string(), route.path.to_owned())).collect();
    assert_eq!(described, served);
}

/// Whether a value has the fields that its schema names, and no other.
fn assert_fits(document: &Value, schema: &Value, value: &Value, place: &str) {
    if let Some(target) = schema["$ref"].as_str() {
        let name = target.rsplit('/').next().expect("a name");
        return assert_fits(document, &document["components"]["schemas"][name], value, &format!("{place}:{name}"));
    }
    if let Some(items) = schema.get("items") {
        for value in value.as_array().unwrap_or_else(|| panic!("{place} is no list: {value}")) {
            assert_fits(document, items, value, place);
        }
    }
    let (properties, required) = fields(document, schema);
    if properties.is_empty() {
        return;
    }
    let object = value.as_object().unwrap_or_else(|| panic!("{place} is no object: {value}"));
    for name in &required {
        assert!(object.contains_key(name), "{place} lacks {name}: {value}");
    }
    for (name, value) in object {
        let property = properties.iter().find(|(known, _)| known == name);
        let (_, property) = property.unwrap_or_else(|| panic!("{place} has {name}, which is not described"));
        assert_fits(document, property, value, &format!("{place}.{name}"));
    }
}

/// The fields of an object schema, with those of the schemas it is made of.
fn fields(document: &Value, schema: &Value) -> (Vec<(String, Value)>, Vec<String>) {
    if let Some(target) = schema["$ref"].as_str() {
        let name = target.rsplit('/').next().expect("a name");
        return fields(document, &document["components"]["schemas"][name]);
    }
    let mut all: (Vec<(String, Value)>, Vec<String>) = Default::default();
    for part in schema["allOf"].as_array().into_iter().flatten() {
        let (properties, required) = fields(document, part);
        all.0.extend(properties);
        all.1.extend(required);
    }
    let properties = schema["properties"].as_object().into_iter().flatten();
    all.0.extend(properties.map(|(name, property)| (name.clone(), property.clone())));
    all.1.extend(schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
    all
}

#[tokio::test]
async fn answers_have_exactly_the_fields_that_the_document_describes() {
    let api = Api::new();
    api.append(&["order-1"]).await;
    api.post("/streams/order-2/events", &[], r#"[{"event_type":"Poison","data":{}}]"#).await;
    api.get("/projections/counting/tables/streams?at_least=2&timeout_ms=60000").await;
    api.state.plugins.set(PluginRecord {
        file: "counting.wasm".into(),
        state: PluginState::Loaded,
        world: None,
        name: Some("counting".into()),
        digest: None,
        bytes: 7,
        reason: None,
        hint: None,
        since: Timestamp(0),
    });
    let document = api.get("/openapi.json").await.json;
    for path in [
        "/events",
        "/streams/{stream}/events",
        "/projections",
        "/projections/{name}",
        "/projections/{name}/dead-letters",
        "/aggregates",
        "/aggregates/{category}/{id}",
        "/plugins",
        "/healthz",
        "/readyz",
    ] {
        let answer = api.get(&filled_in(path)).await;
        let schema = &document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{path}");
        assert_fits(&document, schema, &answer.json, path);
    }
    let appended = api.post("/streams/order-1/events", &[], r#"[{"event_type":"A","data":1}]"#).await;
    assert_fits(&document, &json!({"$ref": "#/components/schemas/Appended"}), &appended.json, "append");
    let handled = api.post("/aggregates/order/1/commands", &[], r#"{"command_type":"Pay","data":{}}"#).await;
    assert_fits(&document, &json!({"$ref": "#/components/schemas/Handled"}), &handled.json, "handle");
}

#[tokio::test]
async fn errors_of_the_framework_are_problems_too() {
    let api = Api::new();
    let unknown = api.get("/nowhere").await;
    assert_eq!(unknown.problem(), (404, "no_such_route"));
    assert_eq!(unknown.json["title"], "No such route");
    assert!(unknown.json["hint"].is_string() && unknown.json["type"].is_string());
    let wrong = api.post("/healthz", &[], "").await;
    assert_eq!((wrong.problem(), wrong.header("allow")), ((405, "method_not_allowed"), "GET,HEAD"));
    assert_eq!(api.get("/healthz?x=1").await.problem(), (400, "unknown_parameter"));
    assert_eq!(api.post("/projections/counting/pause?x=1", &[], "").await.problem(), (400, "unknown_parameter"));
    assert_eq!(api.get("/streams/%ff/events").await.problem(), (400, "invalid_request"));
}

#[tokio::test]
async fn pages_of_other_sites_get_nothing() {
    let api = Api::new();
    let answer =
        api.post("/projections/counting/pause", &[("host", "localhost"), ("origin", "http://evil.example")], "").await;
    assert_eq!(answer.problem(), (403, "cross_origin"));
    let answer = api.post("/projections/counting/pause", &[("host", "evil.example")], "").await;
    assert_eq!(answer.problem(), (421, "host_not_allowed"));
    assert_ne!(api.get("/projections/counting").await.json["state"], "paused");
}

#[tokio::test]
async fn metrics_tell_positions_and_requests_and_no_stream_names() {
    let api = Api::new();
    api.append(&["order-4711", "order-4712"]).await;
    api.get("/projections/counting/tables/streams?at_least=2&timeout_ms=60000").await;
    let text = api.get("/metrics").await.json;
    let text = text.as_str().expect("text");
    for line in [
        "lantern_log_head_position 2",
        "lantern_events_appended_total 2",
        "lantern_log_sealed_events 0",
        "lantern_log_writable 1",
        "lantern_projection_position{projection=\"counting\"} 2",
        "lantern_projection_lag_events{projection=\"counting\"} 0",
        "lantern_projection_dead_letters{projection=\"counting\"} 0",
        "lantern_http_requests_total{route=\"/streams/{stream}/events\",method=\"POST\",status=\"201\"} 2",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
    assert!(!text.contains("4711"));
    let described = text.lines().filter(|line| line.starts_with("# TYPE")).count();
    assert_eq!(described, text.lines().filter(|line| line.starts_with("# HELP")).count());
}

#[tokio::test]
async fn a_daemon_without_a_writer_is_alive_but_not_ready() {
    let api = Api::new();
    assert_eq!(api.get("/readyz").await.json, json!({"status": "ready", "head": 0, "projections": 1}));
    let events = api.state.events.clone();
    tokio::task::spawn_blocking(move || events.close()).await.expect("closes");
    assert_eq!(api.get("/healthz").await.json["status"], "alive");
    assert_eq!(api.get("/readyz").await.problem(), (503, "log_not_writable"));
    assert!(api.get("/metrics").await.json.as_str().expect("text").contains("lantern_log_writable 0"));
}

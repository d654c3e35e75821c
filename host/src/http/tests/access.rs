//! Every route, with no token, with each scope and with tokens that are none.

use axum::body::Body;
use axum::http::Request;

use super::fixture::{Answer, Api};
use super::shape::filled_in;
use crate::access::{Scope, create_token, revoke_token};
use crate::http::routes::{Route, routes};

/// Asks a route with these headers, and without what else it needs.
async fn ask(api: &Api, route: &Route, headers: &[(&str, &str)]) -> Answer {
    let request = Request::builder().method(&route.method).uri(filled_in(route.path));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    // An endless answer is not read.
    let (parts, body) = api.send(request.body(Body::empty()).expect("a request")).await.into_parts();
    let body = if parts.status.is_success() { Body::empty() } else { body };
    let bytes = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
    let json = serde_json::from_slice(&bytes).unwrap_or_default();
    Answer { status: parts.status, headers: parts.headers, json }
}

#[tokio::test]
async fn every_route_lets_in_only_tokens_of_its_scope() {
    let api = Api::new();
    let file = api.tokens_file();
    let tokens = Scope::ALL.map(|scope| (scope, create_token(&file, scope.as_str(), &[scope]).expect("created")));
    let mut open = Vec::new();
    for route in routes() {
        let place = format!("{} {}", route.method, route.path);
        let missing = ask(&api, &route, &[]).await;
        let Some(scope) = route.scope else {
            assert!(missing.status != 401 && missing.status != 403, "{place}: {}", missing.status);
            open.push(route.path);
            continue;
        };
        assert_eq!(scope == Scope::Read, route.method == "GET", "{place}: to read is not to change");
        assert_eq!(missing.problem(), (401, "token_missing"), "{place}");
        assert_eq!(missing.header("www-authenticate"), "Bearer realm=\"lantern\"", "{place}");
        assert!(missing.json["hint"].is_string(), "{place}");
        for (of, token) in &tokens {
            let answer = ask(&api, &route, &[("authorization", &format!("Bearer {token}"))]).await;
            if *of == scope || *of == Scope::Admin {
                assert!(answer.status != 401 && answer.status != 403, "{place} with {of:?}: {}", answer.status);
            } else {
                assert_eq!(answer.problem(), (403, "scope_missing"), "{place} with {of:?}");
                let challenge = answer.header("www-authenticate");
                assert!(challenge.contains(&format!("scope=\"{}\"", scope.as_str())), "{place}: {challenge}");
            }
        }
    }
    assert_eq!(open, ["/healthz", "/readyz"], "these are for everyone");
}

#[tokio::test]
async fn what_shows_no_known_token_lets_nobody_in() {
    let api = Api::new();
    let file = api.tokens_file();
    let token = create_token(&file, "reports", &[Scope::Read]).expect("created");
    let routes = routes();
    let events = routes.iter().find(|route| route.path == "/events" && route.method == "GET").expect("is there");
    let good = format!("bearer {token}");
    assert_eq!(ask(&api, events, &[("authorization", &good)]).await.status, 200);
    let (basic, short, bare) = (format!("Basic {token}"), &good[..good.len() - 1], token.as_str());
    for authorization in ["", "Bearer", "Bearer ", "Bearer x", &basic, short, bare, "Bearer lantern_\u{e9}"] {
        let answer = ask(&api, events, &[("authorization", authorization)]).await;
        assert_eq!(answer.problem(), (401, "token_unknown"), "{authorization:?}");
        assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"lantern\", error=\"invalid_token\"");
    }
    assert_eq!(api.get(&format!("/events?token={token}")).await.problem(), (401, "token_missing"));
    revoke_token(&file, "reports").expect("revoked");
    assert_eq!(ask(&api, events, &[("authorization", &good)]).await.problem(), (401, "token_unknown"));
    std::fs::write(&file, "nonsense").expect("writes");
    assert_eq!(ask(&api, events, &[("authorization", &good)]).await.problem(), (503, "tokens_unreadable"));
}

#[tokio::test]
async fn the_document_names_the_scope_of_every_route() {
    let document = Api::new().get("/openapi.json").await.json;
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    for Route { method, path, scope, .. } in routes() {
        let operation = &document["paths"][path][method.as_str().to_lowercase()];
        let named = operation["security"].as_array().expect("a list").first().map(|way| way["token"][0].clone());
        assert_eq!(named, scope.map(|scope| scope.as_str().into()), "{method} {path}");
        assert_eq!(operation["responses"].get("401").is_some(), scope.is_some(), "{method} {path}");
    }
}

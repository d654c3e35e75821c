//! Requests that are no requests, or mean something else than they seem to.

use lantern_tests::TestHost;
use serde_json::json;
use ureq::http::Request;

use crate::sockets::answers;

const APPEND: &str = "POST /streams/order-1/events HTTP/1.1\r\nhost: localhost\r\n";
const EVENT: &str = r#"[{"event_type":"A","data":1}]"#;

/// Nonsense with a name; each is to be answered with a status from 400 to 499, or with nothing.
fn nonsense() -> Vec<(&'static str, Vec<u8>)> {
    let get = |head: &str| format!("GET /events HTTP/1.1\r\nhost: localhost\r\n{head}\r\n").into_bytes();
    let append = |head: &str, body: &str| format!("{APPEND}{head}\r\n{body}").into_bytes();
    let target = |target: &str| format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes();
    vec![
        ("zeros", vec![0; 4096]),
        ("no method", b" / HTTP/1.1\r\n\r\n".to_vec()),
        ("no target", b"GET HTTP/1.1\r\n\r\n".to_vec()),
        ("HTTP/0.9", b"GET /events\r\n\r\n".to_vec()),
        ("HTTP/9.9", b"GET /events HTTP/9.9\r\n\r\n".to_vec()),
        ("HTTP/2 without asking", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        ("TLS without a certificate", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        ("a method of 60,000 letters", format!("{} / HTTP/1.1\r\n\r\n", "G".repeat(60_000)).into_bytes()),
        ("a target of 100,000 letters", target(&format!("/{}", "a".repeat(100_000)))),
        ("a target with a space", target("/events /x")),
        ("a target with a NUL", target("/events\0")),
        ("a target of another host", target("http://evil.example/events")),
        ("a tunnel", b"CONNECT evil.example:443 HTTP/1.1\r\nhost: evil.example\r\n\r\n".to_vec()),
        ("a header of 1 MiB", get(&format!("x: {}\r\n", "x".repeat(1 << 20)))),
        ("10,000 headers", get(&"x: x\r\n".repeat(10_000))),
        ("a header without a colon", get("nonsense\r\n")),
        ("a header name with a space", get("content length: 1\r\n")),
        ("a header name of nothing", get(": x\r\n")),
        ("a folded header", get("x: a\r\n b\r\n")),
        ("a header with a NUL", get("x: a\0b\r\n")),
        ("two hosts", b"GET /events HTTP/1.1\r\nhost: evil.example\r\nhost: localhost\r\n\r\n".to_vec()),
        ("two lengths", append("content-length: 5\r\ncontent-length: 6\r\n", EVENT)),
        ("a length below zero", append("content-length: -1\r\n", EVENT)),
        ("a length with a sign", append("content-length: +29\r\n", EVENT)),
        ("a length beyond all numbers", append("content-length: 99999999999999999999\r\n", EVENT)),
        ("an unknown transfer", append("transfer-encoding: gzip\r\n", EVENT)),
        ("chunked in the middle", append("transfer-encoding: chunked, gzip\r\n", EVENT)),
        ("a chunk of no size", append("transfer-encoding: chunked\r\n", "x\r\n[]\r\n0\r\n\r\n")),
        (
            "a chunk beyond all numbers",
            append("transfer-encoding: chunked\r\n", "fffffffffffffffff\r\n[]\r\n0\r\n\r\n"),
        ),
        ("a chunk longer than it says", append("transfer-encoding: chunked\r\n", "2\r\n[]]]]\r\n0\r\n\r\n")),
        ("an endless chunk extension", append("transfer-encoding: chunked\r\n", &format!("2;{}", "x".repeat(1 << 20)))),
        ("a path with a bad escape", target("/streams/%ff%fe/events")),
        ("a path upwards", target("/streams/../../etc/passwd")),
        ("a path upwards, escaped", target("/projections/%2e%2e%2f%2e%2e/tables/%2fetc%2fpasswd")),
        ("a query with a bad escape", target("/events?after=%ff")),
        ("10,000 parameters", target(&format!("/events?{}", "a=1&".repeat(10_000)))),
    ]
}

#[test]
fn nonsense_is_refused_and_appends_nothing() {
    let host = TestHost::with_settings(
        "[http]\nheader_timeout_seconds = 1\nbody_timeout_seconds = 1\nidle_timeout_seconds = 1\n",
    );
    for (name, bytes) in nonsense() {
        let answer = answers(&host, &bytes);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{name}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), usize::from(!answer.is_empty()), "{name}: {answer}");
        assert!(!answer.contains("root:"), "{name}: {answer}");
    }
    assert_eq!(host.head(), 0);
}

#[test]
fn a_body_is_never_taken_for_a_second_request() {
    let host = TestHost::with_settings("[http]\nidle_timeout_seconds = 1\n");
    let hidden = format!("{APPEND}content-length: {}\r\n\r\n{EVENT}", EVENT.len());
    let length = hidden.len();
    for (name, head) in [
        ("a length", format!("content-length: {length}\r\n")),
        ("a length and chunks", format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n")),
        ("two equal lengths", format!("content-length: {length}\r\ncontent-length: {length}\r\n")),
        ("a length on several lines", format!("content-length: {length},{length}\r\n")),
    ] {
        let refused =
            answers(&host, format!("POST /events/import HTTP/1.1\r\nhost: localhost\r\n{head}\r\n{hidden}").as_bytes());
        assert!(refused.is_empty() || refused.starts_with("HTTP/1.1 4"), "{name}: {refused}");
        assert_eq!(host.head(), 0, "{name}: {refused}");
    }
}

#[test]
fn a_compressed_body_is_refused_and_not_unpacked() {
    let host = TestHost::start();
    for encoding in ["gzip", "zstd", "br", "deflate", "gzip, gzip"] {
        let request = Request::post("/streams/order-1/events").header("content-encoding", encoding);
        let answer = host.api().send(request.body(vec![0x1f, 0x8b, 8, 0]).expect("a valid request"));
        assert_eq!(answer.header("accept-encoding"), Some("identity"));
        let problem = answer.expect(415);
        assert_eq!(problem["code"], "unsupported_content_encoding");
        assert!(problem["hint"].as_str().is_some_and(|hint| hint.contains("not compressed")), "{problem}");
    }
    assert_eq!(host.head(), 0);
}

#[test]
fn deep_json_is_refused_wherever_it_stands() {
    let host = TestHost::start();
    let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let ask = |path: &str, media_type: &str, body: String| {
        let request = Request::post(path).header("content-type", media_type).body(body.into_bytes());
        host.api().send(request.expect("a valid request"))
    };
    let append = |data: &str| ask("/streams/order-1/events", "application/json", data.to_owned());
    let json = "application/json";
    for (name, answer) in [
        ("the body", append(&deep(100_000))),
        ("an open body", append(&"[".repeat(100_000))),
        ("objects", append(&"[{\"data\":".repeat(50_000))),
        ("data", append(&format!(r#"[{{"event_type":"A","data":{}}}]"#, deep(100_000)))),
        ("metadata", append(&format!(r#"[{{"event_type":"A","data":1,"metadata":{{"a":{}}}}}]"#, deep(100_000)))),
        (
            "an import",
            ask(
                "/events/import",
                "application/x-ndjson",
                format!(r#"{{"stream":"a-1","event_type":"A","data":{}}}"#, deep(100_000)),
            ),
        ),
        (
            "a CloudEvent",
            ask(
                "/events",
                "application/cloudevents+json",
                format!(
                    r#"{{"specversion":"1.0","id":"1","source":"/a","type":"A","subject":"a-1","data":{}}}"#,
                    deep(100_000)
                ),
            ),
        ),
        (
            "a CloudEvent's attribute",
            ask(
                "/events",
                "application/cloudevents+json",
                format!(
                    r#"{{"specversion":"1.0","id":"1","source":"/a","type":"A","subject":"a-1","x":{}}}"#,
                    deep(100_000)
                ),
            ),
        ),
        ("a retry", ask("/projections/none/dead-letters/retry", json, deep(100_000))),
    ] {
        assert_eq!(answer.status, 400, "{name}: {}", answer.text());
    }
    assert_eq!(host.head(), 0);
    host.api().append(
        "order-1",
        &json!([{ "event_type": "A", "data": serde_json::from_str::<serde_json::Value>(&deep(100)).expect("JSON") }]),
    );
}

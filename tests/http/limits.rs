//! Clients that are slow, silent, too many or too large.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use lantern_tests::{TestHost, eventually};
use serde_json::json;
use ureq::http::Request;

use crate::sockets::{ALIVE, connect, rest};

#[test]
fn a_body_that_is_too_large_is_refused_and_nothing_of_it_appended() {
    let host = TestHost::with_settings("[http]\nmax_body_bytes = 65536\n");
    let data = "x".repeat(70_000);
    let problem = host.api().post("/streams/order-1/events", &json!([{ "event_type": "A", "data": data }])).expect(413);
    assert_eq!(problem["code"], "body_too_large");
    assert_eq!(host.head(), 0);
    let announced =
        format!("POST /events/import HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", u64::MAX / 4);
    let mut socket = connect(&host);
    socket.write_all(announced.as_bytes()).expect("sent");
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 413", "it is refused before it is read");
}

#[test]
fn an_event_that_is_too_large_is_refused_with_its_place() {
    let host = TestHost::with_settings("[events]\nmax_event_bytes = 1000\n");
    let large = json!({ "event_type": "A", "data": "x".repeat(1001) });
    let problem =
        host.api().post("/streams/order-1/events", &json!([{ "event_type": "A", "data": 1 }, large])).expect(400);
    assert_eq!((&problem["code"], &problem["index"]), (&json!("invalid_event"), &json!(1)));
    assert_eq!(host.head(), 0);
}

#[test]
fn a_request_whose_head_comes_too_slowly_is_cut_off() {
    let host = TestHost::with_settings("[http]\nheader_timeout_seconds = 1\n");
    let mut socket = connect(&host);
    socket.write_all(b"GET /healthz HTTP/1.1\r\nhost: local").expect("sent");
    let started = Instant::now();
    let answer = rest(&mut socket);
    assert!(!answer.contains("200 OK"), "{answer}");
    assert!(started.elapsed() < Duration::from_secs(20), "it took {:?}", started.elapsed());
    assert_eq!(host.api().get("/healthz").status, 200, "others are served");
}

#[test]
fn a_request_whose_body_does_not_come_is_answered_all_the_same() {
    let host = TestHost::with_settings("[http]\nbody_timeout_seconds = 1\n");
    let mut socket = connect(&host);
    socket
        .write_all(b"POST /streams/order-1/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n[{")
        .expect("sent");
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 408");
}

#[test]
fn the_connection_that_has_been_silent_longest_makes_room_for_another() {
    let host = TestHost::with_settings("[http]\nmax_connections = 2\nidle_timeout_seconds = 3600\n");
    let mut held: Vec<_> = (0..3)
        .map(|_| {
            let mut socket = connect(&host);
            socket.write_all(ALIVE).expect("sent");
            socket.read_exact(&mut [0; 12]).expect("an answer");
            socket
        })
        .collect();
    let mut closed = held.remove(0);
    rest(&mut closed);
    for mut socket in held {
        socket.write_all(ALIVE).expect("sent");
        socket.read_exact(&mut [0; 12]).expect("the others are served on");
    }
}

#[test]
fn connections_over_the_limit_wait_while_all_others_are_at_work() {
    let host = TestHost::with_settings("[http]\nmax_connections = 2\n");
    let mut subscribed: Vec<_> = (0..2).map(|_| connect(&host)).collect();
    for socket in &mut subscribed {
        socket.write_all(b"GET /events/subscribe HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("sent");
        socket.read_exact(&mut [0; 12]).expect("an answer");
    }
    let mut third = connect(&host);
    third.set_read_timeout(Some(Duration::from_millis(300))).expect("a time-out can be set");
    third.write_all(ALIVE).expect("sent");
    let unanswered = third.read_exact(&mut [0; 12]).expect_err("no answer yet");
    assert!(matches!(unanswered.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{unanswered}");
    subscribed.pop();
    eventually("the third is answered", || third.read_exact(&mut [0; 12]).is_ok().then_some(()));
}

#[test]
fn subscriptions_over_the_limit_are_refused_and_leave_room_for_others() {
    let host = TestHost::with_settings("[http]\nmax_subscriptions = 1\n");
    let mut subscribed = connect(&host);
    subscribed.write_all(b"GET /events/subscribe HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("sent");
    subscribed.read_exact(&mut [0; 12]).expect("an answer");
    let refused = host.api().get("/events/subscribe");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(refused.expect(503)["code"], "too_many_subscriptions");
    drop(subscribed);
    eventually("its place is free again", || {
        let mut next = connect(&host);
        next.write_all(b"GET /events/subscribe HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("sent");
        let mut answer = [0; 12];
        next.read_exact(&mut answer).expect("an answer");
        answer.ends_with(b"200").then_some(())
    });
}

#[test]
fn a_page_of_another_site_cannot_use_the_daemon() {
    let host = TestHost::start();
    let request = |name: &str, value: &str| {
        let request = Request::post("/streams/order-1/events").header(name, value);
        let body = json!([{ "event_type": "A", "data": 1 }]).to_string().into_bytes();
        host.api().send(request.body(body).expect("a valid request"))
    };
    assert_eq!(request("origin", "https://evil.example").expect(403)["code"], "cross_origin");
    assert_eq!(request("host", "evil.example").expect(421)["code"], "host_not_allowed");
    assert_eq!(host.head(), 0);
}

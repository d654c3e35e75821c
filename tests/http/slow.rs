//! Clients that send or take their bytes as slowly as they can.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use lantern_tests::{Api, TestHost, eventually};
use serde_json::json;
use ureq::http::Request;

use crate::sockets::{ALIVE, connect, memory_mib, open_sockets, rest};

/// Sends byte after byte, until the daemon has had enough; then what it answered.
fn trickle(mut socket: TcpStream, mut bytes: impl Iterator<Item = u8>) -> String {
    socket.set_nonblocking(true).expect("it can be set");
    let mut answer = Vec::new();
    eventually("the daemon has had enough", || {
        let byte = bytes.next().expect("there are more bytes than time");
        let is_lost = socket.write_all(&[byte]).is_err();
        match socket.read_to_end(&mut answer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock && !is_lost => None,
            _ => Some(()),
        }
    });
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_head_that_comes_byte_by_byte_has_to_be_whole_in_time() {
    let host = TestHost::with_settings("[http]\nheader_timeout_seconds = 1\n");
    let head = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: ".iter().copied().chain(std::iter::repeat(b'x'));
    assert_eq!(trickle(connect(&host), head), "");
    assert_eq!(host.api().get("/healthz").status, 200);
}

#[test]
fn a_body_that_comes_byte_by_byte_has_to_be_whole_in_time() {
    let host = TestHost::with_settings("[http]\nbody_timeout_seconds = 1\n");
    let mut socket = connect(&host);
    socket
        .write_all(b"POST /streams/order-1/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\n[")
        .expect("sent");
    let answer = trickle(socket, std::iter::repeat(b' '));
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert_eq!(host.head(), 0);
}

#[test]
fn requests_sent_at_once_are_answered_one_after_the_other() {
    let host = TestHost::start();
    let mut socket = connect(&host);
    let request = |n: usize| format!("GET /healthz?n{n}=1 HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let requests: String = (0..500).map(request).collect();
    let last = "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let mut sender = socket.try_clone().expect("a second handle");
    let sent = std::thread::spawn(move || sender.write_all((requests + last).as_bytes()));
    let answers = rest(&mut socket);
    sent.join().expect("no panic").expect("everything is read");
    let unknown = answers.match_indices("\\\"n").map(|(at, found)| {
        let digits = answers[at + found.len()..].chars().take_while(char::is_ascii_digit);
        digits.collect::<String>().parse::<usize>().expect("a number")
    });
    assert_eq!(unknown.collect::<Vec<_>>(), (0..500).collect::<Vec<_>>());
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 1);
}

/// Fills the log with events of 200 kB.
fn fill(api: &Api, events: usize) {
    let event = json!({ "event_type": "Filled", "data": "x".repeat(200_000) });
    for _ in 0..events / 4 {
        api.append("large-1", &json!(vec![event.clone(); 4]));
    }
}

const EVENTS: usize = 200;

/// The ids of the events that came whole, from the text of a subscription.
fn whole_events(text: &str) -> Vec<u64> {
    let (whole, _) = text.rsplit_once("\n\n").unwrap_or_default();
    let id = |line: &str| line.strip_prefix("id: ").or(line.strip_prefix("id:"))?.trim().parse().ok();
    whole.lines().filter_map(id).collect()
}

#[test]
fn subscribers_that_do_not_read_are_let_go_and_go_on_later_without_a_hole() {
    let host = TestHost::with_settings("[http]\nwrite_timeout_seconds = 1\n");
    let api = host.api();
    fill(&api, EVENTS);
    let (memory, sockets) = (memory_mib(&host), open_sockets(&host));
    let subscribe = |_| {
        let mut socket = connect(&host);
        socket.write_all(b"GET /events/subscribe HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("sent");
        socket
    };
    let mut slow: Vec<_> = (0..20).map(subscribe).collect();
    let beside = Request::get("/events/subscribe").body(Vec::new()).expect("a valid request");
    let seen = api.lines(beside).filter(|line| line.starts_with("data:")).take(EVENTS).count();
    assert_eq!(seen, EVENTS, "another subscriber gets everything");
    let most = memory_mib(&host);
    eventually("those who do not read are let go", || (open_sockets(&host) <= sockets).then_some(()));
    println!("20 subscribers of 40 MB that do not read: {} MiB more", most.saturating_sub(memory));
    assert!(most < memory + 100, "memory went from {memory} to {most} MiB");

    let got = whole_events(&rest(&mut slow[0]));
    let last = *got.last().expect("some events had room on the way");
    assert!((1..EVENTS as u64).contains(&last), "it stopped at {last}");
    let again = Request::get("/events/subscribe").header("last-event-id", last.to_string());
    let ids = api.lines(again.body(Vec::new()).expect("a valid request"));
    let ids = ids.filter_map(|line| line.strip_prefix("id:")?.trim().parse::<u64>().ok());
    let all: Vec<_> = got.into_iter().chain(ids.take(EVENTS - last as usize)).collect();
    assert_eq!(all, (1..=EVENTS as u64).collect::<Vec<_>>());
}

/// One body of the largest size fills the memory for all of them.
const LITTLE_MEMORY: &str = "[http]\nmax_body_bytes = 1048576\nmax_body_memory_mib = 1\n";

#[test]
fn a_body_for_which_there_is_no_memory_is_to_come_again() {
    let host = TestHost::with_settings(LITTLE_MEMORY);
    let body = format!(r#"[{{"event_type":"A","data":"{}"}}]"#, "x".repeat(800_000));
    let (most, rest_of_body) = body.split_at(700_000);
    let mut stalled = connect(&host);
    let head =
        format!("POST /streams/order-1/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
    stalled.write_all((head + most).as_bytes()).expect("sent");
    let other = json!([{ "event_type": "B", "data": "x".repeat(400_000) }]);
    let refused = eventually("there is no room for another", || {
        let answer = host.api().post("/streams/order-2/events", &other);
        (answer.status != 201).then_some(answer)
    });
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.expect(503)["code"], "too_busy");
    assert_eq!(host.api().get("/readyz").status, 200, "what needs no room is answered");
    stalled.write_all(rest_of_body.as_bytes()).expect("sent");
    let mut answer = [0; 12];
    stalled.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 201", "the one that had room is taken");
    eventually("there is room again", || {
        (host.api().post("/streams/order-2/events", &other).status == 201).then_some(())
    });
}

#[test]
fn answers_that_nobody_takes_count_as_memory_until_they_are_gone() {
    let host = TestHost::with_settings(LITTLE_MEMORY);
    fill(&host.api(), 4);
    let page = "GET /events?limit=4 HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut lazy = connect(&host);
    lazy.write_all(page.repeat(100).as_bytes()).expect("sent");
    eventually("there is no room for another answer", || {
        let answer = host.api().get("/events?limit=4");
        (answer.status == 503 && answer.header("retry-after").is_some()).then_some(())
    });
    drop(lazy);
    eventually("there is room again", || (host.api().get("/events?limit=4").status == 200).then_some(()));
    let mut socket = connect(&host);
    socket.write_all(ALIVE).expect("sent");
    socket.read_exact(&mut [0; 12]).expect("an answer");
}

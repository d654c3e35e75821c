//! An append whose answer never comes: the client cannot know whether its events are in the log, and asks again.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use lantern_tests::{Api, TestHost, is_dense, log_of};
use serde_json::{Value, json};

use crate::clients::Append;

/// What a proxy lets through before it drops the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loses {
    /// The daemon has answered; nobody gets to know.
    TheAnswer,
    /// The daemon never sees the end of the request.
    TheRequest,
}

/// A proxy for one request. Its address, and a thread that ends when the connection is dropped.
fn proxy(daemon: &str, loses: Loses) -> (Api, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("it has an address"));
    let daemon = daemon.trim_start_matches("http://").to_owned();
    let thread = thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("the client connects");
        let mut server = TcpStream::connect(daemon).expect("the daemon listens");
        let request = read_request(&mut client);
        let passed = if loses == Loses::TheRequest { request.len() - 1 } else { request.len() };
        server.write_all(&request[..passed]).expect("the daemon reads");
        if loses == Loses::TheAnswer {
            // The first byte of the answer: the daemon has done it.
            server.read_exact(&mut [0]).expect("the daemon answers");
        }
    });
    (Api::new(&address), thread)
}

/// The head of a request and as many bytes as it announces.
fn read_request(client: &mut TcpStream) -> Vec<u8> {
    let mut request = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        let read = client.read(&mut chunk).expect("the client sends");
        assert!(read > 0, "the client sends a whole request");
        request.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.trim().parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return request;
        }
    }
}

fn append(number: u64) -> Append {
    let event = |n: u64| json!({ "id": format!("00000000-0000-4000-8000-{number:08}{n:04}"), "event_type": "Placed", "data": n });
    Append { stream: "order-1".into(), expected: (2 * number).to_string(), events: vec![event(1), event(2)] }
}

#[test]
fn an_append_whose_answer_was_lost_gives_the_first_result_when_it_is_repeated() {
    let host = TestHost::start();
    let api = host.api();
    for number in 0..20 {
        let append = append(number);
        let (through_proxy, dropped) = proxy(host.server(), Loses::TheAnswer);
        assert!(append.send(&through_proxy).is_err(), "the answer is lost");
        dropped.join().expect("the proxy has seen an answer");
        let again = append.send(&api).expect("an answer").expect(200);
        let place = json!({
            "stream": "order-1", "first_position": 3 * number + 1, "last_position": 3 * number + 2,
            "version": 2 * number + 2, "appended": false,
        });
        assert_eq!(again, place);
        // The log has moved on, and the answer stays the same.
        api.append("order-2", &json!([{ "event_type": "Placed", "data": number }]));
        assert_eq!(append.send(&api).expect("an answer").expect(200), place);
    }
    let log = log_of(&api);
    assert!(is_dense(&log) && log.len() == 60, "{} events", log.len());
}

#[test]
fn an_append_whose_request_was_cut_short_is_done_once_when_it_is_repeated() {
    let host = TestHost::start();
    let api = host.api();
    for number in 0..20 {
        let append = append(number);
        let (through_proxy, dropped) = proxy(host.server(), Loses::TheRequest);
        assert!(append.send(&through_proxy).is_err(), "there is no answer");
        dropped.join().expect("the proxy has dropped the request");
        let first = append.send(&api).expect("an answer").expect(201);
        assert_eq!((&first["version"], &first["appended"]), (&json!(2 * number + 2), &Value::Bool(true)));
    }
    assert_eq!(log_of(&api).len(), 40);
}

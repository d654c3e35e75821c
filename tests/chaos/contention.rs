//! Many writers at once on one stream, each of which expects a version.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use lantern_tests::{Api, TestHost, is_dense, log_of};
use serde_json::{Value, json};

use crate::clients::Append;

const WRITERS: u64 = 32;
const VERSIONS: u64 = 300;

/// An append that won: the version it made, its position, and its id.
type Win = (u64, u64, String);

/// Appends to the end that it knows of, until the stream is long enough.
fn write(api: &Api, writer: u64, conflicts: &AtomicU64) -> Vec<Win> {
    let (mut wins, mut version) = (Vec::new(), 0);
    for attempt in 0.. {
        if version >= VERSIONS {
            break;
        }
        let id = format!("00000000-0000-4000-8000-{writer:04}{attempt:08}");
        let event = json!({ "id": id, "event_type": "Placed", "data": writer });
        let append = Append { stream: "order-1".into(), expected: version.to_string(), events: vec![event] };
        let answer = append.send(api).expect("an answer");
        let body = answer.json();
        let number = |field: &str| body[field].as_u64().unwrap_or_else(|| panic!("{body}"));
        if answer.status == 201 {
            assert_eq!(number("version"), version + 1, "a writer wins the version behind the one it expects: {body}");
            version = number("version");
            wins.push((version, number("last_position"), id));
        } else {
            assert_eq!((answer.status, &body["code"]), (409, &json!("wrong_expected_version")), "{body}");
            assert!(number("actual") > version, "a conflict tells of a newer version: {body}");
            version = number("actual");
            conflicts.fetch_add(1, Ordering::Relaxed);
        }
    }
    wins
}

#[test]
fn of_32_writers_who_expect_the_same_version_exactly_one_wins_it() {
    let host = TestHost::start();
    let api = host.api();
    let conflicts = AtomicU64::new(0);
    let mut wins: Vec<Win> = thread::scope(|scope| {
        let writers = (0..WRITERS).map(|writer| {
            let (api, conflicts) = (&api, &conflicts);
            scope.spawn(move || write(api, writer, conflicts))
        });
        // All at once, so all are started before the first is waited for.
        let writers: Vec<_> = writers.collect();
        writers.into_iter().flat_map(|writer| writer.join().expect("the writer ends")).collect()
    });
    wins.sort();
    let versions: Vec<_> = wins.iter().map(|(version, ..)| *version).collect();
    assert_eq!(versions, (1..=wins.len() as u64).collect::<Vec<_>>(), "each version was won once");
    assert!(conflicts.into_inner() > VERSIONS, "the writers met");
    let log = log_of(&api);
    assert!(is_dense(&log), "the log has a hole or a double");
    let place = |event: &Value| {
        let number = |field: &str| event[field].as_u64().expect("a number");
        (number("version"), number("position"), event["id"].as_str().expect("an id").to_owned())
    };
    assert_eq!(log.iter().map(place).collect::<Vec<_>>(), wins, "the log is what the winners were told");
}

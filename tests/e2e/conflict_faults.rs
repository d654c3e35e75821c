//! Conflict resolvers under stress: hostile code, many writers at once, and kill -9 in the middle.
//!
//! `LANTERN_TEST_KILLS=N` kills N times instead of [`KILLS`] times.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::thread;

use lantern_tests::{Answer, Api, Seeded, TestHost, eventually, is_dense, log_of, plugin};
use serde_json::{Value, json};

use crate::conflicts::{event, id, offer, propose, request, reserved, stream, with_seats};

const KILLS: u64 = 5;

#[test]
fn a_resolver_that_traps_loops_or_lies_rejects_and_the_daemon_goes_on() {
    let host = TestHost::with_settings("[plugins]\nresolve_ms = 300\n");
    host.drop_in("hostile.wasm", &plugin("conflicts-hostile"));
    host.wait_for_plugin("hostile.wasm", "is loaded", |plugin| plugin["state"] == "loaded");
    let api = host.api();
    let asked = |number, to: &str| event(number, "Asked", json!({ "to": to }));
    api.append("hostile-1", &asked(1, "begin"));
    api.append("hostile-1", &asked(2, "begin"));
    let harms = [
        ("fail", "it wants to fail"),
        ("trap", "trapped on purpose"),
        ("loop", "took longer than 0.3 s"),
        ("take all memory", "memory_mib"),
        ("rewrite into none", "into none"),
        ("repeat an id", "twice"),
        ("take an id of the log", "that of another event"),
        ("answer no id", "is no UUID"),
        ("answer no json", "not JSON"),
        ("answer no metadata", "not a JSON object"),
        ("answer too much", "max_stored_bytes"),
    ];
    for (number, (harm, why)) in (10..).zip(harms) {
        let answer = propose(&api, "hostile-1", 1, &asked(number, harm)).expect(409);
        let detail = answer["detail"].as_str().expect("a detail");
        assert!(detail.contains("rejected: ") && detail.contains(why), "{harm}: {detail}");
        let stored = api.get(&format!("/conflicts/{}", answer["conflict"].as_str().expect("an id"))).expect(200);
        assert_eq!((&stored["resolution"], &stored["proposed"][0]["id"]), (&json!("reject"), &json!(id(number))));
    }
    assert_eq!(stream(&api, "hostile-1").len(), 2, "nothing was appended that no one decided");
    for (number, _) in (10..).zip(harms) {
        propose(&api, "hostile-1", 1, &asked(number, "accept")).expect(201);
    }
    assert!(is_dense(&log_of(&api)));
}

/// Judges what a client was told against the log and the stored conflicts.
struct Judge {
    events: Vec<Value>,
    /// By the id of their first proposed event; the newest decision on it.
    conflicts: BTreeMap<String, Value>,
}

impl Judge {
    fn of(api: &Api, name: &str) -> Self {
        let mut conflicts = BTreeMap::new();
        let mut before = String::new();
        loop {
            let mut page = api.get(&format!("/conflicts?stream={name}&limit=1000{before}")).expect(200);
            let Value::Array(found) = page["conflicts"].take() else { panic!("a page has conflicts: {page}") };
            let Some(last) = found.last() else { break };
            before = format!("&before={}", last["id"].as_str().expect("an id"));
            for conflict in found {
                let proposed = conflict["proposed"][0]["id"].as_str().expect("an id").to_owned();
                conflicts.entry(proposed).or_insert(conflict);
            }
        }
        Self { events: stream(api, name), conflicts }
    }

    /// The version that the command with this number got; `None` when it was rejected.
    fn version_of(&self, number: u64) -> Option<u64> {
        let plain =
            self.events.iter().find(|event| event["id"] == id(number)).and_then(|event| event["version"].as_u64());
        let decided =
            self.conflicts.get(&id(number)).and_then(|conflict| conflict["appended"]["last_version"].as_u64());
        assert!(plain.is_none() || decided.is_none() || plain == decided, "command {number} was done twice");
        plain.or(decided)
    }

    #[track_caller]
    fn assert_truthful(&self, number: u64, answer: &Answer) {
        let told = answer.json();
        match answer.status {
            200 | 201 => assert_eq!(told["version"].as_u64(), self.version_of(number), "command {number}: {told}"),
            409 => {
                assert_eq!(self.version_of(number), None, "command {number} was told to be rejected: {told}");
                let stored = &self.conflicts[&id(number)];
                assert_eq!((&stored["id"], &stored["resolution"]), (&told["conflict"], &json!("reject")), "{told}");
            }
            other => panic!("command {number} got {other}: {told}"),
        }
    }

    /// Every event follows from the one before it, and every resolved one is that of its conflict.
    #[track_caller]
    fn assert_sound(&self) {
        let number = |event: &Value, field: &str| event["data"][field].as_u64().expect("a number");
        for pair in self.events.windows(2) {
            assert_eq!(number(&pair[1], "left") + number(&pair[1], "seats"), number(&pair[0], "left"), "{pair:?}");
        }
        let resolved: BTreeSet<u64> =
            self.conflicts.values().filter_map(|one| one["appended"]["last_version"].as_u64()).collect();
        for event in &self.events {
            let conflict = event["metadata"]["lantern.conflict"].as_str();
            assert_eq!(
                conflict.is_some(),
                resolved.contains(&event["version"].as_u64().expect("a version")),
                "{event}"
            );
            let known = conflict.is_none_or(|id| self.conflicts.values().any(|one| one["id"] == id));
            assert!(known, "its conflict is not stored: {event}");
        }
    }
}

#[test]
fn thirty_two_writers_on_one_stream_get_truthful_answers_and_never_oversell() {
    const WRITERS: u64 = 32;
    let host = with_seats("[plugins]\nresolve_ms = 20000\n");
    let api = host.api();
    offer(&api, "seats-1", 40);
    let answers: Vec<(u64, Answer)> = thread::scope(|scope| {
        let writers: Vec<_> = (1..=WRITERS)
            .map(|number| {
                let api = &api;
                scope.spawn(move || {
                    let seen = stream(api, "seats-1");
                    let seats = 1 + number % 3;
                    let left = seen.last().and_then(|event| event["data"]["left"].as_u64()).expect("an offer");
                    let proposal = reserved(number, seats, left.saturating_sub(seats));
                    (number, propose(api, "seats-1", seen.len() as u64, &proposal))
                })
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().expect("a writer ends")).collect()
    });
    let judge = Judge::of(&api, "seats-1");
    judge.assert_sound();
    assert!(is_dense(&log_of(&api)));
    answers.iter().for_each(|(number, answer)| judge.assert_truthful(*number, answer));
    let accepted = answers.iter().filter(|(_, answer)| answer.status == 201).count();
    assert_eq!(judge.events.len(), 1 + accepted, "exactly the decided events exist");
    assert!(!judge.conflicts.is_empty() && accepted >= 10, "{accepted} accepted");
}

#[test]
fn kills_in_the_middle_of_decisions_and_appends_leave_each_command_done_once_or_not_at_all() {
    const COMMANDS: u64 = 400;
    let kills = std::env::var("LANTERN_TEST_KILLS").map_or(KILLS, |kills| kills.parse().expect("a number"));
    let mut host = with_seats("[plugins]\nresolve_ms = 20000\n[conflicts]\nmax_attempts = 100\n");
    offer(&host.api(), "seats-1", COMMANDS);
    // The first one takes the version that all others believe to be the newest, so that each of them is a conflict.
    propose(&host.api(), "seats-1", 1, &reserved(0, 1, COMMANDS - 1)).expect(201);
    let waiting: Mutex<Vec<u64>> = Mutex::new((1..COMMANDS).rev().collect());
    let next = || waiting.lock().expect("no writer panics").pop();
    let mut random = Seeded::new(7);
    let mut unanswered = 0;
    for kill in 1..=kills + 1 {
        let api = host.api();
        let (slice, last) = (COMMANDS / (kills + 1), kill > kills);
        let place = (kill - 1) * slice + 2 + random.below(slice - 1);
        unanswered += thread::scope(|scope| {
            let write = || {
                while let Some(number) = next() {
                    let proposal = reserved(number, 1, COMMANDS - 1);
                    match api.try_send(request("seats-1", 1, &proposal)) {
                        Ok(answer) => assert!([200, 201].contains(&answer.status), "{}", answer.text()),
                        Err(_) => {
                            waiting.lock().expect("no writer panics").push(number);
                            return 1;
                        }
                    }
                }
                0
            };
            let writers = [(); 4].map(|()| scope.spawn(write));
            if !last {
                eventually(&format!("the log is at {place}"), || (host.head() >= place).then_some(()));
                host.kill();
            }
            writers.into_iter().map(|writer| writer.join().expect("a writer ends")).sum::<u64>()
        });
        if !last {
            host.start_again();
            host.wait_for_plugin("seats.wasm", "is loaded", |plugin| plugin["state"] == "loaded");
        }
    }
    assert!(unanswered >= kills, "only {unanswered} commands were left without an answer");
    let api = host.api();
    assert!(is_dense(&log_of(&api)));
    let judge = Judge::of(&api, "seats-1");
    judge.assert_sound();
    let versions: BTreeSet<_> = (0..COMMANDS).map(|number| judge.version_of(number)).collect();
    assert_eq!(
        (versions.len() as u64, versions.contains(&None)),
        (COMMANDS, false),
        "each command has an event of its own"
    );
    assert_eq!(judge.events.len() as u64, COMMANDS + 1);
    for number in 1..COMMANDS {
        let again = propose(&api, "seats-1", 1, &reserved(number, 1, COMMANDS - 1));
        assert_eq!(again.status, 200, "it is known");
        judge.assert_truthful(number, &again);
    }
}

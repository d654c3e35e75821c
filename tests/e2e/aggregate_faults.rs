//! Aggregates that misbehave, and kill -9 in the middle of commands and snapshots.
//!
//! `LANTERN_TEST_KILLS=N` kills N times instead of [`KILLS`] times.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use lantern_tests::{Api, Seeded, TestHost, eventually, is_dense, log_of, plugin};
use serde_json::{Value, json};

use crate::aggregates::{BOOKING, reserve, selling, send, try_send, wait_until_loaded};

const KILLS: usize = 10;
const COMMANDS_FOR_EACH_KILL: usize = 30;

/// A snapshot with nearly every command, so that kills come in the middle of one.
const SNAPSHOTS: &str = "[snapshots]\nevery_events = 1\n";

/// Reservations by number, and what was answered to each.
struct Commands {
    waiting: Mutex<Vec<usize>>,
    answers: Mutex<BTreeMap<usize, Value>>,
    unanswered: AtomicUsize,
}

fn command(n: usize) -> (String, (&'static str, Value)) {
    (n.to_string(), reserve(&n.to_string(), 1 + n as u64 % 3))
}

impl Commands {
    fn new(total: usize) -> Self {
        Self { waiting: Mutex::new((0..total).collect()), answers: Mutex::default(), unanswered: AtomicUsize::new(0) }
    }

    fn answered(&self) -> usize {
        self.answers.lock().expect("no panic").len()
    }

    /// Sends one after the other until the daemon is gone; what has no answer then waits again.
    fn send_until_killed(&self, api: &Api) {
        while let Some(n) = { self.waiting.lock().expect("no panic").pop() } {
            let (name, command) = command(n);
            let Some(answer) = try_send(api, "conference/hall", &name, command) else {
                self.waiting.lock().expect("no panic").push(n);
                self.unanswered.fetch_add(1, Ordering::Relaxed);
                return;
            };
            assert!([200, 201].contains(&answer.status), "{}", answer.text());
            self.answers.lock().expect("no panic").insert(n, answer.json());
        }
    }

    /// Sends every command once more: those that were answered get the same answer.
    fn send_all_again(&self, api: &Api, total: usize) {
        let first = self.answers.lock().expect("no panic");
        for n in 0..total {
            let (name, command) = command(n);
            let again = send(api, "conference/hall", &name, command).json();
            if let Some(first) = first.get(&n) {
                assert_eq!((&again["appended"], &again["events"]), (&json!(false), &json!(1)), "{n}");
                for place in ["first_position", "last_position", "version"] {
                    assert_eq!(again[place], first[place], "{n}");
                }
            }
        }
    }
}

#[test]
fn commands_that_are_killed_again_and_again_are_each_handled_once() {
    let kills = std::env::var("LANTERN_TEST_KILLS").map_or(KILLS, |kills| kills.parse().expect("a number"));
    let mut host = selling(SNAPSHOTS);
    send(&host.api(), "conference/hall", "open", ("OpenConference", json!({"seats": 1_000_000}))).expect(201);
    let total = kills * COMMANDS_FOR_EACH_KILL;
    let commands = Commands::new(total);
    let mut random = Seeded::new(5);
    for kill in 0..kills {
        let enough = kill * COMMANDS_FOR_EACH_KILL + random.below(COMMANDS_FOR_EACH_KILL as u64) as usize;
        std::thread::scope(|scope| {
            for api in [(); 4].map(|()| host.api()) {
                let commands = &commands;
                scope.spawn(move || commands.send_until_killed(&api));
            }
            eventually("enough commands are answered", || (commands.answered() >= enough).then_some(()));
            host.kill();
        });
        host.start_again();
        wait_until_loaded(&host, BOOKING);
    }
    let unanswered = commands.unanswered.load(Ordering::Relaxed);
    println!("{kills} kills, {unanswered} commands without an answer");
    assert!(unanswered > kills, "only {unanswered} commands met a kill");
    let api = host.api();
    commands.send_all_again(&api, total);

    let log = log_of(&api);
    assert!(is_dense(&log), "the log has a hole or a double");
    let name = |event: &Value| event["data"]["reservation"].as_str().and_then(|name| name.parse().ok());
    let mut reservations: Vec<usize> = log[1..].iter().map(|event| name(event).expect("a name")).collect();
    reservations.sort_unstable();
    assert_eq!(reservations, (0..total).collect::<Vec<_>>(), "each command led to one event");
    let state = api.get("/aggregates/conference/hall").expect(200);
    let sold: u64 = log[1..].iter().map(|event| event["data"]["seats"].as_u64().expect("seats")).sum();
    assert_eq!(state["state"]["reserved"], sold);
    api.delete("/snapshots").expect(200);
    assert_eq!(api.get("/aggregates/conference/hall").expect(200), state, "snapshots change nothing");
}

const ODD: &str = "odd.wasm";

fn misbehaving() -> TestHost {
    let host = TestHost::with_settings("[plugins]\naggregate_ms = 200\n");
    host.drop_in(ODD, &plugin("aggregate-misbehaving"));
    wait_until_loaded(&host, ODD);
    host
}

/// What each kind of misbehaviour is called in the answer.
const WRONGS: [(&str, &str, &str); 4] = [
    ("Panic", "aggregate_failed", "trapped"),
    ("Loop", "aggregate_timed_out", "took longer than 0.2 s"),
    ("Memory", "aggregate_failed", "trapped"),
    ("Fail", "aggregate_failed", "it does not want to"),
];

#[test]
fn an_aggregate_that_misbehaves_on_a_command_appends_nothing_and_the_next_command_is_handled() {
    let host = misbehaving();
    let api = host.api();
    let decided = [
        ("NoType", "aggregate_failed", "event type is empty"),
        ("NoSchema", "aggregate_failed", "schema version is 0"),
        ("NoData", "aggregate_failed", "data is not JSON"),
        ("NoBase64", "aggregate_failed", "no base64"),
        ("NoMetadata", "aggregate_failed", "no JSON object"),
        ("Large", "aggregate_failed", "at most 1048576"),
        ("Many", "aggregate_failed", "2000 events in one request"),
    ];
    for (number, (how, code, words)) in (1..).zip(WRONGS.into_iter().chain(decided)) {
        let answer = send(&api, "odd/1", how, (how, json!({})));
        let problem = answer.json();
        assert_eq!(problem["code"], code, "{how}: {problem}");
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(
            detail.contains(words) && detail.contains("the aggregate misbehaving (") && detail.contains("stream odd-1"),
            "{how}: {detail}"
        );
        let fine = send(&api, "odd/1", &format!("after {how}"), ("Add", json!({}))).expect(201);
        assert_eq!(fine["version"], number, "{how} appended nothing");
    }
    let events = api.get("/streams/odd-1/events").expect(200);
    let event = &events["events"][0];
    assert_eq!(
        (&event["metadata"]["own"], &event["metadata"]["lantern.command"]["events"]),
        (&json!(1), &json!(1)),
        "{event}"
    );
    assert!(event["time"].as_str().is_some_and(|time| time.starts_with("20")), "the time is the host's: {event}");
    assert_eq!(api.get("/aggregates/odd/1").expect(200)["state"], json!(11));
}

#[test]
fn an_aggregate_that_misbehaves_on_an_event_has_no_state_from_there_on_and_others_have_theirs() {
    let host = misbehaving();
    let api = host.api();
    let answered = [("NoJson", "aggregate_failed", "not JSON"), ("Huge", "aggregate_failed", "at most 1048576")];
    for (how, code, words) in WRONGS.into_iter().chain(answered) {
        api.append(&format!("odd-{how}"), &json!([{"event_type": "Added", "data": 1}, {"event_type": how, "data": 1}]));
        for answer in
            [api.get(&format!("/aggregates/odd/{how}")), send(&api, &format!("odd/{how}"), "a", ("Add", json!({})))]
        {
            let problem = answer.json();
            assert_eq!(problem["code"], code, "{how}: {problem}");
            let detail = problem["detail"].as_str().expect("a detail");
            assert!(detail.contains(words) && detail.contains("could not fold the versions 1 to 2"), "{how}: {detail}");
        }
        assert_eq!(api.get(&format!("/aggregates/odd/{how}?version=1")).expect(200)["state"], json!(1));
        assert_eq!(api.get(&format!("/streams/odd-{how}/events")).expect(200)["version"], json!(2));
    }
    send(&api, "odd/fine", "a", ("Add", json!({}))).expect(201);
    assert_eq!(api.get("/aggregates/odd/fine").expect(200)["state"], json!(1));
}

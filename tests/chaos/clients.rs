//! Clients that append while the daemon dies. What they sent and what they were told is what the log is held to.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::mpsc::SyncSender;

use lantern_tests::{Answer, Api, Seeded};
use serde_json::{Value, json};
use ureq::http::Request;

/// Streams that the projection reads, and others.
const ACCOUNTS: u64 = 24;
const BRANCHES: u64 = 4;

/// One request, the same again when it is repeated.
#[derive(Clone, Debug)]
pub struct Append {
    pub stream: String,
    pub expected: String,
    pub events: Vec<Value>,
}

/// A request and what came back: nothing when the daemon died meanwhile.
#[derive(Debug)]
pub struct Report {
    pub append: Append,
    pub answer: Option<Answer>,
}

impl Append {
    /// # Errors
    /// When the connection breaks before the answer is there.
    pub fn send(&self, api: &Api) -> Result<Answer, ureq::Error> {
        let request = Request::post(format!("/streams/{}/events", self.stream));
        let request = request.header("expected-version", &self.expected).header("content-type", "application/json");
        let body = Value::from(self.events.clone()).to_string().into_bytes();
        api.try_send(request.body(body).expect("a valid request"))
    }

    fn ids(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.events.iter().map(|event| event["id"].as_str().expect("every event has an id"))
    }
}

/// One client. It survives the daemon.
pub struct Client {
    random: Seeded,
    number: u64,
    sent: u64,
    /// The newest version of a stream that it was told of.
    versions: BTreeMap<String, u64>,
    /// What it does not know the end of: it goes first when the daemon is back.
    unanswered: Option<Append>,
}

impl Client {
    pub fn new(seed: u64, number: u64) -> Self {
        let random = Seeded::new(seed.wrapping_mul(31).wrapping_add(number));
        Self { random, number, sent: 0, versions: BTreeMap::new(), unanswered: None }
    }

    /// Makes so many requests, or fewer when the daemon dies.
    pub fn work(&mut self, api: &Api, requests: u64, reports: &SyncSender<Report>) {
        for _ in 0..requests {
            let append = self.unanswered.take().unwrap_or_else(|| self.next());
            let answer = append.send(api).ok();
            match &answer {
                None => self.unanswered = Some(append.clone()),
                Some(answer) => self.learn(&append.stream, answer),
            }
            let is_over = answer.is_none();
            if reports.send(Report { append, answer }).is_err() || is_over {
                return;
            }
        }
    }

    /// Whether it still has to ask again.
    pub fn is_unsure(&self) -> bool {
        self.unanswered.is_some()
    }

    fn learn(&mut self, stream: &str, answer: &Answer) {
        let field = if answer.status == 409 { "actual" } else { "version" };
        if let Some(version) = answer.json()[field].as_u64() {
            self.versions.insert(stream.to_owned(), version);
        }
    }

    fn next(&mut self) -> Append {
        let stream = match self.random.below(8) {
            0 => format!("branch-{}", self.random.below(BRANCHES)),
            _ => format!("account-{}", self.random.below(ACCOUNTS)),
        };
        let known = self.versions.get(&stream).copied();
        let expected = match (self.random.below(10), known) {
            (0..=3, _) => "any".to_owned(),
            (4, _) => "stream-exists".to_owned(),
            (5, _) | (_, None) => "no-stream".to_owned(),
            (_, Some(version)) => version.to_string(),
        };
        let events = (0..=self.random.below(3)).map(|_| self.event()).collect();
        Append { stream, expected, events }
    }

    /// An event whose time jumps by days, forwards and backwards: order is a matter of positions alone.
    fn event(&mut self) -> Value {
        self.sent += 1;
        let event_type = ["Deposited", "Deposited", "Withdrawn", "Renamed"][self.random.below(4) as usize];
        let scattered = self.random.below(1 << 32);
        json!({
            "id": format!("{scattered:08x}-0000-4000-8000-{:04x}{:08x}", self.number, self.sent),
            "event_type": event_type,
            "time": format!("2026-01-{:02}T12:00:00Z", 1 + self.random.below(31)),
            "data": { "amount": 1 + self.random.below(500) },
        })
    }
}

/// The place of an event that a client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub position: u64,
    pub version: u64,
}

/// What all clients sent and were told, from the first daemon on.
#[derive(Default)]
pub struct Told {
    /// Every event that was ever sent, with its stream, by its id.
    pub sent: HashMap<String, (String, Value)>,
    /// The places of the events that were acknowledged.
    pub places: HashMap<String, Place>,
    /// The events that were refused, so that they must never be in the log.
    pub refused: HashSet<String>,
    pub unanswered: u64,
}

impl Told {
    /// Takes note, and holds the daemon to what it said before.
    pub fn note(&mut self, report: &Report) {
        let Report { append, answer } = report;
        for (id, event) in append.ids().zip(&append.events) {
            self.sent.entry(id.to_owned()).or_insert_with(|| (append.stream.clone(), event.clone()));
        }
        match answer {
            None => self.unanswered += 1,
            Some(answer) if answer.status == 409 => {
                assert_eq!(answer.json()["code"], "wrong_expected_version", "{}", answer.text());
                self.refused.extend(append.ids().map(str::to_owned));
            }
            Some(answer) => {
                assert!([200, 201].contains(&answer.status), "{append:?}: {} {}", answer.status, answer.text());
                self.note_places(append, &answer.json());
            }
        }
    }

    fn note_places(&mut self, append: &Append, appended: &Value) {
        let number = |field: &str| appended[field].as_u64().expect("an append answers its place");
        let (first, mut position, mut version) = (number("first_position"), number("last_position"), number("version"));
        assert_eq!(position + 1 - first, append.events.len() as u64, "{append:?}: {appended}");
        for id in append.ids().rev() {
            let place = Place { position, version };
            let before = self.places.insert(id.to_owned(), place);
            assert!(before.is_none_or(|before| before == place), "{id} was at {before:?} and is at {place:?}");
            (position, version) = (position - 1, version - 1);
        }
    }
}

//! All interleavings of up to four commands that come at the same time, each of which reads a stream and then appends what
//! it decided: with the resolver of `plugins/seat-reservation`, every outcome equals that of some serial order.
//!
//! Uses the library `lantern`: thousands of cases through HTTP would take minutes.

use std::sync::Arc;
use std::thread;

use lantern::code::Registry;
use lantern::conflict::{ConflictResolution, ConflictResolverCode, ResolutionOptions};
use lantern::event::{ExpectedVersion, JSON, NewEvent, StreamName, StreamVersion, Timestamp};
use lantern::event_store::{AppendError, AppendRequest, Direction, EventStore, EventStoreOptions};
use lantern::plugin::{CompilerProcess, LoadedCode, PluginHost, PluginOptions};
use lantern_tests::build_plugins;
use serde_json::{Value, json};
use uuid::Uuid;

/// Cases that run at once: their appends then share commits.
const LANES: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Command {
    Reserve(u64),
    /// Gives back seats that were reserved before.
    Cancel(u64),
}

/// What became of a command, with the version of the stream that says so.
#[derive(Clone, Debug, PartialEq)]
enum Outcome {
    Done(u64),
    /// It saw too few seats, and did not ask.
    Declined(u64),
    Rejected(u64),
}

impl Command {
    fn event_type(self) -> &'static str {
        match self {
            Self::Reserve(_) => "SeatsReserved",
            Self::Cancel(_) => "ReservationCancelled",
        }
    }

    fn seats(self) -> u64 {
        let (Self::Reserve(seats) | Self::Cancel(seats)) = self;
        seats
    }

    /// The seats that are left after it; `None` when there are too few.
    fn after(self, left: u64) -> Option<u64> {
        match self {
            Self::Reserve(seats) => left.checked_sub(seats),
            Self::Cancel(seats) => Some(left + seats),
        }
    }
}

/// Every order of two steps of each of `commands` commands: each number stands twice, first for its read, then for its append.
fn interleavings(commands: usize) -> Vec<Vec<usize>> {
    fn go(steps: &mut Vec<usize>, taken: &mut [u8], all: &mut Vec<Vec<usize>>) {
        if taken.iter().all(|steps| *steps == 2) {
            all.push(steps.clone());
        }
        for command in 0..taken.len() {
            if taken[command] < 2 {
                taken[command] += 1;
                steps.push(command);
                go(steps, taken, all);
                steps.pop();
                taken[command] -= 1;
            }
        }
    }
    let mut all = Vec::new();
    go(&mut Vec::new(), &mut vec![0; commands], &mut all);
    all
}

struct Fixture {
    events: EventStore,
    appends: ConflictResolution,
    _folder: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let events = EventStore::open(&folder.path().join("events.db"), EventStoreOptions::default()).expect("opens");
        let resolvers: Registry<dyn ConflictResolverCode> = Registry::default();
        let options = PluginOptions {
            compiler: CompilerProcess::InProcess,
            // The machine may be busy.
            resolve_ms: 60_000,
            ..PluginOptions::new(folder.path().join("compiled"))
        };
        let file = build_plugins(&["seat-reservation"]).remove(0);
        let bytes = std::fs::read(file).expect("the plugin can be read");
        let loaded = PluginHost::new(options).expect("starts").load("seats.wasm", &bytes).expect("loads");
        let LoadedCode::ConflictResolver(code) = loaded.code else { panic!("it is a conflict resolver") };
        resolvers.install("seats.wasm", Arc::clone(&code)).expect("installs");
        let appends = ConflictResolution::new(events.clone(), resolvers, ResolutionOptions::default());
        Self { events, appends, _folder: folder }
    }

    fn append(&self, stream: &StreamName, seen: u64, event_type: &str, data: Value) -> Result<u64, AppendError> {
        let event = NewEvent {
            id: Uuid::now_v7(),
            event_type: event_type.to_owned(),
            schema_version: 1,
            time: Timestamp(0),
            content_type: JSON.to_owned(),
            data: data.to_string().into_bytes(),
            metadata: "{}".to_owned(),
        };
        let expected = ExpectedVersion::Exact(StreamVersion(seen));
        let request = AppendRequest { stream: stream.clone(), expected, events: vec![event] };
        self.appends.append_blocking(request).map(|appended| appended.last_version.0)
    }

    /// The type, the seats and the seats left of each event.
    fn read(&self, stream: &StreamName) -> Vec<(String, u64, u64)> {
        let page = self.events.read_stream(stream, None, Direction::Forwards, 100).expect("reads");
        let event = |event: &lantern::event::RecordedEvent| {
            let data: Value = serde_json::from_slice(&event.data).expect("JSON");
            let number = |field: &str| data[field].as_u64().expect("a number that is not negative");
            (event.event_type.clone(), number("seats"), number("left"))
        };
        page.events.iter().map(event).collect()
    }

    /// Runs the steps in this order, and answers what became of each command.
    fn run(&self, stream: &StreamName, commands: &[Command], steps: &[usize]) -> Vec<Outcome> {
        let mut seen: Vec<Option<(u64, u64)>> = vec![None; commands.len()];
        let mut outcomes = vec![None; commands.len()];
        for &place in steps {
            let command = commands[place];
            let Some((version, left)) = seen[place] else {
                let events = self.read(stream);
                seen[place] = Some((events.len() as u64, events.last().expect("seats were offered").2));
                continue;
            };
            outcomes[place] = Some(match command.after(left) {
                None => Outcome::Declined(version),
                Some(left) => {
                    let data = json!({ "seats": command.seats(), "left": left });
                    match self.append(stream, version, command.event_type(), data) {
                        Ok(version) => Outcome::Done(version),
                        Err(AppendError::WrongExpectedVersion { actual, rejection: Some(rejection), .. }) => {
                            assert!(rejection.reason.contains("sold out"), "{}", rejection.reason);
                            Outcome::Rejected(actual.0)
                        }
                        Err(other) => panic!("{other}"),
                    }
                }
            });
        }
        outcomes.into_iter().map(|outcome| outcome.expect("each command has two steps")).collect()
    }

    fn check(&self, number: usize, offered: u64, (commands, steps): (&[Command], &[usize])) {
        let stream: StreamName = format!("seats-{}-{number}-{offered}", commands.len()).parse().expect("a name");
        self.append(&stream, 0, "SeatsOffered", json!({ "seats": offered, "left": offered })).expect("offered");
        let outcomes = self.run(&stream, commands, steps);
        let events = self.read(&stream);
        let case = format!("{offered} seats, {commands:?} in the order {steps:?}: {outcomes:?}\n{events:?}");
        // The order of the log is the serial order: each event follows from the one before it.
        let mut done: Vec<(u64, Command)> = Vec::new();
        for (outcome, command) in outcomes.iter().zip(commands) {
            match outcome {
                Outcome::Done(version) => done.push((*version, *command)),
                // At this place of the order it is refused.
                Outcome::Declined(version) | Outcome::Rejected(version) => {
                    let (_, _, left) = events[*version as usize - 1];
                    assert_eq!(command.after(left), None, "refused with {left} seats left: {case}");
                }
            }
        }
        done.sort_by_key(|(version, _)| *version);
        assert_eq!(events.len(), 1 + done.len(), "an event too many, or lost: {case}");
        let mut left = offered;
        for ((version, command), (place, event)) in done.into_iter().zip((2..).zip(&events[1..])) {
            left = command.after(left).unwrap_or_else(|| panic!("oversold: {case}"));
            assert_eq!((version, event), (place, &(command.event_type().to_owned(), command.seats(), left)), "{case}");
        }
    }
}

#[test]
fn every_interleaving_of_up_to_four_commands_equals_a_serial_order() {
    use Command::{Cancel, Reserve};
    let fixture = Fixture::new();
    let commands = [Reserve(2), Reserve(3), Cancel(1), Reserve(1)];
    let mut cases = Vec::new();
    for (count, offers) in [(2, 1..=5), (3, 1..=5), (4, 4..=4)] {
        for steps in interleavings(count) {
            cases.extend(offers.clone().map(|offered| (offered, count, steps.clone())));
        }
    }
    assert_eq!(cases.len(), 6 * 5 + 90 * 5 + 2520);
    thread::scope(|scope| {
        for lane in 0..LANES {
            let (fixture, cases) = (&fixture, &cases);
            scope.spawn(move || {
                for (number, (offered, count, steps)) in cases.iter().enumerate().skip(lane).step_by(LANES) {
                    fixture.check(number, *offered, (&commands[..*count], steps));
                }
            });
        }
    });
    let decided = fixture.events.conflicts(&lantern::event_store::ConflictQuery { limit: 1, ..Default::default() });
    assert_eq!(decided.expect("reads").len(), 1, "there were conflicts");
}

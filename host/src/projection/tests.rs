//! Projections driven by plain Rust code in place of a plugin: no WebAssembly, no network.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::event::{EventRef, ExpectedVersion, JSON, NewEvent, Position, Timestamp};
use crate::event_store::{AppendRequest, EventStore, EventStoreOptions};
use crate::read_model::{Column, ColumnType, DeadLetterKind, Index, ReadModelFile, Table, Value};

mod commits;
mod control;
mod faults;
mod simulation;
mod upcasting;

type Verdict = fn(&EventRef<'_>) -> Result<(), ApplyFailure>;

/// Counts the events of each stream, and fails where `verdict` says so.
#[derive(Clone)]
struct Counting {
    description: Description,
    digest: ComponentDigest,
    verdict: Verdict,
    metered: Verdict,
}

struct CountingInstance(Verdict);

fn fine(_: &EventRef<'_>) -> Result<(), ApplyFailure> {
    Ok(())
}

fn traps_on_poison(event: &EventRef<'_>) -> Result<(), ApplyFailure> {
    if event.kind.event_type == "Poison" {
        Err(ApplyFailure::Call(CallFailure::Trapped("it is poison".into())))
    } else {
        Ok(())
    }
}

impl Counting {
    fn new(digest: &str, verdict: Verdict) -> Self {
        let column = |name: &str, column_type| Column { name: name.into(), column_type, nullable: false };
        let table = Table {
            name: "streams".into(),
            columns: vec![column("stream", ColumnType::Text), column("events", ColumnType::Integer)],
            primary_key: vec!["stream".into()],
            indexes: vec![],
        };
        let description = Description {
            name: "counting".parse().expect("a name"),
            read_model_version: 1,
            interests: [Interest::everything()].into(),
            schema: Schema::new(vec![table]).expect("sound"),
        };
        Self { description, digest: ComponentDigest(digest.into()), verdict, metered: verdict }
    }

    fn version(mut self, read_model_version: u32) -> Self {
        self.description.read_model_version = read_model_version;
        self
    }

    fn code(&self) -> Arc<dyn ProjectionCode> {
        Arc::new(self.clone())
    }
}

impl ProjectionCode for Counting {
    fn description(&self) -> &Description {
        &self.description
    }

    fn digest(&self) -> &ComponentDigest {
        &self.digest
    }

    fn instantiate(&self) -> Result<Box<dyn Projection>, ApplyFailure> {
        Ok(Box::new(CountingInstance(self.verdict)))
    }

    fn instantiate_metered(&self) -> Result<Box<dyn Projection>, ApplyFailure> {
        Ok(Box::new(CountingInstance(self.metered)))
    }
}

impl Projection for CountingInstance {
    fn apply(&mut self, batch: &EventBatch, draft: &mut ReadModelDraft) -> Result<Pending, ApplyFailure> {
        for event in batch.iter() {
            (self.0)(&event)?;
            let stream = Value::Text(event.stream.to_owned());
            let events = match draft.get("streams", std::slice::from_ref(&stream))?.as_deref() {
                Some([_, Value::Integer(events)]) => *events,
                _ => 0,
            };
            draft.put("streams", vec![stream, Value::Integer(events + 1)])?;
        }
        Ok(Pending::default())
    }

    fn flush(&mut self, _: &mut ReadModelDraft) -> Result<(), ApplyFailure> {
        Ok(())
    }
}

/// A log in a folder of its own.
struct Log {
    folder: TempDir,
    events: EventStore,
}

impl Log {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let events = EventStore::open(&folder.path().join("events.db"), EventStoreOptions::default()).expect("opens");
        Self { folder, events }
    }

    fn append(&self, stream: &str, event_type: &str) {
        self.append_data(stream, event_type, "{}");
    }

    fn append_data(&self, stream: &str, event_type: &str, data: &str) {
        let event = NewEvent {
            id: Uuid::now_v7(),
            event_type: event_type.into(),
            schema_version: 1,
            time: Timestamp(0),
            content_type: JSON.into(),
            data: data.as_bytes().to_vec(),
            metadata: "{}".into(),
        };
        let stream = stream.parse().expect("a stream name");
        let request = AppendRequest { stream, expected: ExpectedVersion::Any, events: vec![event] };
        self.events.append(request).expect("appends");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn runner(&self, name: &str, code: &Counting, options: RunnerOptions) -> Runner {
        Runner::open(&self.events, code.code(), &self.path(name), options).expect("opens")
    }

    fn projections(&self, known: &[&Counting]) -> Projections {
        let known: BTreeMap<String, Arc<dyn ProjectionCode>> =
            known.iter().map(|code| (code.digest.0.clone(), code.code())).collect();
        let load = move |digest: &ComponentDigest| known.get(&digest.0).cloned().ok_or("it is unknown".to_owned());
        let options = WorkerOptions { retry_wait: Duration::from_millis(1), ..WorkerOptions::default() };
        Projections::open(self.events.clone(), self.folder.path(), options, Box::new(load)).expect("opens")
    }
}

fn run(runner: &mut Runner) -> Vec<Step> {
    let mut steps = Vec::new();
    loop {
        match runner.step().expect("goes on") {
            Step::CaughtUp => return steps,
            step => steps.push(step),
        }
    }
}

fn run_to_halt(runner: &mut Runner) -> Halt {
    loop {
        match runner.step() {
            Ok(step) => assert_ne!(step, Step::CaughtUp),
            Err(halt) => return halt,
        }
    }
}

fn rows(path: &Path) -> BTreeMap<String, i64> {
    let connection = crate::sqlite::open_read_only(path).expect("opens");
    let mut statement = connection.prepare("SELECT stream, events FROM streams").expect("prepares");
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("queries");
    rows.collect::<Result<_, _>>().expect("reads")
}

fn expected(rows: &[(&str, i64)]) -> BTreeMap<String, i64> {
    rows.iter().map(|(stream, events)| ((*stream).to_owned(), *events)).collect()
}

fn letters(log: &Log, name: &str) -> Vec<(u64, DeadLetterKind)> {
    let file = ReadModelFile::open(&log.path(name)).expect("opens");
    let letters = file.dead_letters(Position(0), 100).expect("reads");
    letters.into_iter().map(|letter| (letter.position.0, letter.kind)).collect()
}

#[test]
fn a_runner_goes_on_from_its_checkpoint_after_a_restart() {
    let log = Log::new();
    let code = Counting::new("a", fine);
    log.append("order-1", "Placed");
    log.append("order-2", "Placed");
    run(&mut log.runner("m.db", &code, RunnerOptions::default()));
    log.append("order-1", "Paid");
    let mut runner = log.runner("m.db", &code, RunnerOptions::default());
    assert_eq!(runner.read_to(), Position(2));
    run(&mut runner);
    assert_eq!(rows(&log.path("m.db")), expected(&[("order-1", 2), ("order-2", 1)]));
    assert_eq!(runner.visible_to(), Position(3));
}

#[test]
fn a_poison_event_parks_the_rest_of_its_stream_and_nothing_else() {
    let log = Log::new();
    for n in 0..50 {
        log.append(&format!("order-{}", n % 5), if n == 21 { "Poison" } else { "Placed" });
    }
    let mut runner = log.runner("m.db", &Counting::new("a", traps_on_poison), RunnerOptions::default());
    let steps = run(&mut runner);
    assert!(steps.contains(&Step::Parked(Position(22))), "{steps:?}");
    let streams = [("order-0", 10), ("order-1", 4), ("order-2", 10), ("order-3", 10), ("order-4", 10)];
    assert_eq!(rows(&log.path("m.db")), expected(&streams));
    let waiting = [27, 32, 37, 42, 47].map(|position| (position, DeadLetterKind::Waiting));
    assert_eq!(letters(&log, "m.db"), [vec![(22, DeadLetterKind::Failed)], waiting.to_vec()].concat());
}

#[test]
fn fixed_code_applies_the_parked_events_in_order_and_equals_a_clean_replay() {
    let log = Log::new();
    for n in 0..30 {
        log.append(&format!("order-{}", n % 3), if n % 7 == 3 { "Poison" } else { "Placed" });
    }
    let mut runner = log.runner("m.db", &Counting::new("broken", traps_on_poison), RunnerOptions::default());
    run(&mut runner);
    let fixed = Counting::new("fixed", fine);
    runner.replace_code(fixed.code()).expect("replaces");
    for stream in runner.streams_to_redrive().expect("reads") {
        assert!(runner.redrive(&stream).expect("applies"));
    }
    run(&mut log.runner("clean.db", &fixed, RunnerOptions::default()));
    assert_eq!(rows(&log.path("m.db")), rows(&log.path("clean.db")));
    assert_eq!(letters(&log, "m.db"), []);
}

#[test]
fn a_parked_event_that_fails_again_stays_first_and_counts_its_attempts() {
    let log = Log::new();
    log.append("order-1", "Poison");
    log.append("order-1", "Placed");
    let mut runner = log.runner("m.db", &Counting::new("a", traps_on_poison), RunnerOptions::default());
    run(&mut runner);
    assert!(!runner.redrive("order-1").expect("tries"));
    let file = ReadModelFile::open(&log.path("m.db")).expect("opens");
    let first = &file.dead_letters(Position(0), 1).expect("reads")[0];
    assert_eq!((first.attempts, first.kind), (2, DeadLetterKind::Failed));
    assert!(first.reason.as_deref().is_some_and(|reason| reason.contains("it is poison")));
    assert!(runner.discard(Position(1)).expect("discards").is_some());
    assert!(runner.redrive("order-1").expect("applies"));
    assert_eq!(rows(&log.path("m.db")), expected(&[("order-1", 1)]));
    assert_eq!(runner.discard(Position(2)).expect("reads"), None);
}

#[test]
fn retries_that_fail_are_not_taken_for_ends_of_the_daemon() {
    let log = Log::new();
    let code = Counting::new("a", traps_on_poison);
    log.append("order-1", "Poison");
    let mut runner = log.runner("m.db", &code, RunnerOptions::default());
    run(&mut runner);
    for _ in 0..10 {
        assert!(!runner.redrive("order-1").expect("tries"));
    }
    drop(runner);
    log.append("order-2", "Placed");
    run(&mut log.runner("m.db", &code, RunnerOptions::default()));
    assert_eq!(rows(&log.path("m.db")), expected(&[("order-2", 1)]));
}

#[test]
fn the_wall_clock_gives_no_verdict_but_fuel_does() {
    let log = Log::new();
    log.append("order-1", "Placed");
    let mut slow = Counting::new("slow", |_| Err(ApplyFailure::Call(CallFailure::Interrupted("10 s are over".into()))));
    slow.metered = fine;
    run(&mut log.runner("slow.db", &slow, RunnerOptions::default()));
    assert_eq!(rows(&log.path("slow.db")), expected(&[("order-1", 1)]));
    slow.metered = |_| Err(ApplyFailure::Call(CallFailure::OutOfFuel("limit".into())));
    run(&mut log.runner("endless.db", &slow, RunnerOptions::default()));
    assert_eq!(letters(&log, "endless.db"), [(1, DeadLetterKind::Failed)]);
}

#[test]
fn an_event_that_ends_the_daemon_every_time_is_parked_in_the_end() {
    let log = Log::new();
    log.append("order-1", "Placed");
    log.append("order-2", "Deadly");
    log.append("order-3", "Placed");
    let code = Counting::new("a", |event| {
        assert_ne!(event.kind.event_type, "Deadly", "the process dies here");
        Ok(())
    });
    let mut restarts = 0;
    loop {
        let mut runner = log.runner("m.db", &code, RunnerOptions::default());
        // Dropped in the middle of a step, as by kill -9: nothing but the file is left.
        if catch_unwind(AssertUnwindSafe(|| run(&mut runner))).is_ok() {
            break;
        }
        restarts += 1;
        assert!(restarts < 20, "it would go on for ever");
    }
    assert_eq!(letters(&log, "m.db"), [(2, DeadLetterKind::Failed)]);
    assert_eq!(rows(&log.path("m.db")), expected(&[("order-1", 1), ("order-3", 1)]));
}

#[test]
fn an_event_that_ends_the_daemon_when_it_is_tried_again_accuses_no_other() {
    let log = Log::new();
    log.append("order-1", "Poison");
    let mut runner = log.runner("m.db", &Counting::new("a", traps_on_poison), RunnerOptions::default());
    run(&mut runner);
    drop(runner);
    let deadly = Counting::new("a", |event| {
        assert_ne!(event.kind.event_type, "Poison", "the process dies here");
        Ok(())
    });
    for _ in 0..2 * RunnerOptions::default().unfinished_runs {
        let mut runner = log.runner("m.db", &deadly, RunnerOptions::default());
        run(&mut runner);
        assert!(catch_unwind(AssertUnwindSafe(|| runner.redrive("order-1"))).is_err());
    }
    log.append("order-2", "Placed");
    run(&mut log.runner("m.db", &deadly, RunnerOptions::default()));
    assert_eq!(letters(&log, "m.db"), [(1, DeadLetterKind::Failed)]);
    assert_eq!(rows(&log.path("m.db")), expected(&[("order-2", 1)]));
}

#[test]
fn too_many_dead_letters_stop_the_projection() {
    let log = Log::new();
    for _ in 0..5 {
        log.append("order-1", "Poison");
    }
    let options = RunnerOptions { max_dead_letters: 3, ..RunnerOptions::default() };
    let mut runner = log.runner("m.db", &Counting::new("a", traps_on_poison), options);
    let halt = run_to_halt(&mut runner);
    assert_eq!(halt.disposition, Disposition::Stop);
    assert!(halt.reason.contains("3 dead letters"), "{}", halt.reason);
}

#[test]
fn a_read_model_of_another_log_or_ahead_of_the_log_is_to_be_rebuilt() {
    let log = Log::new();
    let code = Counting::new("a", fine);
    log.append("order-1", "Placed");
    let older = log.path("older.db");
    let events = rusqlite::Connection::open(log.path("events.db")).expect("opens");
    events.execute("VACUUM INTO ?", [older.to_str()]).expect("copies");
    log.append("order-1", "Paid");
    run(&mut log.runner("m.db", &code, RunnerOptions::default()));
    let open = |events: &EventStore| {
        let opened = Runner::open(events, code.code(), &log.path("m.db"), RunnerOptions::default());
        opened.err().map(|failure| (failure.disposition(), failure.to_string()))
    };
    let (disposition, reason) = open(&Log::new().events).expect("refused");
    assert_eq!(disposition, Disposition::Rebuild, "{reason}");
    let restored = EventStore::open(&older, EventStoreOptions::default()).expect("opens");
    let (disposition, reason) = open(&restored).expect("refused");
    assert_eq!(disposition, Disposition::Rebuild, "{reason}");
    assert!(reason.contains("restored from an older copy"), "{reason}");
}

//! Aggregates over a real log, with plain Rust code in the place of a plugin.
#![expect(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;
use uuid::Uuid;

use super::command::recorded;
use super::fold::Folding;
use super::*;
use crate::code::{ComponentDigest, Registry};
use crate::conflict::{ConflictResolution, ConflictResolverCode, ResolutionOptions};
use crate::event::{ExpectedVersion, JSON, NewEvent, StreamName};
use crate::event_store::{AppendRequest, EventStore, EventStoreOptions};
use crate::upcast::UpcasterRegistry;

mod commands;
mod folding;
mod others;

/// A log, the aggregates of category `tally`, and a folder for both.
struct Fixture {
    events: EventStore,
    aggregates: Aggregates,
    code: Arc<Tally>,
    others: Others,
    folder: TempDir,
}

/// The plugins besides.
#[derive(Clone, Default)]
struct Others {
    resolvers: Registry<dyn ConflictResolverCode>,
    upcasters: UpcasterRegistry,
}

/// Folds every event into a state that shows its place and its data: none may be left out, doubled or moved.
struct Tally {
    description: AggregateDescription,
    digest: ComponentDigest,
    evolved: Arc<AtomicU64>,
    events: EventStore,
}

impl Fixture {
    fn new() -> Self {
        Self::with(AggregateOptions::default())
    }

    fn with(options: AggregateOptions) -> Self {
        Self::inside(tempfile::tempdir().unwrap(), options)
    }

    fn inside(folder: TempDir, options: AggregateOptions) -> Self {
        let events = EventStore::open(&folder.path().join("events.db"), EventStoreOptions::default()).unwrap();
        let others = Others::default();
        let (aggregates, code) = opened(&folder, (&events, &others), options, "first");
        Self { events, aggregates, code, others, folder }
    }

    /// As after a restart, with other code or other settings.
    fn reopened(&mut self, options: AggregateOptions, digest: &str) {
        self.aggregates.close();
        (self.aggregates, self.code) = opened(&self.folder, (&self.events, &self.others), options, digest);
    }

    fn append(&self, stream: &str, events: impl IntoIterator<Item = NewEvent>) {
        append(&self.events, stream, events);
    }

    fn load(&self, stream: &str, as_of: AsOf) -> Result<Option<Folded>, AggregateError> {
        let stream = stream.parse().unwrap();
        Folding::new(&self.aggregates.inner, &*self.code, &stream).load(as_of)
    }

    fn state(&self, stream: &str, as_of: AsOf) -> String {
        self.load(stream, as_of).unwrap().map_or_else(|| "none".into(), |folded| folded.state)
    }

    /// Loads, and answers how many events that took.
    fn evolved_by(&self, load: impl FnOnce(&Self)) -> u64 {
        let before = self.code.evolved.load(Ordering::Relaxed);
        load(self);
        self.code.evolved.load(Ordering::Relaxed) - before
    }

    /// Waits until no snapshot waits to be written.
    fn written(&mut self) {
        self.reopened(self.aggregates.inner.options.clone(), &self.code.digest.0.clone());
    }

    fn handle(&self, stream: &str, command: &Command) -> Result<Handled, AggregateError> {
        self.aggregates.inner.handle(&stream.parse().unwrap(), command)
    }
}

fn opened(
    folder: &TempDir,
    (events, others): (&EventStore, &Others),
    options: AggregateOptions,
    digest: &str,
) -> (Aggregates, Arc<Tally>) {
    let code = Arc::new(Tally {
        description: AggregateDescription {
            name: "tally".parse().unwrap(),
            category: "tally".into(),
            state_schema_version: 1,
        },
        digest: ComponentDigest(digest.into()),
        evolved: Arc::default(),
        events: events.clone(),
    });
    let registry: Registry<dyn AggregateCode> = Registry::default();
    registry.install("tally.wasm", code.clone()).unwrap();
    let conflicts = ConflictResolution::new(events.clone(), others.resolvers.clone(), ResolutionOptions::default());
    let path = folder.path().join("snapshots.db");
    (Aggregates::open(&path, (events.clone(), conflicts), (registry, others.upcasters.clone()), options).unwrap(), code)
}

fn append(events: &EventStore, stream: &str, new: impl IntoIterator<Item = NewEvent>) {
    let stream: StreamName = stream.parse().unwrap();
    let new: Vec<_> = new.into_iter().collect();
    for events_of_one in new.chunks(1000) {
        let request =
            AppendRequest { stream: stream.clone(), expected: ExpectedVersion::Any, events: events_of_one.to_vec() };
        events.append(request).unwrap();
    }
}

fn event(data: u64, time: i64) -> NewEvent {
    NewEvent {
        id: Uuid::now_v7(),
        event_type: "Added".into(),
        schema_version: 1,
        time: Timestamp(time),
        content_type: JSON.into(),
        data: data.to_string().into_bytes(),
        metadata: "{}".into(),
    }
}

fn command(id: u128, command_type: &str) -> Command {
    let (data, metadata) = ("{}".to_owned(), r#"{"user":1.50}"#.to_owned());
    Command { id: Uuid::from_u128(id), command_type: command_type.into(), data, metadata, time: Timestamp(0) }
}

impl PluginCode for Tally {
    fn name(&self) -> &PluginName {
        &self.description.name
    }

    fn digest(&self) -> &ComponentDigest {
        &self.digest
    }

    fn claims(&self) -> Vec<String> {
        Vec::new()
    }
}

impl AggregateCode for Tally {
    fn description(&self) -> &AggregateDescription {
        &self.description
    }

    fn instantiate(&self) -> Result<Box<dyn Aggregate>, CallFailure> {
        Ok(Box::new(TallyInstance { evolved: Arc::clone(&self.evolved), events: self.events.clone(), raced: false }))
    }
}

struct TallyInstance {
    evolved: Arc<AtomicU64>,
    events: EventStore,
    raced: bool,
}

/// A state is `[events, chain]`.
fn numbers(state: Option<&str>) -> [u64; 2] {
    state.map_or([0, 0], |state| serde_json::from_str(state).unwrap())
}

/// The chain after one more event, which depends on all before it.
fn chained(chain: u64, data: u64) -> u64 {
    chain.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(data + 1).rotate_left(17)
}

impl Aggregate for TallyInstance {
    fn evolve(&mut self, state: Option<&str>, events: &EventBatch) -> Result<String, CallFailure> {
        let [mut count, mut chain] = numbers(state);
        for event in events.iter() {
            assert_eq!(event.version.0, count + 1, "an event is missing, or comes twice");
            count += 1;
            match event.kind.event_type.as_str() {
                "Poison" => return Err(CallFailure::Rejected("it is poison".into())),
                "Torn" => return Ok("[1, 2".into()),
                "Huge" => return Ok(format!("{:?}", "x".repeat(2 << 20))),
                _ => {}
            }
            chain = chained(chain, serde_json::from_slice(event.data).unwrap_or(7));
        }
        self.evolved.fetch_add(events.len() as u64, Ordering::Relaxed);
        Ok(format!("[{count},{chain}]"))
    }

    fn handle(&mut self, state: Option<&str>, command: &Command) -> Result<Decision, CallFailure> {
        let [count, _] = numbers(state);
        let decided = |event_type: &str, metadata: &str| DecidedEvent {
            event_type: event_type.into(),
            schema_version: 1,
            content_type: JSON.into(),
            data: count.to_string().into_bytes(),
            metadata: metadata.into(),
        };
        let one = |event_type| Ok(Decision::Append(vec![decided(event_type, &command.metadata)]));
        match command.command_type.as_str() {
            "Add" => one("Added"),
            "AddTwo" => Ok(Decision::Append(vec![decided("Added", &command.metadata), decided("Added", "{}")])),
            "AddFirst" if count > 0 => Ok(Decision::Reject("it is not the first".into())),
            "AddFirst" => one("Added"),
            "Nothing" => Ok(Decision::Append(Vec::new())),
            // Another thread handles the same command at this very moment.
            "RefusedMeanwhile" => {
                let stream = "tally-1".parse().unwrap();
                let events = recorded(&stream, command, vec![decided("Added", "{}")])?;
                append(&self.events, "tally-1", events);
                Ok(Decision::Reject("it was handled".into()))
            }
            "Race" | "LoseEveryRace" => {
                if command.command_type == "LoseEveryRace" || !std::mem::replace(&mut self.raced, true) {
                    append(&self.events, "tally-1", [event(0, 0)]);
                }
                one("Added")
            }
            "Nameless" => one(""),
            "Listed" => Ok(Decision::Append(vec![decided("Added", "[]")])),
            "Trap" => Err(CallFailure::Trapped("unreachable".into())),
            other => panic!("{other}"),
        }
    }
}

//! Aggregates together with conflict resolvers and upcasters.

use serde_json::Value;

use super::*;
use crate::conflict::{Conflict, ConflictResolver, Resolution, ResolverDescription};
use crate::event::{Position, StreamVersion};
use crate::event_store::{AppendError, Direction};
use crate::upcast::{EventShape, UpcastEvent, Upcaster, UpcasterCode, UpcasterDescription, UpcasterSource};

/// Decides every conflict of the category in one way.
struct Judge(ResolverDescription, ComponentDigest, Resolution);

impl PluginCode for Judge {
    fn name(&self) -> &PluginName {
        &self.0.name
    }

    fn digest(&self) -> &ComponentDigest {
        &self.1
    }

    fn claims(&self) -> Vec<String> {
        Vec::new()
    }
}

impl ConflictResolverCode for Judge {
    fn description(&self) -> &ResolverDescription {
        &self.0
    }

    fn instantiate(&self) -> Result<Box<dyn ConflictResolver>, CallFailure> {
        Ok(Box::new(Judgement(self.2.clone())))
    }
}

struct Judgement(Resolution);

impl ConflictResolver for Judgement {
    fn resolve(&mut self, _: &Conflict) -> Result<Resolution, CallFailure> {
        Ok(self.0.clone())
    }
}

fn judged(resolution: Resolution) -> Fixture {
    let fixture = Fixture::new();
    let description = ResolverDescription { name: "judge".parse().unwrap(), categories: vec!["tally".into()] };
    let judge = Judge(description, ComponentDigest("judge".into()), resolution);
    fixture.others.resolvers.install("judge.wasm", Arc::new(judge)).unwrap();
    fixture
}

fn newest(fixture: &Fixture, events: usize) -> Vec<(String, Value)> {
    let page = fixture.events.read_stream(&"tally-1".parse().unwrap(), None, Direction::Backwards, events).unwrap();
    let told = |event: &crate::event::RecordedEvent| {
        (event.event_type.clone(), serde_json::from_str(&event.metadata).expect("metadata"))
    };
    page.events.iter().map(told).collect()
}

#[test]
fn where_a_resolver_accepts_the_command_is_not_decided_again() {
    let fixture = judged(Resolution::Accept);
    let handled = fixture.handle("tally-1", &command(1, "Race")).unwrap();
    assert_eq!((handled.version, handled.positions), (StreamVersion(2), Some((Position(2), Position(2)))));
    let (_, metadata) = newest(&fixture, 1).remove(0);
    assert!(metadata["lantern.command"]["id"].is_string() && metadata["lantern.conflict"].is_string(), "{metadata}");
    let again = fixture.handle("tally-1", &command(1, "Race")).unwrap();
    assert_eq!(again, Handled { appended: false, ..handled });
}

#[test]
fn where_a_resolver_rewrites_the_same_command_again_gives_that_result() {
    let rewritten = NewEvent { id: Uuid::nil(), event_type: "Rewritten".into(), ..event(3, 0) };
    let fixture = judged(Resolution::Rewrite(vec![rewritten.clone(), rewritten]));
    let handled = fixture.handle("tally-1", &command(1, "Race")).unwrap();
    let positions = Some((Position(2), Position(3)));
    assert_eq!(handled, Handled { positions, version: StreamVersion(3), appended: true });
    assert!(newest(&fixture, 2).iter().all(|(event_type, _)| event_type == "Rewritten"));
    fixture.append("tally-1", [event(0, 0)]);
    assert_eq!(fixture.handle("tally-1", &command(1, "Race")).unwrap(), Handled { appended: false, ..handled });
    let other = Command { data: "[]".into(), ..command(1, "Race") };
    let refusal = fixture.handle("tally-1", &other).unwrap_err();
    assert!(matches!(refusal, AggregateError::CommandIdReused { .. }), "{refusal}");
    assert_eq!(fixture.events.head(), Position(4));
}

#[test]
fn where_a_resolver_rejects_the_command_is_refused_with_its_reason() {
    let fixture = judged(Resolution::Reject("not today".into()));
    let refusal = fixture.handle("tally-1", &command(1, "Race")).unwrap_err();
    assert!(refusal.to_string().contains("not today"), "{refusal}");
    assert!(matches!(refusal, AggregateError::Append(AppendError::WrongExpectedVersion { rejection: Some(_), .. })));
    assert_eq!(fixture.events.head(), Position(1));
}

/// Makes `Added` of the second shape out of `Added` of the first, one more than it was.
struct OneMore(UpcasterDescription, ComponentDigest);

impl PluginCode for OneMore {
    fn name(&self) -> &PluginName {
        &self.0.name
    }

    fn digest(&self) -> &ComponentDigest {
        &self.1
    }

    fn claims(&self) -> Vec<String> {
        Vec::new()
    }
}

impl UpcasterCode for OneMore {
    fn description(&self) -> &UpcasterDescription {
        &self.0
    }

    fn instantiate(&self) -> Result<Box<dyn Upcaster>, CallFailure> {
        Ok(Box::new(Adding))
    }

    fn instantiate_metered(&self) -> Result<Box<dyn Upcaster>, CallFailure> {
        self.instantiate()
    }
}

struct Adding;

impl Upcaster for Adding {
    fn upcast(&mut self, events: &EventBatch) -> Result<Vec<Vec<UpcastEvent>>, CallFailure> {
        let more = |event: crate::event::EventRef<'_>| {
            let data: u64 = serde_json::from_slice(event.data).expect("a number");
            let data = (data + 1).to_string().into_bytes();
            vec![UpcastEvent { schema_version: 2, data, ..UpcastEvent::of(&event) }]
        };
        Ok(events.iter().map(more).collect())
    }
}

#[test]
fn events_are_folded_in_their_newest_shapes_and_snapshots_belong_to_the_upcasters_of_then() {
    let snapshots = SnapshotOptions { every_events: 1, ..SnapshotOptions::default() };
    let mut fixture = Fixture::with(AggregateOptions { snapshots, ..AggregateOptions::default() });
    fixture.append("tally-1", (0..5).map(|n| event(n, 0)));
    let expected = |data: [u64; 5]| format!("[5,{}]", data.iter().fold(0, |chain, data| chained(chain, *data)));
    assert_eq!(fixture.state("tally-1", AsOf::Now), expected([0, 1, 2, 3, 4]));
    fixture.written();
    let shape = |schema_version| EventShape { event_type: "Added".into(), schema_version };
    let sources = vec![UpcasterSource { shape: shape(1), becomes: vec![shape(2)] }];
    let description = UpcasterDescription { name: "one-more".parse().unwrap(), sources };
    let code = Arc::new(OneMore(description, ComponentDigest("one-more".into())));
    fixture.others.upcasters.install("one-more.wasm", code).unwrap();
    let load = |fixture: &Fixture| assert_eq!(fixture.state("tally-1", AsOf::Now), expected([1, 2, 3, 4, 5]));
    assert_eq!(fixture.evolved_by(load), 5);
    fixture.written();
    assert_eq!(fixture.evolved_by(load), 0);
    assert!(fixture.others.upcasters.remove("one-more.wasm"));
    assert_eq!(fixture.state("tally-1", AsOf::Now), expected([0, 1, 2, 3, 4]));
}

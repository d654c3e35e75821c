//! Given events, when a command comes, then these events follow or it is refused. The state is checked on the way: it
//! must not depend on how the events are cut into calls.

use std::marker::PhantomData;

use serde_json::Value as Json;

use crate::Aggregate;
use crate::aggregate::{evolve, handle, state_of};
use crate::bindings::aggregate::{Command, Decision};
use crate::bindings::lantern::plugin::events::{Event, NewEvent};

/// Events of the past of one aggregate.
pub struct AggregateSpec<A> {
    given: Vec<(String, Json)>,
    aggregate: PhantomData<A>,
}

/// What came of a command.
pub struct Decided<A> {
    given: Vec<(String, Json)>,
    decision: Decision,
    aggregate: PhantomData<A>,
}

impl<A: Aggregate> AggregateSpec<A> {
    /// Starts with these events, each with its type and its data; `given([])` starts with none.
    pub fn given<'a>(events: impl IntoIterator<Item = (&'a str, Json)>) -> Self {
        Self { given: owned(events), aggregate: PhantomData }
    }

    /// The state after the given events.
    ///
    /// # Panics
    /// When it differs from this one, or an event fails.
    #[track_caller]
    pub fn then_state(self, expected: &A::State) {
        assert_state::<A>(&self.given, expected);
    }

    /// The given events cannot be folded, and the error contains this text.
    #[track_caller]
    pub fn then_error(self, text: &str) {
        let error = evolve::<A>(None, &recorded::<A>(&self.given)).expect_err("the events were folded").to_string();
        assert!(error.contains(text), "{}: expected {text:?} in: {error}", A::NAME);
    }

    /// Decides on a command, with its type and its data.
    ///
    /// # Panics
    /// When a given event fails, or the state depends on how they are cut into calls.
    #[must_use = "say what came of it with one of the then_... methods"]
    #[track_caller]
    pub fn when(self, (command_type, data): (&str, Json)) -> Decided<A> {
        let command = Command {
            id: "00000000-0000-0000-0000-000000000001".to_owned(),
            command_type: command_type.to_owned(),
            data: data.to_string(),
            metadata: "{}".to_owned(),
            time: 0,
        };
        let state = folded::<A>(&self.given);
        let decision = handle::<A>(state.as_deref(), &command).unwrap_or_else(|error| panic!("{}: {error}", A::NAME));
        Decided { given: self.given, decision, aggregate: PhantomData }
    }
}

impl<A: Aggregate> Decided<A> {
    /// The command leads to exactly these events.
    #[track_caller]
    pub fn then_events<'a>(self, events: impl IntoIterator<Item = (&'a str, Json)>) -> Self {
        assert_eq!(self.events(), owned(events), "{}", A::NAME);
        self
    }

    /// The command is refused, and the reason contains this text.
    #[track_caller]
    pub fn then_rejected(self, text: &str) {
        match self.decision {
            Decision::Reject(reason) => assert!(reason.contains(text), "{}: expected {text:?} in: {reason}", A::NAME),
            Decision::Append(_) => panic!("{}: the command was not refused; expected: {text}", A::NAME),
        }
    }

    /// The state after the given events and those that the command leads to.
    #[track_caller]
    pub fn then_state(self, expected: &A::State) {
        let events = [self.given.clone(), self.events()].concat();
        assert_state::<A>(&events, expected);
    }

    #[track_caller]
    fn events(&self) -> Vec<(String, Json)> {
        match &self.decision {
            Decision::Append(events) => events.iter().map(|event| (event.event_type.clone(), data(event))).collect(),
            Decision::Reject(reason) => panic!("{}: the command was refused: {reason}", A::NAME),
        }
    }
}

fn owned<'a>(events: impl IntoIterator<Item = (&'a str, Json)>) -> Vec<(String, Json)> {
    events.into_iter().map(|(event_type, data)| (event_type.to_owned(), data)).collect()
}

fn data(event: &NewEvent) -> Json {
    serde_json::from_str(&event.data).expect("data is JSON")
}

#[track_caller]
fn assert_state<A: Aggregate>(events: &[(String, Json)], expected: &A::State) {
    let found = folded::<A>(events).map_or_else(|| to_json(&A::State::default()), |state| parsed(&state));
    assert_eq!(found, to_json(expected), "{}: the state", A::NAME);
}

fn to_json<T: serde::Serialize>(value: &T) -> Json {
    serde_json::to_value(value).expect("a state has a JSON form")
}

fn parsed(state: &str) -> Json {
    serde_json::from_str(state).expect("a state is JSON")
}

/// The state after the events; none before the first.
#[track_caller]
fn folded<A: Aggregate>(events: &[(String, Json)]) -> Option<String> {
    let events = recorded::<A>(events);
    let fold = |state: Option<String>, events: &[Event]| {
        evolve::<A>(state.as_deref(), events).unwrap_or_else(|error| panic!("{}: given {error}", A::NAME))
    };
    let at_once = (!events.is_empty()).then(|| fold(None, &events));
    let one_by_one = events.chunks(1).fold(None, |state, event| Some(fold(state, event)));
    assert_eq!(
        at_once.as_deref().map(parsed),
        one_by_one.as_deref().map(parsed),
        "{}: a snapshot would make a difference: the state depends on how events are cut into calls",
        A::NAME
    );
    if let Some(state) = &at_once {
        let again = state_of::<A>(Some(state)).unwrap_or_else(|error| panic!("{}: {error}", A::NAME));
        assert_eq!(to_json(&again), parsed(state), "{}: a snapshot would make a difference", A::NAME);
    }
    at_once
}

fn recorded<A: Aggregate>(events: &[(String, Json)]) -> Vec<Event> {
    let stream = format!("{}-1", A::CATEGORY);
    (1..).zip(events).map(|(version, event)| super::conflict::recorded(&stream, version, event)).collect()
}

//! What must come of the history: plain folds, written here a second time and without the SDK.

mod examples;
mod things;

use std::collections::{BTreeMap, HashMap, HashSet};

use lantern_tests::Rows;
use serde_json::value::RawValue;

use crate::history::Event;
use crate::read_model::{Letter, ReadModel};

/// A projection as a plain function.
trait Fold: Default {
    const NAME: &'static str;

    fn reads(event: &Event) -> bool;

    /// # Errors
    /// When the event must be parked: with what the dead letter's reason must contain.
    fn apply(&mut self, position: i64, version: u64, event: &Event) -> Result<(), String>;

    fn rows(&self) -> Rows;
}

/// The read models after these events, by projection, and what the reasons of failed events must contain.
pub struct Expected {
    pub read_models: BTreeMap<&'static str, ReadModel>,
    pub reasons: BTreeMap<(&'static str, u64), String>,
    /// Positions of events that a guest fails on by a bug.
    pub traps: Vec<u64>,
}

pub fn expected(history: &[Event]) -> Expected {
    let mut expected = Expected { read_models: BTreeMap::new(), reasons: BTreeMap::new(), traps: Vec::new() };
    fold::<things::Things>(history, &mut expected);
    fold::<examples::Seats>(history, &mut expected);
    fold::<examples::Orders>(history, &mut expected);
    fold::<examples::Flights>(history, &mut expected);
    let positions = (1..).zip(history);
    expected.traps =
        positions.filter(|(_, event)| event.event_type == "ThingTrapped").map(|(position, _)| position).collect();
    expected
}

/// An event that fails is parked, and so is everything behind it in its stream.
fn fold<F: Fold>(history: &[Event], expected: &mut Expected) {
    let (mut state, mut letters) = (F::default(), Vec::new());
    let (mut versions, mut parked) = (HashMap::<&str, u64>::new(), HashSet::new());
    for (position, event) in (1..).zip(history) {
        let version = versions.entry(&event.stream).or_default();
        *version += 1;
        if !F::reads(event) {
            continue;
        }
        let kind = match parked.contains(&event.stream) {
            true => "waiting",
            false => match state.apply(position as i64, *version, event) {
                Ok(()) => continue,
                Err(reason) => {
                    expected.reasons.insert((F::NAME, position), reason);
                    "failed"
                }
            },
        };
        parked.insert(&event.stream);
        let (stream, event_type) = (event.stream.clone(), event.event_type.clone());
        letters.push(Letter { position, stream, version: *version, event_type, kind: kind.to_owned() });
    }
    expected.read_models.insert(F::NAME, ReadModel { rows: state.rows(), letters });
}

/// The fields of an object, each as the text that it is.
struct Fields<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Fields<'a> {
    /// # Errors
    /// When the data is no object; which words say so is up to the language.
    fn of(event: &'a Event) -> Result<Self, String> {
        let fields = if event.is_json() { serde_json::from_slice(&event.data).ok() } else { None };
        fields.map(Self).ok_or_else(String::new)
    }

    /// The field, unless it is missing or null. An error is the name of the field, which the reason must contain.
    fn get<T>(&self, name: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, String> {
        match self.0.get(name).map(|value| value.get()) {
            None | Some("null") => Ok(None),
            // Already the parser may refuse it, who does not know of fields.
            Some(text) if text.parse().is_ok_and(f64::is_infinite) => Err(String::new()),
            Some(text) => read(text).map(Some).ok_or_else(|| name.to_owned()),
        }
    }

    fn text(&self, name: &str) -> Result<Option<String>, String> {
        self.get(name, |text| serde_json::from_str(text).ok())
    }

    fn integer(&self, name: &str) -> Result<Option<i64>, String> {
        self.get(name, |text| text.parse().ok())
    }

    fn needed_integer(&self, name: &str) -> Result<i64, String> {
        self.integer(name)?.ok_or_else(|| name.to_owned())
    }

    fn needed_text(&self, name: &str) -> Result<String, String> {
        self.text(name)?.ok_or_else(|| name.to_owned())
    }
}

//! Handles a command: decides on it, appends, and recognises one that was handled before.
//!
//! The ids of a command's events are made from its id. So the log itself says whether it was handled, also after a
//! crash between the append and the answer, and the log refuses to hold it twice.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::fold::{Folding, version_of};
use super::handle::Inner;
use super::{AggregateError, AsOf, Command, DecidedEvent, Decision};
use crate::code::CallFailure;
use crate::event::{ExpectedVersion, NewEvent, Position, StreamName, StreamVersion, Timestamp};
use crate::event_store::{AppendError, AppendRequest, Appended};

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handled {
    /// Where its events are; `None` when it led to none.
    pub positions: Option<(Position, Position)>,
    /// Of the last of its events; of the stream, when it led to none.
    pub version: StreamVersion,
    /// False when it led to no event, or had been handled before: this is then the first result.
    pub appended: bool,
}

/// Where in an event's metadata its command is.
const KEY: &str = "lantern.command";

/// What an event's metadata says of the command that led to it.
#[derive(Serialize, Deserialize)]
struct Origin {
    id: Uuid,
    command_type: String,
    /// Made from the type and the data.
    digest: Uuid,
    /// How many events the command led to.
    events: u64,
}

impl Inner {
    /// See [`super::Aggregates::handle`].
    pub(super) fn handle(&self, stream: &StreamName, command: &Command) -> Result<Handled, AggregateError> {
        let code = self.code_of(stream.category())?;
        if let Some(first) = self.first_result(stream, command)? {
            return Ok(first);
        }
        let mut folding = Folding::new(self, &*code, stream);
        let mut folded = folding.load(AsOf::Now)?;
        for _ in 0..self.options.command_attempts {
            let version = version_of(folded.as_ref());
            let events = match folding.decide(folded.as_ref(), command)? {
                Decision::Append(events) if events.is_empty() => {
                    let unchanged = Handled { positions: None, version, appended: false };
                    return Ok(self.first_result(stream, command)?.unwrap_or(unchanged));
                }
                Decision::Append(events) => events,
                // It may be handled a second time at this moment, and refused because of the first time.
                Decision::Reject(reason) => {
                    let rejected = AggregateError::Rejected { reason, stream: stream.clone(), version };
                    return self.first_result(stream, command)?.ok_or(rejected);
                }
            };
            let doing = || format!("handle the command {} on version {version}", command.command_type);
            let events = recorded(stream, command, events).map_err(|failure| folding.failed(doing(), failure))?;
            let expected = ExpectedVersion::Exact(version);
            match self.conflicts.append_blocking(AppendRequest { stream: stream.clone(), expected, events }) {
                Ok(appended) if appended.appended => return Ok(appended.into()),
                Ok(Appended { .. }) | Err(AppendError::IdReused { .. }) => {
                    let reused = AggregateError::CommandIdReused { stream: stream.clone(), id: command.id };
                    return self.first_result(stream, command)?.ok_or(reused);
                }
                // Nobody decided on the conflict, so the plugin does.
                Err(AppendError::WrongExpectedVersion { rejection, .. })
                    if rejection.as_ref().is_none_or(|rejection| rejection.conflict.is_none()) =>
                {
                    folding.fold_on(&mut folded, AsOf::Now)?;
                }
                Err(error @ AppendError::Invalid { .. }) => {
                    return Err(folding.failed(doing(), CallFailure::Rejected(error.to_string())));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(AggregateError::Overtaken { stream: stream.clone(), attempts: self.options.command_attempts })
    }

    /// What became of the command when it was handled before.
    fn first_result(&self, stream: &StreamName, command: &Command) -> Result<Option<Handled>, AggregateError> {
        let id = event_id(stream, command, 0);
        let reused = || AggregateError::CommandIdReused { stream: stream.clone(), id: command.id };
        // A conflict resolver may have had other events appended.
        if let Some(decision) = self.events.rewriting_of(id)? {
            let (first, appended) = decision.proposed.first().zip(decision.appended).ok_or_else(reused)?;
            origin(&first.metadata, command).ok_or_else(reused)?;
            return Ok(Some(Handled { appended: false, ..appended.into() }));
        }
        let Some(first) = self.events.find_event(id)? else { return Ok(None) };
        let more = origin(&first.metadata, command).ok_or_else(reused)?.events.saturating_sub(1);
        Ok(Some(Handled {
            positions: Some((first.position, Position(first.position.0 + more))),
            version: StreamVersion(first.version.0 + more),
            appended: false,
        }))
    }
}

/// What the metadata says, if it is of this command.
fn origin(metadata: &str, command: &Command) -> Option<Origin> {
    let metadata: BTreeMap<String, &RawValue> = serde_json::from_str(metadata).ok()?;
    let origin: Origin = serde_json::from_str(metadata.get(KEY)?.get()).ok()?;
    (origin.digest == digest(command)).then_some(origin)
}

impl From<Appended> for Handled {
    fn from(appended: Appended) -> Self {
        let Appended { first_position, last_position, last_version, appended } = appended;
        Self { positions: Some((first_position, last_position)), version: last_version, appended }
    }
}

/// The events with ids, time and origin.
pub(super) fn recorded(
    stream: &StreamName,
    command: &Command,
    events: Vec<DecidedEvent>,
) -> Result<Vec<NewEvent>, CallFailure> {
    let origin = Origin {
        id: command.id,
        command_type: command.command_type.clone(),
        digest: digest(command),
        events: events.len() as u64,
    };
    let origin = serde_json::value::to_raw_value(&origin).expect("an origin has a JSON form");
    let time = Timestamp::now();
    let recorded = |(index, event): (usize, DecidedEvent)| {
        let DecidedEvent { event_type, schema_version, content_type, data, metadata } = event;
        let metadata = with_origin(&metadata, &origin)?;
        Ok(NewEvent {
            id: event_id(stream, command, index),
            event_type,
            schema_version,
            time,
            content_type,
            data,
            metadata,
        })
    };
    events.into_iter().enumerate().map(recorded).collect()
}

fn with_origin(metadata: &str, origin: &RawValue) -> Result<String, CallFailure> {
    let object: Result<BTreeMap<String, &RawValue>, _> = serde_json::from_str(metadata);
    let mut object = object.map_err(|error| {
        CallFailure::Rejected(format!("it answered an event whose metadata is no JSON object: {error}"))
    })?;
    object.insert(KEY.to_owned(), origin);
    Ok(serde_json::to_string(&object).expect("a map of JSON values has a JSON form"))
}

/// The same for the same command, and for no other.
fn event_id(stream: &StreamName, command: &Command, index: usize) -> Uuid {
    Uuid::new_v5(&command.id, format!("{stream}\n{index}").as_bytes())
}

/// The same however the data was written: spaces and the order of fields do not count.
fn digest(command: &Command) -> Uuid {
    let data =
        serde_json::from_str::<Value>(&command.data).map_or_else(|_| command.data.clone(), |data| data.to_string());
    Uuid::new_v5(&command.id, format!("{}\n{data}", command.command_type).as_bytes())
}

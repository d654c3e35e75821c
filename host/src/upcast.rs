//! Upcasters: events of an old shape are turned into newer ones while they are read. Stored events never change.

use std::fmt;

use crate::code::{CallFailure, PluginCode, PluginName};
use crate::event::{EventBatch, EventRef};

mod chain;
mod registry;
mod rounds;

pub use chain::{Circle, UpcastFailure, UpcastLimits, Upcasters};
pub use registry::{NotInstalled, UpcasterRegistry};

/// A shape that events have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventShape {
    pub event_type: String,
    pub schema_version: u32,
}

impl EventShape {
    pub fn is(&self, event_type: &str, schema_version: u32) -> bool {
        self.event_type == event_type && self.schema_version == schema_version
    }
}

impl fmt::Display for EventShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of schema version {}", self.event_type, self.schema_version)
    }
}

/// What an upcaster takes, and what it makes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpcasterSource {
    pub shape: EventShape,
    /// The shapes of what may stand in its place; at least one.
    pub becomes: Vec<EventShape>,
}

/// What an upcaster says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpcasterDescription {
    pub name: PluginName,
    /// At least one.
    pub sources: Vec<UpcasterSource>,
}

/// What stands in the place of an event. Its id, stream, version, position and time stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpcastEvent {
    pub event_type: String,
    pub schema_version: u32,
    pub content_type: String,
    pub data: Vec<u8>,
    /// A JSON object as text.
    pub metadata: String,
}

impl UpcastEvent {
    /// The event as it is.
    pub fn of(event: &EventRef<'_>) -> Self {
        Self {
            event_type: event.kind.event_type.clone(),
            schema_version: event.schema_version,
            content_type: event.kind.content_type.clone(),
            data: event.data.to_vec(),
            metadata: event.metadata.to_owned(),
        }
    }
}

/// An instance of an upcaster's code.
pub trait Upcaster: Send {
    /// Answers a list for each event of the batch, all of which are of its sources.
    ///
    /// # Errors
    /// See [`CallFailure`].
    fn upcast(&mut self, events: &EventBatch) -> Result<Vec<Vec<UpcastEvent>>, CallFailure>;
}

/// Loaded code of an upcaster.
pub trait UpcasterCode: PluginCode {
    fn description(&self) -> &UpcasterDescription;

    /// A fresh instance under the wall-clock limit.
    ///
    /// # Errors
    /// When the code does not start.
    fn instantiate(&self) -> Result<Box<dyn Upcaster>, CallFailure>;

    /// A fresh instance under the deterministic fuel limit: slower, and its verdict on an event is the same on
    /// every machine.
    ///
    /// # Errors
    /// As [`Self::instantiate`].
    fn instantiate_metered(&self) -> Result<Box<dyn Upcaster>, CallFailure>;
}

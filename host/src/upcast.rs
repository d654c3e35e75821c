//! Upcasters: events of an old shape are turned into newer ones while they are read. Stored events never change.

use crate::code::{CallFailure, PluginCode, PluginName};
use crate::event::EventBatch;

/// A shape of events that an upcaster takes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpcasterSource {
    pub event_type: String,
    pub schema_version: u32,
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
    pub metadata: String,
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

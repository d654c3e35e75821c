//! Aggregates: the write side. A stream is folded into a state, and commands are decided against it.

use uuid::Uuid;

use crate::code::{CallFailure, PluginCode, PluginName};
use crate::event::{EventBatch, Timestamp};

mod command;
mod error;
mod fold;
mod handle;
mod options;
mod snapshot_file;
mod snapshots;
#[cfg(test)]
mod tests;

pub use command::Handled;
pub use error::AggregateError;
pub use fold::{AsOf, Folded};
pub use handle::{AggregateStats, Aggregates};
pub use options::{AggregateOptions, SnapshotOptions};
pub use snapshots::SnapshotStats;

/// What an aggregate says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AggregateDescription {
    pub name: PluginName,
    /// The category whose streams it folds.
    pub category: String,
    /// Snapshots of states of other versions are ignored.
    pub state_schema_version: u32,
}

/// Something that is asked of an aggregate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The same command handled twice is handled once.
    pub id: Uuid,
    pub command_type: String,
    /// JSON text.
    pub data: String,
    /// A JSON object as text.
    pub metadata: String,
    /// When it came.
    pub time: Timestamp,
}

/// An event that a command leads to. Lantern gives it its id, made from the command's, and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecidedEvent {
    pub event_type: String,
    pub schema_version: u32,
    pub content_type: String,
    pub data: Vec<u8>,
    pub metadata: String,
}

/// What becomes of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Append these events; none is a command that changes nothing.
    Append(Vec<DecidedEvent>),
    /// The command is refused, for this reason.
    Reject(String),
}

/// An instance of an aggregate's code.
pub trait Aggregate: Send {
    /// The state after `events`, as JSON text. `state` is none before the first event.
    ///
    /// # Errors
    /// See [`CallFailure`].
    fn evolve(&mut self, state: Option<&str>, events: &EventBatch) -> Result<String, CallFailure>;

    /// What happens when the command meets the state.
    ///
    /// # Errors
    /// See [`CallFailure`].
    fn handle(&mut self, state: Option<&str>, command: &Command) -> Result<Decision, CallFailure>;
}

/// Loaded code of an aggregate.
pub trait AggregateCode: PluginCode {
    fn description(&self) -> &AggregateDescription;

    /// A fresh instance.
    ///
    /// # Errors
    /// When the code does not start.
    fn instantiate(&self) -> Result<Box<dyn Aggregate>, CallFailure>;
}

//! Aggregates: the write side. A stream is folded into a state, and commands are decided against it.

use uuid::Uuid;

use crate::code::{CallFailure, PluginCode, PluginName};
use crate::event::{EventBatch, NewEvent};

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
}

/// What becomes of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Append these events; none is a command that changes nothing.
    Append(Vec<NewEvent>),
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

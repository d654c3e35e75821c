//! Conflict resolvers: what happens to an append that expected another stream version.

use crate::code::{CallFailure, PluginCode, PluginName};
use crate::event::{EventBatch, NewEvent, StreamName, StreamVersion};

mod instances;
mod resolution;

pub use crate::event_store::Resolution;
pub use resolution::{ConflictResolution, ResolutionOptions};

/// What a conflict resolver says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolverDescription {
    pub name: PluginName,
    /// The categories whose conflicts it decides; at least one.
    pub categories: Vec<String>,
}

/// An append that expected another stream version.
#[derive(Clone, Debug)]
pub struct Conflict {
    pub stream: StreamName,
    /// What the writer had seen; 0 when it expected no stream.
    pub expected: StreamVersion,
    pub actual: StreamVersion,
    /// The events that the writer had not seen.
    pub unseen: EventBatch,
    pub proposed: Vec<NewEvent>,
}

/// An instance of a resolver's code.
pub trait ConflictResolver: Send {
    /// # Errors
    /// See [`CallFailure`].
    fn resolve(&mut self, conflict: &Conflict) -> Result<Resolution, CallFailure>;
}

/// Loaded code of a conflict resolver.
pub trait ConflictResolverCode: PluginCode {
    fn description(&self) -> &ResolverDescription;

    /// A fresh instance.
    ///
    /// # Errors
    /// When the code does not start.
    fn instantiate(&self) -> Result<Box<dyn ConflictResolver>, CallFailure>;
}

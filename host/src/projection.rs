//! Projections: from events to read models.
//!
//! This file holds the traits that plugin code implements; nothing in this module knows how the
//! code came to be.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

mod builds;
mod commits;
mod failure;
mod managed;
mod options;
mod redrive;
mod runner;
mod stages;
mod status;
mod supervisor;
mod worker;

pub use builds::ActiveBuild;
pub use failure::{Disposition, Failure};
pub use options::RunnerOptions;
pub use runner::{Halt, Runner, Step};
pub use stages::StageTimes;
pub use status::{BuildStatus, ProjectionState, ProjectionStatus};
pub use supervisor::{Installed, LoadCode, ProjectionError, Projections};
pub use worker::WorkerOptions;

use crate::event::{EventBatch, Interest, Invalid};
use crate::read_model::{ReadModelDraft, ReadModelError, Schema};

/// The name of a projection and of its read model: `[a-z][a-z0-9-]{0,62}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectionName(String);

impl ProjectionName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProjectionName {
    type Err = Invalid;

    fn from_str(name: &str) -> Result<Self, Invalid> {
        let bytes = name.as_bytes();
        let sound = matches!(bytes.first(), Some(b'a'..=b'z'))
            && bytes.len() <= 63
            && bytes.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if sound {
            return Ok(Self(name.to_owned()));
        }
        Err(Invalid(format!(
            "{name:?} is no projection name: use a lower-case letter, then up to 62 lower-case letters, digits and dashes"
        )))
    }
}

impl fmt::Display for ProjectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// SHA-256 over a plugin's file, in lower-case hex. The identity of its code.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ComponentDigest(pub String);

impl ComponentDigest {
    /// The first 12 digits, enough for people.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for ComponentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a projection says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    pub name: ProjectionName,
    /// Another number than the active one asks for a replay into a new read model.
    pub read_model_version: u32,
    /// At least one.
    pub interests: Arc<[Interest]>,
    pub schema: Schema,
}

/// What an instance holds back until [`Projection::flush`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    pub rows: u32,
    pub bytes: u64,
}

/// Why a batch could not be applied. The draft and the instance are then of no more use.
#[derive(Debug, thiserror::Error)]
pub enum ApplyFailure {
    /// The guest answered with an error.
    #[error("{0}")]
    Rejected(String),
    /// The guest trapped: a panic, memory or stack over the limit, a wrong argument to the host.
    #[error("the plugin trapped: {0}")]
    Trapped(String),
    /// The wall-clock limit of one call is over. Says nothing about the event: the machine may be slow.
    #[error("the plugin was interrupted: {0}")]
    Interrupted(String),
    /// The deterministic limit is over; the same events give the same answer on every machine.
    #[error("the plugin used up its fuel: {0}")]
    OutOfFuel(String),
    /// The host could not read the read model for the guest.
    #[error(transparent)]
    ReadModel(#[from] ReadModelError),
}

/// An instance of a projection's code. Lives on one thread; it is dropped after any failure.
pub trait Projection: Send {
    /// Applies the batch in order. Writes go to the draft, or wait in the instance for [`Self::flush`].
    ///
    /// # Errors
    /// See [`ApplyFailure`].
    fn apply(&mut self, batch: &EventBatch, draft: &mut ReadModelDraft) -> Result<Pending, ApplyFailure>;

    /// Moves what the instance holds back into the draft.
    ///
    /// # Errors
    /// See [`ApplyFailure`].
    fn flush(&mut self, draft: &mut ReadModelDraft) -> Result<(), ApplyFailure>;
}

/// Loaded code that instances can be made of.
pub trait ProjectionCode: Send + Sync {
    fn description(&self) -> &Description;

    fn digest(&self) -> &ComponentDigest;

    /// A fresh instance under the wall-clock limit.
    ///
    /// # Errors
    /// When the code does not start, for example because it declares more memory than allowed.
    fn instantiate(&self) -> Result<Box<dyn Projection>, ApplyFailure>;

    /// A fresh instance under the deterministic fuel limit: slower, and its verdict on an event is
    /// the same on every machine.
    ///
    /// # Errors
    /// As [`Self::instantiate`].
    fn instantiate_metered(&self) -> Result<Box<dyn Projection>, ApplyFailure>;
}

#[cfg(test)]
mod tests;

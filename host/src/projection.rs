//! Projections: from events to read models.
//!
//! This file holds the traits that plugin code implements; nothing in this module knows how the
//! code came to be.

use std::sync::Arc;

mod builds;
mod commits;
mod failure;
mod load_code;
mod managed;
mod options;
mod parking;
mod redrive;
mod runner;
mod stages;
mod status;
mod supervisor;
mod upcasting;
mod worker;

pub use builds::ActiveBuild;
pub use failure::{Disposition, Failure};
pub use load_code::LoadCode;
pub use options::RunnerOptions;
pub use runner::{Halt, Runner, Step};
pub use stages::StageTimes;
pub use status::{BuildStatus, ProjectionState, ProjectionStatus};
pub use supervisor::{Installed, ProjectionError, Projections};
pub use upcasting::behind;
pub use worker::WorkerOptions;

use crate::code::{CallFailure, ComponentDigest, PluginName};
use crate::event::{EventBatch, Interest};
use crate::read_model::{ReadModelDraft, ReadModelError, Schema};
use crate::upcast::Upcasters;

/// What a projection says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    pub name: PluginName,
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
    #[error(transparent)]
    Call(#[from] CallFailure),
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

    /// Those that matter to it, through which it sees events.
    fn upcasters(&self) -> Upcasters {
        Upcasters::default()
    }

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

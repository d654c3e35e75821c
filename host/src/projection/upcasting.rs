//! A projection and the upcasters before it: it sees every event in its newest shape.

use std::sync::Arc;

use super::{ApplyFailure, Description, Projection, ProjectionCode};
use crate::code::ComponentDigest;
use crate::event::{EventBatch, EventRef, Interest};
use crate::event_store::{EventStoreError, EventView};
use crate::upcast::{UpcastFailure, Upcasters};

/// The projection as it is behind upcasters: those that touch its interests.
pub fn behind(upcasters: &Upcasters, code: &Arc<dyn ProjectionCode>) -> Arc<dyn ProjectionCode> {
    Upcasted::of(code, upcasters)
}

/// Code of a projection with those upcasters that matter to it.
pub(super) struct Upcasted {
    code: Arc<dyn ProjectionCode>,
    upcasters: Upcasters,
}

impl Upcasted {
    /// The code with those of the upcasters that touch its interests.
    pub fn of(code: &Arc<dyn ProjectionCode>, upcasters: &Upcasters) -> Arc<dyn ProjectionCode> {
        let upcasters = upcasters.touching(&code.description().interests);
        Arc::new(Self { code: Arc::clone(code), upcasters })
    }
}

impl ProjectionCode for Upcasted {
    fn description(&self) -> &Description {
        self.code.description()
    }

    fn digest(&self) -> &ComponentDigest {
        self.code.digest()
    }

    fn upcasters(&self) -> Upcasters {
        self.upcasters.clone()
    }

    fn instantiate(&self) -> Result<Box<dyn Projection>, ApplyFailure> {
        self.code.instantiate()
    }

    fn instantiate_metered(&self) -> Result<Box<dyn Projection>, ApplyFailure> {
        self.code.instantiate_metered()
    }
}

/// How the projection sees the log; none: as it is stored.
pub(super) fn view(code: &dyn ProjectionCode) -> Option<Arc<dyn EventView>> {
    let upcasters = code.upcasters();
    if upcasters.is_empty() {
        return None;
    }
    let interests = Arc::clone(&code.description().interests);
    let stored_interests = upcasters.stored_interests(&interests);
    Some(Arc::new(UpcastView { key: upcasters.key(), upcasters, interests, stored_interests }))
}

struct UpcastView {
    upcasters: Upcasters,
    key: u64,
    interests: Arc<[Interest]>,
    stored_interests: Vec<Interest>,
}

impl EventView for UpcastView {
    fn key(&self) -> u64 {
        self.key
    }

    fn stored_interests(&self) -> &[Interest] {
        &self.stored_interests
    }

    fn show(&self, stored: &EventBatch) -> Result<Option<EventBatch>, EventStoreError> {
        self.upcasters
            .upcast_readable(stored)
            .map_err(|failure: UpcastFailure| EventStoreError::View(failure.to_string()))
    }

    fn concerns(&self, unreadable: &EventRef<'_>) -> bool {
        self.interests.iter().any(|interest| self.upcasters.touch(interest, unreadable))
    }
}

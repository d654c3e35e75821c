//! What readers of the log may see in the place of stored events. The log does not know what that is; it knows that
//! readers with the same view see the same, so that it is made once for all of them.

use super::EventStoreError;
use crate::event::{EventBatch, EventRef, Interest};

/// Shows stored events in other shapes. What is shown has the positions of what is stored, each at least once.
pub trait EventView: Send + Sync {
    /// The same for views that show the same; never 0.
    fn key(&self) -> u64;

    /// Selects the stored events from which everything may come that the reader wants to see.
    fn stored_interests(&self) -> &[Interest];

    /// What is shown in the place of these events; none: they themselves.
    ///
    /// # Errors
    /// [`EventStoreError::View`].
    fn show(&self, stored: &EventBatch) -> Result<Option<EventBatch>, EventStoreError>;

    /// Whether the reader might have wanted to see what came of an event that is shown as unreadable.
    fn concerns(&self, unreadable: &EventRef<'_>) -> bool;
}

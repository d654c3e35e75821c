//! Given events, when more events, then rows: a projection's tests, run natively with `cargo test`.
//!
//! Every specification runs its events in several ways: in one batch with one flush, each event
//! with a flush of its own, with room for a single row, and on a fresh instance for each event. The
//! rows must be the same each time, as they must be in a replay. A projection that keeps state
//! outside its rows does not pass.
//!
//! ```
//! # use lantern_sdk::prelude::*;
//! # table! { struct Account in "accounts" { key id: String, balance: i64 } }
//! # #[derive(Deserialize)] enum Event { Deposited { amount: i64 } }
//! # struct Accounts;
//! # impl Projection for Accounts {
//! #     const NAME: &str = "accounts"; const READ_MODEL_VERSION: u32 = 1; const CATEGORIES: &[&str] = &["account"];
//! #     type Event<'a> = Event; type Tables = Table<Account>;
//! #     fn apply(event: Recorded<Event>, accounts: &mut Table<Account>) -> Result<(), Error> {
//! #         let Event::Deposited { amount } = event.data;
//! #         accounts.get_or_default(event.aggregate_id).balance += amount; Ok(())
//! #     }
//! # }
//! use lantern_sdk::testing::{ProjectionSpec, event, json};
//!
//! ProjectionSpec::<Accounts>::given([event("account-1", "Deposited", json!({ "amount": 5 }))])
//!     .when([event("account-1", "Deposited", json!({ "amount": 2 }))])
//!     .then_row(Account { id: "1".into(), balance: 7 });
//! ```

mod aggregate;
mod batch;
mod conflict;
mod memory;
mod upcaster;

use std::marker::PhantomData;
use std::rc::Rc;

pub use aggregate::{AggregateSpec, Decided};
pub use batch::{TestEvent, event};
pub use conflict::{ConflictSpec, Resolved};
pub use serde_json::{Value as Json, json};
pub use upcaster::upcast;

use crate::instance::{Instance, describe};
use crate::read_model::{CommittedRows, Tables};
use crate::{Error, Projection, Row, Value};
pub(crate) use batch::batch_of;
pub(crate) use memory::MemoryRows;

/// Events of the past that a projection has seen.
pub struct ProjectionSpec<P> {
    given: Vec<TestEvent>,
    projection: PhantomData<P>,
}

/// What came of it.
pub struct Outcome<P> {
    rows: Rc<MemoryRows>,
    failure: Option<String>,
    projection: PhantomData<P>,
}

/// How the events reach the projection. The rows must not depend on it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Delivery {
    OneBatch,
    FlushForEachEvent,
    RoomForOneRow,
    InstanceForEachEvent,
}

impl<P: Projection> ProjectionSpec<P> {
    /// Starts with events that must be applied without an error; `given([])` starts with none.
    pub fn given(events: impl IntoIterator<Item = TestEvent>) -> Self {
        Self { given: events.into_iter().collect(), projection: PhantomData }
    }

    /// Applies the events behind the given ones.
    ///
    /// # Panics
    /// When the projection does not read one of the events, when a given event fails, and when the
    /// way in which the events are delivered makes a difference.
    #[must_use = "say what came of it with one of the then_... methods"]
    #[track_caller]
    pub fn when(self, events: impl IntoIterator<Item = TestEvent>) -> Outcome<P> {
        let mut all = self.given;
        let given = all.len();
        all.extend(events);
        all.iter().for_each(check_is_read::<P>);
        let outcome = run::<P>(&all, given, Delivery::FlushForEachEvent);
        for delivery in [Delivery::OneBatch, Delivery::RoomForOneRow, Delivery::InstanceForEachEvent] {
            let other = run::<P>(&all, given, delivery);
            assert_eq!(
                outcome.failure,
                other.failure,
                "{}: a replay would differ: the failure depends on how events are delivered ({:?} against {delivery:?})",
                P::NAME,
                Delivery::FlushForEachEvent
            );
            // After a failure Lantern keeps nothing of the batch, so the rows are allowed to differ.
            assert!(
                outcome.failure.is_some() || outcome.rows == other.rows,
                "{}: a replay would differ: the rows depend on how events are delivered\n{:?}: {:#?}\n{delivery:?}: {:#?}",
                P::NAME,
                Delivery::FlushForEachEvent,
                outcome.rows,
                other.rows
            );
        }
        outcome
    }
}

impl<P: Projection> Outcome<P> {
    /// The read model has this row.
    #[track_caller]
    pub fn then_row<R: Row>(self, row: R) -> Self {
        assert_eq!(self.row::<R>(row.key()), Some(row), "in table {}", R::TABLE.name);
        self
    }

    /// The read model has no row with this key.
    #[track_caller]
    pub fn then_no_row<R: Row>(self, key: R::Key<'_>) -> Self {
        assert_eq!(self.row::<R>(key), None, "in table {}", R::TABLE.name);
        self
    }

    /// The table has these rows, ordered by primary key, and no others.
    #[track_caller]
    pub fn then_rows<R: Row>(self, rows: impl IntoIterator<Item = R>) -> Self {
        self.check_applied();
        let found: Vec<R> = self.rows.all(R::TABLE.name).into_iter().map(in_shape).collect();
        assert_eq!(found, rows.into_iter().collect::<Vec<R>>(), "in table {}", R::TABLE.name);
        self
    }

    /// One of the events failed, and the error contains this text.
    #[track_caller]
    pub fn then_error(self, text: &str) {
        match &self.failure {
            None => panic!("{}: every event was applied, but an error was expected: {text}", P::NAME),
            Some(failure) => assert!(failure.contains(text), "{}: expected {text:?} in: {failure}", P::NAME),
        }
    }

    #[track_caller]
    fn row<R: Row>(&self, key: R::Key<'_>) -> Option<R> {
        self.check_applied();
        self.rows.get(R::TABLE.name, R::key_values(key)).map(in_shape)
    }

    #[track_caller]
    fn check_applied(&self) {
        if let Some(failure) = &self.failure {
            panic!("{}: {failure}", P::NAME);
        }
    }
}

fn in_shape<R: Row>(values: Vec<Value>) -> R {
    R::from_values(values).expect("the row fits its table: it was checked when it was written")
}

#[track_caller]
fn check_is_read<P: Projection>(event: &TestEvent) {
    let description = describe::<P>();
    let is_read = description.interests.iter().any(|interest| {
        interest.category.as_deref().is_none_or(|category| category == event.category())
            && (interest.event_types.is_empty() || interest.event_types.contains(&event.event_type))
    });
    assert!(
        is_read,
        "{}: Lantern would not deliver {} of {}: the projection asks for {:?}",
        P::NAME,
        event.event_type,
        event.stream,
        description.interests
    );
}

#[track_caller]
fn run<P: Projection>(events: &[TestEvent], given: usize, delivery: Delivery) -> Outcome<P> {
    let rows = Rc::new(MemoryRows::new(P::Tables::declarations()));
    let batch_len = if delivery == Delivery::OneBatch { events.len().max(1) } else { 1 };
    let cached_bytes = if delivery == Delivery::RoomForOneRow { 1 } else { P::CACHED_BYTES };
    let fresh = || Instance::<P>::with_capacity(rows.clone() as Rc<dyn CommittedRows>, cached_bytes);
    let mut instance = fresh();
    let mut failure = None;
    for first in (0..events.len()).step_by(batch_len) {
        if delivery == Delivery::InstanceForEachEvent {
            instance = fresh();
        }
        let batch = batch_of(events, first..first + batch_len);
        if let Err(error) = instance.apply(&batch) {
            assert!(batch_len > 1 || first >= given, "{}: given event {} failed: {error}", P::NAME, first + 1);
            failure = Some(error.to_string());
            break;
        }
        let changes = instance.flush();
        rows.apply_changes(&changes).unwrap_or_else(|error: Error| panic!("{}: {error}", P::NAME));
    }
    Outcome { rows, failure, projection: PhantomData }
}

#[cfg(test)]
mod tests;

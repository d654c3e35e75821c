//! The specification helper itself: it finds what a replay would get wrong.

use std::cell::Cell;

use super::*;
use crate::prelude::*;

table! {
    /// Calls of one stream.
    struct Call in "calls" {
        key stream: String,
        count: i64,
        last: Option<String>,
        ratio: f64,
    }
}

#[derive(Deserialize)]
enum Event<'a> {
    Called {
        #[serde(borrow)]
        by: Cow<'a, str>,
    },
    Divided {
        by: f64,
    },
    Forgotten,
}

struct Calls;

impl Projection for Calls {
    const NAME: &str = "calls";
    const READ_MODEL_VERSION: u32 = 3;
    const CATEGORIES: &[&str] = &["call", "phone"];
    type Event<'a> = Event<'a>;
    type Tables = Table<Call>;

    fn apply(event: Recorded<Event>, calls: &mut Table<Call>) -> Result<(), Error> {
        match event.data {
            Event::Called { by } => {
                ensure!(by != "nobody", "{by} called");
                let call = calls.get_or_default(event.stream);
                call.count += 1;
                call.last = Some(by.into_owned());
            }
            Event::Divided { by } => calls.get_or_default(event.stream).ratio = 0.0 / by,
            Event::Forgotten => calls.delete(event.stream),
        }
        Ok(())
    }
}

fn called(by: &str) -> TestEvent {
    event("call-1", "Called", json!({ "by": by }))
}

fn call(count: i64, last: &str) -> Call {
    Call { stream: "call-1".into(), count, last: Some(last.into()), ratio: 0.0 }
}

#[test]
fn rows_and_their_absence_are_checked() {
    ProjectionSpec::<Calls>::given([called("ann")])
        .when([
            called("b\"b"),
            event("phone-2", "Called", json!({ "by": "x" })),
            event("phone-2", "Forgotten", json!(1)),
        ])
        .then_row(call(2, "b\"b"))
        .then_rows([call(2, "b\"b")])
        .then_no_row::<Call>("phone-2");
    ProjectionSpec::<Calls>::given([called("ann"), event("call-1", "Forgotten", json!({}))])
        .when([called("bob")])
        .then_rows([call(1, "bob")]);
}

#[test]
#[should_panic(expected = "in table calls")]
fn a_wrong_row_fails() {
    let _ = ProjectionSpec::<Calls>::given([]).when([called("ann")]).then_row(call(2, "ann"));
}

#[test]
fn an_error_is_checked_for_its_text() {
    ProjectionSpec::<Calls>::given([called("ann")]).when([called("nobody")]).then_error("nobody called");
    let wrong = event("call-1", "Called", json!({ "by": 1 }));
    ProjectionSpec::<Calls>::given([]).when([wrong]).then_error("Called: field `by`: invalid type: integer `1`");
}

#[test]
fn a_number_that_is_none_fails_the_event_even_if_the_next_one_repairs_it() {
    let divided = |by: f64| event("call-1", "Divided", json!({ "by": by }));
    ProjectionSpec::<Calls>::given([divided(2.0)]).when([divided(0.0), divided(1.0)]).then_error("column ratio");
}

#[test]
#[should_panic(expected = "would not deliver Caled of call-1")]
fn an_event_that_the_projection_does_not_read_is_pointed_out() {
    let _ = ProjectionSpec::<Calls>::given([]).when([event("call-1", "Caled", json!({}))]);
}

#[test]
#[should_panic(expected = "given event 2 failed: nobody called")]
fn a_given_event_must_not_fail() {
    let _ = ProjectionSpec::<Calls>::given([called("ann"), called("nobody")]).when([called("ann")]);
}

#[test]
fn an_event_of_an_unknown_type_is_ignored() {
    let rows = Rc::new(MemoryRows::new(<Calls as Projection>::Tables::declarations()));
    let mut instance = Instance::<Calls>::new(rows);
    let events = [event("call-1", "Later", json!([])), called("ann")];
    let pending = instance.apply(&batch_of(&events, 0..2)).expect("applied");
    assert_eq!(pending.rows, 1);
    assert_eq!(instance.flush().len() as u64, pending.bytes);
}

#[test]
fn the_description_comes_from_the_types() {
    let description = describe::<Calls>();
    let categories: Vec<_> = description.interests.iter().map(|interest| interest.category.as_deref()).collect();
    assert_eq!(categories, [Some("call"), Some("phone")]);
    assert_eq!(description.interests[0].event_types, ["Called", "Divided", "Forgotten"]);
    assert_eq!((description.name.as_str(), description.read_model_version), ("calls", 3));
    let table = &description.tables[0];
    assert_eq!((table.name.as_str(), table.primary_key.as_slice()), ("calls", &["stream".to_owned()][..]));
    let nullable: Vec<_> = table.columns.iter().map(|column| (column.name.as_str(), column.nullable)).collect();
    assert_eq!(nullable, [("stream", false), ("count", false), ("last", true), ("ratio", false)]);
}

thread_local! {
    static SEEN: Cell<i64> = const { Cell::new(0) };
}

/// Counts events outside its rows: what a plugin must not do.
struct Forgetful;

impl Projection for Forgetful {
    const NAME: &str = "forgetful";
    const READ_MODEL_VERSION: u32 = 1;
    const CATEGORIES: &[&str] = &[];
    type Event<'a> = serde::de::IgnoredAny;
    type Tables = Table<Call>;

    fn apply<'a>(event: Recorded<'a, Self::Event<'a>>, calls: &mut Table<Call>) -> Result<(), Error> {
        SEEN.set(SEEN.get() + 1);
        calls.get_or_default(event.stream).count = SEEN.get();
        Ok(())
    }
}

#[test]
#[should_panic(expected = "a replay would differ")]
fn state_outside_the_rows_is_found() {
    let _ = ProjectionSpec::<Forgetful>::given([]).when([called("ann"), called("bob")]);
}

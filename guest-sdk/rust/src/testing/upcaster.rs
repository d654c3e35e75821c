//! What an upcaster makes of an event, natively.

use std::collections::VecDeque;

use super::{TestEvent, batch_of};
use crate::event::undecoded;
use crate::{Source, Upcaster};

/// What stands in the place of an event when this upcaster has done all that it can: what it answers is given to it
/// again as long as it takes it, as Lantern does.
///
/// # Errors
/// The upcaster's own, or what Lantern would say of an answer that its sources do not allow.
pub fn upcast<U: Upcaster>(event: TestEvent) -> Result<Vec<TestEvent>, String> {
    let (mut newest, mut due) = (Vec::new(), VecDeque::from([event]));
    while let Some(event) = due.pop_front() {
        let Some(source) = U::SOURCES.iter().find(|source| takes(source, &event)) else {
            newest.push(event);
            continue;
        };
        let batch = batch_of(std::slice::from_ref(&event), 0..1);
        let (_, recorded) = undecoded(&batch).next().ok_or("the event is gone")?;
        let answer = U::upcast(recorded).map_err(|error| error.to_string())?;
        if answer.is_empty() {
            return Err(format!("{} becomes no event", event.event_type));
        }
        for newer in answer.into_iter().rev() {
            if !source.becomes.contains(&newer.shape) {
                return Err(format!("{:?} becomes {:?}, which its source does not say", source.shape, newer.shape));
            }
            let shape = newer.shape;
            let (event_type, data) = (shape.0.to_owned(), newer.data.into_bytes());
            due.push_front(TestEvent { event_type, schema_version: shape.1, data, ..event.clone() });
        }
    }
    Ok(newest)
}

fn takes(source: &Source, event: &TestEvent) -> bool {
    (source.shape.0, source.shape.1) == (event.event_type.as_str(), event.schema_version)
}

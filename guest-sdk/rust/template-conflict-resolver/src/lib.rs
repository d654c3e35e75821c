//! Who renames an account without having seen its newest name renames it all the same; who comes after it was closed
//! does not.

use lantern_sdk::prelude::*;

/// The events of the category, and of their data what is used; see lantern-sdk/README.md.
#[derive(Serialize, Deserialize)]
enum Event {
    Opened {
        name: String,
    },
    /// `before` is the name that it had: a resolver is not shown what the writer had seen.
    Renamed {
        name: String,
        before: String,
    },
    Closed {},
}

struct Accounts;

impl ConflictResolver for Accounts {
    const NAME: &str = "{{name}}";
    /// The part of a stream's name before its first dash. A category has one resolver.
    const CATEGORIES: &[&str] = &["account"];
    type Event = Event;

    fn resolve(conflict: &Conflict<Event>) -> Result<Resolution, Error> {
        let mut newest = None;
        for unseen in &conflict.unseen {
            match &unseen.data {
                Event::Opened { .. } => return Ok(Resolution::reject("the account was opened already")),
                Event::Closed {} => return Ok(Resolution::reject("the account was closed")),
                Event::Renamed { name, .. } => newest = Some(name.clone()),
            }
        }
        let Some(mut before) = newest else { return Ok(Resolution::Accept) };
        let mut events = Vec::new();
        for proposed in &conflict.proposed {
            events.push(match &proposed.data {
                Event::Renamed { name, .. } => {
                    let before = std::mem::replace(&mut before, name.clone());
                    proposed.rewritten(&Event::Renamed { name: name.clone(), before })?
                }
                _ => proposed.unchanged(),
            });
        }
        Ok(Resolution::Rewrite(events))
    }
}

export_conflict_resolver!(Accounts);

#[cfg(test)]
mod tests {
    use lantern_sdk::testing::{ConflictSpec, Json, json};

    use super::*;

    fn renamed(name: &str, before: &str) -> (&'static str, Json) {
        ("Renamed", json!({ "name": name, "before": before }))
    }

    #[test]
    fn a_second_new_name_follows_the_first() {
        ConflictSpec::<Accounts>::unseen([renamed("Anna", "Ann")])
            .when([renamed("Annie", "Ann"), ("Closed", json!({}))])
            .then_rewritten([renamed("Annie", "Anna"), ("Closed", json!({}))]);
    }

    #[test]
    fn an_account_that_was_closed_stays_as_it_was() {
        ConflictSpec::<Accounts>::unseen([("Closed", json!({}))])
            .when([renamed("Annie", "Ann")])
            .then_rejected("the account was closed");
    }

    #[test]
    fn an_event_that_it_does_not_know_is_not_decided_on() {
        ConflictSpec::<Accounts>::unseen([("Merged", json!({}))]).when([renamed("Annie", "Ann")]).then_error("Merged");
    }
}

//! Edits of a shopping cart from two devices at the same time: both stay, unless they are about the same item or the
//! cart is checked out.

use lantern_sdk::prelude::*;

#[derive(Serialize, Deserialize)]
enum Event {
    ItemAdded { item: String, quantity: u32 },
    QuantityChanged { item: String, quantity: u32 },
    ItemRemoved { item: String },
    CheckedOut {},
}

impl Event {
    /// The item whose former quantity no longer counts.
    fn replaces(&self) -> Option<&str> {
        match self {
            Self::QuantityChanged { item, .. } | Self::ItemRemoved { item } => Some(item),
            Self::ItemAdded { .. } | Self::CheckedOut {} => None,
        }
    }

    fn item(&self) -> Option<&str> {
        match self {
            Self::ItemAdded { item, .. } | Self::QuantityChanged { item, .. } | Self::ItemRemoved { item } => {
                Some(item)
            }
            Self::CheckedOut {} => None,
        }
    }
}

struct CartMerge;

impl ConflictResolver for CartMerge {
    const NAME: &str = "cart-merge";
    const CATEGORIES: &[&str] = &["cart"];
    type Event = Event;

    fn resolve(conflict: &Conflict<Event>) -> Result<Resolution, Error> {
        for proposed in &conflict.proposed {
            for unseen in &conflict.unseen {
                if let Some(reason) = why_not_both(&unseen.data, &proposed.data) {
                    return Ok(Resolution::Reject(reason));
                }
            }
        }
        Ok(Resolution::Accept)
    }
}

/// Why an event cannot follow one that its writer had not seen.
fn why_not_both(unseen: &Event, proposed: &Event) -> Option<String> {
    match (unseen, proposed) {
        (Event::CheckedOut {}, _) => Some("the cart is checked out".to_owned()),
        (_, Event::CheckedOut {}) => Some("the cart was changed; look at it again before you check out".to_owned()),
        // Added twice is added together: what counts is the sum.
        (unseen, proposed) => {
            let replaced = unseen.replaces().or(proposed.replaces())?;
            let same = unseen.item() == proposed.item();
            same.then(|| format!("{replaced} was changed at the same time; look at the cart again"))
        }
    }
}

export_conflict_resolver!(CartMerge);

#[cfg(test)]
mod tests {
    use lantern_sdk::testing::{ConflictSpec, Resolved, json};
    use serde_json::Value;

    use super::*;

    fn added(item: &str) -> (&'static str, Value) {
        ("ItemAdded", json!({ "item": item, "quantity": 1 }))
    }

    fn removed(item: &str) -> (&'static str, Value) {
        ("ItemRemoved", json!({ "item": item }))
    }

    fn when(unseen: (&str, Value), proposed: (&str, Value)) -> Resolved<CartMerge> {
        ConflictSpec::<CartMerge>::unseen([unseen]).when([proposed])
    }

    #[test]
    fn edits_of_different_items_and_more_of_the_same_item_both_stay() {
        when(added("tea"), added("milk")).then_accepted();
        when(removed("tea"), added("milk")).then_accepted();
        when(added("tea"), added("tea")).then_accepted();
    }

    #[test]
    fn an_item_that_was_changed_meanwhile_is_not_changed_blindly() {
        when(added("tea"), removed("tea")).then_rejected("tea was changed");
        when(removed("tea"), added("tea")).then_rejected("tea was changed");
    }

    #[test]
    fn nothing_follows_a_checkout_and_no_checkout_follows_what_was_not_seen() {
        when(("CheckedOut", json!({})), added("tea")).then_rejected("checked out");
        when(added("tea"), ("CheckedOut", json!({}))).then_rejected("look at it again");
    }
}

//! The orders in the typed world, as a careful author writes them: each call fetches the rows it needs at once, folds in
//! memory, and writes what changed at once.

use std::collections::{HashMap, HashSet};

use orders::{Change, Customer, Order};
use orders_rows::bindings::lantern::plugin::schema::ProjectionDescription;
use orders_rows::{Event, Stored, bindings, description, key, read_model, writes};

struct Typed;

impl bindings::Guest for Typed {
    fn describe() -> ProjectionDescription {
        description("orders-typed")
    }

    fn apply(events: Vec<Event>) -> Result<(), String> {
        let changes = events
            .iter()
            .map(|event| {
                let order = event.stream.split_once('-').map_or("", |(_, id)| id);
                let change = Change::from(orders::Event::parse(&event.event_type, event.data.as_bytes())?);
                Ok((order, event.time, change))
            })
            .collect::<Result<Vec<_>, String>>()?;
        let mut orders = fetch::<Order>(changes.iter().map(|(order, ..)| *order));
        let mut customers = fetch::<Customer>(changes.iter().map(|(.., change)| change.customer));
        for (order, time, change) in &changes {
            orders.get_mut(order).expect("fetched").apply(change, *time);
            customers.get_mut(change.customer).expect("fetched").apply(change, *time);
        }
        store(orders);
        store(customers);
        Ok(())
    }
}

/// The rows with these keys; one that is not there is made.
fn fetch<'a, R: Stored>(keys: impl Iterator<Item = &'a str>) -> HashMap<&'a str, R> {
    let keys: Vec<&str> = keys.collect::<HashSet<_>>().into_iter().collect();
    let wanted: Vec<_> = keys.iter().map(|text| key(text)).collect();
    let found = read_model::get_many(R::TABLE, &wanted);
    keys.into_iter().zip(found).map(|(key, row)| (key, row.map_or_else(|| R::with_key(key), R::from_row))).collect()
}

fn store<R: Stored>(rows: HashMap<&str, R>) {
    let rows: Vec<_> = rows.into_values().map(R::into_row).collect();
    writes::put_many(R::TABLE, &rows);
}

bindings::export!(Typed with_types_in bindings);

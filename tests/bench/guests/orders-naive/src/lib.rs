//! The orders in the typed world, as one writes them first: a get and a put for each row of each event.

use orders::{Change, Customer, Order};
use orders_rows::bindings::lantern::plugin::schema::ProjectionDescription;
use orders_rows::{Event, Stored, bindings, description, key, read_model, writes};

struct Naive;

impl bindings::Guest for Naive {
    fn describe() -> ProjectionDescription {
        description("orders-naive")
    }

    fn apply(events: Vec<Event>) -> Result<(), String> {
        for event in &events {
            let change = Change::from(orders::Event::parse(&event.event_type, event.data.as_bytes())?);
            let mut order: Order = get(event.stream.split_once('-').map_or("", |(_, id)| id));
            order.apply(&change, event.time);
            put(order);
            let mut customer: Customer = get(change.customer);
            customer.apply(&change, event.time);
            put(customer);
        }
        Ok(())
    }
}

fn get<R: Stored>(text: &str) -> R {
    read_model::get(R::TABLE, &key(text)).map_or_else(|| R::with_key(text), R::from_row)
}

fn put<R: Stored>(row: R) {
    writes::put(R::TABLE, &row.into_row());
}

bindings::export!(Naive with_types_in bindings);

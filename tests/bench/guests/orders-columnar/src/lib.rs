//! The projection of the benchmark as an author writes it with the SDK, for two ways to decode events.

use std::marker::PhantomData;

use lantern_sdk::EventData;
use lantern_sdk::prelude::*;
use orders::Change;

table! {
    pub struct Order in "orders" {
        key order_id: String,
        customer: String,
        status: String,
        city: String,
        items: i64,
        total_cents: i64,
        paid_cents: i64,
        scans: i64,
        updated_at: i64,
    }
}

table! {
    pub struct Customer in "customers" {
        key customer: String,
        orders: i64,
        items: i64,
        paid_cents: i64,
        last_seen: i64,
    }
}

events! {
    /// The same events as [`orders::Event`], for the SDK's decoder.
    pub enum Fields<'a> {
        OrderPlaced { customer: &'a str, city: &'a str },
        ItemAdded { customer: &'a str, quantity: i64, unit_price_cents: i64 },
        ItemRemoved { customer: &'a str, quantity: i64, unit_price_cents: i64 },
        AddressChanged { customer: &'a str, city: &'a str },
        OrderPaid { customer: &'a str, amount_cents: i64 },
        OrderShipped { customer: &'a str },
        ParcelScanned { customer: &'a str, status: &'a str },
        OrderReturned { customer: &'a str, refund_cents: i64 },
    }
}

impl<'a> From<Fields<'a>> for Change<'a> {
    #[inline]
    fn from(event: Fields<'a>) -> Self {
        use orders::Event;
        Self::from(match event {
            Fields::OrderPlaced { customer, city } => Event::OrderPlaced(orders::OrderPlaced { customer, city }),
            Fields::ItemAdded { customer, quantity, unit_price_cents } => {
                Event::ItemAdded(orders::ItemAdded { customer, quantity, unit_price_cents })
            }
            Fields::ItemRemoved { customer, quantity, unit_price_cents } => {
                Event::ItemRemoved(orders::ItemRemoved { customer, quantity, unit_price_cents })
            }
            Fields::AddressChanged { customer, city } => {
                Event::AddressChanged(orders::AddressChanged { customer, city })
            }
            Fields::OrderPaid { customer, amount_cents } => {
                Event::OrderPaid(orders::OrderPaid { customer, amount_cents })
            }
            Fields::OrderShipped { customer } => Event::OrderShipped(orders::OrderShipped { customer }),
            Fields::ParcelScanned { customer, status } => {
                Event::ParcelScanned(orders::ParcelScanned { customer, status })
            }
            Fields::OrderReturned { customer, refund_cents } => {
                Event::OrderReturned(orders::OrderReturned { customer, refund_cents })
            }
        })
    }
}

/// How events are decoded.
pub trait Decoder: 'static {
    const NAME: &str;
    type Event<'a>: EventData<'a> + Into<Change<'a>>;
}

pub struct Orders<D>(PhantomData<D>);

impl<D: Decoder> Projection for Orders<D> {
    const NAME: &str = D::NAME;
    const READ_MODEL_VERSION: u32 = 1;
    const CATEGORIES: &[&str] = &["order"];
    type Event<'a> = D::Event<'a>;
    type Tables = (Table<Order>, Table<Customer>);

    fn apply<'a>(event: Recorded<'a, D::Event<'a>>, (orders, customers): &mut Self::Tables) -> Result<(), Error> {
        let change: Change<'a> = event.data.into();
        let order = orders.get_or_default(event.aggregate_id);
        change.customer.clone_into(&mut order.customer);
        if !change.status.is_empty() {
            change.status.clone_into(&mut order.status);
        }
        if !change.city.is_empty() {
            change.city.clone_into(&mut order.city);
        }
        order.items += change.items;
        order.total_cents += change.total_cents;
        order.paid_cents += change.paid_cents;
        order.scans += change.scans;
        order.updated_at = event.time_micros;
        let customer = customers.get_or_default(change.customer);
        customer.orders += change.orders;
        customer.items += change.items;
        customer.paid_cents += change.paid_cents;
        customer.last_seen = event.time_micros;
        Ok(())
    }
}

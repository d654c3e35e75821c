//! The order events of the benchmark, and what each does to the row of its order and to that of its customer. Every
//! program of the benchmark, native or not, folds with this.

use serde::Deserialize;

#[derive(Deserialize)]
pub struct OrderPlaced<'a> {
    pub customer: &'a str,
    pub city: &'a str,
}

#[derive(Deserialize)]
pub struct ItemAdded<'a> {
    pub customer: &'a str,
    pub quantity: i64,
    pub unit_price_cents: i64,
}

#[derive(Deserialize)]
pub struct ItemRemoved<'a> {
    pub customer: &'a str,
    pub quantity: i64,
    pub unit_price_cents: i64,
}

#[derive(Deserialize)]
pub struct AddressChanged<'a> {
    pub customer: &'a str,
    pub city: &'a str,
}

#[derive(Deserialize)]
pub struct OrderPaid<'a> {
    pub customer: &'a str,
    pub amount_cents: i64,
}

#[derive(Deserialize)]
pub struct OrderShipped<'a> {
    pub customer: &'a str,
}

#[derive(Deserialize)]
pub struct ParcelScanned<'a> {
    pub customer: &'a str,
    pub status: &'a str,
}

#[derive(Deserialize)]
pub struct OrderReturned<'a> {
    pub customer: &'a str,
    pub refund_cents: i64,
}

/// Any event of an order. As an enum of serde, its variants are the event types.
#[derive(Deserialize)]
pub enum Event<'a> {
    #[serde(borrow)]
    OrderPlaced(OrderPlaced<'a>),
    ItemAdded(ItemAdded<'a>),
    ItemRemoved(ItemRemoved<'a>),
    AddressChanged(AddressChanged<'a>),
    OrderPaid(OrderPaid<'a>),
    OrderShipped(OrderShipped<'a>),
    ParcelScanned(ParcelScanned<'a>),
    OrderReturned(OrderReturned<'a>),
}

impl<'a> Event<'a> {
    /// From JSON, as one writes it by hand.
    ///
    /// # Errors
    /// When the type is not one of an order, or the data does not fit it.
    #[inline]
    pub fn parse(event_type: &str, data: &'a [u8]) -> Result<Self, String> {
        let parsed = match event_type {
            "OrderPlaced" => serde_json::from_slice(data).map(Self::OrderPlaced),
            "ItemAdded" => serde_json::from_slice(data).map(Self::ItemAdded),
            "ItemRemoved" => serde_json::from_slice(data).map(Self::ItemRemoved),
            "AddressChanged" => serde_json::from_slice(data).map(Self::AddressChanged),
            "OrderPaid" => serde_json::from_slice(data).map(Self::OrderPaid),
            "OrderShipped" => serde_json::from_slice(data).map(Self::OrderShipped),
            "ParcelScanned" => serde_json::from_slice(data).map(Self::ParcelScanned),
            "OrderReturned" => serde_json::from_slice(data).map(Self::OrderReturned),
            other => return Err(format!("{other} is no event of an order")),
        };
        parsed.map_err(|error| format!("{event_type}: {error}"))
    }
}

/// What an event does. Numbers are added; a text that is empty leaves what was there.
#[derive(Clone, Copy, Default)]
pub struct Change<'a> {
    pub customer: &'a str,
    pub status: &'a str,
    pub city: &'a str,
    pub orders: i64,
    pub items: i64,
    pub total_cents: i64,
    pub paid_cents: i64,
    pub scans: i64,
}

impl<'a> From<Event<'a>> for Change<'a> {
    #[inline]
    fn from(event: Event<'a>) -> Self {
        let none = Change::default();
        match event {
            Event::OrderPlaced(OrderPlaced { customer, city }) => {
                Change { customer, status: "placed", city, orders: 1, ..none }
            }
            Event::ItemAdded(ItemAdded { customer, quantity, unit_price_cents }) => {
                Change { customer, items: quantity, total_cents: quantity * unit_price_cents, ..none }
            }
            Event::ItemRemoved(ItemRemoved { customer, quantity, unit_price_cents }) => {
                Change { customer, items: -quantity, total_cents: -quantity * unit_price_cents, ..none }
            }
            Event::AddressChanged(AddressChanged { customer, city }) => Change { customer, city, ..none },
            Event::OrderPaid(OrderPaid { customer, amount_cents }) => {
                Change { customer, status: "paid", paid_cents: amount_cents, ..none }
            }
            Event::OrderShipped(OrderShipped { customer }) => Change { customer, status: "shipped", ..none },
            Event::ParcelScanned(ParcelScanned { customer, status }) => Change { customer, status, scans: 1, ..none },
            Event::OrderReturned(OrderReturned { customer, refund_cents }) => {
                Change { customer, status: "returned", paid_cents: -refund_cents, ..none }
            }
        }
    }
}

/// A row of the table `orders`.
#[derive(Clone, Default)]
pub struct Order {
    pub order_id: String,
    pub customer: String,
    pub status: String,
    pub city: String,
    pub items: i64,
    pub total_cents: i64,
    pub paid_cents: i64,
    pub scans: i64,
    pub updated_at: i64,
}

/// A row of the table `customers`.
#[derive(Clone, Default)]
pub struct Customer {
    pub customer: String,
    pub orders: i64,
    pub items: i64,
    pub paid_cents: i64,
    pub last_seen: i64,
}

impl Order {
    #[inline]
    pub fn apply(&mut self, change: &Change<'_>, time: i64) {
        change.customer.clone_into(&mut self.customer);
        if !change.status.is_empty() {
            change.status.clone_into(&mut self.status);
        }
        if !change.city.is_empty() {
            change.city.clone_into(&mut self.city);
        }
        self.items += change.items;
        self.total_cents += change.total_cents;
        self.paid_cents += change.paid_cents;
        self.scans += change.scans;
        self.updated_at = time;
    }
}

impl Customer {
    #[inline]
    pub fn apply(&mut self, change: &Change<'_>, time: i64) {
        self.orders += change.orders;
        self.items += change.items;
        self.paid_cents += change.paid_cents;
        self.last_seen = time;
    }
}

//! What a plugin of the world `projection` needs when it is written straight on `wit/`, without the SDK: the bindings,
//! the description, and rows from and to values.

use orders::{Customer, Order};

pub mod bindings {
    //! Generated from `wit/`.

    #![allow(clippy::all, clippy::unwrap_used, unused_qualifications, unsafe_op_in_unsafe_fn)]

    wit_bindgen::generate!({
        path: "../../../../wit",
        world: "projection",
        pub_export_macro: true,
        default_bindings_module: "orders_rows::bindings",
    });
}

pub use bindings::lantern::plugin::events::Event;
pub use bindings::lantern::plugin::read_model::{self, Row, Value};
pub use bindings::lantern::plugin::read_model_writes as writes;
use bindings::lantern::plugin::schema::{Column, ColumnType, Table};

use bindings::lantern::plugin::events::Interest;
use bindings::lantern::plugin::schema::ProjectionDescription;

const EVENT_TYPES: [&str; 8] = [
    "OrderPlaced",
    "ItemAdded",
    "ItemRemoved",
    "AddressChanged",
    "OrderPaid",
    "OrderShipped",
    "ParcelScanned",
    "OrderReturned",
];

/// The tables `orders` and `customers`, of all events of orders.
pub fn description(name: &str) -> ProjectionDescription {
    ProjectionDescription {
        name: name.to_owned(),
        read_model_version: 1,
        interests: vec![Interest {
            category: Some("order".to_owned()),
            event_types: EVENT_TYPES.map(str::to_owned).to_vec(),
        }],
        tables: vec![
            table(
                "orders",
                &["order_id", "customer", "status", "city"],
                &["items", "total_cents", "paid_cents", "scans", "updated_at"],
            ),
            table("customers", &["customer"], &["orders", "items", "paid_cents", "last_seen"]),
        ],
    }
}

/// A table of texts, the first of which is the key, and then integers.
fn table(name: &str, texts: &[&str], integers: &[&str]) -> Table {
    let columns = |names: &[&str], column_type| -> Vec<Column> {
        names.iter().map(|name| Column { name: (*name).to_owned(), column_type, nullable: false }).collect()
    };
    Table {
        name: name.to_owned(),
        columns: [columns(texts, ColumnType::Text), columns(integers, ColumnType::Integer)].concat(),
        primary_key: vec![texts[0].to_owned()],
        indexes: Vec::new(),
    }
}

pub fn key(text: &str) -> Vec<Value> {
    vec![Value::Text(text.to_owned())]
}

/// A row of one of the two tables.
pub trait Stored: Default {
    const TABLE: &str;

    fn with_key(key: &str) -> Self;

    fn from_row(row: Row) -> Self;

    fn into_row(self) -> Row;
}

impl Stored for Order {
    const TABLE: &str = "orders";

    fn with_key(key: &str) -> Self {
        Self { order_id: key.to_owned(), ..Self::default() }
    }

    fn from_row(row: Row) -> Self {
        let mut cells = row.into_iter();
        Self {
            order_id: text(cells.next()),
            customer: text(cells.next()),
            status: text(cells.next()),
            city: text(cells.next()),
            items: integer(cells.next()),
            total_cents: integer(cells.next()),
            paid_cents: integer(cells.next()),
            scans: integer(cells.next()),
            updated_at: integer(cells.next()),
        }
    }

    fn into_row(self) -> Row {
        let texts = [self.order_id, self.customer, self.status, self.city].map(Value::Text);
        let integers = [self.items, self.total_cents, self.paid_cents, self.scans, self.updated_at].map(Value::Integer);
        texts.into_iter().chain(integers).collect()
    }
}

impl Stored for Customer {
    const TABLE: &str = "customers";

    fn with_key(key: &str) -> Self {
        Self { customer: key.to_owned(), ..Self::default() }
    }

    fn from_row(row: Row) -> Self {
        let mut cells = row.into_iter();
        Self {
            customer: text(cells.next()),
            orders: integer(cells.next()),
            items: integer(cells.next()),
            paid_cents: integer(cells.next()),
            last_seen: integer(cells.next()),
        }
    }

    fn into_row(self) -> Row {
        let integers = [self.orders, self.items, self.paid_cents, self.last_seen].map(Value::Integer);
        std::iter::once(Value::Text(self.customer)).chain(integers).collect()
    }
}

fn text(cell: Option<Value>) -> String {
    match cell {
        Some(Value::Text(text)) => text,
        other => panic!("a text was declared and {other:?} is stored"),
    }
}

fn integer(cell: Option<Value>) -> i64 {
    match cell {
        Some(Value::Integer(integer)) => integer,
        other => panic!("an integer was declared and {other:?} is stored"),
    }
}

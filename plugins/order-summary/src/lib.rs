//! A row for each order and a row for each customer.

use lantern_sdk::prelude::*;

table! {
    /// Where an order stands.
    pub struct Order in "orders" {
        key order_id: String,
        customer: String,
        /// placed, paid, shipped or cancelled.
        status: String,
        items: i64,
        total_cents: i64,
        placed_at_micros: i64,
        index orders_by_customer(customer),
    }
}

table! {
    /// What a customer ordered in all.
    pub struct Customer in "customers" {
        key customer: String,
        orders: i64,
        cancelled: i64,
        /// Totals of paid orders that were not cancelled.
        paid_cents: i64,
    }
}

#[derive(Deserialize)]
enum Event<'a> {
    OrderPlaced {
        #[serde(borrow)]
        customer: Cow<'a, str>,
    },
    ItemAdded {
        quantity: i64,
        unit_price_cents: i64,
    },
    OrderPaid,
    OrderShipped,
    OrderCancelled,
}

struct OrderSummary;

impl Projection for OrderSummary {
    const NAME: &str = "order-summary";
    const READ_MODEL_VERSION: u32 = 1;
    const CATEGORIES: &[&str] = &["order"];
    type Event<'a> = Event<'a>;
    type Tables = (Table<Order>, Table<Customer>);

    fn apply(event: Recorded<Event>, (orders, customers): &mut Self::Tables) -> Result<(), Error> {
        if let Event::OrderPlaced { customer } = event.data {
            customers.get_or_default(&customer).orders += 1;
            orders.put(Order {
                customer: customer.into_owned(),
                status: "placed".into(),
                placed_at_micros: event.time_micros,
                ..Order::with_key(event.aggregate_id)
            });
            return Ok(());
        }
        let Some(order) = orders.get_mut(event.aggregate_id) else { bail!("{} before OrderPlaced", event.event_type) };
        let customer = customers.get_or_default(&order.customer);
        match event.data {
            Event::OrderPlaced { .. } => {}
            Event::ItemAdded { quantity, unit_price_cents } => {
                order.items += quantity;
                order.total_cents += quantity * unit_price_cents;
            }
            Event::OrderPaid => {
                order.status = "paid".into();
                customer.paid_cents += order.total_cents;
            }
            Event::OrderShipped => order.status = "shipped".into(),
            Event::OrderCancelled => {
                if order.status != "placed" {
                    customer.paid_cents -= order.total_cents;
                }
                customer.cancelled += 1;
                order.status = "cancelled".into();
            }
        }
        Ok(())
    }
}

export_projection!(OrderSummary);

#[cfg(test)]
mod tests {
    use lantern_sdk::testing::{ProjectionSpec, TestEvent, event, json};

    use super::*;

    fn placed(order: &str, customer: &str) -> TestEvent {
        TestEvent { time_micros: 1_000, ..event(order, "OrderPlaced", json!({ "customer": customer })) }
    }

    fn item(order: &str, quantity: i64, unit_price_cents: i64) -> TestEvent {
        let data = json!({ "product": "tea", "quantity": quantity, "unit_price_cents": unit_price_cents });
        event(order, "ItemAdded", data)
    }

    fn plain(order: &str, event_type: &str) -> TestEvent {
        event(order, event_type, json!({}))
    }

    fn order(order_id: &str, status: &str, items: i64, total_cents: i64) -> Order {
        let (order_id, customer) = (order_id.into(), "ann".into());
        Order { order_id, customer, status: status.into(), items, total_cents, placed_at_micros: 1_000 }
    }

    fn ann(orders: i64, cancelled: i64, paid_cents: i64) -> Customer {
        Customer { customer: "ann".into(), orders, cancelled, paid_cents }
    }

    #[test]
    fn an_order_adds_up_its_items() {
        ProjectionSpec::<OrderSummary>::given([placed("order-1", "ann")])
            .when([item("order-1", 2, 250), item("order-1", 1, 99)])
            .then_rows([order("1", "placed", 3, 599)])
            .then_rows([ann(1, 0, 0)]);
    }

    #[test]
    fn a_customer_adds_up_the_paid_orders() {
        let first = [placed("order-1", "ann"), item("order-1", 1, 500), plain("order-1", "OrderPaid")];
        let second = [placed("order-2", "ann"), item("order-2", 1, 70), plain("order-2", "OrderPaid")];
        ProjectionSpec::<OrderSummary>::given(first)
            .when(second.into_iter().chain([plain("order-1", "OrderShipped"), placed("order-3", "bob \"b\"")]))
            .then_row(order("1", "shipped", 1, 500))
            .then_row(order("2", "paid", 1, 70))
            .then_row(ann(2, 0, 570))
            .then_row(Customer { orders: 1, ..Customer::with_key("bob \"b\"") });
    }

    #[test]
    fn a_cancelled_order_gives_back_what_was_paid() {
        let given = [placed("order-1", "ann"), item("order-1", 1, 500), plain("order-1", "OrderPaid")];
        ProjectionSpec::<OrderSummary>::given(given)
            .when([plain("order-1", "OrderCancelled")])
            .then_rows([order("1", "cancelled", 1, 500)])
            .then_rows([ann(1, 1, 0)]);
    }

    #[test]
    fn an_order_that_was_never_paid_gives_nothing_back() {
        ProjectionSpec::<OrderSummary>::given([placed("order-1", "ann"), item("order-1", 1, 500)])
            .when([plain("order-1", "OrderCancelled")])
            .then_rows([ann(1, 1, 0)]);
    }

    #[test]
    fn an_order_starts_by_being_placed() {
        ProjectionSpec::<OrderSummary>::given([])
            .when([item("order-1", 1, 500)])
            .then_error("ItemAdded before OrderPlaced");
    }
}

//! A narrow projection: it wants one event in five hundred.

use lantern_sdk::prelude::*;

table! {
    pub struct Returns in "returns" {
        key customer: String,
        orders: i64,
        refund_cents: i64,
    }
}

events! {
    enum Event<'a> {
        OrderReturned { customer: &'a str, refund_cents: i64 },
    }
}

struct OrderReturns;

impl Projection for OrderReturns {
    const NAME: &str = "order-returns";
    const READ_MODEL_VERSION: u32 = 1;
    const CATEGORIES: &[&str] = &["order"];
    type Event<'a> = Event<'a>;
    type Tables = Table<Returns>;

    fn apply(event: Recorded<Event>, returns: &mut Table<Returns>) -> Result<(), Error> {
        let Event::OrderReturned { customer, refund_cents } = event.data;
        let row = returns.get_or_default(customer);
        row.orders += 1;
        row.refund_cents += refund_cents;
        Ok(())
    }
}

export_projection!(OrderReturns);

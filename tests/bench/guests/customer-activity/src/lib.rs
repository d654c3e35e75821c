//! A light projection that reads every event: how much each customer did, and when last.

use lantern_sdk::prelude::*;

table! {
    pub struct Activity in "activity" {
        key customer: String,
        events: i64,
        last_seen: i64,
    }
}

events! {
    enum Event<'a> {
        OrderPlaced { customer: &'a str },
        ItemAdded { customer: &'a str },
        ItemRemoved { customer: &'a str },
        AddressChanged { customer: &'a str },
        OrderPaid { customer: &'a str },
        OrderShipped { customer: &'a str },
        ParcelScanned { customer: &'a str },
        OrderReturned { customer: &'a str },
    }
}

struct CustomerActivity;

impl Projection for CustomerActivity {
    // The benchmark makes more plugins of this one by changing the digit.
    const NAME: &str = "customer-activity-0";
    const READ_MODEL_VERSION: u32 = 1;
    const CATEGORIES: &[&str] = &["order"];
    type Event<'a> = Event<'a>;
    type Tables = Table<Activity>;

    fn apply(event: Recorded<Event>, activity: &mut Table<Activity>) -> Result<(), Error> {
        let (Event::OrderPlaced { customer }
        | Event::ItemAdded { customer }
        | Event::ItemRemoved { customer }
        | Event::AddressChanged { customer }
        | Event::OrderPaid { customer }
        | Event::OrderShipped { customer }
        | Event::ParcelScanned { customer }
        | Event::OrderReturned { customer }) = event.data;
        let row = activity.get_or_default(customer);
        row.events += 1;
        row.last_seen = event.time_micros;
        Ok(())
    }
}

export_projection!(CustomerActivity);

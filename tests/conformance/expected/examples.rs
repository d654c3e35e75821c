//! The three example plugins, folded plainly.

use std::collections::BTreeMap;

use lantern_tests::Rows;
use rusqlite::types::Value as Cell;

use super::{Fields, Fold};
use crate::history::{CONFERENCE, Event, FLIGHTS, ORDER};

/// Seats and reserved seats of each conference.
#[derive(Default)]
pub struct Seats(BTreeMap<String, (i64, i64)>);

impl Fold for Seats {
    const NAME: &'static str = "seat-availability";

    fn reads(event: &Event) -> bool {
        let is_read =
            ["ConferenceOpened", "SeatsReserved", "ReservationCancelled"].contains(&event.event_type.as_str());
        event.category() == CONFERENCE && is_read
    }

    fn apply(&mut self, _: i64, _: u64, event: &Event) -> Result<(), String> {
        let seats = Fields::of(event)?.needed_integer("seats")?;
        let conference = self.0.entry(event.aggregate_id().to_owned()).or_default();
        match event.event_type.as_str() {
            "ConferenceOpened" => conference.0 = seats,
            "SeatsReserved" => conference.1 += seats,
            _ => conference.1 -= seats,
        }
        Ok(())
    }

    fn rows(&self) -> Rows {
        let row = |(id, (seats, reserved)): (&String, &(i64, i64))| {
            let available = seats - reserved;
            let overbooked = i64::from(available < 0);
            [vec![id.clone().into()], [*seats, *reserved, available, overbooked].map(Cell::from).to_vec()].concat()
        };
        Rows::from([("conferences".to_owned(), self.0.iter().map(row).collect())])
    }
}

#[derive(Default)]
pub struct Orders {
    orders: BTreeMap<String, Order>,
    /// Orders, cancelled ones, paid cents.
    customers: BTreeMap<String, (i64, i64, i64)>,
}

struct Order {
    customer: String,
    status: &'static str,
    items: i64,
    cents: i64,
    placed_at: i64,
}

impl Fold for Orders {
    const NAME: &'static str = "order-summary";

    fn reads(event: &Event) -> bool {
        event.category() == ORDER
    }

    fn apply(&mut self, _: i64, _: u64, event: &Event) -> Result<(), String> {
        let (id, event_type) = (event.aggregate_id().to_owned(), event.event_type.as_str());
        if event_type == "OrderPlaced" {
            let customer = Fields::of(event)?.needed_text("customer")?;
            self.customers.entry(customer.clone()).or_default().0 += 1;
            self.orders.insert(id, Order { customer, status: "placed", items: 0, cents: 0, placed_at: event.time.1 });
            return Ok(());
        }
        let order = self.orders.get_mut(&id).ok_or_else(|| format!("{event_type} before OrderPlaced"))?;
        let customer = self.customers.entry(order.customer.clone()).or_default();
        match event_type {
            "ItemAdded" => {
                let fields = Fields::of(event)?;
                let quantity = fields.needed_integer("quantity")?;
                order.items += quantity;
                order.cents += quantity * fields.needed_integer("unit_price_cents")?;
            }
            "OrderPaid" => {
                order.status = "paid";
                customer.2 += order.cents;
            }
            "OrderShipped" => order.status = "shipped",
            _ => {
                customer.2 -= if order.status == "placed" { 0 } else { order.cents };
                customer.1 += 1;
                order.status = "cancelled";
            }
        }
        Ok(())
    }

    fn rows(&self) -> Rows {
        let orders = self.orders.iter().map(|(id, order)| {
            let texts = [id, &order.customer, order.status].map(|text| Cell::from(text.to_owned()));
            [texts, [order.items, order.cents, order.placed_at].map(Cell::from)].concat()
        });
        let customers = self.customers.iter().map(|(customer, (orders, cancelled, paid))| {
            [vec![customer.clone().into()], [*orders, *cancelled, *paid].map(Cell::from).to_vec()].concat()
        });
        Rows::from([("orders".to_owned(), orders.collect()), ("customers".to_owned(), customers.collect())])
    }
}

#[derive(Default)]
pub struct Flights {
    /// Flights, cancelled ones, departures, minutes of delay.
    carriers: BTreeMap<String, (i64, i64, i64, i64)>,
    /// Flights, miles, the last destination.
    aircraft: BTreeMap<String, (i64, i64, String)>,
}

impl Fold for Flights {
    const NAME: &'static str = "flights";

    fn reads(event: &Event) -> bool {
        event.category() == FLIGHTS && event.event_type != "FlightArrived"
    }

    fn apply(&mut self, _: i64, _: u64, event: &Event) -> Result<(), String> {
        let fields = Fields::of(event)?;
        let carrier = self.carriers.entry(fields.needed_text("carrier")?).or_default();
        match event.event_type.as_str() {
            "FlightScheduled" => {
                carrier.0 += 1;
                let aircraft = self.aircraft.entry(event.aggregate_id().to_owned()).or_default();
                aircraft.0 += 1;
                aircraft.1 += fields.needed_integer("distance")?;
                aircraft.2 = fields.needed_text("dest")?;
            }
            "FlightDeparted" => {
                carrier.2 += 1;
                carrier.3 += fields.needed_integer("delay")?;
            }
            _ => carrier.1 += 1,
        }
        Ok(())
    }

    fn rows(&self) -> Rows {
        let carriers = self.carriers.iter().map(|(carrier, (flights, cancelled, departures, delay))| {
            let mean = (*departures > 0).then(|| *delay as f64 / *departures as f64);
            let counts = [*flights, *cancelled, *departures, *delay].map(Cell::from).to_vec();
            [vec![carrier.clone().into()], counts, vec![mean.into()]].concat()
        });
        let aircraft = self.aircraft.iter().map(|(tail_number, (flights, miles, destination))| {
            vec![tail_number.clone().into(), (*flights).into(), (*miles).into(), destination.clone().into()]
        });
        Rows::from([("carriers".to_owned(), carriers.collect()), ("aircraft".to_owned(), aircraft.collect())])
    }
}

//! The events: orders that are placed, filled, paid, shipped and seldom returned. The same seed, the same events.

use lantern::event::{JSON, NewEvent, StreamName, Timestamp};
use lantern_tests::Seeded;
use uuid::{Builder, Uuid};

/// Raise it when the events change: kept logs are then made again.
pub const EDITION: u32 = 1;

const CUSTOMERS: u64 = 20_000;
/// 2026-01-01T00:00:00Z, in microseconds.
const START: i64 = 1_767_225_600_000_000;
/// Between two events, in microseconds.
const STEP: i64 = 1_500;

const CITIES: [&str; 8] = ["Porto", "Lisbon", "Gdańsk", "Berlin", "Ghent", "Oslo", "Lyon", "São Paulo"];
const TITLES: [&str; 4] = [r#"Teapot \"Aki\", 1.2 l"#, "Bowl, set of 4", "Thé vert 250 g", "Bamboo whisk"];

/// How many orders are under way at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Pattern {
    /// 750: orders live for a while, then end.
    Clustered,
    /// 100,000, picked uniformly: few changes fall on the same row.
    Wide,
}

impl Pattern {
    pub fn name(self) -> &'static str {
        match self {
            Self::Clustered => "clustered",
            Self::Wide => "wide",
        }
    }

    fn orders_at_once(self) -> usize {
        match self {
            Self::Clustered => 750,
            Self::Wide => 100_000,
        }
    }
}

/// The events of a history, without end.
pub struct Workload {
    random: Seeded,
    under_way: Vec<Option<Order>>,
    time: i64,
}

struct Order {
    stream: StreamName,
    customer: u64,
    /// Events so far, and in all.
    step: u64,
    steps: u64,
}

impl Workload {
    pub fn new(pattern: Pattern) -> Self {
        let under_way = std::iter::repeat_with(|| None).take(pattern.orders_at_once()).collect();
        Self { random: Seeded::new(7), under_way, time: START }
    }

    fn id(&mut self) -> Uuid {
        let random =
            (u128::from(self.random.below(u64::MAX)) << 64 | u128::from(self.random.below(u64::MAX))).to_be_bytes();
        let mut tail = [0; 10];
        tail.copy_from_slice(&random[..10]);
        Builder::from_unix_timestamp_millis((self.time / 1000) as u64, &tail).into_uuid()
    }

    fn place(&mut self) -> Order {
        let stream = StreamName::of("order", &self.id().to_string()).expect("a valid name");
        Order { stream, customer: self.random.below(CUSTOMERS), step: 0, steps: 12 + self.random.below(17) }
    }
}

impl Iterator for Workload {
    type Item = (StreamName, NewEvent);

    fn next(&mut self) -> Option<Self::Item> {
        self.time += STEP;
        let place = self.random.below(self.under_way.len() as u64) as usize;
        let mut order = self.under_way[place].take().unwrap_or_else(|| self.place());
        let (event_type, fields) = happening(&order, &mut self.random);
        let event = NewEvent {
            id: self.id(),
            event_type: event_type.to_owned(),
            schema_version: 1,
            time: Timestamp(self.time),
            content_type: JSON.to_owned(),
            data: format!(r#"{{"customer":"c-{:05}",{fields}}}"#, order.customer).into_bytes(),
            metadata: format!(r#"{{"user":"u-{:04}","app":"w"}}"#, self.random.below(500)),
        };
        let stream = order.stream.clone();
        order.step += 1;
        if order.step < order.steps {
            self.under_way[place] = Some(order);
        }
        Some((stream, event))
    }
}

/// What happens next to an order, and the fields that tell of it.
fn happening(order: &Order, random: &mut Seeded) -> (&'static str, String) {
    let (paid, last) = (order.steps / 2, order.steps - 1);
    let city = CITIES[random.below(8) as usize];
    let number = random.below(100_000);
    let (quantity, cents) = (1 + random.below(5), 99 + random.below(9_900));
    if order.step == 0 {
        let fields = format!(
            r#""city":"{city}","street":"Rua das Flores {}","zip":"{number:05}","channel":"web","currency":"EUR","coupon":null,"newsletter":false,"locale":"pt-PT""#,
            quantity
        );
        return ("OrderPlaced", fields);
    }
    if order.step < paid {
        return match random.below(10) {
            0 => (
                "AddressChanged",
                format!(
                    r#""city":"{city}","street":"Lange Straße {quantity}","zip":"{number:05}","country":"DE","phone":"+49 30 {number}","verified":true,"by":"customer""#
                ),
            ),
            1 => (
                "ItemRemoved",
                format!(
                    r#""sku":"SKU-{number:06}","quantity":1,"unit_price_cents":{cents},"reason":"changed my mind","warehouse":"LIS-2","by":"customer","restocked":true"#
                ),
            ),
            _ => (
                "ItemAdded",
                format!(
                    r#""sku":"SKU-{number:06}","title":"{}","quantity":{quantity},"unit_price_cents":{cents},"tax_percent":23,"warehouse":"LIS-2","gift":false,"note":null"#,
                    TITLES[random.below(4) as usize]
                ),
            ),
        };
    }
    if order.step == paid {
        return (
            "OrderPaid",
            format!(
                r#""amount_cents":{},"currency":"EUR","method":"card","provider":"acme-pay","transaction":"tx-{number:08}","installments":1,"fraud_score":0.02"#,
                cents * quantity
            ),
        );
    }
    if order.step == paid + 1 {
        return (
            "OrderShipped",
            format!(
                r#""carrier":"CTT","tracking":"PT{number:09}","parcels":1,"weight_grams":{cents},"insured":true,"service":"express","warehouse":"LIS-2""#
            ),
        );
    }
    if order.step == last && number < 4_000 {
        return (
            "OrderReturned",
            format!(
                r#""refund_cents":{cents},"currency":"EUR","reason":"too small","inspected_by":"w-{quantity}","condition":"as new","restocked":true"#
            ),
        );
    }
    let status = if order.step == last { "delivered" } else { "in transit" };
    (
        "ParcelScanned",
        format!(
            r#""status":"{status}","hub":"{city}-{quantity}","tracking":"PT{number:09}","belt":7,"celsius":18.5,"latitude":40.4168,"longitude":-3.7038"#
        ),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    #[test]
    fn the_same_history_comes_twice() {
        let take = || Workload::new(Pattern::Clustered).take(5_000).collect::<Vec<_>>();
        assert_eq!(take(), take());
    }

    #[test]
    fn the_history_has_the_shape_that_the_benchmark_tells_of() {
        let events: Vec<_> = Workload::new(Pattern::Clustered).take(200_000).collect();
        let mut types: HashMap<&str, u64> = HashMap::new();
        events.iter().for_each(|(_, event)| *types.entry(&event.event_type).or_default() += 1);
        assert_eq!(types.len(), 8);
        assert!((300..500).contains(&types["OrderReturned"]), "0.2 % are returns: {types:?}");
        let streams: HashSet<_> = events.iter().map(|(stream, _)| stream).collect();
        assert!((9_500..11_500).contains(&streams.len()), "{} streams", streams.len());
        let bytes: usize = events.iter().map(|(_, event)| event.data.len()).sum();
        assert!((155..175).contains(&(bytes / events.len())), "{} bytes of JSON", bytes / events.len());
        for (_, event) in &events[..2_000] {
            orders::Event::parse(&event.event_type, &event.data).expect("every event fits");
        }
    }
}

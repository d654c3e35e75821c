//! Replays the benchmark's events with cqrs-es and sqlite-es.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use cqrs_es::persist::{PersistedEventRepository, QueryReplay, SerializedEvent};
use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent, EventEnvelope, Query};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlite_es::{SqliteEventRepository, default_sqlite_pool};
use sqlx::{Pool, Sqlite};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum OrderEvent {
    OrderPlaced { customer: String, city: String },
    ItemAdded { customer: String, quantity: i64, unit_price_cents: i64 },
    ItemRemoved { customer: String, quantity: i64, unit_price_cents: i64 },
    AddressChanged { customer: String, city: String },
    OrderPaid { customer: String, amount_cents: i64 },
    OrderShipped { customer: String },
    ParcelScanned { customer: String, status: String },
    OrderReturned { customer: String, refund_cents: i64 },
}

impl DomainEvent for OrderEvent {
    fn event_type(&self) -> String {
        format!("{self:?}").split(' ').next().unwrap_or_default().to_owned()
    }

    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Order;

impl Aggregate for Order {
    const TYPE: &'static str = "order";
    type Command = ();
    type Event = OrderEvent;
    type Error = std::fmt::Error;
    type Services = ();

    async fn handle(&mut self, _: (), _: &(), _: &EventSink<Self>) -> Result<(), std::fmt::Error> {
        Ok(())
    }

    fn apply(&mut self, _: OrderEvent) {}
}

/// What an event adds to the rows; an empty text leaves what was there.
#[derive(Default)]
struct Change<'a> {
    customer: &'a str,
    status: &'a str,
    city: &'a str,
    orders: i64,
    items: i64,
    total_cents: i64,
    paid_cents: i64,
    scans: i64,
}

fn change(event: &OrderEvent) -> Change<'_> {
    use OrderEvent::*;
    let none = Change::default();
    match event {
        OrderPlaced { customer, city } => Change { customer, city, status: "placed", orders: 1, ..none },
        ItemAdded { customer, quantity, unit_price_cents } => {
            Change { customer, items: *quantity, total_cents: quantity * unit_price_cents, ..none }
        }
        ItemRemoved { customer, quantity, unit_price_cents } => {
            Change { customer, items: -quantity, total_cents: -quantity * unit_price_cents, ..none }
        }
        AddressChanged { customer, city } => Change { customer, city, ..none },
        OrderPaid { customer, amount_cents } => Change { customer, status: "paid", paid_cents: *amount_cents, ..none },
        OrderShipped { customer } => Change { customer, status: "shipped", ..none },
        ParcelScanned { customer, status } => Change { customer, status, scans: 1, ..none },
        OrderReturned { customer, refund_cents } => {
            Change { customer, status: "returned", paid_cents: -refund_cents, ..none }
        }
    }
}

const TABLES: &str = "
    CREATE TABLE orders (order_id TEXT PRIMARY KEY, customer TEXT, status TEXT, city TEXT, items INTEGER,
        total_cents INTEGER, paid_cents INTEGER, scans INTEGER, updated_at INTEGER) WITHOUT ROWID;
    CREATE TABLE customers (customer TEXT PRIMARY KEY, orders INTEGER, items INTEGER, paid_cents INTEGER,
        last_seen INTEGER) WITHOUT ROWID;
";
const PUT_ORDER: &str = "INSERT INTO orders VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
    ON CONFLICT (order_id) DO UPDATE SET
        status = CASE ?3 WHEN '' THEN status ELSE ?3 END, city = CASE ?4 WHEN '' THEN city ELSE ?4 END,
        items = items + ?5, total_cents = total_cents + ?6, paid_cents = paid_cents + ?7, scans = scans + ?8,
        updated_at = ?9";
// A replay goes through the orders side by side, not through the log: the last event of a customer may come earlier.
const PUT_CUSTOMER: &str = "INSERT INTO customers VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (customer) DO UPDATE SET orders = orders + ?2, items = items + ?3, paid_cents = paid_cents + ?4,
        last_seen = max(last_seen, ?5)";

struct Tables(Pool<Sqlite>);

impl Tables {
    async fn apply(&self, order: &str, event: &EventEnvelope<Order>) -> Result<(), Box<dyn std::error::Error>> {
        let Change { customer, status, city, orders, items, total_cents, paid_cents, scans } = change(&event.payload);
        let time: i64 = event.metadata["time"].parse()?;
        let mut transaction = self.0.begin().await?;
        let put = sqlx::query(PUT_ORDER).bind(order).bind(customer).bind(status).bind(city).bind(items);
        let put = put.bind(total_cents).bind(paid_cents).bind(scans).bind(time);
        put.execute(&mut *transaction).await?;
        let put = sqlx::query(PUT_CUSTOMER).bind(customer).bind(orders).bind(items).bind(paid_cents).bind(time);
        put.execute(&mut *transaction).await?;
        Ok(transaction.commit().await?)
    }
}

#[async_trait]
impl Query<Order> for Tables {
    async fn dispatch(&self, order: &str, events: &[EventEnvelope<Order>]) {
        for event in events {
            self.apply(order, event).await.expect("the rows can be written");
        }
    }
}

#[derive(Deserialize)]
struct Line {
    stream: String,
    r#type: String,
    time: i64,
    data: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).expect("the file of the events");
    let store = default_sqlite_pool("sqlite://store.db").await;
    sqlx::raw_sql(
        "CREATE TABLE events (aggregate_type text NOT NULL, aggregate_id text NOT NULL,
            sequence integer CHECK (sequence >= 0) NOT NULL, event_type text NOT NULL, event_version text NOT NULL,
            payload text NOT NULL, metadata text NOT NULL, PRIMARY KEY (aggregate_type, aggregate_id, sequence)) STRICT",
    )
    .execute(&store)
    .await?;
    let repository = SqliteEventRepository::new(store);
    let count = import(&path, &repository).await?;

    let rows = default_sqlite_pool("sqlite://rows.db").await;
    sqlx::raw_sql(TABLES).execute(&rows).await?;
    let replay = QueryReplay::new(repository, Tables(rows.clone()));
    let (wall, cpu) = (Instant::now(), cpu_time());
    replay.replay_all().await?;
    let (wall, cpu) = (wall.elapsed(), cpu_time() - cpu);
    rows.close().await;
    let (per_second, micros) = (count as f64 / wall.as_secs_f64(), cpu.as_secs_f64() * 1e6 / count as f64);
    println!("| cqrs-es 0.5 with sqlite-es 0.5 | {count} | {per_second:.0} | {micros:.1} |");
    Ok(())
}

async fn import(path: &str, repository: &SqliteEventRepository) -> Result<usize, Box<dyn std::error::Error>> {
    let mut versions: HashMap<String, usize> = HashMap::new();
    let mut events = Vec::new();
    for line in BufReader::new(std::fs::File::open(path)?).lines() {
        let line: Line = serde_json::from_str(&line?)?;
        let order = line.stream.trim_start_matches("order-").to_owned();
        let sequence = versions.entry(order.clone()).or_default();
        *sequence += 1;
        let payload = json!({ &line.r#type: serde_json::from_str::<Value>(&line.data)? });
        let metadata = json!({ "time": line.time.to_string() });
        events.push(SerializedEvent::new(order, *sequence, "order".into(), line.r#type, "1".into(), payload, metadata));
    }
    for chunk in events.chunks(1_000) {
        repository.persist::<Order>(chunk, None).await?;
    }
    Ok(events.len())
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

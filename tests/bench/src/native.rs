//! Programs that a user might write instead of a plugin, straight on SQLite. They read the file of Lantern's own log, so
//! that all programs have the same storage; unlike Lantern they verify no checksum and keep no checkpoint.

use std::path::Path;

use anyhow::{Context, anyhow};
use hashbrown::HashTable;
use lantern::event::{EventBatch, Interest, Position};
use lantern::event_store::{EventStore, ReadLimit};
use lantern::projection::RunnerOptions;
use lantern_sdk::{EventData, Payload};
use orders::{Change, Customer, Event, Order};
use orders_columnar::Fields;
use rusqlite::{Connection, OpenFlags, params};

use crate::rows::TABLES;

/// How a program gets at what an event says.
pub trait Decode: 'static {
    /// # Errors
    /// When the data is not that of an order event.
    fn change<'a>(event_type: &'a str, data: &'a [u8]) -> anyhow::Result<Change<'a>>;
}

/// serde, one struct for each event type.
pub struct Serde;

/// The decoder of Lantern's SDK, compiled to native code.
pub struct Sdk;

impl Decode for Serde {
    #[inline]
    fn change<'a>(event_type: &'a str, data: &'a [u8]) -> anyhow::Result<Change<'a>> {
        Event::parse(event_type, data).map(Change::from).map_err(|error| anyhow!(error))
    }
}

impl Decode for Sdk {
    #[inline]
    fn change<'a>(event_type: &'a str, data: &'a [u8]) -> anyhow::Result<Change<'a>> {
        let payload = Payload { event_type, content_type: "application/json", bytes: data };
        Fields::decode(payload).map(Change::from).map_err(|error| anyhow!(error.to_string()))
    }
}

/// An event as it lies in the file.
pub struct Stored<'a> {
    pub order_id: &'a str,
    /// Its place in [`Log::types`].
    pub event_type: usize,
    pub time: i64,
    pub data: &'a [u8],
}

/// The file of the log, read without Lantern.
pub struct Log {
    connection: Connection,
    /// The names of event types, by the id of their kind.
    pub types: Vec<String>,
}

impl Log {
    /// # Errors
    /// When there is no such file.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
            .with_context(|| format!("cannot open {}", path.display()))?;
        let mut types = vec![String::new()];
        let mut kinds = connection.prepare("SELECT event_type FROM kinds ORDER BY id")?;
        for event_type in kinds.query_map([], |row| row.get(0))? {
            types.push(event_type?);
        }
        drop(kinds);
        Ok(Self { connection, types })
    }

    /// Reads the first events, in the order of their positions.
    ///
    /// # Errors
    /// Those of SQLite, and those of `apply`.
    pub fn read(&self, events: u64, mut apply: impl FnMut(Stored<'_>) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let mut names: Vec<Box<str>> = Vec::new();
        let mut name_of = self.connection.prepare("SELECT name FROM streams WHERE id = ?")?;
        let mut rows = self
            .connection
            .prepare("SELECT stream_id, kind_id, time, data FROM events WHERE position <= ? ORDER BY position")?;
        let mut rows = rows.query([events as i64])?;
        while let Some(row) = rows.next()? {
            let stream = row.get::<_, i64>(0)? as usize;
            if names.len() <= stream {
                names.resize(stream + 1, Box::default());
            }
            if names[stream].is_empty() {
                let name: String = name_of.query_row([stream as i64], |row| row.get(0))?;
                names[stream] = name.strip_prefix("order-").context("a stream that is no order")?.into();
            }
            apply(Stored {
                order_id: &names[stream],
                event_type: row.get::<_, i64>(1)? as usize,
                time: row.get(2)?,
                data: row.get_ref(3)?.as_bytes()?,
            })?;
        }
        Ok(())
    }
}

/// A new file with the two tables, written as fast as it can be without risking the file.
///
/// # Errors
/// Those of SQLite.
pub fn create(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.execute_batch(&format!("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; {TABLES}"))?;
    Ok(connection)
}

/// The program that one writes by hand first: two upserts for each event, a transaction for each 5,000.
///
/// # Errors
/// Those of SQLite and of the decoder.
pub fn upserts(log: &Path, rows: &Path, events: u64) -> anyhow::Result<()> {
    let connection = create(rows)?;
    let mut put_order = connection.prepare(
        "INSERT INTO orders VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (order_id) DO UPDATE SET
            status = CASE ?3 WHEN '' THEN status ELSE ?3 END, city = CASE ?4 WHEN '' THEN city ELSE ?4 END,
            items = items + ?5, total_cents = total_cents + ?6, paid_cents = paid_cents + ?7, scans = scans + ?8,
            updated_at = ?9",
    )?;
    let mut put_customer = connection.prepare(
        "INSERT INTO customers VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (customer) DO UPDATE SET
            orders = orders + ?2, items = items + ?3, paid_cents = paid_cents + ?4, last_seen = ?5",
    )?;
    let log = Log::open(log)?;
    let mut waiting = 0;
    connection.execute_batch("BEGIN")?;
    log.read(events, |event| {
        let change = Serde::change(&log.types[event.event_type], event.data)?;
        let Change { customer, status, city, orders, items, total_cents, paid_cents, scans } = change;
        put_order.execute(params![
            event.order_id,
            customer,
            status,
            city,
            items,
            total_cents,
            paid_cents,
            scans,
            event.time
        ])?;
        put_customer.execute(params![customer, orders, items, paid_cents, event.time])?;
        waiting += 1;
        if waiting == 5_000 {
            connection.execute_batch("COMMIT; BEGIN")?;
            waiting = 0;
        }
        Ok(())
    })?;
    connection.execute_batch("COMMIT")?;
    Ok(())
}

/// The tuned program: rows in memory, written when as many have changed as Lantern lets change, sorted by key.
///
/// # Errors
/// Those of SQLite and of the decoder.
pub fn cached<D: Decode>(log: &Path, rows: &Path, events: u64) -> anyhow::Result<()> {
    let log = Log::open(log)?;
    let mut tables = Tables::create(rows)?;
    log.read(events, |event| tables.apply::<D>(&log.types[event.event_type], &event))?;
    tables.write()
}

/// The same over a sealed log, which it reads as a Rust program can: with Lantern's reader, which verifies the events.
///
/// # Errors
/// Those of the log, of SQLite and of the decoder.
pub fn cached_sealed<D: Decode>(log: &EventStore, rows: &Path, events: u64) -> anyhow::Result<()> {
    let limit = ReadLimit { events: 1_000, bytes: 4 << 20 };
    let (mut reader, mut batch, mut read_to) = (log.reader()?, EventBatch::default(), Position(0));
    let mut tables = Tables::create(rows)?;
    while read_to.0 < events {
        read_to = reader.read_after(read_to, &[Interest::everything()], limit, &mut batch)?;
        for event in batch.iter() {
            let order_id = event.stream.strip_prefix("order-").context("a stream that is no order")?;
            let stored = Stored { order_id, event_type: 0, time: event.time.0, data: event.data };
            tables.apply::<D>(&event.kind.event_type, &stored)?;
        }
    }
    tables.write()
}

/// Both tables, in memory and in their file.
struct Tables {
    fold: Fold,
    connection: Connection,
}

impl Tables {
    fn create(path: &Path) -> rusqlite::Result<Self> {
        Ok(Self { fold: Fold::default(), connection: create(path)? })
    }

    #[inline]
    fn apply<D: Decode>(&mut self, event_type: &str, event: &Stored<'_>) -> anyhow::Result<()> {
        self.fold.apply::<D>(event_type, event)?;
        if self.fold.is_full() { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> anyhow::Result<()> {
        let (orders, customers) = self.fold.changed();
        write(&mut self.connection, orders, customers)
    }
}

/// Both tables in memory.
#[derive(Default)]
pub struct Fold {
    orders: Cache<Order>,
    customers: Cache<Customer>,
    events: usize,
}

impl Fold {
    /// # Errors
    /// Those of the decoder.
    #[inline]
    pub fn apply<D: Decode>(&mut self, event_type: &str, event: &Stored<'_>) -> anyhow::Result<()> {
        let change = D::change(event_type, event.data)?;
        self.orders.row(event.order_id).apply(&change, event.time);
        self.customers.row(change.customer).apply(&change, event.time);
        self.events += 1;
        Ok(())
    }

    /// Whether it is time to write, by Lantern's default limits.
    pub fn is_full(&self) -> bool {
        let RunnerOptions { flush_rows, flush_events, .. } = RunnerOptions::default();
        self.orders.changed.len() + self.customers.changed.len() >= flush_rows || self.events >= flush_events
    }

    /// The rows that changed since the last call, in the order of their keys.
    pub fn changed(&mut self) -> (impl Iterator<Item = &Order>, impl Iterator<Item = &Customer>) {
        self.events = 0;
        (self.orders.take_changed(), self.customers.take_changed())
    }
}

/// Writes rows in one transaction.
///
/// # Errors
/// Those of SQLite.
pub fn write<'a>(
    connection: &mut Connection,
    orders: impl Iterator<Item = &'a Order>,
    customers: impl Iterator<Item = &'a Customer>,
) -> anyhow::Result<()> {
    let transaction = connection.transaction()?;
    {
        let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")?;
        for Order { order_id, customer, status, city, items, total_cents, paid_cents, scans, updated_at } in orders {
            put.execute(params![order_id, customer, status, city, items, total_cents, paid_cents, scans, updated_at])?;
        }
        let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO customers VALUES (?, ?, ?, ?, ?)")?;
        for Customer { customer, orders, items, paid_cents, last_seen } in customers {
            put.execute(params![customer, orders, items, paid_cents, last_seen])?;
        }
    }
    Ok(transaction.commit()?)
}

/// A row with a text key.
pub trait Keyed: Default {
    fn key(&self) -> &str;

    fn with_key(key: &str) -> Self;
}

impl Keyed for Order {
    fn key(&self) -> &str {
        &self.order_id
    }

    fn with_key(key: &str) -> Self {
        Self { order_id: key.to_owned(), ..Self::default() }
    }
}

impl Keyed for Customer {
    fn key(&self) -> &str {
        &self.customer
    }

    fn with_key(key: &str) -> Self {
        Self { customer: key.to_owned(), ..Self::default() }
    }
}

/// Rows of one table, found by key; without a limit.
struct Cache<R> {
    rows: Vec<(R, bool)>,
    by_key: HashTable<u32>,
    changed: Vec<u32>,
    hasher: foldhash::fast::RandomState,
}

impl<R> Default for Cache<R> {
    fn default() -> Self {
        Self { rows: Vec::new(), by_key: HashTable::new(), changed: Vec::new(), hasher: Default::default() }
    }
}

impl<R: Keyed> Cache<R> {
    /// The row with this key, to be changed; made when there is none.
    #[inline]
    fn row(&mut self, key: &str) -> &mut R {
        use std::hash::BuildHasher;

        let Self { rows, by_key, changed, hasher } = self;
        let hash = hasher.hash_one(key);
        let slot = match by_key.find(hash, |slot| rows[*slot as usize].0.key() == key) {
            Some(slot) => *slot,
            None => {
                let slot = rows.len() as u32;
                rows.push((R::with_key(key), false));
                by_key.insert_unique(hash, slot, |slot| hasher.hash_one(rows[*slot as usize].0.key()));
                slot
            }
        };
        let (row, is_changed) = &mut rows[slot as usize];
        if !std::mem::replace(is_changed, true) {
            changed.push(slot);
        }
        row
    }

    fn take_changed(&mut self) -> impl Iterator<Item = &R> {
        let Self { rows, changed, .. } = self;
        changed.iter().for_each(|slot| rows[*slot as usize].1 = false);
        let rows = &*rows;
        changed.sort_unstable_by(|a, b| rows[*a as usize].0.key().cmp(rows[*b as usize].0.key()));
        changed.drain(..).map(|slot| &rows[slot as usize].0)
    }
}

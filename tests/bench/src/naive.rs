//! The plugin host that one writes first: typed events, and every get and put of the plugin is a statement of SQL.

use std::path::Path;

use anyhow::anyhow;
use lantern::event::{EventBatch, EventRef, Interest, Position};
use lantern::event_store::{EventStore, ReadLimit};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql, params_from_iter};
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, Store};
use wit_component::ComponentEncoder;

use crate::native::create;
use bindings::lantern::plugin::events::Event;
use bindings::lantern::plugin::read_model::{self, Value};
use bindings::lantern::plugin::{events, log, read_model_writes, schema};

mod bindings {
    //! Generated from `wit/`.

    wasmtime::component::bindgen!({
        world: "lantern:plugin/projection",
        path: "../../wit",
        imports: { default: trappable },
    });
}

/// Events of a call of the plugin, and of a transaction.
const BATCH: usize = 1_000;

/// A compiled plugin.
pub struct NaiveHost {
    engine: Engine,
    component: Component,
}

impl NaiveHost {
    /// # Errors
    /// When the module is no plugin of the world `projection`.
    pub fn new(module: &[u8]) -> anyhow::Result<Self> {
        let component = ComponentEncoder::default().validate(true).module(module)?.encode()?;
        let compiled = || {
            let mut config = Config::new();
            // A plugin that never ends must be stopped here, too.
            config.epoch_interruption(true);
            let engine = Engine::new(&config)?;
            let component = Component::new(&engine, component)?;
            wasmtime::Result::Ok(Self { engine, component })
        };
        compiled().map_err(|error: wasmtime::Error| anyhow!("{error:?}"))
    }

    /// Replays the first events of the log into a new file.
    ///
    /// # Errors
    /// Those of the log, of the plugin and of SQLite.
    pub fn replay(&self, events: &EventStore, rows: &Path, count: u64) -> anyhow::Result<()> {
        self.try_replay(events, rows, count).map_err(|error| anyhow!("{error:?}"))
    }

    fn try_replay(&self, events: &EventStore, rows: &Path, count: u64) -> wasmtime::Result<()> {
        let mut linker = Linker::new(&self.engine);
        bindings::Projection::add_to_linker::<_, Host>(&mut linker, |state| state)?;
        let mut store = Store::new(&self.engine, Tables(create(rows)?));
        store.set_epoch_deadline(1);
        let plugin = bindings::Projection::instantiate(&mut store, &self.component, &linker)?;
        let (mut log, mut batch) = (events.reader()?, EventBatch::default());
        let mut after = Position(0);
        while after.0 < count {
            let limit = ReadLimit { events: BATCH.min((count - after.0) as usize), bytes: 4 << 20 };
            after = log.read_after(after, &[Interest::everything()], limit, &mut batch)?;
            let events: Vec<_> = batch.iter().map(typed).collect();
            store.data().0.execute_batch("BEGIN")?;
            plugin.call_apply(&mut store, &events)?.map_err(wasmtime::Error::msg)?;
            store.data().0.execute_batch("COMMIT")?;
        }
        Ok(())
    }
}

fn typed(event: EventRef<'_>) -> Event {
    Event {
        id: event.id.to_string(),
        stream: event.stream.to_owned(),
        version: event.version.0,
        position: event.position.0,
        event_type: event.kind.event_type.clone(),
        schema_version: event.schema_version,
        time: event.time.0,
        content_type: event.kind.content_type.clone(),
        data: String::from_utf8_lossy(event.data).into_owned(),
        metadata: event.metadata.to_owned(),
    }
}

struct Host;

impl wasmtime::component::HasData for Host {
    type Data<'a> = &'a mut Tables;
}

/// What the plugin writes to.
struct Tables(Connection);

impl read_model::Host for Tables {
    fn get(&mut self, table: String, key: Vec<Value>) -> wasmtime::Result<Option<Vec<Value>>> {
        Ok(self.select(&table, key)?)
    }

    fn get_many(&mut self, table: String, keys: Vec<Vec<Value>>) -> wasmtime::Result<Vec<Option<Vec<Value>>>> {
        keys.into_iter().map(|key| Ok(self.select(&table, key)?)).collect()
    }

    fn find(&mut self, _: String, _: String, _: Vec<Value>, _: u32) -> wasmtime::Result<Vec<Vec<Value>>> {
        Err(unused())
    }

    fn is_empty(&mut self, _: String) -> wasmtime::Result<bool> {
        Err(unused())
    }
}

impl read_model_writes::Host for Tables {
    fn put(&mut self, table: String, row: Vec<Value>) -> wasmtime::Result<()> {
        let sql = match table.as_str() {
            "orders" => "INSERT OR REPLACE INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            _ => "INSERT OR REPLACE INTO customers VALUES (?, ?, ?, ?, ?)",
        };
        self.0.prepare_cached(sql)?.execute(params_from_iter(row.iter().map(Cell)))?;
        Ok(())
    }

    fn put_many(&mut self, table: String, rows: Vec<Vec<Value>>) -> wasmtime::Result<()> {
        rows.into_iter().try_for_each(|row| self.put(table.clone(), row))
    }

    fn delete(&mut self, _: String, _: Vec<Value>) -> wasmtime::Result<()> {
        Err(unused())
    }
}

impl events::Host for Tables {}

impl schema::Host for Tables {}

impl log::Host for Tables {
    fn log(&mut self, _: log::Level, message: String) -> wasmtime::Result<()> {
        eprintln!("{message}");
        Ok(())
    }
}

fn unused() -> wasmtime::Error {
    wasmtime::Error::msg("the plugins of the benchmark do not call this")
}

impl Tables {
    fn select(&self, table: &str, key: Vec<Value>) -> rusqlite::Result<Option<Vec<Value>>> {
        let sql = match table {
            "orders" => "SELECT * FROM orders WHERE order_id = ?",
            _ => "SELECT * FROM customers WHERE customer = ?",
        };
        let mut statement = self.0.prepare_cached(sql)?;
        let columns = statement.column_count();
        let mut rows = statement.query(params_from_iter(key.iter().map(Cell)))?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let value = |column| {
            Ok(match row.get_ref(column)? {
                ValueRef::Integer(integer) => Value::Integer(integer),
                ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
                _ => Value::Null,
            })
        };
        (0..columns).map(value).collect::<rusqlite::Result<_>>().map(Some)
    }
}

/// A value of the plugin as a parameter of a statement.
struct Cell<'a>(&'a Value);

impl ToSql for Cell<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Integer(integer) => ValueRef::Integer(*integer),
            Value::Real(real) => ValueRef::Real(*real),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Blob(blob) => ValueRef::Blob(blob),
            Value::Boolean(boolean) => ValueRef::Integer(i64::from(*boolean)),
        }))
    }
}

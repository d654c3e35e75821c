//! What a guest may ask of the host: rows of its own read model, lines in the log; each for its price in fuel. Checks
//! nothing itself: the draft knows the declared tables, and the store limits what a call can bring.

use wasmtime::component::Linker;

use super::bindings::adapter::lantern::host::stdio;
use super::bindings::typed::lantern::plugin::read_model::Value;
use super::bindings::typed::lantern::plugin::{log, read_model, read_model_writes};
use super::guest::State;
use super::log::{Level, Stream};
use super::wasi;
use crate::read_model::{self as model, ReadModelError};

struct Host;

impl wasmtime::component::HasData for Host {
    type Data<'a> = &'a mut State;
}

/// Links everything that `imports.rs` allows. A plugin of either world takes from it what it asked for.
pub(super) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasi::add_to_linker(&mut linker)?;
    read_model::add_to_linker::<_, Host>(&mut linker, |state| state)?;
    read_model_writes::add_to_linker::<_, Host>(&mut linker, |state| state)?;
    log::add_to_linker::<_, Host>(&mut linker, |state| state)?;
    stdio::add_to_linker::<_, Host>(&mut linker, |state| state)?;
    Ok(linker)
}

impl read_model::Host for State {
    fn get(&mut self, table: String, key: Vec<Value>) -> wasmtime::Result<Option<Vec<Value>>> {
        let key = self.taken(key)?;
        let row = self.draft.get(&table, &key).map_err(trap)?;
        row.map(|row| self.given(row)).transpose()
    }

    fn get_many(&mut self, table: String, keys: Vec<Vec<Value>>) -> wasmtime::Result<Vec<Option<Vec<Value>>>> {
        let keys = keys.into_iter().map(|key| self.taken(key)).collect::<wasmtime::Result<Vec<_>>>()?;
        let rows = self.draft.get_many(&table, &keys).map_err(trap)?;
        rows.into_iter().map(|row| row.map(|row| self.given(row)).transpose()).collect()
    }

    fn find(
        &mut self,
        table: String,
        index: String,
        values: Vec<Value>,
        limit: u32,
    ) -> wasmtime::Result<Vec<Vec<Value>>> {
        let values = self.taken(values)?;
        let rows = self.draft.find(&table, &index, &values, limit as usize).map_err(trap)?;
        rows.into_iter().map(|row| self.given(row)).collect()
    }

    fn is_empty(&mut self, table: String) -> wasmtime::Result<bool> {
        self.work.charge(1, 0)?;
        self.draft.is_empty(&table).map_err(trap)
    }
}

impl read_model_writes::Host for State {
    fn put(&mut self, table: String, row: Vec<Value>) -> wasmtime::Result<()> {
        let row = self.taken(row)?;
        self.draft.put(&table, row).map_err(trap)
    }

    fn put_many(&mut self, table: String, rows: Vec<Vec<Value>>) -> wasmtime::Result<()> {
        rows.into_iter().try_for_each(|row| self.put(table.clone(), row))
    }

    fn delete(&mut self, table: String, key: Vec<Value>) -> wasmtime::Result<()> {
        let key = self.taken(key)?;
        self.draft.delete(&table, key).map_err(trap)
    }
}

impl log::Host for State {
    fn log(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        self.work.charge(1, message.len())?;
        let level = match level {
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        self.voice.say(level, &message);
        Ok(())
    }
}

impl stdio::Host for State {
    fn write(&mut self, to: stdio::Descriptor, bytes: Vec<u8>) -> wasmtime::Result<()> {
        self.work.charge(1, bytes.len())?;
        let stream = match to {
            stdio::Descriptor::Stdout => Stream::Output,
            stdio::Descriptor::Stderr => Stream::Error,
        };
        self.voice.write(stream, &bytes);
        Ok(())
    }
}

impl State {
    /// A row or key that the guest brings, for its price.
    fn taken(&self, values: Vec<Value>) -> wasmtime::Result<Vec<model::Value>> {
        let values = into_model(values);
        self.work.charge(1, model::bytes_of(&values))?;
        Ok(values)
    }

    /// A row that the guest gets, for its price.
    fn given(&self, row: Vec<model::Value>) -> wasmtime::Result<Vec<Value>> {
        self.work.charge(1, model::bytes_of(&row))?;
        Ok(into_guest(row))
    }
}

/// Ends the guest's call; `guest.rs` finds the error again and tells whose fault it is.
fn trap(error: ReadModelError) -> wasmtime::Error {
    wasmtime::Error::new(error)
}

fn into_model(values: Vec<Value>) -> Vec<model::Value> {
    values
        .into_iter()
        .map(|value| match value {
            Value::Null => model::Value::Null,
            Value::Integer(integer) => model::Value::Integer(integer),
            Value::Real(real) => model::Value::Real(real),
            Value::Text(text) => model::Value::Text(text),
            Value::Blob(bytes) => model::Value::Blob(bytes),
            Value::Boolean(boolean) => model::Value::Boolean(boolean),
        })
        .collect()
}

fn into_guest(values: Vec<model::Value>) -> Vec<Value> {
    values
        .into_iter()
        .map(|value| match value {
            model::Value::Null => Value::Null,
            model::Value::Integer(integer) => Value::Integer(integer),
            model::Value::Real(real) => Value::Real(real),
            model::Value::Text(text) => Value::Text(text),
            model::Value::Blob(bytes) => Value::Blob(bytes),
            model::Value::Boolean(boolean) => Value::Boolean(boolean),
        })
        .collect()
}

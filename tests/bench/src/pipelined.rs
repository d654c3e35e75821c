//! The tuned native program on three threads: one reads, one folds, one writes, with short queues between them.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use anyhow::anyhow;
use orders::{Customer, Order};

use crate::native::{Decode, Fold, Log, Stored, create, write};

/// Batches, or flushes, that wait for the next thread.
const QUEUE: usize = 4;
/// Events of a batch.
const BATCH: usize = 1_000;

/// Events in one buffer.
#[derive(Default)]
struct Batch {
    /// Order id and data of every event.
    text: Vec<u8>,
    /// Where they end.
    ends: Vec<(usize, usize)>,
    types: Vec<usize>,
    times: Vec<i64>,
}

type Flush = (Vec<Order>, Vec<Customer>);

/// # Errors
/// Those of SQLite and of the decoder.
pub fn pipelined<D: Decode>(log: &Path, rows: &Path, events: u64) -> anyhow::Result<()> {
    let (batches, read) = sync_channel(QUEUE);
    let (flushes, folded) = sync_channel(QUEUE);
    let types = Log::open(log)?.types;
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || read_batches(log, events, batches));
        let writer = scope.spawn(move || write_flushes(rows, folded));
        let folded = fold::<D>(&types, read, flushes);
        let join = |ended: std::thread::Result<_>| ended.unwrap_or_else(|_| Err(anyhow!("a thread panicked")));
        join(writer.join()).and(folded).and(join(reader.join()))
    })
}

fn read_batches(log: &Path, events: u64, batches: SyncSender<Batch>) -> anyhow::Result<()> {
    let mut batch = Batch::default();
    Log::open(log)?.read(events, |event| {
        batch.text.extend_from_slice(event.order_id.as_bytes());
        let data_starts = batch.text.len();
        batch.text.extend_from_slice(event.data);
        batch.ends.push((data_starts, batch.text.len()));
        batch.types.push(event.event_type);
        batch.times.push(event.time);
        if batch.times.len() == BATCH {
            batches.send(std::mem::take(&mut batch))?;
        }
        Ok(())
    })?;
    Ok(batches.send(batch)?)
}

fn fold<D: Decode>(types: &[String], batches: Receiver<Batch>, flushes: SyncSender<Flush>) -> anyhow::Result<()> {
    let mut fold = Fold::default();
    let flush = |fold: &mut Fold| {
        let (orders, customers) = fold.changed();
        flushes.send((orders.cloned().collect(), customers.cloned().collect()))
    };
    for batch in batches {
        let mut start = 0;
        for (index, &(id_ends, data_ends)) in batch.ends.iter().enumerate() {
            let order_id = std::str::from_utf8(&batch.text[start..id_ends])?;
            let (event_type, time) = (batch.types[index], batch.times[index]);
            let data = &batch.text[id_ends..data_ends];
            fold.apply::<D>(&types[event_type], &Stored { order_id, event_type, time, data })?;
            start = data_ends;
        }
        if fold.is_full() {
            flush(&mut fold)?;
        }
    }
    Ok(flush(&mut fold)?)
}

fn write_flushes(rows: &Path, flushes: Receiver<Flush>) -> anyhow::Result<()> {
    let mut connection = create(rows)?;
    for (orders, customers) in flushes {
        write(&mut connection, orders.iter(), customers.iter())?;
    }
    Ok(())
}

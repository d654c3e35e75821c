//! Seals the log: packs its oldest events into segments, on a thread of its own and in small steps, and
//! has the writer put each segment in the place of its rows. The events stay what they were: a segment
//! is used only when it gives the very events that were read from the rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use tokio::sync::{mpsc, oneshot};
use zstd::bulk::Decompressor;

use super::append::Work;
use super::checksum;
use super::head::Waker;
use super::packed_index::{Entry, Map};
use super::rare::{self, KindInSegment};
use super::sealed::key_of;
use super::segment::{MAX_EVENTS, Packed, Segment, pack};
use super::writer::{Job, Shared};
use super::{AppendError, EventStoreError, LogReader, ReadLimit};
use crate::crash_point;
use crate::event::{EventBatch, Position};

/// How often to look whether there is something to seal.
const PAUSE: Duration = Duration::from_secs(1);

const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(60);

/// Unused pages that stay in the file, for the next events, and as many more as an eighth of it has.
const KEPT_PAGES: i64 = if cfg!(test) { 8 } else { 1024 };
/// Pages of one step of shrinking.
const PAGES_AT_ONCE: i64 = if cfg!(test) { 4 } else { 512 };

/// A segment, and what the indexes will say about it.
#[derive(Debug)]
pub(super) struct Sealing {
    pub packed: Packed,
    kinds: Vec<KindInSegment>,
    streams: Vec<Entry>,
    ids: Vec<Entry>,
}

/// Puts the segment in the place of its rows, inside a transaction that the writer owns.
pub(super) fn replace_rows(connection: &Connection, sealing: &Sealing) -> rusqlite::Result<()> {
    let Sealing { packed, kinds, streams, ids } = sealing;
    let (first, count) = (packed.first_position as i64, packed.events as i64);
    let changed = |rows: usize, expected: i64| {
        if rows as i64 == expected { Ok(()) } else { Err(rusqlite::Error::StatementChangedRows(rows)) }
    };
    let moved = connection
        .prepare_cached("UPDATE log SET sealed = ? WHERE sealed = ?")?
        .execute([first + count - 1, first - 1])?;
    changed(moved, 1)?;
    rare::keep(connection, first..first + count, kinds)?;
    let deleted = connection
        .prepare_cached("DELETE FROM events WHERE position >= ? AND position < ?")?
        .execute([first, first + count])?;
    changed(deleted, count)?;
    connection
        .prepare_cached(
            "INSERT INTO segments
             (first_position, events, chain_before, chain, checksum, numbers, text, packed_checksum)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            first,
            count,
            packed.chain_before as i64,
            packed.chain as i64,
            packed.checksum as i64,
            packed.numbers,
            packed.text,
            checksum::of_packed(&packed.numbers, &packed.text) as i64
        ])?;
    Map::Streams.add(connection, streams)?;
    Map::Ids.add(connection, ids)
}

/// Hands unused pages back, inside a transaction that the writer owns.
pub(super) fn shrink(connection: &Connection, pages: i64) -> rusqlite::Result<()> {
    let mut shrink = connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
    let mut steps = shrink.query([])?;
    while steps.next()?.is_some() {}
    Ok(())
}

/// Why a step did not seal its events. They are where they were.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotSealed {
    #[error(transparent)]
    Unread(#[from] EventStoreError),
    #[error("the events from position {0} on came out of their segment changed; this is a defect of Lantern")]
    Changed(Position),
    #[error("they could not be compressed: {0}")]
    Uncompressed(#[from] std::io::Error),
    #[error(transparent)]
    Refused(#[from] AppendError),
    #[error("the event log is closed")]
    Closed,
}

impl NotSealed {
    fn is_transient(&self) -> bool {
        match self {
            Self::Unread(error) => error.is_transient(),
            Self::Refused(error) => matches!(error, AppendError::DiskFull { .. } | AppendError::Failed { .. }),
            _ => false,
        }
    }
}

/// The thread that seals. Ends after the step under way when this is dropped.
pub(super) struct Sealer {
    stopping: Arc<AtomicBool>,
    waker: Arc<Waker>,
    thread: Option<JoinHandle<()>>,
}

impl Sealer {
    pub fn start(reader: LogReader, queue: mpsc::Sender<Job>, shared: Arc<Shared>) -> std::io::Result<Self> {
        let (stopping, waker) = (Arc::new(AtomicBool::new(false)), Waker::new());
        let mut steps = Steps::new(reader, queue, shared);
        let thread = std::thread::Builder::new().name("seal events".to_owned()).spawn({
            let (stopping, waker) = (Arc::clone(&stopping), Arc::clone(&waker));
            move || {
                while !stopping.load(Ordering::Relaxed)
                    && let Some(pause) = steps.step_and_pause()
                {
                    waker.wait(pause);
                }
            }
        })?;
        Ok(Self { stopping, waker, thread: Some(thread) })
    }
}

impl Drop for Sealer {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.waker.notify();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that seals old events panicked");
        }
    }
}

/// How long to give way to others after work that took so long, to work this part of the time.
fn pause_after(worked: Duration, percent: u32) -> Duration {
    let percent = percent.clamp(1, 100);
    worked * (100 - percent) / percent
}

pub(super) struct Steps {
    reader: LogReader,
    queue: mpsc::Sender<Job>,
    shared: Arc<Shared>,
    /// What was read from the rows, and what comes out of their segment.
    batch: EventBatch,
    unpacked: EventBatch,
    segment: Segment,
}

impl Steps {
    pub fn new(reader: LogReader, queue: mpsc::Sender<Job>, shared: Arc<Shared>) -> Self {
        let (batch, unpacked, segment) = Default::default();
        Self { reader, queue, shared, batch, unpacked, segment }
    }

    /// Seals one segment, if there is one to seal. Answers how long to wait until the next; `None` when
    /// there will be none.
    fn step_and_pause(&mut self) -> Option<Duration> {
        let start = Instant::now();
        match self.step() {
            Ok(true) => Some(pause_after(start.elapsed(), self.shared.options.sealing_percent)),
            Ok(false) => Some(PAUSE),
            Err(NotSealed::Closed) => None,
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "old events were not sealed; this is tried again");
                Some(PAUSE_AFTER_FAILURE)
            }
            Err(error) => {
                tracing::error!(%error, "old events were not sealed; they stay as they are until Lantern is started again");
                None
            }
        }
    }

    /// Seals one segment, or makes the file a little smaller when no segment is left. Answers whether there was something
    /// to do.
    pub fn step(&mut self) -> Result<bool, NotSealed> {
        let Shared { options, head, sealed, .. } = &*self.shared;
        let after = sealed.load(Ordering::Relaxed);
        let old = (head.position().0 - after).saturating_sub(options.seal_after_events);
        let events = options.segment_events.clamp(1, MAX_EVENTS);
        if old < events as u64 {
            return self.shrink();
        }
        let limit = ReadLimit { events, bytes: options.segment_bytes };
        let sealing = self.pack(Position(after), limit)?;
        let last = after + sealing.packed.events;
        crash_point::reached("seal-packed");
        self.have_written(Work::Seal(Box::new(sealing)))?;
        crash_point::reached("seal-committed");
        self.shared.sealed.store(last, Ordering::Relaxed);
        Ok(true)
    }

    /// Hands some of the pages back that sealing has emptied. Files from before that was possible keep them.
    fn shrink(&self) -> Result<bool, NotSealed> {
        const INCREMENTAL: i64 = 2;
        let number = |name: &str| {
            let number = self.reader.connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
            number.map_err(|source| self.reader.decoder.sqlite(source))
        };
        let spare = number("freelist_count")? - number("page_count")? / 8;
        if spare <= KEPT_PAGES || number("auto_vacuum")? != INCREMENTAL {
            return Ok(false);
        }
        self.have_written(Work::Shrink(PAGES_AT_ONCE))?;
        Ok(true)
    }

    fn have_written(&self, work: Work) -> Result<(), NotSealed> {
        let (answer, outcome) = oneshot::channel();
        self.queue.blocking_send(Job { work, answer }).map_err(|_| NotSealed::Closed)?;
        outcome.blocking_recv().map_err(|_| NotSealed::Closed)??;
        Ok(())
    }

    /// Packs the events after a position, as many as the limit allows.
    fn pack(&mut self, after: Position, limit: ReadLimit) -> Result<Sealing, NotSealed> {
        let Self { reader, batch, .. } = self;
        let chains = reader.read_with_chains(after, limit, batch)?;
        let rows = rows(&reader.connection, batch).map_err(|source| reader.decoder.sqlite(source))?;
        let kinds: Vec<u32> = rows.iter().map(|row| row.kind_id).collect();
        let packed = pack(batch, &kinds, chains)?;
        reader.decoder.begin(&mut self.unpacked);
        let same = self.segment.unpack(&packed.borrowed(), &mut Decompressor::default()).is_ok()
            && reader.decoder.push_sealed(&self.segment, 0..batch.len(), &mut self.unpacked, usize::MAX).is_ok()
            && self.unpacked == *batch
            && [self.segment.chain_before, self.segment.chain] == chains;
        if !same {
            return Err(NotSealed::Changed(Position(packed.first_position)));
        }
        let first = packed.first_position;
        let mut versions: Vec<_> = rows.iter().map(|row| (row.stream_id, row.version)).collect();
        versions.sort_unstable();
        let of_streams = versions.chunk_by(|one, next| one.0 == next.0);
        let streams = of_streams.filter_map(|versions| Some((*versions.last()?, first))).collect();
        let mut ids: Vec<Entry> = batch.iter().map(|event| (key_of(event.id), first)).collect();
        ids.sort_unstable();
        ids.dedup();
        let kinds = rare::choose(batch, &kinds, self.shared.options.rare_percent);
        Ok(Sealing { packed, kinds, streams, ids })
    }
}

/// What a batch does not tell of its events.
struct StoredRow {
    stream_id: u64,
    version: u64,
    kind_id: u32,
}

fn rows(connection: &Connection, batch: &EventBatch) -> rusqlite::Result<Vec<StoredRow>> {
    let (first, last) = (batch.positions.first().copied().unwrap_or(1), batch.positions.last().copied().unwrap_or(0));
    connection
        .prepare_cached(
            "SELECT stream_id, version, kind_id FROM events WHERE position BETWEEN ? AND ? ORDER BY position",
        )?
        .query_map([first as i64, last as i64], |row| {
            let (stream_id, version) = (row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64);
            Ok(StoredRow { stream_id, version, kind_id: row.get(2)? })
        })?
        .collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::super::fixture::{Fixture, event, request};
    use super::super::{AppendRequest, EventStore, EventStoreOptions};
    use super::*;
    use crate::event::NewEvent;

    #[test]
    fn only_whole_segments_of_old_events_are_sealed() {
        let options = EventStoreOptions { seal_after_events: 5, segment_events: 4, ..EventStoreOptions::default() };
        let fixture = Fixture::with(options);
        for (appended, sealed) in [(8, 0), (9, 4), (12, 4), (13, 8), (30, 24)] {
            let known = fixture.store.head().0;
            fixture.store.append(request("order-1", (known..appended).map(u128::from))).unwrap();
            assert_eq!(fixture.seal(), sealed, "of {appended}");
            assert_eq!((fixture.count("events"), fixture.count("segments")), (appended - sealed, sealed / 4));
        }
    }

    #[test]
    fn the_file_becomes_small_when_its_events_are_sealed() {
        let options = EventStoreOptions { seal_after_events: 0, segment_events: 100, ..EventStoreOptions::default() };
        let fixture = Fixture::with(options);
        for n in 0..20 {
            let events = (1..=100).map(|m| NewEvent { data: vec![b'1'; 400], ..event(n * 100 + m) }).collect();
            fixture.store.append(AppendRequest { events, ..request("order-1", []) }).unwrap();
        }
        let bytes = || {
            let file = Connection::open(fixture.path()).unwrap();
            file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
            std::fs::metadata(fixture.path()).unwrap().len()
        };
        let before = bytes();
        assert_eq!(fixture.seal(), 2000);
        assert!(bytes() * 4 < before, "{before} bytes, and {} when all is sealed", bytes());
        let mut batch = EventBatch::default();
        let limit = ReadLimit { events: 5000, bytes: usize::MAX };
        let mut reader = fixture.store.reader().unwrap();
        reader.read_after(Position(0), &[crate::event::Interest::everything()], limit, &mut batch).unwrap();
        assert_eq!(batch.len(), 2000);
    }

    #[test]
    fn a_segment_of_large_events_ends_early() {
        let options = EventStoreOptions { seal_after_events: 0, segment_bytes: 2500, ..EventStoreOptions::default() };
        let fixture = Fixture::with(EventStoreOptions { segment_events: 4, ..options });
        let events = (1..=8).map(|n| NewEvent { data: vec![b'1'; 1000], ..event(n) }).collect();
        fixture.store.append(AppendRequest { events, ..request("order-1", []) }).unwrap();
        assert_eq!((fixture.seal(), fixture.count("segments")), (6, 3));
    }

    #[test]
    fn a_statement_that_fails_leaves_the_rows_and_no_part_of_the_segment() {
        for table in ["log", "segments", "segment_kinds", "segment_index", "rare_events"] {
            let options = EventStoreOptions { seal_after_events: 0, segment_events: 4, ..EventStoreOptions::default() };
            let fixture = Fixture::with(EventStoreOptions { rare_percent: 40, ..options });
            fixture.store.append(request("order-1", 1..=3)).unwrap();
            fixture.store.append(request("cart-1", [4])).unwrap();
            let sealing = fixture.sealing().pack(Position(0), ReadLimit { events: 4, bytes: usize::MAX }).unwrap();
            let mut connection = Connection::open(fixture.path()).unwrap();
            let trap = if table == "log" { "UPDATE" } else { "INSERT" };
            connection
                .execute_batch(&format!(
                    "CREATE TEMP TRIGGER trap BEFORE {trap} ON {table} BEGIN SELECT RAISE(ABORT, 'trapped'); END"
                ))
                .unwrap();
            let transaction = connection.transaction().unwrap();
            assert!(replace_rows(&transaction, &sealing).is_err());
            drop(transaction);
            let tables = ["events", "segments", "segment_kinds", "segment_index", "rare_events"];
            assert_eq!(tables.map(|table| fixture.count(table)), [4, 0, 0, 0, 0], "{table}");
            assert_eq!(fixture.seal(), 4, "a later try succeeds");
            assert_eq!(fixture.count("rare_events"), 1);
        }
    }

    #[test]
    fn a_segment_that_does_not_fit_to_the_rows_is_refused() {
        let fixture = Fixture::in_segments_of(4);
        fixture.store.append(request("order-1", 1..=8)).unwrap();
        let mut steps = fixture.sealing();
        let limit = ReadLimit { events: 4, bytes: usize::MAX };
        let [first, second] = [0, 4].map(|after| steps.pack(Position(after), limit).unwrap());
        let mut connection = Connection::open(fixture.path()).unwrap();
        let replace = |connection: &mut Connection, sealing| {
            let transaction = connection.transaction().unwrap();
            replace_rows(&transaction, sealing).map(|()| transaction.commit().unwrap())
        };
        assert!(replace(&mut connection, &second).is_err(), "the first comes first");
        replace(&mut connection, &first).unwrap();
        assert!(replace(&mut connection, &first).is_err(), "it is there already");
        connection.execute("DELETE FROM events WHERE position = 6", []).unwrap();
        assert!(replace(&mut connection, &second).is_err(), "a row is missing");
        assert_eq!((fixture.count("events"), fixture.count("segments")), (3, 1));
    }

    #[test]
    fn damaged_rows_are_not_sealed() {
        let fixture = Fixture::in_segments_of(4);
        fixture.store.append(request("order-1", 1..=4)).unwrap();
        let fixture = fixture.reopened_after(|connection| {
            connection.execute("UPDATE events SET data = '{}' WHERE position = 3", []).unwrap();
        });
        let error = fixture.sealing().step().unwrap_err();
        assert!(!error.is_transient() && error.to_string().contains("position 3"), "{error}");
        assert_eq!((fixture.count("events"), fixture.count("segments")), (4, 0));
    }

    #[test]
    fn sealing_gives_way_for_the_rest_of_the_time() {
        let pauses = [100, 50, 25, 1, 0].map(|percent| pause_after(Duration::from_millis(8), percent).as_millis());
        assert_eq!(pauses, [0, 8, 24, 792, 792]);
    }

    #[test]
    fn a_running_store_seals_and_closes_at_once() {
        let fixture = Fixture::new();
        fixture.store.append(request("order-1", 1..=100)).unwrap();
        fixture.store.clone().close();
        let options = EventStoreOptions { seal_after_events: 10, segment_events: 10, ..EventStoreOptions::default() };
        let (store, waker) = (EventStore::open(&fixture.path(), options).unwrap(), Waker::new());
        while store.stats().sealed_events < 90 {
            waker.wait(Duration::from_millis(1));
        }
        store.close();
        assert_eq!((fixture.count("events"), fixture.count("segments")), (10, 9));
    }
}

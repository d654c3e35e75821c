//! The log on a disk that fails: at every call of a small workload, in every way. Whatever happens, what was
//! acknowledged is there, once and in its place, and what was refused is not.
#![expect(clippy::unwrap_used)]

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use super::fixture::{NO_LIMIT, interest, request};
use super::seal::Steps;
use super::{AppendError, AppendRequest, EventStore, EventStoreError, EventStoreOptions};
use crate::event::{EventBatch, Interest, Position};
use crate::sqlite::faulty::{Call, Fault, FaultyDisk};

/// What the appends of a workload were answered.
#[derive(Default)]
struct Told {
    /// With the position of the first event.
    acknowledged: Vec<(Position, AppendRequest)>,
    unknown: Vec<AppendRequest>,
    refused: Vec<(AppendRequest, AppendError)>,
}

fn open(path: &Path) -> Result<EventStore, EventStoreError> {
    let options = EventStoreOptions { seal_after_events: 0, segment_events: 4, ..EventStoreOptions::default() };
    EventStore::open(path, EventStoreOptions { seal: false, rare_percent: 60, ..options })
}

impl Told {
    fn append(&mut self, store: &EventStore, stream: &str, ids: [u128; 2]) {
        let request = request(stream, ids);
        match store.append(request.clone()) {
            Ok(appended) => self.acknowledged.push((appended.first_position, request)),
            Err(AppendError::Unknown { .. }) => self.unknown.push(request),
            Err(error) => self.refused.push((request, error)),
        }
    }

    /// Appends to two streams and seals in between; of one of them copies are kept. Pages are written back several times.
    fn work(&mut self, store: &EventStore, first_id: u128) {
        for round in 0..5 {
            let id = first_id + 4 * round;
            self.append(store, "order-1", [id, id + 1]);
            self.append(store, "cart-1", [id + 2, id + 3]);
            if round % 2 == 1
                && let (Ok(reader), Ok(queue)) = (store.reader(), store.inner.queue())
            {
                // Whether it succeeds is the disk's business.
                let _ = Steps::new(reader, queue, Arc::clone(&store.inner.shared)).step();
            }
        }
    }

    fn is_stopped(&self) -> bool {
        !self.unknown.is_empty() || self.refused.iter().any(|(_, error)| matches!(error, AppendError::Stopped { .. }))
    }

    /// Holds the log against the answers.
    #[track_caller]
    fn check(&self, store: &EventStore) {
        let mut log = EventBatch::default();
        let mut reader = store.reader().unwrap();
        let read_to = reader.read_after(Position(0), &[Interest::everything()], NO_LIMIT, &mut log).unwrap();
        assert_eq!((read_to, log.len() as u64), (store.head(), store.head().0), "positions are dense");
        let mut versions: HashMap<&str, u64> = HashMap::new();
        let mut places: HashMap<Uuid, Position> = HashMap::new();
        for event in log.iter() {
            let version = versions.entry(event.stream).or_default();
            *version += 1;
            assert_eq!(event.version.0, *version, "versions are dense");
            assert_eq!(places.insert(event.id, event.position), None, "{} is there twice", event.id);
        }
        for category in ["order", "cart"] {
            let mut narrow = EventBatch::default();
            let read_to = reader.read_after(Position(0), &[interest(Some(category), &[])], NO_LIMIT, &mut narrow);
            assert_eq!(read_to.unwrap(), store.head());
            let expected = log.filtered(|event| event.kind.category == category);
            assert_eq!((narrow.positions, narrow.ids), (expected.positions, expected.ids));
        }
        let mut known = 0;
        for (first, request) in &self.acknowledged {
            for (event, position) in request.events.iter().zip(first.0..) {
                assert_eq!(places.get(&event.id), Some(&Position(position)), "an acknowledged event");
            }
            known += request.events.len();
        }
        for request in &self.unknown {
            let there = request.events.iter().filter(|event| places.contains_key(&event.id)).count();
            assert!(there == 0 || there == request.events.len(), "half of an append is there");
            known += there;
        }
        assert_eq!(log.len(), known, "something is there that was refused");
    }
}

/// One run for each call that the fault can hit, until a run meets no fault. Answers how many there were.
fn at_every_call(fault: Fault, run: impl Fn(&FaultyDisk, &Path)) -> u64 {
    for after in 0.. {
        let disk = FaultyDisk::new(after);
        disk.plan(fault, after);
        run(&disk, &disk.path("events.db"));
        if disk.failed().is_none() {
            return after;
        }
    }
    unreachable!("the workload ends")
}

/// Whether a failure of this call in the writer cannot be overlooked. (Other threads read, too, and a write-ahead log
/// that is not shortened does no harm.)
fn stops_the_log(failed: Option<Call>) -> bool {
    matches!(failed, Some(Call::Write | Call::Sync))
}

#[test]
fn after_a_failed_write_or_sync_the_log_stops_and_says_why_and_nothing_acknowledged_is_lost() {
    let calls = at_every_call(Fault::Error, |disk, path| {
        let mut told = Told::default();
        if let Ok(store) = open(path) {
            let failed_before = disk.failed();
            told.work(&store, 1);
            let failed = disk.failed().filter(|_| failed_before.is_none());
            if stops_the_log(failed) {
                told.append(&store, "order-3", [901, 902]);
                assert!(told.is_stopped(), "{failed:?} was overlooked");
                let reason = store.is_writable().unwrap_err().to_string();
                assert!(reason.contains("takes no more events") && reason.contains("disk I/O error"), "{reason}");
            }
            store.close();
            if failed == Some(Call::Sync) {
                assert_eq!(disk.syncs_after_failure(), 0, "a failed sync was tried again");
            }
        }
        disk.mend();
        let store = open(path).unwrap();
        told.check(&store);
        told.work(&store, 101);
        assert!(told.refused.iter().all(|(_, error)| matches!(error, AppendError::Stopped { .. })));
        told.check(&store);
        store.close();
    });
    println!("{calls} calls failed");
    assert!(calls > 100, "{calls} calls are too few to mean anything");
}

#[test]
fn a_power_failure_at_any_call_loses_nothing_acknowledged() {
    let calls = at_every_call(Fault::PowerFailure, |disk, path| {
        let mut told = Told::default();
        if let Ok(store) = open(path) {
            told.work(&store, 1);
            store.close();
        }
        disk.restart();
        let store = open(path).unwrap();
        told.check(&store);
        told.work(&store, 101);
        told.check(&store);
        store.close();
    });
    println!("the power failed at {calls} calls");
    assert!(calls > 100, "{calls} calls are too few to mean anything");
}

/// Works until a call fails and, if it was a sync, starts again on the mended disk and appends until the power fails, so
/// many calls later. Answers which call it was that failed first.
fn fail_twice(calls_until_failure: u64, calls_until_power_failure: u64) -> Option<Call> {
    let disk = FaultyDisk::new(calls_until_failure);
    let path = disk.path("events.db");
    disk.plan(Fault::Error, calls_until_failure);
    let mut told = Told::default();
    if let Ok(store) = open(&path) {
        told.work(&store, 1);
        store.close();
    }
    let failed = disk.failed()?;
    if failed != Call::Sync {
        return Some(failed);
    }
    disk.mend();
    let store = open(&path).unwrap();
    disk.plan(Fault::PowerFailure, calls_until_power_failure);
    told.append(&store, "order-4", [201, 202]);
    told.append(&store, "order-1", [203, 204]);
    store.close();
    disk.restart();
    told.check(&open(&path).unwrap());
    Some(failed)
}

/// What a failed sync did not write can still be read, until the power fails.
#[test]
fn what_is_appended_after_a_failed_sync_and_a_restart_survives_a_power_failure() {
    let mut syncs = 0;
    for calls in 0.. {
        match fail_twice(calls, 20) {
            Some(Call::Sync) => syncs += 1,
            Some(_) => continue,
            None => break,
        }
        // At some of these calls an append is acknowledged, and not yet written back.
        for n in 0..2 {
            fail_twice(calls, 10 + (7 * calls + 23 * n) % 50);
        }
    }
    println!("{syncs} syncs failed");
    assert!(syncs > 10, "{syncs} syncs are too few to mean anything");
}

#[test]
fn a_full_disk_refuses_appends_whole_and_the_log_goes_on_when_there_is_room() {
    let calls = at_every_call(Fault::Full, |disk, path| {
        let mut told = Told::default();
        let Ok(store) = open(path) else { return };
        told.work(&store, 1);
        for (_, error) in &told.refused {
            assert!(matches!(error, AppendError::DiskFull { .. }), "{error}");
        }
        assert_eq!(told.unknown.len(), 0);
        told.check(&store);
        disk.mend();
        let refused = told.refused.len();
        told.work(&store, 101);
        assert_eq!(told.refused.len(), refused, "there is room again");
        told.check(&store);
        store.close();
        told.check(&open(path).unwrap());
    });
    println!("the disk was full at {calls} writes");
    assert!(calls > 50, "{calls} writes are too few to mean anything");
}

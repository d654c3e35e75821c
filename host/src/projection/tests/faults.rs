//! Read models on a disk that fails: at every call of a replay with many commits, in every way. Rows and checkpoint
//! always belong together, and in the end the rows are those of a replay that nothing disturbed.

use super::*;
use crate::read_model::delete_files;
use crate::sqlite::faulty::{Call, Fault, FaultyDisk};

const EVENTS: u64 = 24;

fn log() -> Log {
    let log = Log::new();
    (1..=EVENTS).for_each(|n| log.append(&format!("order-{}", n % 4), "Placed"));
    log
}

/// The rows after the first events of the log.
fn folded(events: u64) -> BTreeMap<String, i64> {
    let mut rows = BTreeMap::new();
    (1..=events).for_each(|n| *rows.entry(format!("order-{}", n % 4)).or_default() += 1);
    rows
}

/// Works as the thread of a build does, until the end of the log or so many failures.
fn work(log: &Log, path: &Path, most_failures: usize) -> Vec<Disposition> {
    work_and(log, path, most_failures, || {})
}

/// As [`work`], and calls `at_end` at the end of the log, before the read model is closed.
fn work_and(log: &Log, path: &Path, most_failures: usize, at_end: impl FnOnce()) -> Vec<Disposition> {
    let options = RunnerOptions { batch_events: 2, flush_rows: 1, ..RunnerOptions::default() };
    let mut failures = Vec::new();
    while failures.len() < most_failures {
        let opened = Runner::open(&log.events, Counting::new("a", fine).code(), path, options.clone());
        let failed = match opened {
            Err(failure) => failure.disposition(),
            Ok(mut runner) => loop {
                match runner.step() {
                    Ok(Step::CaughtUp) => {
                        at_end();
                        return failures;
                    }
                    Ok(_) => {}
                    Err(halt) => break halt.disposition,
                }
            },
        };
        failures.push(failed);
        if failed == Disposition::Rebuild {
            delete_files(path).expect("deletes");
        }
    }
    failures
}

/// Whether the file has the rows of its checkpoint, or is none yet.
#[track_caller]
fn assert_whole(path: &Path) {
    let Ok(file) = ReadModelFile::open(path) else { return };
    let (position, _) = file.standing().expect("reads");
    assert_eq!(rows(path), folded(position.0), "at {position}");
}

/// One run for each call that the fault can hit, until a run meets no fault.
fn at_every_call(fault: Fault, run: impl Fn(&Log, &FaultyDisk, &Path)) -> u64 {
    let log = log();
    for after in 0.. {
        let disk = FaultyDisk::new(after);
        let path = disk.path("m.db");
        disk.plan(fault, after);
        run(&log, &disk, &path);
        if disk.failed().is_none() {
            return after;
        }
        disk.mend();
        assert_eq!(work(&log, &path, 1), [], "it goes on");
        assert_eq!(rows(&path), folded(EVENTS), "after {after} calls");
    }
    unreachable!("the replay ends")
}

#[test]
fn a_failed_call_leaves_rows_and_checkpoint_together_and_a_failed_sync_has_the_read_model_filled_again() {
    let calls = at_every_call(Fault::Error, |log, disk, path| {
        let mut overlooked = None;
        let failures = work_and(log, path, 1, || overlooked = disk.failed());
        assert_ne!(overlooked, Some(Call::Sync), "a failed sync was overlooked");
        if disk.failed() == Some(Call::Sync) {
            assert!(matches!(failures[..], [] | [Disposition::Rebuild]), "{failures:?}");
        }
        disk.mend();
        assert_whole(path);
    });
    println!("{calls} calls failed");
    assert!(calls > 100, "{calls} calls are too few to mean anything");
}

#[test]
fn a_power_failure_leaves_the_rows_of_a_checkpoint_from_which_the_replay_goes_on() {
    let calls = at_every_call(Fault::PowerFailure, |log, disk, path| {
        work(log, path, 2);
        disk.restart();
        assert_whole(path);
    });
    println!("the power failed at {calls} calls");
    assert!(calls > 100, "{calls} calls are too few to mean anything");
}

#[test]
fn a_full_disk_has_the_projection_wait() {
    let calls = at_every_call(Fault::Full, |log, _, path| {
        let failures = work(log, path, 3);
        assert!(failures.iter().all(|failure| *failure == Disposition::Wait), "{failures:?}");
        assert_whole(path);
    });
    println!("the disk was full at {calls} writes");
    assert!(calls > 50, "{calls} writes are too few to mean anything");
}

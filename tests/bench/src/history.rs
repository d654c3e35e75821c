//! Logs full of events, made once and kept below `target/bench/`: each is the data folder of a daemon.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use lantern::event_store::{EventStore, EventStoreOptions};
use lantern_tests::{eventually, workspace};

use crate::workload::{EDITION, Pattern, Workload};

/// Events of one import. Many, so that making the log does not wait for the disk.
const IMPORT: usize = 20_000;

/// Raise it when sealed logs change: kept ones are then made again.
const SEALED_EDITION: u32 = 2;

/// A log with so many events of this pattern.
#[derive(Clone, Debug)]
pub struct History {
    pub folder: PathBuf,
    pub events: u64,
}

impl History {
    /// Finds the log, or makes it.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn of(pattern: Pattern, events: u64) -> anyhow::Result<Self> {
        let folder = target().join(format!("{}-{events}-{EDITION}", pattern.name()));
        let history = Self { folder, events };
        if history.open().is_ok_and(|store| store.head().0 == events) {
            return Ok(history);
        }
        eprintln!("making a log of {events} events ({})", pattern.name());
        if history.folder.exists() {
            fs::remove_dir_all(&history.folder)?;
        }
        fs::create_dir_all(&history.folder)?;
        let store = history.open()?;
        let mut workload = Workload::new(pattern).take(usize::try_from(events)?);
        loop {
            let batch: Vec<_> = workload.by_ref().take(IMPORT).collect();
            if batch.is_empty() {
                store.close();
                return Ok(history);
            }
            store.import(batch)?;
        }
    }

    /// The same log with its events sealed and no free page left in its file; found, or made.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn sealed(&self) -> anyhow::Result<Self> {
        let folder = self.folder.with_extension(format!("sealed-{SEALED_EDITION}"));
        let sealed = Self { folder, events: self.events };
        let options = EventStoreOptions {
            seal: true,
            seal_after_events: 0,
            sealing_percent: 100,
            ..EventStoreOptions::default()
        };
        let most = self.events - self.events % options.segment_events as u64;
        if sealed.open().is_ok_and(|store| store.stats().sealed_events == most) {
            return Ok(sealed);
        }
        eprintln!("sealing a copy of the log");
        fs::create_dir_all(&sealed.folder)?;
        fs::copy(self.file(), sealed.file())?;
        let store = EventStore::open(&sealed.file(), options)?;
        let mut done = 0;
        while done < most {
            let more = || Some(store.stats().sealed_events).filter(|sealed| *sealed > done);
            done = eventually("more events are sealed", more);
        }
        store.close();
        rusqlite::Connection::open(sealed.file())?.execute_batch("VACUUM")?;
        Ok(sealed)
    }

    /// The file of the log.
    pub fn file(&self) -> PathBuf {
        self.folder.join("events.db")
    }

    /// # Errors
    /// When somebody else has the log open.
    pub fn open(&self) -> anyhow::Result<EventStore> {
        let options = EventStoreOptions {
            max_events_per_append: IMPORT,
            max_events_per_commit: IMPORT,
            seal: false,
            ..EventStoreOptions::default()
        };
        let store = EventStore::open(&self.file(), options);
        store.with_context(|| format!("cannot open {}", self.file().display()))
    }
}

/// Where the benchmark keeps what it makes.
pub fn target() -> PathBuf {
    workspace().join("target/bench")
}

/// A folder for one run, on the same disk as the logs.
pub fn scratch() -> anyhow::Result<tempfile::TempDir> {
    fs::create_dir_all(target())?;
    Ok(tempfile::Builder::new().prefix("run-").tempdir_in(target())?)
}

/// The size of a file and of its write-ahead log.
pub fn file_bytes(path: &Path) -> u64 {
    let wal = PathBuf::from(format!("{}-wal", path.display()));
    [path, &wal].iter().filter_map(|path| fs::metadata(path).ok()).map(|metadata| metadata.len()).sum()
}

//! Events and stores for the tests of this module.
#![expect(clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::Connection;
use tempfile::TempDir;
use uuid::Uuid;

use super::seal::Steps;
use super::{AppendRequest, Appended, EventStore, EventStoreOptions, ReadLimit};
use crate::event::{ExpectedVersion, Interest, JSON, NewEvent, StreamName, Timestamp};

pub(super) const NO_LIMIT: ReadLimit = ReadLimit { events: usize::MAX, bytes: usize::MAX };

/// An event of type `Placed` whose id is made of `n`.
pub(super) fn event(n: u128) -> NewEvent {
    NewEvent {
        id: Uuid::from_u128(n),
        event_type: "Placed".into(),
        schema_version: 1,
        time: Timestamp(1_700_000_000_000_000),
        content_type: JSON.into(),
        data: format!("{{\"n\":{n}}}").into_bytes(),
        metadata: "{}".into(),
    }
}

pub(super) fn stream(name: &str) -> StreamName {
    name.parse().unwrap()
}

/// An append of the events that are made of these numbers, whatever the version of the stream.
pub(super) fn request(name: &str, ids: impl IntoIterator<Item = u128>) -> AppendRequest {
    let events = ids.into_iter().map(event).collect();
    AppendRequest { stream: stream(name), expected: ExpectedVersion::Any, events }
}

/// Interest in events of a category and of these types.
pub(super) fn interest(category: Option<&str>, event_types: &[&str]) -> Interest {
    let event_types = event_types.iter().map(|name| (*name).to_owned()).collect();
    Interest { category: category.map(str::to_owned), event_types }
}

/// Numbers that look random, the same for the same seed.
pub(super) struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }
}

/// A store in a folder of its own.
pub(super) struct Fixture {
    folder: TempDir,
    pub store: EventStore,
}

impl Fixture {
    pub fn new() -> Self {
        Self::with(EventStoreOptions::default())
    }

    /// It does not seal by itself.
    pub fn with(options: EventStoreOptions) -> Self {
        let options = EventStoreOptions { seal: false, ..options };
        let folder = tempfile::tempdir().unwrap();
        let store = EventStore::open(&folder.path().join("events.db"), options).unwrap();
        Self { folder, store }
    }

    /// A store that has nothing but segments of so many events, and less than one segment in rows, once
    /// it was sealed.
    pub fn in_segments_of(segment_events: usize) -> Self {
        Self::with(EventStoreOptions { seal_after_events: 0, segment_events, ..EventStoreOptions::default() })
    }

    /// Seals as its options say, and answers how many events are sealed.
    pub fn seal(&self) -> u64 {
        let mut steps = self.sealing();
        while steps.step().unwrap() {}
        self.store.stats().sealed_events
    }

    pub fn sealing(&self) -> Steps {
        let inner = &self.store.inner;
        Steps::new(self.store.reader().unwrap(), inner.queue().unwrap(), Arc::clone(&inner.shared))
    }

    /// How many rows a table has.
    pub fn count(&self, table: &str) -> u64 {
        let sql = format!("SELECT count(*) FROM {table}");
        Connection::open(self.path()).unwrap().query_row(&sql, [], |row| row.get(0)).unwrap()
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("events.db")
    }

    /// Appends one event of this type to the stream; its id is made of `n`.
    pub fn append(&self, name: &str, n: u128, event_type: &str) -> Appended {
        let events = vec![NewEvent { event_type: event_type.into(), ..event(n) }];
        self.store.append(AppendRequest { events, ..request(name, []) }).unwrap()
    }

    /// Closes the store, does something to its file, and opens it again.
    pub fn reopened_after(self, change: impl FnOnce(&Connection)) -> Self {
        let path = self.path();
        let Self { folder, store } = self;
        let options = store.inner.shared.options.clone();
        store.close();
        change(&Connection::open(&path).unwrap());
        let store = EventStore::open(&path, options).unwrap();
        Self { folder, store }
    }
}

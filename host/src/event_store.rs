//! The log: one file that holds every event, appended by one thread, read by any number.
//!
//! Guarantees: an acknowledged append is on disk; positions are dense, final and start at 1, and so
//! are the versions of a stream; an event is never changed or deleted. Knows nothing of those who
//! read it.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use crate::event::{EventBatch, NewEvent, Position, RecordedEvent, StreamName, StreamVersion};
use append::Work;
use head::Head;
use scan_reader::ScanReader;
use seal::Sealer;
use writer::{Answer, Job, Shared, Writer};

mod append;
mod backup;
#[cfg(test)]
mod bit_flips;
mod checksum;
mod conflict_row;
mod conflicts;
mod decode;
mod error;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod fixture;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod head;
mod kinds;
mod narrow;
mod open;
mod packed_index;
mod rare;
mod read;
mod read_ahead;
mod repeat;
mod scan_reader;
mod seal;
mod sealed;
mod segment;
mod shared_scan;
mod stream;
mod validate;
mod values;
mod verify;
mod view;
mod writer;

pub use backup::{copy_log, set_log_aside};
pub use conflicts::{CONFLICT_KEY, ConflictDecision, ConflictQuery, Resolution};
pub use error::{AppendError, EventStoreError, Rejection};
pub use head::Waker;
pub use read::LogReader;
pub use read_ahead::ReadAhead;
pub use scan_reader::Scanned;
pub use values::{
    AppendRequest, Appended, Direction, EventStoreOptions, EventStoreStats, Imported, ReadLimit, StreamPage,
};
pub use verify::Verifying;
pub use view::EventView;

/// A handle to the log. Clones share one writer; the last one to be dropped closes it.
#[derive(Clone, Debug)]
pub struct EventStore {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    log_id: Uuid,
    /// `None` when closed.
    queue: Mutex<Option<mpsc::Sender<Job>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// `None` when closed, or when nothing is to be sealed.
    sealer: Mutex<Option<Sealer>>,
    idle_readers: Mutex<Vec<LogReader>>,
}

impl EventStore {
    /// Opens the log at `path`, which is made when there is none; its folder must exist. Starts the
    /// thread that writes. Only one process may have the log open for writing.
    ///
    /// # Errors
    /// When the file is damaged at its end, of a newer Lantern or of something else, or cannot be opened.
    pub fn open(path: &Path, options: EventStoreOptions) -> Result<Self, EventStoreError> {
        let opened = open::open(path, options.cache_mib)?;
        let log_id = opened.log_id;
        let (queue, jobs) = mpsc::channel(options.max_queued_appends.max(1));
        let shared = Arc::new(Shared::new(path, options, Head::new(opened.tail.position), opened.sealed));
        let writer = Writer::new(opened, jobs, Arc::clone(&shared));
        let writer = std::thread::Builder::new().name("event log".to_owned()).spawn(move || writer.run())?;
        let (queue, writer) = (Mutex::new(Some(queue)), Mutex::new(Some(writer)));
        let (sealer, idle_readers) = Default::default();
        let store = Self { inner: Arc::new(Inner { shared, log_id, queue, writer, sealer, idle_readers }) };
        store.start_sealing()?;
        Ok(store)
    }

    /// Opens the log at `path` for reading, while a daemon has it open or none. Appends are refused. It stays at the head of
    /// now: later events are read, but nobody is woken by them.
    ///
    /// # Errors
    /// As [`EventStore::open`], and when there is no log.
    pub fn open_read_only(path: &Path, options: EventStoreOptions) -> Result<Self, EventStoreError> {
        Self::open_up_to(path, options, Position(u64::MAX))
    }

    /// As [`EventStore::open_read_only`], as if there were no events after this position.
    ///
    /// # Errors
    /// As [`EventStore::open_read_only`].
    pub fn open_up_to(path: &Path, options: EventStoreOptions, end: Position) -> Result<Self, EventStoreError> {
        let (log_id, tail, sealed) = open::open_read_only(path)?;
        let mut shared = Shared::new(path, options, Head::new(tail.position.min(end)), sealed);
        shared.end = end;
        let shared = Arc::new(shared);
        let (queue, writer, sealer, idle_readers) = Default::default();
        Ok(Self { inner: Arc::new(Inner { shared, log_id, queue, writer, sealer, idle_readers }) })
    }

    /// Appends events to one stream and waits until they are on disk. Must not be called from async
    /// code; see [`EventStore::append_async`].
    ///
    /// The same events appended again, that is events with the same ids in the same order to the same
    /// stream, give the first result, whatever the expected version and however far the stream has
    /// moved on.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub fn append(&self, request: AppendRequest) -> Result<Appended, AppendError> {
        self.check_new(&request.events)?;
        self.perform(Work::Append(request)).map(Appended::from)
    }

    /// As [`EventStore::append`]. When the future is dropped, the events may be appended all the same.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub async fn append_async(&self, request: AppendRequest) -> Result<Appended, AppendError> {
        self.check_new(&request.events)?;
        self.perform_async(Work::Append(request)).await.map(Appended::from)
    }

    /// Appends events to the ends of their streams in one transaction, and waits until they are on
    /// disk. Events whose id is in the log already, or was proposed where others were appended, are skipped, so that an
    /// import can be repeated.
    /// Must not be called from async code; see [`EventStore::import_async`].
    ///
    /// # Errors
    /// See [`AppendError`]; there is no conflict.
    pub fn import(&self, events: Vec<(StreamName, NewEvent)>) -> Result<Imported, AppendError> {
        self.check_import(&events)?;
        self.perform(Work::Import(events)).map(Imported::from)
    }

    /// As [`EventStore::import`]. When the future is dropped, the events may be appended all the same.
    ///
    /// # Errors
    /// As [`EventStore::import`].
    pub async fn import_async(&self, events: Vec<(StreamName, NewEvent)>) -> Result<Imported, AppendError> {
        self.check_import(&events)?;
        self.perform_async(Work::Import(events)).await.map(Imported::from)
    }

    /// Reads at most `max` events of a stream. `from` is the first version to read: by default the
    /// oldest, and backwards the newest. The page ends early when its events are large; go on from
    /// the version after its last one. Blocks.
    ///
    /// # Errors
    /// When the file cannot be read or an event in the page is damaged.
    pub fn read_stream(
        &self,
        stream: &StreamName,
        from: Option<StreamVersion>,
        direction: Direction,
        max: usize,
    ) -> Result<StreamPage, EventStoreError> {
        let limit = ReadLimit { events: max, bytes: self.inner.shared.options.max_page_bytes };
        self.with_reader(|reader| reader.read_stream(stream, from, direction, limit))
    }

    /// As [`EventStore::read_stream`] forwards, by column, under a limit of the caller's. Answers the stream's newest version
    /// too. Blocks.
    ///
    /// # Errors
    /// As [`EventStore::read_stream`].
    pub fn read_versions(
        &self,
        stream: &StreamName,
        from: StreamVersion,
        limit: ReadLimit,
    ) -> Result<(EventBatch, StreamVersion), EventStoreError> {
        self.with_reader(|reader| reader.read_forwards(stream, from, limit))
    }

    /// The event with this id, if it is in the log. Blocks.
    ///
    /// # Errors
    /// When the file cannot be read or the event is damaged.
    pub fn find_event(&self, id: Uuid) -> Result<Option<RecordedEvent>, EventStoreError> {
        self.with_reader(|reader| reader.find_event(id))
    }

    /// The version of the newest event in the stream; 0 when the stream has none. Blocks.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn stream_version(&self, stream: &StreamName) -> Result<StreamVersion, EventStoreError> {
        self.with_reader(|reader| Ok(reader.stream_head(stream)?.map_or(StreamVersion(0), |(_, version)| version)))
    }

    /// A reader with a connection of its own.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn reader(&self) -> Result<LogReader, EventStoreError> {
        let Shared { path, end, .. } = &*self.inner.shared;
        LogReader::open(path, self.inner.log_id, *end)
    }

    /// A reader for a long part of the log, which shares what it reads with others that are near. Without a view it
    /// sees events as they are stored.
    ///
    /// # Errors
    /// When the file cannot be opened or the machine gives no thread.
    pub fn read_ahead(&self, view: Option<Arc<dyn EventView>>) -> Result<ReadAhead, EventStoreError> {
        ReadAhead::new(ScanReader::new(self.reader()?, Arc::clone(&self.inner.shared), view))
    }

    /// The position of the newest event; 0 when there is none.
    pub fn head(&self) -> Position {
        self.inner.shared.head.position()
    }

    /// Changes whenever the head moves.
    pub fn head_changes(&self) -> watch::Receiver<Position> {
        self.inner.shared.head.changes()
    }

    /// Notifies the waker whenever the head moves, for as long as someone else holds it.
    pub fn wake(&self, waker: &Arc<Waker>) {
        self.inner.shared.head.wake(waker);
    }

    /// The identity of this log, random and made with the file.
    pub fn log_id(&self) -> Uuid {
        self.inner.log_id
    }

    pub fn stats(&self) -> EventStoreStats {
        self.inner.shared.stats()
    }

    /// Whether appends are taken.
    ///
    /// # Errors
    /// [`EventStoreError::Stopped`] says why not.
    pub fn is_writable(&self) -> Result<(), EventStoreError> {
        let open = lock(&self.inner.queue).as_ref().is_some_and(|queue| !queue.is_closed());
        if open {
            return Ok(());
        }
        let Shared { path, stopped, .. } = &*self.inner.shared;
        let reason = stopped.get().cloned().unwrap_or_else(|| "it is closed".to_owned());
        Err(EventStoreError::Stopped { path: path.clone(), reason })
    }

    /// Takes no more appends, does those that wait, and stops the thread that writes. Other clones of
    /// the handle can still read. Blocks until all is done.
    pub fn close(self) {
        self.inner.close();
    }

    fn start_sealing(&self) -> Result<(), EventStoreError> {
        let queue = lock(&self.inner.queue).clone().filter(|_| self.inner.shared.options.seal);
        if let Some(queue) = queue {
            let sealer = Sealer::start(self.reader()?, queue, Arc::clone(&self.inner.shared))?;
            *lock(&self.inner.sealer) = Some(sealer);
        }
        Ok(())
    }

    fn check_new(&self, events: &[NewEvent]) -> Result<(), AppendError> {
        validate::check_events(events.iter(), &self.inner.shared.options)?;
        validate::check_ids_differ(events)
    }

    fn check_import(&self, events: &[(StreamName, NewEvent)]) -> Result<(), AppendError> {
        validate::check_events(events.iter().map(|(_, event)| event), &self.inner.shared.options)
    }

    fn perform(&self, work: Work) -> Answer {
        let (answer, outcome) = oneshot::channel();
        let queue = self.inner.queue()?;
        queue.blocking_send(Job { work, answer }).map_err(|_| self.inner.shared.refusal())?;
        drop(queue);
        outcome.blocking_recv().unwrap_or_else(|_| unanswered())
    }

    async fn perform_async(&self, work: Work) -> Answer {
        let (answer, outcome) = oneshot::channel();
        let queue = self.inner.queue()?;
        queue.send(Job { work, answer }).await.map_err(|_| self.inner.shared.refusal())?;
        drop(queue);
        outcome.await.unwrap_or_else(|_| unanswered())
    }

    fn with_reader<T>(
        &self,
        read: impl FnOnce(&mut LogReader) -> Result<T, EventStoreError>,
    ) -> Result<T, EventStoreError> {
        let idle = lock(&self.inner.idle_readers).pop();
        let mut reader = idle.map_or_else(|| self.reader(), Ok)?;
        let result = read(&mut reader)?;
        let mut idle = lock(&self.inner.idle_readers);
        if idle.len() < self.inner.shared.options.max_idle_readers {
            idle.push(reader);
        }
        Ok(result)
    }
}

impl Inner {
    fn queue(&self) -> Result<mpsc::Sender<Job>, AppendError> {
        lock(&self.queue).clone().ok_or_else(|| self.shared.refusal())
    }

    fn close(&self) {
        // It holds on to the queue.
        drop(lock(&self.sealer).take());
        lock(&self.queue).take();
        let writer = lock(&self.writer).take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!(log = %self.shared.path.display(), "the thread that writes the event log panicked");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventStore").field("shared", &self.shared).field("log_id", &self.log_id).finish_non_exhaustive()
    }
}

/// The writer is gone without an answer, which it never leaves out: it panicked.
fn unanswered() -> Answer {
    Err(AppendError::Unknown { reason: "the thread that writes the event log panicked".to_owned() })
}

/// Nothing under these locks can be left half-changed by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

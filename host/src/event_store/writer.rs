//! The only thread that writes to the log. It takes what is queued as one group, commits it, moves
//! the head and answers: an answer means that the events are on disk. After a commit of unknown
//! result it stops for good, because what the disk holds is then unknown too.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::append::{Appender, Failure, Outcome, Tail, Work};
use super::head::Head;
use super::open::Opened;
use super::shared_scan::SharedScan;
use super::{AppendError, EventStoreOptions, EventStoreStats};
use crate::crash_point;
use crate::event::Position;
use crate::sqlite::{self, WriteBack};

/// Beyond this the write-ahead log is written back even if readers have to be waited for.
const WAL_BYTES: u64 = 256 << 20;

pub(super) type Answer = Result<Outcome, AppendError>;

/// Something to do, and where the answer goes.
#[derive(Debug)]
pub(super) struct Job {
    pub work: Work,
    pub answer: oneshot::Sender<Answer>,
}

/// What the writer shares with the handles of the store.
#[derive(Debug)]
pub(super) struct Shared {
    pub path: PathBuf,
    pub options: EventStoreOptions,
    pub head: Head,
    /// Readers know no events after it.
    pub end: Position,
    /// Why the writer stopped for good.
    pub stopped: OnceLock<String>,
    pub scan: SharedScan,
    /// The position of the newest sealed event.
    pub sealed: AtomicU64,
    events_appended: AtomicU64,
    commits: AtomicU64,
    conflicts: AtomicU64,
}

impl Shared {
    pub fn new(path: &Path, options: EventStoreOptions, head: Head, sealed: Position) -> Self {
        let (events_appended, commits, conflicts) = Default::default();
        let (path, stopped, sealed) = (path.to_owned(), OnceLock::new(), AtomicU64::new(sealed.0));
        let (end, scan) = (Position(u64::MAX), SharedScan::new(options.shared_scan_mib << 20));
        Self { path, options, head, end, stopped, scan, sealed, events_appended, commits, conflicts }
    }

    pub fn stats(&self) -> EventStoreStats {
        let [events_appended, commits, conflicts, sealed_events] =
            [&self.events_appended, &self.commits, &self.conflicts, &self.sealed]
                .map(|count| count.load(Ordering::Relaxed));
        let [batches_read, batches_shared] = self.scan.counts();
        EventStoreStats { events_appended, commits, conflicts, batches_read, batches_shared, sealed_events }
    }

    /// Why a job cannot be queued any more.
    pub fn refusal(&self) -> AppendError {
        match self.stopped.get() {
            Some(reason) => AppendError::Stopped { reason: reason.clone() },
            None => AppendError::Closed,
        }
    }
}

/// The step of a transaction that SQLite refused.
enum Broken {
    Begin(rusqlite::Error),
    Statement(rusqlite::Error),
    Commit(rusqlite::Error),
}

pub(super) struct Writer {
    connection: Connection,
    write_back: WriteBack,
    appender: Appender,
    queue: mpsc::Receiver<Job>,
    shared: Arc<Shared>,
    /// The size from which the write-ahead log is too large.
    wal_limit: u64,
}

impl Writer {
    pub fn new(opened: Opened, queue: mpsc::Receiver<Job>, shared: Arc<Shared>) -> Self {
        let Opened { connection, write_back, tail, .. } = opened;
        let is_sealed = shared.sealed.load(Ordering::Relaxed) > 0;
        Self { connection, write_back, appender: Appender::new(tail, is_sealed), queue, shared, wal_limit: WAL_BYTES }
    }

    /// Works until the queue is closed and empty, or until a failure that leaves no way on.
    pub fn run(mut self) {
        while let Some(first) = self.queue.blocking_recv() {
            let group = self.gather(first);
            if let Err(reason) = self.commit(group).and_then(|()| self.limit_wal()) {
                tracing::error!(log = %self.shared.path.display(), %reason, "the event log takes no more events");
                sqlite::abandon(&self.connection);
                // Set before the queue closes, so that whoever finds it closed knows why.
                self.shared.stopped.get_or_init(|| reason);
                self.queue.close();
                while let Some(job) = self.queue.blocking_recv() {
                    answer(job, Err(self.shared.refusal()));
                }
                return;
            }
        }
    }

    /// The first job and what else is waiting, up to the limits.
    fn gather(&mut self, first: Job) -> Vec<Job> {
        let EventStoreOptions { max_events_per_commit, max_bytes_per_commit, .. } = self.shared.options;
        let (mut events, mut bytes) = first.work.size();
        let mut group = vec![first];
        while events < max_events_per_commit && bytes < max_bytes_per_commit {
            let Ok(job) = self.queue.try_recv() else { break };
            let (more_events, more_bytes) = job.work.size();
            (events, bytes) = (events + more_events, bytes + more_bytes);
            group.push(job);
        }
        group
    }

    /// Does the jobs in one transaction and answers them. An error says why the writer must stop.
    fn commit(&mut self, group: Vec<Job>) -> Result<(), String> {
        let before = self.appender.tail();
        let broken = match self.transact(&group) {
            Ok(answers) => {
                self.publish(before, &answers);
                group.into_iter().zip(answers).for_each(|(job, result)| answer(job, result));
                return Ok(());
            }
            Err(broken) => broken,
        };
        self.appender.reset(before);
        if broken.is_final() || !self.connection.is_autocommit() {
            let reason = broken.to_string();
            group.into_iter().for_each(|job| answer(job, Err(AppendError::Unknown { reason: reason.clone() })));
            return Err(reason);
        }
        if group.len() > 1 && matches!(broken, Broken::Statement(_)) {
            // One of them did it, and the others must not suffer from it.
            return group.into_iter().try_for_each(|job| self.commit(vec![job]));
        }
        let reason = broken.to_string();
        let refusal = if broken.is_full() { AppendError::DiskFull { reason } } else { AppendError::Failed { reason } };
        group.into_iter().for_each(|job| answer(job, Err(refusal.clone())));
        Ok(())
    }

    /// On an error the transaction is rolled back.
    fn transact(&mut self, group: &[Job]) -> Result<Vec<Answer>, Broken> {
        let before = self.appender.tail();
        let behavior = TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(behavior).map_err(Broken::Begin)?;
        let mut answers = Vec::with_capacity(group.len());
        for job in group {
            answers.push(match self.appender.perform(&transaction, &job.work) {
                Ok(outcome) => Ok(outcome),
                Err(Failure::Refused(refusal)) => Err(refusal),
                Err(Failure::Sqlite(error)) => return Err(Broken::Statement(error)),
            });
        }
        let Tail { position, chain } = self.appender.tail();
        if position != before.position {
            transaction
                .prepare_cached("UPDATE log SET position = ?, chain = ?")
                .and_then(|mut update| update.execute([position.0 as i64, chain as i64]))
                .map_err(Broken::Statement)?;
        }
        crash_point::reached("append-written");
        transaction.commit().map_err(Broken::Commit)?;
        crash_point::reached("append-committed");
        Ok(answers)
    }

    /// Makes known what was committed.
    fn publish(&self, before: Tail, answers: &[Answer]) {
        let position = self.appender.tail().position;
        let conflicts =
            answers.iter().filter(|answer| matches!(answer, Err(AppendError::WrongExpectedVersion { .. }))).count();
        self.shared.conflicts.fetch_add(conflicts as u64, Ordering::Relaxed);
        if position != before.position {
            self.shared.commits.fetch_add(1, Ordering::Relaxed);
            self.shared.events_appended.fetch_add(position.0 - before.position.0, Ordering::Relaxed);
            self.shared.head.move_to(position);
        }
    }

    /// SQLite starts the write-ahead log over only when nobody reads from it. Under many busy readers
    /// such a moment may never come by itself.
    fn limit_wal(&mut self) -> Result<(), String> {
        let failed = |error: rusqlite::Error| format!("writing back its write-ahead log failed: {error}");
        self.write_back
            .after_commit(&self.connection)
            .or_else(|error| if is_fatal(&error) { Err(failed(error)) } else { Ok(()) })?;
        let mut wal = self.shared.path.as_os_str().to_owned();
        wal.push("-wal");
        let size = std::fs::metadata(wal).map_or(0, |file| file.len());
        if size < self.wal_limit {
            return Ok(());
        }
        let written_back = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        match written_back {
            Ok(0) => self.wal_limit = WAL_BYTES,
            Err(error) if is_fatal(&error) => return Err(failed(error)),
            _ => {
                self.wal_limit = size + WAL_BYTES;
                tracing::warn!(bytes = size, "the event log's write-ahead log grows, because a reader holds on to it");
            }
        }
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared.stopped.get_or_init(|| "the thread that writes it panicked".to_owned());
        }
    }
}

impl Broken {
    /// Whether the state of the file is unknown from here on.
    fn is_final(&self) -> bool {
        match self {
            Self::Begin(error) | Self::Statement(error) => is_fatal(error),
            // A full disk or a lock is noticed before the commit is written.
            Self::Commit(error) => {
                !matches!(error.sqlite_error_code(), Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy))
            }
        }
    }

    fn is_full(&self) -> bool {
        let (Self::Begin(error) | Self::Statement(error) | Self::Commit(error)) = self;
        error.sqlite_error_code() == Some(ErrorCode::DiskFull)
    }
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Begin(error) => write!(f, "the transaction could not begin: {error}"),
            Self::Statement(error) => write!(f, "a statement failed: {error}"),
            Self::Commit(error) => write!(f, "the commit failed: {error}"),
        }
    }
}

/// Whether the error says that the disk or the file is not what it should be.
fn is_fatal(error: &rusqlite::Error) -> bool {
    use ErrorCode::{CannotOpen, DatabaseCorrupt, FileLockingProtocolFailed, NotADatabase, ReadOnly, SystemIoFailure};
    matches!(
        error.sqlite_error_code(),
        Some(CannotOpen | DatabaseCorrupt | FileLockingProtocolFailed | NotADatabase | ReadOnly | SystemIoFailure)
    )
}

/// Whoever asked may have gone meanwhile.
fn answer(job: Job, result: Answer) {
    let _gone = job.answer.send(result);
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::super::fixture::{Fixture, request};
    use super::super::open;
    use super::*;

    /// A writer over a new file that is not running yet, and the way to its queue.
    fn writer(max_events_per_commit: usize) -> (tempfile::TempDir, Writer, mpsc::Sender<Job>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.db");
        let opened = open::open(&path, 1).unwrap();
        let (queue, jobs) = mpsc::channel(16);
        let options = EventStoreOptions { max_events_per_commit, ..EventStoreOptions::default() };
        let shared = Shared::new(&path, options, Head::new(opened.tail.position), opened.sealed);
        (folder, Writer::new(opened, jobs, Arc::new(shared)), queue)
    }

    fn send(queue: &mpsc::Sender<Job>, name: &str, id: u128) -> oneshot::Receiver<Answer> {
        let (answer, outcome) = oneshot::channel();
        queue.blocking_send(Job { work: Work::Append(request(name, [id])), answer }).unwrap();
        outcome
    }

    #[test]
    fn appends_that_wait_share_a_commit_up_to_its_limit() {
        let (_folder, writer, queue) = writer(6);
        let shared = Arc::clone(&writer.shared);
        let outcomes: Vec<_> = (1..=10).map(|id| send(&queue, "order-1", id)).collect();
        drop(queue);
        writer.run();
        for (outcome, position) in outcomes.into_iter().zip(1..) {
            assert_eq!(outcome.blocking_recv().unwrap().unwrap().last_position, Position(position));
        }
        assert_eq!(shared.stats(), EventStoreStats { events_appended: 10, commits: 2, ..EventStoreStats::default() });
    }

    #[test]
    fn a_statement_that_fails_harms_only_its_own_append() {
        let (_folder, writer, queue) = writer(6);
        let shared = Arc::clone(&writer.shared);
        let trap = "CREATE TEMP TRIGGER trap BEFORE INSERT ON events WHEN NEW.id = x'00000000000000000000000000000002'
                    BEGIN SELECT RAISE(ABORT, 'trapped'); END";
        writer.connection.execute_batch(trap).unwrap();
        let outcomes = [1, 2, 3].map(|id| send(&queue, "order-1", id));
        drop(queue);
        writer.run();
        let [first, second, third] = outcomes.map(|outcome| outcome.blocking_recv().unwrap());
        assert_eq!(first.unwrap().last_position, Position(1));
        let refusal = second.unwrap_err();
        assert!(matches!(&refusal, AppendError::Failed { reason } if reason.contains("trapped")), "{refusal}");
        assert_eq!(third.unwrap().last_position, Position(2));
        assert_eq!((shared.head.position(), shared.stopped.get()), (Position(2), None));
    }

    #[test]
    fn a_commit_of_unknown_result_stops_the_writer_for_good() {
        let (_folder, mut writer, queue) = writer(1);
        let shared = Arc::clone(&writer.shared);
        writer.connection.commit_hook(Some(|| true)).unwrap();
        let committed = send(&queue, "order-1", 1);
        let waiting = send(&queue, "order-2", 2);
        writer.run();
        let unknown = committed.blocking_recv().unwrap();
        assert!(matches!(unknown, Err(AppendError::Unknown { .. })), "{unknown:?}");
        let stopped = waiting.blocking_recv().unwrap();
        assert!(matches!(stopped, Err(AppendError::Stopped { .. })), "{stopped:?}");
        assert!(queue.is_closed());
        assert!(matches!(shared.refusal(), AppendError::Stopped { reason } if reason.contains("commit failed")));
        assert_eq!(shared.head.position(), Position(0));
    }

    #[test]
    fn a_large_write_ahead_log_is_written_back_and_starts_over() {
        let (folder, mut writer, queue) = writer(6);
        let wal = folder.path().join("events.db-wal");
        let _outcome = send(&queue, "order-1", 1);
        let group = writer.queue.blocking_recv().into_iter().collect();
        writer.commit(group).unwrap();
        writer.limit_wal().unwrap();
        assert!(wal.metadata().unwrap().len() > 0, "it is small, and stays");
        writer.wal_limit = 1;
        writer.limit_wal().unwrap();
        assert_eq!((wal.metadata().unwrap().len(), writer.wal_limit), (0, WAL_BYTES));
    }

    #[test]
    fn closing_does_what_waits_and_refuses_what_comes_later() {
        let Fixture { store, .. } = &Fixture::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let appends: Vec<_> = (1..=50)
                .map(|id| {
                    tokio::spawn({
                        let store = store.clone();
                        async move { store.append_async(request("order-1", [id])).await }
                    })
                })
                .collect();
            tokio::task::yield_now().await;
            store.clone().close();
            let mut done = 0;
            for append in appends {
                done += u64::from(append.await.unwrap().is_ok());
            }
            assert_eq!((done, store.head()), (50, Position(50)));
        });
        assert_eq!(store.append(request("order-1", [51])), Err(AppendError::Closed));
        assert!(store.is_writable().unwrap_err().to_string().contains("it is closed"));
    }
}

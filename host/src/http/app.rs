//! What every handler shares: the parts of the daemon, the options, and the way to work on files
//! without holding up other requests.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, Semaphore, watch};

use super::memory::BodyMemory;
use super::metrics::Requests;
use super::problem::Problem;
use super::{AppState, HttpOptions};
use crate::event::{EventBatch, Interest, Position};
use crate::event_store::{EventStoreError, LogReader, ReadLimit};
use crate::read_model::QueryPool;

/// Lives as long as the server.
pub(super) struct App {
    pub state: AppState,
    pub options: HttpOptions,
    pub queries: QueryPool,
    pub requests: Requests,
    pub body_memory: BodyMemory,
    pub subscriptions: Arc<Semaphore>,
    /// Wakes the connection that has been silent longest, to make room for another.
    pub crowded: Notify,
    file_work: Arc<Semaphore>,
    readers: Mutex<Vec<LogReader>>,
    stopping: watch::Sender<bool>,
}

impl App {
    pub fn new(state: AppState, options: HttpOptions) -> Arc<Self> {
        Arc::new(Self {
            state,
            queries: QueryPool::new(options.query.clone()),
            requests: Requests::default(),
            body_memory: BodyMemory::new(options.max_body_memory.max(options.max_body_bytes)),
            subscriptions: Arc::new(Semaphore::new(options.max_subscriptions)),
            crowded: Notify::new(),
            file_work: Arc::new(Semaphore::new(options.max_file_work)),
            readers: Mutex::default(),
            stopping: watch::Sender::new(false),
            options,
        })
    }

    /// Runs work that blocks on its own thread, a limited number at once.
    ///
    /// # Errors
    /// The work's own, or `internal` when it panicked.
    pub async fn blocking<T, E>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Problem>
    where
        T: Send + 'static,
        E: Send + 'static,
        Problem: From<E>,
    {
        // The permit moves into the work: a request that is given up does not make room before its work ends.
        let permit = Arc::clone(&self.file_work).acquire_owned().await.map_err(|_| Problem::stopping())?;
        let app = Arc::clone(self);
        let work = tokio::task::spawn_blocking(move || {
            let result = work(&app);
            drop(permit);
            result
        });
        match work.await {
            Ok(result) => result.map_err(Problem::from),
            Err(panic) => Err(Problem::internal(format!("the request was not finished: {panic}"))),
        }
    }

    /// Fills the batch with the wanted events after a position and answers how far the log was read. Blocks.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn read_log(
        &self,
        after: Position,
        interests: &[Interest],
        limit: ReadLimit,
        batch: &mut EventBatch,
    ) -> Result<Position, EventStoreError> {
        let idle = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut reader = match idle {
            Some(reader) => reader,
            None => self.state.events.reader()?,
        };
        let scanned_to = reader.read_after(after, interests, limit, batch)?;
        // There are never more readers than permits for file work.
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
        Ok(scanned_to)
    }

    /// Tells open subscriptions and connections to end.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    pub fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Ends when the server is about to end.
    pub async fn stopped(&self) {
        // An error would say that the sender is gone, and it lives in self.
        let _ = self.stopping.subscribe().wait_for(|stopping| *stopping).await;
    }
}

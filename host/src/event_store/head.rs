//! The newest position, and ways to wait for it to move. A wake-up carries no event: if one is
//! lost, things are late, never wrong.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;

use crate::event::Position;

/// Wakes one waiting thread.
#[derive(Debug, Default)]
pub struct Waker {
    notified: Mutex<bool>,
    changed: Condvar,
}

impl Waker {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Ends the wait that is under way, or else the next one.
    pub fn notify(&self) {
        *lock(&self.notified) = true;
        self.changed.notify_one();
    }

    /// Waits for [`Waker::notify`], at most as long as `timeout`. Returns at once when it was called
    /// since the last wait ended.
    pub fn wait(&self, timeout: Duration) {
        let waiting = self.changed.wait_timeout_while(lock(&self.notified), timeout, |notified| !*notified);
        *waiting.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}

/// The newest position of the log.
#[derive(Debug)]
pub(super) struct Head {
    position: watch::Sender<Position>,
    wakers: Mutex<Vec<Weak<Waker>>>,
}

impl Head {
    pub fn new(position: Position) -> Self {
        Self { position: watch::Sender::new(position), wakers: Mutex::default() }
    }

    pub fn position(&self) -> Position {
        *self.position.borrow()
    }

    pub fn changes(&self) -> watch::Receiver<Position> {
        self.position.subscribe()
    }

    /// From now on the waker is notified whenever the head moves, until it is dropped.
    pub fn wake(&self, waker: &Arc<Waker>) {
        lock(&self.wakers).push(Arc::downgrade(waker));
    }

    pub fn move_to(&self, position: Position) {
        self.position.send_replace(position);
        lock(&self.wakers).retain(|waker| waker.upgrade().inspect(|waker| waker.notify()).is_some());
    }
}

/// Nothing here can be left half-changed by a panic, so a poisoned lock is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_notification_before_the_wait_is_not_lost_and_counts_once() {
        let waker = Waker::new();
        waker.notify();
        let start = Instant::now();
        waker.wait(LONG);
        assert!(start.elapsed() < LONG);
        waker.wait(Duration::from_millis(1));
        assert!(start.elapsed() >= Duration::from_millis(1), "the second wait had nothing to wait for");
    }

    #[test]
    fn a_moving_head_wakes_threads_and_forgets_dropped_wakers() {
        let head = Head::new(Position(0));
        let (kept, dropped) = (Waker::new(), Waker::new());
        head.wake(&kept);
        head.wake(&dropped);
        drop(dropped);
        let waiting = std::thread::spawn(move || kept.wait(LONG));
        head.move_to(Position(3));
        waiting.join().expect("the waiting thread ends");
        assert_eq!(head.position(), Position(3));
        head.move_to(Position(4));
        assert!(lock(&head.wakers).is_empty());
    }
}

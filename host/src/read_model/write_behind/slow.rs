//! A disk that takes its time, for tests: a commit stands still at one of its crash points until somebody has asked for it
//! so often, or waits for it. Which commit, where and for how long is the test's choice, so it is the same in every run.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::crash_point;

/// How long a commit takes.
#[derive(Clone, Copy, Debug)]
pub struct Delay {
    /// The crash point at which it stands still.
    pub at: &'static str,
    /// How often it is asked for in vain.
    pub looks: u64,
}

/// What delays the commits of one read model.
pub struct Slow {
    delays: Box<dyn FnMut() -> Delay + Send>,
    /// Of the last commit.
    gate: Arc<Gate>,
    looks: u64,
}

/// One commit on its way.
#[derive(Default)]
pub struct Gate {
    progress: Mutex<Progress>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Progress {
    #[default]
    Works,
    Stands,
    /// It may pass, or is done.
    Free,
}

impl Slow {
    pub fn new(delays: impl FnMut() -> Delay + Send + 'static) -> Self {
        Self { delays: Box::new(delays), gate: Arc::default(), looks: 0 }
    }

    /// For the thread that is about to commit.
    pub(super) fn begin(&mut self) -> Stop {
        let Delay { at, looks } = (self.delays)();
        (self.gate, self.looks) = (Arc::default(), looks);
        Stop { at, gate: Arc::clone(&self.gate) }
    }

    /// Returns when the commit stands still or has failed.
    pub(super) fn wait_until_it_stands(&self) {
        drop(self.gate.wait_while(Progress::Works));
    }

    /// Whether the commit is to end now.
    pub(super) fn ends(&mut self, wait: bool) -> bool {
        let ends = wait || self.looks == 0;
        self.looks = self.looks.saturating_sub(1);
        if ends {
            self.gate.set(Progress::Free);
        }
        ends
    }
}

/// What a commit takes along to where it is done.
pub struct Stop {
    at: &'static str,
    gate: Arc<Gate>,
}

/// The commit works, until this is dropped.
pub struct Watched(Arc<Gate>);

impl Stop {
    /// To be called on the thread that commits.
    pub(super) fn watch(self) -> Watched {
        let (at, gate) = (self.at, Arc::clone(&self.gate));
        crash_point::watch(Some(Box::new(move |name| {
            if name == at {
                gate.set(Progress::Stands);
                drop(gate.wait_while(Progress::Stands));
            }
        })));
        Watched(self.gate)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        crash_point::watch(None);
        self.0.set(Progress::Free);
    }
}

impl Gate {
    /// Once free, it stays so.
    fn set(&self, progress: Progress) {
        let mut now = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        if *now != Progress::Free {
            *now = progress;
        }
        self.changed.notify_all();
    }

    fn wait_while(&self, progress: Progress) -> MutexGuard<'_, Progress> {
        let now = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        self.changed.wait_while(now, |now| *now == progress).unwrap_or_else(PoisonError::into_inner)
    }
}

//! How a projection stands, for people and programs that watch it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::code::CodeIdentity;
use crate::event::Position;
use crate::read_model::Table;

/// What a projection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProjectionState {
    /// Applying events of the past.
    CatchingUp,
    /// Nothing was left to read; new events are applied as they come.
    Live,
    /// Waits until somebody resumes it.
    Paused,
    /// Something outside of the plugin failed; it is tried again after a while.
    Retrying,
    /// It cannot go on by itself; the reason says what to do.
    Stopped,
    /// Its file is gone from the plugin folder. The read model stays as it is.
    PluginMissing,
}

impl ProjectionState {
    /// The word that the API and the command line use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CatchingUp => "catching-up",
            Self::Live => "live",
            Self::Paused => "paused",
            Self::Retrying => "retrying",
            Self::Stopped => "stopped",
            Self::PluginMissing => "plugin-missing",
        }
    }
}

/// How a projection stands.
#[derive(Clone, Debug)]
pub struct ProjectionStatus {
    pub name: String,
    /// The file in the plugin folder that provides it.
    pub plugin_file: String,
    /// Of the read model that answers queries.
    pub active: BuildStatus,
    /// Of the read model that a replay is filling beside it.
    pub replay: Option<BuildStatus>,
    pub tables: Vec<Table>,
}

/// How one build of a read model stands.
#[derive(Clone, Debug)]
pub struct BuildStatus {
    pub read_model_version: u32,
    /// Counts the replays of this projection.
    pub build: u64,
    pub component_digest: String,
    /// The upcasters through which its events are read, by name.
    pub upcasters: Vec<CodeIdentity>,
    pub read_model_path: PathBuf,
    pub state: ProjectionState,
    /// Why it is in this state, when that needs saying.
    pub reason: Option<String>,
    /// The last event that was applied or passed over.
    pub position: Position,
    /// The last event in the log.
    pub head: Position,
    /// Positions a second, over the last second or more; 0 while nothing moves.
    pub events_per_second: f64,
    /// Events that failed.
    pub dead_letters: u64,
    /// Events that wait behind a failed one of their stream.
    pub waiting: u64,
}

impl BuildStatus {
    /// Events between the position and the head.
    pub fn lag(&self) -> u64 {
        self.head.0.saturating_sub(self.position.0)
    }

    /// How much of the log is behind it, from 0 to 100.
    pub fn percent(&self) -> f64 {
        if self.head.0 == 0 { 100.0 } else { 100.0 * self.position.0 as f64 / self.head.0 as f64 }
    }

    /// Seconds until it has caught up at the present rate; none while nothing moves.
    pub fn eta_seconds(&self) -> Option<u64> {
        match self.lag() {
            0 => Some(0),
            lag if self.events_per_second > 0.0 => Some((lag as f64 / self.events_per_second).ceil() as u64),
            _ => None,
        }
    }
}

/// What a worker tells of itself; read by anyone, written by its thread.
#[derive(Debug)]
pub(super) struct Progress {
    report: Mutex<Report>,
    visible_to: watch::Sender<Position>,
    /// Held while the worker works; true when another build has taken its place, and it must not go on.
    at_work: Mutex<bool>,
    /// Somebody found the worker at work and will come again in a moment.
    awaited: AtomicBool,
}

#[derive(Clone, Debug)]
pub(super) struct Report {
    pub state: ProjectionState,
    pub reason: Option<String>,
    pub position: Position,
    pub dead_letters: u64,
    pub waiting: u64,
    window: (Instant, Position),
    events_per_second: f64,
}

/// The rate is taken over at least this long.
const RATE_WINDOW: Duration = Duration::from_secs(1);

impl Progress {
    pub fn new(state: ProjectionState, position: Position, (dead_letters, waiting): (u64, u64)) -> Self {
        let report = Report {
            state,
            reason: None,
            position,
            dead_letters,
            waiting,
            window: (Instant::now(), position),
            events_per_second: 0.0,
        };
        Self {
            report: Mutex::new(report),
            visible_to: watch::Sender::new(position),
            at_work: Mutex::new(false),
            awaited: AtomicBool::new(false),
        }
    }

    /// For the worker: nobody takes its place before this is dropped. True when somebody has.
    pub fn work(&self) -> MutexGuard<'_, bool> {
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the worker from going on until this is dropped; none when it is at work: then it rests a while after its
    /// step, so that asking again soon succeeds. Set to true, it never goes on.
    pub fn stand_still(&self) -> Option<MutexGuard<'_, bool>> {
        let still = self.at_work.try_lock().ok();
        self.awaited.store(still.is_none(), Ordering::Relaxed);
        still
    }

    /// Whether somebody has asked the worker to stand still since the last call.
    pub fn take_awaited(&self) -> bool {
        self.awaited.swap(false, Ordering::Relaxed)
    }

    pub fn set_state(&self, state: ProjectionState, reason: Option<String>) {
        let mut report = self.lock();
        report.state = state;
        report.reason = reason;
    }

    pub fn set_dead_letters(&self, (dead_letters, waiting): (u64, u64)) {
        let mut report = self.lock();
        report.dead_letters = dead_letters;
        report.waiting = waiting;
    }

    pub fn advance(&self, position: Position, visible_to: Position) {
        let mut report = self.lock();
        report.position = position;
        let (since, from) = report.window;
        let elapsed = since.elapsed();
        if elapsed >= RATE_WINDOW {
            report.events_per_second = position.0.saturating_sub(from.0) as f64 / elapsed.as_secs_f64();
            report.window = (Instant::now(), position);
        }
        drop(report);
        self.visible_to.send_if_modified(|seen| std::mem::replace(seen, visible_to) != visible_to);
    }

    pub fn visible_to(&self) -> watch::Receiver<Position> {
        self.visible_to.subscribe()
    }

    pub fn report(&self) -> Report {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Report> {
        // A panic elsewhere leaves at worst an old figure behind.
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Report {
    /// Failed and waiting events together.
    pub fn parked(&self) -> u64 {
        self.dead_letters + self.waiting
    }

    /// Before the first window is over, the rate so far; after a standstill, none.
    pub fn events_per_second(&self) -> f64 {
        let (since, from) = self.window;
        let elapsed = since.elapsed();
        if elapsed > 3 * RATE_WINDOW {
            0.0
        } else if self.events_per_second == 0.0 && elapsed > RATE_WINDOW / 10 {
            self.position.0.saturating_sub(from.0) as f64 / elapsed.as_secs_f64()
        } else {
            self.events_per_second
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(position: u64, head: u64, events_per_second: f64) -> BuildStatus {
        BuildStatus {
            read_model_version: 1,
            build: 1,
            component_digest: String::new(),
            upcasters: Vec::new(),
            read_model_path: PathBuf::new(),
            state: ProjectionState::CatchingUp,
            reason: None,
            position: Position(position),
            head: Position(head),
            events_per_second,
            dead_letters: 0,
            waiting: 0,
        }
    }

    #[test]
    fn percent_and_eta_follow_from_position_head_and_rate() {
        let half = status(50, 100, 10.0);
        assert_eq!((half.lag(), half.percent(), half.eta_seconds()), (50, 50.0, Some(5)));
        assert_eq!(status(0, 0, 0.0).percent(), 100.0);
        assert_eq!(status(7, 7, 0.0).eta_seconds(), Some(0));
        assert_eq!(status(7, 8, 0.0).eta_seconds(), None);
    }

    #[test]
    fn whoever_waits_for_a_position_is_told_when_rows_up_to_it_are_visible() {
        let progress = Progress::new(ProjectionState::CatchingUp, Position(0), (0, 0));
        let mut visible = progress.visible_to();
        progress.advance(Position(9), Position(4));
        assert_eq!(*visible.borrow_and_update(), Position(4));
        assert_eq!(progress.report().position, Position(9));
    }
}

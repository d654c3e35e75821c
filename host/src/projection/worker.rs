//! The thread of one build: turns [`Runner::step`] until it is told otherwise.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::failure::{Disposition, Failure};
use super::managed::delete_retired;
use super::options::RunnerOptions;
use super::runner::{Halt, Runner, Step};
use super::status::Progress;
use super::{ProjectionCode, ProjectionState};
use crate::event::Position;
use crate::event_store::{EventStore, Waker};
use crate::read_model::delete_files;

/// How a worker waits and retries.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    pub runner: RunnerOptions,
    /// Failures that may pass, in a row, after which the projection stops.
    pub retries: u32,
    /// Wait before the first retry; it doubles each time.
    pub retry_wait: Duration,
    /// The longest wait before a retry.
    pub retry_wait_most: Duration,
    /// How long to wait for a wake-up before looking at the log anyway.
    pub idle_wait: Duration,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            runner: RunnerOptions::default(),
            retries: 10,
            retry_wait: Duration::from_millis(100),
            retry_wait_most: Duration::from_secs(30),
            idle_wait: Duration::from_secs(1),
        }
    }
}

/// What a worker can be told.
pub(super) enum Command {
    /// The sender is dropped when the worker stands still.
    Pause(SyncSender<()>),
    /// Also starts a stopped projection again.
    Resume,
    /// Other code for the same read model, or the same code, compiled better.
    Replace(Arc<dyn ProjectionCode>),
    /// Applies the parked events of this stream, or of every stream.
    Retry(Option<String>),
    Discard {
        position: Position,
        reply: SyncSender<Result<bool, String>>,
    },
    /// Commits and ends.
    Stop,
    /// Ends and deletes the read model.
    Retire,
}

/// What a worker needs.
pub(super) struct Assignment {
    pub events: EventStore,
    pub code: Arc<dyn ProjectionCode>,
    pub path: PathBuf,
    pub paused: bool,
    pub options: WorkerOptions,
    pub progress: Arc<Progress>,
    /// For a replay: called whenever it has caught up, until it answers that it was swapped in.
    pub swap: Option<Box<dyn FnMut() -> bool + Send>>,
}

/// A running worker. Dropping it leaves the thread alone; tell it to stop.
#[derive(Debug)]
pub(super) struct Worker {
    commands: SyncSender<Command>,
    waker: Arc<Waker>,
    thread: JoinHandle<()>,
}

/// Until a replay that has caught up tries again to take the place of the active build, which was at work.
const SWAP_AGAIN: Duration = Duration::from_millis(5);

/// Commands that may wait for a worker.
const MAX_WAITING_COMMANDS: usize = 64;

impl Worker {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the machine gives no thread.
    pub fn start(assignment: Assignment) -> std::io::Result<Self> {
        let (commands, inbox) = sync_channel(MAX_WAITING_COMMANDS);
        let waker = Waker::new();
        assignment.events.wake(&waker);
        let state = State {
            inbox,
            waker: Arc::clone(&waker),
            runner: None,
            redrive: VecDeque::new(),
            halted: false,
            failures: 0,
            retry_at: None,
            assignment,
        };
        let name = format!("projection {}", state.assignment.code.description().name);
        let thread = std::thread::Builder::new().name(name).spawn(move || state.run())?;
        Ok(Self { commands, waker, thread })
    }

    /// Hands a command over. False when the thread has ended or too many commands wait.
    pub fn tell(&self, command: Command) -> bool {
        let taken = self.commands.try_send(command).is_ok();
        self.waker.notify();
        taken
    }

    /// Tells the worker to commit and waits for its end.
    pub fn stop(self) {
        self.tell(Command::Stop);
        if self.thread.join().is_err() {
            tracing::error!("a projection's thread had panicked");
        }
    }
}

struct State {
    assignment: Assignment,
    inbox: Receiver<Command>,
    waker: Arc<Waker>,
    runner: Option<Runner>,
    /// Streams whose parked events are to be applied.
    redrive: VecDeque<String>,
    /// Stopped until somebody resumes it or replaces the code, or for good when another build has taken its place.
    halted: bool,
    failures: u32,
    retry_at: Option<Instant>,
}

/// Whether a worker goes on after a command.
#[derive(PartialEq)]
enum Obeyed {
    GoOn,
    End,
}

impl State {
    fn run(mut self) {
        loop {
            let progress = Arc::clone(&self.assignment.progress);
            let replaced = progress.work();
            while let Ok(command) = self.inbox.try_recv() {
                if self.obey(command) == Obeyed::End {
                    return;
                }
            }
            self.halted |= *replaced;
            let wait = catch_unwind(AssertUnwindSafe(|| self.turn())).unwrap_or_else(|_| {
                self.stop_with("a bug in Lantern stopped it; the log has the details".into());
                Duration::ZERO
            });
            drop(replaced);
            if progress.take_awaited() {
                // A busy worker would else take the lock again before anybody else can.
                std::thread::sleep(4 * SWAP_AGAIN);
            }
            if !wait.is_zero() {
                self.waker.wait(wait);
            }
        }
    }

    /// Does one piece of work and answers how long there is nothing to do.
    fn turn(&mut self) -> Duration {
        if self.assignment.paused || self.halted {
            return self.assignment.options.idle_wait;
        }
        if let Some(at) = self.retry_at {
            let left = at.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                return left;
            }
            self.retry_at = None;
        }
        match self.work() {
            Ok(Step::CaughtUp) => return self.caught_up(),
            Ok(Step::Applied) => {
                self.failures = 0;
                self.report(ProjectionState::CatchingUp);
            }
            Ok(Step::Isolating) => {}
            Ok(Step::Parked(position)) => self.tell_parked(position),
            Err(halt) => self.halt(halt),
        }
        Duration::ZERO
    }

    fn work(&mut self) -> Result<Step, Halt> {
        let runner = match &mut self.runner {
            Some(runner) => runner,
            None => {
                let opened = self.open().map_err(|failure| Halt::of(&failure))?;
                self.runner.insert(opened)
            }
        };
        if let Some(stream) = self.redrive.pop_front() {
            let free = runner.redrive(&stream);
            tracing::info!(projection = %self.assignment.code.description().name, %stream, ?free, "parked events applied again");
            self.count_dead_letters();
            return free.map(|_| Step::Applied);
        }
        let step = runner.step();
        let (read_to, visible_to) = (runner.read_to(), runner.visible_to());
        let parked = runner.dead_letters;
        self.assignment.progress.advance(read_to, visible_to);
        if parked != self.assignment.progress.report().parked() {
            self.count_dead_letters();
        }
        step
    }

    fn open(&mut self) -> Result<Runner, Failure> {
        let Assignment { events, code, path, options, progress, .. } = &self.assignment;
        let mut runner = Runner::open(events, Arc::clone(code), path, options.runner.clone())?;
        self.redrive = runner.streams_to_redrive()?.into();
        progress.advance(runner.read_to(), runner.visible_to());
        progress.set_dead_letters(runner.dead_letter_count()?);
        progress.set_state(ProjectionState::CatchingUp, None);
        Ok(runner)
    }

    /// Answers how long there is nothing to do.
    fn caught_up(&mut self) -> Duration {
        self.failures = 0;
        self.report(ProjectionState::Live);
        if let Some(swap) = &mut self.assignment.swap {
            if !swap() {
                return SWAP_AGAIN;
            }
            self.assignment.swap = None;
        }
        self.assignment.options.idle_wait
    }

    fn report(&self, state: ProjectionState) {
        let progress = &self.assignment.progress;
        let present = progress.report().state;
        // A live projection that applies a new event is still live.
        if present != state && !(present == ProjectionState::Live && self.lags_little()) {
            progress.set_state(state, None);
        }
    }

    fn lags_little(&self) -> bool {
        let position = self.assignment.progress.report().position;
        let lag = self.assignment.events.head().0.saturating_sub(position.0);
        lag <= self.assignment.options.runner.batch_events as u64
    }

    fn halt(&mut self, halt: Halt) {
        let name = &self.assignment.code.description().name;
        let options = &self.assignment.options;
        let Halt { disposition, reason } = halt;
        self.failures += 1;
        match disposition {
            Disposition::Stop => self.stop_with(reason),
            Disposition::Retry | Disposition::Isolate | Disposition::Rebuild if self.failures > options.retries => {
                let failures = self.failures;
                self.stop_with(format!(
                    "{reason} (after {failures} tries); `lantern projection resume {name}` tries again"
                ));
            }
            Disposition::Rebuild => {
                tracing::error!(projection = %name, %reason, "the read model is thrown away and filled again from the log");
                self.runner = None;
                if let Err(error) = delete_files(&self.assignment.path) {
                    self.stop_with(format!("{reason}; and it cannot be deleted: {error}"));
                }
            }
            Disposition::Retry | Disposition::Isolate | Disposition::Wait => {
                let wait = options.retry_wait.saturating_mul(2u32.saturating_pow(self.failures - 1));
                let wait = wait.min(options.retry_wait_most);
                tracing::warn!(projection = %name, %reason, ?wait, failures = self.failures, "a step failed and is tried again");
                self.retry_at = Some(Instant::now() + wait);
                self.assignment.progress.set_state(ProjectionState::Retrying, Some(reason));
            }
        }
    }

    fn stop_with(&mut self, reason: String) {
        tracing::error!(projection = %self.assignment.code.description().name, %reason, "the projection stopped");
        self.halted = true;
        self.runner = None;
        self.assignment.progress.set_state(ProjectionState::Stopped, Some(reason));
    }

    fn tell_parked(&mut self, position: Position) {
        let letter = self.runner.as_mut().and_then(|runner| runner.model().ok()?.dead_letter(position).ok()?);
        let Some(letter) = letter else { return };
        tracing::warn!(
            projection = %self.assignment.code.description().name, %position, stream = letter.stream,
            event_type = letter.event_type, reason = letter.reason,
            "an event is parked: its stream waits for a plugin that can apply it, the others go on"
        );
    }

    fn count_dead_letters(&mut self) {
        if let Some(Ok(count)) = self.runner.as_mut().map(Runner::dead_letter_count) {
            self.assignment.progress.set_dead_letters(count);
        }
    }

    fn obey(&mut self, command: Command) -> Obeyed {
        match command {
            Command::Pause(_done) => {
                self.settle();
                self.assignment.paused = true;
                self.assignment.progress.set_state(ProjectionState::Paused, None);
            }
            Command::Resume => self.resume(),
            Command::Replace(code) => {
                if let Some(runner) = &mut self.runner {
                    let replaced = runner.replace_code(Arc::clone(&code));
                    self.redrive = runner.streams_to_redrive().unwrap_or_default().into();
                    if let Err(halt) = replaced {
                        self.halt(halt);
                    }
                }
                let is_other = self.assignment.code.digest() != code.digest();
                self.assignment.code = code;
                if is_other && !self.assignment.paused {
                    self.resume();
                }
            }
            Command::Retry(Some(stream)) => self.redrive.push_back(stream),
            Command::Retry(None) => {
                if let Some(Ok(streams)) = self.runner.as_mut().map(Runner::parked_streams) {
                    self.redrive = streams.into();
                }
            }
            Command::Discard { position, reply } => {
                // Whoever asked may have gone; the deed is done all the same.
                let _ = reply.send(self.discard(position));
            }
            Command::Stop => {
                self.settle();
                return Obeyed::End;
            }
            Command::Retire => {
                self.runner = None;
                delete_retired(&self.assignment.path);
                return Obeyed::End;
            }
        }
        Obeyed::GoOn
    }

    fn resume(&mut self) {
        self.assignment.paused = false;
        self.halted = false;
        self.failures = 0;
        self.retry_at = None;
        self.assignment.progress.set_state(ProjectionState::CatchingUp, None);
    }

    fn settle(&mut self) {
        if let Some(runner) = &mut self.runner
            && let Err(failure) = runner.settle()
        {
            // Nothing is lost: the events behind the checkpoint are applied again.
            tracing::warn!(projection = %self.assignment.code.description().name, %failure, "the last rows were not committed");
            self.runner = None;
        }
    }

    fn discard(&mut self, position: Position) -> Result<bool, String> {
        let runner = self.runner.as_mut().ok_or("the projection is not running; resume it first")?;
        let letter = runner.discard(position).map_err(|failure| failure.to_string())?;
        self.count_dead_letters();
        let Some(letter) = letter else { return Ok(false) };
        self.redrive.push_back(letter.stream);
        Ok(true)
    }
}

impl Halt {
    fn of(failure: &Failure) -> Self {
        Self { disposition: failure.disposition(), reason: failure.to_string() }
    }
}

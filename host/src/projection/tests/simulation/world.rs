//! A log, its projections and a model of each; and what can happen to them.

use std::collections::VecDeque;
use std::panic::resume_unwind;

use super::code::{Dies, Sums};
use super::model::{Appended, Model, read};
use super::*;
use crate::read_model::slow::{Delay, Slow};

const PROJECTIONS: u64 = 3;
const EDITIONS: u64 = 4;
/// Microseconds of a day: the time of an event is up to so many days before or after that of the one before.
const DAY: i64 = 86_400_000_000;

/// Numbers that follow from a seed: SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }
}

/// One build: the runner under test and the model of its read model.
struct Build {
    path: PathBuf,
    code: Arc<Sums>,
    options: RunnerOptions,
    /// Gone for the moment of a restart only.
    runner: Option<Runner>,
    model: Model,
    /// Streams whose parked events are to be applied, as a worker keeps them.
    redrive: VecDeque<String>,
    has_stepped: bool,
    /// Commits fail.
    is_full: bool,
    /// How long commits take.
    delays: Random,
}

struct Simulated {
    name: String,
    builds: u64,
    active: Build,
    candidate: Option<Build>,
}

pub struct World {
    random: Random,
    folder: TempDir,
    events: EventStore,
    log: Vec<Appended>,
    has_deadly_events: bool,
    projections: Vec<Simulated>,
    /// What happened, and how often.
    pub happened: BTreeMap<&'static str, u64>,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let folder = tempfile::tempdir().expect("a folder");
        let events = open_log(folder.path());
        let mut projections = Vec::new();
        for number in 0..PROJECTIONS {
            let name = format!("p{number}");
            let code = Sums::new(&name, random.below(EDITIONS), 1);
            let path = folder.path().join(format!("{name}.1.db"));
            let active = Build::open(&events, path, code, &mut random);
            projections.push(Simulated { name, builds: 1, active, candidate: None });
        }
        let has_deadly_events = random.below(4) == 0;
        Self { random, folder, events, log: Vec::new(), has_deadly_events, projections, happened: BTreeMap::new() }
    }

    /// One thing happens, and everything is looked at.
    pub fn turn(&mut self) {
        match self.random.below(100) {
            0..20 => self.append(),
            20..84 => self.step(),
            84..88 => self.settle(),
            88..91 => self.replace_code(),
            91..93 => self.replay(),
            93 => self.cancel_replay(),
            94 => self.retry(),
            95 => self.discard(),
            96 => self.reopen(),
            97 => self.crash(),
            _ => self.fill_disk(),
        }
        self.check();
    }

    /// Everything is applied, and nothing is in the way any more.
    pub fn come_to_rest(&mut self) {
        self.builds().for_each(Build::mend);
        for _ in 0..10_000 {
            self.step();
            self.check();
            let head = self.log.len() as u64;
            if self.builds().all(|build| build.runner().visible_to().0 == head && build.redrive.is_empty()) {
                break;
            }
        }
        let head = Position(self.log.len() as u64);
        let checkpoints: Vec<_> = self.builds().map(|build| build.runner().visible_to()).collect();
        assert!(checkpoints.iter().all(|checkpoint| *checkpoint == head), "{checkpoints:?} of {head}");
    }

    fn append(&mut self) {
        let category = if self.random.below(4) == 0 { "other" } else { "sum" };
        let stream = format!("{category}-{}", self.random.below(5));
        let mut events = Vec::new();
        // Now and then so many that they are read in many steps.
        let most = if self.random.below(10) == 0 { 40 } else { 5 };
        for _ in 0..=self.random.below(most) {
            let event_type = match self.random.below(200) {
                0 if self.has_deadly_events => "Deadly",
                0..20 => "Poison",
                _ => "Added",
            };
            let amount = 1 + self.random.below(50) as i64;
            let time = Timestamp(self.random.below(20) as i64 * DAY - 10 * DAY);
            events.push(NewEvent {
                id: Uuid::from_u128(self.log.len() as u128 + 1),
                event_type: event_type.into(),
                schema_version: 1,
                time,
                content_type: JSON.into(),
                data: amount.to_string().into_bytes(),
                metadata: "{}".into(),
            });
            self.log.push(Appended { stream: stream.clone(), event_type, amount });
        }
        let request = AppendRequest { stream: stream.parse().expect("a name"), expected: ExpectedVersion::Any, events };
        let appended = self.events.append(request).expect("appends");
        assert_eq!(appended.last_position.0, self.log.len() as u64);
        self.note("append");
    }

    /// A turn of one build, as its worker makes it. The process may die of it.
    fn step(&mut self) {
        let log = std::mem::take(&mut self.log);
        let build = self.any_build();
        let turned = catch_unwind(AssertUnwindSafe(|| build.turn(&log)));
        self.log = log;
        match turned {
            Ok(what) => {
                self.note(what);
                self.swap();
            }
            Err(words) if words.is::<Dies>() => {
                self.note("death");
                self.crash();
            }
            Err(words) => resume_unwind(words),
        }
    }

    /// A replay that has caught up with the active build takes its place.
    fn swap(&mut self) {
        let mut swaps = 0;
        for projection in &mut self.projections {
            let Simulated { active, candidate, .. } = projection;
            let head = self.events.head();
            let active_is_at = active.runner().visible_to();
            let has_caught_up =
                |build: &mut Build| build.runner().read_to() == head && build.runner().visible_to() >= active_is_at;
            if let Some(build) = candidate.take_if(has_caught_up) {
                let old = std::mem::replace(active, build);
                let path = old.path.clone();
                drop(old);
                crate::read_model::delete_files(&path).expect("deletes");
                swaps += 1;
            }
        }
        (0..swaps).for_each(|_| self.note("swap"));
    }

    fn settle(&mut self) {
        self.with_build(|build, _| {
            assert!(build.settle() || build.is_full, "nothing is in the way");
        });
    }

    fn replace_code(&mut self) {
        let edition = self.random.below(EDITIONS);
        self.with_build(|build, log| {
            let version = build.code.description().read_model_version;
            let code = Sums::new(build.code.description().name.as_str(), edition, version);
            let replaced = build.runner().replace_code(code.clone());
            assert!(replaced.is_ok() || build.is_full, "{replaced:?}");
            // What the old code had applied is committed, or is applied by the new.
            build.observe(log);
            build.code = code;
            build.redrive = build.runner().streams_to_redrive().expect("reads").into();
        });
        self.note("new code");
    }

    fn replay(&mut self) {
        let edition = self.random.below(EDITIONS);
        let place = self.random.below(PROJECTIONS) as usize;
        let Simulated { name, builds, candidate, .. } = &mut self.projections[place];
        if candidate.is_none() {
            *builds += 1;
            let path = self.folder.path().join(format!("{name}.{builds}.db"));
            *candidate = Some(Build::open(&self.events, path, Sums::new(name, edition, 1), &mut self.random));
        }
    }

    fn cancel_replay(&mut self) {
        let place = self.random.below(PROJECTIONS) as usize;
        if let Some(build) = self.projections[place].candidate.take() {
            let path = build.path.clone();
            drop(build);
            crate::read_model::delete_files(&path).expect("deletes");
            self.note("replay cancelled");
        }
    }

    /// All parked events are tried again. A worker makes a step before anybody can ask for it.
    fn retry(&mut self) {
        self.with_build(|build, _| {
            if build.has_stepped {
                build.redrive = build.runner().parked_streams().expect("reads").into();
            }
        });
    }

    fn discard(&mut self) {
        let choice = self.random.below(1 << 32) as usize;
        let mut discarded = false;
        self.with_build(|build, log| {
            let failed = |(_, letter): &(&u64, &model::Parked)| letter.kind == DeadLetterKind::Failed;
            let failed: Vec<_> = build.model.parked.iter().filter(failed).map(|(position, _)| *position).collect();
            if failed.is_empty() || build.is_full {
                return;
            }
            let position = failed[choice % failed.len()];
            let letter = build.runner().discard(Position(position)).expect("discards").expect("it is parked");
            build.model.advance(log, build.checkpoint(), build.code.edition);
            build.model.parked.remove(&position);
            build.redrive.push_back(letter.stream);
            discarded = true;
        });
        if discarded {
            self.note("discarded");
        }
    }

    /// One build is dropped in the middle of whatever it does, and opened again.
    fn reopen(&mut self) {
        let events = self.events.clone();
        self.with_build(|build, log| {
            build.reopen(&events);
            build.observe(log);
        });
    }

    /// The process dies: the next one finds the files as they are at this moment.
    fn crash(&mut self) {
        // What a commit that stands still has not done yet is never done.
        let dying = self.builds().map(Build::commits).filter(|commits| *commits).count();
        (0..dying).for_each(|_| self.note("crash in a commit"));
        let folder = tempfile::tempdir().expect("a folder");
        for file in std::fs::read_dir(self.folder.path()).expect("lists") {
            let path = file.expect("a file").path();
            let name = path.file_name().expect("a name");
            if !name.to_string_lossy().ends_with("-shm") {
                std::fs::copy(&path, folder.path().join(name)).expect("copies");
            }
        }
        let events = open_log(folder.path());
        assert_eq!(events.head().0, self.log.len() as u64, "an acknowledged event is lost");
        for build in self.projections.iter_mut().flat_map(Simulated::builds) {
            build.path = folder.path().join(build.path.file_name().expect("a name"));
            build.reopen(&events);
        }
        (self.folder, self.events) = (folder, events);
        self.note("crash");
    }

    /// From now on a commit fails, or no longer.
    fn fill_disk(&mut self) {
        self.with_build(|build, log| {
            if build.is_full {
                build.mend();
            } else {
                let _ = build.runner().note_commit(true);
                build.observe(log);
                build.fill_disk();
            }
        });
    }

    /// Every read model is what its model says.
    fn check(&mut self) {
        let log = std::mem::take(&mut self.log);
        let mut parked = 0;
        for build in self.builds() {
            let found = read(&build.path).expect("reads");
            build.follow(&log, found.checkpoint);
            assert_eq!(found, build.model, "{}", build.path.display());
            let visible_to = build.runner().visible_to().0;
            let unseen = log.iter().take(visible_to as usize).skip(found.checkpoint as usize);
            assert!(!unseen.into_iter().any(Appended::is_wanted), "{visible_to} is said to be visible");
            parked += build.model.parked.len();
        }
        self.log = log;
        if parked > 0 {
            self.note("parked");
        }
    }

    fn note(&mut self, what: &'static str) {
        *self.happened.entry(what).or_default() += 1;
    }

    fn builds(&mut self) -> impl Iterator<Item = &mut Build> {
        self.projections.iter_mut().flat_map(Simulated::builds)
    }

    fn any_build(&mut self) -> &mut Build {
        let choice = self.random.below(1 << 32) as usize;
        let builds: Vec<_> = self.projections.iter_mut().flat_map(Simulated::builds).collect();
        let count = builds.len();
        builds.into_iter().nth(choice % count).expect("one of them")
    }

    fn with_build(&mut self, act: impl FnOnce(&mut Build, &[Appended])) {
        let log = std::mem::take(&mut self.log);
        act(self.any_build(), &log);
        self.log = log;
    }
}

impl Simulated {
    fn builds(&mut self) -> impl Iterator<Item = &mut Build> {
        std::iter::once(&mut self.active).chain(&mut self.candidate)
    }
}

impl Build {
    fn open(events: &EventStore, path: PathBuf, code: Arc<Sums>, random: &mut Random) -> Self {
        let (options, delays) = (options(random), Random(random.below(u64::MAX)));
        let (runner, model, redrive) = Default::default();
        let mut build =
            Self { path, code, options, runner, model, redrive, has_stepped: false, is_full: false, delays };
        build.start(events);
        build
    }

    fn start(&mut self, events: &EventStore) {
        let opened = Runner::open(events, self.code.clone(), &self.path, self.options.clone()).expect("opens");
        let mut random = Random(self.delays.below(u64::MAX));
        let runner = self.runner.insert(opened);
        runner.commits.slow = Some(Slow::new(move || {
            let at = ["commit-behind-begun", "rows-written", "rows-committed"][random.below(3) as usize];
            Delay { at, looks: random.below(8) }
        }));
    }

    /// What a worker does in a turn; answers what it was.
    fn turn(&mut self, log: &[Appended]) -> &'static str {
        if let Some(stream) = self.redrive.pop_front() {
            let Ok(is_free) = self.runner().redrive(&stream) else {
                assert!(self.is_full, "nothing is in the way");
                self.redrive.push_front(stream);
                return "commit failed";
            };
            // What was applied before is committed first.
            self.model.advance(log, self.checkpoint(), self.code.edition);
            assert_eq!(self.model.redrive(log, &stream, self.code.edition), is_free, "{stream} is free");
            return if is_free { "freed" } else { "failed again" };
        }
        self.has_stepped = true;
        let commits = self.commits();
        match self.runner().step() {
            Ok(Step::CaughtUp) => "caught up",
            Ok(Step::Applied) if commits && self.commits() => "applied during a commit",
            Ok(Step::Applied) => "applied",
            Ok(Step::Isolating) => "isolating",
            Ok(Step::Parked(position)) => {
                self.observe(log);
                assert!(self.model.parked.contains_key(&position.0), "{position} is parked");
                "parked"
            }
            Err(halt) => {
                assert!(self.is_full && halt.disposition == Disposition::Retry, "{halt:?}");
                "commit failed"
            }
        }
    }

    /// Whether a commit is under way.
    fn commits(&mut self) -> bool {
        self.runner().commits.writer().is_err()
    }

    fn runner(&mut self) -> &mut Runner {
        self.runner.as_mut().expect("it runs")
    }

    /// The process that had it open is gone.
    fn reopen(&mut self, events: &EventStore) {
        self.runner = None;
        self.mend();
        self.start(events);
        self.redrive = self.runner().streams_to_redrive().expect("reads").into();
        self.has_stepped = false;
    }

    /// Has the model follow the file, whose checkpoint never goes back.
    fn observe(&mut self, log: &[Appended]) {
        self.follow(log, self.checkpoint());
    }

    fn follow(&mut self, log: &[Appended], checkpoint: u64) {
        assert!(checkpoint >= self.model.checkpoint, "{checkpoint} after {}", self.model.checkpoint);
        self.model.advance(log, checkpoint, self.code.edition);
    }

    fn checkpoint(&self) -> u64 {
        read(&self.path).expect("reads").checkpoint
    }

    /// Commits what is applied, as before a pause. Answers whether that was possible; if not, it is applied again.
    fn settle(&mut self) -> bool {
        let settled = self.runner().settle().is_ok();
        if !settled {
            self.runner().reset();
        }
        settled
    }

    /// From here on the checkpoint cannot move.
    fn fill_disk(&mut self) {
        let trigger = format!(
            "CREATE TRIGGER full BEFORE UPDATE ON lantern_checkpoint WHEN new.position > {}
             BEGIN SELECT raise(ABORT, 'no room'); END",
            self.model.checkpoint
        );
        sabotage(&self.path, &trigger);
        self.is_full = true;
    }

    fn mend(&mut self) {
        if self.runner.is_some() && self.is_full {
            // A commit under way may have failed without anybody knowing yet.
            self.settle();
        }
        sabotage(&self.path, "DROP TRIGGER IF EXISTS full");
        self.is_full = false;
    }
}

fn sabotage(path: &Path, sql: &str) {
    rusqlite::Connection::open(path).and_then(|connection| connection.execute_batch(sql)).expect("sabotages");
}

fn open_log(folder: &Path) -> EventStore {
    // Projections read alone: what another one has read would come in other batches.
    let options = EventStoreOptions { shared_scan_mib: 0, ..EventStoreOptions::default() };
    EventStore::open(&folder.join("events.db"), options).expect("opens")
}

/// Small limits, so that everything is reached soon.
fn options(random: &mut Random) -> RunnerOptions {
    RunnerOptions {
        batch_events: 1 + random.below(12) as usize,
        flush_rows: 1 + random.below(12) as usize,
        flush_events: 1 + random.below(40) as usize,
        checkpoint_events: 1 + random.below(10),
        ..RunnerOptions::default()
    }
}

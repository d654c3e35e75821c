//! What a daemon's threads do to a projection at once: plugins come, change and go on one of them, people ask for replays and
//! pauses on others, and events are appended. At every moment the read model that serves is a fold of the log up to its
//! checkpoint, and the position that queries see never goes back. What each thread does follows from the seed; who comes
//! first does not.

use std::sync::atomic::{AtomicBool, Ordering};

use super::code::Sums;
use super::model::{Appended, Model, read};
use super::*;

const RACES: u64 = 6;
const ACTS: u64 = 60;
const NAME: &str = "raced";
const FILE: &str = "raced.wasm";

/// Editions that give the same rows and are other code.
fn edition(number: u64) -> Arc<dyn ProjectionCode> {
    let code = Sums::new(NAME, 0, 1 + (number % 2) as u32);
    Arc::new(Renamed { code, digest: ComponentDigest(format!("digest-{number}")) })
}

struct Renamed {
    code: Arc<Sums>,
    digest: ComponentDigest,
}

impl ProjectionCode for Renamed {
    fn description(&self) -> &Description {
        self.code.description()
    }

    fn digest(&self) -> &ComponentDigest {
        &self.digest
    }

    fn instantiate(&self) -> Result<Box<dyn Projection>, ApplyFailure> {
        self.code.instantiate()
    }

    fn instantiate_metered(&self) -> Result<Box<dyn Projection>, ApplyFailure> {
        self.code.instantiate_metered()
    }
}

/// The thread of the plugin folder. It alone installs and removes.
fn change_plugins(projections: &Projections, mut random: world::Random) {
    for _ in 0..ACTS {
        match random.below(4) {
            0 => drop(projections.remove(FILE)),
            1 => projections.renew(&edition(random.below(6))),
            _ => drop(projections.install(FILE, edition(random.below(6))).expect("installs")),
        }
        std::thread::yield_now();
    }
}

/// Somebody at the API. What cannot be done at this moment is refused.
fn ask(projections: &Projections, mut random: world::Random) {
    for _ in 0..ACTS {
        let _ = match random.below(5) {
            0 => projections.pause(NAME),
            1 => projections.resume(NAME),
            2 => projections.cancel_replay(NAME),
            _ => projections.replay(NAME),
        };
        std::thread::yield_now();
    }
}

/// Looks at the read model that serves, again and again.
fn look(projections: &Projections, log: &[Appended], is_over: &AtomicBool) -> u64 {
    let (mut looks, mut newest) = (0, 0);
    while !is_over.load(Ordering::Relaxed) {
        let Ok(visible) = projections.checkpoint_changes(NAME) else { continue };
        let visible = visible.borrow().0;
        assert!(visible >= newest, "queries saw position {newest}, and now {visible}");
        newest = visible;
        let Ok(file) = projections.read_model(NAME) else { continue };
        // It may be retired and deleted by now, or not be made yet.
        let Ok(found) = read(&file.path) else { continue };
        let mut model = Model::default();
        model.advance(log, found.checkpoint, 0);
        assert_eq!(found, model, "{}", file.path.display());
        looks += 1;
    }
    looks
}

fn race(seed: u64) {
    let mut random = world::Random(seed);
    let log = Log::new();
    let streams: Vec<_> = (0..400).map(|_| format!("sum-{}", random.below(7))).collect();
    let appended = |stream: &String| Appended { stream: stream.clone(), event_type: "Added", amount: 1 };
    let will_be: Vec<Appended> = streams.iter().map(appended).collect();
    let options = WorkerOptions {
        retry_wait: Duration::from_millis(1),
        runner: RunnerOptions { batch_events: 3, flush_events: 5, flush_rows: 4, ..RunnerOptions::default() },
        ..WorkerOptions::default()
    };
    let load = |digest: &ComponentDigest| Ok(edition(digest.0.trim_start_matches("digest-").parse().unwrap_or(0)));
    let projections = Projections::open(log.events.clone(), log.folder.path(), options, Box::new(load)).expect("opens");
    projections.install(FILE, edition(0)).expect("installs");
    let is_over = AtomicBool::new(false);
    let seeds = [0, 1, 2].map(|_| world::Random(random.below(u64::MAX)));
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| look(&projections, &will_be, &is_over));
        let [plugins, first, second] = seeds;
        let mut others = vec![scope.spawn(|| change_plugins(&projections, plugins))];
        others.extend([first, second].map(|random| scope.spawn(|| ask(&projections, random))));
        streams.iter().for_each(|stream| log.append_data(stream, "Added", "1"));
        let ends: Vec<_> = others.into_iter().map(|thread| thread.join()).collect();
        is_over.store(true, Ordering::Relaxed);
        assert!(looking.join().expect("nothing was wrong") > 0, "nobody looked");
        assert!(ends.iter().all(Result::is_ok), "a thread failed");
    });
    projections.install(FILE, edition(1)).expect("installs");
    projections.resume(NAME).expect("resumes");
    let at_rest = control::settled_as(&projections, NAME);
    let mut model = Model::default();
    model.advance(&will_be, will_be.len() as u64, 0);
    assert_eq!(read(&at_rest.active.read_model_path).expect("reads"), model);
    projections.shut_down();
}

#[test]
fn a_read_model_is_a_fold_of_the_log_whoever_changes_replays_pauses_or_removes_it_at_once() {
    let first = setting("LANTERN_SIMULATION_SEED");
    for seed in first.unwrap_or(0)..first.map_or(RACES, |first| first + 1) {
        println!("LANTERN_SIMULATION_SEED={seed}");
        race(seed);
    }
}

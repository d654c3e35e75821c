//! Many projections over one log, driven by one thread through [`Runner::step`] on a schedule that follows from a seed:
//! appends, crashes, new code, replays and swaps, events that fail, retries, discards, commits that fail and commits that
//! take many steps. After every step each read model is what a model in plain code says, row by row and dead letter by
//! dead letter.
//!
//! `LANTERN_SIMULATION_SEED=N` runs one seed, `LANTERN_SIMULATION_SECONDS=N` new seeds for so long. Everything is the same in
//! every run of a seed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::*;

mod code;
mod model;
mod races;
mod world;

use world::World;

const SEEDS: u64 = 20;
/// What happens in the life of one world.
const TURNS: u64 = 250;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// The seed that was asked for, or as many as the time allows.
fn seeds() -> impl Iterator<Item = u64> {
    let only = setting("LANTERN_SIMULATION_SEED");
    let seconds = setting("LANTERN_SIMULATION_SECONDS").map(Duration::from_secs);
    let begun = Instant::now();
    (only.unwrap_or(0)..).take_while(move |seed| match (only, seconds) {
        (Some(only), _) => *seed == only,
        (None, Some(seconds)) => begun.elapsed() < seconds,
        (None, None) => *seed < SEEDS,
    })
}

#[test]
fn whatever_happens_between_two_steps_every_read_model_is_a_fold_of_the_log() {
    let mut happened = BTreeMap::new();
    let mut worlds = 0;
    for seed in seeds() {
        let lived = catch_unwind(AssertUnwindSafe(|| {
            let mut world = World::new(seed);
            (0..TURNS).for_each(|_| world.turn());
            world.come_to_rest();
            world.happened
        }));
        let lived = lived.unwrap_or_else(|_| panic!("the world of LANTERN_SIMULATION_SEED={seed} is wrong"));
        lived.into_iter().for_each(|(what, times)| *happened.entry(what).or_insert(0) += times);
        worlds += 1;
    }
    println!("{worlds} worlds: {happened:?}");
    let must_happen = [
        "append",
        "crash",
        "crash in a commit",
        "applied during a commit",
        "new code",
        "parked",
        "freed",
        "discarded",
        "swap",
        "commit failed",
        "death",
    ];
    let missing: Vec<_> = must_happen.iter().filter(|what| !happened.contains_key(**what)).collect();
    assert!(worlds < SEEDS || missing.is_empty(), "this never happened: {missing:?}");
}

//! What happens in a round and how the daemon dies in it. Follows from the seed alone.

use std::collections::VecDeque;
use std::fmt;
use std::fs;
use std::path::Path;

use lantern_tests::{Seeded, workspace};

use crate::editions::Edition;

/// How the daemon dies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Death {
    /// kill -9 when so many appends were answered.
    AfterAnswers(u64),
    /// kill -9 so long after the first request.
    AfterMilliseconds(u64),
    /// By itself, when it gets to a crash point for the n-th time.
    AtPoint { name: String, time: u64 },
}

/// One round.
#[derive(Clone, Debug)]
pub struct Plan {
    pub death: Death,
    /// The edition that is dropped in,
    pub reload: Option<Edition>,
    /// and how many replays are asked for,
    pub replays: u64,
    /// each when so many more appends were answered.
    pub act_after: u64,
    /// The compiled plugins are deleted before the round.
    pub forgets_compiled: bool,
    /// It is killed once more as soon as it listens again.
    pub dies_twice: bool,
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AfterAnswers(answers) => write!(f, "killed after {answers} answers"),
            Self::AfterMilliseconds(milliseconds) => write!(f, "killed after {milliseconds} ms"),
            Self::AtPoint { name, time } => write!(f, "crash at {name}:{time}"),
        }
    }
}

/// The plans of a run, in order.
pub struct Plans {
    random: Seeded,
    round: u64,
    /// The crash points, the next one first.
    points: VecDeque<String>,
    /// One that was not reached: it is next, the first time that the daemon gets there.
    missed: Option<String>,
}

impl Plans {
    pub fn new(seed: u64) -> Self {
        Self { random: Seeded::new(seed), round: 0, points: crash_points().into(), missed: None }
    }

    /// The next round; two of three end at a crash point. `edition` is the plugin in the folder.
    pub fn next(&mut self, edition: Edition) -> Plan {
        self.round += 1;
        let is_at_point = self.round % 3 != 0;
        let death = match self.random.below(2) {
            _ if is_at_point => self.next_point(),
            0 => Death::AfterAnswers(self.random.below(40)),
            _ => Death::AfterMilliseconds(self.random.below(250)),
        };
        let others = Edition::ALL.into_iter().filter(|other| *other != edition);
        let other = others.clone().nth(self.random.below(2) as usize);
        let compiles = matches!(&death, Death::AtPoint { name, .. } if name.starts_with("artefact-"));
        // On its way to a crash point a daemon does everything it can.
        Plan {
            death,
            reload: other.filter(|_| is_at_point || self.random.below(2) == 0),
            replays: if is_at_point { 2 } else { self.random.below(3) },
            act_after: self.random.below(12),
            forgets_compiled: compiles || self.random.below(20) == 0,
            dies_twice: self.random.below(5) == 0,
        }
    }

    /// Says that a crash point was not reached.
    pub fn miss(&mut self, name: &str) {
        self.missed = Some(name.to_owned());
    }

    fn next_point(&mut self) -> Death {
        if let Some(name) = self.missed.take() {
            return Death::AtPoint { name, time: 1 };
        }
        self.points.rotate_left(1);
        let name = self.points.back().expect("the source has crash points").clone();
        Death::AtPoint { name, time: 1 + self.random.below(2) }
    }
}

/// The names of all crash points in the daemon's source.
pub fn crash_points() -> Vec<String> {
    let mut names = Vec::new();
    collect(&workspace().join("host/src"), &mut names);
    names.sort();
    names.dedup();
    names
}

fn collect(folder: &Path, names: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("the source can be listed") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("the source can be read");
            let named = text.split("crash_point::reached(\"").skip(1).filter_map(|rest| rest.split('"').next());
            names.extend(named.map(str::to_owned));
        }
    }
}

#[test]
fn a_plan_follows_from_the_seed_alone() {
    let plans = |seed| {
        let mut plans = Plans::new(seed);
        (0..50).map(|_| format!("{:?}", plans.next(Edition::First))).collect::<Vec<_>>()
    };
    assert_eq!(plans(7), plans(7));
    assert_ne!(plans(7), plans(8));
}

//! The programs of the comparison, run in turn, round by round, each checked against the same rows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use lantern::event_store::EventStore;

use crate::history::{History, scratch};
use crate::measure::{Cost, measure};
use crate::naive::NaiveHost;
use crate::native::{Sdk, Serde, cached, cached_sealed, upserts};
use crate::pipelined::pipelined;
use crate::replay::{Code, load_packages, plugin_host, replay};
use crate::report::{Measured, Report, Target, Wanted};
use crate::rows::{ORDERS_AND_CUSTOMERS, RowsDigest};
use crate::workload::Pattern;

/// A program that can replay the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Program {
    N1,
    N2,
    N2Sdk,
    N2Sealed,
    N3,
    N3Sdk,
    Serde,
    Events,
    SerdeSealed,
    EventsSealed,
    Typed,
    Naive,
}

impl Program {
    pub fn label(self) -> &'static str {
        match self {
            Self::N1 => "N1: native, two upserts per event",
            Self::N2 => "N2: native, row cache",
            Self::N2Sdk => "N2 with the SDK's decoder",
            Self::N2Sealed => "N2, sealed log",
            Self::N3 => "N3: native, row cache, three threads",
            Self::N3Sdk => "N3 with the SDK's decoder",
            Self::Serde => "Lantern, plain serde",
            Self::Events => "Lantern, `events!`",
            Self::SerdeSealed => "Lantern, plain serde, sealed log",
            Self::EventsSealed => "Lantern, `events!`, sealed log",
            Self::Typed => "Lantern, typed world",
            Self::Naive => "naive plugin host",
        }
    }

    fn wants_sealed_log(self) -> bool {
        matches!(self, Self::N2Sealed | Self::SerdeSealed | Self::EventsSealed)
    }

    /// The package of its plugin.
    fn package(self) -> Option<&'static str> {
        match self {
            Self::Serde | Self::SerdeSealed => Some("orders-serde"),
            Self::Events | Self::EventsSealed => Some("orders-events"),
            Self::Typed => Some("orders-typed"),
            _ => None,
        }
    }
}

/// What is compared.
pub struct Comparison {
    pub history: History,
    pub rounds: usize,
    pub programs: Vec<Program>,
    /// Events for the naive host: it would take too long for all.
    pub naive_events: u64,
}

/// Everything that is there before the clock starts.
struct Ready<'a> {
    comparison: &'a Comparison,
    events: EventStore,
    sealed: Option<EventStore>,
    code: BTreeMap<Program, Code>,
    naive: Option<NaiveHost>,
}

impl Comparison {
    /// Runs every program once in each round, and checks the rows of each run.
    ///
    /// # Errors
    /// When a program fails, or comes to other rows than the rest.
    pub fn run(&self) -> anyhow::Result<Report> {
        let ready = Ready::new(self)?;
        let mut expected = BTreeMap::new();
        for &program in &self.programs {
            let count = self.events_of(program);
            let folder = scratch()?;
            let rows = folder.path().join("expected.db");
            // Also brings the log into the page cache.
            cached::<Serde>(&self.history.file(), &rows, count)?;
            expected.insert(count, RowsDigest::of(&rows, ORDERS_AND_CUSTOMERS)?);
        }
        let measured =
            |&program: &Program| Measured { name: program.label(), events: self.events_of(program), costs: Vec::new() };
        let mut report = Report(self.programs.iter().map(measured).collect());
        for round in 1..=self.rounds {
            for (&program, measured) in self.programs.iter().zip(&mut report.0) {
                let folder = scratch()?;
                let (rows, cost) = ready.run(program, folder.path())?;
                let found = RowsDigest::of(&rows, ORDERS_AND_CUSTOMERS)?;
                let expected = &expected[&measured.events];
                ensure!(found == *expected, "{}: {found}; expected are {expected}", measured.name);
                eprintln!(
                    "round {round}: {}: {:.3} s, {:.3} s CPU",
                    measured.name,
                    cost.wall.as_secs_f64(),
                    cost.cpu.as_secs_f64()
                );
                measured.costs.push(cost);
            }
        }
        ready.events.close();
        Ok(report)
    }

    fn events_of(&self, program: Program) -> u64 {
        if program == Program::Naive { self.naive_events.min(self.history.events) } else { self.history.events }
    }
}

impl<'a> Ready<'a> {
    fn new(comparison: &'a Comparison) -> anyhow::Result<Self> {
        let plugins: Vec<_> =
            comparison.programs.iter().filter_map(|program| Some((*program, program.package()?))).collect();
        let packages: Vec<_> = plugins.iter().map(|(_, package)| *package).collect();
        let code = load_packages(&plugin_host()?, &packages)?;
        let naive = if comparison.programs.contains(&Program::Naive) {
            let files = lantern_tests::build_plugins(&["orders-naive"]);
            Some(NaiveHost::new(&std::fs::read(&files[0])?)?)
        } else {
            None
        };
        let code = plugins.into_iter().map(|(program, _)| program).zip(code).collect();
        let history = &comparison.history;
        let wants_sealed = comparison.programs.iter().any(|program| program.wants_sealed_log());
        let sealed = if wants_sealed { Some(history.sealed()?.open()?) } else { None };
        Ok(Self { comparison, events: history.open()?, sealed, code, naive })
    }

    /// Replays into a new file below the folder; answers which, and what it cost.
    fn run(&self, program: Program, folder: &Path) -> anyhow::Result<(PathBuf, Cost)> {
        if let Some(code) = self.code.get(&program) {
            let sealed = self.sealed.as_ref().filter(|_| program.wants_sealed_log());
            let (mut files, cost) = replay(sealed.unwrap_or(&self.events), std::slice::from_ref(code), folder)?;
            return Ok((files.remove(0), cost));
        }
        let (log, rows) = (self.comparison.history.file(), folder.join("rows.db"));
        let events = self.comparison.events_of(program);
        let (ended, cost) = measure(|| match program {
            Program::N1 => upserts(&log, &rows, events),
            Program::N2 => cached::<Serde>(&log, &rows, events),
            Program::N2Sdk => cached::<Sdk>(&log, &rows, events),
            Program::N2Sealed => cached_sealed::<Serde>(self.sealed.as_ref().expect("made before"), &rows, events),
            Program::N3 => pipelined::<Serde>(&log, &rows, events),
            Program::N3Sdk => pipelined::<Sdk>(&log, &rows, events),
            Program::Naive => self.naive.as_ref().expect("made before").replay(&self.events, &rows, events),
            _ => unreachable!("it has code"),
        });
        ended.map(|()| (rows, cost))
    }
}

/// Replays a log through a projection of orders and customers; answers its rows, and what that cost.
///
/// # Errors
/// When the replay fails.
pub fn replayed_rows(events: &EventStore, codes: &[Code]) -> anyhow::Result<(RowsDigest, Cost)> {
    let folder = scratch()?;
    let (files, cost) = replay(events, codes, folder.path())?;
    Ok((RowsDigest::of(&files[0], ORDERS_AND_CUSTOMERS)?, cost))
}

/// The targets that the programs of a run tell of.
pub fn replay_targets(report: &Report, pattern: Pattern) -> Vec<Target> {
    use Program::{Events, EventsSealed, N1, N2, N2Sdk, N2Sealed, N3, Naive, Serde, SerdeSealed};
    use Wanted::{AtLeast, AtMost};

    let speed = |what, one: Program, other: Program, least| {
        Some(Target { what, wanted: AtLeast(least), ratio: report.speed(one.label(), other.label())? })
    };
    let cpu = |what, one: Program, other: Program, most| {
        Some(Target { what, wanted: AtMost(most), ratio: report.cpu(one.label(), other.label())? })
    };
    let found = match pattern {
        Pattern::Clustered => vec![
            speed("plain serde: speed against N1", Serde, N1, 3.5),
            speed("plain serde: speed against N2", Serde, N2, 1.0),
            speed("`events!`: speed against N2", Events, N2, 1.25),
            speed("`events!`: speed against N3", Events, N3, 0.8),
            cpu("plain serde: CPU per event against N2", Serde, N2, 1.35),
            cpu("`events!`: CPU per event against N2", Events, N2, 1.15),
            cpu("`events!`: CPU per event against N2 with the same decoder", Events, N2Sdk, 1.15),
            speed("sealed log, plain serde: speed against N2", SerdeSealed, N2, 1.0),
            speed("sealed log, `events!`: speed against N2", EventsSealed, N2, 1.25),
            speed("sealed log, `events!`: speed against N3", EventsSealed, N3, 0.8),
            cpu("sealed log, plain serde: CPU per event against N2 on it", SerdeSealed, N2Sealed, 1.35),
            cpu("sealed log, `events!`: CPU per event against N2 on it", EventsSealed, N2Sealed, 1.15),
            speed("plain serde: speed against the naive plugin host", Serde, Naive, 10.0),
        ],
        Pattern::Wide => vec![
            speed("wide, plain serde: speed against N2", Serde, N2, 0.85),
            speed("wide, `events!`: speed against N2 with the same decoder", Events, N2Sdk, 0.85),
        ],
    };
    found.into_iter().flatten().collect()
}

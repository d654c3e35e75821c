//! `cargo bench --workspace --bench replay -- --help` says what it measures.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use lantern_bench::compare::{Comparison, Program, replay_targets};
use lantern_bench::history::History;
use lantern_bench::measure::Spread;
use lantern_bench::report::{Target, Wanted, targets};
use lantern_bench::workload::Pattern;
use lantern_bench::{daemon, export, scans, sealed};

/// Replays a history of orders with Lantern and with programs that do the same, and compares them
#[derive(Parser)]
struct Options {
    /// What to measure
    #[arg(value_enum, default_values_t = [Section::Clustered])]
    sections: Vec<Section>,
    /// Events in the log, which is made once and kept below target/bench/; each section has its own default
    #[arg(long)]
    events: Option<u64>,
    /// Times that everything runs, in turn
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only these programs
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Program::value_variants().to_vec())]
    programs: Vec<Program>,
    /// Events for the naive host, which would take too long for all
    #[arg(long, default_value_t = 300_000)]
    naive_events: u64,
    /// Instead: write the first --events events to this file, as JSON lines
    #[arg(long, value_name = "FILE", requires = "events")]
    export: Option<PathBuf>,
    /// Instead: check that the tables of this SQLite file are those of the first --events events
    #[arg(long, value_name = "FILE", requires = "events")]
    check: Option<PathBuf>,
    /// Cargo says so
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Section {
    /// All programs; 750 orders are under way at once (2,000,000 events)
    Clustered,
    /// All programs; 100,000 orders are under way at once (2,000,000 events)
    Wide,
    /// Ten projections over one log, at once and one after the other (1,000,000 events)
    Ten,
    /// A projection that wants 0.2 % of the events, of rows and of a sealed log (10,000,000 events)
    Narrow,
    /// A sealed log against one of rows: disk space, and replays with a cold cache (2,000,000 events)
    Sealed,
    /// An import and a replay while the log is sealed (1,000,000 events)
    Sealing,
    /// Memory of a daemon during a replay (10,000,000 events)
    Memory,
    /// Hot reload, and the time from an append over HTTP to its row
    Live,
    /// All of these
    All,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let events = options.events.unwrap_or_default();
    if let Some(file) = &options.export {
        return export::export(file, events.try_into()?);
    }
    if let Some(file) = &options.check {
        export::check(file, events)?;
        println!("{}: the rows are right", file.display());
        return Ok(());
    }
    for section in Section::value_variants() {
        let wanted = options.sections.contains(section) || options.sections.contains(&Section::All);
        if wanted && *section != Section::All {
            println!("{}", options.measure(*section)?);
        }
    }
    Ok(())
}

impl Options {
    /// What a section found, in Markdown.
    fn measure(&self, section: Section) -> anyhow::Result<String> {
        Ok(match section {
            Section::Clustered => self.compare(Pattern::Clustered)?,
            Section::Wide => self.compare(Pattern::Wide)?,
            Section::Ten => targets(&scans::many(&self.history(Pattern::Clustered, 1_000_000)?, self.rounds)?),
            Section::Narrow => targets(&scans::narrow(&self.history(Pattern::Clustered, 10_000_000)?, self.rounds)?),
            Section::Sealed => targets(&sealed::sealed(&self.history(Pattern::Clustered, 2_000_000)?, self.rounds)?),
            Section::Sealing => targets(&sealed::beside(&self.history(Pattern::Clustered, 1_000_000)?, self.rounds)?),
            Section::Memory => {
                let mebibytes = daemon::memory(&self.history(Pattern::Clustered, 10_000_000)?)?;
                let ratio = Spread::of([mebibytes]);
                targets(&[Target {
                    what: "memory of a daemon during a replay, MiB",
                    wanted: Wanted::AtMost(256.0),
                    ratio,
                }])
            }
            Section::Live => live()?,
            Section::All => String::new(),
        })
    }

    fn compare(&self, pattern: Pattern) -> anyhow::Result<String> {
        let history = self.history(pattern, 2_000_000)?;
        let Self { rounds, naive_events, .. } = *self;
        let report = Comparison { history, rounds, programs: self.programs.clone(), naive_events }.run()?;
        let (table, targets) = (report.table(Program::N2.label()), targets(&replay_targets(&report, pattern)));
        Ok(format!("{} pattern, median (least to most) of {rounds} rounds\n\n{table}\n{targets}", pattern.name()))
    }

    fn history(&self, pattern: Pattern, events: u64) -> anyhow::Result<History> {
        History::of(pattern, self.events.unwrap_or(events))
    }
}

fn live() -> anyhow::Result<String> {
    let reload =
        Target { what: "hot reload from compiled code, ms", wanted: Wanted::AtMost(5.0), ratio: daemon::reload(50)? };
    let mut latency = daemon::latency(500)?;
    let row = |what, millis: &mut Vec<f64>, most| {
        let ratio =
            Spread { median: Spread::quantile(millis, 0.5), least: millis[0], most: Spread::quantile(millis, 0.99) };
        Target { what, wanted: Wanted::AtMost(most), ratio }
    };
    let append = row("append over HTTP, on disk, ms: p50 (least to p99)", &mut latency.append, 5.0);
    let visible = row("append until its row answers, ms: p50 (least to p99)", &mut latency.append_and_row, 5.0);
    Ok(targets(&[reload, append, visible]))
}

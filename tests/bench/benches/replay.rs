//! `cargo bench --workspace --bench replay -- --help` says what it measures.

use clap::{Parser, ValueEnum};
use lantern_bench::compare::{Comparison, Program};
use lantern_bench::history::History;
use lantern_bench::report::{Report, Target, Wanted, targets};
use lantern_bench::workload::Pattern;

/// Replays a history of orders with Lantern and with programs that do the same, and compares them.
#[derive(Parser)]
struct Options {
    /// Events in the log; it is made once and kept below target/bench/
    #[arg(long, default_value_t = 2_000_000)]
    events: u64,
    /// Times that every program runs, in turn with the others
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How many orders are under way at once
    #[arg(long, value_enum, default_value_t = Pattern::Clustered)]
    pattern: Pattern,
    /// Only these programs
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Program::value_variants().to_vec())]
    programs: Vec<Program>,
    /// Events for the naive host, which would take too long for all
    #[arg(long, default_value_t = 300_000)]
    naive_events: u64,
    /// Cargo says so
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let Options { events, rounds, pattern, programs, naive_events, .. } = Options::parse();
    let history = History::of(pattern, events)?;
    let report = Comparison { history, rounds, programs, naive_events }.run()?;
    println!("{} pattern, {rounds} rounds\n", pattern.name());
    println!("{}", report.table(Program::N2.label()));
    println!("{}", targets(&replay_targets(&report, pattern)));
    Ok(())
}

/// The targets that programs of this run tell of.
fn replay_targets(report: &Report, pattern: Pattern) -> Vec<Target> {
    use Program::{Events, N1, N2, N2Sdk, N3, Naive, Serde};
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
            speed("`events!`: speed against the naive plugin host", Events, Naive, 10.0),
        ],
        Pattern::Wide => vec![
            speed("wide, plain serde: speed against N2", Serde, N2, 0.85),
            speed("wide, `events!`: speed against N2", Events, N2, 0.85),
        ],
    };
    found.into_iter().flatten().collect()
}

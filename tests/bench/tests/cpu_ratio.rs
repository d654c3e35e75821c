//! The small comparison of every build: what a replayed event costs Lantern, against native code in the same process.
//! It prints its figures, and fails only when something has gone badly wrong.

use std::io::Write;

use lantern_bench::compare::{Comparison, Program};
use lantern_bench::history::History;
use lantern_bench::report::shown;
use lantern_bench::workload::Pattern;

const EVENTS: u64 = 200_000;
const ROUNDS: usize = 5;

/// How many times the processor time of native code (N2) an event cost when this was written last. Twice as much fails.
const EXPECTED: [(Program, f64); 4] =
    [(Program::Serde, 1.6), (Program::Events, 1.5), (Program::SerdeSealed, 1.1), (Program::EventsSealed, 1.0)];

#[test]
fn a_replay_costs_about_as_much_as_native_code() {
    let history = History::of(Pattern::Clustered, EVENTS).expect("the log can be made");
    let native = [Program::N2, Program::N2Sdk];
    let programs = native.into_iter().chain(EXPECTED.map(|(program, _)| program)).collect();
    let comparison = Comparison { history, rounds: ROUNDS, programs, naive_events: 0 };
    let report = comparison.run().expect("all programs come to the same rows");
    // Not `print!`, which is only shown when a test fails.
    let mut out = std::io::stdout();
    writeln!(out, "\n{}", report.table(Program::N2.label())).expect("somebody listens");
    for (program, expected) in EXPECTED {
        let name = program.label();
        let ratio = report.cpu(name, Program::N2.label()).expect("both ran");
        writeln!(out, "{name}: {} times the CPU of native code", shown(ratio, 2)).expect("somebody listens");
        let ratio = ratio.median;
        assert!(ratio <= 2.0 * expected, "{name}: {ratio:.2} times the CPU of native code, and {expected} is usual");
    }
}

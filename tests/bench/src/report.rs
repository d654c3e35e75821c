//! Rounds of programs that run in turn, and the tables that they end in.

use std::fmt::Write;

use crate::measure::{Cost, Spread};

/// A program and what its runs took, round by round.
pub struct Measured {
    pub name: &'static str,
    /// Events that one run replays.
    pub events: u64,
    pub costs: Vec<Cost>,
}

/// All programs of one comparison.
pub struct Report(pub Vec<Measured>);

/// A ratio that a run has to reach, or to stay below.
pub struct Target {
    pub what: &'static str,
    pub wanted: Wanted,
    pub ratio: Spread,
}

/// Which way a target points.
#[derive(Clone, Copy)]
pub enum Wanted {
    AtLeast(f64),
    AtMost(f64),
}

impl Measured {
    fn events_per_second(&self) -> Spread {
        Spread::of(self.costs.iter().map(|cost| self.events as f64 / cost.wall.as_secs_f64()))
    }

    fn cpu_per_event(&self) -> Spread {
        Spread::of(self.costs.iter().map(|cost| self.micros(cost)))
    }

    fn micros(&self, cost: &Cost) -> f64 {
        cost.cpu.as_secs_f64() * 1e6 / self.events as f64
    }
}

impl Report {
    fn program(&self, name: &str) -> Option<&Measured> {
        self.0.iter().find(|program| program.name == name)
    }

    /// How many times as many events a second `one` does as `other`: of every round, so that what slows the machine
    /// down slows both.
    pub fn speed(&self, one: &str, other: &str) -> Option<Spread> {
        self.ratio(one, other, |program, cost| program.events as f64 / cost.wall.as_secs_f64())
    }

    /// How much processor time an event costs `one` for each unit that it costs `other`.
    pub fn cpu(&self, one: &str, other: &str) -> Option<Spread> {
        self.ratio(one, other, Measured::micros)
    }

    fn ratio(&self, one: &str, other: &str, figure: impl Fn(&Measured, &Cost) -> f64) -> Option<Spread> {
        let (one, other) = (self.program(one)?, self.program(other)?);
        let rounds = one.costs.iter().zip(&other.costs);
        Some(Spread::of(rounds.map(|(a, b)| figure(one, a) / figure(other, b))))
    }

    /// A row for each program, in Markdown: medians, and in brackets the range of the rounds.
    pub fn table(&self, base: &str) -> String {
        let mut table = format!(
            "| program | events | thousand events/s | us CPU per event | speed against {base} |\n|---|---|---|---|---|\n"
        );
        for program in &self.0 {
            let speed = scaled(program.events_per_second(), 1e-3);
            let against =
                self.speed(program.name, base).map_or_else(String::new, |ratio| format!("{:.2}", ratio.median));
            let events = program.events;
            let _ = writeln!(
                table,
                "| {} | {events} | {} | {} | {against} |",
                program.name,
                shown(speed, 0),
                shown(program.cpu_per_event(), 3)
            );
        }
        table
    }
}

/// Targets in Markdown.
pub fn targets(targets: &[Target]) -> String {
    let mut table = "| ratio | target | measured | |\n|---|---|---|---|\n".to_owned();
    for Target { what, wanted, ratio } in targets {
        let (wanted, met) = match *wanted {
            Wanted::AtLeast(least) => (format!(">= {least:.2}"), ratio.median >= least),
            Wanted::AtMost(most) => (format!("<= {most:.2}"), ratio.median <= most),
        };
        let _ =
            writeln!(table, "| {what} | {wanted} | {} | {} |", shown(*ratio, 2), if met { "met" } else { "missed" });
    }
    table
}

/// A median with its range.
pub fn shown(spread: Spread, digits: usize) -> String {
    let Spread { median, least, most } = spread;
    format!("{median:.digits$} ({least:.digits$} to {most:.digits$})")
}

fn scaled(spread: Spread, by: f64) -> Spread {
    Spread { median: spread.median * by, least: spread.least * by, most: spread.most * by }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn program(name: &'static str, events: u64, millis: [u64; 3]) -> Measured {
        let cost = |millis| Cost { wall: Duration::from_millis(millis), cpu: Duration::from_millis(2 * millis) };
        Measured { name, events, costs: millis.map(cost).to_vec() }
    }

    #[test]
    fn a_ratio_compares_rates_within_each_round() {
        let report = Report(vec![program("one", 2_000, [10, 20, 40]), program("other", 1_000, [10, 20, 20])]);
        assert_eq!(report.speed("one", "other"), Some(Spread { median: 2.0, least: 1.0, most: 2.0 }));
        assert_eq!(report.cpu("one", "other").map(|ratio| ratio.most), Some(1.0));
        assert_eq!(report.speed("one", "missing"), None);
        assert!(report.table("other").contains("| one | 2000 | 100 (50 to 200) | 20.000 (10.000 to 40.000) | 2.00 |"));
    }

    #[test]
    fn a_target_is_met_by_the_median() {
        let ratio = Spread { median: 1.2, least: 0.5, most: 3.0 };
        let table = targets(&[
            Target { what: "a", wanted: Wanted::AtLeast(1.0), ratio },
            Target { what: "b", wanted: Wanted::AtMost(1.0), ratio },
        ]);
        assert!(table.contains("| a | >= 1.00 | 1.20 (0.50 to 3.00) | met |"), "{table}");
        assert!(table.contains("| b | <= 1.00 | 1.20 (0.50 to 3.00) | missed |"), "{table}");
    }
}

//! What a run of a language costs, and the table of it in `guest-sdk/README.md`.

use std::fs;
use std::io::Write;

use lantern_tests::workspace;

use crate::languages::LANGUAGES;

const BEGIN: &str = "<!-- conformance -->";
const END: &str = "<!-- /conformance -->";
const HEAD: &str =
    "| language | toolchain | plugin | compile | CPU per event | memory | digest |\n|---|---|--:|--:|--:|--:|---|";

pub struct Measured {
    pub title: &'static str,
    pub toolchain: String,
    pub digest: String,
    pub bytes: usize,
    pub compile_millis: u128,
    pub micros_per_event: f64,
    pub memory_kib: u64,
}

impl Measured {
    pub fn row(&self) -> String {
        let Self { title, toolchain, compile_millis, micros_per_event, .. } = self;
        let (size, memory) = (self.bytes.div_ceil(1000), self.memory_kib as f64 / 1024.0);
        let digest = &self.digest[..12];
        format!(
            "| {title} | {toolchain} | {size} kB | {compile_millis} ms | {micros_per_event:.1} µs | {memory:.1} MiB | `{digest}` |"
        )
    }

    /// Puts the row into the table; the others stay as they are.
    pub fn write(&self) {
        let readme = readme();
        let (before, table, after) = parts(&readme).expect("guest-sdk/README.md has the two marks of the table");
        let row_of = |title: &str| match title == self.title {
            true => Some(self.row()),
            false => table.lines().find(|line| is_row_of(line, title)).map(str::to_owned),
        };
        let rows: Vec<_> = LANGUAGES.iter().filter_map(|language| row_of(language.title)).collect();
        let text = format!("{before}{BEGIN}\n{HEAD}\n{}\n{END}{after}", rows.join("\n"));
        fs::write(path(), text).expect("the table can be written");
    }
}

pub fn has_row(title: &str) -> bool {
    parts(&readme()).is_some_and(|(_, table, _)| table.lines().any(|line| is_row_of(line, title)))
}

fn is_row_of(line: &str, title: &str) -> bool {
    line.starts_with(&format!("| {title} |"))
}

/// What stands before the table, in it and behind it.
fn parts(readme: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = readme.split_once(BEGIN)?;
    let (table, after) = rest.split_once(END)?;
    Some((before, table, after))
}

fn readme() -> String {
    fs::read_to_string(path()).expect("guest-sdk/README.md can be read")
}

fn path() -> std::path::PathBuf {
    workspace().join("guest-sdk/README.md")
}

/// Processor time that a process has used.
pub fn cpu_micros(process: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("the process runs");
    // The name may hold anything, so fields count from behind it; a tick is 10 ms everywhere.
    let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = behind_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number"));
    10_000 * ticks.sum::<u64>()
}

/// Resident memory of a process.
pub fn memory_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("the process runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a process has a size")
}

/// Past the test harness, which keeps the output of tests that pass to itself.
pub fn say(line: &str) {
    writeln!(std::io::stderr(), "conformance: {line}").expect("standard error takes a line");
}

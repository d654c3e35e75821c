//! `lantern bench`: replays the log through a plugin into a read model that is thrown away, and tells what that costs
//! and what it waits for. The daemon may be running; nothing that it owns is changed.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};

use super::client::Failure;
use super::interrupt::{INTERRUPTED, interrupted};
use super::output::{self, Format, count, counted, grouped, size, text};
use super::plugin;
use super::progress::{Progress, remaining};
use super::serve;
use crate::config::Config;
use crate::event::Position;
use crate::event_store::{EventStore, EventStoreOptions};
use crate::plugin::{LoadedPlugin, PluginHost, PluginOptions};
use crate::projection::{Halt, ProjectionCode, Runner, RunnerOptions, StageTimes, Step};
use crate::read_model::ReadModelFile;

/// Between two lines of progress.
const LOOK: Duration = Duration::from_millis(100);

#[derive(Args)]
pub struct Bench {
    /// The plugin: a WebAssembly component or core module
    plugin: PathBuf,
    /// TOML file with settings, as for `lantern serve`
    #[arg(long, env = "LANTERN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of the log [default: lantern-data]
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<String>,
    /// Stop after this many events, at the end of a batch [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    events: Option<u64>,
}

/// A replay that came to its end.
struct Replayed {
    position: Position,
    wall: Duration,
    times: StageTimes,
}

impl Bench {
    pub fn run(&self, format: Format) -> anyhow::Result<ExitCode> {
        let flags = self.data_dir.iter().map(|folder| ("daemon.data_dir", folder.clone())).collect();
        let options = serve::options(Config::load(self.config.as_deref(), flags)?);
        let events = open_log(&options.data_dir, options.event_store)?;
        let scratch = tempfile::Builder::new().prefix("lantern-bench-").tempdir().context("no room for a bench")?;
        let code = plugin::projection_of(self.load(options.plugins, scratch.path())?)?;
        let path = scratch.path().join("read-model.db");
        let runner = options.projections.runner;
        let Some(replayed) = self.replay(&events, &code, &path, runner)? else {
            return Ok(ExitCode::from(INTERRUPTED));
        };
        let report = report(&replayed, &code, &path)?;
        match format {
            Format::Json => output::print(report)?,
            Format::Person => output::print(sheet(&report))?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn load(&self, options: PluginOptions, cache_dir: &Path) -> anyhow::Result<LoadedPlugin> {
        let shown = self.plugin.display();
        let bytes = std::fs::read(&self.plugin).with_context(|| format!("cannot read {shown}"))?;
        let host = PluginHost::new(PluginOptions { cache_dir: cache_dir.to_owned(), ..options });
        Ok(host.and_then(|host| host.load(&shown.to_string(), &bytes)).map_err(plugin::failure)?)
    }

    /// Runs as a replay in the daemon does. `None` after Ctrl-C.
    fn replay(
        &self,
        events: &EventStore,
        code: &Arc<dyn ProjectionCode>,
        path: &Path,
        options: RunnerOptions,
    ) -> anyhow::Result<Option<Replayed>> {
        let end = self.events.unwrap_or(u64::MAX).min(events.head().0);
        let interrupted = interrupted(|| {}).context("cannot listen for Ctrl-C")?;
        let failed = |halt: Halt| anyhow::anyhow!("{}: {}", code.description().name, halt.reason);
        let mut progress = Progress::start();
        let started = Instant::now();
        let mut shown = started;
        let mut runner = Runner::open(events, Arc::clone(code), path, options)?;
        runner.measure();
        // At the end of the log a step more, which makes the indexes.
        while runner.read_to().0 < end || end == events.head().0 {
            match runner.step().map_err(failed)? {
                Step::Parked(position) => return Err(parked(code, path, position)?.into()),
                Step::CaughtUp => break,
                Step::Applied | Step::Isolating => {}
            }
            if interrupted.load(Ordering::Relaxed) {
                return Ok(None);
            }
            if shown.elapsed() >= LOOK {
                shown = Instant::now();
                show(&mut progress, runner.read_to().0, end, started.elapsed());
            }
        }
        runner.settle()?;
        Ok(Some(Replayed { position: runner.read_to(), wall: started.elapsed(), times: runner.stage_times()? }))
    }
}

/// The log of a daemon that may be running, for reading.
pub(super) fn open_log(folder: &Path, options: EventStoreOptions) -> anyhow::Result<EventStore> {
    let path = folder.join("events.db");
    if !path.is_file() {
        let hint = "name the daemon's data folder with --data-dir; `lantern events import` fills a log";
        return Err(Failure::new(format!("there is no event log in {}", folder.display()), hint).into());
    }
    let events = EventStore::open_read_only(&path, options)?;
    if events.head() == Position(0) {
        let hint = "append events first, for example with `lantern events import`";
        return Err(Failure::new(format!("the event log {} is empty", path.display()), hint).into());
    }
    Ok(events)
}

fn show(progress: &mut Progress, position: u64, end: u64, elapsed: Duration) {
    let fraction = (position as f64 / end as f64).min(1.0);
    let left = remaining(elapsed, fraction).map(|left| format!(", {} left", output::duration(left)));
    let message = format!("{} of {} events{}", grouped(position), grouped(end), left.unwrap_or_default());
    progress.show(Some(fraction), &message);
}

/// Why an event cannot be applied.
fn parked(code: &Arc<dyn ProjectionCode>, path: &Path, position: Position) -> anyhow::Result<Failure> {
    let before = Position(position.0.saturating_sub(1));
    let letter = ReadModelFile::open(path)?.dead_letters(before, 1)?.into_iter().next();
    let letter = letter.context("the event that cannot be applied was not noted")?;
    let message = format!(
        "{} cannot apply event {position}, {} of stream {}: {}",
        code.description().name,
        letter.event_type,
        letter.stream,
        letter.reason.unwrap_or_default()
    );
    Ok(Failure::new(message, "fix the plugin and measure again; the daemon would park the event and go on"))
}

/// All figures. CPU time is that of the threads that read, call the plugin and write.
fn report(replayed: &Replayed, code: &Arc<dyn ProjectionCode>, path: &Path) -> anyhow::Result<Value> {
    let Replayed { position, wall, times } = replayed;
    let description = code.description();
    let (stage, advice) = bottleneck(times);
    Ok(json!({
        "projection": description.name.as_str(),
        "read_model_version": description.read_model_version,
        "events": position.0,
        "events_applied": times.events,
        "wall_seconds": wall.as_secs_f64(),
        "events_per_second": (position.0 as f64 / wall.as_secs_f64()).round() as u64,
        "cpu_seconds": {
            "read": times.read.as_secs_f64(),
            "plugin": times.plugin.as_secs_f64(),
            "write": times.write.as_secs_f64(),
        },
        "rows": ReadModelFile::open(path)?.row_count()?,
        "read_model_bytes": std::fs::metadata(path)?.len(),
        "peak_memory_bytes": peak_memory(),
        "bottleneck": stage,
        "advice": advice,
    }))
}

/// The most memory that this process has had, as Linux counts it.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.split_whitespace().next()?;
    Some(kib.parse::<u64>().ok()? << 10)
}

/// The stage with the most CPU time, and what to do about it.
fn bottleneck(times: &StageTimes) -> (&'static str, &'static str) {
    let plugin = (
        "plugin",
        "much of it is often JSON: events declared with `events!` decode faster, see \"Decode faster\" in guest-sdk/README.md",
    );
    let read = (
        "read",
        "the plugin itself is fast; to name only the categories and event types that it needs can save reading",
    );
    let write = (
        "write",
        "rows that change often are written less often with larger flush_rows and flush_bytes in [projections]; an index that no query needs costs too",
    );
    let stages = [(times.read, read), (times.write, write), (times.plugin, plugin)];
    stages.into_iter().max_by_key(|(time, _)| *time).map_or(plugin, |(_, stage)| stage)
}

/// The report for a person.
fn sheet(report: &Value) -> String {
    let seconds = |value: &Value| value.as_f64().unwrap_or_default();
    let cpu = |stage: &str| seconds(&report["cpu_seconds"][stage]);
    let total = ["read", "plugin", "write"].map(cpu).iter().sum::<f64>();
    let share = |stage: &str| format!("{:.0} %", 100.0 * cpu(stage) / total.max(f64::MIN_POSITIVE));
    let stage = |name: &str| format!("{:.2} s, {}", cpu(name), share(name));
    let bottleneck = match text(report, "bottleneck") {
        "read" => "reading the log",
        "write" => "writing rows",
        _ => "the plugin itself",
    };
    let main = share(text(report, "bottleneck"));
    let (events, applied) = (count(report, "events"), count(report, "events_applied"));
    output::sheet(&[
        ("projection", format!("{}, version {}", text(report, "projection"), count(report, "read_model_version"))),
        ("events", format!("{}, of which the plugin wanted {}", grouped(events), grouped(applied))),
        ("time", format!("{:.2} s", seconds(&report["wall_seconds"]))),
        ("rate", format!("{} events/s", grouped(count(report, "events_per_second")))),
        ("cpu: read", stage("read")),
        ("cpu: plugin", stage("plugin")),
        ("cpu: write", stage("write")),
        (
            "read model",
            format!("{}, {}", counted(count(report, "rows"), "row"), size(count(report, "read_model_bytes"))),
        ),
        ("peak memory", size(count(report, "peak_memory_bytes"))),
        ("bottleneck", format!("{bottleneck}, {main} of the CPU time; {}", text(report, "advice"))),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bottleneck_is_the_stage_with_the_most_cpu_time() {
        let times = |read, plugin, write| {
            let [read, plugin, write] = [read, plugin, write].map(Duration::from_millis);
            StageTimes { read, plugin, write, events: 1 }
        };
        assert_eq!(bottleneck(&times(3, 2, 1)).0, "read");
        assert_eq!(bottleneck(&times(2, 3, 1)).0, "plugin");
        assert_eq!(bottleneck(&times(1, 2, 3)).0, "write");
        assert_eq!(bottleneck(&times(0, 0, 0)).0, "plugin");
    }

    #[test]
    fn the_sheet_names_the_bottleneck_with_its_share() {
        let report = json!({
            "projection": "orders", "read_model_version": 2, "events": 2_000_000, "events_applied": 1_500_000,
            "wall_seconds": 1.6, "events_per_second": 1_250_000,
            "cpu_seconds": { "read": 0.25, "plugin": 1.5, "write": 0.25 }, "rows": 1, "read_model_bytes": 2048,
            "peak_memory_bytes": 1 << 20, "bottleneck": "plugin", "advice": "make it faster",
        });
        let sheet = sheet(&report);
        for line in [
            "events        2,000,000, of which the plugin wanted 1,500,000",
            "rate          1,250,000 events/s",
            "cpu: plugin   1.50 s, 75 %",
            "read model    1 row, 2.00 KiB",
            "bottleneck    the plugin itself, 75 % of the CPU time; make it faster",
        ] {
            assert!(sheet.lines().any(|found| found == line), "{line} is missing in\n{sheet}");
        }
    }
}

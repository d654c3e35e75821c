//! `lantern verify`: holds the log against its checksums, or a read model against a replay of the log. Reads only; the
//! daemon may be running.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::Failure;
use super::interrupt::{INTERRUPTED, interrupted};
use super::output::{self, Format, grouped};
use super::progress::Progress;
use super::rows::{Wording, changes, describe};
use super::{plugin, serve};
use crate::config::Config;
use crate::daemon::DaemonOptions;
use crate::event::Position;
use crate::event_store::{EventStore, EventStoreError, Verifying};
use crate::http::RowJson;
use crate::plugin::{PluginHost, PluginOptions};
use crate::projection::{ActiveBuild, ProjectionCode, Runner, RunnerOptions, Step};
use crate::read_model::{Column, Difference, ReadModelError, ReadModelFile, Row, Table, Value as CellValue};

/// Between two lines of progress.
const LOOK: Duration = Duration::from_millis(100);

#[derive(Args)]
pub struct Verify {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Subcommand)]
enum What {
    /// Replay the log through a projection's present code and compare every row
    Projection {
        /// Name of the projection
        name: String,
    },
}

/// Whose data folder it is.
#[derive(Args)]
pub struct Place {
    /// TOML file with settings, as for `lantern serve`
    #[arg(long, global = true, env = "LANTERN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of the log [default: lantern-data]
    #[arg(long, global = true, value_name = "FOLDER")]
    data_dir: Option<String>,
}

impl Place {
    pub fn options(&self) -> anyhow::Result<DaemonOptions> {
        let flags = self.data_dir.iter().map(|folder| ("daemon.data_dir", folder.clone())).collect();
        Ok(serve::options(Config::load(self.config.as_deref(), flags)?))
    }

    /// The log of the data folder, which is there.
    pub fn log(&self) -> anyhow::Result<PathBuf> {
        let folder = self.options()?.data_dir;
        let log = folder.join("events.db");
        if log.is_file() {
            return Ok(log);
        }
        let message = format!("there is no event log in {}", folder.display());
        Err(Failure::new(message, "name the daemon's data folder with --data-dir").into())
    }
}

impl Verify {
    pub fn run(&self, format: Format) -> anyhow::Result<ExitCode> {
        let (options, log) = (self.place.options()?, self.place.log()?);
        let mut watched = Watched::start()?;
        let report = match &self.what {
            None => verify_log(&log, options, &mut watched)?,
            Some(What::Projection { name }) => verify_projection(&log, options, name, &mut watched)?,
        };
        drop(watched);
        let ControlFlow::Continue(report) = report else { return Ok(ExitCode::from(INTERRUPTED)) };
        let is_sound = report["sound"] == true;
        match format {
            Format::Json => output::print(&report)?,
            Format::Person if is_sound => output::print(output::text(&report, "summary"))?,
            Format::Person => {
                let (summary, hint) = (output::text(&report, "summary"), output::text(&report, "hint"));
                return Err(Failure::new(summary.to_owned(), hint).into());
            }
        }
        Ok(if is_sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// What a command has found out, unless Ctrl-C came before.
type Report = ControlFlow<(), Value>;

/// Shows how far something is, and listens for Ctrl-C.
pub struct Watched {
    progress: Progress,
    shown: Instant,
    interrupted: Arc<std::sync::atomic::AtomicBool>,
}

impl Watched {
    pub fn start() -> anyhow::Result<Self> {
        let interrupted = interrupted(|| {}).context("cannot listen for Ctrl-C")?;
        Ok(Self { progress: Progress::start(), shown: Instant::now(), interrupted })
    }

    /// Whether to go on.
    pub fn show(&mut self, what: &str, position: Position, end: Position) -> bool {
        if self.shown.elapsed() >= LOOK {
            self.shown = Instant::now();
            let fraction = position.0 as f64 / end.0.max(1) as f64;
            let message = format!("{what}: {} of {} events", grouped(position.0), grouped(end.0.max(position.0)));
            self.progress.show(Some(fraction), &message);
        }
        !self.interrupted.load(Ordering::Relaxed)
    }

    /// As [`Self::show`], of a log with so many events.
    pub fn show_verifying(&mut self, verifying: Verifying, end: Position) -> bool {
        match verifying {
            Verifying::Events(position) => self.show("checksums", position, end),
            Verifying::SealedIndexes(position) => self.show("indexes", position, end),
            Verifying::File => self.show("the rest of the file", end, end),
        }
    }
}

fn verify_log(log: &Path, options: DaemonOptions, watched: &mut Watched) -> anyhow::Result<Report> {
    let verified = EventStore::open_read_only(log, options.event_store).and_then(|events| {
        let head = events.head();
        events.verify(|verifying| watched.show_verifying(verifying, head))
    });
    Ok(match verified {
        Ok(None) => ControlFlow::Break(()),
        Ok(Some(head)) => {
            let summary = format!("all {} events are what was written, and every index leads to them", grouped(head.0));
            ControlFlow::Continue(json!({ "sound": true, "events": head.0, "summary": summary }))
        }
        Err(error) => {
            let position = match &error {
                EventStoreError::Corrupt { position, .. } => Some(position.0),
                EventStoreError::DamagedFile { .. } => None,
                _ => return Err(error.into()),
            };
            let hint = "`lantern restore` puts a backup in its place; everything before the position is sound";
            let summary = error.to_string();
            ControlFlow::Continue(json!({ "sound": false, "position": position, "summary": summary, "hint": hint }))
        }
    })
}

fn verify_projection(log: &Path, options: DaemonOptions, name: &str, watched: &mut Watched) -> anyhow::Result<Report> {
    let build = ActiveBuild::find(&options.data_dir, name)?;
    let scratch = tempfile::Builder::new().prefix("lantern-verify-").tempdir().context("no room to verify")?;
    let code = load(&build, &options.data_dir, options.plugins, scratch.path())?;
    let compared = ReadModelFile::open(&build.read_model)
        .and_then(|file| file.copy_to(&scratch.path().join("copy.db")))
        .and_then(|copy| Ok((copy.standing()?.0, copy)));
    let (position, copy) = match compared {
        Ok(copy) => copy,
        Err(error) => return Ok(ControlFlow::Continue(damaged(name, &error))),
    };
    let events = EventStore::open_up_to(log, options.event_store, position)?;
    if !copy.belongs_to(events.log_id(), events.head())? {
        let reason = "it is not of this log, or ahead of it; the daemon fills it again when it starts";
        return Ok(ControlFlow::Continue(json!({ "sound": false, "projection": name, "summary": reason })));
    }
    let replayed = scratch.path().join("replayed.db");
    if replay(&events, &code, (&replayed, options.projections.runner), watched)?.is_break() {
        return Ok(ControlFlow::Break(()));
    }
    Ok(ControlFlow::Continue(match copy.first_difference(&ReadModelFile::open(&replayed)?) {
        Ok(None) => {
            let (rows, at) = (copy.row_count()?, grouped(position.0));
            let summary =
                format!("{name}: all {} are those of a replay up to position {at}", output::counted(rows, "row"));
            json!({ "sound": true, "projection": name, "position": position.0, "rows": rows, "summary": summary })
        }
        Ok(Some(difference)) => differs(name, position, &difference),
        Err(error) => damaged(name, &error),
    }))
}

/// The code that the active build runs, from the daemon's own copy of it.
fn load(
    build: &ActiveBuild,
    data_dir: &Path,
    options: PluginOptions,
    cache_dir: &Path,
) -> anyhow::Result<Arc<dyn ProjectionCode>> {
    let path = data_dir.join("components").join(format!("{}.wasm", build.digest));
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let host = PluginHost::new(PluginOptions { cache_dir: cache_dir.to_owned(), ..options });
    let loaded = host.and_then(|host| host.load(&build.plugin_file, &bytes)).map_err(plugin::failure)?;
    loaded.into_projection().map_err(anyhow::Error::msg)
}

fn replay(
    events: &EventStore,
    code: &Arc<dyn ProjectionCode>,
    (path, options): (&Path, RunnerOptions),
    watched: &mut Watched,
) -> anyhow::Result<ControlFlow<()>> {
    let mut runner = Runner::open(events, Arc::clone(code), path, options)?;
    loop {
        let step = runner.step();
        let step = step.map_err(|halt| anyhow::anyhow!("the replay cannot go on: {}", halt.reason))?;
        if step == Step::CaughtUp {
            runner.settle()?;
            return Ok(ControlFlow::Continue(()));
        }
        if !watched.show("replay", runner.read_to(), events.head()) {
            return Ok(ControlFlow::Break(()));
        }
    }
}

fn differs(name: &str, position: Position, difference: &Difference) -> Value {
    let Difference { table, found, expected } = difference;
    let (found_rows, expected_rows) = (found.as_slice(), expected.as_slice());
    let lines = describe(table, &changes(table, expected_rows, found_rows), Wording::ExpectedAndGot);
    let row = found.as_ref().or(expected.as_ref());
    let (columns, key): (Vec<_>, Vec<_>) = row.map_or_else(Vec::new, |row| key_of(table, row)).into_iter().unzip();
    let key = json!(RowJson { columns: &columns, row: &key });
    let what = lines.get(1).map_or("", |line| line.trim()).to_owned();
    let summary = format!(
        "{name} differs from a replay up to position {}, first in table {}: {what}",
        grouped(position.0),
        table.name
    );
    let hint = format!(
        "`lantern projection replay {name}` fills it again; rows can differ without damage where earlier code of the same \
         read-model version wrote them, or where parked events of several streams were applied later"
    );
    json!({
        "sound": false, "projection": name, "position": position.0, "table": table.name, "key": key,
        "summary": summary, "hint": hint,
    })
}

fn key_of(table: &Table, row: &Row) -> Vec<(Column, CellValue)> {
    table.key_columns().into_iter().map(|column| (table.columns[column].clone(), row[column].clone())).collect()
}

fn damaged(name: &str, error: &ReadModelError) -> Value {
    let hint = format!("`lantern projection replay {name}` fills it again from the log");
    json!({ "sound": false, "projection": name, "summary": error.to_string(), "hint": hint })
}

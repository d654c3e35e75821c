//! `lantern dev`: on every save it builds a plugin, runs it over the same history, and shows what became of the rows.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use comfy_table::{Cell, CellAlignment};
use serde_json::json;

use super::client::Failure;
use super::interrupt::{INTERRUPTED, interrupted};
use super::output::{self, Format, Paint, counted, duration};
use super::plugin::project::Project;
use super::plugin::test::letter_line;
use super::plugin::{failure, options, projection_of, read};
use super::rows::{TableRows, Wording, changes, describe, shown};
use super::trial::{Delivery, History, Outcome};
use crate::code::ComponentDigest;
use crate::plugin::{PluginHost, PluginOptions, Saved, SourceWatcher};
use crate::read_model::Value;
use crate::telemetry::{self, LogFormat};

/// Rows of each table that are shown at the start.
const FIRST_ROWS: usize = 10;
/// Up to so many events, code that is there sooner is faster than code that runs faster.
const MAX_UNOPTIMISED_EVENTS: u64 = 50_000;
/// Parked events that are told.
const MAX_TOLD: usize = 5;

#[derive(Args)]
pub struct Dev {
    /// The plugin's folder, with a plugin.toml
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// File with the events to replay, as JSON lines [default: events.jsonl in the folder]
    #[arg(long, value_name = "FILE", conflicts_with = "data_dir")]
    given: Option<PathBuf>,
    /// Replay the log of this data folder; it is copied first, so a daemon may be using it
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Replay only this many of its events
    #[arg(long, value_name = "N", default_value_t = 100_000, requires = "data_dir")]
    events: u64,
}

/// What lasts from save to save.
struct Session<'a> {
    dev: &'a Dev,
    format: Format,
    history: History,
    /// The last plugin that ran, and its rows.
    previous: Option<(Loaded, Outcome)>,
}

/// What makes two plugins the same: the file, and what it reads from standard input.
type Loaded = (ComponentDigest, Arc<[u8]>);

/// A plugin that was built and run.
struct Round {
    loaded: Loaded,
    outcome: Outcome,
    building: Duration,
    loading: Duration,
    running: Duration,
}

impl Dev {
    pub fn run(&self, format: Format) -> anyhow::Result<ExitCode> {
        telemetry::start_logging(LogFormat::Text, "error,plugin=info")?;
        let project = Project::open(&self.folder)?;
        let mut sources = SourceWatcher::new(self.watched(&project));
        let interrupted = interrupted(sources.waker()).context("cannot listen for Ctrl-C")?;
        let mut session = Session { dev: self, format, history: self.history()?, previous: None };
        let events = counted(session.history.len(), "event");
        session.say(format!("{}: building it and applying {events}", project.name()))?;
        session.turn(None)?;
        let watched: Vec<_> = project.watched().iter().map(|path| path.display().to_string()).collect();
        session.say(format!("watching {}; Ctrl-C ends", watched.join(", ")))?;
        while let Some(saved) = sources.wait(|| interrupted.load(Ordering::Relaxed)) {
            session.turn(Some(&saved))?;
        }
        Ok(ExitCode::from(INTERRUPTED))
    }

    fn watched(&self, project: &Project) -> Vec<PathBuf> {
        let sources = project.watched().iter().map(|path| self.folder.join(path));
        let events = self.data_dir.is_none().then(|| self.given());
        sources.chain([self.folder.join("plugin.toml")]).chain(events).collect()
    }

    fn given(&self) -> PathBuf {
        self.given.clone().unwrap_or_else(|| self.folder.join("events.jsonl"))
    }

    fn history(&self) -> anyhow::Result<History> {
        match &self.data_dir {
            Some(folder) => History::copy(folder, self.events),
            None if !self.given().exists() => {
                let message = format!("{} is not there", self.given().display());
                Err(Failure::new(message, "`lantern dev` shows what a projection makes of these events; `lantern plugin build` builds any plugin").into())
            }
            None => History::read(&self.given()),
        }
    }
}

impl Session<'_> {
    /// Once around: what goes wrong with the plugin is shown and is no error.
    fn turn(&mut self, saved: Option<&Saved>) -> anyhow::Result<()> {
        if let Some(saved) = saved {
            let files: Vec<_> = saved.files.iter().map(|file| self.inside(file)).collect();
            self.say(format!("\n{} saved", files.join(", ")))?;
        }
        match self.try_turn(saved) {
            Ok(round) => self.show(round, saved),
            Err(error) => match self.format {
                Format::Json => Ok(output::print(json!({ "error": format!("{error:#}") }))?),
                Format::Person => {
                    super::tell(&error);
                    self.say(Paint::Red.on("the rows stay as they were; save again".to_owned()))
                }
            },
        }
    }

    fn try_turn(&mut self, saved: Option<&Saved>) -> anyhow::Result<Round> {
        let given = self.dev.given();
        if saved.is_some_and(|saved| saved.files.contains(&given)) {
            self.history = self.dev.history()?;
        }
        let started = Instant::now();
        let project = Project::open(&self.dev.folder)?;
        let (file, input) = project.build_for_dev(saved.map(|saved| saved.files.as_slice()))?;
        let building = started.elapsed();
        let started = Instant::now();
        let (name, bytes) = read(&file)?;
        let input: Arc<[u8]> = input.into();
        // Code that runs fast takes longer to compile.
        let quick_compile_bytes = if self.history.len() > MAX_UNOPTIMISED_EVENTS { u64::MAX } else { 0 };
        let options = PluginOptions { quick_compile_bytes, input: Arc::clone(&input), ..options() };
        let host = PluginHost::new(options).map_err(failure)?;
        let code = projection_of(host.load(&name, &bytes).map_err(failure)?)?;
        let loading = started.elapsed();
        let started = Instant::now();
        let outcome = self.history.run(&code, Delivery::Usual)?;
        Ok(Round { loaded: (code.digest().clone(), input), outcome, building, loading, running: started.elapsed() })
    }

    fn show(&mut self, round: Round, saved: Option<&Saved>) -> anyhow::Result<()> {
        let differences = match &self.previous {
            None => round.outcome.tables.iter().flat_map(first_rows).collect(),
            Some((_, before)) => differences(before, &round.outcome),
        };
        let Round { building, loading, running, .. } = round;
        let since = saved.and_then(|saved| saved.at?.elapsed().ok());
        let letters = &round.outcome.dead_letters;
        if self.format == Format::Json {
            let parked = round.outcome.parked_positions();
            let seconds = since.map(|since| since.as_secs_f64());
            output::print(json!({ "differences": differences, "parked": parked, "seconds": seconds }))?;
        } else {
            let same_file = self.previous.as_ref().is_some_and(|(loaded, _)| *loaded == round.loaded);
            if differences.is_empty() {
                let why = if same_file { ": the build gave the same file" } else { "" };
                output::print(format!("all rows are as before{why}"))?;
            }
            differences.iter().try_for_each(output::print)?;
            if !letters.is_empty() {
                let parked = counted(letters.len() as u64, "event");
                output::print(Paint::Red.on(format!("{parked} could not be applied:")))?;
                letters.iter().take(MAX_TOLD).map(letter_line).try_for_each(output::print)?;
            }
            let (events, rows) = (counted(self.history.len(), "event"), counted(round.outcome.rows(), "row"));
            let [building, loading, running] = [building, loading, running].map(duration);
            let since = since.map(|since| format!(", shown {} after the save", seconds(since))).unwrap_or_default();
            output::print(format!(
                "{events}, {rows}: built in {building}, loaded in {loading}, applied in {running}{since}"
            ))?;
        }
        self.previous = Some((round.loaded, round.outcome));
        Ok(())
    }

    fn say(&self, line: String) -> anyhow::Result<()> {
        if self.format == Format::Person {
            output::print(line)?;
        }
        Ok(())
    }

    /// The file as seen from the plugin's folder.
    fn inside(&self, file: &Path) -> String {
        file.strip_prefix(&self.dev.folder).unwrap_or(file).display().to_string()
    }
}

/// `0.42 s`, `12.30 s`.
fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

fn differences(before: &Outcome, after: &Outcome) -> Vec<String> {
    let mut lines = Vec::new();
    for TableRows { table, rows } in &after.tables {
        match before.table(&table.name) {
            Some(old) if old.table.columns == table.columns && old.table.primary_key == table.primary_key => {
                let changes = changes(table, &old.rows, rows);
                if !changes.is_empty() {
                    lines.extend(describe(table, &changes, Wording::BeforeAndAfter));
                }
            }
            old => {
                let what = if old.is_some() { "has other columns" } else { "is a new table" };
                lines.push(Paint::Yellow.on(format!("{} {what}", table.name)));
                lines.extend(first_rows(&TableRows { table: table.clone(), rows: rows.clone() }));
            }
        }
    }
    let gone = before.tables.iter().filter(|old| after.table(&old.table.name).is_none());
    lines.extend(gone.map(|old| Paint::Red.on(format!("{} is no table any more", old.table.name))));
    lines
}

/// The name of a table, and its first rows.
fn first_rows(rows: &TableRows) -> Vec<String> {
    let TableRows { table, rows } = rows;
    let mut lines = vec![format!("{}: {}", table.name, counted(rows.len() as u64, "row"))];
    let mut shown_rows = output::table(table.columns.iter().map(|column| &column.name));
    for row in rows.iter().take(FIRST_ROWS) {
        shown_rows.add_row(row.iter().map(|value| match value {
            Value::Text(text) => Cell::new(output::shortened(text, 60)),
            Value::Integer(_) | Value::Real(_) => Cell::new(shown(value)).set_alignment(CellAlignment::Right),
            other => Cell::new(output::shortened(&shown(other), 60)),
        }));
    }
    if !rows.is_empty() {
        lines.extend(output::unindented(&shown_rows).lines().map(|line| format!("  {line}")));
    }
    if rows.len() > FIRST_ROWS {
        lines.push(format!("  … and {} more", rows.len() - FIRST_ROWS));
    }
    lines
}

//! `lantern conflict rehearse`: asks a resolver about every conflict of the past, with the events of then, and compares.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};

use crate::cli::client::Failure;
use crate::cli::output::{self, Format, counted};
use crate::cli::{bench, plugin, serve};
use crate::code::Registry;
use crate::config::Config;
use crate::conflict::{ConflictResolution, Resolution};
use crate::event::NewEvent;
use crate::event_store::{ConflictDecision, ConflictQuery};
use crate::plugin::{LoadedCode, PluginHost, PluginOptions};

/// Conflicts in memory at once.
const PAGE: usize = 100;

#[derive(Args)]
pub struct Rehearse {
    /// The plugin: a WebAssembly component or core module
    plugin: PathBuf,
    /// TOML file with settings, as for `lantern serve`
    #[arg(long, env = "LANTERN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of the log [default: lantern-data]
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<String>,
    /// End with exit code 1 when anything would be decided differently
    #[arg(long)]
    fail_on_difference: bool,
}

/// How often each was decided.
#[derive(Default)]
struct Report {
    accept: u64,
    rewrite: u64,
    reject: u64,
    differences: Vec<Value>,
}

impl Rehearse {
    pub fn run(&self, format: Format) -> anyhow::Result<ExitCode> {
        let flags = self.data_dir.iter().map(|folder| ("daemon.data_dir", folder.clone())).collect();
        let options = serve::options(Config::load(self.config.as_deref(), flags)?);
        let events = bench::open_log(&options.data_dir, options.event_store)?;
        let scratch =
            tempfile::Builder::new().prefix("lantern-rehearse-").tempdir().context("no room for a rehearsal")?;
        let shown = self.plugin.display();
        let bytes = std::fs::read(&self.plugin).with_context(|| format!("cannot read {shown}"))?;
        let host = PluginHost::new(PluginOptions { cache_dir: scratch.path().to_owned(), ..options.plugins });
        let loaded = host.and_then(|host| host.load(&shown.to_string(), &bytes)).map_err(plugin::failure)?;
        let LoadedCode::ConflictResolver(code) = loaded.code else {
            let message = format!("{shown} is of the world {}", loaded.world);
            return Err(Failure::new(message, "name a conflict resolver").into());
        };
        let resolution = ConflictResolution::new(events.clone(), Registry::default(), options.conflicts);
        let mut report = Report::default();
        let mut query = ConflictQuery { limit: PAGE, ..ConflictQuery::default() };
        loop {
            let page = events.conflicts(&query)?;
            let Some(last) = page.last() else { break };
            query.before = Some(last.id);
            let decided_on = &code.description().categories;
            for past in page.iter().filter(|past| decided_on.iter().any(|category| category == past.stream.category()))
            {
                report.add(past, &resolution.rehearse(&code, past)?);
            }
        }
        report.print(format, code.name().as_str())?;
        let failed = self.fail_on_difference && !report.differences.is_empty();
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

impl Report {
    fn add(&mut self, past: &ConflictDecision, now: &Resolution) {
        match now {
            Resolution::Accept => self.accept += 1,
            Resolution::Rewrite(_) => self.rewrite += 1,
            Resolution::Reject(_) => self.reject += 1,
        }
        if !is_same(&past.resolution, now) {
            self.differences.push(json!({
                "conflict": past.id.to_string(),
                "stream": past.stream.as_str(),
                "expected": past.expected.0,
                "actual": past.actual.0,
                "then": described(&past.resolution),
                "now": described(now),
            }));
        }
    }

    fn print(&self, format: Format, resolver: &str) -> anyhow::Result<()> {
        let Self { accept, rewrite, reject, differences } = self;
        if format == Format::Json {
            return Ok(output::print(json!({
                "resolver": resolver,
                "conflicts": accept + rewrite + reject,
                "accept": accept, "rewrite": rewrite, "reject": reject,
                "differences": differences,
            }))?);
        }
        let conflicts = counted(accept + rewrite + reject, "conflict");
        output::print(format_args!(
            "{resolver}: {conflicts}: {accept} accepted, {rewrite} rewritten, {reject} rejected"
        ))?;
        if differences.is_empty() {
            return Ok(output::print("everything is decided as it was then")?);
        }
        output::print(format_args!("{} to what was decided then:", counted(differences.len() as u64, "difference")))?;
        for difference in differences {
            let text = |name| output::text(difference, name);
            output::print(format_args!("\n{}  {}", text("conflict"), text("stream")))?;
            output::print(format_args!("  then: {}\n  now:  {}", text("then"), text("now")))?;
        }
        Ok(())
    }
}

/// The reasons of two rejections are words for people and may differ.
fn is_same(then: &Resolution, now: &Resolution) -> bool {
    matches!((then, now), (Resolution::Reject(_), Resolution::Reject(_))) || then == now
}

fn described(resolution: &Resolution) -> String {
    let event = |event: &NewEvent| format!("{} {}", event.event_type, String::from_utf8_lossy(&event.data));
    match resolution {
        Resolution::Accept => "accept".to_owned(),
        Resolution::Rewrite(events) => format!("rewrite: {}", events.iter().map(event).collect::<Vec<_>>().join(", ")),
        Resolution::Reject(reason) => format!("reject: {reason}"),
    }
}

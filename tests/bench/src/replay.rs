//! Lantern as the daemon runs it: a plugin file, loaded by the plugin host, installed with the supervisor, replayed into
//! a read model of its own with checkpoints, checksums and dead letters as ever.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use lantern::event::Position;
use lantern::event_store::EventStore;
use lantern::plugin::{CompilerProcess, PluginHost, PluginOptions};
use lantern::projection::{ProjectionCode, ProjectionState, Projections, WorkerOptions};

use crate::history::target;
use crate::measure::{Cost, measure};

/// How often to look whether a projection that does not move has ended.
const LOOK: Duration = Duration::from_secs(1);

/// Code that is ready to run.
pub type Code = Arc<dyn ProjectionCode>;

/// A plugin host that keeps compiled code from one run to the next.
///
/// # Errors
/// When the folder for compiled code cannot be made.
pub fn plugin_host() -> anyhow::Result<PluginHost> {
    let compiler = CompilerProcess::InProcess;
    Ok(PluginHost::new(PluginOptions { compiler, ..PluginOptions::new(target().join("compiled")) })?)
}

/// Builds packages of the workspace to plugins and loads them.
///
/// # Errors
/// When one does not build, or Lantern does not take it.
pub fn load_packages(host: &PluginHost, packages: &[&str]) -> anyhow::Result<Vec<Code>> {
    let files = lantern_tests::build_plugins(packages);
    packages.iter().zip(files).map(|(package, file)| load(host, package, &std::fs::read(file)?)).collect()
}

/// # Errors
/// When Lantern does not take the file.
pub fn load(host: &PluginHost, file: &str, bytes: &[u8]) -> anyhow::Result<Code> {
    let code = host.load(file, bytes)?.into_projection().map_err(anyhow::Error::msg)?;
    Ok(code)
}

/// Replays the whole log into read models below `data`, all at once; answers their files, in the same order. What it
/// costs counts from the moment a running daemon is given the code until the files are closed.
///
/// # Errors
/// When a projection stops, or parks an event.
pub fn replay(events: &EventStore, codes: &[Code], data: &Path) -> anyhow::Result<(Vec<PathBuf>, Cost)> {
    let load_code = Box::new(|_: &_| Err("nothing ran before".to_owned()));
    let projections = Projections::open(events.clone(), data, WorkerOptions::default(), load_code)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let (files, cost) = measure(|| {
        for code in codes {
            projections.install(&format!("{}.wasm", code.description().name), Arc::clone(code))?;
        }
        let names = codes.iter().map(|code| code.description().name.as_str());
        let files = names.map(|name| runtime.block_on(caught_up(&projections, name, events.head())));
        let files = files.collect::<anyhow::Result<_>>();
        projections.shut_down();
        files
    });
    Ok((files?, cost))
}

/// Waits until every event up to the position can be seen, and answers in which file.
async fn caught_up(projections: &Projections, name: &str, position: Position) -> anyhow::Result<PathBuf> {
    let mut visible = projections.checkpoint_changes(name)?;
    while *visible.borrow_and_update() < position {
        let moved = tokio::time::timeout(LOOK, visible.changed()).await;
        let status = projections.status(name)?.active;
        let gone = matches!(moved, Ok(Err(_))) || status.state == ProjectionState::Stopped;
        ensure!(!gone, "{name} ended early: {:?}", status.reason);
    }
    let status = projections.status(name)?.active;
    ensure!(status.dead_letters == 0, "{name} parked {} events", status.dead_letters);
    Ok(status.read_model_path)
}

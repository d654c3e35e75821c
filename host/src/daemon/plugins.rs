//! What happens when a file in the plugin folder comes, changes or goes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use super::components::Components;
use super::kinds::Kinds;
use super::optimiser::Optimiser;
use crate::catalog::{PluginRecord, PluginState, Plugins};
use crate::code::ComponentDigest;
use crate::crash_point;
use crate::event::Timestamp;
use crate::plugin::{FolderChange, FolderWatcher, LoadedCode, LoadedPlugin, PluginHost, WatchOptions, watch};

/// Files that have been read and not yet loaded. Each may be as large as the largest plugin.
const MAX_WAITING_FILES: usize = 4;

/// Loads plugins one at a time and hands their code to where it belongs.
pub(super) struct PluginLoop {
    pub host: PluginHost,
    pub components: Arc<Components>,
    pub kinds: Kinds,
    pub plugins: Plugins,
}

/// The running loop.
pub(super) struct RunningPluginLoop {
    watcher: FolderWatcher,
    thread: JoinHandle<()>,
}

/// Sound code of something that another file provides; it is tried again when that file goes.
type Displaced = BTreeMap<String, (PluginRecord, LoadedCode)>;

impl PluginLoop {
    /// Watches the folder and starts the loop's thread.
    ///
    /// # Errors
    /// When the folder cannot be watched.
    pub fn start(self, folder: &Path, options: WatchOptions) -> anyhow::Result<RunningPluginLoop> {
        let (changes, inbox) = sync_channel(MAX_WAITING_FILES);
        let optimiser = Optimiser::start(&self.host, &self.components, &self.kinds)?;
        let run = move || {
            self.run(&inbox, &optimiser);
            optimiser.stop();
        };
        let thread = std::thread::Builder::new().name("plugins".into()).spawn(run)?;
        let watcher = watch(folder, options, move |change| {
            // The loop has ended only when the daemon stops.
            let _ = changes.send(change);
        })?;
        Ok(RunningPluginLoop { watcher, thread })
    }

    fn run(self, inbox: &Receiver<FolderChange>, optimiser: &Optimiser) {
        let mut displaced = Displaced::new();
        while let Ok(change) = inbox.recv() {
            match change {
                FolderChange::Present { file, bytes } => {
                    displaced.remove(&file);
                    if let Some(quick) = self.load(file, &bytes, &mut displaced) {
                        optimiser.add(&quick);
                    }
                }
                FolderChange::Refused { file, reason } => {
                    let record = record(&file, 0);
                    self.reject(record, reason, None);
                }
                FolderChange::Removed { file } => {
                    displaced.remove(&file);
                    self.plugins.remove(&file);
                    self.components.forget(&file);
                    if self.kinds.remove(&file) {
                        for (_, (record, code)) in std::mem::take(&mut displaced) {
                            self.install(record, code, &mut displaced);
                        }
                    }
                }
            }
        }
    }

    /// Answers with code that should be optimised.
    fn load(&self, file: String, bytes: &[u8], displaced: &mut Displaced) -> Option<ComponentDigest> {
        let mut record = record(&file, bytes.len() as u64);
        self.plugins.set(record.clone());
        let loaded = match self.host.load(&file, bytes) {
            Ok(loaded) => loaded,
            Err(error) => {
                self.reject(record, error.reason(), Some(error.hint()));
                return None;
            }
        };
        let LoadedPlugin { world, code, is_optimised } = loaded;
        let digest = code.digest().clone();
        record.world = Some(world.to_owned());
        record.name = Some(code.name().to_string());
        record.digest = Some(digest.0.clone());
        if let Err(error) = self.components.save(&digest, bytes) {
            self.reject(record, format!("{file} cannot be copied into the data folder: {error}"), None);
            return None;
        }
        self.install(record, code, displaced);
        (!is_optimised).then_some(digest)
    }

    fn install(&self, record: PluginRecord, code: LoadedCode, displaced: &mut Displaced) {
        match self.kinds.install(&record.file, code.clone()) {
            Ok(installed) => {
                crash_point::reached("plugin-installed");
                let (name, digest) = (code.name(), code.digest().short());
                let world = record.world.as_deref().unwrap_or_default();
                tracing::info!(plugin = %record.file, world, %name, digest, installed, "plugin loaded");
                self.remember(&record.file, &code);
                self.plugins.set(PluginRecord { state: PluginState::Loaded, since: Timestamp::now(), ..record });
            }
            Err(error) => {
                displaced.insert(record.file.clone(), (record.clone(), code));
                self.reject(record, error, None);
            }
        }
    }

    /// Only for a restart while the file is broken; the daemon can work without.
    fn remember(&self, file: &str, code: &LoadedCode) {
        if matches!(code, LoadedCode::Projection(_)) {
            self.components.forget(file);
        } else if let Err(error) = self.components.remember(file, code.digest()) {
            tracing::warn!(plugin = file, %error, "the data folder cannot keep in mind which code the file provides");
        }
    }

    /// Says why a file is not taken. What it provided before goes on, even after a restart.
    fn reject(&self, record: PluginRecord, reason: String, hint: Option<String>) {
        let kept = self.kinds.keep(&record.file, &self.components, &self.host);
        let serving = if kept { "what it held before goes on serving" } else { "it is not used" };
        let hint_text = hint.as_deref().unwrap_or_default();
        tracing::error!(plugin = %record.file, %reason, hint = hint_text, "plugin rejected; {serving}");
        let record = PluginRecord {
            state: PluginState::Rejected,
            reason: Some(format!("{reason}; {serving}")),
            hint,
            since: Timestamp::now(),
            ..record
        };
        self.plugins.set(record);
    }
}

impl RunningPluginLoop {
    /// Stops watching and waits until the file at hand is done.
    pub fn stop(self) {
        drop(self.watcher);
        if self.thread.join().is_err() {
            tracing::error!("the plugin loop had panicked");
        }
    }
}

fn record(file: &str, bytes: u64) -> PluginRecord {
    PluginRecord {
        file: file.to_owned(),
        state: PluginState::Loading,
        world: None,
        name: None,
        digest: None,
        bytes,
        reason: None,
        hint: None,
        since: Timestamp::now(),
    }
}

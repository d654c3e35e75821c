//! What lies in the plugin folder right now and what became of it: plain values that the plugin
//! loop writes and the HTTP API shows. Nothing here survives a restart; the folder does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::event::Timestamp;

/// What became of a file in the plugin folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PluginState {
    /// Being checked and compiled.
    Loading,
    /// Serves.
    Loaded,
    /// Not taken. Whatever the file held before goes on serving.
    Rejected,
}

/// One file in the plugin folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginRecord {
    /// Name of the file, without its folder.
    pub file: String,
    pub state: PluginState,
    /// The WIT world, once it is known.
    pub world: Option<String>,
    /// What the plugin calls itself, once it is known.
    pub name: Option<String>,
    /// SHA-256 of the file, in hex.
    pub digest: Option<String>,
    /// Size of the file.
    pub bytes: u64,
    /// Why it was rejected.
    pub reason: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// When it came into this state.
    pub since: Timestamp,
}

/// The list of plugin files, shared between the plugin loop and the HTTP API.
#[derive(Clone, Debug, Default)]
pub struct Plugins {
    records: Arc<Mutex<BTreeMap<String, PluginRecord>>>,
}

impl Plugins {
    /// All files, by name.
    pub fn list(&self) -> Vec<PluginRecord> {
        self.lock().values().cloned().collect()
    }

    pub fn set(&self, record: PluginRecord) {
        self.lock().insert(record.file.clone(), record);
    }

    pub fn remove(&self, file: &str) {
        self.lock().remove(file);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, PluginRecord>> {
        // A panic elsewhere cannot leave the map half-changed: every change is one call.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

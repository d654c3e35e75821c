//! The files in the plugin folder and what became of them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::app::App;
use super::event_json::rfc3339;
use super::openapi::Operation;
use crate::catalog::{PluginRecord, PluginState};

pub(super) const LIST: Operation =
    Operation::new("listPlugins", "List the files in the plugin folder and what became of them", &[(200, "Plugins")]);

#[derive(Serialize)]
pub(super) struct PluginsJson {
    plugins: Vec<PluginJson>,
}

#[derive(Serialize)]
struct PluginJson {
    file: String,
    state: &'static str,
    world: Option<String>,
    name: Option<String>,
    digest: Option<String>,
    bytes: u64,
    reason: Option<String>,
    hint: Option<String>,
    since: String,
}

impl From<PluginRecord> for PluginJson {
    fn from(record: PluginRecord) -> Self {
        Self {
            file: record.file,
            state: state(record.state),
            world: record.world,
            name: record.name,
            digest: record.digest,
            bytes: record.bytes,
            reason: record.reason,
            hint: record.hint,
            since: rfc3339(record.since),
        }
    }
}

pub(super) fn state(state: PluginState) -> &'static str {
    match state {
        PluginState::Loading => "loading",
        PluginState::Loaded => "loaded",
        PluginState::Rejected => "rejected",
    }
}

pub(super) async fn list(State(app): State<Arc<App>>) -> Json<PluginsJson> {
    Json(PluginsJson { plugins: app.state.plugins.list().into_iter().map(PluginJson::from).collect() })
}

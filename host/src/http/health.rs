//! Whether the daemon is alive, and whether it is ready to work.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use super::app::App;
use super::openapi::Operation;
use super::problem::Problem;

pub(super) const ALIVE: Operation = Operation::new("alive", "Answer while the daemon is alive", &[(200, "Alive")]);
pub(super) const READY: Operation = Operation {
    problems: &[503],
    ..Operation::new("ready", "Answer 200 while the log takes events", &[(200, "Ready")])
};

#[derive(Serialize)]
pub(super) struct AliveJson {
    status: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
pub(super) struct ReadyJson {
    status: &'static str,
    head: u64,
    projections: usize,
}

pub(super) async fn alive() -> Json<AliveJson> {
    Json(AliveJson { status: "alive", version: env!("CARGO_PKG_VERSION") })
}

/// Ready means that the log takes events. A projection that stands still does not stop the daemon
/// from working; its status and the metrics show it.
pub(super) async fn ready(State(app): State<Arc<App>>) -> Result<Json<ReadyJson>, Problem> {
    if app.is_stopping() {
        return Err(Problem::stopping());
    }
    app.blocking(|app| {
        app.state.events.is_writable().map_err(|error| {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "log_not_writable", error)
                .hint("see to the disk, then restart the daemon; reads go on")
        })?;
        let projections = app.state.projections.statuses().len();
        Ok::<_, Problem>(Json(ReadyJson { status: "ready", head: app.state.events.head().0, projections }))
    })
    .await
}

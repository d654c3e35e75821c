//! Projections: how they stand, and what people tell them to do.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;

use super::app::App;
use super::openapi::Operation;
use super::problem::Problem;
use crate::code::CodeIdentity;
use crate::projection::{BuildStatus, ProjectionError, ProjectionStatus, Projections};
use crate::read_model::{ColumnType, Table};

#[derive(Serialize)]
pub(super) struct ProjectionsJson {
    head: u64,
    projections: Vec<ProjectionJson>,
}

/// How a projection stands; the fields of [`BuildJson`] are those of the read model that answers queries.
#[derive(Serialize)]
pub(super) struct ProjectionJson {
    name: String,
    plugin_file: String,
    #[serde(flatten)]
    active: BuildJson,
    /// The read model that a replay is filling.
    replay: Option<BuildJson>,
    tables: Vec<TableJson>,
}

#[derive(Serialize)]
struct BuildJson {
    state: &'static str,
    reason: Option<String>,
    read_model_version: u32,
    build: u64,
    component_digest: String,
    upcasters: Vec<UpcasterJson>,
    read_model_path: String,
    position: u64,
    head: u64,
    lag: u64,
    percent: f64,
    events_per_second: f64,
    eta_seconds: Option<u64>,
    dead_letters: u64,
    waiting: u64,
}

#[derive(Serialize)]
struct UpcasterJson {
    name: String,
    digest: String,
}

#[derive(Serialize)]
struct TableJson {
    name: String,
    columns: Vec<ColumnJson>,
    primary_key: Vec<String>,
}

#[derive(Serialize)]
struct ColumnJson {
    name: String,
    #[serde(rename = "type")]
    column_type: &'static str,
    nullable: bool,
}

impl From<ProjectionStatus> for ProjectionJson {
    fn from(status: ProjectionStatus) -> Self {
        Self {
            name: status.name,
            plugin_file: status.plugin_file,
            active: status.active.into(),
            replay: status.replay.map(BuildJson::from),
            tables: status.tables.into_iter().map(TableJson::from).collect(),
        }
    }
}

impl From<BuildStatus> for BuildJson {
    fn from(status: BuildStatus) -> Self {
        Self {
            state: status.state.as_str(),
            lag: status.lag(),
            percent: status.percent(),
            eta_seconds: status.eta_seconds(),
            reason: status.reason,
            read_model_version: status.read_model_version,
            build: status.build,
            component_digest: status.component_digest,
            upcasters: status.upcasters.into_iter().map(UpcasterJson::from).collect(),
            read_model_path: status.read_model_path.display().to_string(),
            position: status.position.0,
            head: status.head.0,
            events_per_second: status.events_per_second,
            dead_letters: status.dead_letters,
            waiting: status.waiting,
        }
    }
}

impl From<CodeIdentity> for UpcasterJson {
    fn from(code: CodeIdentity) -> Self {
        Self { name: code.name.to_string(), digest: code.digest.0 }
    }
}

impl From<Table> for TableJson {
    fn from(table: Table) -> Self {
        let column = |column: crate::read_model::Column| ColumnJson {
            name: column.name,
            column_type: type_name(column.column_type),
            nullable: column.nullable,
        };
        Self {
            name: table.name,
            columns: table.columns.into_iter().map(column).collect(),
            primary_key: table.primary_key,
        }
    }
}

fn type_name(column_type: ColumnType) -> &'static str {
    match column_type {
        ColumnType::Integer => "integer",
        ColumnType::Real => "real",
        ColumnType::Text => "text",
        ColumnType::Blob => "blob",
        ColumnType::Boolean => "boolean",
    }
}

pub(super) const LIST: Operation =
    Operation::new("listProjections", "Show how every projection stands", &[(200, "Projections")]);
pub(super) const SHOW: Operation = shown("showProjection", "Show how a projection stands");
pub(super) const PAUSE: Operation = shown("pause", "Stop applying events until resumed");
pub(super) const RESUME: Operation = shown("resume", "Go on after a pause or a stop");
pub(super) const REPLAY: Operation =
    shown("replay", "Replay history into a new read model and swap it in when it has caught up");
pub(super) const CANCEL_REPLAY: Operation = shown("cancelReplay", "Give up the replay that is under way");

const fn shown(id: &'static str, summary: &'static str) -> Operation {
    Operation { problems: &[404, 409], ..Operation::new(id, summary, &[(200, "Projection")]) }
}

pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Json<ProjectionsJson>, Problem> {
    app.blocking(|app| {
        let projections = app.state.projections.statuses().into_iter().map(ProjectionJson::from).collect();
        Ok::<_, Problem>(Json(ProjectionsJson { head: app.state.events.head().0, projections }))
    })
    .await
}

pub(super) async fn show(app: State<Arc<App>>, name: Path<String>) -> Result<Json<ProjectionJson>, Problem> {
    act(app, name, |_, _| Ok(())).await
}

pub(super) async fn pause(app: State<Arc<App>>, name: Path<String>) -> Result<Json<ProjectionJson>, Problem> {
    act(app, name, Projections::pause).await
}

pub(super) async fn resume(app: State<Arc<App>>, name: Path<String>) -> Result<Json<ProjectionJson>, Problem> {
    act(app, name, Projections::resume).await
}

pub(super) async fn replay(app: State<Arc<App>>, name: Path<String>) -> Result<Json<ProjectionJson>, Problem> {
    act(app, name, Projections::replay).await
}

pub(super) async fn cancel_replay(app: State<Arc<App>>, name: Path<String>) -> Result<Json<ProjectionJson>, Problem> {
    act(app, name, Projections::cancel_replay).await
}

/// Does something to a projection and shows how it stands then.
pub(super) async fn act(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    action: impl FnOnce(&Projections, &str) -> Result<(), ProjectionError> + Send + 'static,
) -> Result<Json<ProjectionJson>, Problem> {
    app.blocking(move |app| {
        let projections = &app.state.projections;
        action(projections, &name)?;
        Ok::<_, ProjectionError>(Json(projections.status(&name)?.into()))
    })
    .await
}

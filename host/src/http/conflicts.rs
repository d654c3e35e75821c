//! Conflicts of the past: what was proposed, what was decided, by whom.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::app::App;
use super::event_json::{data_json, rfc3339};
use super::openapi::Operation;
use super::parameters::{Pairs, Parameter, invalid, limit, parsed, single};
use super::problem::Problem;
use crate::event::{NewEvent, StreamName};
use crate::event_store::{ConflictDecision, ConflictQuery, Resolution};

pub(super) const LIST: Operation = Operation {
    query: &[
        Parameter::text("stream", "Only conflicts of this stream."),
        Parameter::text("category", "Only conflicts of the streams of this category."),
        Parameter::text("resolution", "Only those with this resolution: accept, rewrite or reject."),
        Parameter::text("before", "Only those that were decided before the conflict with this id."),
        Parameter::integer("limit", "Most conflicts in the page."),
    ],
    problems: &[400],
    ..Operation::new(
        "listConflicts",
        "List the conflicts that were decided, the newest first; the page after the last one is empty",
        &[(200, "Conflicts")],
    )
};

pub(super) const SHOW: Operation = Operation {
    problems: &[400, 404],
    ..Operation::new("showConflict", "Show a conflict with its events", &[(200, "Conflict")])
};

#[derive(Serialize)]
struct ConflictsJson<'a> {
    conflicts: Vec<ConflictJson<'a>>,
}

#[derive(Serialize)]
struct ConflictJson<'a> {
    id: Uuid,
    stream: &'a str,
    expected: u64,
    actual: u64,
    resolution: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    resolver: &'a str,
    component_digest: &'a str,
    attempt: u32,
    decided_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    appended: Option<AppendedJson>,
    proposed: Vec<ProposedJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rewritten: Option<Vec<ProposedJson<'a>>>,
}

/// Where the events are that the decision appended.
#[derive(Serialize)]
struct AppendedJson {
    first_position: u64,
    last_position: u64,
    first_version: u64,
    last_version: u64,
}

/// An event that was proposed or put in the place of such. Data that is not JSON stands in `data_base64`.
#[derive(Serialize)]
struct ProposedJson<'a> {
    id: Uuid,
    event_type: &'a str,
    schema_version: u32,
    time: String,
    content_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
    metadata: Option<&'a RawValue>,
}

impl<'a> From<&'a ConflictDecision> for ConflictJson<'a> {
    fn from(decision: &'a ConflictDecision) -> Self {
        let appended = decision.appended.map(|appended| AppendedJson {
            first_position: appended.first_position.0,
            last_position: appended.last_position.0,
            first_version: appended.last_version.0 + appended.first_position.0 - appended.last_position.0,
            last_version: appended.last_version.0,
        });
        let rewritten = match &decision.resolution {
            Resolution::Rewrite(events) => Some(events.iter().map(ProposedJson::from).collect()),
            Resolution::Accept | Resolution::Reject(_) => None,
        };
        Self {
            id: decision.id,
            stream: decision.stream.as_str(),
            expected: decision.expected.0,
            actual: decision.actual.0,
            resolution: decision.resolution.name(),
            reason: decision.reason(),
            resolver: &decision.resolver,
            component_digest: &decision.digest,
            attempt: decision.attempt,
            decided_at: rfc3339(decision.time),
            appended,
            proposed: decision.proposed.iter().map(ProposedJson::from).collect(),
            rewritten,
        }
    }
}

impl<'a> From<&'a NewEvent> for ProposedJson<'a> {
    fn from(event: &'a NewEvent) -> Self {
        let (data, data_base64) = data_json(&event.content_type, &event.data);
        Self {
            id: event.id,
            event_type: &event.event_type,
            schema_version: event.schema_version,
            time: rfc3339(event.time),
            content_type: &event.content_type,
            data,
            data_base64,
            metadata: serde_json::from_str(&event.metadata).ok(),
        }
    }
}

pub(super) async fn list(State(app): State<Arc<App>>, Query(pairs): Query<Pairs>) -> Result<Response, Problem> {
    let resolution = single(&pairs, "resolution")?;
    if let Some(other) = resolution.filter(|name| !["accept", "rewrite", "reject"].contains(name)) {
        return Err(invalid("resolution", format!("takes accept, rewrite or reject, not {other:?}")));
    }
    let query = ConflictQuery {
        stream: single(&pairs, "stream")?.map(str::parse::<StreamName>).transpose()?,
        category: single(&pairs, "category")?.map(str::to_owned),
        resolution: resolution.map(str::to_owned),
        before: parsed(&pairs, "before", "the id of a conflict")?,
        limit: limit(&pairs, app.options.default_page_events, app.options.max_page_events)?,
    };
    app.blocking(move |app| {
        let conflicts = app.state.events.conflicts(&query)?;
        let conflicts = conflicts.iter().map(ConflictJson::from).collect();
        Ok::<_, Problem>(Json(ConflictsJson { conflicts }).into_response())
    })
    .await
}

pub(super) async fn show(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, Problem> {
    let parsed: Uuid = id.parse().map_err(|_| Problem::invalid(format!("{id:?} is no id of a conflict")))?;
    app.blocking(move |app| match app.state.events.conflict(parsed)? {
        Some(decision) => Ok::<_, Problem>(Json(ConflictJson::from(&decision)).into_response()),
        None => {
            let detail = format!("there is no conflict {parsed}");
            Err(Problem::new(StatusCode::NOT_FOUND, "conflict_not_found", detail)
                .hint("GET /conflicts lists those that were decided"))
        }
    })
    .await
}

//! Dead letters: list, retry, discard. The payload of an event is not shown here; it stays in the log.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::app::App;
use super::event_json::rfc3339;
use super::openapi::{Operation, Request};
use super::parameters::{Pairs, Parameter, limit, number};
use super::payload::Payload;
use super::problem::Problem;
use super::projections::{ProjectionJson, act};
use crate::event::{Position, StreamName};
use crate::read_model::{DeadLetter, DeadLetterKind};

pub(super) const LIST: Operation = Operation {
    query: &[
        Parameter::integer("after", "Only dead letters after this position; 0 if not given."),
        Parameter::integer("limit", "Most dead letters in the page."),
    ],
    problems: &[400, 404],
    ..Operation::new("listDeadLetters", "List the events that could not be applied", &[(200, "DeadLetters")])
};

pub(super) const RETRY: Operation = Operation {
    body: &[Request { media_type: "application/json", schema: "Retry" }],
    problems: &[400, 404, 409, 413, 415],
    ..Operation::new(
        "retryDeadLetters",
        "Apply the parked events of one stream, or of all, again",
        &[(202, "Projection")],
    )
};

pub(super) const DISCARD: Operation = Operation {
    problems: &[400, 404, 409],
    ..Operation::new("discardDeadLetter", "Forget a failed event; it stays in the log", &[(200, "Projection")])
};

#[derive(Serialize)]
pub(super) struct DeadLettersJson {
    dead_letters: Vec<DeadLetterJson>,
}

#[derive(Serialize)]
struct DeadLetterJson {
    position: u64,
    stream: String,
    version: u64,
    event_type: String,
    kind: &'static str,
    reason: Option<String>,
    attempts: u32,
    component_digest: String,
    parked_at: String,
}

impl From<DeadLetter> for DeadLetterJson {
    fn from(letter: DeadLetter) -> Self {
        Self {
            position: letter.position.0,
            stream: letter.stream,
            version: letter.version.0,
            event_type: letter.event_type,
            kind: match letter.kind {
                DeadLetterKind::Failed => "failed",
                DeadLetterKind::Waiting => "waiting",
            },
            reason: letter.reason,
            attempts: letter.attempts,
            component_digest: letter.component_digest,
            parked_at: rfc3339(letter.parked_at),
        }
    }
}

/// Which dead letters to retry.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RetryJson {
    stream: Option<String>,
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    Query(pairs): Query<Pairs>,
) -> Result<Json<DeadLettersJson>, Problem> {
    let after = Position(number(&pairs, "after")?.unwrap_or(0));
    let limit = limit(&pairs, app.options.default_page_events, app.options.max_page_events)?;
    app.blocking(move |app| {
        let letters = app.state.projections.dead_letters(&name, after, limit)?;
        Ok::<_, Problem>(Json(DeadLettersJson {
            dead_letters: letters.into_iter().map(DeadLetterJson::from).collect(),
        }))
    })
    .await
}

/// Schedules the retry and shows how the projection stands; the list shows what came of it.
pub(super) async fn retry(
    app: State<Arc<App>>,
    name: Path<String>,
    payload: Payload,
) -> Result<(StatusCode, Json<ProjectionJson>), Problem> {
    payload.expect("application/json")?;
    let request: RetryJson = match payload.bytes.trim_ascii() {
        [] => RetryJson::default(),
        bytes => serde_json::from_slice(bytes).map_err(|error| {
            Problem::invalid(format!("the body is not understood: {error}"))
                .hint("send {} or {\"stream\": \"order-42\"}")
        })?,
    };
    let stream = request.stream.map(|stream| stream.parse::<StreamName>()).transpose()?;
    let status = act(app, name, move |projections, name| projections.retry_dead_letters(name, stream.as_ref())).await?;
    Ok((StatusCode::ACCEPTED, status))
}

pub(super) async fn discard(
    app: State<Arc<App>>,
    Path((name, position)): Path<(String, u64)>,
) -> Result<Json<ProjectionJson>, Problem> {
    let position = Position(position);
    act(app, Path(name), move |projections, name| projections.discard_dead_letter(name, position)).await
}

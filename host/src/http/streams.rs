//! One stream: append to it, read it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::app::App;
use super::event_json::{EventJson, NewEventJson};
use super::openapi::{Operation, Request};
use super::parameters::{Pairs, Parameter, invalid, limit, number, single};
use super::payload::Payload;
use super::problem::Problem;
use crate::event::{ExpectedVersion, NewEvent, StreamName, StreamVersion};
use crate::event_store::{AppendRequest, Direction};

const EXPECTED_VERSION: &str = "expected-version";

pub(super) const APPEND: Operation = Operation {
    headers: EXPECTS,
    body: &[Request { media_type: "application/json", schema: "NewEvents" }],
    problems: &[400, 409, 413, 415, 503, 507],
    ..Operation::new("appendEvents", "Append events to a stream, all or none", &[(201, "Appended"), (200, "Appended")])
};

pub(super) const READ: Operation = Operation {
    query: &[
        Parameter::integer(
            "from",
            "Version of the page's first event; the end that the direction starts at if not given.",
        ),
        Parameter::integer("limit", "Most events in the page."),
        Parameter::text("direction", "forwards (the default) or backwards."),
    ],
    problems: &[400],
    ..Operation::new("readStream", "Read the events of a stream", &[(200, "StreamPage")])
};

pub(super) const EXPECTS: &[Parameter] = &[Parameter::text(
    EXPECTED_VERSION,
    "What the stream must be like: any (the default), no-stream, stream-exists, or its newest version.",
)];

/// What an append did.
#[derive(Serialize)]
struct AppendedJson {
    stream: String,
    first_position: u64,
    last_position: u64,
    /// The stream's newest version.
    version: u64,
    /// False when the log had these events already; the rest is then the first answer again.
    appended: bool,
}

#[derive(Serialize)]
struct StreamJson<'a> {
    stream: &'a str,
    version: u64,
    events: Vec<EventJson<'a>>,
}

pub(super) async fn append(
    State(app): State<Arc<App>>,
    Path(stream): Path<String>,
    headers: HeaderMap,
    payload: Payload,
) -> Result<Response, Problem> {
    payload.expect("application/json")?;
    let stream: StreamName = stream.parse()?;
    let expected = expected_version(&headers)?.unwrap_or(ExpectedVersion::Any);
    let events: Vec<NewEventJson<'_>> = serde_json::from_slice(&payload.bytes).map_err(|error| {
        Problem::invalid(format!("the body is not a list of events: {error}"))
            .hint("send a JSON array: [{\"event_type\": \"OrderPlaced\", \"data\": {}}]")
    })?;
    let events = events.into_iter().enumerate().map(|(index, event)| {
        event.without_stream().map_err(|reason| {
            Problem::invalid(format!("event {} of the request: {reason}", index + 1)).fact("index", index)
        })
    });
    let events = events.collect::<Result<_, _>>()?;
    append_events(&app, stream, expected, events).await
}

/// Appends, and answers 201 for new events or 200 for events that were there already.
pub(super) async fn append_events(
    app: &App,
    stream: StreamName,
    expected: ExpectedVersion,
    events: Vec<NewEvent>,
) -> Result<Response, Problem> {
    let name = stream.to_string();
    let appended = app.state.conflicts.append(AppendRequest { stream, expected, events }).await?;
    let status = if appended.appended { StatusCode::CREATED } else { StatusCode::OK };
    let body = AppendedJson {
        stream: name,
        first_position: appended.first_position.0,
        last_position: appended.last_position.0,
        version: appended.last_version.0,
        appended: appended.appended,
    };
    Ok((status, Json(body)).into_response())
}

pub(super) fn expected_version(headers: &HeaderMap) -> Result<Option<ExpectedVersion>, Problem> {
    let Some(header) = headers.get(EXPECTED_VERSION) else { return Ok(None) };
    let text = header.to_str().map_err(|_| Problem::invalid("the header Expected-Version is not readable text"))?;
    Ok(Some(text.trim().parse()?))
}

pub(super) async fn read(
    State(app): State<Arc<App>>,
    Path(stream): Path<String>,
    Query(pairs): Query<Pairs>,
) -> Result<Response, Problem> {
    let stream: StreamName = stream.parse()?;
    let from = number(&pairs, "from")?.map(StreamVersion);
    let limit = limit(&pairs, app.options.default_page_events, app.options.max_page_events)?;
    let direction = match single(&pairs, "direction")? {
        None | Some("forwards") => Direction::Forwards,
        Some("backwards") => Direction::Backwards,
        Some(other) => return Err(invalid("direction", format!("takes forwards or backwards, not {other:?}"))),
    };
    app.blocking(move |app| {
        let page = app.state.events.read_stream(&stream, from, direction, limit)?;
        let events = page.events.iter().map(EventJson::from).collect();
        let page = StreamJson { stream: stream.as_str(), version: page.version.0, events };
        Ok::<_, Problem>(Json(page).into_response())
    })
    .await
}

//! Aggregates: their state now and at any time, and commands.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::app::App;
use super::event_json::timestamp;
use super::openapi::{Operation, Request};
use super::parameters::{Pairs, Parameter, invalid, number, single};
use super::payload::Payload;
use super::problem::Problem;
use crate::aggregate::{AsOf, Command};
use crate::event::{MAX_NAME_BYTES, StreamName, StreamVersion, Timestamp, check_name};

const IDEMPOTENCY_KEY: &str = "idempotency-key";
const VERSION: &str = "lantern-stream-version";

pub(super) const LIST: Operation =
    Operation::new("listAggregates", "List the categories that an aggregate plugin folds", &[(200, "Aggregates")]);

pub(super) const SHOW: Operation = Operation {
    query: &[
        Parameter::integer("version", "The state after the event of this version of the stream; now if not given."),
        Parameter::text(
            "time",
            "The state before the first event that happened later than this, for example 2026-01-31T12:00:00Z.",
        ),
    ],
    problems: &[400, 404, 500, 503],
    ..Operation::new(
        "showAggregate",
        "Fold a stream and show the state; HEAD says whether there is one",
        &[(200, "AggregateState")],
    )
};

pub(super) const HANDLE: Operation = Operation {
    headers: &[Parameter::text(
        IDEMPOTENCY_KEY,
        "The command's id: the same command sent again with it gives the first result. A UUID is kept; another text becomes one.",
    )],
    body: &[Request { media_type: "application/json", schema: "Command" }],
    problems: &[400, 404, 409, 413, 415, 422, 500, 503],
    ..Operation::new(
        "handleCommand",
        "Decide on a command and append what it leads to",
        &[(201, "Handled"), (200, "Handled")],
    )
};

pub(super) const DELETE_SNAPSHOTS: Operation = Operation::new(
    "deleteSnapshots",
    "Delete all snapshots, which changes no answer: streams are folded from their start",
    &[(200, "DeletedSnapshots")],
);

#[derive(Serialize)]
pub(super) struct AggregatesJson {
    aggregates: Vec<AggregateJson>,
}

#[derive(Serialize)]
struct AggregateJson {
    category: String,
    name: String,
    digest: String,
    state_schema_version: u32,
}

#[derive(Serialize)]
struct StateJson<'a> {
    stream: &'a str,
    version: u64,
    position: u64,
    state: &'a RawValue,
    state_schema_version: u32,
    digest: &'a str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommandJson<'a> {
    command_type: String,
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
}

/// What became of a command.
#[derive(Serialize)]
struct HandledJson {
    command_id: Uuid,
    stream: String,
    /// How many events it led to.
    events: u64,
    first_position: Option<u64>,
    last_position: Option<u64>,
    version: u64,
    appended: bool,
}

#[derive(Serialize)]
pub(super) struct DeletedJson {
    deleted: u64,
}

pub(super) async fn list(State(app): State<Arc<App>>) -> Json<AggregatesJson> {
    let aggregate = |code: &Arc<dyn crate::aggregate::AggregateCode>| AggregateJson {
        category: code.description().category.clone(),
        name: code.name().to_string(),
        digest: code.digest().to_string(),
        state_schema_version: code.description().state_schema_version,
    };
    Json(AggregatesJson { aggregates: app.state.aggregates.list().iter().map(aggregate).collect() })
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    method: Method,
    Path((category, id)): Path<(String, String)>,
    Query(pairs): Query<Pairs>,
) -> Result<Response, Problem> {
    let stream = StreamName::of(&category, &id)?;
    let as_of = as_of(&pairs)?;
    let missing = Problem::new(StatusCode::NOT_FOUND, "aggregate_not_found", missing(&stream, as_of));
    if method == Method::HEAD && as_of == AsOf::Now {
        return match app.state.aggregates.version(stream).await? {
            StreamVersion(0) => Err(missing),
            version => Ok([(VERSION, version.to_string())].into_response()),
        };
    }
    let Some((folded, code)) = app.state.aggregates.state(stream.clone(), as_of).await? else { return Err(missing) };
    let body = StateJson {
        stream: stream.as_str(),
        version: folded.version.0,
        position: folded.position.0,
        state: serde_json::from_str(&folded.state).map_err(Problem::internal)?,
        state_schema_version: code.description().state_schema_version,
        digest: &code.digest().0,
    };
    let headers = [(VERSION, folded.version.to_string()), ("lantern-position", folded.position.to_string())];
    Ok((headers, Json(body)).into_response())
}

fn as_of(pairs: &Pairs) -> Result<AsOf, Problem> {
    match (number(pairs, "version")?, single(pairs, "time")?) {
        (None, None) => Ok(AsOf::Now),
        (Some(0), None) => Err(invalid("version", "is 0; the first is 1")),
        (Some(version), None) => Ok(AsOf::Version(StreamVersion(version))),
        (None, Some(time)) => timestamp(time).map(AsOf::Time).map_err(|reason| invalid("time", reason)),
        (Some(_), Some(_)) => Err(invalid("time", "does not go together with version")),
    }
}

fn missing(stream: &StreamName, as_of: AsOf) -> String {
    match as_of {
        AsOf::Time(_) => format!("stream {stream} had no event at that time"),
        AsOf::Now | AsOf::Version(_) => format!("stream {stream} has no event"),
    }
}

pub(super) async fn handle(
    State(app): State<Arc<App>>,
    Path((category, id)): Path<(String, String)>,
    headers: HeaderMap,
    payload: Payload,
) -> Result<Response, Problem> {
    payload.expect("application/json")?;
    let stream = StreamName::of(&category, &id)?;
    let command = command(&headers, &payload)?;
    let id = command.id;
    // Without the id nobody could ask again what became of the command.
    let handled = app.state.aggregates.handle(stream.clone(), command).await;
    let handled = handled.map_err(|error| Problem::from(error).fact("command_id", id.to_string()))?;
    let status = if handled.appended { StatusCode::CREATED } else { StatusCode::OK };
    let (first, last) = handled.positions.map(|(first, last)| (first.0, last.0)).unzip();
    let body = HandledJson {
        command_id: id,
        stream: stream.to_string(),
        events: first.zip(last).map_or(0, |(first, last)| last - first + 1),
        first_position: first,
        last_position: last,
        version: handled.version.0,
        appended: handled.appended,
    };
    Ok((status, Json(body)).into_response())
}

fn command(headers: &HeaderMap, payload: &Payload) -> Result<Command, Problem> {
    let CommandJson { command_type, data, metadata } = serde_json::from_slice(&payload.bytes).map_err(|error| {
        Problem::invalid(format!("the body is not a command: {error}"))
            .hint("send a JSON object: {\"command_type\": \"ReserveSeats\", \"data\": {}}")
    })?;
    check_name("command_type", &command_type)?;
    let metadata = metadata.map_or("{}", RawValue::get);
    if !metadata.starts_with('{') {
        return Err(Problem::invalid(format!("metadata is {metadata}; write a JSON object")));
    }
    let (data, metadata) = (data.get().to_owned(), metadata.to_owned());
    Ok(Command { id: command_id(headers)?, command_type, data, metadata, time: Timestamp::now() })
}

/// A UUID stays as it is; of another text one is made.
fn command_id(headers: &HeaderMap) -> Result<Uuid, Problem> {
    let Some(key) = headers.get(IDEMPOTENCY_KEY) else { return Ok(Uuid::now_v7()) };
    let key = key.to_str().ok().map(|key| key.trim().trim_matches('"'));
    let key = key.filter(|key| (1..=MAX_NAME_BYTES).contains(&key.len())).ok_or_else(|| {
        Problem::invalid(format!("the header Idempotency-Key is not 1 to {MAX_NAME_BYTES} readable characters"))
    })?;
    Ok(key.parse().unwrap_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_OID, key.as_bytes())))
}

pub(super) async fn delete_snapshots(State(app): State<Arc<App>>) -> Result<Json<DeletedJson>, Problem> {
    Ok(Json(DeletedJson { deleted: app.state.aggregates.delete_snapshots().await? }))
}

//! Errors as clients see them: RFC 9457 problem documents with a stable `code`, a `detail` with the
//! facts and a `hint` what to do. Only here do errors get an HTTP status.

use std::fmt::Display;

use axum::Json;
use axum::body::{HttpBody, to_bytes};
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::aggregate::AggregateError;
use crate::code::CallFailure;
use crate::event::{Invalid, Position};
use crate::event_store::{AppendError, EventStoreError};
use crate::projection::ProjectionError;
use crate::read_model::QueryError;
use crate::upcast::UpcastFailure;

pub(super) const MEDIA_TYPE: &str = "application/problem+json";

/// An error on its way to the client.
#[derive(Debug)]
pub(super) struct Problem {
    pub status: StatusCode,
    pub code: &'static str,
    pub detail: String,
    hint: Option<String>,
    facts: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub fn new(status: StatusCode, code: &'static str, detail: impl Display) -> Self {
        Self { status, code, detail: detail.to_string(), hint: None, facts: Map::new(), headers: Vec::new() }
    }

    /// A request that cannot be understood.
    pub fn invalid(detail: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", detail)
    }

    /// A fault of Lantern or of its machine.
    pub fn internal(detail: impl Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
            .hint("look into Lantern's log; if the disk is sound and has room, this is a bug worth reporting")
    }

    pub fn stopping() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the daemon is shutting down")
            .hint("send the request again when it is back")
    }

    /// A position that the log has not reached.
    pub fn beyond_head(position: Position, head: Position) -> Self {
        let detail = format!("position {position} is beyond the head of the log, which is {head}");
        Self::new(StatusCode::BAD_REQUEST, "position_beyond_head", detail)
            .hint("use a position that this log answered; a log restored from a backup may be shorter than before")
            .fact("head", head.0)
    }

    /// What the reader can do about it.
    pub fn hint(mut self, hint: impl Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// A value for programs.
    pub fn fact(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.facts.insert(name.to_owned(), value.into());
        self
    }

    /// A header of the answer; one that HTTP does not allow is left out.
    pub fn header(mut self, name: HeaderName, value: impl TryInto<HeaderValue>) -> Self {
        self.headers.extend(value.try_into().ok().map(|value| (name, value)));
        self
    }

    pub fn to_json(&self) -> Value {
        let mut document = json!({
            "type": format!("urn:lantern:problem:{}", self.code),
            "title": title(self.code),
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
        });
        if let Some(hint) = &self.hint {
            document["hint"] = hint.as_str().into();
        }
        for (name, value) in &self.facts {
            document[name] = value.clone();
        }
        document
    }
}

/// `wrong_expected_version` as "Wrong expected version".
fn title(code: &str) -> String {
    let words = code.replace('_', " ");
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        if self.status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(code = self.code, "a request failed: {}", self.detail);
        }
        let mut response = (self.status, Json(self.to_json())).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        response.headers_mut().extend(self.headers);
        response
    }
}

/// Turns errors that the web framework made into problems, so that every error looks the same.
pub(super) async fn uniform(request: Request, next: Next) -> Response {
    const LONGEST_FRAMEWORK_MESSAGE: usize = 4096;
    let target = format!("{} {}", request.method(), request.uri().path());
    let response = next.run(request).await;
    let (status, is_empty) = (response.status(), response.body().is_end_stream());
    let is_problem = response.headers().get(CONTENT_TYPE).is_some_and(|media| media == MEDIA_TYPE);
    if is_problem || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let message = to_bytes(body, LONGEST_FRAMEWORK_MESSAGE).await.unwrap_or_default();
    let problem = match status {
        StatusCode::NOT_FOUND if is_empty => {
            Problem::new(status, "no_such_route", format!("there is nothing at {target}"))
                .hint("GET /openapi.json lists every route")
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            Problem::new(status, "method_not_allowed", format!("{target} is not possible with this method"))
                .hint("the Allow header lists the methods; GET /openapi.json describes them")
        }
        _ if status.is_client_error() => Problem::new(status, "invalid_request", String::from_utf8_lossy(&message)),
        _ => Problem::new(status, "internal", String::from_utf8_lossy(&message)),
    };
    let mut response = problem.into_response();
    if let Some(allow) = parts.headers.get(axum::http::header::ALLOW) {
        response.headers_mut().insert(axum::http::header::ALLOW, allow.clone());
    }
    response
}

impl From<Invalid> for Problem {
    fn from(error: Invalid) -> Self {
        Self::invalid(error)
    }
}

impl From<AppendError> for Problem {
    fn from(error: AppendError) -> Self {
        let of = |status, code| Self::new(status, code, &error);
        const AGAIN: &str = "send it again with the same event ids; what was appended already is not appended twice";
        match &error {
            AppendError::WrongExpectedVersion { stream, expected, actual, rejection } => {
                let hint = format!("read the stream, decide anew, and append with Expected-Version: {actual}");
                let problem = of(StatusCode::CONFLICT, "wrong_expected_version")
                    .fact("stream", stream.as_str())
                    .fact("expected", expected.to_string())
                    .fact("actual", actual.0);
                match rejection.as_ref().and_then(|rejection| rejection.conflict) {
                    Some(id) => problem
                        .hint(format!("{hint}; GET /conflicts/{id} shows the decision"))
                        .fact("conflict", id.to_string()),
                    None => problem.hint(hint),
                }
            }
            AppendError::IdReused { stream, id, .. } => of(StatusCode::CONFLICT, "id_reused")
                .hint("the same events in the same order may be sent again; other events need other ids")
                .fact("stream", stream.as_str())
                .fact("id", id.to_string()),
            AppendError::Invalid { event, .. } => {
                let problem = of(StatusCode::BAD_REQUEST, "invalid_event").hint("nothing of the request was appended");
                event.iter().fold(problem, |problem, index| problem.fact("index", *index))
            }
            AppendError::DiskFull { .. } => of(StatusCode::INSUFFICIENT_STORAGE, "disk_full")
                .hint("make room on the disk, then send it again; reads and queries go on meanwhile"),
            AppendError::Failed { .. } => of(StatusCode::SERVICE_UNAVAILABLE, "append_failed")
                .hint("send it again; if it fails again, see that nothing else has the file of the log open"),
            AppendError::Unknown { .. } => of(StatusCode::INTERNAL_SERVER_ERROR, "append_result_unknown").hint(AGAIN),
            AppendError::Stopped { .. } => of(StatusCode::SERVICE_UNAVAILABLE, "log_not_writable")
                .hint("look into Lantern's log, see to the disk, then start Lantern again; reads go on"),
            AppendError::Closed => of(StatusCode::SERVICE_UNAVAILABLE, "stopping").hint(AGAIN),
        }
    }
}

impl From<EventStoreError> for Problem {
    fn from(error: EventStoreError) -> Self {
        match &error {
            EventStoreError::AfterHead { after, head } => Self::beyond_head(*after, *head),
            EventStoreError::Corrupt { position, .. } => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "log_damaged", &error)
                    .hint("stop Lantern, check the disk and restore the log from a backup")
                    .fact("position", position.0)
            }
            EventStoreError::Stopped { .. } => Self::new(StatusCode::SERVICE_UNAVAILABLE, "log_not_writable", &error)
                .hint("see to the disk, then start Lantern again; reads go on"),
            _ => Self::internal(&error),
        }
    }
}

impl From<AggregateError> for Problem {
    fn from(error: AggregateError) -> Self {
        let error = match error {
            AggregateError::Append(error) => return error.into(),
            AggregateError::Log(error) => return error.into(),
            error => error,
        };
        let of = |status, code| Self::new(status, code, &error);
        match &error {
            AggregateError::UnknownCategory { known, .. } => of(StatusCode::NOT_FOUND, "unknown_category")
                .hint("put its plugin into the plugin folder; GET /plugins says what became of each file")
                .fact("known", known.as_slice()),
            AggregateError::BeyondStream { stream, newest, .. } => of(StatusCode::BAD_REQUEST, "version_beyond_stream")
                .hint(format!("ask for a version from 1 to {newest}"))
                .fact("stream", stream.as_str())
                .fact("version", newest.0),
            AggregateError::Plugin { stream, failure: CallFailure::Interrupted(_), .. } => {
                of(StatusCode::SERVICE_UNAVAILABLE, "aggregate_timed_out")
                    .hint("try again; if the machine is not busy, the plugin needs a fix")
                    .fact("stream", stream.as_str())
            }
            AggregateError::Plugin { stream, .. } => of(StatusCode::INTERNAL_SERVER_ERROR, "aggregate_failed")
                .hint("fix the plugin and copy it into the plugin folder, then try again; nothing was appended")
                .fact("stream", stream.as_str()),
            AggregateError::Upcast { stream, failure: UpcastFailure::Unreadable { position, .. } } => {
                of(StatusCode::INTERNAL_SERVER_ERROR, "upcast_failed")
                    .hint("fix the upcaster and copy it into the plugin folder, then try again; nothing was appended")
                    .fact("stream", stream.as_str())
                    .fact("position", position.0)
            }
            AggregateError::Upcast { stream, .. } => of(StatusCode::SERVICE_UNAVAILABLE, "upcast_unavailable")
                .hint("try again; nothing was appended")
                .fact("stream", stream.as_str()),
            AggregateError::TooSlow { stream, .. } => of(StatusCode::SERVICE_UNAVAILABLE, "fold_timed_out")
                .hint("try again: what was folded is kept as a snapshot, and the next request goes on from there")
                .fact("stream", stream.as_str()),
            AggregateError::Rejected { stream, version, .. } => {
                of(StatusCode::UNPROCESSABLE_ENTITY, "command_rejected")
                    .hint("nothing was appended; the same command is decided anew when it is sent again")
                    .fact("stream", stream.as_str())
                    .fact("version", version.0)
            }
            AggregateError::CommandIdReused { stream, id } => of(StatusCode::CONFLICT, "command_id_reused")
                .hint("send the same command to get its first result; give another command an id of its own")
                .fact("stream", stream.as_str())
                .fact("id", id.to_string()),
            AggregateError::Overtaken { stream, .. } => of(StatusCode::CONFLICT, "command_overtaken")
                .hint("nothing was appended; send it again")
                .fact("stream", stream.as_str()),
            _ => Self::internal(&error),
        }
    }
}

impl From<ProjectionError> for Problem {
    fn from(error: ProjectionError) -> Self {
        match &error {
            ProjectionError::NotFound { known, .. } => Self::new(StatusCode::NOT_FOUND, "projection_not_found", &error)
                .hint("put its plugin into the plugin folder; GET /plugins says what became of each file")
                .fact("known", known.as_slice()),
            ProjectionError::NotPossible { name, .. } => Self::new(StatusCode::CONFLICT, "not_possible", &error)
                .hint(format!("GET /projections/{name} says how it stands")),
            _ => Self::internal(&error),
        }
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        match &error {
            QueryError::Invalid { parameter, .. } => Self::new(StatusCode::BAD_REQUEST, "invalid_query", &error)
                .hint("for example ?total=gte.100&order=total.desc&limit=20&select=id,total")
                .fact("parameter", parameter.as_str()),
            QueryError::TimedOut { .. } => Self::new(StatusCode::SERVICE_UNAVAILABLE, "query_timed_out", &error)
                .hint("filter by the primary key or an indexed column, and leave out count=exact"),
            QueryError::TooLarge { .. } => Self::new(StatusCode::BAD_REQUEST, "answer_too_large", &error)
                .hint("select fewer columns, or read in smaller pages with limit and offset"),
            QueryError::Missing { .. } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "read_model_missing",
                "the projection has not begun to run yet",
            )
            .hint("ask again in a moment; if it is paused, resume it first"),
            QueryError::Sqlite { .. } => Self::internal(&error),
        }
    }
}

//! Queries of read models, if wished as fresh as a given position of the log.
//!
//! Integers are JSON numbers with all their digits (also beyond 2^53), blobs are base64, and the
//! infinities, which JSON has no numbers for, are the strings "Infinity" and "-Infinity".

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query as QueryString, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_RANGE, CONTENT_TYPE};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{Serialize, SerializeMap, Serializer};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::app::App;
use super::openapi::Operation;
use super::parameters::{Pairs, Parameter, invalid, number};
use super::problem::Problem;
use crate::event::Position;
use crate::projection::{ProjectionState, ProjectionStatus};
use crate::read_model::{Answer, Column, Query, QueryError, ReadModelFile, Row, Value};

pub(super) const QUERY: Operation = Operation {
    query: &[
        Parameter::text("select", "Columns of the answer, between commas; all of them if not given."),
        Parameter::text(
            "order",
            "Columns to sort by, between commas, each with .asc (the default) or .desc; then by primary key. Null comes before every value.",
        ),
        Parameter::integer("limit", "Most rows of the answer."),
        Parameter::integer("offset", "Rows to skip."),
        Parameter::text("count", "exact: the header Content-Range says how many rows match."),
        Parameter::integer("at_least", "Wait until the read model shows every event up to this position."),
        Parameter::integer("timeout_ms", "How long to wait for at_least."),
    ],
    takes_columns: Some(
        "COLUMN=OP.VALUE keeps the rows for which it holds; OP is eq, neq, gt, gte, lt, lte, like, in or is.",
    ),
    problems: &[400, 404, 409, 503, 504],
    ..Operation::new("queryTable", "Query a table of a read model", &[(200, "Rows")])
};

/// How often a waiting query looks whether its projection still runs.
const RECHECK: Duration = Duration::from_millis(250);

/// A request for rows.
struct Request {
    projection: String,
    table: String,
    parameters: Pairs,
}

/// The least position that an answer must show, and how long to wait for it.
struct Freshness {
    at_least: Position,
    wait: Duration,
    deadline: Instant,
}

pub(super) async fn query(
    State(app): State<Arc<App>>,
    Path((projection, table)): Path<(String, String)>,
    QueryString(pairs): QueryString<Pairs>,
) -> Result<Response, Problem> {
    let freshness = freshness(&app, &pairs)?;
    let parameters = pairs.into_iter().filter(|(name, _)| name != "at_least" && name != "timeout_ms").collect();
    let request = Arc::new(Request { projection, table, parameters });
    loop {
        if let Some(freshness) = &freshness {
            wait_for(&app, &request.projection, freshness).await?;
        }
        let asked = Arc::clone(&request);
        let (position, response) = app.blocking(move |app| answer(app, &asked)).await?;
        // A swap between waiting and reading may have brought a read model that is a little behind.
        if freshness.as_ref().is_none_or(|freshness| position >= freshness.at_least) {
            return Ok(response);
        }
    }
}

fn freshness(app: &App, pairs: &Pairs) -> Result<Option<Freshness>, Problem> {
    let at_least = number(pairs, "at_least")?.map(Position);
    let wait = match number(pairs, "timeout_ms")? {
        Some(_) if at_least.is_none() => {
            return Err(invalid("timeout_ms", "has a meaning only together with at_least"));
        }
        Some(wait) => Duration::from_millis(wait),
        None => app.options.default_wait,
    };
    if wait > app.options.max_wait {
        return Err(invalid("timeout_ms", format!("is over the limit of {}", app.options.max_wait.as_millis())));
    }
    Ok(at_least.map(|at_least| Freshness { at_least, wait, deadline: Instant::now() + wait }))
}

/// Waits until the read model shows the wanted position.
async fn wait_for(app: &Arc<App>, projection: &str, freshness: &Freshness) -> Result<(), Problem> {
    let head = app.state.events.head();
    if freshness.at_least > head {
        return Err(Problem::beyond_head(freshness.at_least, head));
    }
    loop {
        // Asked for anew each time, because a swap brings another read model.
        let name = projection.to_owned();
        let look = app.blocking(move |app| {
            let projections = &app.state.projections;
            Ok::<_, Problem>((projections.checkpoint_changes(&name)?, projections.status(&name)?))
        });
        let (mut checkpoint, status) = look.await?;
        let reached = *checkpoint.borrow_and_update();
        if reached >= freshness.at_least {
            return Ok(());
        }
        if !runs(status.active.state) {
            return Err(not_running(&status, freshness));
        }
        let now = Instant::now();
        if now >= freshness.deadline {
            return Err(not_caught_up(&status, reached, freshness));
        }
        let recheck = freshness.deadline.min(now + RECHECK);
        let arrival = checkpoint.wait_for(|position| *position >= freshness.at_least);
        let is_abandoned = matches!(timeout_at(recheck, arrival).await, Ok(Err(_)));
        if is_abandoned {
            // Nobody writes this read model any more; the next look finds out why.
            sleep_until(recheck).await;
        }
    }
}

fn runs(state: ProjectionState) -> bool {
    match state {
        ProjectionState::CatchingUp | ProjectionState::Live | ProjectionState::Retrying => true,
        ProjectionState::Paused | ProjectionState::Stopped | ProjectionState::PluginMissing => false,
    }
}

fn not_running(status: &ProjectionStatus, freshness: &Freshness) -> Problem {
    let (name, state, at_least) = (&status.name, status.active.state.as_str(), freshness.at_least);
    let reason = status.active.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let detail = format!("projection {name:?} is {state} and will not reach position {at_least} by itself{reason}");
    Problem::new(StatusCode::CONFLICT, "projection_not_running", detail)
        .hint("have it go on (for example with `lantern projection resume`), or query without at_least to read what is there")
        .fact("state", state)
        .fact("at_least", at_least.0)
        .fact("position", status.active.position.0)
}

fn not_caught_up(status: &ProjectionStatus, reached: Position, freshness: &Freshness) -> Problem {
    let (name, at_least, wait) = (&status.name, freshness.at_least, freshness.wait.as_millis());
    let detail = format!("projection {name:?} did not reach position {at_least} within {wait} ms; it is at {reached}");
    Problem::new(StatusCode::GATEWAY_TIMEOUT, "not_caught_up", detail)
        .hint("ask again, or give it longer with timeout_ms")
        .fact("at_least", at_least.0)
        .fact("position", reached.0)
}

/// The rows and the position they are true for. Blocks.
fn answer(app: &App, request: &Request) -> Result<(Position, Response), Problem> {
    let projections = &app.state.projections;
    // Behind the checkpoint in the file there may be events that the projection did not want. Asked before the rows are
    // read, and a swap only moves forwards: the rows show at least this much.
    let visible_to = *projections.checkpoint_changes(&request.projection)?.borrow();
    let mut file = projections.read_model(&request.projection)?;
    let (query, answer) = loop {
        match ask(app, &file, request) {
            Ok(answered) => break answered,
            Err(Refusal::Query(error @ (QueryError::Missing { .. } | QueryError::Sqlite { .. }))) => {
                // A replay that ended just now took this file away and put a new one in its place.
                let fresh = projections.read_model(&request.projection)?;
                if fresh.path == file.path {
                    return Err(error.into());
                }
                file = fresh;
            }
            Err(Refusal::Query(error)) => return Err(error.into()),
            Err(Refusal::Problem(problem)) => return Err(problem),
        }
    };
    let state = projections.status(&request.projection)?.active.state;
    let position = answer.position.max(visible_to);
    Ok((position, respond(&query, &answer, (position, state))?))
}

enum Refusal {
    Query(QueryError),
    Problem(Problem),
}

fn ask(app: &App, file: &ReadModelFile, request: &Request) -> Result<(Query, Answer), Refusal> {
    let Some(table) = file.schema.table(&request.table) else {
        let known: Vec<_> = file.schema.tables().iter().map(|table| table.name.as_str()).collect();
        let detail = format!("projection {:?} has no table {:?}", request.projection, request.table);
        let problem = Problem::new(StatusCode::NOT_FOUND, "table_not_found", detail);
        return Err(Refusal::Problem(
            problem.hint(format!("its tables are: {}", known.join(", "))).fact("known", known),
        ));
    };
    let query = Query::parse(table, &request.parameters, app.queries.options()).map_err(Refusal::Query)?;
    let answer = app.queries.answer(&file.path, &query).map_err(Refusal::Query)?;
    Ok((query, answer))
}

fn respond(
    query: &Query,
    answer: &Answer,
    (position, state): (Position, ProjectionState),
) -> Result<Response, Problem> {
    let rows: Vec<_> = answer.rows.iter().map(|row| RowJson { columns: &answer.columns, row }).collect();
    let body = serde_json::to_vec(&rows).map_err(Problem::internal)?;
    let mut response = Response::builder()
        .header(CONTENT_TYPE, "application/json")
        .header("lantern-position", position.0)
        .header("lantern-projection-state", state.as_str());
    if let Some(count) = answer.count {
        let range = match rows.len() {
            0 => format!("*/{count}"),
            rows => format!("{}-{}/{count}", query.offset, query.offset + rows - 1),
        };
        response = response.header(CONTENT_RANGE, range);
    }
    response.body(Body::from(body)).map_err(Problem::internal)
}

/// A row as the API shows it: an object with a field for each column, in their order.
pub struct RowJson<'a> {
    pub columns: &'a [Column],
    pub row: &'a Row,
}

impl Serialize for RowJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(self.row.len()))?;
        for (column, value) in self.columns.iter().zip(self.row) {
            object.serialize_entry(&column.name, &Cell(value))?;
        }
        object.end()
    }
}

struct Cell<'a>(&'a Value);

impl Serialize for Cell<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_unit(),
            Value::Integer(integer) => serializer.serialize_i64(*integer),
            Value::Real(real) if real.is_finite() => serializer.serialize_f64(*real),
            Value::Real(real) if *real > 0.0 => serializer.serialize_str("Infinity"),
            Value::Real(_) => serializer.serialize_str("-Infinity"),
            Value::Text(text) => serializer.serialize_str(text),
            Value::Blob(blob) => serializer.serialize_str(&STANDARD.encode(blob)),
            Value::Boolean(boolean) => serializer.serialize_bool(*boolean),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_keep_their_value_in_json() {
        let cells = [
            (Value::Integer(i64::MIN), "-9223372036854775808"),
            (Value::Integer(9_007_199_254_740_993), "9007199254740993"),
            (Value::Real(0.1), "0.1"),
            (Value::Real(3.0), "3.0"),
            (Value::Real(f64::NEG_INFINITY), "\"-Infinity\""),
            (Value::Text("é\"\0".into()), "\"é\\\"\\u0000\""),
            (Value::Blob(vec![0, 255]), "\"AP8=\""),
            (Value::Boolean(true), "true"),
            (Value::Null, "null"),
        ];
        for (value, json) in cells {
            assert_eq!(serde_json::to_string(&Cell(&value)).expect("serialises"), json);
        }
    }
}

//! Import: many events of many streams in one request, all or none of them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use super::app::App;
use super::event_json::{NewEventJson, now};
use super::openapi::{Operation, Request};
use super::payload::{Payload, unsupported};
use super::problem::Problem;
use crate::event::{NewEvent, StreamName, Timestamp};
use crate::event_store::{AppendError, Imported};

pub(super) const IMPORT: Operation = Operation {
    body: &[Request { media_type: "application/x-ndjson", schema: "ImportRecord" }],
    problems: &[400, 409, 413, 415, 503, 507],
    ..Operation::new(
        "importEvents",
        "Append events of many streams, one on each line, all or none",
        &[(200, "Imported")],
    )
};

/// What an import did.
#[derive(Serialize)]
pub(super) struct ImportedJson {
    appended: u64,
    /// Events whose id the log had already.
    skipped: u64,
    last_position: u64,
}

impl From<Imported> for ImportedJson {
    fn from(imported: Imported) -> Self {
        let Imported { appended, skipped, last_position } = imported;
        Self { appended, skipped, last_position: last_position.0 }
    }
}

pub(super) async fn import(State(app): State<Arc<App>>, payload: Payload) -> Result<Json<ImportedJson>, Problem> {
    const MEDIA_TYPES: [&str; 4] = ["", "application/x-ndjson", "application/jsonl", "application/json"];
    if !MEDIA_TYPES.contains(&payload.media_type.as_str()) {
        let hint = "send one JSON object on each line, with the header Content-Type: application/x-ndjson";
        return Err(unsupported(&payload.media_type, hint));
    }
    let records = app.blocking(move |_| records(&payload.bytes)).await?;
    let (lines, events): (Vec<_>, Vec<_>) = records.into_iter().unzip();
    match app.state.events.import_async(events).await {
        Ok(imported) => Ok(Json(imported.into())),
        Err(AppendError::Invalid { event: Some(index), reason }) => Err(invalid_record(lines[index], &reason.0)),
        Err(error) => Err(error.into()),
    }
}

type Record = (StreamName, NewEvent);

/// An event and its stream from a line of an import. An event without a time gets this one.
///
/// # Errors
/// Says which field is wrong, and how.
pub fn read_record(line: &[u8], time: Timestamp) -> Result<Record, String> {
    let record: NewEventJson<'_> = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    record.with_stream(time)
}

/// One record for each line, with the number of the line; empty lines are passed over.
fn records(body: &[u8]) -> Result<Vec<(usize, Record)>, Problem> {
    let lines = body.split(|byte| *byte == b'\n').enumerate();
    let filled = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
    let records = filled.map(|(index, line)| match read_record(line, now()) {
        Ok(record) => Ok((index + 1, record)),
        Err(reason) => Err(invalid_record(index + 1, &reason)),
    });
    records.collect()
}

fn invalid_record(line: usize, reason: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_record", format!("line {line}: {reason}"))
        .hint("correct the record and send the body again: nothing of it was appended")
        .fact("line", line)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = r#"{"stream":"a-1","event_type":"A","data":{}}"#;

    #[test]
    fn every_line_is_a_record_and_empty_lines_are_none() {
        let body = format!("{RECORD}\r\n\n  \n{RECORD}");
        let records = records(body.as_bytes()).expect("two records");
        assert_eq!(records.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 4]);
        assert_ne!(records[0].1.1.id, records[1].1.1.id);
    }

    #[test]
    fn a_bad_record_is_named_by_its_line() {
        for bad in ["{", "[]", r#"{"stream":"a-1","event_type":"A"}"#, r#"{"event_type":"A","data":1}"#, "\u{0}"] {
            let problem = records(format!("{RECORD}\n\n{bad}\n{RECORD}").as_bytes()).expect_err("was taken");
            assert_eq!((problem.code, &problem.to_json()["line"]), ("invalid_record", &3.into()), "{bad:?}");
        }
        assert!(records(b"{\"stream\":\"a-\xff\",\"event_type\":\"A\",\"data\":1}").is_err());
    }
}

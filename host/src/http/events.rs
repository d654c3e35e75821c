//! The whole log, page by page.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::app::App;
use super::event_json::EventJson;
use super::openapi::Operation;
use super::parameters::{Pairs, Parameter, interests, limit, number};
use super::problem::Problem;
use crate::event::{EventBatch, Position};
use crate::event_store::ReadLimit;

pub(super) const READ: Operation = Operation {
    query: &[
        Parameter::integer("after", "Only events after this position; 0 if not given."),
        Parameter::integer("limit", "Most events in the page."),
        Parameter::list("category", "Only events of these categories."),
        Parameter::list("event_type", "Only events of these types."),
    ],
    problems: &[400],
    ..Operation::new("readAll", "Read the log after a position, every event as it is stored", &[(200, "Page")])
};

#[derive(Serialize)]
struct PageJson<'a> {
    events: Vec<EventJson<'a>>,
    /// Every event up to here was looked at: `after` of the next page.
    scanned_to: u64,
    head: u64,
}

pub(super) async fn read(State(app): State<Arc<App>>, Query(pairs): Query<Pairs>) -> Result<Response, Problem> {
    let after = Position(number(&pairs, "after")?.unwrap_or(0));
    let interests = interests(&pairs);
    let events = limit(&pairs, app.options.default_page_events, app.options.max_page_events)?;
    app.blocking(move |app| {
        let mut batch = EventBatch::default();
        let limit = ReadLimit { events, bytes: app.options.max_page_bytes };
        let scanned_to = app.read_log(after, &interests, limit, &mut batch)?;
        let events = batch.iter().map(EventJson::from).collect();
        let page = PageJson { events, scanned_to: scanned_to.0, head: app.state.events.head().0 };
        Ok::<_, Problem>(Json(page).into_response())
    })
    .await
}

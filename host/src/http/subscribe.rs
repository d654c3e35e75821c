//! The log as server-sent events, past and future. Holds one page of events for each subscriber
//! and nothing else: a slow reader reads on from the log later, and loses nothing.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, Sse};
use futures_util::stream::{self, Stream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep_until};

use super::app::App;
use super::event_json::EventJson;
use super::openapi::Operation;
use super::parameters::{Pairs, Parameter, interests, number};
use super::problem::Problem;
use crate::event::{EventBatch, Interest, Position};
use crate::event_store::ReadLimit;

pub(super) const SUBSCRIBE: Operation = Operation {
    query: &[
        Parameter::integer("after", "Starts after this position; with the first event if not given."),
        Parameter::list("category", "Only events of these categories."),
        Parameter::list("event_type", "Only events of these types."),
    ],
    headers: &[Parameter::integer(LAST_EVENT_ID, "Goes on after this position; wins over after.")],
    answer_type: "text/event-stream",
    problems: &[400, 503],
    ..Operation::new("subscribe", "Follow the log by server-sent events", &[(200, "Text")])
};

const LAST_EVENT_ID: &str = "last-event-id";

/// Bounds of the page that a subscriber holds.
const PAGE: ReadLimit = ReadLimit { events: 64, bytes: 256 << 10 };

struct Subscription {
    app: Arc<App>,
    interests: Arc<[Interest]>,
    position: Position,
    page: std::vec::IntoIter<Event>,
    heads: watch::Receiver<Position>,
    next_heartbeat: Instant,
    /// Its place among those that there may be at once.
    _place: OwnedSemaphorePermit,
}

pub(super) async fn subscribe(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Query(pairs): Query<Pairs>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let after = match last_event_id(&headers)? {
        Some(position) => position,
        None => Position(number(&pairs, "after")?.unwrap_or(0)),
    };
    let head = app.state.events.head();
    if after > head {
        return Err(Problem::beyond_head(after, head));
    }
    let _place = Arc::clone(&app.subscriptions).try_acquire_owned().map_err(|_| {
        let detail = format!("there are {} subscriptions already", app.options.max_subscriptions);
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_subscriptions", detail)
            .hint("come again later, or read the log page by page with GET /events?after=POSITION")
            .header(RETRY_AFTER, "10")
    })?;
    let subscription = Subscription {
        interests: interests(&pairs).into(),
        position: after,
        page: Vec::new().into_iter(),
        heads: app.state.events.head_changes(),
        next_heartbeat: Instant::now() + app.options.heartbeat,
        _place,
        app,
    };
    Ok(Sse::new(stream::unfold(subscription, Subscription::next)))
}

/// Where an earlier connection ended, as the browser's `EventSource` sends it.
fn last_event_id(headers: &HeaderMap) -> Result<Option<Position>, Problem> {
    let Some(header) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    let position = header.to_str().ok().and_then(|text| text.trim().parse().ok());
    let position = position.ok_or_else(|| Problem::invalid("the header Last-Event-ID is no position"))?;
    Ok(Some(Position(position)))
}

impl Subscription {
    /// The next message, or the end when the server stops or the log cannot be read.
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        loop {
            if self.app.is_stopping() {
                return None;
            }
            if let Some(event) = self.page.next() {
                self.next_heartbeat = Instant::now() + self.app.options.heartbeat;
                return Some((Ok(event), self));
            }
            let head = *self.heads.borrow_and_update();
            if self.position < head {
                self.read_page().await.ok()?;
                continue;
            }
            tokio::select! {
                changed = self.heads.changed() => changed.ok()?,
                () = self.app.stopped() => return None,
                () = sleep_until(self.next_heartbeat) => {
                    self.page = vec![sign_of_life(self.position)].into_iter();
                }
            }
        }
    }

    /// # Errors
    /// When the log cannot be read; the subscriber comes back and is told why.
    async fn read_page(&mut self) -> Result<(), Problem> {
        let (after, interests) = (self.position, Arc::clone(&self.interests));
        let read = self.app.blocking(move |app| {
            let mut batch = EventBatch::default();
            let scanned_to = app.read_log(after, &interests, PAGE, &mut batch)?;
            let page = batch.iter().map(|event| message(event.position, &EventJson::from(event)));
            Ok::<_, Problem>((scanned_to, page.collect::<Vec<_>>()))
        });
        let (scanned_to, page) = read.await?;
        self.position = scanned_to;
        self.page = page.into_iter();
        Ok(())
    }
}

/// An id without data makes no event, and lets a reader of few events resume behind the others.
fn sign_of_life(position: Position) -> Event {
    Event::default().comment("alive").id(position.to_string())
}

fn message(position: Position, event: &EventJson<'_>) -> Event {
    // Neither half of it can fail: names of events are strings, and their values are JSON.
    let data = serde_json::to_string(event).unwrap_or_default();
    // Names hold no line breaks, which the log checks and this kind of message cannot carry.
    Event::default().id(position.to_string()).event(event.event_type).data(data)
}

//! Figures for Prometheus: requests are counted here, everything else is asked for at each scrape.
//! Stream names and other unbounded values are never labels.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;

use super::app::App;
use super::openapi::Operation;
use super::plugins;
use super::problem::Problem;
use crate::aggregate::AggregateStats;
use crate::projection::ProjectionStatus;
use crate::telemetry::metric;

pub(super) const SCRAPE: Operation = Operation {
    answer_type: "text/plain",
    ..Operation::new("metrics", "Show figures for Prometheus", &[(200, "Text")])
};

/// Upper bounds of the buckets of a histogram, in seconds.
const BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// How many requests were answered, and how fast. Grows with routes and statuses, not with time.
#[derive(Debug, Default)]
pub(super) struct Requests(Mutex<BTreeMap<Kind, Durations>>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    route: String,
    method: &'static str,
    status: u16,
}

#[derive(Debug, Default)]
struct Durations {
    /// One for each of [`BUCKETS`], not cumulative.
    buckets: [u64; BUCKETS.len()],
    count: u64,
    sum: Duration,
}

impl Requests {
    fn count(&self, kind: Kind, duration: Duration) {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let durations = kinds.entry(kind).or_default();
        durations.count += 1;
        durations.sum += duration;
        if let Some(bucket) = BUCKETS.iter().position(|bound| duration.as_secs_f64() <= *bound) {
            durations.buckets[bucket] += 1;
        }
    }

    fn write(&self, text: &mut Text) {
        let kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let labels = |kind: &Kind| {
            let status = kind.status.to_string();
            labels(&[("route", &kind.route), ("method", kind.method), ("status", &status)])
        };
        text.header(metric::HTTP_REQUESTS, "counter", "Requests answered.");
        for (kind, durations) in kinds.iter() {
            text.sample(metric::HTTP_REQUESTS, &labels(kind), durations.count);
        }
        text.header(metric::HTTP_DURATION, "histogram", "Seconds from a request's head to the head of its answer.");
        for (kind, durations) in kinds.iter() {
            let labels = labels(kind);
            let name = metric::HTTP_DURATION;
            let mut below = 0;
            for (bound, count) in BUCKETS.iter().zip(durations.buckets) {
                below += count;
                text.sample(&format!("{name}_bucket"), &format!("{labels},le=\"{bound}\""), below);
            }
            text.sample(&format!("{name}_bucket"), &format!("{labels},le=\"+Inf\""), durations.count);
            text.sample(&format!("{name}_sum"), &labels, durations.sum.as_secs_f64());
            text.sample(&format!("{name}_count"), &labels, durations.count);
        }
    }
}

/// Counts every request by its route's pattern, never by its path.
pub(super) async fn observe(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let method = known_method(request.method());
    let response = next.run(request).await;
    let (status, duration) = (response.status().as_u16(), started.elapsed());
    tracing::debug!(method, route, status, duration_us = duration.as_micros() as u64, "answered a request");
    app.requests.count(Kind { route, method, status }, duration);
    response
}

/// Clients may invent methods; labels may not grow with them.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

pub(super) async fn scrape(
    State(app): State<Arc<App>>,
) -> Result<(StatusCode, [(HeaderName, &'static str); 1], String), Problem> {
    let text = app.blocking(|app| Ok::<_, Problem>(render(app))).await?;
    Ok((StatusCode::OK, [(CONTENT_TYPE, "text/plain; version=0.0.4")], text))
}

fn render(app: &App) -> String {
    let mut text = Text::default();
    let head = app.state.events.head();
    text.header(metric::BUILD, "gauge", "Always 1; the label is the version of Lantern.");
    text.sample(metric::BUILD, &labels(&[("version", env!("CARGO_PKG_VERSION"))]), 1);
    text.header(metric::HEAD, "gauge", "Position of the newest event.");
    text.sample(metric::HEAD, "", head);
    let stats = app.state.events.stats();
    for (name, help, count) in [
        (metric::APPENDED, "Events appended since the daemon started.", stats.events_appended),
        (metric::COMMITS, "Commits of the log; appends that come together share one.", stats.commits),
        (metric::CONFLICTS, "Appends that expected another version of their stream.", stats.conflicts),
        (metric::BATCHES_READ, "Batches of the whole log that projections read.", stats.batches_read),
        (metric::BATCHES_SHARED, "Batches that a projection took over from another.", stats.batches_shared),
    ] {
        text.header(name, "counter", help);
        text.sample(name, "", count);
    }
    text.header(metric::SEALED, "gauge", "Events of the log that are packed in segments.");
    text.sample(metric::SEALED, "", stats.sealed_events);
    text.header(metric::LOG_WRITABLE, "gauge", "1 while the log takes events.");
    text.sample(metric::LOG_WRITABLE, "", u8::from(app.state.events.is_writable().is_ok()));
    write_aggregates(&mut text, app.state.aggregates.stats());
    let statuses = app.state.projections.statuses();
    let mut projections = |name, help, value: &dyn Fn(&ProjectionStatus) -> f64| {
        text.header(name, "gauge", help);
        for status in &statuses {
            text.sample(name, &labels(&[("projection", &status.name)]), value(status));
        }
    };
    projections(metric::POSITION, "Last event that the projection applied or passed over.", &|status| {
        status.active.position.0 as f64
    });
    projections(metric::LAG, "Events between the projection's position and the head.", &|status| {
        status.active.lag() as f64
    });
    projections(metric::RATE, "Positions a second that the projection moves on.", &|status| {
        status.active.events_per_second
    });
    projections(metric::DEAD_LETTERS, "Events that the projection could not apply.", &|status| {
        status.active.dead_letters as f64
    });
    projections(metric::WAITING, "Events that wait behind a dead letter of their stream.", &|status| {
        status.active.waiting as f64
    });
    projections(metric::REPLAY_LAG, "Events that a replay under way has still to read; 0 without one.", &|status| {
        status.replay.as_ref().map_or(0.0, |replay| replay.lag() as f64)
    });
    text.header(metric::STATE, "gauge", "Always 1; the label is the state that the projection is in.");
    for status in &statuses {
        text.sample(
            metric::STATE,
            &labels(&[("projection", &status.name), ("state", status.active.state.as_str())]),
            1,
        );
    }
    text.header(metric::PLUGINS, "gauge", "Files in the plugin folder by what became of them.");
    let mut files: BTreeMap<&str, u64> = BTreeMap::new();
    app.state.plugins.list().iter().for_each(|file| *files.entry(plugins::state(file.state)).or_default() += 1);
    for (state, count) in files {
        text.sample(metric::PLUGINS, &labels(&[("state", state)]), count);
    }
    app.requests.write(&mut text);
    text.0
}

fn write_aggregates(text: &mut Text, AggregateStats { folded, snapshots }: AggregateStats) {
    for (name, kind, help, value) in [
        (metric::FOLDED, "counter", "Events that aggregates folded.", folded),
        (metric::SNAPSHOTS, "gauge", "Snapshots that are kept.", snapshots.kept),
        (metric::SNAPSHOT_BYTES, "gauge", "Bytes of the states in them.", snapshots.bytes),
        (metric::SNAPSHOTS_TAKEN, "counter", "Snapshots written since the daemon started.", snapshots.taken),
        (metric::SNAPSHOTS_DROPPED, "counter", "Snapshots not written, because too many waited.", snapshots.dropped),
        (metric::SNAPSHOTS_IGNORED, "counter", "Snapshots that were damaged or not of this log.", snapshots.ignored),
    ] {
        text.header(name, kind, help);
        text.sample(name, "", value);
    }
}

/// The text format of Prometheus. Writing to a string cannot fail.
#[derive(Default)]
struct Text(String);

impl Text {
    fn header(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = match labels {
            "" => writeln!(self.0, "{name} {value}"),
            labels => writeln!(self.0, "{name}{{{labels}}} {value}"),
        };
    }
}

fn labels(pairs: &[(&str, &str)]) -> String {
    let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let labels: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    labels.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_in_cumulative_buckets() {
        let requests = Requests::default();
        let kind = || Kind { route: "/x/{y}".into(), method: "GET", status: 200 };
        for milliseconds in [0, 2, 60_000] {
            requests.count(kind(), Duration::from_millis(milliseconds));
        }
        let mut text = Text::default();
        requests.write(&mut text);
        let labels = r#"route="/x/{y}",method="GET",status="200""#;
        for line in [
            format!("lantern_http_requests_total{{{labels}}} 3"),
            format!("lantern_http_request_duration_seconds_bucket{{{labels},le=\"0.001\"}} 1"),
            format!("lantern_http_request_duration_seconds_bucket{{{labels},le=\"30\"}} 2"),
            format!("lantern_http_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}} 3"),
            format!("lantern_http_request_duration_seconds_sum{{{labels}}} 60.002"),
        ] {
            assert!(text.0.lines().any(|found| found == line), "{line} is missing in\n{}", text.0);
        }
    }

    #[test]
    fn labels_are_escaped_and_methods_bounded() {
        assert_eq!(labels(&[("a", "x\"y\\z\n")]), r#"a="x\"y\\z\n""#);
        assert_eq!(known_method(&Method::from_bytes(b"BREW").expect("a method")), "other");
    }
}

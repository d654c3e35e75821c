//! The HTTP API, and the only module that knows HTTP.
//!
//! It decides nothing: it reads requests under limits, asks the event store, the projections and the
//! read models, and writes down what they say. `admission` asks for a token of the scope that the table
//! of routes names; `guard` keeps web pages of other sites out.
//!
//! What is no HTTP, or has too large a head, is answered by hyper with the status alone.

use std::time::Duration;

use crate::access::Access;
use crate::aggregate::Aggregates;
use crate::catalog::Plugins;
use crate::conflict::ConflictResolution;
use crate::event_store::EventStore;
use crate::projection::Projections;
use crate::read_model::QueryOptions;

mod admission;
mod aggregates;
mod app;
mod cloud_events;
mod conflicts;
mod dead_letters;
mod event_json;
mod events;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod guard;
mod health;
mod import;
mod memory;
mod metrics;
mod openapi;
mod parameters;
mod payload;
mod plugins;
mod problem;
mod projections;
mod read_models;
mod routes;
mod server;
mod socket;
mod streams;
mod subscribe;
#[cfg(test)]
mod tests;
mod tls;

pub use import::read_record;
pub use read_models::RowJson;
pub use server::Server;
pub use tls::{TlsError, TlsFiles};

/// What the API shows and controls, and who may use it.
#[derive(Clone)]
pub struct AppState {
    pub access: Access,
    pub events: EventStore,
    /// Where appends go: it asks the conflict resolvers.
    pub conflicts: ConflictResolution,
    pub aggregates: Aggregates,
    pub projections: Projections,
    pub plugins: Plugins,
}

/// Limits of the HTTP server. Every wait, queue and size has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpOptions {
    /// The certificate of https; without it the server speaks plain http.
    pub tls: Option<TlsFiles>,
    /// Connections open at once. For one more, the one that has been silent longest is closed; if
    /// none is silent, it waits.
    pub max_connections: usize,
    /// Subscriptions open at once; one more is refused.
    pub max_subscriptions: usize,
    /// From a request's first byte, or a connection's start, to the end of its head.
    pub header_timeout: Duration,
    /// How long a connection may stay silent between two requests.
    pub idle_timeout: Duration,
    /// From the end of a request's head to the end of its body.
    pub body_timeout: Duration,
    /// How long a peer may take no byte of an answer.
    pub write_timeout: Duration,
    /// How long open requests may go on after the daemon was asked to stop.
    pub shutdown_timeout: Duration,
    /// The largest request line and headers.
    pub max_head_bytes: usize,
    /// The largest request body.
    pub max_body_bytes: usize,
    /// Bytes of the bodies of all requests and answers under way; at least one body of the largest
    /// size finds room.
    pub max_body_memory: usize,
    /// Requests that work on files at once; more wait.
    pub max_file_work: usize,
    /// Events in a page when the request names no limit.
    pub default_page_events: usize,
    /// The largest limit that a request for events may name.
    pub max_page_events: usize,
    /// A page of events ends when it has this many bytes.
    pub max_page_bytes: usize,
    /// How often a subscription without news sends a sign of life.
    pub heartbeat: Duration,
    /// How long a query with `at_least` waits when it names no `timeout_ms`.
    pub default_wait: Duration,
    /// The largest `timeout_ms`.
    pub max_wait: Duration,
    /// Host names that requests may use besides `localhost` and IP addresses.
    pub allowed_hosts: Vec<String>,
    pub query: QueryOptions,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            tls: None,
            max_connections: 1024,
            max_subscriptions: 512,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            shutdown_timeout: Duration::from_secs(10),
            max_head_bytes: 64 << 10,
            max_body_bytes: 16 << 20,
            max_body_memory: 256 << 20,
            max_file_work: 32,
            default_page_events: 100,
            max_page_events: 1000,
            max_page_bytes: 8 << 20,
            heartbeat: Duration::from_secs(15),
            default_wait: Duration::from_secs(5),
            max_wait: Duration::from_secs(60),
            allowed_hosts: Vec::new(),
            query: QueryOptions::default(),
        }
    }
}

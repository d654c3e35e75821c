//! A daemon's parts in a folder of their own, and requests to their router.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::Response;
use serde_json::Value as Json;
use tempfile::TempDir;
use tokio::sync::RwLock;
use tower::ServiceExt;

use super::orders::Orders;
use crate::access::Access;
use crate::aggregate::{AggregateCode, AggregateOptions, Aggregates};
use crate::catalog::Plugins;
use crate::code::{CallFailure, ComponentDigest, Registry};
use crate::conflict::{ConflictResolution, ConflictResolverCode, ResolutionOptions};
use crate::event::{EventBatch, Interest};
use crate::event_store::{EventStore, EventStoreOptions};
use crate::http::app::App;
use crate::http::routes::router;
use crate::http::{AppState, HttpOptions};
use crate::projection::{ApplyFailure, Description, Pending, Projection, ProjectionCode, Projections, WorkerOptions};
use crate::read_model::{Column, ColumnType, ReadModelDraft, Schema, Table, Value};
use crate::upcast::UpcasterRegistry;

pub(in crate::http) struct Api {
    pub state: AppState,
    /// Whom `state` asks about conflicts.
    pub resolvers: Registry<dyn ConflictResolverCode>,
    pub app: Arc<App>,
    /// While a test holds it for writing, the projection `counting` gets nowhere.
    pub gate: Arc<RwLock<()>>,
    router: Router,
    folder: TempDir,
}

pub(in crate::http) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub json: Json,
}

impl Answer {
    /// The value of a header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// The status and the code of a problem.
    pub fn problem(&self) -> (u16, &str) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.json);
        (self.status.as_u16(), self.json["code"].as_str().expect("a code"))
    }
}

impl Api {
    pub fn new() -> Self {
        Self::with(HttpOptions::default())
    }

    pub fn with(options: HttpOptions) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let resolvers = Registry::default();
        let state = state(folder.path(), &resolvers);
        let gate = Arc::new(RwLock::new(()));
        let code = Arc::new(Counting::new(Arc::clone(&gate)));
        state.projections.install("counting.wasm", code).expect("installs");
        let app = App::new(state.clone(), options);
        Self { state, resolvers, router: router(Arc::clone(&app)), app, gate, folder }
    }

    /// Where tokens are looked for; there is no such file at first.
    pub fn tokens_file(&self) -> PathBuf {
        self.folder.path().join("tokens")
    }

    pub async fn send(&self, request: Request<Body>) -> Response {
        self.router.clone().oneshot(request).await.expect("a router always answers")
    }

    pub async fn answer(&self, request: Request<Body>) -> Answer {
        let (parts, body) = self.send(request).await.into_parts();
        let bytes = to_bytes(body, 1 << 26).await.expect("a body");
        let json = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Json::String(String::from_utf8(bytes.to_vec()).expect("text")));
        Answer { status: parts.status, headers: parts.headers, json }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.answer(Request::get(path).body(Body::empty()).expect("a request")).await
    }

    /// Asks again and again until the answer is as wished: for what another thread does in its own time.
    pub async fn until(&self, path: &str, is_as_wished: impl Fn(&Json) -> bool) -> Json {
        let asked = async {
            loop {
                let json = self.get(path).await.json;
                if is_as_wished(&json) {
                    return json;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), asked).await.expect("in time")
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.answer(Request::delete(path).body(Body::empty()).expect("a request")).await
    }

    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let request = headers.iter().fold(Request::post(path), |request, (name, value)| request.header(*name, *value));
        self.answer(request.body(body.into()).expect("a request")).await
    }

    /// Appends events of type `Placed`, one for each stream.
    pub async fn append(&self, streams: &[&str]) {
        for stream in streams {
            let path = format!("/streams/{stream}/events");
            let answer = self.post(&path, &[], r#"[{"event_type":"Placed","data":{"n":1}}]"#).await;
            assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.json);
        }
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.state.projections.shut_down();
    }
}

pub(in crate::http) fn state(folder: &Path, resolvers: &Registry<dyn ConflictResolverCode>) -> AppState {
    let events = EventStore::open(&folder.join("events.db"), EventStoreOptions::default()).expect("opens");
    let load_code = Box::new(|_: &_| Err("no code is kept in this test".to_owned()));
    let projections = Projections::open(events.clone(), folder, WorkerOptions::default(), load_code).expect("opens");
    let limits = ResolutionOptions { max_unseen_events: 20, ..ResolutionOptions::default() };
    let conflicts = ConflictResolution::new(events.clone(), resolvers.clone(), limits);
    let access = Access::open(&folder.join("tokens"), false).expect("there is no such file");
    let aggregate_code: Registry<dyn AggregateCode> = Registry::default();
    aggregate_code.install("orders.wasm", Arc::new(Orders::default())).expect("installs");
    let aggregates = Aggregates::open(
        &folder.join("snapshots.db"),
        (events.clone(), conflicts.clone()),
        (aggregate_code, UpcasterRegistry::default()),
        AggregateOptions::default(),
    )
    .expect("opens");
    AppState { access, events, conflicts, aggregates, projections, plugins: Plugins::default() }
}

/// Counts the events of each stream; an event of type `Poison` it refuses.
struct Counting {
    description: Description,
    digest: ComponentDigest,
    gate: Arc<RwLock<()>>,
}

impl Counting {
    fn new(gate: Arc<RwLock<()>>) -> Self {
        let column = |name: &str, column_type| Column { name: name.into(), column_type, nullable: false };
        let table = Table {
            name: "streams".into(),
            columns: vec![column("stream", ColumnType::Text), column("events", ColumnType::Integer)],
            primary_key: vec!["stream".into()],
            indexes: vec![],
        };
        let description = Description {
            name: "counting".parse().expect("a name"),
            read_model_version: 1,
            interests: [Interest::everything()].into(),
            schema: Schema::new(vec![table]).expect("sound"),
        };
        Self { description, digest: ComponentDigest("c0ffee".into()), gate }
    }
}

impl ProjectionCode for Counting {
    fn description(&self) -> &Description {
        &self.description
    }

    fn digest(&self) -> &ComponentDigest {
        &self.digest
    }

    fn instantiate(&self) -> Result<Box<dyn Projection>, ApplyFailure> {
        Ok(Box::new(CountingInstance(Arc::clone(&self.gate))))
    }

    fn instantiate_metered(&self) -> Result<Box<dyn Projection>, ApplyFailure> {
        self.instantiate()
    }
}

struct CountingInstance(Arc<RwLock<()>>);

impl Projection for CountingInstance {
    fn apply(&mut self, batch: &EventBatch, draft: &mut ReadModelDraft) -> Result<Pending, ApplyFailure> {
        drop(self.0.blocking_read());
        for event in batch.iter() {
            if event.kind.event_type == "Poison" {
                return Err(ApplyFailure::Call(CallFailure::Rejected("it is poison".into())));
            }
            let stream = Value::Text(event.stream.to_owned());
            let events = match draft.get("streams", std::slice::from_ref(&stream))?.as_deref() {
                Some([_, Value::Integer(events)]) => *events,
                _ => 0,
            };
            draft.put("streams", vec![stream, Value::Integer(events + 1)])?;
        }
        Ok(Pending::default())
    }

    fn flush(&mut self, _: &mut ReadModelDraft) -> Result<(), ApplyFailure> {
        Ok(())
    }
}

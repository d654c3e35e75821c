//! The one table of routes: what is served, who may use it, which query parameters it knows and how it is described.
//! The router and the OpenAPI document are both made from it.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, Request};
use axum::http::Method;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};

use super::app::App;
use super::openapi::{self, Operation};
use super::parameters::{Pairs, check_known};
use super::{
    admission, aggregates, cloud_events, conflicts, dead_letters, events, guard, health, import, memory, metrics,
    plugins, problem, projections, read_models, streams, subscribe,
};
use crate::access::Scope;

/// One method of one path.
pub(super) struct Route {
    pub method: Method,
    pub path: &'static str,
    /// What the bearer of a token must be allowed to do; none is for everyone.
    pub scope: Option<Scope>,
    pub operation: Operation,
    handler: MethodRouter<Arc<App>>,
}

#[rustfmt::skip]
pub(super) fn routes() -> Vec<Route> {
    use Method as M;
    vec![
        append(M::POST, "/streams/{stream}/events", post(streams::append), streams::APPEND),
        read(M::GET, "/streams/{stream}/events", get(streams::read), streams::READ),
        append(M::POST, "/events", post(cloud_events::receive), cloud_events::RECEIVE),
        append(M::POST, "/events/import", post(import::import), import::IMPORT),
        read(M::GET, "/events", get(events::read), events::READ),
        read(M::GET, "/events/subscribe", get(subscribe::subscribe), subscribe::SUBSCRIBE),
        read(M::GET, "/conflicts", get(conflicts::list), conflicts::LIST),
        read(M::GET, "/conflicts/{id}", get(conflicts::show), conflicts::SHOW),
        read(M::GET, "/projections", get(projections::list), projections::LIST),
        read(M::GET, "/projections/{name}", get(projections::show), projections::SHOW),
        admin(M::POST, "/projections/{name}/pause", post(projections::pause), projections::PAUSE),
        admin(M::POST, "/projections/{name}/resume", post(projections::resume), projections::RESUME),
        admin(M::POST, "/projections/{name}/replay", post(projections::replay), projections::REPLAY),
        admin(M::DELETE, "/projections/{name}/replay", delete(projections::cancel_replay), projections::CANCEL_REPLAY),
        read(M::GET, "/projections/{name}/dead-letters", get(dead_letters::list), dead_letters::LIST),
        admin(M::POST, "/projections/{name}/dead-letters/retry", post(dead_letters::retry), dead_letters::RETRY),
        admin(M::DELETE, "/projections/{name}/dead-letters/{position}", delete(dead_letters::discard), dead_letters::DISCARD),
        read(M::GET, "/projections/{name}/tables/{table}", get(read_models::query), read_models::QUERY),
        read(M::GET, "/aggregates", get(aggregates::list), aggregates::LIST),
        read(M::GET, "/aggregates/{category}/{id}", get(aggregates::show), aggregates::SHOW),
        append(M::POST, "/aggregates/{category}/{id}/commands", post(aggregates::handle), aggregates::HANDLE),
        admin(M::DELETE, "/snapshots", delete(aggregates::delete_snapshots), aggregates::DELETE_SNAPSHOTS),
        read(M::GET, "/plugins", get(plugins::list), plugins::LIST),
        anyone(M::GET, "/healthz", get(health::alive), health::ALIVE),
        anyone(M::GET, "/readyz", get(health::ready), health::READY),
        read(M::GET, "/metrics", get(metrics::scrape), metrics::SCRAPE),
        read(M::GET, "/openapi.json", get(openapi::show), openapi::SHOW),
    ]
}

/// For orchestrators, which have no token.
fn anyone(method: Method, path: &'static str, handler: MethodRouter<Arc<App>>, operation: Operation) -> Route {
    Route { method, path, scope: None, operation, handler }
}

fn read(method: Method, path: &'static str, handler: MethodRouter<Arc<App>>, operation: Operation) -> Route {
    Route { scope: Some(Scope::Read), ..anyone(method, path, handler, operation) }
}

fn append(method: Method, path: &'static str, handler: MethodRouter<Arc<App>>, operation: Operation) -> Route {
    Route { scope: Some(Scope::Append), ..anyone(method, path, handler, operation) }
}

fn admin(method: Method, path: &'static str, handler: MethodRouter<Arc<App>>, operation: Operation) -> Route {
    Route { scope: Some(Scope::Admin), ..anyone(method, path, handler, operation) }
}

pub(super) fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for Route { path, scope, operation, handler, .. } in routes() {
        let check = from_fn(move |query: Query<Pairs>, request, next| refuse_unknown(operation, query, request, next));
        let admit = from_fn_with_state((Arc::clone(&app), scope), admission::admit);
        router = router.route(path, handler.layer(check).layer(admit));
    }
    router
        .layer(from_fn_with_state(Arc::clone(&app), memory::count_answers))
        .layer(from_fn_with_state(Arc::clone(&app), guard::guard))
        .layer(from_fn(problem::uniform))
        .layer(from_fn_with_state(Arc::clone(&app), metrics::observe))
        .with_state(app)
}

async fn refuse_unknown(operation: Operation, Query(pairs): Query<Pairs>, request: Request, next: Next) -> Response {
    // Which columns there are is up to the table that is asked.
    let checked = if operation.takes_columns.is_some() { Ok(()) } else { check_known(&pairs, operation.query) };
    match checked {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

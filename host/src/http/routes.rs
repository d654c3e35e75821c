//! The one table of routes: what is served, which query parameters it knows and how it is described.
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
    aggregates, cloud_events, conflicts, dead_letters, events, guard, health, import, metrics, plugins, problem,
    projections, read_models, streams, subscribe,
};

/// One method of one path.
pub(super) struct Route {
    pub method: Method,
    pub path: &'static str,
    pub operation: Operation,
    handler: MethodRouter<Arc<App>>,
}

pub(super) fn routes() -> Vec<Route> {
    use Method as M;
    vec![
        route(M::POST, "/streams/{stream}/events", post(streams::append), streams::APPEND),
        route(M::GET, "/streams/{stream}/events", get(streams::read), streams::READ),
        route(M::POST, "/events", post(cloud_events::receive), cloud_events::RECEIVE),
        route(M::POST, "/events/import", post(import::import), import::IMPORT),
        route(M::GET, "/events", get(events::read), events::READ),
        route(M::GET, "/events/subscribe", get(subscribe::subscribe), subscribe::SUBSCRIBE),
        route(M::GET, "/conflicts", get(conflicts::list), conflicts::LIST),
        route(M::GET, "/conflicts/{id}", get(conflicts::show), conflicts::SHOW),
        route(M::GET, "/projections", get(projections::list), projections::LIST),
        route(M::GET, "/projections/{name}", get(projections::show), projections::SHOW),
        route(M::POST, "/projections/{name}/pause", post(projections::pause), projections::PAUSE),
        route(M::POST, "/projections/{name}/resume", post(projections::resume), projections::RESUME),
        route(M::POST, "/projections/{name}/replay", post(projections::replay), projections::REPLAY),
        route(M::DELETE, "/projections/{name}/replay", delete(projections::cancel_replay), projections::CANCEL_REPLAY),
        route(M::GET, "/projections/{name}/dead-letters", get(dead_letters::list), dead_letters::LIST),
        route(M::POST, "/projections/{name}/dead-letters/retry", post(dead_letters::retry), dead_letters::RETRY),
        route(
            M::DELETE,
            "/projections/{name}/dead-letters/{position}",
            delete(dead_letters::discard),
            dead_letters::DISCARD,
        ),
        route(M::GET, "/projections/{name}/tables/{table}", get(read_models::query), read_models::QUERY),
        route(M::GET, "/aggregates", get(aggregates::list), aggregates::LIST),
        route(M::GET, "/aggregates/{category}/{id}", get(aggregates::show), aggregates::SHOW),
        route(M::POST, "/aggregates/{category}/{id}/commands", post(aggregates::handle), aggregates::HANDLE),
        route(M::DELETE, "/snapshots", delete(aggregates::delete_snapshots), aggregates::DELETE_SNAPSHOTS),
        route(M::GET, "/plugins", get(plugins::list), plugins::LIST),
        route(M::GET, "/healthz", get(health::alive), health::ALIVE),
        route(M::GET, "/readyz", get(health::ready), health::READY),
        route(M::GET, "/metrics", get(metrics::scrape), metrics::SCRAPE),
        route(M::GET, "/openapi.json", get(openapi::show), openapi::SHOW),
    ]
}

fn route(method: Method, path: &'static str, handler: MethodRouter<Arc<App>>, operation: Operation) -> Route {
    Route { method, path, operation, handler }
}

pub(super) fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for Route { path, operation, handler, .. } in routes() {
        let check = from_fn(move |query: Query<Pairs>, request, next| refuse_unknown(operation, query, request, next));
        router = router.route(path, handler.layer(check));
    }
    router
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

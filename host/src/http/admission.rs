//! Who may use which route: anyone, or the bearer of a token with the scope that the route needs.
//! As long as the daemon asks for no tokens, everyone who reaches it may do everything.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::app::App;
use super::problem::Problem;
use crate::access::Scope;

/// Lets a request through to a route that needs this scope, or none.
pub(super) async fn admit(
    State((app, scope)): State<(Arc<App>, Option<Scope>)>,
    request: Request,
    next: Next,
) -> Response {
    match scope.map_or(Ok(()), |scope| check(&app, scope, request.headers())) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn check(app: &App, scope: Scope, headers: &HeaderMap) -> Result<(), Problem> {
    const SHOW: &str = "send the header Authorization: Bearer TOKEN";
    let tokens = app.state.access.tokens().map_err(|_| {
        let detail = "the tokens of this daemon cannot be read, so nobody is let in";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "tokens_unreadable", detail)
            .hint("look into Lantern's log, which says what is wrong with the tokens file")
    })?;
    let Some(tokens) = tokens else { return Ok(()) };
    let refused = |code, detail: &str, challenge: &str| {
        Problem::new(StatusCode::UNAUTHORIZED, code, detail)
            .header(WWW_AUTHENTICATE, format!("Bearer realm=\"lantern\"{challenge}"))
    };
    let Some(authorization) = headers.get(AUTHORIZATION) else {
        return Err(refused("token_missing", "this daemon asks for a token", "").hint(SHOW));
    };
    let shown = authorization.to_str().ok().and_then(bearer);
    let Some(token) = shown.and_then(|shown| tokens.find(shown)) else {
        let detail = "this token is not known here, or was revoked";
        return Err(refused("token_unknown", detail, ", error=\"invalid_token\"")
            .hint(format!("{SHOW}, with one that `lantern token create` made for this daemon")));
    };
    if token.allows(scope) {
        return Ok(());
    }
    let (name, scope, scopes) = (&token.name, scope.as_str(), token.scope_list());
    let detail = format!("this needs the scope {scope}, and the token {name:?} has {scopes}");
    let challenge = format!("Bearer realm=\"lantern\", error=\"insufficient_scope\", scope=\"{scope}\"");
    Err(Problem::new(StatusCode::FORBIDDEN, "scope_missing", detail)
        .hint(format!("use a token with the scope {scope}; `lantern token create NAME --scope {scope}` makes one"))
        .fact("scope", scope)
        .header(WWW_AUTHENTICATE, challenge))
}

/// The token in `Bearer TOKEN`.
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

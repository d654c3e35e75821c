//! Keeps web pages of other sites from using the daemon through a visitor's browser.
//!
//! A page can make its own host name point to this machine, so only names that cannot be pointed
//! elsewhere are answered; and a request that says it comes from another site is refused.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{HOST, HeaderValue, ORIGIN, X_CONTENT_TYPE_OPTIONS};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::app::App;
use super::problem::Problem;

pub(super) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match check(request.uri(), request.headers(), &app.options.allowed_hosts) {
        Ok(()) => {
            let mut response = next.run(request).await;
            // A browser takes an answer for what it says it is, whatever stands in an event.
            response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            response
        }
        Err(problem) => problem.into_response(),
    }
}

fn check(target: &Uri, headers: &HeaderMap, allowed: &[String]) -> Result<(), Problem> {
    // Browsers always name a host; a client that names none is none of them.
    let host = match (target.authority(), headers.get(HOST)) {
        (Some(authority), _) => Some(authority.clone()),
        (None, Some(host)) => {
            Some(Authority::try_from(host.as_bytes()).map_err(|_| host_refused(&format!("{host:?}")))?)
        }
        (None, None) => None,
    };
    let Some(host) = host else { return Ok(()) };
    if !is_allowed(host.host(), allowed) {
        return Err(host_refused(host.host()));
    }
    let says = |name, value| headers.get(name).is_some_and(|found| found == value);
    match headers.get(ORIGIN).map(|origin| origin.to_str().unwrap_or_default()) {
        Some(origin) if origin != format!("http://{host}") && origin != format!("https://{host}") => {
            Err(cross_origin(&format!("a page of {origin:?}")))
        }
        // Images and scripts of a page come without an origin; a person who follows a link may come from anywhere.
        None if says("sec-fetch-site", "cross-site") && !says("sec-fetch-mode", "navigate") => {
            Err(cross_origin("a page of another site"))
        }
        _ => Ok(()),
    }
}

fn cross_origin(from: &str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "cross_origin", format!("the request comes from {from}"))
        .hint("pages of other sites may not use this daemon; put both behind one host name")
}

fn is_allowed(host: &str, allowed: &[String]) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address.parse::<IpAddr>().is_ok()
        || allowed.iter().any(|name| name.eq_ignore_ascii_case(host))
}

fn host_refused(host: &str) -> Problem {
    Problem::new(
        StatusCode::MISDIRECTED_REQUEST,
        "host_not_allowed",
        format!("requests for the host {host} are not answered"),
    )
    .hint("use localhost or an IP address, or add the name to the allowed hosts in the configuration")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(host: &str, origin: Option<&str>) -> Result<(), &'static str> {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().expect("a header"));
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().expect("a header"));
        }
        check(&Uri::from_static("/x"), &headers, &["Lantern.example".to_owned()]).map_err(|problem| problem.code)
    }

    #[test]
    fn only_names_that_cannot_be_pointed_elsewhere_are_answered() {
        for host in ["localhost:7600", "LOCALHOST", "127.0.0.1:7600", "[::1]:7600", "10.0.0.7", "lantern.example:80"] {
            assert_eq!(checked(host, None), Ok(()), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:7600", "127.0.0.1.evil.example", "", "a b"] {
            assert_eq!(checked(host, None), Err("host_not_allowed"), "{host}");
        }
        assert!(check(&Uri::from_static("/x"), &HeaderMap::new(), &[]).is_ok());
        assert!(check(&Uri::from_static("http://evil.example/x"), &HeaderMap::new(), &[]).is_err());
    }

    #[test]
    fn pages_of_other_sites_are_refused() {
        assert_eq!(checked("localhost:7600", Some("http://localhost:7600")), Ok(()));
        for origin in ["https://evil.example", "http://localhost:3000", "null", ""] {
            assert_eq!(checked("localhost:7600", Some(origin)), Err("cross_origin"), "{origin}");
        }
        let fetched = |site, mode| {
            let headers = [("sec-fetch-site", site), ("sec-fetch-mode", mode)];
            let headers = headers.map(|(name, value)| (name.parse().expect("a name"), HeaderValue::from_static(value)));
            check(
                &Uri::from_static("/x"),
                &headers.into_iter().chain([(HOST, HeaderValue::from_static("localhost"))]).collect(),
                &[],
            )
            .is_ok()
        };
        assert!(!fetched("cross-site", "no-cors"), "an image of another site");
        assert!(fetched("cross-site", "navigate") && fetched("same-origin", "cors") && fetched("none", "navigate"));
    }
}

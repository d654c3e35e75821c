//! Keeps web pages of other sites from using the daemon through a visitor's browser.
//!
//! A page can make its own host name point to this machine, so only names that cannot be pointed
//! elsewhere are answered; and a request that says it comes from another site is refused.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::app::App;
use super::problem::Problem;

pub(super) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match check(request.uri(), request.headers(), &app.options.allowed_hosts) {
        Ok(()) => next.run(request).await,
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
    match headers.get(ORIGIN).map(|origin| origin.to_str().unwrap_or_default()) {
        Some(origin) if origin != format!("http://{host}") && origin != format!("https://{host}") => Err(Problem::new(
            StatusCode::FORBIDDEN,
            "cross_origin",
            format!("the request comes from a page of {origin:?}"),
        )
        .hint("pages of other sites may not use this daemon; put both behind one host name")),
        _ => Ok(()),
    }
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
    }
}

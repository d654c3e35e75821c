//! A request's body, read whole under the limits for size and time.

use std::sync::Arc;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use futures_util::StreamExt;

use super::app::App;
use super::problem::Problem;

#[derive(Debug)]
pub(super) struct Payload {
    pub bytes: Bytes,
    /// Media type in lower case, without its parameters; empty when the request names none.
    pub media_type: String,
}

impl Payload {
    /// Refuses a body that says it is something else. One that says nothing is taken.
    ///
    /// # Errors
    /// Names the expected media type.
    pub fn expect(&self, media_type: &'static str) -> Result<(), Problem> {
        if self.media_type.is_empty() || self.media_type == media_type {
            return Ok(());
        }
        Err(unsupported(&self.media_type, &format!("send the header Content-Type: {media_type}")))
    }
}

pub(super) fn unsupported(media_type: &str, hint: &str) -> Problem {
    let detail = format!("the content type {media_type:?} is not taken here");
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_content_type", detail).hint(hint)
}

impl FromRequest<Arc<App>> for Payload {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let media_type = request.headers().get(CONTENT_TYPE).map_or(Ok(""), |value| value.to_str());
        let media_type = media_type.map_err(|_| Problem::invalid("the header Content-Type is not readable text"))?;
        let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let limit = app.options.max_body_bytes;
        let seconds = app.options.body_timeout;
        match tokio::time::timeout(seconds, read(request.into_body(), limit)).await {
            Ok(bytes) => Ok(Self { bytes: bytes?, media_type }),
            Err(_) => {
                let detail = format!("the request's body did not arrive within {} ms", seconds.as_millis());
                Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", detail)
                    .hint("send less at once, or faster"))
            }
        }
    }
}

async fn read(body: Body, limit: usize) -> Result<Bytes, Problem> {
    // A body that announces its size is refused before any of it is read.
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large(limit));
    }
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| Problem::invalid(format!("the request's body broke off: {error}")))?;
        if bytes.len() + chunk.len() > limit {
            return Err(too_large(limit));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.into())
}

fn too_large(limit: usize) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body_too_large",
        format!("the request's body has more than {limit} bytes"),
    )
    .hint("send the events in several requests, or raise the limit in the configuration")
}

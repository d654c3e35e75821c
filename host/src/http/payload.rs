//! A request's body, read whole under the limits for size, time and memory.

use std::sync::Arc;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use futures_util::StreamExt;

use super::app::App;
use super::memory::Taken;
use super::problem::Problem;

#[derive(Debug)]
pub(super) struct Payload {
    pub bytes: Bytes,
    /// Media type in lower case, without its parameters; empty when the request names none.
    pub media_type: String,
    /// To be kept as long as the bytes, or what was made of them.
    pub memory: Taken,
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
        if let Some(encoding) = request.headers().get(CONTENT_ENCODING).filter(|encoding| *encoding != "identity") {
            let detail = format!("the request's body is encoded as {encoding:?}");
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_content_encoding", detail)
                .hint("send the body as it is, not compressed, without the header Content-Encoding")
                .header(ACCEPT_ENCODING, "identity"));
        }
        let media_type = request.headers().get(CONTENT_TYPE).map_or(Ok(""), |value| value.to_str());
        let media_type = media_type.map_err(|_| Problem::invalid("the header Content-Type is not readable text"))?;
        let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let limit = app.options.body_timeout;
        match tokio::time::timeout(limit, read(request.into_body(), app)).await {
            Ok(read) => read.map(|(bytes, memory)| Self { bytes, media_type, memory }),
            Err(_) => {
                let detail = format!("the request's body did not arrive within {} ms", limit.as_millis());
                Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", detail)
                    .hint("send less at once, or faster"))
            }
        }
    }
}

async fn read(body: Body, app: &App) -> Result<(Bytes, Taken), Problem> {
    let limit = app.options.max_body_bytes;
    // A body that announces its size is refused before any of it is read.
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large(limit));
    }
    let mut chunks = body.into_data_stream();
    let (mut bytes, mut memory) = (Vec::new(), Taken::default());
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| Problem::invalid(format!("the request's body broke off: {error}")))?;
        if bytes.len() + chunk.len() > limit {
            return Err(too_large(limit));
        }
        app.body_memory.take(chunk.len(), &mut memory)?;
        bytes.extend_from_slice(&chunk);
    }
    Ok((bytes.into(), memory))
}

fn too_large(limit: usize) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body_too_large",
        format!("the request's body has more than {limit} bytes"),
    )
    .hint("send the events in several requests, or raise the limit in the configuration")
}

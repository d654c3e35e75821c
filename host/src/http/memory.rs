//! How much memory the bodies of requests and answers may take, all of them together.

use std::sync::Arc;

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::app::App;
use super::problem::Problem;

/// Bodies of this size and less are not counted: connections are limited, too.
const SMALL: usize = 4096;

#[derive(Debug)]
pub(super) struct BodyMemory {
    free: Arc<Semaphore>,
    bytes: usize,
}

/// Memory that is free again when this is dropped.
#[derive(Debug, Default)]
pub(super) struct Taken(Option<OwnedSemaphorePermit>);

impl BodyMemory {
    pub fn new(bytes: usize) -> Self {
        let bytes = bytes.min(u32::MAX as usize);
        Self { free: Arc::new(Semaphore::new(bytes)), bytes }
    }

    /// Takes more for a body that has `taken` already.
    ///
    /// # Errors
    /// When there is no room now.
    pub fn take(&self, bytes: usize, taken: &mut Taken) -> Result<(), Problem> {
        // What is larger than all of it goes alone.
        let bytes = bytes.min(self.bytes) as u32;
        let more = Arc::clone(&self.free).try_acquire_many_owned(bytes).map_err(|_| self.used_up())?;
        match &mut taken.0 {
            Some(taken) => taken.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }

    fn used_up(&self) -> Problem {
        let detail = format!("the requests under way use up the {} bytes that there are for bodies", self.bytes);
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_busy", detail)
            .hint("send the request again a little later; nothing came of it")
            .header(RETRY_AFTER, "1")
    }
}

/// An answer that is still to be sent.
struct Kept {
    bytes: Bytes,
    _taken: Taken,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Counts an answer until its last byte is handed to the system.
pub(super) async fn count_answers(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let Some(size) = response.body().size_hint().exact().filter(|size| *size > SMALL as u64) else { return response };
    let mut taken = Taken::default();
    if let Err(problem) = app.body_memory.take(size as usize, &mut taken) {
        return problem.into_response();
    }
    let (parts, body) = response.into_parts();
    match to_bytes(body, usize::MAX).await {
        Ok(bytes) => Response::from_parts(parts, Body::from(Bytes::from_owner(Kept { bytes, _taken: taken }))),
        Err(error) => Problem::internal(error).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_refused_when_it_is_used_up_and_free_again_when_a_body_is_gone() {
        let memory = BodyMemory::new(100);
        let (mut first, mut second) = (Taken::default(), Taken::default());
        memory.take(40, &mut first).expect("room");
        memory.take(40, &mut first).expect("room");
        let problem = memory.take(21, &mut second).expect_err("there was room");
        assert_eq!((problem.status.as_u16(), problem.code), (503, "too_busy"));
        memory.take(20, &mut second).expect("room");
        drop(first);
        memory.take(80, &mut second).expect("room again");
    }

    #[test]
    fn a_body_that_is_larger_than_all_memory_goes_alone() {
        let memory = BodyMemory::new(100);
        let mut large = Taken::default();
        memory.take(1000, &mut large).expect("room");
        assert!(memory.take(1, &mut Taken::default()).is_err());
    }
}

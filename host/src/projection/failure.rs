//! What went wrong in a step, and what to do about it. Decided here and nowhere else.

use rusqlite::ErrorCode;

use crate::code::CallFailure;
use crate::event_store::EventStoreError;
use crate::projection::ApplyFailure;
use crate::read_model::ReadModelError;
use crate::sqlite;

/// Why a step did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Apply(#[from] ApplyFailure),
    #[error("the plugin does not start: {0}")]
    Start(ApplyFailure),
    #[error(transparent)]
    Log(#[from] EventStoreError),
    #[error(transparent)]
    ReadModel(#[from] ReadModelError),
    #[error("{0} dead letters are the limit; retry or discard them, or drop in a plugin that can apply them")]
    TooManyDeadLetters(u64),
}

/// What to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// It may pass: again from the checkpoint after a while, a bounded number of times.
    Retry,
    /// The disk is full: again from the checkpoint after a while, until there is room.
    Wait,
    /// One of the events did it: again from the checkpoint with fewer events at a time, and an
    /// event that fails alone is parked.
    Isolate,
    /// The read model's file cannot be trusted: it is deleted and filled again from the log.
    Rebuild,
    /// Nothing will change by itself: the projection stops and says why.
    Stop,
}

impl Failure {
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Apply(ApplyFailure::ReadModel(error)) | Self::ReadModel(error) => of_read_model(error),
            Self::Apply(_) => Disposition::Isolate,
            Self::Start(ApplyFailure::Call(CallFailure::Interrupted(_))) => Disposition::Retry,
            Self::Start(_) | Self::TooManyDeadLetters(_) => Disposition::Stop,
            Self::Log(error) if error.is_transient() => Disposition::Retry,
            Self::Log(_) => Disposition::Stop,
        }
    }
}

fn of_read_model(error: &ReadModelError) -> Disposition {
    match error {
        ReadModelError::Mismatch(_) | ReadModelError::TooLong => Disposition::Isolate,
        ReadModelError::Incompatible { .. } | ReadModelError::Damaged { .. } => Disposition::Rebuild,
        ReadModelError::Foreign { .. } => Disposition::Stop,
        ReadModelError::Thread(_) => Disposition::Retry,
        ReadModelError::Sqlite { source, .. } if sqlite::is_full(source) => Disposition::Wait,
        // What was written before it may be lost, and it would not be noticed.
        ReadModelError::Sqlite { source, .. } if sqlite::is_failed_sync(source) => Disposition::Rebuild,
        ReadModelError::Sqlite { source, .. } => match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Disposition::Rebuild,
            _ => Disposition::Retry,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_guest_did_is_isolated_and_what_the_disk_did_is_retried() {
        let guest = Failure::Apply(ApplyFailure::Call(CallFailure::Trapped("unreachable".into())));
        assert_eq!(guest.disposition(), Disposition::Isolate);
        let mismatch = ApplyFailure::ReadModel(ReadModelError::Mismatch("no such table".into()));
        assert_eq!(Failure::Apply(mismatch).disposition(), Disposition::Isolate);
        let disk = ReadModelError::Sqlite { path: "x.db".into(), source: rusqlite::Error::InvalidQuery };
        assert_eq!(Failure::ReadModel(disk).disposition(), Disposition::Retry);
        assert_eq!(
            Failure::Start(ApplyFailure::Call(CallFailure::Trapped("x".into()))).disposition(),
            Disposition::Stop
        );
    }
}

//! Waiting for something to become true. Nothing in the tests waits for time to pass: time only says when to give up.

use std::thread;
use std::time::{Duration, Instant};

/// Long enough for a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// Looks again and again until there is an answer.
///
/// # Panics
/// When there is none after a minute and a half.
#[track_caller]
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    eventually_ok(what, || look().ok_or_else(String::new))
}

/// As [`eventually`], for a look that says what it saw instead.
///
/// # Panics
/// When there is no answer after a minute and a half: with what was seen last.
#[track_caller]
pub fn eventually_ok<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look() {
            Ok(answer) => return answer,
            Err(_) if Instant::now() < deadline => thread::sleep(LOOK),
            Err(seen) => panic!("gave up after {} s: {what}; last seen: {seen}", PATIENCE.as_secs()),
        }
    }
}

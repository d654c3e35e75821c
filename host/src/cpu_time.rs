//! The clock of `lantern bench`: how long a thread has worked, not how long it took.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// CPU time that the present thread has used since it started.
pub fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

//! What a replay costs, by stage. Measured only when somebody asks.

use std::time::Duration;

use super::failure::Failure;
use super::runner::Runner;
use crate::cpu_time::thread_cpu_time;

/// CPU time of a projection's threads by what they did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageTimes {
    /// Reading, verifying and decoding events.
    pub read: Duration,
    /// In the plugin's calls, the rows that it looks up included.
    pub plugin: Duration,
    /// Writing rows and checkpoints.
    pub write: Duration,
    /// Events that were given to the plugin.
    pub events: u64,
}

/// Adds up the times once it is started; until then it looks at no clock.
#[derive(Debug, Default)]
pub(super) struct Stopwatch(Option<StageTimes>);

impl Stopwatch {
    pub fn start(&mut self) {
        self.0 = Some(StageTimes::default());
    }

    /// What was measured so far, without the reads.
    pub fn times(&self) -> StageTimes {
        self.0.unwrap_or_default()
    }

    /// Does something that belongs to a stage and to this thread.
    pub fn time<T>(&mut self, stage: fn(&mut StageTimes) -> &mut Duration, work: impl FnOnce() -> T) -> T {
        let Some(times) = &mut self.0 else { return work() };
        let before = thread_cpu_time();
        let done = work();
        *stage(times) += thread_cpu_time().saturating_sub(before);
        done
    }

    pub fn count(&mut self, events: usize) {
        if let Some(times) = &mut self.0 {
            times.events += events as u64;
        }
    }
}

impl Runner {
    /// From now on notes how much CPU time each stage takes.
    pub fn measure(&mut self) {
        self.stopwatch.start();
        self.log.measure();
    }

    /// What was measured; all 0 when nothing was.
    ///
    /// # Errors
    /// When the thread that reads ahead has ended.
    pub fn stage_times(&mut self) -> Result<StageTimes, Failure> {
        self.note_commit(true)?;
        let mut times = self.stopwatch.times();
        times.read = self.log.cpu_time()?;
        times.write += self.commits.cpu_time();
        Ok(times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_measured_until_somebody_asks() {
        let mut stopwatch = Stopwatch::default();
        let work = || (0..2_000_000_u64).fold(1_u64, |a, b| std::hint::black_box(a ^ b));
        stopwatch.time(|times| &mut times.plugin, work);
        stopwatch.count(3);
        assert_eq!(stopwatch.times(), StageTimes::default());
        stopwatch.start();
        assert_eq!(stopwatch.time(|times| &mut times.plugin, || 7), 7);
        stopwatch.time(|times| &mut times.write, work);
        stopwatch.count(3);
        let times = stopwatch.times();
        assert!(times.write > times.plugin && times.read.is_zero() && times.events == 3, "{times:?}");
    }
}

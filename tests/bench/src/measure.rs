//! Wall clock and processor time, and what many rounds say together.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// What one run took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    pub wall: Duration,
    /// Processor time of all threads of this process.
    pub cpu: Duration,
}

/// Runs something that nothing else runs beside.
pub fn measure<T>(run: impl FnOnce() -> T) -> (T, Cost) {
    let (wall, cpu) = (Instant::now(), cpu_time());
    let done = run();
    (done, Cost { wall: wall.elapsed(), cpu: cpu_time() - cpu })
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A figure over several rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    /// # Panics
    /// When there is no round.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let middle = figures.len() / 2;
        let median =
            if figures.len() % 2 == 1 { figures[middle] } else { (figures[middle - 1] + figures[middle]) / 2.0 };
        Self { median, least: figures[0], most: figures[figures.len() - 1] }
    }

    /// The value below which a part of the figures lies, for example 0.99.
    pub fn quantile(figures: &mut [f64], part: f64) -> f64 {
        figures.sort_by(f64::total_cmp);
        figures[((figures.len() as f64 * part) as usize).min(figures.len() - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_or_the_mean_of_the_two_middles() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Spread { median: 2.0, least: 1.0, most: 3.0 });
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).median, 2.5);
    }

    #[test]
    fn work_is_seen_on_both_clocks() {
        let ((), cost) = measure(|| {
            let started = cpu_time();
            while cpu_time() - started < Duration::from_millis(20) {}
        });
        assert!(cost.cpu >= Duration::from_millis(20) && cost.wall >= Duration::from_millis(10), "{cost:?}");
    }
}

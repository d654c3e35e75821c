//! Progress on standard error: a bar on a terminal, otherwise a plain line every few seconds.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Between two plain lines.
const LINES: Duration = Duration::from_secs(5);
/// The bar counts in thousandths, whatever is being counted.
const WHOLE: u64 = 1000;

/// Something that takes a while. Dropping it removes the bar.
pub struct Progress {
    bar: Option<ProgressBar>,
    last_line: Instant,
}

impl Progress {
    pub fn start() -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { bar: terminal.then(|| ProgressBar::new(WHOLE).with_style(spinner())), last_line: Instant::now() }
    }

    /// `fraction` is between 0 and 1, or `None` as long as nobody knows the end.
    pub fn show(&mut self, fraction: Option<f64>, message: &str) {
        match (&self.bar, fraction) {
            (Some(bar), Some(fraction)) => {
                bar.set_style(line());
                bar.set_position((fraction.clamp(0.0, 1.0) * WHOLE as f64) as u64);
                bar.set_message(message.to_owned());
            }
            (Some(bar), None) => {
                bar.set_message(message.to_owned());
                bar.tick();
            }
            (None, _) if self.last_line.elapsed() >= LINES => {
                self.last_line = Instant::now();
                let percent = fraction.map(|fraction| format!("{:.0}%  ", fraction * 100.0)).unwrap_or_default();
                eprintln!("{percent}{message}");
            }
            (None, _) => {}
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

// Both templates are constant and tested below: a wrong one would be replaced by indicatif's own.
fn line() -> ProgressStyle {
    ProgressStyle::with_template(LINE).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸ ")
}

fn spinner() -> ProgressStyle {
    ProgressStyle::with_template(SPINNER).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

const LINE: &str = "{bar:32.cyan/dim} {percent:>3}%  {wide_msg}";
const SPINNER: &str = "{spinner:.cyan} {wide_msg}";

/// How long the rest takes if it goes on like the part that is done.
pub fn remaining(elapsed: Duration, fraction: f64) -> Option<Duration> {
    (fraction > 0.0).then(|| elapsed.mul_f64(((1.0 - fraction) / fraction).clamp(0.0, 1e6)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_valid() {
        assert!(ProgressStyle::with_template(LINE).is_ok());
        assert!(ProgressStyle::with_template(SPINNER).is_ok());
    }

    #[test]
    fn the_rest_takes_as_long_as_the_part_that_is_done() {
        assert_eq!(remaining(Duration::from_secs(10), 0.5), Some(Duration::from_secs(10)));
        assert_eq!(remaining(Duration::from_secs(10), 1.0), Some(Duration::ZERO));
        assert_eq!(remaining(Duration::from_secs(10), 0.0), None);
    }
}

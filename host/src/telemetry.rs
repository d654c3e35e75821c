//! Logs, and the names of all metrics in one place.

use std::io::IsTerminal;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people; in colour on a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = TelemetryError;

    fn from_str(text: &str) -> Result<Self, TelemetryError> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(TelemetryError::Format(other.to_owned())),
        }
    }
}

/// Why logging could not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("log format {0:?} is not known; write text or json")]
    Format(String),
    #[error("log filter {filter:?} is not understood: {reason}; write for example info, or info,lantern::http=debug")]
    Filter { filter: String, reason: String },
    #[error("logging was started already")]
    Started,
}

/// Starts logging to standard error. `filter` is a level (`error`, `warn`, `info`, `debug`, `trace`)
/// or a list of `target=level`; the target of what plugins write is `plugin`.
///
/// # Errors
/// When the filter is not understood, or logging was started before.
pub fn start_logging(format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    let parsed = parse_filter(filter)?;
    let lines = tracing_subscriber::fmt().with_env_filter(parsed).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).finish().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init(),
    };
    started.map_err(|_| TelemetryError::Started)
}

fn parse_filter(filter: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::builder()
        .parse(filter)
        .map_err(|error| TelemetryError::Filter { filter: filter.to_owned(), reason: error.to_string() })
}

/// Names of the metrics at `/metrics`. Units stand in the names; positions and events have none.
pub mod metric {
    pub const BUILD: &str = "lantern_build_info";
    pub const HEAD: &str = "lantern_log_head_position";
    pub const APPENDED: &str = "lantern_events_appended_total";
    pub const COMMITS: &str = "lantern_log_commits_total";
    pub const CONFLICTS: &str = "lantern_append_conflicts_total";
    pub const BATCHES_READ: &str = "lantern_log_batches_read_total";
    pub const BATCHES_SHARED: &str = "lantern_log_batches_shared_total";
    pub const FOLDED: &str = "lantern_aggregate_events_folded_total";
    pub const SNAPSHOTS: &str = "lantern_snapshots";
    pub const SNAPSHOT_BYTES: &str = "lantern_snapshot_bytes";
    pub const SNAPSHOTS_TAKEN: &str = "lantern_snapshots_taken_total";
    pub const SNAPSHOTS_DROPPED: &str = "lantern_snapshots_dropped_total";
    pub const SNAPSHOTS_IGNORED: &str = "lantern_snapshots_ignored_total";
    pub const SEALED: &str = "lantern_log_sealed_events";
    pub const LOG_WRITABLE: &str = "lantern_log_writable";
    pub const POSITION: &str = "lantern_projection_position";
    pub const LAG: &str = "lantern_projection_lag_events";
    pub const RATE: &str = "lantern_projection_events_per_second";
    pub const DEAD_LETTERS: &str = "lantern_projection_dead_letters";
    pub const WAITING: &str = "lantern_projection_waiting_events";
    pub const REPLAY_LAG: &str = "lantern_projection_replay_lag_events";
    pub const STATE: &str = "lantern_projection_state";
    pub const PLUGINS: &str = "lantern_plugin_files";
    pub const HTTP_REQUESTS: &str = "lantern_http_requests_total";
    pub const HTTP_DURATION: &str = "lantern_http_request_duration_seconds";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_not_understood_says_what_to_write() {
        assert!(parse_filter("info,lantern::http=debug,plugin=trace").is_ok());
        let error = parse_filter("lantern=loud").expect_err("was taken").to_string();
        assert!(error.contains("\"lantern=loud\"") && error.contains("for example info"), "{error}");
    }

    #[test]
    fn log_formats_are_text_and_json() {
        assert_eq!("json".parse::<LogFormat>().ok(), Some(LogFormat::Json));
        assert!("xml".parse::<LogFormat>().is_err());
    }
}

//! `lantern serve`: turns settings into the daemon's options and runs it until it is asked to stop.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::output::{self, Format};
use crate::aggregate::{AggregateOptions, SnapshotOptions};
use crate::config::{self, Config};
use crate::conflict::ResolutionOptions;
use crate::daemon::{self, DaemonOptions};
use crate::event_store::{EventStoreOptions, ReadLimit};
use crate::http::{HttpOptions, TlsFiles};
use crate::plugin::{PluginOptions, WatchOptions};
use crate::projection::{RunnerOptions, WorkerOptions};
use crate::read_model::QueryOptions;
use crate::telemetry::{self, LogFormat};
use crate::upcast::UpcastLimits;

#[derive(Args)]
pub struct Serve {
    /// TOML file with settings; host/config.example.toml has all of them
    #[arg(long, env = "LANTERN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of the log and the read models [default: lantern-data]
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<String>,
    /// Folder that is watched for plugins [default: plugins in the data folder]
    #[arg(long, value_name = "FOLDER")]
    plugins_dir: Option<String>,
    /// Address and port; port 0 takes any free port [default: 127.0.0.1:7171]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Print the settings that would be used, and end
    #[arg(long)]
    print_config: bool,
}

impl Serve {
    /// Runs until SIGINT or SIGTERM. The address is printed once requests are taken.
    pub fn run(&self, format: Format) -> anyhow::Result<ExitCode> {
        let config = Config::load(self.config.as_deref(), self.flags())?;
        if self.print_config {
            match format {
                Format::Person => output::print(config.to_toml().trim_end())?,
                Format::Json => output::print(json!(config))?,
            }
            return Ok(ExitCode::SUCCESS);
        }
        let log_format = match config.log.format {
            config::LogFormat::Text => LogFormat::Text,
            config::LogFormat::Json => LogFormat::Json,
        };
        telemetry::start_logging(log_format, &config.log.filter)?;
        allow_files(config.http.max_connections as u64);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
        runtime.block_on(async {
            // Both before anything runs, so that no signal is missed.
            let stop = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
            let scheme = if config.http.tls_certificate.is_some() { "https" } else { "http" };
            let ready = move |address| {
                let address = format!("{scheme}://{address}");
                // Nobody needs to read it.
                let _ = match format {
                    Format::Person => output::print(format_args!("Lantern listens on {address}")),
                    Format::Json => output::print(json!({ "address": address })),
                };
            };
            daemon::run(options(config), ready, asked_to_stop(stop)).await
        })?;
        Ok(ExitCode::SUCCESS)
    }

    fn flags(&self) -> Vec<config::Flag> {
        let flags = [
            ("daemon.data_dir", &self.data_dir),
            ("daemon.plugins_dir", &self.plugins_dir),
            ("http.listen", &self.listen),
        ];
        flags.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
    }
}

/// Connections are open files. A process may raise how many it has, up to a limit that others set.
fn allow_files(connections: u64) {
    /// The log, read models, plugins and what is compiled.
    const OTHERS: u64 = 512;
    let allowed = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: allowed.maximum, ..allowed }) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    if let Some(files) = getrlimit(Resource::Nofile).current.filter(|files| *files < connections + OTHERS) {
        tracing::warn!(
            files,
            connections,
            "fewer files may be open than max_connections needs; raise the limit (ulimit -n)"
        );
    }
}

async fn asked_to_stop((mut interrupt, mut terminate): (Signal, Signal)) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("stopping; a second Ctrl-C ends Lantern at once, which loses nothing that was acknowledged");
    tokio::spawn(async move {
        interrupt.recv().await;
        std::process::exit(130);
    });
}

/// What each part of the daemon needs to know.
pub(super) fn options(config: Config) -> DaemonOptions {
    let (data_dir, plugins_dir, tokens_file) =
        (config.daemon.data_dir.clone(), config.plugins_dir(), config.tokens_file());
    DaemonOptions {
        plugins: plugins(&config.plugins, data_dir.join("compiled")),
        watch: WatchOptions {
            settle_ms: config.plugins.settle_ms,
            rescan_ms: config.plugins.rescan_ms,
            max_file_bytes: config.plugins.max_file_bytes,
        },
        data_dir,
        plugins_dir,
        listen: config.http.listen,
        tokens_file,
        asks_for_tokens: config.http.tokens_file.is_some(),
        open_without_tokens: config.http.open_without_tokens,
        event_store: events(&config.events),
        conflicts: conflicts(&config.conflicts),
        aggregates: aggregates(&config.aggregates, &config.snapshots),
        projections: projections(&config.projections),
        upcasting: UpcastLimits {
            max_events: config.plugins.max_upcast_events,
            max_bytes: config.plugins.max_upcast_bytes,
        },
        http: http(config.http, &config.queries),
    }
}

fn events(config: &config::Events) -> EventStoreOptions {
    EventStoreOptions {
        max_events_per_commit: config.max_events_per_commit,
        max_bytes_per_commit: config.max_bytes_per_commit,
        max_queued_appends: config.max_queued_appends,
        max_events_per_append: config.max_events_per_append,
        max_event_bytes: config.max_event_bytes,
        max_json_depth: config.max_json_depth,
        max_page_bytes: config.max_page_bytes,
        cache_mib: config.cache_mib,
        max_idle_readers: config.max_idle_readers,
        shared_scan_mib: config.shared_scan_mib,
        seal: config.seal,
        seal_after_events: config.seal_after_events,
        segment_events: config.segment_events,
        segment_bytes: config.segment_bytes,
        rare_percent: config.rare_percent,
        sealing_percent: config.sealing_percent,
    }
}

fn conflicts(config: &config::Conflicts) -> ResolutionOptions {
    ResolutionOptions {
        max_unseen_events: config.max_unseen_events,
        max_unseen_bytes: config.max_unseen_bytes,
        max_stored_bytes: config.max_stored_bytes,
        max_attempts: config.max_attempts,
        max_at_once: config.max_at_once,
    }
}

fn aggregates(config: &config::Aggregates, snapshots: &config::Snapshots) -> AggregateOptions {
    AggregateOptions {
        page: ReadLimit { events: config.batch_events, bytes: config.batch_bytes },
        max_state_bytes: config.max_state_bytes,
        load_time: Duration::from_millis(config.load_ms),
        max_at_once: config.max_at_once,
        command_attempts: config.command_attempts,
        snapshots: SnapshotOptions {
            every_events: snapshots.every_events,
            slower_than: Duration::from_millis(snapshots.slower_ms),
            older_than: Duration::from_secs(snapshots.older_seconds),
            max_per_stream: snapshots.max_per_stream,
            max_bytes: snapshots.max_mib << 20,
            max_queued: snapshots.max_queued,
        },
    }
}

fn projections(config: &config::Projections) -> WorkerOptions {
    WorkerOptions {
        runner: RunnerOptions {
            batch_events: config.batch_events,
            batch_bytes: config.batch_bytes,
            flush_rows: config.flush_rows,
            flush_bytes: config.flush_bytes,
            draft_bytes: (config.draft_mib as usize) << 20,
            flush_events: config.flush_events,
            checkpoint_events: config.checkpoint_events,
            unfinished_runs: config.unfinished_runs,
            max_dead_letters: config.max_dead_letters,
        },
        retries: config.retries,
        retry_wait: Duration::from_millis(config.retry_wait_ms),
        retry_wait_most: Duration::from_millis(config.max_retry_wait_ms),
        idle_wait: Duration::from_millis(config.idle_wait_ms),
    }
}

fn plugins(config: &config::Plugins, cache_dir: PathBuf) -> PluginOptions {
    PluginOptions {
        max_cached_artefacts: config.max_cached_artefacts,
        max_file_bytes: config.max_file_bytes,
        compile_seconds: config.compile_seconds,
        compile_memory_mib: config.compile_memory_mib,
        quick_compile_bytes: config.quick_compile_bytes,
        memory_mib: config.memory_mib,
        max_table_elements: config.max_table_elements,
        max_tables: config.max_tables,
        stack_kib: config.stack_kib,
        describe_seconds: config.describe_seconds,
        resolve_ms: config.resolve_ms,
        aggregate_ms: config.aggregate_ms,
        call_seconds: config.call_seconds,
        fuel_per_event: config.fuel_per_event,
        log_bytes_per_second: config.log_bytes_per_second,
        ..PluginOptions::new(cache_dir)
    }
}

fn http(config: config::Http, queries: &config::Queries) -> HttpOptions {
    HttpOptions {
        tls: config.tls_certificate.zip(config.tls_key).map(|(certificate, key)| TlsFiles { certificate, key }),
        max_connections: config.max_connections,
        max_subscriptions: config.max_subscriptions,
        header_timeout: Duration::from_secs(config.header_timeout_seconds),
        idle_timeout: Duration::from_secs(config.idle_timeout_seconds),
        body_timeout: Duration::from_secs(config.body_timeout_seconds),
        write_timeout: Duration::from_secs(config.write_timeout_seconds),
        shutdown_timeout: Duration::from_secs(config.shutdown_timeout_seconds),
        max_head_bytes: config.max_head_bytes,
        max_body_bytes: config.max_body_bytes,
        max_body_memory: config.max_body_memory_mib << 20,
        max_file_work: config.max_file_work,
        default_page_events: config.default_page_events,
        max_page_events: config.max_page_events,
        max_page_bytes: config.max_page_bytes,
        heartbeat: Duration::from_secs(config.heartbeat_seconds),
        default_wait: Duration::from_millis(config.default_wait_ms),
        max_wait: Duration::from_millis(config.max_wait_ms),
        allowed_hosts: config.allowed_hosts,
        query: QueryOptions {
            default_limit: queries.default_limit,
            max_limit: queries.max_limit,
            max_answer_bytes: queries.max_answer_bytes,
            timeout: Duration::from_millis(queries.timeout_ms),
            idle_connections: queries.idle_connections,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each module has defaults of its own, for those who use it as a library: both must agree.
    #[test]
    fn default_settings_are_the_default_options_of_every_module() {
        let options = options(Config::default());
        assert_eq!(format!("{:?}", options.event_store), format!("{:?}", EventStoreOptions::default()));
        assert_eq!(format!("{:?}", options.projections), format!("{:?}", WorkerOptions::default()));
        assert_eq!(options.conflicts, ResolutionOptions::default());
        assert_eq!(options.aggregates, AggregateOptions::default());
        assert_eq!(options.http, HttpOptions::default());
        assert_eq!(options.watch, WatchOptions::default());
        assert_eq!(options.upcasting, UpcastLimits::default());
        let plugins = PluginOptions::new(options.data_dir.join("compiled"));
        assert_eq!(format!("{:?}", options.plugins), format!("{plugins:?}"));
    }

    #[test]
    fn plugins_lie_in_the_data_folder_unless_a_folder_is_named() {
        let load = |flags| options(Config::load(None, flags).expect("valid"));
        assert_eq!(load(vec![("daemon.data_dir", "d".into())]).plugins_dir, PathBuf::from("d/plugins"));
        assert_eq!(load(vec![("daemon.plugins_dir", "p".into())]).plugins_dir, PathBuf::from("p"));
    }
}

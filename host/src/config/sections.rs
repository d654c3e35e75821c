//! The sections of the configuration file with their defaults. What each setting means is told where people read it:
//! in `config.example.toml`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// All settings of the daemon.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub daemon: Daemon,
    pub log: Log,
    pub http: Http,
    pub queries: Queries,
    pub events: Events,
    pub conflicts: Conflicts,
    pub aggregates: Aggregates,
    pub snapshots: Snapshots,
    pub projections: Projections,
    pub plugins: Plugins,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Daemon {
    pub data_dir: PathBuf,
    pub plugins_dir: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    pub filter: String,
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    pub listen: SocketAddr,
    pub open_without_tokens: bool,
    pub tokens_file: Option<PathBuf>,
    pub tls_certificate: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    pub allowed_hosts: Vec<String>,
    pub max_connections: usize,
    pub max_subscriptions: usize,
    pub max_file_work: usize,
    pub max_head_bytes: usize,
    pub max_body_bytes: usize,
    pub max_body_memory_mib: usize,
    pub header_timeout_seconds: u64,
    pub idle_timeout_seconds: u64,
    pub body_timeout_seconds: u64,
    pub write_timeout_seconds: u64,
    pub shutdown_timeout_seconds: u64,
    pub heartbeat_seconds: u64,
    pub default_page_events: usize,
    pub max_page_events: usize,
    pub max_page_bytes: usize,
    pub default_wait_ms: u64,
    pub max_wait_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Queries {
    pub default_limit: usize,
    pub max_limit: usize,
    pub max_answer_bytes: usize,
    pub timeout_ms: u64,
    pub idle_connections: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Events {
    pub max_events_per_commit: usize,
    pub max_bytes_per_commit: usize,
    pub max_queued_appends: usize,
    pub max_events_per_append: usize,
    pub max_event_bytes: usize,
    pub max_json_depth: usize,
    pub max_page_bytes: usize,
    pub cache_mib: u32,
    pub max_idle_readers: usize,
    pub shared_scan_mib: usize,
    pub seal: bool,
    pub seal_after_events: u64,
    pub segment_events: usize,
    pub segment_bytes: usize,
    pub rare_percent: u32,
    pub sealing_percent: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Conflicts {
    pub max_unseen_events: usize,
    pub max_unseen_bytes: usize,
    pub max_stored_bytes: usize,
    pub max_attempts: u32,
    pub max_at_once: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Aggregates {
    pub batch_events: usize,
    pub batch_bytes: usize,
    pub max_state_bytes: usize,
    pub load_ms: u64,
    pub max_at_once: usize,
    pub command_attempts: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Snapshots {
    pub every_events: u64,
    pub slower_ms: u64,
    pub older_seconds: u64,
    pub max_per_stream: usize,
    pub max_mib: u64,
    pub max_queued: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Projections {
    pub batch_events: usize,
    pub batch_bytes: usize,
    pub flush_events: usize,
    pub flush_rows: usize,
    pub flush_bytes: u64,
    pub draft_mib: u32,
    pub checkpoint_events: u64,
    pub idle_wait_ms: u64,
    pub retries: u32,
    pub retry_wait_ms: u64,
    pub max_retry_wait_ms: u64,
    pub unfinished_runs: u32,
    pub max_dead_letters: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Plugins {
    pub settle_ms: u64,
    pub rescan_ms: u64,
    pub max_file_bytes: u64,
    pub max_cached_artefacts: usize,
    pub compile_seconds: u64,
    pub compile_memory_mib: u64,
    pub quick_compile_bytes: u64,
    pub describe_seconds: u64,
    pub resolve_ms: u64,
    pub aggregate_ms: u64,
    pub call_seconds: u64,
    pub fuel_per_event: u64,
    pub max_upcast_events: usize,
    pub max_upcast_bytes: usize,
    pub memory_mib: usize,
    pub stack_kib: usize,
    pub max_tables: usize,
    pub max_table_elements: usize,
    pub log_bytes_per_second: usize,
}

impl Default for Daemon {
    fn default() -> Self {
        Self { data_dir: "lantern-data".into(), plugins_dir: None }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".into(), format: LogFormat::Text }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 7171).into(),
            open_without_tokens: false,
            tokens_file: None,
            tls_certificate: None,
            tls_key: None,
            allowed_hosts: Vec::new(),
            max_connections: 1024,
            max_subscriptions: 512,
            max_file_work: 32,
            max_head_bytes: 64 << 10,
            max_body_bytes: 16 << 20,
            max_body_memory_mib: 256,
            header_timeout_seconds: 10,
            idle_timeout_seconds: 60,
            body_timeout_seconds: 60,
            write_timeout_seconds: 60,
            shutdown_timeout_seconds: 10,
            heartbeat_seconds: 15,
            default_page_events: 100,
            max_page_events: 1000,
            max_page_bytes: 8 << 20,
            default_wait_ms: 5_000,
            max_wait_ms: 60_000,
        }
    }
}

impl Default for Queries {
    fn default() -> Self {
        Self {
            default_limit: 100,
            max_limit: 10_000,
            max_answer_bytes: 32 << 20,
            timeout_ms: 5_000,
            idle_connections: 8,
        }
    }
}

impl Default for Events {
    fn default() -> Self {
        Self {
            max_events_per_commit: 1000,
            max_bytes_per_commit: 16 << 20,
            max_queued_appends: 1024,
            max_events_per_append: 1000,
            max_event_bytes: 1 << 20,
            max_json_depth: 100,
            max_page_bytes: 16 << 20,
            cache_mib: 64,
            max_idle_readers: 4,
            shared_scan_mib: 64,
            seal: true,
            seal_after_events: 100_000,
            segment_events: 500,
            segment_bytes: 4 << 20,
            rare_percent: 5,
            sealing_percent: 25,
        }
    }
}

impl Default for Conflicts {
    fn default() -> Self {
        Self {
            max_unseen_events: 1000,
            max_unseen_bytes: 4 << 20,
            max_stored_bytes: 1 << 20,
            max_attempts: 8,
            max_at_once: 4,
        }
    }
}

impl Default for Aggregates {
    fn default() -> Self {
        Self {
            batch_events: 1000,
            batch_bytes: 4 << 20,
            max_state_bytes: 1 << 20,
            load_ms: 30_000,
            max_at_once: 16,
            command_attempts: 64,
        }
    }
}

impl Default for Snapshots {
    fn default() -> Self {
        Self {
            every_events: 100,
            slower_ms: 50,
            older_seconds: 24 * 60 * 60,
            max_per_stream: 2,
            max_mib: 256,
            max_queued: 64,
        }
    }
}

impl Default for Projections {
    fn default() -> Self {
        Self {
            batch_events: 4_000,
            batch_bytes: 4 << 20,
            flush_events: 1_000_000,
            flush_rows: 100_000,
            flush_bytes: 16 << 20,
            draft_mib: 256,
            checkpoint_events: 10_000,
            idle_wait_ms: 1_000,
            retries: 10,
            retry_wait_ms: 100,
            max_retry_wait_ms: 30_000,
            unfinished_runs: 3,
            max_dead_letters: 100_000,
        }
    }
}

impl Default for Plugins {
    fn default() -> Self {
        Self {
            settle_ms: 100,
            rescan_ms: 2000,
            max_file_bytes: 64 << 20,
            max_cached_artefacts: 64,
            compile_seconds: 60,
            compile_memory_mib: 2048,
            quick_compile_bytes: 1_000_000,
            describe_seconds: 5,
            resolve_ms: 1000,
            aggregate_ms: 1000,
            call_seconds: 10,
            fuel_per_event: 1_000_000_000,
            max_upcast_events: 100,
            max_upcast_bytes: 2 << 20,
            memory_mib: 128,
            stack_kib: 512,
            max_tables: 64,
            max_table_elements: 1_000_000,
            log_bytes_per_second: 64 << 10,
        }
    }
}

//! The composition root: builds everything, starts it, and stops it in order.

use std::fs::{File, TryLockError};
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::access::Access;
use crate::aggregate::{AggregateOptions, Aggregates};
use crate::catalog::Plugins;
use crate::code::Registry;
use crate::conflict::{ConflictResolution, ResolutionOptions};
use crate::event_store::{EventStore, EventStoreOptions};
use crate::http::{AppState, HttpOptions, Server};
use crate::plugin::{PluginHost, PluginOptions, WatchOptions};
use crate::projection::{Projections, WorkerOptions};
use crate::upcast::{UpcastLimits, UpcasterRegistry};

mod components;
mod kinds;
mod optimiser;
mod plugins;

use components::{Components, CopiedCode};
use kinds::Kinds;
use plugins::PluginLoop;

/// Everything a daemon needs to know.
#[derive(Clone, Debug)]
pub struct DaemonOptions {
    /// Where the log, the read models and the catalog live. One daemon at a time.
    pub data_dir: PathBuf,
    /// The folder that is watched for plugins.
    pub plugins_dir: PathBuf,
    /// Port 0 takes any free port.
    pub listen: SocketAddr,
    /// The names and hashes of tokens. Once it is there, every request needs one.
    pub tokens_file: PathBuf,
    /// Whether it has to be there.
    pub asks_for_tokens: bool,
    /// Whether other machines may be let in without tokens.
    pub open_without_tokens: bool,
    pub event_store: EventStoreOptions,
    pub conflicts: ResolutionOptions,
    pub aggregates: AggregateOptions,
    pub projections: WorkerOptions,
    pub plugins: PluginOptions,
    pub upcasting: UpcastLimits,
    pub watch: WatchOptions,
    pub http: HttpOptions,
}

/// Runs a daemon until `shutdown` is done. `ready` is called with the address once it accepts
/// requests.
///
/// # Errors
/// When something it needs cannot be had; nothing is left running then.
pub async fn run(
    options: DaemonOptions,
    ready: impl FnOnce(SocketAddr),
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let access = access(&options)?;
    for folder in [&options.data_dir, &options.plugins_dir] {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    let _lock = lock(&options.data_dir).await?;
    let events = EventStore::open(&options.data_dir.join("events.db"), options.event_store)?;
    let host = PluginHost::new(options.plugins)?;
    let components = Arc::new(Components::open(&options.data_dir.join("components"))?);
    let load_code = Box::new(CopiedCode { components: Arc::clone(&components), host: host.clone() });
    let projections = Projections::open(events.clone(), &options.data_dir, options.projections, load_code)?;
    components.keep_only(&projections.digests())?;

    let listener = tokio::net::TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("cannot listen on {}", options.listen))?;
    let address = listener.local_addr()?;
    let plugins = Plugins::default();
    let kinds = Kinds {
        projections: projections.clone(),
        conflict_resolvers: Registry::default(),
        upcasters: UpcasterRegistry::new(options.upcasting),
        aggregates: Registry::default(),
    };
    let conflicts = ConflictResolution::new(events.clone(), kinds.conflict_resolvers.clone(), options.conflicts);
    let aggregates = Aggregates::open(
        &options.data_dir.join("snapshots.db"),
        (events.clone(), conflicts.clone()),
        (kinds.aggregates.clone(), kinds.upcasters.clone()),
        options.aggregates,
    )?;
    let state = AppState {
        access,
        events: events.clone(),
        conflicts,
        aggregates: aggregates.clone(),
        projections: projections.clone(),
        plugins: plugins.clone(),
    };
    let server = Server::new(state, options.http)?;
    let plugin_loop = PluginLoop { host, components, kinds, plugins };
    let plugin_loop = plugin_loop.start(&options.plugins_dir, options.watch)?;

    ready(address);
    let served = server.serve(listener, shutdown).await;

    tokio::task::spawn_blocking(move || {
        plugin_loop.stop();
        projections.shut_down();
        aggregates.close();
        events.close();
    })
    .await?;
    Ok(served?)
}

/// Who may use the API.
///
/// # Errors
/// When the tokens cannot be read, or other machines would be let in without one.
fn access(options: &DaemonOptions) -> anyhow::Result<Access> {
    let access = Access::open(&options.tokens_file, options.asks_for_tokens)?;
    let (listen, is_open) = (options.listen, access.tokens().is_ok_and(|tokens| tokens.is_none()));
    if is_open && !options.open_without_tokens && !listen.ip().is_loopback() {
        bail!(
            "{listen} can be reached from other machines, and there are no tokens in {}: whoever reaches it could do everything; \
             make a token with `lantern token create NAME --scope admin`, or listen on 127.0.0.1, \
             or set open_without_tokens in [http] when something in front decides who may ask",
            options.tokens_file.display()
        );
    }
    if options.http.tls.is_none() && !listen.ip().is_loopback() {
        tracing::warn!(%listen, "tokens and events cross the network unencrypted; set tls_certificate and tls_key");
    }
    Ok(access)
}

/// How often, and how long apart, to try for the data folder: a daemon that was killed a moment ago
/// may not be quite gone.
const LOCK_TRIES: u32 = 20;
const LOCK_WAIT: Duration = Duration::from_millis(100);

/// Takes the data folder for this process. The lock goes with the process, however it ends.
async fn lock(data_dir: &Path) -> anyhow::Result<File> {
    for _ in 0..LOCK_TRIES {
        match try_lock(data_dir)? {
            Some(file) => return Ok(file),
            None => tokio::time::sleep(LOCK_WAIT).await,
        }
    }
    bail!(
        "another lantern serves {}; stop it first, or give this one a folder of its own with --data-dir",
        data_dir.display()
    )
}

/// Takes the data folder for as long as the file is kept, unless another process has it.
///
/// # Errors
/// When the folder cannot be locked at all.
pub fn try_lock(data_dir: &Path) -> anyhow::Result<Option<File>> {
    let path = data_dir.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}; is it on a network drive?", path.display()))
        }
    }
}

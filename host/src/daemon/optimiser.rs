//! Large plugins begin with quickly compiled code. Here the same code is optimised, one plugin at a time, and takes the
//! place of the quick one between two steps.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::components::Components;
use super::kinds::Kinds;
use crate::code::ComponentDigest;
use crate::plugin::PluginHost;

/// Plugins that wait to be optimised. One more goes on with its quick code until the daemon starts again.
const MAX_WAITING: usize = 64;

/// The running thread.
pub(super) struct Optimiser {
    host: PluginHost,
    queue: SyncSender<ComponentDigest>,
    thread: JoinHandle<()>,
}

impl Optimiser {
    /// # Errors
    /// When the machine gives no thread.
    pub fn start(host: &PluginHost, components: &Arc<Components>, kinds: &Kinds) -> std::io::Result<Self> {
        let (queue, waiting) = sync_channel(MAX_WAITING);
        let work = Work { host: host.clone(), components: Arc::clone(components), kinds: kinds.clone() };
        let thread = std::thread::Builder::new().name("optimiser".into()).spawn(move || work.run(&waiting))?;
        Ok(Self { host: host.clone(), queue, thread })
    }

    /// The component must have been saved.
    pub fn add(&self, digest: &ComponentDigest) {
        if self.queue.try_send(digest.clone()).is_err() {
            tracing::warn!(digest = digest.short(), "too many plugins wait to be optimised; this one stays as it is");
        }
    }

    /// Gives up what is being compiled.
    pub fn stop(self) {
        self.host.close();
        drop(self.queue);
        if self.thread.join().is_err() {
            tracing::error!("the optimiser had panicked");
        }
    }
}

struct Work {
    host: PluginHost,
    components: Arc<Components>,
    kinds: Kinds,
}

impl Work {
    fn run(&self, waiting: &Receiver<ComponentDigest>) {
        while let Ok(digest) = waiting.recv() {
            // Another file may have come since.
            if !self.kinds.runs(&digest) {
                continue;
            }
            match self.components.optimise(&self.host, &digest) {
                Ok(code) => {
                    let name = code.name().clone();
                    self.kinds.renew(code);
                    tracing::info!(%name, digest = digest.short(), "plugin optimised");
                }
                Err(reason) => {
                    tracing::warn!(digest = digest.short(), %reason, "plugin not optimised; it goes on as it is");
                }
            }
        }
    }
}

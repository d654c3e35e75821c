//! Watches the plugin folder. The kernel says when to look, and a look now and then makes up for
//! what it does not say; `folder.rs` decides what a look means.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::error::PluginError;
use super::folder::{Folder, FolderChange, Now};

/// How a plugin folder is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchOptions {
    /// A file is read when its size and times have not changed for this long.
    pub settle_ms: u64,
    /// How often to look even if nothing seems to have happened.
    pub rescan_ms: u64,
    /// The largest plugin file.
    pub max_file_bytes: u64,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self { settle_ms: 100, rescan_ms: 2000, max_file_bytes: 64 << 20 }
    }
}

/// A folder that is being watched, until this value is dropped.
#[derive(Debug)]
pub struct FolderWatcher {
    // None of its own accord: without it only the rescans notice changes.
    _kernel: Option<RecommendedWatcher>,
    wake: SyncSender<()>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Reports every change of the folder, which is made if it is missing. The files that are there
/// already come first. `on_change` is called on a thread of its own; while it runs nothing else is
/// reported.
///
/// # Errors
/// When the folder cannot be made or listed.
pub fn watch(
    dir: &Path,
    options: WatchOptions,
    on_change: impl FnMut(FolderChange) + Send + 'static,
) -> Result<FolderWatcher, PluginError> {
    let unusable = |error: std::io::Error| PluginError::Start {
        reason: format!("the plugin folder {} is not usable: {error}", dir.display()),
    };
    std::fs::create_dir_all(dir).and_then(|()| std::fs::read_dir(dir)).map_err(unusable)?;
    // One wake-up that waits is enough, however much has happened.
    let (wake, woken) = sync_channel(1);
    let kernel = kernel_watcher([(dir, RecursiveMode::NonRecursive)], wake.clone())
        .inspect_err(|error| {
            tracing::warn!(%error, "changes of the plugin folder are only noticed every {} ms", options.rescan_ms);
        })
        .ok();
    let stop = Arc::new(AtomicBool::new(false));
    let looking = Looking {
        folder: Folder::new(dir, Duration::from_millis(options.settle_ms), options.max_file_bytes),
        path: dir.into(),
        rescan: Duration::from_millis(options.rescan_ms),
        woken,
        stop: Arc::clone(&stop),
    };
    let thread = std::thread::Builder::new().name("plugin-folder".into());
    let thread = thread.spawn(move || looking.run(on_change)).map_err(unusable)?;
    Ok(FolderWatcher { _kernel: kernel, wake, stop, thread: Some(thread) })
}

/// Sends a wake-up whenever something is written in one of the places.
pub(super) fn kernel_watcher<'a>(
    places: impl IntoIterator<Item = (&'a Path, RecursiveMode)>,
    wake: SyncSender<()>,
) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let wrote = EventKind::Access(AccessKind::Close(AccessMode::Write));
        // Our own looks are accesses too.
        if event.is_ok_and(|event| event.kind.is_access() && event.kind != wrote) {
            return;
        }
        // Full: the wake-up is on its way.
        let _ = wake.try_send(());
    })?;
    places.into_iter().try_for_each(|(place, mode)| watcher.watch(place, mode))?;
    Ok(watcher)
}

/// The thread's part.
struct Looking {
    folder: Folder,
    path: PathBuf,
    rescan: Duration,
    woken: Receiver<()>,
    stop: Arc<AtomicBool>,
}

impl Looking {
    fn run(mut self, mut on_change: impl FnMut(FolderChange)) {
        let mut trouble = None;
        while !self.stop.load(Ordering::Acquire) {
            let wait = match self.folder.look(Now::read()) {
                Ok(seen) => {
                    trouble = None;
                    for change in seen.changes {
                        if self.stop.load(Ordering::Acquire) {
                            return;
                        }
                        on_change(change);
                    }
                    seen.look_again.map_or(self.rescan, |again| again.min(self.rescan))
                }
                Err(error) => {
                    let error = Some(error.to_string());
                    if error != trouble {
                        tracing::warn!(folder = %self.path.display(), ?error, "the plugin folder cannot be listed");
                    }
                    trouble = error;
                    self.rescan
                }
            };
            // A wake-up and the end of the time mean the same: look.
            let _ = self.woken.recv_timeout(wait);
        }
    }
}

impl Drop for FolderWatcher {
    /// Waits until `on_change` is not running any more.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let _ = self.wake.try_send(());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the watcher of the plugin folder had panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::sync::mpsc::{RecvTimeoutError, channel};

    const PATIENCE: Duration = Duration::from_secs(20);

    fn options() -> WatchOptions {
        // So long that only the kernel can be in time.
        WatchOptions { settle_ms: 20, rescan_ms: 600_000, ..WatchOptions::default() }
    }

    #[test]
    fn files_that_come_change_and_go_are_reported_in_order() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("made/by/the/watcher");
        let (sender, changes) = channel();
        let watcher = watch(&path, options(), move |change| sender.send(change).expect("received")).expect("watched");
        let file = path.join("a.wasm");
        for content in ["one", "two"] {
            fs::write(path.join("part"), content).expect("written");
            fs::rename(path.join("part"), &file).expect("renamed");
            let expected = FolderChange::Present { file: "a.wasm".into(), bytes: content.into() };
            assert_eq!(changes.recv_timeout(PATIENCE), Ok(expected));
        }
        fs::remove_file(&file).expect("removed");
        assert_eq!(changes.recv_timeout(PATIENCE), Ok(FolderChange::Removed { file: "a.wasm".into() }));
        drop(watcher);
        assert_eq!(changes.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected), "nothing runs on");
    }

    #[test]
    fn what_the_kernel_does_not_tell_is_found_by_looking_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let (sender, changes) = channel();
        let options = WatchOptions { settle_ms: 1, rescan_ms: 5, ..options() };
        let mut watcher =
            watch(dir.path(), options, move |change| sender.send(change).expect("received")).expect("watched");
        watcher._kernel = None;
        // At once: a look between the making of a file and its writing would find it empty.
        fs::write(dir.path().join("part"), "one").expect("written");
        fs::rename(dir.path().join("part"), dir.path().join("a.wasm")).expect("renamed");
        let expected = FolderChange::Present { file: "a.wasm".into(), bytes: "one".into() };
        assert_eq!(changes.recv_timeout(PATIENCE), Ok(expected));
    }
}

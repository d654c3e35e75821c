//! Watches the sources of a plugin while its author works on them. The kernel says when to look, and a look now and
//! then makes up for what it does not say; what counts is whether the content of a file is another.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, SystemTime};

use notify::{RecommendedWatcher, RecursiveMode};

use super::watch::kernel_watcher;

/// The most files that are watched.
const MAX_FILES: usize = 10_000;
/// Larger files count as changed when their size or time is another.
const MAX_HASHED_BYTES: u64 = 4 << 20;
/// Sources are read when they have not changed for this long: an editor may write in several steps.
const SETTLE: Duration = Duration::from_millis(20);
/// How often to look even if nothing seems to have happened.
const RESCAN: Duration = Duration::from_secs(2);

/// Source files of one plugin, as they were last seen.
pub struct SourceWatcher {
    paths: Vec<PathBuf>,
    seen: Files,
    // None of its own accord: without it only the rescans notice changes.
    _kernel: Option<RecommendedWatcher>,
    wake: SyncSender<()>,
    woken: Receiver<()>,
}

/// What was saved, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Files that are new, changed or gone.
    pub files: Vec<PathBuf>,
    /// The newest time of these files; none when all are gone.
    pub at: Option<SystemTime>,
}

/// A file's content, and when it was written.
type Files = BTreeMap<PathBuf, (u64, Option<SystemTime>)>;

impl SourceWatcher {
    /// Watches files and folders, with all that is in these. They need not exist yet.
    pub fn new(paths: Vec<PathBuf>) -> Self {
        // One wake-up that waits is enough, however much has happened.
        let (wake, woken) = sync_channel(1);
        let places = paths.iter().map(|path| {
            // An editor may put another file in the place of a file, which only its folder notices.
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if path.is_dir() {
                (path.as_path(), RecursiveMode::Recursive)
            } else {
                (parent, RecursiveMode::NonRecursive)
            }
        });
        let kernel = kernel_watcher(places, wake.clone())
            .inspect_err(|error| tracing::warn!(%error, "saved files are only noticed every {} s", RESCAN.as_secs()));
        let seen = look(&paths);
        Self { paths, seen, _kernel: kernel.ok(), wake, woken }
    }

    /// Makes [`Self::wait`] ask whether to go on.
    pub fn waker(&self) -> impl Fn() + Send + 'static {
        let wake = self.wake.clone();
        move || {
            // Full: the wake-up is on its way.
            let _ = wake.try_send(());
        }
    }

    /// Waits until files are other than when it last answered, and none is being written any more. None when it is
    /// to `stop`.
    pub fn wait(&mut self, stop: impl Fn() -> bool) -> Option<Saved> {
        loop {
            if stop() {
                return None;
            }
            let mut files = look(&self.paths);
            if files != self.seen {
                while !stop() && self.woken.recv_timeout(SETTLE).is_ok() {}
                files = look(&self.paths);
                let before = std::mem::replace(&mut self.seen, files);
                let saved = Saved::between(&before, &self.seen);
                if !saved.files.is_empty() {
                    return Some(saved);
                }
            }
            // A wake-up and the end of the time mean the same: look.
            let _ = self.woken.recv_timeout(RESCAN);
        }
    }
}

impl Saved {
    fn between(before: &Files, after: &Files) -> Self {
        let content = |files: &Files, path: &PathBuf| files.get(path).map(|(content, _)| *content);
        let new = after.keys().filter(|path| content(before, path) != content(after, path));
        let gone = before.keys().filter(|path| !after.contains_key(*path));
        let files: Vec<PathBuf> = new.chain(gone).cloned().collect();
        let at = files.iter().filter_map(|path| after.get(path)?.1).max();
        Self { files, at }
    }
}

fn look(paths: &[PathBuf]) -> Files {
    let mut files = Files::new();
    paths.iter().for_each(|path| look_at(path, &mut files));
    files
}

fn look_at(path: &Path, files: &mut Files) {
    // Gone since the listing: the next look will tell.
    let Ok(metadata) = fs::metadata(path) else { return };
    if metadata.is_dir() {
        let entries = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
        entries.filter(|path| !is_scratch(path)).for_each(|path| look_at(&path, files));
    } else if metadata.is_file() && files.len() < MAX_FILES {
        let time = metadata.modified().ok();
        let mut content = DefaultHasher::new();
        match fs::read(path) {
            Ok(bytes) if metadata.len() <= MAX_HASHED_BYTES => bytes.hash(&mut content),
            _ => (metadata.len(), time).hash(&mut content),
        }
        files.insert(path.to_owned(), (content.finish(), time));
    }
}

/// What editors put beside a file while they work on it.
fn is_scratch(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with('.') || name.ends_with('~') || name == "4913"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was saved, as names in the folder.
    fn names(watcher: &mut SourceWatcher) -> Vec<String> {
        let saved = watcher.wait(|| false).expect("goes on");
        assert_eq!(saved.at.is_none(), saved.files.iter().all(|file| !file.exists()));
        saved.files.iter().map(|file| file.file_name().expect("a name").to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_save_is_noticed_however_the_editor_writes_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let write = |name: &str, text: &str| fs::write(path(name), text).expect("written");
        fs::create_dir_all(path("src/deep")).expect("made");
        write("build.toml", "1");
        write("src/deep/a.rs", "1");
        let mut watcher = SourceWatcher::new(vec![path("src"), path("build.toml")]);
        write("src/deep/a.rs", "2");
        assert_eq!(names(&mut watcher), ["a.rs"]);
        write("src/new", "2");
        fs::rename(path("src/new"), path("build.toml")).expect("renamed");
        assert_eq!(names(&mut watcher), ["build.toml"]);
        fs::remove_file(path("src/deep/a.rs")).expect("removed");
        assert_eq!(names(&mut watcher), ["a.rs"]);
    }

    #[test]
    fn what_changes_nothing_is_no_save() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("a.rs"), "1").expect("written");
        let mut watcher = SourceWatcher::new(vec![folder.path().to_owned()]);
        fs::write(path("a.rs"), "1").expect("written again, with a new time");
        fs::write(path(".a.rs.swp"), "1").expect("written");
        fs::write(path("b.rs"), "1").expect("written");
        assert_eq!(names(&mut watcher), ["b.rs"], "the first is as it was");
        let wake = watcher.waker();
        wake();
        assert_eq!(watcher.wait(|| true), None);
    }
}

//! What is in the plugin folder, as far as one look at a time tells: which files came, changed or
//! went. Waits for nothing and runs nothing; time is a parameter.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::OFlags;

use super::component;
use crate::code::ComponentDigest;

/// The longest file name that is taken.
const MAX_NAME_BYTES: usize = 128;

/// Something that happened in the plugin folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FolderChange {
    /// A whole file, with content that was not reported before under this name.
    Present { file: String, bytes: Vec<u8> },
    /// A file that was reported is not there any more.
    Removed { file: String },
    /// A file that is not taken, whatever is in it, and what to do about it.
    Refused { file: String, reason: String, hint: &'static str },
}

/// The files of the folder as they were last seen.
pub(super) struct Folder {
    path: PathBuf,
    settle: Duration,
    max_file_bytes: u64,
    files: BTreeMap<String, Known>,
    looked_before: bool,
}

/// When a look is taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub instant: Instant,
    /// Tells how old a file is that was there before the first look.
    pub wall_clock: SystemTime,
}

/// What one look found.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub changes: Vec<FolderChange>,
    /// After this time a file may have settled, so another look is worth it.
    pub look_again: Option<Duration>,
}

/// What is known of one name.
struct Known {
    look: Look,
    /// Since when it looks like that; none when it was dealt with.
    unsettled: Option<Instant>,
    reported: Option<Reported>,
}

/// What one can see of a name without opening it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Look {
    File { inode: u64, bytes: u64, modified: (i64, i64), changed: (i64, i64) },
    Refused(Refusal),
    Gone,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Reported {
    Present(ComponentDigest),
    Refused(Refusal),
}

/// Why a name is not taken, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Refusal {
    reason: String,
    hint: &'static str,
}

impl Now {
    pub fn read() -> Self {
        Self { instant: Instant::now(), wall_clock: SystemTime::now() }
    }
}

impl Folder {
    /// A file counts as whole when it has looked the same for `settle`.
    pub fn new(path: &Path, settle: Duration, max_file_bytes: u64) -> Self {
        Self { path: path.into(), settle, max_file_bytes, files: BTreeMap::new(), looked_before: false }
    }

    /// Looks at every name once.
    ///
    /// # Errors
    /// When the folder cannot be listed. Nothing is forgotten then.
    pub fn look(&mut self, now: Now) -> io::Result<Seen> {
        let mut looks = self.list(now)?;
        for (name, known) in &mut self.files {
            let (look, _) = looks.remove(name).unwrap_or((Look::Gone, now.instant));
            if look != known.look {
                known.look = look;
                known.unsettled = Some(now.instant);
            }
        }
        for (name, (look, since)) in looks {
            self.files.insert(name, Known { look, unsettled: Some(since), reported: None });
        }
        self.looked_before = true;
        Ok(self.settle(now.instant))
    }

    /// Every name that ends in `.wasm`, how it looks, and since when, as far as that is known.
    fn list(&self, now: Now) -> io::Result<BTreeMap<String, (Look, Instant)>> {
        let mut looks = BTreeMap::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            if Path::new(&name).extension() != Some(OsStr::new("wasm")) || name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let name = name.to_string_lossy().into_owned();
            // Gone since the listing: the next look will tell.
            let Ok(metadata) = fs::symlink_metadata(entry.path()) else { continue };
            let look = match check_name(&name) {
                Ok(()) => self.look_of(&metadata),
                Err(refusal) => Look::Refused(refusal),
            };
            let age = metadata.modified().ok().and_then(|modified| now.wall_clock.duration_since(modified).ok());
            let old = !self.looked_before && age.is_some_and(|age| age >= self.settle);
            let since = if old { now.instant.checked_sub(self.settle) } else { None };
            looks.insert(name, (look, since.unwrap_or(now.instant)));
        }
        Ok(looks)
    }

    fn look_of(&self, metadata: &Metadata) -> Look {
        let kind = metadata.file_type();
        let refused = |reason, hint| Look::Refused(Refusal { reason, hint });
        if kind.is_symlink() {
            return refused("it is a symbolic link".into(), "copy the file itself into the folder");
        }
        if !kind.is_file() {
            return refused("it is no regular file".into(), "take it away: plugins are files");
        }
        if metadata.len() > self.max_file_bytes {
            let (bytes, limit) = (metadata.len(), self.max_file_bytes);
            let hint = "strip debug information, or raise max_file_bytes";
            return refused(format!("it has {bytes} bytes; max_file_bytes is {limit}"), hint);
        }
        Look::File {
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Deals with every name that has not changed for long enough.
    fn settle(&mut self, now: Instant) -> Seen {
        let mut seen = Seen::default();
        for name in self.files.keys().cloned().collect::<Vec<_>>() {
            let Some(since) = self.files[&name].unsettled else { continue };
            let left = self.settle.saturating_sub(now.saturating_duration_since(since));
            if left.is_zero() {
                seen.changes.extend(self.deal_with(&name, now));
            }
            let unsettled = self.files.get(&name).is_some_and(|known| known.unsettled.is_some());
            if unsettled {
                let left = if left.is_zero() { self.settle } else { left };
                seen.look_again = Some(seen.look_again.map_or(left, |sooner| sooner.min(left)));
            }
        }
        // What projections read comes before them, also what the place of a broken file held.
        seen.changes.sort_by_cached_key(
            |change| !matches!(change, FolderChange::Present { bytes, .. } if component::may_upcast(bytes)),
        );
        seen
    }

    fn deal_with(&mut self, name: &str, now: Instant) -> Option<FolderChange> {
        let file = || name.to_owned();
        let look = self.files.get(name)?.look.clone();
        let (report, change) = match look {
            Look::Gone => {
                let gone = self.files.remove(name)?;
                return gone.reported.map(|_| FolderChange::Removed { file: file() });
            }
            Look::Refused(refusal) => refusal.report(file()),
            Look::File { .. } => match self.read(name, &look) {
                Ok(Some(bytes)) => {
                    (Reported::Present(component::digest(&bytes)), FolderChange::Present { file: file(), bytes })
                }
                Ok(None) => {
                    self.files.get_mut(name)?.unsettled = Some(now);
                    return None;
                }
                Err(error) => {
                    let hint = "let the user that Lantern runs as read it";
                    Refusal { reason: format!("it cannot be read: {error}"), hint }.report(file())
                }
            },
        };
        let known = self.files.get_mut(name)?;
        known.unsettled = None;
        let news = known.reported.as_ref() != Some(&report);
        known.reported = Some(report);
        news.then_some(change)
    }

    /// The whole file, read once, or none if it changed meanwhile.
    fn read(&self, name: &str, look: &Look) -> io::Result<Option<Vec<u8>>> {
        // Neither follows a link that was put there just now, nor waits for a pipe's other end.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
        let file = match OpenOptions::new().read(true).custom_flags(flags as i32).open(self.path.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let still = |file: &File| io::Result::Ok(self.look_of(&file.metadata()?) == *look);
        if !still(&file)? {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        (&file).take(self.max_file_bytes).read_to_end(&mut bytes)?;
        Ok(still(&file)?.then_some(bytes))
    }
}

impl Refusal {
    fn report(self, file: String) -> (Reported, FolderChange) {
        let Self { reason, hint } = self.clone();
        (Reported::Refused(self), FolderChange::Refused { file, reason, hint })
    }
}

fn check_name(name: &str) -> Result<(), Refusal> {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if name.len() <= MAX_NAME_BYTES && name.bytes().all(sound) {
        return Ok(());
    }
    let hint = "use up to 128 letters, digits, dots, dashes and underscores, and .wasm at the end";
    Err(Refusal { reason: "its name is not allowed".into(), hint })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const SETTLE: Duration = Duration::from_millis(100);

    struct Fixture {
        dir: tempfile::TempDir,
        folder: Folder,
        now: Now,
    }

    impl Fixture {
        /// A folder that was empty at the first look.
        fn new() -> Self {
            let dir = tempfile::tempdir().expect("a folder");
            let folder = Folder::new(dir.path(), SETTLE, 1000);
            let mut fixture = Self { dir, folder, now: Now::read() };
            assert_eq!(fixture.after(Duration::ZERO), []);
            fixture
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn write(&self, name: &str, content: &str) {
            fs::write(self.path(name), content).expect("written");
        }

        /// What a look finds when `time` has passed.
        fn after(&mut self, time: Duration) -> Vec<FolderChange> {
            self.now.instant += time;
            self.folder.look(self.now).expect("listed").changes
        }

        /// What is found when everything has settled.
        fn settled(&mut self) -> Vec<FolderChange> {
            assert_eq!(self.after(Duration::ZERO), []);
            self.after(SETTLE)
        }
    }

    fn present(file: &str, content: &str) -> FolderChange {
        FolderChange::Present { file: file.into(), bytes: content.into() }
    }

    #[test]
    fn a_file_that_grows_is_reported_when_it_stops() {
        let mut fixture = Fixture::new();
        for content in ["a", "ab", "abc"] {
            fixture.write("a.wasm", content);
            assert_eq!(fixture.after(SETTLE), []);
        }
        assert_eq!(fixture.folder.look(fixture.now).expect("listed").look_again, Some(SETTLE));
        assert_eq!(fixture.after(SETTLE), [present("a.wasm", "abc")]);
        assert_eq!(fixture.after(SETTLE), []);
    }

    #[test]
    fn the_same_content_is_reported_once_and_new_content_again() {
        let mut fixture = Fixture::new();
        fixture.write("a.wasm", "one");
        assert_eq!(fixture.settled(), [present("a.wasm", "one")]);
        fs::rename(fixture.path("a.wasm"), fixture.path("b")).expect("renamed");
        fixture.write("a.wasm", "one");
        assert_eq!(fixture.settled(), []);
        fixture.write("b", "two");
        fs::rename(fixture.path("b"), fixture.path("a.wasm")).expect("renamed");
        assert_eq!(fixture.settled(), [present("a.wasm", "two")]);
    }

    #[test]
    fn a_file_that_goes_is_reported_and_one_that_comes_back_at_once_is_not() {
        let mut fixture = Fixture::new();
        fixture.write("a.wasm", "one");
        fixture.settled();
        fs::remove_file(fixture.path("a.wasm")).expect("removed");
        assert_eq!(fixture.after(Duration::ZERO), []);
        fixture.write("a.wasm", "one");
        assert_eq!(fixture.settled(), []);
        fs::remove_file(fixture.path("a.wasm")).expect("removed");
        assert_eq!(fixture.settled(), [FolderChange::Removed { file: "a.wasm".into() }]);
        assert_eq!(fixture.after(SETTLE), []);
    }

    #[test]
    fn what_is_no_regular_file_of_a_sound_name_is_refused_with_a_reason() {
        let mut fixture = Fixture::new();
        fixture.write("secret", "secret");
        symlink(fixture.path("secret"), fixture.path("link.wasm")).expect("linked");
        fs::create_dir(fixture.path("folder.wasm")).expect("made");
        rustix::fs::mkfifoat(rustix::fs::CWD, fixture.path("pipe.wasm"), 0o600.into()).expect("made");
        fixture.write("a b.wasm", "x");
        fixture.write("large.wasm", &"x".repeat(1001));
        let refused: Vec<_> = fixture
            .settled()
            .into_iter()
            .map(|change| match change {
                FolderChange::Refused { file, reason, .. } => format!("{file}: {reason}"),
                other => panic!("{other:?}"),
            })
            .collect();
        let expected = [
            ("a b.wasm", "name"),
            ("folder.wasm", "no regular file"),
            ("large.wasm", "1001 bytes"),
            ("link.wasm", "symbolic link"),
            ("pipe.wasm", "no regular file"),
        ];
        assert_eq!(refused.len(), expected.len());
        for (refused, (file, reason)) in refused.iter().zip(expected) {
            assert!(refused.starts_with(file) && refused.contains(reason), "{refused}");
        }
        assert_eq!(fixture.after(SETTLE), [], "reported once");
    }

    #[test]
    fn other_and_hidden_files_are_nobodys_business() {
        let mut fixture = Fixture::new();
        fixture.write("readme.md", "x");
        fixture.write(".a.wasm", "x");
        fixture.write("a.wasm.part", "x");
        assert_eq!(fixture.settled(), []);
    }

    #[test]
    fn old_files_are_reported_at_the_first_look() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("a.wasm"), "one").expect("written");
        let mut folder = Folder::new(dir.path(), SETTLE, 1000);
        let now = Now { instant: Instant::now(), wall_clock: SystemTime::now() + SETTLE };
        assert_eq!(folder.look(now).expect("listed").changes, [present("a.wasm", "one")]);
    }

    #[test]
    fn a_folder_that_cannot_be_listed_makes_nothing_go() {
        let mut fixture = Fixture::new();
        fixture.write("a.wasm", "one");
        fixture.settled();
        let away = fixture.dir.path().with_extension("away");
        fs::rename(fixture.dir.path(), &away).expect("renamed");
        assert!(fixture.folder.look(fixture.now).is_err());
        fs::rename(&away, fixture.dir.path()).expect("renamed");
        assert_eq!(fixture.after(SETTLE), []);
    }
}

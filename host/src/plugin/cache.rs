//! Compiled code on disk. Wasmtime runs whatever it is given, so nothing comes out of here whose
//! checksum is not right; what is not right is as good as not there.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use super::component::hex;
use crate::crash_point;

const CHECKSUM_BYTES: usize = 32;

/// A folder of compiled code that belongs to the daemon alone.
pub(super) struct Cache {
    dir: PathBuf,
    max_artefacts: usize,
}

/// What compiled code is found by: everything that it depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key(String);

impl Key {
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Self(hex(&hash.finalize()))
    }

    /// A key as another process wrote it down. Any text will do: it only goes into the checksum.
    pub fn from_text(text: &str) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Covers the key too, so that a file under another file's name is not taken.
    fn checksum(&self, artefact: &[u8]) -> [u8; CHECKSUM_BYTES] {
        Sha256::new().chain_update(&self.0).chain_update(artefact).finalize().into()
    }
}

/// Writes compiled code in the form that the cache takes.
pub(super) fn write_artefact(key: &Key, artefact: &[u8], to: &mut impl Write) -> io::Result<()> {
    to.write_all(&key.checksum(artefact))?;
    to.write_all(artefact)?;
    to.flush()
}

/// Compiled code whose checksum was right.
pub(super) struct Artefact(Vec<u8>);

impl Artefact {
    pub fn bytes(&self) -> &[u8] {
        &self.0[CHECKSUM_BYTES..]
    }
}

impl Cache {
    /// # Errors
    /// When the folder cannot be made, or is not the daemon's own.
    pub fn open(dir: &Path, max_artefacts: usize) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        fs::set_permissions(dir, Permissions::from_mode(0o700))?;
        Ok(Self { dir: dir.into(), max_artefacts })
    }

    /// What was stored under the key, if it is whole.
    pub fn read(&self, key: &Key) -> Option<Artefact> {
        read_whole(&self.path(key), key)
    }

    pub fn path(&self, key: &Key) -> PathBuf {
        self.dir.join(format!("{}.cwasm", key.0))
    }

    /// Deletes what was stored under the key. What cannot be deleted is pruned some time.
    pub fn remove(&self, key: &Key) {
        let _ = fs::remove_file(self.path(key));
    }

    /// A new file to compile into, for [`Self::store`].
    pub fn draft(&self, key: &Key) -> io::Result<Draft> {
        static DRAFTS: AtomicU64 = AtomicU64::new(0);
        let number = DRAFTS.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.join(format!("{}.{}.{number}.draft", key.0, std::process::id()));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Draft { path, file })
    }

    /// Takes a finished draft and returns what is in it.
    ///
    /// # Errors
    /// When it is not whole, or cannot be renamed.
    pub fn store(&self, key: &Key, draft: Draft) -> io::Result<Artefact> {
        let artefact = read_whole(&draft.path, key)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the compiler left no whole file behind"))?;
        crash_point::reached("artefact-written");
        fs::rename(&draft.path, self.path(key))?;
        crash_point::reached("artefact-stored");
        self.prune();
        Ok(artefact)
    }

    /// Deletes the oldest files beyond the limit. What cannot be deleted now is next time.
    fn prune(&self) {
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        let mut files: Vec<(SystemTime, PathBuf)> = entries
            .flatten()
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        files.sort();
        for (_, path) in files.iter().take(files.len().saturating_sub(self.max_artefacts)) {
            let _ = fs::remove_file(path);
        }
    }
}

fn read_whole(path: &Path, key: &Key) -> Option<Artefact> {
    let bytes = fs::read(path).ok()?;
    let (checksum, artefact) = bytes.split_at_checked(CHECKSUM_BYTES)?;
    (key.checksum(artefact) == checksum).then_some(Artefact(bytes))
}

/// A file that is being written. Deleted again unless it is stored.
pub(super) struct Draft {
    path: PathBuf,
    pub file: File,
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a rename there is nothing left under this name.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(cache: &Cache, key: &Key, artefact: &[u8]) {
        let mut draft = cache.draft(key).expect("a new file");
        write_artefact(key, artefact, &mut draft.file).expect("written");
        cache.store(key, draft).expect("stored");
    }

    #[test]
    fn a_file_with_one_wrong_bit_or_another_name_is_not_there() {
        let dir = tempfile::tempdir().expect("a folder");
        let cache = Cache::open(&dir.path().join("cache"), 8).expect("opened");
        let (key, other) = (Key::of(&[b"a", b"b"]), Key::of(&[b"ab", b""]));
        assert_ne!(key, other);
        store(&cache, &key, b"code");
        assert_eq!(cache.read(&key).expect("whole").bytes(), b"code");
        fs::copy(cache.path(&key), cache.path(&other)).expect("copied");
        assert!(cache.read(&other).is_none());
        let whole = fs::read(cache.path(&key)).expect("read");
        for index in 0..whole.len() {
            let mut torn = whole.clone();
            torn[index] ^= 1;
            fs::write(cache.path(&key), torn).expect("written");
            assert!(cache.read(&key).is_none(), "byte {index}");
            fs::write(cache.path(&key), &whole[..index]).expect("written");
            assert!(cache.read(&key).is_none(), "{index} bytes");
        }
    }

    #[test]
    fn the_folder_is_closed_to_others_and_holds_no_more_than_its_limit() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("deep/cache");
        let cache = Cache::open(&path, 2).expect("opened");
        for number in 0..4_u8 {
            store(&cache, &Key::of(&[&[number]]), b"code");
        }
        let metadata = fs::metadata(&path).expect("is there");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(&path).expect("a folder").count(), 2);
        assert!(cache.read(&Key::of(&[&[3]])).is_some());
    }
}

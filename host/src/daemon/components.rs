//! A copy of every plugin file that a build runs, by digest: the active build needs its code when
//! the file in the plugin folder has already been replaced.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::code::ComponentDigest;
use crate::crash_point;
use crate::plugin::{LoadedCode, LoadedPlugin, PluginError, PluginHost, digest};

/// The folder of copies.
pub(super) struct Components {
    folder: PathBuf,
    /// Below it: for each file in the plugin folder the digest of the code it last provided.
    serving: PathBuf,
}

impl Components {
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let serving = folder.join("serving");
        std::fs::create_dir_all(&serving).with_context(|| format!("cannot make the folder {}", serving.display()))?;
        Ok(Self { folder: folder.to_owned(), serving })
    }

    /// Keeps a copy; it is whole or not there.
    pub fn save(&self, digest: &ComponentDigest, bytes: &[u8]) -> std::io::Result<()> {
        let path = self.path(digest);
        if path.exists() {
            return Ok(());
        }
        let partial = path.with_extension("partial");
        std::fs::write(&partial, bytes)?;
        crash_point::reached("component-written");
        std::fs::rename(partial, path)?;
        crash_point::reached("component-saved");
        Ok(())
    }

    pub fn load(&self, host: &PluginHost, wanted: &ComponentDigest) -> Result<LoadedCode, String> {
        self.load_with(wanted, |name, bytes| host.load(name, bytes))
    }

    /// As [`Self::load`], optimised, when nothing else has to be compiled.
    pub fn optimise(&self, host: &PluginHost, wanted: &ComponentDigest) -> Result<LoadedCode, String> {
        self.load_with(wanted, |name, bytes| host.optimise(name, bytes))
    }

    fn load_with(
        &self,
        wanted: &ComponentDigest,
        load: impl FnOnce(&str, &[u8]) -> Result<LoadedPlugin, PluginError>,
    ) -> Result<LoadedCode, String> {
        let path = self.path(wanted);
        let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        if digest(&bytes) != *wanted {
            return Err(format!("{} is damaged", path.display()));
        }
        let name = format!("{}.wasm", wanted.short());
        load(&name, &bytes).map(|plugin| plugin.code).map_err(|error| error.to_string())
    }

    /// Keeps in mind, across restarts, which code a file in the plugin folder last provided. For projections the
    /// catalog does.
    pub fn remember(&self, file: &str, digest: &ComponentDigest) -> std::io::Result<()> {
        let partial = self.serving.join(".partial");
        std::fs::write(&partial, &digest.0)?;
        std::fs::rename(partial, self.serving.join(file))
    }

    pub fn forget(&self, file: &str) {
        // Where nothing is remembered there is nothing to forget; what stays by mistake is only kept longer.
        let _ = std::fs::remove_file(self.serving.join(file));
    }

    pub fn remembered(&self, file: &str) -> Option<ComponentDigest> {
        std::fs::read_to_string(self.serving.join(file)).ok().map(ComponentDigest)
    }

    /// The files of which something is remembered, in order.
    pub fn remembered_files(&self) -> std::io::Result<Vec<String>> {
        let names = std::fs::read_dir(&self.serving)?.map(|file| Ok(file?.file_name().to_string_lossy().into_owned()));
        let mut names = names.collect::<std::io::Result<Vec<String>>>()?;
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        Ok(names)
    }

    /// Deletes the copies that no build runs and no file last provided.
    pub fn keep_only(&self, used: &HashSet<ComponentDigest>) -> std::io::Result<()> {
        let mut used: HashSet<_> = used.iter().map(|digest| self.path(digest)).collect();
        for file in self.remembered_files()? {
            used.extend(self.remembered(&file).map(|digest| self.path(&digest)));
        }
        used.insert(self.serving.clone());
        for file in std::fs::read_dir(&self.folder)? {
            let path = file?.path();
            if !used.contains(&path) {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn path(&self, digest: &ComponentDigest) -> PathBuf {
        self.folder.join(format!("{digest}.wasm"))
    }
}

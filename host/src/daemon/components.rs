//! A copy of every plugin file that a build runs, by digest: the active build needs its code when
//! the file in the plugin folder has already been replaced.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;

use crate::crash_point;
use crate::plugin::{LoadedPlugin, PluginError, PluginHost, digest};
use crate::projection::{ComponentDigest, ProjectionCode};

/// The folder of copies.
pub(super) struct Components {
    folder: PathBuf,
}

impl Components {
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        Ok(Self { folder: folder.to_owned() })
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

    pub fn load(&self, host: &PluginHost, wanted: &ComponentDigest) -> Result<Arc<dyn ProjectionCode>, String> {
        self.load_with(wanted, |name, bytes| host.load(name, bytes))
    }

    /// As [`Self::load`], optimised, when nothing else has to be compiled.
    pub fn optimise(&self, host: &PluginHost, wanted: &ComponentDigest) -> Result<Arc<dyn ProjectionCode>, String> {
        self.load_with(wanted, |name, bytes| host.optimise(name, bytes))
    }

    fn load_with(
        &self,
        wanted: &ComponentDigest,
        load: impl FnOnce(&str, &[u8]) -> Result<LoadedPlugin, PluginError>,
    ) -> Result<Arc<dyn ProjectionCode>, String> {
        let path = self.path(wanted);
        let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        if digest(&bytes) != *wanted {
            return Err(format!("{} is damaged", path.display()));
        }
        let name = format!("{}.wasm", wanted.short());
        let LoadedPlugin::Projection { code, .. } = load(&name, &bytes).map_err(|error| error.to_string())?;
        Ok(code)
    }

    /// Deletes the copies that no build runs.
    pub fn keep_only(&self, used: &HashSet<ComponentDigest>) -> std::io::Result<()> {
        let used: HashSet<_> = used.iter().map(|digest| self.path(digest)).collect();
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

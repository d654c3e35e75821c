//! Builds the standard library for [`TARGET`] once per compiler and keeps it in the user's cache.
//!
//! Debian's compiler comes with its sources but without this target. Only this build needs `RUSTC_BOOTSTRAP`; plugins
//! then compile with the stable language.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::toolchain::{DebianRust, TARGET, cache_folder};
use crate::{run, say};

/// An empty package: building it builds the standard library it depends on.
const MANIFEST: &str = "[package]\nname = \"nothing\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
                        [lib]\npath = \"nothing.rs\"\n\n[profile.release]\npanic = \"abort\"\n\n[workspace]\n";

/// The folder to give to `rustc --sysroot`. Several processes may ask at once: one builds, the others wait for it.
pub fn build_once(debian: &DebianRust) -> anyhow::Result<PathBuf> {
    let cache = cache_folder()?;
    let sysroot = cache.join(format!("{TARGET}-{}", fingerprint(&debian.version)));
    if sysroot.is_dir() {
        return Ok(sysroot);
    }
    fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
    let lock = fs::File::create(cache.join("building.lock")).context("cannot lock the cache")?;
    lock.lock().context("cannot lock the cache")?;
    if !sysroot.is_dir() {
        say(&format!(
            "building the standard library of {} for {TARGET}, once (about a minute)",
            debian.short_version()
        ));
        build(debian, &cache.join("building"), &sysroot)?;
    }
    Ok(sysroot)
}

fn build(debian: &DebianRust, scratch: &Path, sysroot: &Path) -> anyhow::Result<()> {
    if scratch.exists() {
        fs::remove_dir_all(scratch).with_context(|| format!("cannot empty {}", scratch.display()))?;
    }
    fs::create_dir_all(scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
    fs::write(scratch.join("Cargo.toml"), MANIFEST)?;
    fs::write(scratch.join("nothing.rs"), "#![no_std]\n")?;
    let mut cargo = debian.cargo();
    cargo.current_dir(scratch).args([
        "build",
        "--quiet",
        "--release",
        "-Zbuild-std=std,panic_abort",
        "--target",
        TARGET,
    ]);
    cargo.arg("--target-dir").arg(scratch.join("target"));
    // Plugins are linked with `lto`, which needs the bitcode of the standard library.
    cargo.env("RUSTC_BOOTSTRAP", "1").env("CARGO_ENCODED_RUSTFLAGS", "-Cembed-bitcode=yes");
    run(&mut cargo).with_context(|| format!("the standard library for {TARGET} did not build"))?;

    let finished = scratch.join("sysroot");
    let libraries = finished.join("lib/rustlib").join(TARGET).join("lib");
    fs::create_dir_all(&libraries)?;
    let copied = copy_libraries(&scratch.join("target").join(TARGET).join("release/deps"), &libraries)?;
    if copied == 0 {
        bail!("the standard library for {TARGET} was built, but its files were not found in {}", scratch.display());
    }
    fs::rename(&finished, sysroot).with_context(|| format!("cannot make {}", sysroot.display()))?;
    fs::remove_dir_all(scratch).with_context(|| format!("cannot remove {}", scratch.display()))
}

fn copy_libraries(from: &Path, to: &Path) -> anyhow::Result<usize> {
    let mut copied = 0;
    for entry in fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if name.starts_with("lib") && name.ends_with(".rlib") && !name.starts_with("libnothing") {
            fs::copy(&path, to.join(name)).with_context(|| format!("cannot copy {}", path.display()))?;
            copied += 1;
        }
    }
    Ok(copied)
}

/// The release for people and a hash of the whole version line for machines: `1.96.0-93f0b1c2`.
fn fingerprint(version: &str) -> String {
    let mut hasher = DefaultHasher::new();
    version.hash(&mut hasher);
    format!("{}-{:08x}", version.split(' ').nth(1).unwrap_or("unknown"), hasher.finish() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_build_of_the_same_release_has_another_fingerprint() {
        let (one, two) = (fingerprint("rustc 1.96.0 (ac68faa20)"), fingerprint("rustc 1.96.0 (000000000)"));
        assert!(one.starts_with("1.96.0-") && two.starts_with("1.96.0-"));
        assert_ne!(one, two);
        assert_eq!(one, fingerprint("rustc 1.96.0 (ac68faa20)"));
    }
}

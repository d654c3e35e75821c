//! Which compiler can make a plugin: looks for one that is here, prepares one where it can, else says what to run.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::{run, say, shown, standard_library};

/// What plugins compile to: plain WebAssembly without WASI.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Debian's packages with a recent Rust, its sources and a WebAssembly linker.
const DEBIAN_PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld-22"];

/// The oldest Rust the plugin SDK compiles with.
const OLDEST_RUST: (u32, u32) = (1, 87);

/// A compiler that can make plugins.
pub enum Toolchain {
    /// `cargo` as found in the path; its compiler has the target's standard library.
    Current,
    /// Debian's compiler, which comes without the target's standard library, and one that was built for it.
    Debian(DebianRust, PathBuf),
}

impl Toolchain {
    /// Finds a compiler, in this order: the current one; Debian's, with a standard library built once into the user's
    /// cache; the current one after `rustup target add`; Debian's after `apt-get install` where that is allowed.
    ///
    /// # Errors
    /// When none of these works: the message says what to run by hand.
    pub fn find() -> anyhow::Result<Self> {
        if current_has_target() {
            return Ok(Self::Current);
        }
        if let Some(debian) = DebianRust::find() {
            return Self::debian(debian);
        }
        if rustup_adds_target() && current_has_target() {
            return Ok(Self::Current);
        }
        if apt_installs_rust()
            && let Some(debian) = DebianRust::find()
        {
            return Self::debian(debian);
        }
        bail!(
            "no Rust compiler here can make WebAssembly. Run one of these, then try again:\n  \
             rustup target add {TARGET}\n  sudo apt-get install {}",
            DEBIAN_PACKAGES.join(" ")
        )
    }

    fn debian(debian: DebianRust) -> anyhow::Result<Self> {
        let sysroot = standard_library::build_once(&debian)?;
        Ok(Self::Debian(debian, sysroot))
    }

    /// `cargo`, ready to build for [`TARGET`].
    pub fn cargo(&self) -> Command {
        match self {
            Self::Current => clean_command("cargo"),
            Self::Debian(debian, sysroot) => {
                let mut cargo = debian.cargo();
                cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", &debian.linker);
                cargo.env("CARGO_ENCODED_RUSTFLAGS", format!("--sysroot\u{1f}{}", sysroot.display()));
                cargo
            }
        }
    }

    /// For the line that says what is being done: `rustc 1.95.0`.
    pub fn label(&self) -> String {
        match self {
            Self::Current => short(&output(clean_command("rustc").arg("--version")).unwrap_or_default()),
            Self::Debian(debian, _) => format!("Debian's {}", debian.short_version()),
        }
    }
}

/// Debian's compiler in `/usr/bin`, with the sources of the standard library and a WebAssembly linker.
pub struct DebianRust {
    /// The first line of `rustc --version`.
    pub version: String,
    linker: PathBuf,
}

impl DebianRust {
    fn find() -> Option<Self> {
        let version = output(clean_command("/usr/bin/rustc").arg("--version"))?;
        if release(&version)? < OLDEST_RUST || !Path::new("/usr/bin/cargo").is_file() {
            return None;
        }
        let sysroot = output(clean_command("/usr/bin/rustc").args(["--print", "sysroot"]))?;
        let library_source = Path::new(&sysroot).join("lib/rustlib/src/rust/library");
        let linker = newest_linker(Path::new("/usr/bin"))?;
        library_source.join("std/Cargo.toml").is_file().then_some(Self { version, linker })
    }

    /// `rustc 1.96.0`
    pub fn short_version(&self) -> String {
        short(&self.version)
    }

    /// Debian's `cargo` with Debian's compiler, whatever the path says: a rustup shim there would take another one.
    pub fn cargo(&self) -> Command {
        let mut cargo = clean_command("/usr/bin/cargo");
        cargo.env("RUSTC", "/usr/bin/rustc").env("PATH", "/usr/bin:/bin").env_remove("RUSTUP_TOOLCHAIN");
        cargo
    }
}

/// A command that sees nothing of the `cargo` or `rustc` this program may have been started by, except what the user
/// has set about the network, registries and the terminal.
pub fn clean_command(program: &str) -> Command {
    const KEPT: [&str; 6] =
        ["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR", "CARGO_SOURCE_", "CARGO_TERM_"];
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let foreign = name == "CARGO"
            || ["CARGO_", "RUSTC", "RUSTFLAGS", "RUSTDOC", "LD_LIBRARY_PATH"]
                .iter()
                .any(|start| name.starts_with(start));
        if foreign && !KEPT.iter().any(|start| name.starts_with(start)) {
            command.env_remove(&*name);
        }
    }
    command
}

fn current_has_target() -> bool {
    let Some(folder) = output(clean_command("rustc").args(["--print", "target-libdir", "--target", TARGET])) else {
        return false;
    };
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with("libstd-") && name.ends_with(".rlib")
    })
}

fn rustup_adds_target() -> bool {
    if output(clean_command("rustup").arg("--version")).is_none() {
        return false;
    }
    attempt(clean_command("rustup").args(["target", "add", TARGET]))
}

fn apt_installs_rust() -> bool {
    let root = output(Command::new("id").arg("-u")).is_some_and(|id| id == "0");
    if !root || !Path::new("/usr/bin/apt-get").is_file() {
        return false;
    }
    let mut install = Command::new("apt-get");
    install.args(["install", "--yes", "--quiet", "--no-install-recommends"]).args(DEBIAN_PACKAGES);
    install.env("DEBIAN_FRONTEND", "noninteractive").stdout(std::process::Stdio::null());
    attempt(&mut install) || (attempt(Command::new("apt-get").args(["update", "--quiet"])) && attempt(&mut install))
}

/// Runs a command that may well fail, since there are other ways.
fn attempt(command: &mut Command) -> bool {
    say(&format!("running {}", shown(command)));
    match run(command) {
        Ok(()) => true,
        Err(error) => {
            say(&format!("{error:#}"));
            false
        }
    }
}

/// The newest `wasm-ld` of a folder: `wasm-ld-22` before `wasm-ld-19` before `wasm-ld`.
fn newest_linker(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    let number = |path: &Path| {
        let rest = path.file_name()?.to_str()?.strip_prefix("wasm-ld")?.to_owned();
        if rest.is_empty() { Some(0) } else { rest.strip_prefix('-')?.parse::<u32>().ok() }
    };
    entries.flatten().filter_map(|entry| Some((number(&entry.path())?, entry.path()))).max().map(|(_, path)| path)
}

/// `rustc 1.96.0` of `rustc 1.96.0 (ac68faa20 2026-05-25)`.
fn short(version: &str) -> String {
    version.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// The release of `rustc 1.96.0 (ac68faa20 2026-05-25)` is 1.96.
fn release(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.strip_prefix("rustc ")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The trimmed standard output of a command that worked.
fn output(command: &mut Command) -> Option<String> {
    let output = command.stderr(std::process::Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// Where prepared toolchains are kept: `$XDG_CACHE_HOME/lantern`, `~/.cache/lantern`.
pub fn cache_folder() -> anyhow::Result<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    Ok(cache
        .context("there is no place for a prepared toolchain: set HOME or XDG_CACHE_HOME to an absolute path")?
        .join("lantern"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_read_from_the_version_line() {
        assert_eq!(release("rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)"), Some((1, 96)));
        assert_eq!(release("rustc 1.63.0"), Some((1, 63)));
        assert_eq!(release("something else"), None);
        assert!((1, 100) > OLDEST_RUST && (1, 63) < OLDEST_RUST);
    }

    #[test]
    fn the_newest_linker_is_found_by_number_not_by_letter() {
        let folder = std::env::temp_dir().join(format!("lantern-linkers-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        for name in ["wasm-ld", "wasm-ld-9", "wasm-ld-22", "wasm-ld.old", "ld-30"] {
            std::fs::write(folder.join(name), "").expect("a file");
        }
        assert_eq!(newest_linker(&folder), Some(folder.join("wasm-ld-22")));
        std::fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn variables_of_an_outer_cargo_do_not_reach_the_inner_one() {
        // cargo sets CARGO_MANIFEST_DIR for every test it runs.
        let command = clean_command("cargo");
        let removed: Vec<_> = command.get_envs().filter(|(_, value)| value.is_none()).map(|(name, _)| name).collect();
        assert!(removed.contains(&std::ffi::OsStr::new("CARGO_MANIFEST_DIR")), "{removed:?}");
        assert!(!removed.contains(&std::ffi::OsStr::new("CARGO_HOME")));
    }
}

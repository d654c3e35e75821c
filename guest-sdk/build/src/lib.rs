//! Builds the Rust plugins of this workspace to WebAssembly: finds a compiler, compiles, copies to `target/plugins/`.
//!
//! Owns nothing but that: what a plugin is, is written in `wit/`; what a plugin does, in its own crate. A plugin author
//! whose toolchain has the `wasm32-unknown-unknown` target needs none of this, plain `cargo build` gives the same file.

mod standard_library;
mod toolchain;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, bail};

pub use toolchain::{TARGET, Toolchain};

/// The cargo profile for plugins, written in the workspace's `Cargo.toml`.
const PROFILE: &str = "guest";

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Builds these packages of the workspace and returns their files, `target/plugins/NAME.wasm`, in the same order.
///
/// Finds (or once prepares) a compiler first and says in one line each what it does, on standard error.
/// Runs from a test, a program or by hand: variables that an outer `cargo` has set do not reach the inner one.
pub fn build_plugins(packages: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
    if packages.is_empty() {
        return Ok(Vec::new());
    }
    // Threads of one process would prepare the same files; between processes, cargo has locks.
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let workspace = workspace_root();
    let toolchain = Toolchain::find()?;
    let target_dir = workspace.join("target/guests");
    say(&format!("building {} with {}", packages.join(", "), toolchain.label()));
    let mut cargo = toolchain.cargo();
    cargo.current_dir(&workspace).args(["build", "--quiet", "--locked", "--profile", PROFILE, "--target", TARGET]);
    cargo.arg("--target-dir").arg(&target_dir);
    for package in packages {
        cargo.args(["--package", package]);
    }
    run(&mut cargo).with_context(|| format!("the plugins did not build: {}", packages.join(", ")))?;
    let built = target_dir.join(TARGET).join(PROFILE);
    packages.iter().map(|package| publish(&built, &workspace.join("target/plugins"), package)).collect()
}

/// The names of all packages below `plugins/`: a folder there has the name of its package.
pub fn all_plugins() -> anyhow::Result<Vec<String>> {
    let folder = workspace_root().join("plugins");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.join("Cargo.toml").is_file() {
            names.extend(path.file_name().and_then(|name| name.to_str()).map(str::to_owned));
        }
    }
    names.sort();
    Ok(names)
}

/// The workspace this crate was compiled in.
fn workspace_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// Copies a built module to where people and tests look for it. A watcher of the folder never sees half a file.
fn publish(built: &Path, folder: &Path, package: &str) -> anyhow::Result<PathBuf> {
    let module = built.join(format!("{}.wasm", package.replace('-', "_")));
    if !module.is_file() {
        bail!(
            "{package} built, but made no {}; does its Cargo.toml say `crate-type = [\"cdylib\"]`?",
            module.display()
        );
    }
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let file = folder.join(format!("{package}.wasm"));
    let partial = folder.join(format!(".{package}.{}.partial", std::process::id()));
    std::fs::copy(&module, &partial)
        .and_then(|_| std::fs::rename(&partial, &file))
        .with_context(|| format!("cannot copy {} to {}", module.display(), file.display()))?;
    Ok(file)
}

/// Runs a command to its end; a failure names the command.
fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot run {}", shown(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", shown(command));
    }
    Ok(())
}

/// A command as a person would type it.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn say(line: &str) {
    eprintln!("plugins: {line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_root_holds_the_contract() {
        assert!(workspace_root().join("wit/worlds.wit").is_file());
    }

    #[test]
    fn every_folder_of_plugins_is_a_package_of_that_name() {
        for name in all_plugins().expect("plugins/ can be listed") {
            let manifest = workspace_root().join("plugins").join(&name).join("Cargo.toml");
            let text = std::fs::read_to_string(manifest).expect("the manifest can be read");
            assert!(text.contains(&format!("name = \"{name}\"")), "plugins/{name} is a package of another name");
        }
    }

    #[test]
    fn a_package_without_a_module_is_refused_with_the_line_it_lacks() {
        let folder = std::env::temp_dir();
        let error = publish(&folder, &folder, "no-such-plugin").expect_err("there is no module");
        assert!(error.to_string().contains("cdylib"), "{error}");
    }
}

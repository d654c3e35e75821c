//! The program under test, built once per process from the sources beside the tests.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The root of the repository.
pub fn workspace() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}

/// The path of `lantern`, built with `--release`; or of the program that the variable `LANTERN_BINARY` names.
///
/// # Panics
/// When it does not build.
pub fn lantern() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| std::env::var_os("LANTERN_BINARY").map_or_else(build, PathBuf::from))
}

fn build() -> PathBuf {
    let target = target_folder();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What cargo says about this package is not about the one that is built.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"].iter().any(|start| name.starts_with(start)) {
            cargo.env_remove(&*name);
        }
    }
    // With the whole workspace in view, dependencies have the features that `cargo test --workspace` gave them: nothing
    // is compiled a second time.
    cargo.current_dir(workspace()).args(["build", "--release", "--locked", "--workspace", "--bin", "lantern"]);
    // A person likes to see how far it is; a log does not.
    if !std::io::stderr().is_terminal() {
        cargo.arg("--quiet");
    }
    let status = cargo.arg("--target-dir").arg(&target).status().expect("cargo can be run");
    assert!(status.success(), "lantern does not build: {status}");
    target.join("release/lantern")
}

/// Where cargo has put the running program: `target/release/deps/e2e-...` or `target/release/demo`.
fn target_folder() -> PathBuf {
    let running = std::env::current_exe().expect("the running program has a path");
    let profile = running.ancestors().skip(1).find(|folder| !folder.ends_with("deps"));
    profile.and_then(Path::parent).expect("it lies in a target folder").to_owned()
}

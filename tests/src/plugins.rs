//! The plugins that the tests drop in, each built once per process.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// The content of a plugin's file, by the name of its package.
///
/// # Panics
/// When it does not build.
pub fn plugin(package: &'static str) -> Vec<u8> {
    static BUILT: Mutex<BTreeMap<&'static str, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if built.is_empty() {
        // All at once: the parts they share are then compiled side by side.
        built.extend(FIXTURES.into_iter().zip(build_plugins(&FIXTURES)));
    }
    let file = built.entry(package).or_insert_with(|| build_plugins(&[package]).remove(0));
    std::fs::read(file).expect("a plugin that was built can be read")
}

/// Packages below `plugins/` and `tests/plugins/`.
const FIXTURES: [&str; 8] = [
    "accounts-first",
    "accounts-second",
    "accounts-changed",
    "accounts-failing",
    "accounts-stateful",
    "ticket-sales",
    "ticket-upcaster",
    "ticket-upcaster-hostile",
];

/// Builds packages of the workspace to WebAssembly.
///
/// # Panics
/// When one of them does not build.
pub fn build_plugins(packages: &[&str]) -> Vec<PathBuf> {
    lantern_guest_build::build_plugins(packages).unwrap_or_else(|error| panic!("{error:#}"))
}

//! One history, every language, the same read models: each language's guests run in a real daemon, and every row and every
//! dead letter is compared with a fold that knows nothing of Lantern.
//!
//! Conflict resolvers in other languages decide as those in Rust.
//!
//! A language whose toolchain is missing is skipped with a line that says so, except where `CI=true`: there it fails.
//! `LANTERN_WRITE_TABLE=1` writes what was measured into the table of `guest-sdk/README.md`. `LANTERN_GUEST_SDK` names
//! another folder of languages than `guest-sdk/`.

mod expected;
mod history;
mod languages;
mod measured;
mod read_model;
mod resolvers;
mod run;

use std::sync::{Mutex, PoisonError};

use languages::{LANGUAGES, Language};

/// Builds the guests of a language and runs them. One language after the other: all are measured.
fn conforms(name: &str) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let language = Language::of(name);
    match language.toolchain() {
        Ok(toolchain) => {
            let measured = run::run(language, toolchain);
            measured::say(&measured.row());
            if writes_table() {
                measured.write();
            }
        }
        Err(reason) => {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{} cannot be built: {reason}", language.title);
            measured::say(&format!("{} SKIPPED, nothing was tested: {reason}", language.title));
        }
    }
}

fn writes_table() -> bool {
    std::env::var_os("LANTERN_WRITE_TABLE").is_some()
}

#[test]
fn rust_gives_the_rows_of_a_plain_fold() {
    conforms("rust");
}

#[test]
fn c_gives_the_rows_of_a_plain_fold() {
    conforms("c");
}

#[test]
fn cpp_gives_the_rows_of_a_plain_fold() {
    conforms("cpp");
}

#[test]
fn zig_gives_the_rows_of_a_plain_fold() {
    conforms("zig");
}

#[test]
fn go_gives_the_rows_of_a_plain_fold() {
    conforms("go");
}

#[test]
fn assemblyscript_gives_the_rows_of_a_plain_fold() {
    conforms("assemblyscript");
}

#[test]
fn javascript_gives_the_rows_of_a_plain_fold() {
    conforms("javascript");
}

#[test]
fn typescript_gives_the_rows_of_a_plain_fold() {
    conforms("typescript");
}

#[test]
fn python_gives_the_rows_of_a_plain_fold() {
    conforms("python");
}

#[test]
fn the_table_has_a_row_for_every_language() {
    let lacking: Vec<_> =
        LANGUAGES.iter().map(|language| language.title).filter(|title| !measured::has_row(title)).collect();
    assert!(
        lacking.is_empty() || writes_table(),
        "guest-sdk/README.md has no figures for {lacking:?}: run this with LANTERN_WRITE_TABLE=1"
    );
}

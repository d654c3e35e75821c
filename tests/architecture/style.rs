//! Small habits that keep the source readable and safe.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;

use crate::assert_none;
use crate::source::{EVERYWHERE, Source, sources};

/// The one place of the tests that waits.
const WAITS: &str = "tests/src/wait.rs";

/// Lines where one of these names is called, as in `.name(` or `name(`.
fn calls(tokens: TokenStream, names: &[&str], found: &mut Vec<usize>) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    for (index, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => calls(group.stream(), names, found),
            TokenTree::Ident(ident) if names.iter().any(|name| ident == name) => {
                let called = matches!(tokens.get(index + 1), Some(TokenTree::Group(_)));
                let declared = index > 0 && matches!(&tokens[index - 1], TokenTree::Ident(before) if before == "fn");
                if called && !declared {
                    found.push(ident.span().start().line);
                }
            }
            _ => {}
        }
    }
}

fn at(source: &Source, lines: Vec<usize>, what: &str) -> Vec<String> {
    lines.into_iter().map(|line| format!("{}:{line}: {what}", source.path)).collect()
}

fn unwraps(source: &Source) -> Vec<String> {
    let mut lines = Vec::new();
    if !source.is_test {
        source.product_items().for_each(|item| calls(item.to_token_stream(), &["unwrap"], &mut lines));
    }
    at(source, lines, "`unwrap` outside of tests; say with `expect` why it cannot fail, or handle it")
}

fn sleeps(source: &Source) -> Vec<String> {
    let mut lines = Vec::new();
    if source.is_test && source.path != WAITS {
        calls(source.tokens(), &["sleep"], &mut lines);
    } else if !source.is_test {
        let product: Vec<_> = source.product_items().collect();
        let tests = source.syntax.items.iter().filter(|item| !product.iter().any(|kept| std::ptr::eq(*kept, *item)));
        tests.for_each(|item| calls(item.to_token_stream(), &["sleep"], &mut lines));
    }
    at(source, lines, "a test sleeps; wait for a condition instead")
}

fn unbounded_channels(source: &Source) -> Vec<String> {
    let mut lines = Vec::new();
    // The limit of tokio's channel of this name is its parameter.
    let endless: &[_] = if source.text.contains("std::sync::mpsc") { &["channel"] } else { &[] };
    let endless = [endless, &["unbounded_channel", "unbounded"]].concat();
    if !source.is_test {
        source.product_items().for_each(|item| calls(item.to_token_stream(), &endless, &mut lines));
    }
    at(source, lines, "a channel without a limit")
}

#[test]
fn nothing_unwraps_outside_of_tests() {
    assert_none(&sources(&EVERYWHERE).iter().flat_map(unwraps).collect::<Vec<_>>());
}

#[test]
fn tests_do_not_sleep() {
    assert_none(&sources(&EVERYWHERE).iter().flat_map(sleeps).collect::<Vec<_>>());
}

#[test]
fn every_channel_has_a_limit() {
    assert_none(&sources(&["host/src"]).iter().flat_map(unbounded_channels).collect::<Vec<_>>());
}

#[test]
fn every_file_says_first_what_it_is() {
    let files = sources(&EVERYWHERE);
    let silent = files.iter().filter(|file| !file.text.starts_with("//! ")).map(|file| file.path.clone());
    assert_none(&silent.collect::<Vec<_>>());
}

#[test]
fn no_module_hides_in_a_mod_rs() {
    let files = sources(&EVERYWHERE);
    let hidden = files.iter().filter(|file| file.path.ends_with("/mod.rs")).map(|file| file.path.clone());
    assert_none(&hidden.collect::<Vec<_>>());
}

#[test]
fn an_unwrap_a_sleep_and_an_endless_channel_are_found() {
    let product = |text: &str| Source::parse("host/src/a.rs", text);
    assert_eq!(unwraps(&product("fn f() { vec![g().unwrap()]; }")).len(), 1);
    assert!(
        unwraps(&product("fn f() { g().unwrap_or(1); }\n#[cfg(test)]\nmod tests { fn f() { g().unwrap(); } }"))
            .is_empty()
    );
    assert!(unwraps(&Source::parse("tests/e2e/a.rs", "fn f() { g().unwrap(); }")).is_empty());
    let sleeping = "#[cfg(test)]\nmod tests { fn f() { std::thread::sleep(A); } }";
    assert_eq!(sleeps(&product(sleeping)), ["host/src/a.rs:2: a test sleeps; wait for a condition instead"]);
    assert!(sleeps(&product("fn f() { std::thread::sleep(A); }")).is_empty());
    assert_eq!(sleeps(&Source::parse("tests/e2e/a.rs", "fn f() { thread::sleep(A); }")).len(), 1);
    assert_eq!(unbounded_channels(&product("use std::sync::mpsc; fn f() { mpsc::channel(); }")).len(), 1);
    assert!(unbounded_channels(&product("use std::sync::mpsc; fn f() { mpsc::sync_channel(1); }")).is_empty());
}

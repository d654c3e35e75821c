//! The layer table of `host/ARCHITECTURE.md` is the law: who may use whom, and which crates are used in one place only.

use std::collections::BTreeMap;

use lantern_tests::workspace;
use proc_macro2::{Ident, TokenStream, TokenTree};

use crate::assert_none;
use crate::source::{Source, read, sources};

/// The rows of the table, in their order.
type Table = Vec<Layer>;

/// One row.
#[derive(Debug, PartialEq)]
struct Layer {
    module: String,
    may_use: Vec<String>,
    /// Crates that only this module may use.
    confined: Vec<String>,
}

fn table() -> Table {
    let text = read(&workspace().join("host/ARCHITECTURE.md"));
    let table = parse_table(&text);
    assert!(table.len() > 5, "host/ARCHITECTURE.md has no layer table any more");
    table
}

fn parse_table(markdown: &str) -> Table {
    let section = markdown.split("\n## ").find(|section| section.starts_with("Layers")).unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let mut cells = row.trim_matches('|').split('|').map(quoted);
        let mut next = || cells.next().unwrap_or_default();
        Layer { module: next().remove(0), may_use: next(), confined: next() }
    })
    .collect()
}

/// The words between backticks.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// What one file of the host does against the table.
fn broken_by(source: &Source, table: &Table) -> Vec<String> {
    let inside = source.path.trim_start_matches("host/src/").trim_end_matches(".rs");
    let path: Vec<_> = inside.split('/').collect();
    let module = path[0];
    let Some(layer) = table.iter().find(|layer| layer.module == module) else {
        return vec![format!("{}: the module `{module}` is not in the layer table", source.path)];
    };
    let mut used = Used::default();
    used.walk(source.tokens(), path.len());
    let is_allowed = |name: &String| name == module || name == "self" || layer.may_use.contains(name);
    let modules = used
        .modules
        .iter()
        .filter(|(name, _)| !is_allowed(name))
        .map(|(name, line)| format!("{}:{line}: `{module}` may not use `{name}`", source.path));
    let owner = |name: &String| table.iter().find(|layer| layer.confined.contains(name));
    let crates = used.roots.iter().filter_map(|(name, line)| {
        let owner = owner(name).filter(|owner| owner.module != module)?;
        Some(format!("{}:{line}: the crate `{name}` is for `{}` only", source.path, owner.module))
    });
    modules.chain(crates).collect()
}

/// Names that a file uses, with their lines.
#[derive(Default)]
struct Used {
    /// What stands behind `crate::`, and behind as many `super::` as lead there.
    modules: Vec<(String, usize)>,
    /// Every name at the start of a path.
    roots: Vec<(String, usize)>,
}

impl Used {
    /// `depth` is how many steps the tokens are below the root of the crate.
    fn walk(&mut self, tokens: TokenStream, depth: usize) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let mut supers = 0;
        for (index, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Group(group) => {
                    let in_module = index >= 2 && is_ident(&tokens[index - 2], "mod");
                    self.walk(group.stream(), depth + usize::from(in_module));
                }
                TokenTree::Ident(ident) => {
                    supers = if ident == "super" { supers + 1 } else { 0 };
                    let in_macro = index > 0 && is_punct(&tokens[index - 1], '$');
                    let continued = is_separator(&tokens[index + 1..]);
                    if continued && ((ident == "crate" && !in_macro) || (ident == "super" && supers == depth)) {
                        self.modules.extend(first_names(&tokens[index + 3..]));
                    }
                    let starts_path = index == 0 || !is_punct(&tokens[index - 1], ':');
                    let is_whole_import = index > 0 && is_ident(&tokens[index - 1], "use");
                    if starts_path && (continued || is_whole_import) {
                        self.roots.push(named(ident));
                    }
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => {}
                _ => supers = 0,
            }
        }
    }
}

/// The name, or the first name of each path between braces.
fn first_names(tokens: &[TokenTree]) -> Vec<(String, usize)> {
    match tokens.first() {
        Some(TokenTree::Ident(ident)) => vec![named(ident)],
        Some(TokenTree::Group(group)) => {
            let inside: Vec<_> = group.stream().into_iter().collect();
            let paths = inside.split(|token| is_punct(token, ','));
            paths.flat_map(|path| first_names(&path[..path.len().min(1)])).collect()
        }
        _ => Vec::new(),
    }
}

fn named(ident: &Ident) -> (String, usize) {
    (ident.to_string(), ident.span().start().line)
}

fn is_separator(tokens: &[TokenTree]) -> bool {
    matches!(tokens, [first, second, ..] if is_punct(first, ':') && is_punct(second, ':'))
}

fn is_punct(token: &TokenTree, wanted: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == wanted)
}

fn is_ident(token: &TokenTree, wanted: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == wanted)
}

#[test]
fn modules_of_the_host_use_only_what_the_layer_table_allows() {
    let table = table();
    let files = sources(&["host/src"]);
    let files = files.iter().filter(|file| !["host/src/lib.rs", "host/src/main.rs"].contains(&file.path.as_str()));
    assert_none(&files.flat_map(|file| broken_by(file, &table)).collect::<Vec<_>>());
}

#[test]
fn the_layer_table_lists_the_modules_of_the_library_in_their_order() {
    let library = Source::parse("host/src/lib.rs", &read(&workspace().join("host/src/lib.rs")));
    let modules = library.syntax.items.iter().filter_map(|item| match item {
        syn::Item::Mod(module) => Some(module.ident.to_string()),
        _ => None,
    });
    let rows: Vec<_> = table().into_iter().map(|layer| layer.module).collect();
    assert_eq!(rows, modules.collect::<Vec<_>>());
}

#[test]
fn the_layer_table_has_no_circle() {
    let mut left: BTreeMap<_, _> = table().into_iter().map(|layer| (layer.module, layer.may_use)).collect();
    while let Some(free) = left.iter().find(|(_, used)| used.iter().all(|name| !left.contains_key(name))) {
        let free = free.0.clone();
        left.remove(&free);
    }
    assert!(left.is_empty(), "these use each other: {left:?}");
}

#[test]
fn the_binary_only_calls_the_command_line() {
    let main = Source::parse("host/src/main.rs", &read(&workspace().join("host/src/main.rs")));
    let mut used = Used::default();
    used.walk(main.tokens(), 0);
    let roots: Vec<_> = used.roots.into_iter().map(|(name, _)| name).collect();
    assert_eq!(roots, ["std", "lantern"]);
    assert!(main.text.contains("lantern::cli::main()"), "{}", main.text);
}

#[test]
fn a_path_or_crate_that_is_not_allowed_is_found_wherever_it_hides() {
    let table = parse_table(
        "# Map\n\n## Layers\n\n| Module | May use | Only here |\n|---|---|---|\n| `low` | | `axum` |\n| `high` | `low` | |\n\n## Rest\n| `no` | | |",
    );
    assert_eq!(table[1], Layer { module: "high".into(), may_use: vec!["low".into()], confined: vec![] });
    assert_eq!(table.len(), 2);
    let broken = |text: &str| broken_by(&Source::parse("host/src/low/inner.rs", text), &table);
    for bad in [
        "use crate::high::Thing;",
        "use crate::{low::A, high};",
        "use std::{fs, io}; use crate::{low::{self, B}, high::{C, D}};",
        "fn f() { select! { _ = crate::high::wait() => {} } }",
        "mod tests { fn f() { super::super::super::high::g(); } }",
        "use super::super::high;",
    ] {
        assert_eq!(broken(bad), ["host/src/low/inner.rs:1: `low` may not use `high`"], "{bad}");
    }
    for good in [
        "use crate::low::A;",
        "use super::high;",
        "use axum::Router;",
        "// crate::high\n",
        "const A: &str = \"crate::high\";",
    ] {
        assert_eq!(broken(good), Vec::<String>::new(), "{good}");
    }
    let upper = |text: &str| broken_by(&Source::parse("host/src/high.rs", text), &table);
    for bad in ["use axum::Router;", "use {std::fs, axum::Router};", "use axum;", "fn f() -> axum::Router { g() }"] {
        assert_eq!(upper(bad), ["host/src/high.rs:1: the crate `axum` is for `low` only"], "{bad}");
    }
    assert_eq!(upper("use crate::low::axum::A;"), Vec::<String>::new());
}

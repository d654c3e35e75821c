//! Rust files of the repository, read once and parsed.

use std::fs;
use std::path::{Path, PathBuf};

use lantern_tests::workspace;
use proc_macro2::TokenStream;
use syn::{Attribute, Item};

/// The folders that hold sources.
pub const EVERYWHERE: [&str; 4] = ["host/src", "guest-sdk", "plugins", "tests"];

/// Folders of files that nobody wrote here.
const MADE: [&str; 2] = ["target", "node_modules"];

/// One Rust file.
pub struct Source {
    /// From the root of the repository.
    pub path: String,
    pub text: String,
    pub syntax: syn::File,
    /// Whether the whole file is there for tests only.
    pub is_test: bool,
}

impl Source {
    pub fn parse(path: &str, text: &str) -> Self {
        let syntax = syn::parse_file(text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let is_test = path.starts_with("tests/") && !path.starts_with("tests/plugins/");
        Self { path: path.to_owned(), text: text.to_owned(), syntax, is_test }
    }

    pub fn tokens(&self) -> TokenStream {
        self.text.parse().unwrap_or_else(|error| panic!("{}: {error}", self.path))
    }

    /// The items at the top of the file that are not only there for tests.
    pub fn product_items(&self) -> impl Iterator<Item = &Item> {
        self.syntax.items.iter().filter(|item| !is_for_tests(attributes(item)))
    }
}

/// All Rust files below these folders.
pub fn sources(folders: &[&str]) -> Vec<Source> {
    let mut files = Vec::new();
    for folder in folders {
        collect(&workspace().join(folder), "rs", &mut files);
    }
    let mut sources: Vec<_> = files.into_iter().map(|file| Source::parse(&relative(&file), &read(&file))).collect();
    assert!(sources.len() > folders.len(), "no sources found below {folders:?}");
    let test_modules: Vec<_> = sources.iter().flat_map(test_modules).collect();
    for source in &mut sources {
        let module = source.path.trim_end_matches(".rs");
        let is_inside = |test: &String| module == test || module.starts_with(&format!("{test}/"));
        source.is_test |= test_modules.iter().any(is_inside);
    }
    sources
}

/// The paths, without `.rs`, of the modules that a file declares for tests only.
fn test_modules(source: &Source) -> Vec<String> {
    let folder = match source.path.rsplit_once('/') {
        Some((folder, "lib.rs" | "main.rs")) => folder,
        _ => source.path.trim_end_matches(".rs"),
    };
    let modules = source.syntax.items.iter().filter_map(|item| match item {
        Item::Mod(module) if module.content.is_none() && is_for_tests(&module.attrs) => Some(&module.ident),
        _ => None,
    });
    modules.map(|module| format!("{folder}/{module}")).collect()
}

/// Adds the files below a folder that have this extension, in order.
pub fn collect(folder: &Path, extension: &str, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a folder can be listed").path()).collect();
    paths.sort();
    for path in paths {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.is_dir() && !hidden && !MADE.iter().any(|made| path.ends_with(made)) {
            collect(&path, extension, files);
        } else if path.extension().is_some_and(|found| found == extension) {
            files.push(path);
        }
    }
}

pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub fn relative(path: &Path) -> String {
    path.strip_prefix(workspace()).unwrap_or(path).to_string_lossy().into_owned()
}

/// Whether something is compiled for tests only.
pub fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let is_test = attribute.path().is_ident("test");
        let is_cfg = attribute.path().is_ident("cfg");
        is_test || (is_cfg && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test")))
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

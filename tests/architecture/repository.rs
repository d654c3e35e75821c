//! The top of the repository stays calm, and what the documents point at exists.

use std::path::{Path, PathBuf};

use lantern_tests::workspace;

use crate::assert_none;
use crate::source::{collect, read, relative};

/// Everything that may stand at the top, besides hidden files and what cargo makes.
const TOP: [&str; 9] =
    ["Cargo.lock", "Cargo.toml", "LICENSE", "README.md", "guest-sdk", "host", "plugins", "tests", "wit"];
const MADE: [&str; 2] = ["lantern-data", "target"];

#[test]
fn nothing_else_stands_at_the_top_of_the_repository() {
    let entries = std::fs::read_dir(workspace()).expect("the repository can be listed");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let names: Vec<_> = names.filter(|name| !name.starts_with('.') && !MADE.contains(&name.as_str())).collect();
    let strange =
        names.iter().filter(|name| !TOP.contains(&name.as_str())).map(|name| format!("{name} is not one of {TOP:?}"));
    let missing =
        TOP.iter().filter(|name| !names.iter().any(|found| found == *name)).map(|name| format!("{name} is missing"));
    assert_none(&strange.chain(missing).collect::<Vec<_>>());
}

#[test]
fn links_in_documents_lead_to_files() {
    let mut documents = Vec::new();
    collect(workspace(), "md", &mut documents);
    assert!(documents.iter().any(|document| document.ends_with("host/ARCHITECTURE.md")));
    assert_none(&documents.iter().flat_map(|document| dead_links(document, &read(document))).collect::<Vec<_>>());
}

#[test]
fn files_that_the_map_names_exist() {
    let map = workspace().join("host/ARCHITECTURE.md");
    assert_none(&missing_files(&read(&map)));
}

#[test]
fn a_dead_link_and_a_missing_file_are_found() {
    let document = workspace().join("host/ARCHITECTURE.md");
    let links = "[a](../README.md#run-it) [b](nowhere.md) [c](https://example.org/x) [d](#here) `[e](f)`";
    assert_eq!(dead_links(&document, links), ["host/ARCHITECTURE.md: nowhere.md does not exist"]);
    let text = "`src/event.rs`, `src/http/`, `read_model/draft.rs`, `wit/`, `NAME.db`, `src/nothing.rs`, `src/no/`";
    let missing =
        ["host/ARCHITECTURE.md: src/nothing.rs does not exist", "host/ARCHITECTURE.md: src/no/ does not exist"];
    assert_eq!(missing_files(text), missing);
}

/// Targets of `[text](target)` that are files and are not there.
fn dead_links(document: &Path, text: &str) -> Vec<String> {
    let folder = document.parent().unwrap_or(document);
    // What stands between backticks is shown, not linked.
    let prose: String = text.split('`').step_by(2).collect();
    let targets =
        prose.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target.to_owned()));
    let files = targets.filter(|target| !target.contains("://") && !target.starts_with('#'));
    let paths = files.map(|target| target.split('#').next().unwrap_or_default().to_owned());
    let dead = paths.filter(|path| !folder.join(path).exists());
    dead.map(|path| format!("{}: {path} does not exist", relative(document))).collect()
}

/// Paths between backticks in the map that are not there.
fn missing_files(map: &str) -> Vec<String> {
    let quoted = map.split('`').skip(1).step_by(2);
    let is_path = |text: &&str| {
        text.ends_with(".rs") || text.ends_with(".wit") || (text.starts_with("src/") && text.ends_with('/'))
    };
    let exists = |text: &str| {
        let places: [PathBuf; 3] = ["host", "host/src", ""].map(|place| workspace().join(place).join(text));
        places.iter().any(|place| place.exists())
    };
    let missing = quoted.filter(is_path).filter(|text| !exists(text));
    missing.map(|text| format!("host/ARCHITECTURE.md: {text} does not exist")).collect()
}

//! `wit/` is the only thing that host and plugins share.

use lantern_tests::workspace;
use wit_parser::{PackageId, Resolve};

use crate::source::{collect, read};

fn contract() -> (Resolve, PackageId) {
    let mut resolve = Resolve::default();
    let folder = workspace().join("wit");
    let (package, _) = resolve.push_dir(&folder).unwrap_or_else(|error| panic!("wit/ does not parse: {error:#}"));
    (resolve, package)
}

#[test]
fn the_worlds_parse_and_are_those_of_the_design() {
    let (resolve, package) = contract();
    let package = &resolve.packages[package];
    assert_eq!(package.name.to_string(), "lantern:plugin@0.1.0");
    let mut worlds: Vec<_> = package.worlds.keys().map(String::as_str).collect();
    worlds.sort_unstable();
    assert_eq!(worlds, ["aggregate", "columnar-projection", "conflict-resolver", "projection", "upcaster"]);
}

#[test]
fn every_world_describes_itself_and_imports_only_interfaces_of_the_package() {
    let (resolve, package) = contract();
    for (name, world) in &resolve.packages[package].worlds {
        let world = &resolve.worlds[*world];
        let exports: Vec<_> = world.exports.keys().map(|key| resolve.name_world_key(key)).collect();
        assert!(exports.iter().any(|export| export == "describe"), "{name} exports {exports:?}");
        for import in world.imports.iter().filter(|(_, item)| matches!(item, wit_parser::WorldItem::Interface { .. })) {
            let import = resolve.name_world_key(import.0);
            assert!(import.starts_with("lantern:plugin/"), "{name} imports {import}");
        }
    }
}

#[test]
fn the_changes_of_the_package_are_written_down() {
    let (resolve, package) = contract();
    let version = resolve.packages[package].name.version.clone().expect("the package has a version");
    let changes = read(&workspace().join("wit/CHANGELOG.md"));
    assert!(changes.contains("## Pending breaking changes"));
    assert!(changes.contains(&format!("## {version}")), "wit/CHANGELOG.md says nothing about {version}");
    let mut files = Vec::new();
    collect(&workspace().join("wit"), "wit", &mut files);
    assert!(files.iter().all(|file| read(file).starts_with("///")), "every file of wit/ starts with what it is");
}

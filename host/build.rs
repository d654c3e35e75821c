//! Puts the templates and the wrapper code of `guest-sdk/` into the program, for `lantern plugin new`.

use std::fs;
use std::path::{Path, PathBuf};

/// Made by builds, not by people.
const SKIPPED: [&str; 6] = ["build", "dist", "node_modules", "target", "__pycache__", "Cargo.lock"];

/// Where wrapper code goes in a new project.
const SDK: &str = "lantern-sdk";

/// What the folder `template` of a language makes.
const PROJECTION: &str = "projection";

/// Files of it that the templates of other kinds have, too.
const SHARED: [&str; 3] = [".gitignore", "Cargo.toml", "plugin.toml"];

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-sdk");
    println!("cargo::rerun-if-changed={}", root.display());
    println!("cargo::rerun-if-changed=../wit");
    let mut languages: Vec<PathBuf> =
        entries(&root).into_iter().filter(|path| path.join("template").is_dir()).collect();
    languages.sort();
    let mut code = String::from("&[\n");
    for language in languages {
        let mut sdk = Vec::new();
        // The Rust wrapper is a crate of this workspace and stands where crates stand.
        if language.join("sdk").is_dir() {
            collect(&language.join("sdk"), SDK, &mut sdk);
        } else {
            ["Cargo.toml", "README.md", "src", "wit"].iter().for_each(|part| add(&language.join(part), SDK, &mut sdk));
        }
        add(&language.join("toolchain.sh"), SDK, &mut sdk);
        code += &format!("Language {{ name: {:?}, sdk: &[\n{}], templates: &[\n", name(&language), listed(sdk));
        for (kind, folder) in templates(&language) {
            let mut files = Vec::new();
            collect(&folder, "", &mut files);
            if kind != PROJECTION {
                SHARED.iter().for_each(|file| add(&language.join("template").join(file), "", &mut files));
            }
            code += &format!("({kind:?}, &[\n{}]),\n", listed(files));
        }
        code += "] },\n";
    }
    let out = std::env::var_os("OUT_DIR").map(PathBuf::from).expect("cargo sets it");
    fs::write(out.join("templates.rs"), code + "]\n").expect("cargo's folder can be written");
}

/// `template` is a projection, `template-aggregate` an aggregate.
fn templates(language: &Path) -> Vec<(String, PathBuf)> {
    let kind = |folder: &PathBuf| match name(folder).strip_prefix("template")? {
        "" => Some(PROJECTION.to_owned()),
        rest => rest.strip_prefix('-').map(str::to_owned),
    };
    let mut templates: Vec<_> =
        entries(language).into_iter().filter_map(|folder| Some((kind(&folder)?, folder))).collect();
    templates.sort();
    templates
}

/// The files as elements of a list in Rust.
fn listed(mut files: Vec<(String, PathBuf)>) -> String {
    files.sort();
    let file = |(path, source): &(String, PathBuf)| {
        format!("    ({path:?}, include_bytes!({:?})),\n", source.display().to_string())
    };
    files.iter().map(file).collect()
}

/// Adds a file, or the files below a folder; nothing if there is none.
fn add(path: &Path, below: &str, files: &mut Vec<(String, PathBuf)>) {
    let inside = if below.is_empty() { name(path) } else { format!("{below}/{}", name(path)) };
    if path.is_dir() {
        collect(path, &inside, files);
    } else if path.is_file() {
        files.push((inside, path.to_owned()));
    }
}

fn collect(folder: &Path, below: &str, files: &mut Vec<(String, PathBuf)>) {
    let made = |path: &PathBuf| !SKIPPED.contains(&name(path).as_str());
    entries(folder).into_iter().filter(made).for_each(|path| add(&path, below, files));
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

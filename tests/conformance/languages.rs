//! The languages: what each promises, whether its toolchain is there, and how its guests are built.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use lantern_tests::{build_plugins, workspace};

/// What a language does with an integer that a 64-bit float cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LargeIntegers {
    Exact,
    /// The event is parked, with an error that names the field.
    Refused,
}

pub struct Language {
    /// The name of its folder below `guest-sdk/`.
    pub name: &'static str,
    pub title: &'static str,
    pub large_integers: LargeIntegers,
    /// What the log or the dead letter says of a bug in a guest.
    pub bug_says: &'static str,
}

/// In the order of the table in `guest-sdk/README.md`.
pub const LANGUAGES: [Language; 9] = [
    exact("rust", "Rust", "trapped on purpose"),
    exact("c", "C", "unreachable"),
    exact("cpp", "C++", "unreachable"),
    exact("zig", "Zig", "unreachable"),
    exact("go", "Go", "nil pointer dereference"),
    exact("assemblyscript", "AssemblyScript", "trapped on purpose"),
    Language { large_integers: LargeIntegers::Refused, ..exact("javascript", "JavaScript", "trapped on purpose") },
    Language { large_integers: LargeIntegers::Refused, ..exact("typescript", "TypeScript", "trapped on purpose") },
    exact("python", "Python", "Traceback"),
];

const fn exact(name: &'static str, title: &'static str, bug_says: &'static str) -> Language {
    Language { name, title, large_integers: LargeIntegers::Exact, bug_says }
}

/// A guest that is built.
pub struct Guest {
    /// The name of its projection.
    pub projection: &'static str,
    pub wasm: Vec<u8>,
}

/// In the order in which they are dropped in.
const PROJECTIONS: [&str; 4] = ["conformance", "seat-availability", "order-summary", "flights"];

impl Language {
    pub fn of(name: &str) -> &'static Self {
        LANGUAGES.iter().find(|language| language.name == name).expect("a language of the table")
    }

    /// The versions of what compiles it, in one line.
    ///
    /// # Errors
    /// When something is missing: what, and how to get it.
    pub fn toolchain(&self) -> Result<String, String> {
        if self.name == "rust" {
            return lantern_guest_build::Toolchain::find()
                .map(|found| found.label())
                .map_err(|error| format!("{error:#}"));
        }
        let script = self.folder().join("toolchain.sh");
        let output = Command::new("sh")
            .arg(&script)
            .arg("--check")
            .output()
            .map_err(|error| format!("{}: {error}", script.display()))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        match output.status.success() {
            true => Ok(text(&output.stdout)),
            false => {
                Err(format!("{} {}; install it with {}", text(&output.stdout), text(&output.stderr), script.display()))
            }
        }
    }

    /// # Panics
    /// When one of the guests does not build.
    pub fn build(&self) -> Vec<Guest> {
        let files = match self.name {
            "rust" => build_plugins(&PROJECTIONS),
            _ => PROJECTIONS.iter().map(|projection| self.build_one(projection)).collect(),
        };
        let built = PROJECTIONS.iter().zip(files);
        let read = |file: &Path| std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        built.map(|(projection, file)| Guest { projection, wasm: read(&file) }).collect()
    }

    /// The file of one of its guests, built if it is not there or is old.
    ///
    /// # Panics
    /// When it does not build.
    pub fn build_one(&self, projection: &str) -> PathBuf {
        let folder = match projection {
            "conformance" => self.folder().join(projection),
            example => self.folder().join("examples").join(example),
        };
        let manifest = folder.join("plugin.toml");
        let text = std::fs::read_to_string(&manifest).unwrap_or_else(|error| panic!("{}: {error}", manifest.display()));
        let table: toml::Table = text.parse().unwrap_or_else(|error| panic!("{}: {error}", manifest.display()));
        let words: Vec<_> =
            table["build"].as_array().expect("`build` is a list").iter().filter_map(|word| word.as_str()).collect();
        let output = folder.join(table["output"].as_str().expect("`output` is a path"));
        let made_of = [&folder, &self.folder().join("sdk"), &workspace().join("wit")].map(|folder| newest(folder));
        if modified(&output) <= made_of.into_iter().max().flatten() {
            let built = Command::new(words[0]).args(&words[1..]).current_dir(&folder).output();
            let built = built.unwrap_or_else(|error| panic!("{}: {}: {error}", folder.display(), words.join(" ")));
            let said = [built.stdout, built.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
            assert!(built.status.success(), "{}: {} failed:\n{said}", folder.display(), words.join(" "));
        }
        output
    }

    fn folder(&self) -> PathBuf {
        let folder = std::env::var_os("LANTERN_GUEST_SDK").map_or_else(|| workspace().join("guest-sdk"), PathBuf::from);
        folder.join(self.name)
    }
}

/// When anything below the folder was changed last, besides what is built there.
fn newest(folder: &Path) -> Option<SystemTime> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let kept = entries.filter(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        !name.starts_with('.') && !["build", "node_modules", "__pycache__", "target"].contains(&name.as_str())
    });
    kept.filter_map(|entry| if entry.path().is_dir() { newest(&entry.path()) } else { modified(&entry.path()) }).max()
}

fn modified(file: &Path) -> Option<SystemTime> {
    file.metadata().and_then(|metadata| metadata.modified()).ok()
}

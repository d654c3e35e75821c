//! A plugin's folder: `plugin.toml` says how its language builds it, and this builds it that way.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use serde::Deserialize;

use super::super::client::Failure;
use crate::code::PluginName;

const SHAPE: &str = r#"it needs, for example:
  name = "seat-board"
  language = "rust"
  build = ["cargo", "build", "--release"]
  output = "build/seat-board.wasm"
  watch = ["src"]"#;

/// `plugin.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    name: String,
    language: String,
    /// A program and its arguments, run in the folder.
    build: Vec<String>,
    /// The file that it makes, seen from the folder.
    output: PathBuf,
    /// What `lantern dev` watches.
    #[serde(default)]
    watch: Vec<PathBuf>,
    dev: Option<DevBuild>,
}

/// What `lantern dev` runs in place of `build`, for languages whose builds are slow: a plugin that reads its source from
/// standard input. A save of the source then needs no build.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DevBuild {
    build: Vec<String>,
    output: PathBuf,
    /// The source.
    input: PathBuf,
}

/// A folder with a `plugin.toml`.
pub struct Project {
    folder: PathBuf,
    manifest: Manifest,
}

impl Project {
    /// # Errors
    /// When there is no `plugin.toml`, or it is not what it should be: says which key is wrong.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join("plugin.toml");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let message = format!("{} is no plugin's folder: it has no plugin.toml", folder.display());
                return Err(Failure::new(message, "`lantern plugin new NAME --lang LANGUAGE` makes one").into());
            }
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let wrong = |reason: &str| Failure::new(format!("{}: {reason}", path.display()), SHAPE);
        let manifest: Manifest = toml::from_str(&text).map_err(|error| wrong(error.to_string().trim_end()))?;
        manifest.name.parse::<PluginName>().map_err(|error| wrong(&error.to_string()))?;
        if manifest.build.is_empty() {
            return Err(wrong("build is empty").into());
        }
        Ok(Self { folder: folder.to_owned(), manifest })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn name(&self) -> &str {
        &self.manifest.name
    }

    pub fn language(&self) -> &str {
        &self.manifest.language
    }

    /// Files and folders of the project that its build depends on.
    pub fn watched(&self) -> &[PathBuf] {
        &self.manifest.watch
    }

    /// The file that the build makes.
    pub fn output(&self) -> PathBuf {
        self.folder.join(&self.manifest.output)
    }

    /// Runs the build; what it prints goes to standard error. Answers the file that it made.
    ///
    /// # Errors
    /// When the build fails, or leaves no file: says what its toolchain lacks, if it lacks something.
    pub fn build(&self) -> anyhow::Result<PathBuf> {
        let output = self.output();
        self.run(&self.manifest.build, &output)?;
        Ok(output)
    }

    /// As [`Self::build`], for `lantern dev` after these files were saved; none is the first time. Answers also what
    /// the plugin finds on standard input.
    ///
    /// # Errors
    /// As [`Self::build`].
    pub fn build_for_dev(&self, saved: Option<&[PathBuf]>) -> anyhow::Result<(PathBuf, Vec<u8>)> {
        let Some(dev) = &self.manifest.dev else { return Ok((self.build()?, Vec::new())) };
        let (input, output) = (self.folder.join(&dev.input), self.folder.join(&dev.output));
        let is_built_in = |file: &PathBuf| {
            *file != input && self.manifest.watch.iter().any(|path| file.starts_with(self.folder.join(path)))
        };
        if saved.is_none_or(|files| files.iter().any(is_built_in)) || !output.is_file() {
            // After a build that fails, the next save builds again.
            let _ = std::fs::remove_file(&output);
            self.run(&dev.build, &output)?;
        }
        let source = std::fs::read(&input).with_context(|| format!("cannot read {}", input.display()))?;
        Ok((output, source))
    }

    fn run(&self, command: &[String], output: &Path) -> anyhow::Result<()> {
        let (program, arguments) = command.split_first().context("plugin.toml names no build")?;
        let shown = command.join(" ");
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.folder).stdin(Stdio::null()).stdout(io::stderr());
        let failed = match command.status() {
            Ok(status) if status.success() => None,
            Ok(status) => Some(format!("`{shown}` failed in {} ({status})", self.folder.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(format!("there is no program `{program}`")),
            Err(error) => Some(format!("`{shown}` cannot be run: {error}")),
        };
        if let Some(reason) = failed {
            return Err(Failure { hint: self.toolchain_hint(), ..Failure::new(reason, "") }.into());
        }
        if !output.is_file() {
            let message = format!("`{shown}` worked, but made no {}", output.display());
            return Err(Failure::new(message, "correct `output` or `build` in plugin.toml").into());
        }
        Ok(())
    }

    /// What the toolchain lacks and how to install it; none when it lacks nothing.
    fn toolchain_hint(&self) -> Option<String> {
        let places = ["lantern-sdk/toolchain.sh", "../toolchain.sh", "../../toolchain.sh"];
        let script = places.iter().find(|place| self.folder.join(place).is_file());
        let Some(script) = script else {
            return Some(format!("guest-sdk/{}/README.md says what the build needs", self.language()));
        };
        let mut check = Command::new("sh");
        let check = check.args([script, "--check"]).current_dir(&self.folder).stdin(Stdio::null()).output().ok()?;
        if check.status.success() {
            return None;
        }
        let said = [check.stdout, check.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let install = self.folder.join(script);
        Some(format!("{}\n      install it with: sh {}", said.trim(), install.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "name = \"board\"\nlanguage = \"rust\"\nbuild = [\"true\"]\noutput = \"out.wasm\"\n";

    fn project(toml: &str) -> (tempfile::TempDir, anyhow::Result<Project>) {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("plugin.toml"), toml).expect("written");
        let project = Project::open(folder.path());
        (folder, project)
    }

    fn refused(toml: &str) -> String {
        project(toml).1.err().expect("was taken").to_string()
    }

    #[test]
    fn a_wrong_plugin_toml_is_refused_by_key() {
        assert!(refused(&format!("{GOOD}wach = []\n")).contains("wach"));
        assert!(refused("name = \"board\"\n").contains("language"));
        assert!(refused(&GOOD.replace("board", "Board")).contains("no plugin name"));
        assert!(refused(&GOOD.replace("[\"true\"]", "[]")).contains("build is empty"));
        let nothing = tempfile::tempdir().expect("a folder");
        assert!(Project::open(nothing.path()).err().expect("was taken").to_string().contains("no plugin.toml"));
    }

    #[test]
    fn a_source_that_the_plugin_reads_itself_needs_no_build() {
        let toml = format!(
            "{GOOD}watch = [\"app.py\", \"sdk\"]\n[dev]\nbuild = [\"sh\", \"-c\", \"echo built >> log; touch dev.wasm\"]\n\
             output = \"dev.wasm\"\ninput = \"app.py\"\n"
        );
        let (folder, project) = project(&toml);
        let (project, path) = (project.expect("sound"), |name: &str| folder.path().join(name));
        let builds = |saved: Option<&[PathBuf]>| {
            let (file, source) = project.build_for_dev(saved).expect("builds");
            assert_eq!((file, source), (path("dev.wasm"), b"source".to_vec()));
            std::fs::read_to_string(path("log")).expect("built once at least").lines().count()
        };
        std::fs::write(path("app.py"), "source").expect("written");
        assert_eq!(builds(None), 1);
        assert_eq!(builds(Some(&[path("app.py"), path("events.jsonl")])), 1);
        assert_eq!(builds(Some(&[path("app.py"), path("sdk/rows.py")])), 2);
        std::fs::remove_file(path("dev.wasm")).expect("it was there");
        assert_eq!(builds(Some(&[path("app.py")])), 3);
    }

    #[test]
    fn a_build_that_fails_says_what_its_toolchain_lacks() {
        let build = |command: &str, script: &str| {
            let (folder, project) = project(&GOOD.replace("[\"true\"]", command));
            std::fs::create_dir(folder.path().join("lantern-sdk")).expect("made");
            std::fs::write(folder.path().join("lantern-sdk/toolchain.sh"), script).expect("written");
            project.expect("sound").build().expect_err("fails").downcast::<Failure>().expect("a failure")
        };
        let missing = build("[\"no-such-compiler\"]", "echo 'no-such-compiler is not installed'; exit 1");
        assert_eq!(missing.message, "there is no program `no-such-compiler`");
        let hint = missing.hint.expect("a hint");
        assert!(
            hint.starts_with("no-such-compiler is not installed\n") && hint.contains("install it with: sh "),
            "{hint}"
        );
        let failed = build("[\"false\"]", "exit 0");
        assert!(failed.message.starts_with("`false` failed in ") && failed.hint.is_none(), "{failed}");
        let nothing = build("[\"true\"]", "exit 0");
        assert!(nothing.message.contains("made no ") && nothing.message.ends_with("out.wasm"), "{nothing}");
    }
}

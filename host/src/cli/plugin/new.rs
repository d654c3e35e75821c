//! `lantern plugin new`: writes a small complete plugin in any of the languages whose templates are in this program.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde_json::json;

use super::super::client::Failure;
use super::super::output::{self, Format};
use super::project::Project;
use crate::code::PluginName;

/// Where files go in a project, and what is in them.
type Files = &'static [(&'static str, &'static [u8])];

struct Language {
    name: &'static str,
    /// Its wrapper code, below `lantern-sdk/`.
    sdk: Files,
    /// A kind of plugin, and the rest of its project.
    templates: &'static [(&'static str, Files)],
}

/// Everything below `guest-sdk/LANGUAGE/template`, which is a projection, and `template-KIND`.
const LANGUAGES: &[Language] = include!(concat!(env!("OUT_DIR"), "/templates.rs"));

/// What a plugin can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Turns events into rows
    Projection,
    /// Decides on appends whose writers had not seen the newest events
    ConflictResolver,
    /// Turns events of an old shape into newer ones while they are read
    Upcaster,
    /// Folds streams into states and decides commands
    Aggregate,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Projection => "projection",
            Self::ConflictResolver => "conflict-resolver",
            Self::Upcaster => "upcaster",
            Self::Aggregate => "aggregate",
        }
    }
}

#[derive(Args)]
pub struct New {
    /// Name of the plugin: lower-case letters, digits and dashes
    name: String,
    /// Language to write it in
    #[arg(long, value_name = "LANGUAGE")]
    lang: String,
    /// What it is
    #[arg(long, value_enum, default_value_t = Kind::Projection)]
    kind: Kind,
    /// Folder to make [default: NAME]
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

impl New {
    pub fn run(&self, format: Format) -> anyhow::Result<()> {
        let name: PluginName = self.name.parse()?;
        let folder = self.dir.clone().unwrap_or_else(|| name.as_str().into());
        let (sdk, template) = template(&self.lang, self.kind)?;
        let occupied = fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some());
        if occupied || folder.is_file() {
            let message = format!("{} is there already and not empty", folder.display());
            return Err(Failure::new(message, "take another name, or another folder with --dir").into());
        }
        let words = Words::of(name.as_str());
        for (path, content) in sdk.iter().chain(template) {
            let path = folder.join(words.fill(path));
            let parent = path.parent().unwrap_or(&folder);
            let text = std::str::from_utf8(content).map(|text| words.fill(text).into_bytes());
            fs::create_dir_all(parent)
                .and_then(|()| fs::write(&path, text.as_deref().unwrap_or(content)))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        let project = Project::open(&folder)?;
        match format {
            Format::Json => {
                let kind = self.kind.name();
                let made = json!({ "name": name.as_str(), "language": self.lang, "kind": kind, "folder": folder });
                output::print(made)?;
            }
            Format::Person => self.say(&project)?,
        }
        Ok(())
    }

    /// What was made, and what comes next.
    fn say(&self, project: &Project) -> anyhow::Result<()> {
        let (folder, kind) = (project.folder().display(), self.kind.name().replace('-', " "));
        output::print(format!("made {folder}, {kind} in {}; its README.md says what it needs", self.lang))?;
        let mut steps = vec![("drop it in", format!("cp {} lantern-data/plugins/", project.output().display()))];
        if self.kind == Kind::Projection {
            steps.insert(0, ("events.jsonl must give rows.json", format!("lantern plugin test {folder}")));
            steps.insert(0, ("build on every save, see the rows", format!("lantern dev {folder}")));
        } else {
            steps.insert(0, ("build it and check the file", format!("lantern plugin build {folder}")));
        }
        for (what, command) in steps {
            output::print(format!("  {what:<36}{command}"))?;
        }
        Ok(())
    }
}

/// The wrapper code of a language, and what else a project of this kind has.
fn template(language: &str, kind: Kind) -> Result<(Files, Files), Failure> {
    let has = |language: &&Language| language.templates.iter().any(|(name, _)| *name == kind.name());
    let known: Vec<&str> = LANGUAGES.iter().filter(has).map(|language| language.name).collect();
    let found = LANGUAGES.iter().find(|found| found.name == language);
    let files =
        found.and_then(|found| Some((found.sdk, found.templates.iter().find(|(name, _)| *name == kind.name())?.1)));
    files.ok_or_else(|| {
        Failure::new(
            format!("there is no template of the kind {} for {language:?}", kind.name()),
            format!(
                "there is one for {}; any other language that compiles to WebAssembly works through wit/",
                known.join(", ")
            ),
        )
    })
}

/// What the placeholders of a template stand for.
struct Words([(&'static str, String); 3]);

impl Words {
    fn of(name: &str) -> Self {
        let capital = |word: &str| word.get(..1).map(|first| first.to_uppercase() + &word[1..]).unwrap_or_default();
        Self([
            ("{{name}}", name.to_owned()),
            ("{{Name}}", name.split('-').map(capital).collect()),
            ("{{name_}}", name.replace('-', "_")),
        ])
    }

    fn fill(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (placeholder, word)| text.replace(placeholder, word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_become_the_name_as_each_language_spells_it() {
        let words = Words::of("seat-board-2");
        assert_eq!(
            words.fill("{{name}} {{Name}} {{name_}} {{other}}"),
            "seat-board-2 SeatBoard2 seat_board_2 {{other}}"
        );
    }

    #[test]
    fn every_template_is_a_project_with_a_history_and_its_rows() {
        assert!(LANGUAGES.iter().any(|language| language.name == "rust"));
        for language in LANGUAGES {
            made(language.name, Kind::Projection, &["events.jsonl", "rows.json"]);
        }
    }

    #[test]
    fn rust_has_a_template_of_every_kind() {
        for kind in Kind::value_variants() {
            assert_eq!(kind.to_possible_value().expect("it is shown").get_name(), kind.name());
            made("rust", *kind, &["Cargo.toml", "src/lib.rs"]);
        }
    }

    #[track_caller]
    fn made(language: &str, kind: Kind, files: &[&str]) {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("new");
        let new = New { name: "seat-board".into(), lang: language.to_owned(), kind, dir: Some(dir.clone()) };
        new.run(Format::Json).unwrap_or_else(|error| panic!("{language}: {error:#}"));
        let project = Project::open(&dir).unwrap_or_else(|error| panic!("{language}: {error:#}"));
        assert_eq!((project.name(), project.language()), ("seat-board", language));
        for file in ["README.md", ".gitignore", "lantern-sdk"].iter().chain(files) {
            assert!(dir.join(file).exists(), "{language} has no {file}");
        }
        let again = new.run(Format::Json).expect_err("the folder is not empty").to_string();
        assert!(again.contains("not empty"), "{again}");
    }

    #[test]
    fn what_has_no_template_is_answered_with_the_languages_that_have_one() {
        let hint = |language, kind| template(language, kind).err().and_then(|failure| failure.hint).expect("a hint");
        assert!(hint("cobol", Kind::Projection).contains("go, javascript, python, rust"));
        assert!(hint("python", Kind::Upcaster).starts_with("there is one for rust; "));
    }
}

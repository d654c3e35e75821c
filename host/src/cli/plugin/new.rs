//! `lantern plugin new`: writes a small complete projection in any of the languages whose templates are in this program.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::super::client::Failure;
use super::super::output::{self, Format};
use super::project::Project;
use crate::code::PluginName;

/// A language, and its files: where they go in a project, and what is in them.
type Template = (&'static str, &'static [(&'static str, &'static [u8])]);

/// Everything below `guest-sdk/LANGUAGE/template`, and its wrapper code below `lantern-sdk/`.
const TEMPLATES: &[Template] = include!(concat!(env!("OUT_DIR"), "/templates.rs"));

#[derive(Args)]
pub struct New {
    /// Name of the projection: lower-case letters, digits and dashes
    name: String,
    /// Language to write it in
    #[arg(long, value_name = "LANGUAGE")]
    lang: String,
    /// Folder to make [default: NAME]
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

impl New {
    pub fn run(&self, format: Format) -> anyhow::Result<()> {
        let name: PluginName = self.name.parse()?;
        let folder = self.dir.clone().unwrap_or_else(|| name.as_str().into());
        let files = template(&self.lang)?;
        let occupied = fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some());
        if occupied || folder.is_file() {
            let message = format!("{} is there already and not empty", folder.display());
            return Err(Failure::new(message, "take another name, or another folder with --dir").into());
        }
        let words = Words::of(name.as_str());
        for (path, content) in files {
            let path = folder.join(words.fill(path));
            let parent = path.parent().unwrap_or(&folder);
            let text = std::str::from_utf8(content).map(|text| words.fill(text).into_bytes());
            fs::create_dir_all(parent)
                .and_then(|()| fs::write(&path, text.as_deref().unwrap_or(content)))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        let project = Project::open(&folder)?;
        match format {
            Format::Json => output::print(json!({ "name": name.as_str(), "language": self.lang, "folder": folder }))?,
            Format::Person => {
                let folder = folder.display();
                let steps = [
                    ("build on every save, see the rows", format!("lantern dev {folder}")),
                    ("events.jsonl must give rows.json", format!("lantern plugin test {folder}")),
                    ("drop it in", format!("cp {} lantern-data/plugins/", project.output().display())),
                ];
                output::print(format!(
                    "made {folder}, a projection in {}; its README.md says what it needs",
                    self.lang
                ))?;
                for (what, command) in steps {
                    output::print(format!("  {what:<36}{command}"))?;
                }
            }
        }
        Ok(())
    }
}

fn template(language: &str) -> Result<&'static [(&'static str, &'static [u8])], Failure> {
    let found = TEMPLATES.iter().find(|(name, _)| *name == language);
    found.map(|(_, files)| *files).ok_or_else(|| {
        let known: Vec<&str> = TEMPLATES.iter().map(|(name, _)| *name).collect();
        Failure::new(
            format!("there is no template for {language:?}"),
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
        assert!(TEMPLATES.iter().any(|(language, _)| *language == "rust"));
        for (language, _) in TEMPLATES {
            let folder = tempfile::tempdir().expect("a folder");
            let dir = folder.path().join("new");
            let new = New { name: "seat-board".into(), lang: (*language).to_owned(), dir: Some(dir.clone()) };
            new.run(Format::Json).unwrap_or_else(|error| panic!("{language}: {error:#}"));
            let project = Project::open(&dir).unwrap_or_else(|error| panic!("{language}: {error:#}"));
            assert_eq!((project.name(), project.language()), ("seat-board", *language));
            for file in ["events.jsonl", "rows.json", "README.md", ".gitignore", "lantern-sdk"] {
                assert!(dir.join(file).exists(), "{language} has no {file}");
            }
            let again = new.run(Format::Json).expect_err("the folder is not empty").to_string();
            assert!(again.contains("not empty"), "{again}");
        }
    }

    #[test]
    fn a_language_without_template_is_answered_with_those_that_have_one() {
        let failure = template("cobol").expect_err("there is none");
        assert!(failure.hint.is_some_and(|hint| hint.contains("rust")));
    }
}

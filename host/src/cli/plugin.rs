//! `lantern plugin`: what lies in the daemon's plugin folder, and whether a file would be taken.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use comfy_table::Cell;
use serde_json::{Value, json};

use super::Context;
use super::client::{Failure, Target};
use super::output::{self, Format, count, size, text};
use super::projection::columns;
use crate::event::Interest;
use crate::plugin::{LoadedPlugin, PluginError, PluginHost, PluginOptions};
use crate::read_model::{Column, Table};

#[derive(Subcommand)]
pub enum Plugin {
    /// List the files in the daemon's plugin folder and what became of each
    List,
    /// Check a plugin file here, without a daemon
    Check(Check),
}

#[derive(Args)]
pub struct Check {
    /// The plugin: a WebAssembly component or core module
    file: PathBuf,
}

impl Plugin {
    pub fn run(&self, context: &Context) -> anyhow::Result<ExitCode> {
        match self {
            Self::List => list(context)?,
            Self::Check(check) => check.run(context.format)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn list(context: &Context) -> anyhow::Result<()> {
    let plugins = output::list(&mut context.client.get(&Target::new(&["plugins"]))?.json()?, "plugins")?;
    if context.format == Format::Json {
        return Ok(output::print(Value::from(plugins))?);
    }
    if plugins.is_empty() {
        return Ok(output::print("no plugins yet: put a file into the daemon's plugin folder")?);
    }
    let mut table = output::table(["FILE", "STATE", "PROJECTION", "WORLD", "SIZE", "DIGEST"]);
    for plugin in &plugins {
        table.add_row([
            Cell::new(text(plugin, "file")),
            output::state(&plugin["state"]),
            Cell::new(output::plain(&plugin["projection"])),
            Cell::new(output::plain(&plugin["world"])),
            Cell::new(size(count(plugin, "bytes"))),
            Cell::new(text(plugin, "digest").get(..12).unwrap_or("-")),
        ]);
    }
    output::print_table(&table)?;
    for plugin in &plugins {
        if let Some(reason) = plugin.get("reason").and_then(Value::as_str) {
            output::print(format!("\n{}: {reason}", text(plugin, "file")))?;
        }
        if let Some(hint) = plugin.get("hint").and_then(Value::as_str) {
            output::print(format!("  hint: {hint}"))?;
        }
    }
    Ok(())
}
impl Check {
    fn run(&self, format: Format) -> anyhow::Result<()> {
        let shown = self.file.display();
        let bytes = std::fs::read(&self.file).with_context(|| format!("cannot read {shown}"))?;
        let file = self.file.file_name().map_or_else(|| shown.to_string(), |name| name.to_string_lossy().into_owned());
        let scratch = Scratch::new()?;
        let host = PluginHost::new(PluginOptions::new(&scratch.0)).map_err(failure)?;
        let plugin = host.load(&file, &bytes).map_err(failure)?;
        let report = report(&plugin, &bytes);
        match format {
            Format::Json => output::print(report)?,
            Format::Person => output::print(sheet(&report))?,
        }
        Ok(())
    }
}

/// A folder for compiled code that is gone afterwards: a check leaves nothing behind.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> anyhow::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let folder = std::env::temp_dir().join(format!("lantern-check-{}", uuid::Uuid::now_v7()));
        let made = std::fs::DirBuilder::new().mode(0o700).create(&folder);
        made.with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // At worst a folder stays in the place for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn failure(error: PluginError) -> Failure {
    Failure::new(error.to_string(), error.hint())
}

/// What the plugin says of itself, in the form that the daemon's API uses.
fn report(plugin: &LoadedPlugin, bytes: &[u8]) -> Value {
    let LoadedPlugin::Projection { world, code, .. } = plugin;
    let description = code.description();
    let interest = |interest: &Interest| json!({ "category": interest.category, "event_types": interest.event_types });
    let column = |column: &Column| json!({ "name": column.name, "type": column.column_type.to_string(), "nullable": column.nullable });
    let table = |table: &Table| {
        json!({
            "name": table.name,
            "columns": table.columns.iter().map(column).collect::<Vec<_>>(),
            "primary_key": table.primary_key,
            "indexes": table.indexes.iter().map(|index| json!({ "name": index.name, "columns": index.columns })).collect::<Vec<_>>(),
        })
    };
    json!({
        "projection": description.name.as_str(),
        "world": world,
        "read_model_version": description.read_model_version,
        "interests": description.interests.iter().map(interest).collect::<Vec<_>>(),
        "tables": description.schema.tables().iter().map(table).collect::<Vec<_>>(),
        "digest": code.digest().to_string(),
        "bytes": bytes.len(),
    })
}

/// The report for a person.
fn sheet(report: &Value) -> String {
    let mut lines = vec![
        ("projection", text(report, "projection").to_owned()),
        ("world", text(report, "world").to_owned()),
        ("read model", format!("version {}", count(report, "read_model_version"))),
    ];
    lines.extend(output::elements(report, "interests").map(|interest| ("reads", interests(interest))));
    lines.extend(output::elements(report, "tables").map(|table| ("table", columns(table))));
    lines.push(("file", format!("{}, {}", size(count(report, "bytes")), text(report, "digest"))));
    lines.push(("", "this plugin would be taken".to_owned()));
    output::sheet(&lines)
}

fn interests(interest: &Value) -> String {
    let types: Vec<&str> = output::elements(interest, "event_types").filter_map(Value::as_str).collect();
    let types = if types.is_empty() { "all events".to_owned() } else { types.join(", ") };
    match interest.get("category").and_then(Value::as_str) {
        Some(category) => format!("{types} of category {category}"),
        None => format!("{types} of every category"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_plugin_is_refused_with_a_hint() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "hello").expect("written");
        let error = Check { file: file.path().to_owned() }.run(Format::Json).expect_err("no plugin");
        let failure = error.downcast::<Failure>().expect("a failure with a hint");
        assert!(failure.message.contains("it is not WebAssembly"), "{failure}");
        assert!(failure.hint.is_some());
    }

    #[test]
    fn interests_read_like_sentences() {
        let some = json!({ "category": "order", "event_types": ["Placed", "Paid"] });
        assert_eq!(interests(&some), "Placed, Paid of category order");
        assert_eq!(interests(&json!({ "category": null, "event_types": [] })), "all events of every category");
    }

    #[test]
    fn the_folder_for_compiled_code_is_gone_afterwards() {
        let scratch = Scratch::new().expect("a folder");
        let folder = scratch.0.clone();
        assert!(folder.is_dir());
        drop(scratch);
        assert!(!folder.exists());
    }
}

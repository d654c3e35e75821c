//! `lantern plugin`: what lies in the daemon's plugin folder, and all that an author does without a daemon.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use comfy_table::Cell;
use serde_json::{Value, json};

use super::Context;
use super::client::{Failure, Target};
use super::output::{self, Format, count, size, text};
use super::projection::columns;
use super::trial::cache_folder;
use crate::event::Interest;
use crate::plugin::{LoadedCode, LoadedPlugin, PluginError, PluginHost, PluginOptions, imported_interfaces};
use crate::projection::{Description, ProjectionCode};
use crate::read_model::{Column, Table};
use crate::upcast::{EventShape, UpcasterSource};

mod new;
pub mod project;
pub mod test;

use project::Project;

#[derive(Subcommand)]
pub enum Plugin {
    /// List the files in the daemon's plugin folder and what became of each
    List,
    /// Check a plugin file here, without a daemon
    Check(Check),
    /// Write the folder of a new projection, conflict resolver, upcaster or aggregate
    New(new::New),
    /// Build the plugin of a folder as its plugin.toml says, and check it
    Build(Build),
    /// Run a plugin over events, without a daemon, and compare the rows
    Test(test::Test),
}

#[derive(Args)]
pub struct Check {
    /// The plugin: a WebAssembly component or core module
    file: PathBuf,
}

#[derive(Args)]
pub struct Build {
    /// Folder with a plugin.toml
    #[arg(default_value = ".")]
    folder: PathBuf,
}

impl Plugin {
    pub fn run(&self, context: &Context) -> anyhow::Result<ExitCode> {
        match self {
            Self::List => list(context)?,
            Self::Check(check) => check.run(context.format)?,
            Self::New(new) => new.run(context.format)?,
            Self::Build(build) => build.run(context.format)?,
            Self::Test(test) => return test.run(context.format),
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
    let mut table = output::table(["FILE", "STATE", "NAME", "WORLD", "SIZE", "DIGEST"]);
    for plugin in &plugins {
        table.add_row([
            Cell::new(output::file_name(plugin, "file")),
            output::state(&plugin["state"]),
            Cell::new(output::plain(&plugin["name"])),
            Cell::new(output::plain(&plugin["world"])),
            Cell::new(size(count(plugin, "bytes"))),
            Cell::new(text(plugin, "digest").get(..12).unwrap_or("-")),
        ]);
    }
    output::print_table(&table)?;
    for plugin in &plugins {
        if let Some(reason) = plugin.get("reason").and_then(Value::as_str) {
            output::print(format!("\n{}: {reason}", output::file_name(plugin, "file")))?;
        }
        if let Some(hint) = plugin.get("hint").and_then(Value::as_str) {
            output::print(format!("  hint: {hint}"))?;
        }
    }
    Ok(())
}

impl Check {
    fn run(&self, format: Format) -> anyhow::Result<()> {
        let (plugin, bytes) = load(&self.file)?;
        let report = report(&plugin, &bytes);
        match format {
            Format::Json => output::print(report)?,
            Format::Person => output::print(sheet(&report))?,
        }
        Ok(())
    }
}

impl Build {
    fn run(&self, format: Format) -> anyhow::Result<()> {
        let project = Project::open(&self.folder)?;
        let file = project.build()?;
        let (plugin, bytes) = load(&file)?;
        let mut report = report(&plugin, &bytes);
        if text(&report, "name") != project.name() {
            let message = format!("the plugin calls itself {}, and plugin.toml {}", report["name"], project.name());
            return Err(Failure::new(message, "give both the same name").into());
        }
        report["file"] = json!(file);
        match format {
            Format::Json => output::print(report)?,
            Format::Person => {
                let tables: Vec<&str> = output::elements(&report, "tables").map(|table| text(table, "name")).collect();
                let tables = if tables.is_empty() { String::new() } else { format!(", tables {}", tables.join(", ")) };
                let (size, world) = (size(bytes.len() as u64), text(&report, "world"));
                output::print(format!("{}: {size}, world {world}{tables}", file.display()))?;
            }
        }
        Ok(())
    }
}

/// Loads a plugin as the daemon would, and says what is wrong with it otherwise. Answers the file's content, too.
pub fn load(file: &Path) -> anyhow::Result<(LoadedPlugin, Vec<u8>)> {
    let (name, bytes) = read(file)?;
    let host = PluginHost::new(options()).map_err(failure)?;
    Ok((host.load(&name, &bytes).map_err(failure)?, bytes))
}

/// Compiled plugins are kept between commands, a few of them: large ones take seconds to compile.
pub fn options() -> PluginOptions {
    PluginOptions { max_cached_artefacts: 16, ..PluginOptions::new(cache_folder()) }
}

/// A plugin file's name, for messages, and its content.
pub fn read(file: &Path) -> anyhow::Result<(String, Vec<u8>)> {
    let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok((name, bytes))
}

pub fn failure(error: PluginError) -> Failure {
    Failure::new(error.to_string(), error.hint())
}

/// # Errors
/// When it is something else: says what to do with that.
pub fn projection_of(plugin: LoadedPlugin) -> anyhow::Result<Arc<dyn ProjectionCode>> {
    let hint = match plugin.code {
        LoadedCode::ConflictResolver(_) => "`lantern conflict rehearse FILE` runs it over the conflicts of the past",
        LoadedCode::Upcaster(_) => {
            "drop it into a plugin folder: the projections that it touches are replayed beside their rows"
        }
        LoadedCode::Projection(_) | LoadedCode::Aggregate(_) => {
            "drop it into a plugin folder: `lantern aggregate command` sends it commands"
        }
    };
    let hint = format!("{hint}; its own tests need no daemon, in Rust `cargo test`");
    plugin.into_projection().map_err(|message| Failure::new(message, hint).into())
}

/// What the plugin says of itself, in the form that the daemon's API uses.
fn report(plugin: &LoadedPlugin, bytes: &[u8]) -> Value {
    let LoadedPlugin { world, code, .. } = plugin;
    let mut report = json!({
        "name": code.name().as_str(),
        "world": world,
        "digest": code.digest().to_string(),
        "bytes": bytes.len(),
        "imports": imported_interfaces(bytes),
    });
    let described = match code {
        LoadedCode::Projection(code) => projection(code.description()),
        LoadedCode::ConflictResolver(code) => json!({ "categories": code.description().categories }),
        LoadedCode::Upcaster(code) => {
            json!({ "sources": code.description().sources.iter().map(source).collect::<Vec<_>>() })
        }
        LoadedCode::Aggregate(code) => json!({
            "categories": [code.description().category],
            "state_schema_version": code.description().state_schema_version,
        }),
    };
    if let (Some(report), Value::Object(described)) = (report.as_object_mut(), described) {
        report.extend(described);
    }
    report
}

fn source(source: &UpcasterSource) -> Value {
    let shape = |shape: &EventShape| json!({ "event_type": shape.event_type, "schema_version": shape.schema_version });
    let mut described = shape(&source.shape);
    described["becomes"] = source.becomes.iter().map(shape).collect();
    described
}

fn projection(description: &Description) -> Value {
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
        "read_model_version": description.read_model_version,
        "interests": description.interests.iter().map(interest).collect::<Vec<_>>(),
        "tables": description.schema.tables().iter().map(table).collect::<Vec<_>>(),
    })
}

/// The report for a person.
fn sheet(report: &Value) -> String {
    let mut lines = vec![("name", text(report, "name").to_owned()), ("world", text(report, "world").to_owned())];
    if report.get("read_model_version").is_some() {
        lines.push(("read model", format!("version {}", count(report, "read_model_version"))));
    }
    if report.get("state_schema_version").is_some() {
        lines.push(("state", format!("schema version {}", count(report, "state_schema_version"))));
    }
    let categories = output::elements(report, "categories").filter_map(Value::as_str);
    lines.extend(categories.map(|category| ("category", category.to_owned())));
    let shape = |shape: &Value| format!("{} version {}", text(shape, "event_type"), count(shape, "schema_version"));
    let source = |source: &Value| {
        let becomes: Vec<_> = output::elements(source, "becomes").map(shape).collect();
        format!("{} to {}", shape(source), becomes.join(", "))
    };
    lines.extend(output::elements(report, "sources").map(|described| ("upcasts", source(described))));
    lines.extend(output::elements(report, "interests").map(|interest| ("reads", interests(interest))));
    lines.extend(output::elements(report, "tables").map(|table| ("table", columns(table))));
    let mut label = "imports";
    for (package, interfaces) in packages(output::elements(report, "imports").filter_map(Value::as_str)) {
        lines.push((std::mem::take(&mut label), format!("{package}: {}", interfaces.join(", "))));
    }
    lines.push(("file", format!("{}, {}", size(count(report, "bytes")), text(report, "digest"))));
    lines.push(("", "this plugin would be taken".to_owned()));
    output::sheet(&lines)
}

/// The interfaces of each package: `wasi:io@0.2.6` has `poll` and `streams`.
fn packages<'a>(imports: impl Iterator<Item = &'a str>) -> BTreeMap<String, Vec<&'a str>> {
    let mut packages = BTreeMap::<String, Vec<&str>>::new();
    for import in imports {
        let (package, interface) = import.split_once('/').unwrap_or((import, "functions"));
        let (interface, version) = interface.split_once('@').unwrap_or((interface, ""));
        let package = if version.is_empty() { package.to_owned() } else { format!("{package}@{version}") };
        packages.entry(package).or_default().push(interface);
    }
    packages
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
    fn imports_are_listed_by_package() {
        let packages = packages(["env", "wasi:io/poll@0.2.6", "wasi:io/streams@0.2.6"].into_iter());
        let lines: Vec<_> =
            packages.iter().map(|(package, interfaces)| (package.as_str(), interfaces.join(" "))).collect();
        assert_eq!(lines, [("env", "functions".to_owned()), ("wasi:io@0.2.6", "poll streams".to_owned())]);
    }

    #[test]
    fn interests_read_like_sentences() {
        let some = json!({ "category": "order", "event_types": ["Placed", "Paid"] });
        assert_eq!(interests(&some), "Placed, Paid of category order");
        assert_eq!(interests(&json!({ "category": null, "event_types": [] })), "all events of every category");
    }
}

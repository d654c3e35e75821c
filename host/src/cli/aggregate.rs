//! `lantern aggregate`: states now and at any time, and commands.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use comfy_table::Cell;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Context;
use super::client::{Content, Target};
use super::output::{self, Format, count, counted, number, text};
use super::projection::told;

#[derive(Subcommand)]
pub enum Aggregate {
    /// List the categories that an aggregate plugin folds
    List,
    /// Fold a stream and show the state
    Show(Show),
    /// Send a command; sent again with the same id, it is handled once
    Command(Command),
    /// Delete all snapshots, which changes no state: streams are folded from their start
    DeleteSnapshots,
}

#[derive(Args)]
pub struct Show {
    /// The part of the stream's name before its first dash, for example conference
    category: String,
    /// The part behind it, for example rust-2026
    id: String,
    /// The state after the event of this version
    #[arg(long, value_name = "N", conflicts_with = "time")]
    version: Option<u64>,
    /// The state before the first event that happened later, as in 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    time: Option<String>,
}

#[derive(Args)]
pub struct Command {
    /// The part of the stream's name before its first dash, for example conference
    category: String,
    /// The part behind it, for example rust-2026
    id: String,
    /// Type of the command, for example ReserveSeats
    #[arg(long = "type", value_name = "TYPE")]
    command_type: String,
    /// The command's data as JSON
    #[arg(long, value_name = "JSON", default_value = "{}")]
    data: String,
    /// A JSON object about the command
    #[arg(long, value_name = "JSON")]
    metadata: Option<String>,
    /// The command's id; made anew, if not given
    #[arg(long = "id", value_name = "UUID")]
    command_id: Option<Uuid>,
}

impl Aggregate {
    pub fn run(&self, context: &Context) -> anyhow::Result<ExitCode> {
        match self {
            Self::List => list(context)?,
            Self::Show(show) => show.run(context)?,
            Self::Command(command) => command.run(context)?,
            Self::DeleteSnapshots => {
                let answer: Value = context.client.delete(&Target::new(&["snapshots"]))?.json()?;
                let deleted = counted(count(&answer, "deleted"), "snapshot");
                told(context, &answer, &format!("{deleted} deleted; states are the same without"))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn list(context: &Context) -> anyhow::Result<()> {
    let mut answer = context.client.get(&Target::new(&["aggregates"]))?.json()?;
    let aggregates = output::list(&mut answer, "aggregates")?;
    if context.format == Format::Json {
        return Ok(output::print(Value::Array(aggregates))?);
    }
    if aggregates.is_empty() {
        return Ok(output::print("no aggregates; put a plugin of the world aggregate into the plugin folder")?);
    }
    let mut table = output::table(["CATEGORY", "PLUGIN", "STATE SCHEMA", "DIGEST"]);
    for aggregate in &aggregates {
        table.add_row([
            Cell::new(text(aggregate, "category")),
            Cell::new(text(aggregate, "name")),
            number(count(aggregate, "state_schema_version")),
            Cell::new(output::shortened(text(aggregate, "digest"), 13)),
        ]);
    }
    Ok(output::print_table(&table)?)
}

impl Show {
    fn run(&self, context: &Context) -> anyhow::Result<()> {
        let target = Target::new(&["aggregates", &self.category, &self.id]);
        let target = target.with_each("version", self.version).with_each("time", self.time.as_ref());
        let answer: Value = context.client.get(&target)?.json()?;
        let state = format!("{:#}", answer["state"]);
        let (stream, version) = (text(&answer, "stream"), count(&answer, "version"));
        told(context, &answer, &format!("{stream} at version {version}\n{state}"))
    }
}

impl Command {
    fn run(&self, context: &Context) -> anyhow::Result<()> {
        let raw = |json: &String| RawValue::from_string(json.trim().to_owned());
        let data = raw(&self.data).context("--data is not JSON")?;
        let metadata = self.metadata.as_ref().map(raw).transpose().context("--metadata is not JSON")?;
        let mut body = format!("{{\"command_type\":{},\"data\":{data}", json!(self.command_type));
        body.extend(metadata.map(|metadata| format!(",\"metadata\":{metadata}")));
        body.push('}');
        let id = self.command_id.unwrap_or_else(Uuid::now_v7);
        let headers = [("idempotency-key", id.to_string())];
        let target = Target::new(&["aggregates", &self.category, &self.id, "commands"]);
        let content = Content { headers: &headers, ..Content::json(body.as_bytes()) };
        let answer: Value = context.client.post(&target, content)?.json()?;
        told(context, &answer, &handled(&answer))
    }
}

fn handled(answer: &Value) -> String {
    let (stream, version) = (text(answer, "stream"), count(answer, "version"));
    let events = counted(count(answer, "events"), "event");
    match (count(answer, "events"), answer["appended"] == json!(true)) {
        (0, _) => format!("{stream}: the command changes nothing at version {version}"),
        (_, true) => format!("{stream}: {events} appended, the stream is now at version {version}"),
        (_, false) => format!("{stream}: the command was handled before, with {events} up to version {version}"),
    }
}

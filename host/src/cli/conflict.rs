//! `lantern conflict`: what was decided on conflicts of the past, and what another resolver would decide.

use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use comfy_table::Cell;
use serde_json::Value;

use super::Context;
use super::client::Target;
use super::output::{self, Format, count, plain, shortened, text};

mod rehearse;

/// The longest data of an event in a line, in characters.
const DATA: usize = 100;

#[derive(Subcommand)]
pub enum Conflict {
    /// List conflicts that were decided, the newest first
    List(List),
    /// Show a conflict with the events that were proposed and appended
    Show {
        /// Its id, as the list or the metadata of an appended event shows it
        id: String,
    },
    /// Run a conflict resolver over every past conflict, without changing anything
    ///
    /// The daemon may be running.
    Rehearse(rehearse::Rehearse),
}

#[derive(clap::Args)]
pub struct List {
    /// Only those of this stream
    #[arg(long)]
    stream: Option<String>,
    /// Only those of the streams of this category
    #[arg(long)]
    category: Option<String>,
    /// Only those with this resolution
    #[arg(long)]
    resolution: Option<Resolution>,
    /// Only those that were decided before the one with this id
    #[arg(long, value_name = "ID")]
    before: Option<String>,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Resolution {
    Accept,
    Rewrite,
    Reject,
}

impl Resolution {
    fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Rewrite => "rewrite",
            Self::Reject => "reject",
        }
    }
}

impl Conflict {
    pub fn run(&self, context: &Context) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(list) => list.run(context)?,
            Self::Show { id } => show(context, id)?,
            Self::Rehearse(rehearse) => return rehearse.run(context.format),
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl List {
    fn run(&self, context: &Context) -> anyhow::Result<()> {
        let target = Target::new(&["conflicts"])
            .with("limit", self.limit)
            .with_each("stream", &self.stream)
            .with_each("category", &self.category)
            .with_each("resolution", self.resolution.map(Resolution::name))
            .with_each("before", &self.before);
        let conflicts = output::list(&mut context.client.get(&target)?.json()?, "conflicts")?;
        if context.format == Format::Json {
            return Ok(output::print(Value::from(conflicts))?);
        }
        if conflicts.is_empty() {
            return Ok(output::print("no conflicts")?);
        }
        let mut table =
            output::table(["CONFLICT", "DECIDED", "STREAM", "EXPECTED", "FOUND", "RESOLUTION", "RESOLVER", "WHY"]);
        for conflict in &conflicts {
            table.add_row([
                Cell::new(text(conflict, "id")),
                Cell::new(text(conflict, "decided_at")),
                Cell::new(text(conflict, "stream")),
                output::number(count(conflict, "expected")),
                output::number(count(conflict, "actual")),
                Cell::new(text(conflict, "resolution")),
                Cell::new(text(conflict, "resolver")),
                Cell::new(text(conflict, "reason")),
            ]);
        }
        Ok(output::print_table(&table)?)
    }
}

fn show(context: &Context, id: &str) -> anyhow::Result<()> {
    let conflict: Value = context.client.get(&Target::new(&["conflicts", id]))?.json()?;
    if context.format == Format::Json {
        return Ok(output::print(conflict)?);
    }
    let digest = text(&conflict, "component_digest");
    let mut lines = vec![
        ("conflict", text(&conflict, "id").to_owned()),
        ("decided", text(&conflict, "decided_at").to_owned()),
        ("stream", text(&conflict, "stream").to_owned()),
        ("expected", count(&conflict, "expected").to_string()),
        ("found", format!("{} (decision {} on this append)", count(&conflict, "actual"), count(&conflict, "attempt"))),
        ("resolver", format!("{} ({})", text(&conflict, "resolver"), digest.get(..12).unwrap_or(digest))),
        ("resolution", text(&conflict, "resolution").to_owned()),
    ];
    lines.extend(conflict.get("reason").map(|reason| ("reason", plain(reason))));
    if let Some(appended) = conflict.get("appended") {
        let (first, last) = (count(appended, "first_version"), count(appended, "last_version"));
        lines.push(("appended", format!("versions {first} to {last}")));
    }
    lines.push(("", String::new()));
    for (list, label) in [("proposed", "proposed"), ("rewritten", "instead")] {
        lines.extend(output::elements(&conflict, list).map(|event| (label, described(event))));
    }
    Ok(output::print(output::sheet(&lines))?)
}

fn described(event: &Value) -> String {
    let data = event.get("data").map_or_else(|| text(event, "content_type").to_owned(), Value::to_string);
    format!("{} {}", text(event, "event_type"), shortened(&data, DATA))
}

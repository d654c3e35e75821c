//! `lantern dead-letter`: events that a projection could not apply, and those of their streams that wait behind them.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use comfy_table::Cell;
use serde_json::{Value, json};

use super::Context;
use super::client::{Content, Target};
use super::output::{self, Format, count, number, text};
use super::projection::{statuses, told};

#[derive(Subcommand)]
pub enum DeadLetter {
    /// List dead letters, of one projection or of all
    List(List),
    /// Apply parked events again, in order
    Retry(Retry),
    /// Give one event up: it is never applied, and its stream goes on
    Discard(Discard),
}

#[derive(Args)]
pub struct List {
    /// Name of the projection; all projections, if not given
    projection: Option<String>,
    /// Only those after this position
    #[arg(long, value_name = "POSITION", requires = "projection")]
    after: Option<u64>,
    /// At most this many of a projection
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u64,
}

#[derive(Args)]
pub struct Retry {
    /// Name of the projection
    projection: String,
    /// Only this stream
    #[arg(long)]
    stream: Option<String>,
}

#[derive(Args)]
pub struct Discard {
    /// Name of the projection
    projection: String,
    /// Position of the event in the log
    position: u64,
}

impl DeadLetter {
    pub fn run(&self, context: &Context) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(list) => list.run(context)?,
            Self::Retry(retry) => retry.run(context)?,
            Self::Discard(Discard { projection, position }) => {
                let target = Target::new(&["projections", projection, "dead-letters", &position.to_string()]);
                let answer = context.client.delete(&target)?.json()?;
                told(context, &answer, &format!("{projection}: the event at position {position} is discarded"))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl List {
    fn run(&self, context: &Context) -> anyhow::Result<()> {
        let mut found = Vec::new();
        for projection in self.projections(context)? {
            let target = Target::new(&["projections", &projection, "dead-letters"]).with("limit", self.limit);
            let mut answer = context.client.get(&target.with_each("after", self.after))?.json()?;
            found.push((projection, output::list(&mut answer, "dead_letters")?));
        }
        match context.format {
            Format::Json => print_json(self, found),
            Format::Person => print_tables(found),
        }
    }

    fn projections(&self, context: &Context) -> anyhow::Result<Vec<String>> {
        if let Some(projection) = &self.projection {
            return Ok(vec![projection.clone()]);
        }
        Ok(statuses(context)?.iter().map(|status| text(status, "name").to_owned()).collect())
    }
}

/// One projection is a list; all projections are an object with a list each.
fn print_json(list: &List, found: Vec<(String, Vec<Value>)>) -> anyhow::Result<()> {
    let json = match &list.projection {
        Some(_) => Value::Array(found.into_iter().flat_map(|(_, letters)| letters).collect()),
        None => Value::Object(found.into_iter().map(|(name, letters)| (name, letters.into())).collect()),
    };
    Ok(output::print(json)?)
}

fn print_tables(mut found: Vec<(String, Vec<Value>)>) -> anyhow::Result<()> {
    found.retain(|(_, letters)| !letters.is_empty());
    if found.is_empty() {
        return Ok(output::print("no dead letters")?);
    }
    let mut table = output::table(["PROJECTION", "POSITION", "EVENT", "TYPE", "ATTEMPTS", "WHY"]);
    for (projection, letter) in
        found.iter().flat_map(|(name, letters)| letters.iter().map(move |letter| (name, letter)))
    {
        let waits = output::words(&letter["kind"]) == "waiting";
        table.add_row([
            Cell::new(projection),
            number(count(letter, "position")),
            Cell::new(format!("{}@{}", text(letter, "stream"), count(letter, "version"))),
            Cell::new(text(letter, "event_type")),
            number(count(letter, "attempts")),
            Cell::new(if waits { "waits behind an earlier event of its stream" } else { text(letter, "reason") }),
        ]);
    }
    output::print_table(&table)?;
    output::print("\na fixed plugin applies them by itself; `lantern dead-letter retry PROJECTION` tries again now")?;
    Ok(())
}

impl Retry {
    fn run(&self, context: &Context) -> anyhow::Result<()> {
        let body = self.stream.as_ref().map_or(json!({}), |stream| json!({ "stream": stream })).to_string();
        let target = Target::new(&["projections", &self.projection, "dead-letters", "retry"]);
        let answer: Value = context.client.post(&target, Content::json(body.as_bytes()))?.json()?;
        let list = format!("`lantern dead-letter list {}` shows what is left", self.projection);
        told(context, &answer, &format!("{}: parked events are tried again; {list}", self.projection))
    }
}

//! `lantern projection`: how projections stand, and what can be asked of them. `replay --watch` has its own file.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use comfy_table::Cell;
use serde_json::Value;

use super::client::{Content, Target};
use super::output::{self, Format, count, counted, duration, grouped, number, text};
use super::{Context, replay};

#[derive(Subcommand)]
pub enum Projection {
    /// List all projections
    List,
    /// Show one projection with its tables
    Show(Named),
    /// Fill a new read model from all of history beside the present one, then swap it in
    Replay(replay::Replay),
    /// Stop a replay and drop what it has filled; the present read model stays
    CancelReplay(Named),
    /// Stop applying events until it is resumed
    Pause(Named),
    /// Go on after a pause or a stop
    Resume(Named),
}

#[derive(Args)]
pub struct Named {
    /// Name of the projection
    name: String,
}

impl Projection {
    pub fn run(&self, context: &Context) -> anyhow::Result<ExitCode> {
        match self {
            Self::List => list(context)?,
            Self::Show(Named { name }) => show(context, name)?,
            Self::Replay(replay) => return replay.run(context),
            Self::CancelReplay(Named { name }) => {
                let answer = context.client.delete(&Target::new(&["projections", name, "replay"]))?.json()?;
                told(context, &answer, &format!("{name}: the replay is cancelled"))?;
            }
            Self::Pause(Named { name }) => {
                told(
                    context,
                    &post(context, name, "pause")?,
                    &format!("{name}: paused; `lantern projection resume {name}` goes on"),
                )?;
            }
            Self::Resume(Named { name }) => {
                told(context, &post(context, name, "resume")?, &format!("{name}: goes on"))?
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Asks the daemon to do something with a projection.
pub fn post(context: &Context, name: &str, verb: &str) -> anyhow::Result<Value> {
    context.client.post(&Target::new(&["projections", name, verb]), Content::nothing())?.json()
}

/// The status of one projection.
pub fn status(context: &Context, name: &str) -> anyhow::Result<Value> {
    context.client.get(&Target::new(&["projections", name]))?.json()
}

/// The statuses of all projections.
pub fn statuses(context: &Context) -> anyhow::Result<Vec<Value>> {
    Ok(output::list(&mut context.client.get(&Target::new(&["projections"]))?.json()?, "projections")?)
}

/// Prints what the daemon answered, or a sentence for a person.
pub fn told(context: &Context, answer: &Value, sentence: &str) -> anyhow::Result<()> {
    match context.format {
        Format::Json if answer.is_null() => output::print("{}")?,
        Format::Json => output::print(answer)?,
        Format::Person => output::print(sentence)?,
    }
    Ok(())
}

fn list(context: &Context) -> anyhow::Result<()> {
    let statuses = statuses(context)?;
    if context.format == Format::Json {
        return Ok(output::print(Value::from(statuses))?);
    }
    if statuses.is_empty() {
        return Ok(output::print("no projections yet: put a plugin file into the daemon's plugin folder")?);
    }
    let mut table =
        output::table(["PROJECTION", "STATE", "READ MODEL", "POSITION", "BEHIND", "DEAD LETTERS", "REPLAY"]);
    for status in &statuses {
        table.add_row([
            Cell::new(text(status, "name")),
            output::state(&status["state"]),
            Cell::new(format!("version {}", count(status, "read_model_version"))),
            number(count(status, "position")),
            number(count(status, "lag")),
            number(count(status, "dead_letters") + count(status, "waiting")),
            Cell::new(status.get("replay").filter(|replay| !replay.is_null()).map(brief).unwrap_or_default()),
        ]);
    }
    output::print_table(&table)?;
    for status in &statuses {
        for (what, part) in [("", status), ("the replay: ", &status["replay"])] {
            if let Some(reason) = part.get("reason").and_then(Value::as_str) {
                output::print(format!("\n{}: {what}{reason}", text(status, "name")))?;
            }
        }
    }
    Ok(())
}

/// A replay in a few words.
fn brief(replay: &Value) -> String {
    let percent = replay.get("percent").and_then(Value::as_f64).unwrap_or(0.0);
    let left = replay.get("eta_seconds").and_then(Value::as_u64).map(Duration::from_secs);
    let left = left.map(|left| format!(", {} left", duration(left))).unwrap_or_default();
    format!("version {}: {percent:.0}%{left}", count(replay, "read_model_version"))
}

fn show(context: &Context, name: &str) -> anyhow::Result<()> {
    let status = status(context, name)?;
    if context.format == Format::Json {
        return Ok(output::print(status)?);
    }
    let mut lines = vec![
        ("projection", text(&status, "name").to_owned()),
        ("plugin", format!("{} ({})", output::file_name(&status, "plugin_file"), digest(&status))),
    ];
    lines.extend(build(&status));
    if let Some(replay) = status.get("replay").filter(|replay| !replay.is_null()) {
        lines.push(("", String::new()));
        lines.push(("replay", format!("code {}", digest(replay))));
        lines.extend(build(replay));
    }
    lines.push(("", String::new()));
    lines.extend(output::elements(&status, "tables").map(|table| ("table", columns(table))));
    Ok(output::print(output::sheet(&lines))?)
}

/// How a read model stands that is serving or being filled.
fn build(status: &Value) -> Vec<(&'static str, String)> {
    let reason = status.get("reason").and_then(Value::as_str).map(|reason| format!(": {reason}")).unwrap_or_default();
    let mut lines = vec![
        ("state", output::words(&status["state"]) + &reason),
        ("read model", format!("version {}, {}", count(status, "read_model_version"), text(status, "read_model_path"))),
        (
            "position",
            format!("{} of {}{}", grouped(count(status, "position")), grouped(count(status, "head")), pace(status)),
        ),
    ];
    let short = |digest: &str| digest.get(..12).unwrap_or(digest).to_owned();
    lines.extend(output::elements(status, "upcasters").map(|upcaster| {
        ("reads through", format!("{} ({})", text(upcaster, "name"), short(text(upcaster, "digest"))))
    }));
    let (failed, waiting) = (count(status, "dead_letters"), count(status, "waiting"));
    if failed + waiting > 0 {
        lines.push(("dead letters", format!("{} failed, {} waiting behind them", grouped(failed), grouped(waiting))));
    }
    lines
}

/// How fast it moves, while it does.
pub fn pace(status: &Value) -> String {
    let rate = status.get("events_per_second").and_then(Value::as_f64).unwrap_or(0.0);
    let mut pace = String::new();
    if rate >= 1.0 {
        pace += &format!(", {}/s", counted(rate as u64, "event"));
    }
    if let Some(left) = status.get("eta_seconds").and_then(Value::as_u64).filter(|left| *left > 0) {
        pace += &format!(", {} left", duration(Duration::from_secs(left)));
    }
    pace
}

fn digest(status: &Value) -> String {
    let digest = text(status, "component_digest");
    digest.get(..12).unwrap_or(digest).to_owned()
}

/// A table with its columns and its key.
pub fn columns(table: &Value) -> String {
    let key: Vec<&str> = output::elements(table, "primary_key").filter_map(Value::as_str).collect();
    let columns: Vec<String> = output::elements(table, "columns")
        .map(|column| format!("{} {}", text(column, "name"), text(column, "type")))
        .collect();
    format!("{} ({}; key {})", text(table, "name"), columns.join(", "), key.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_replay_is_told_in_a_few_words() {
        let replay = json!({"read_model_version": 2, "percent": 41.7, "eta_seconds": 75});
        assert_eq!(brief(&replay), "version 2: 42%, 1 min 15 s left");
        assert_eq!(brief(&json!({"read_model_version": 2, "percent": 0.0, "eta_seconds": null})), "version 2: 0%");
    }

    #[test]
    fn the_pace_is_silent_when_nothing_moves() {
        assert_eq!(pace(&json!({"events_per_second": 0.0, "eta_seconds": 0})), "");
        assert_eq!(pace(&json!({"events_per_second": 1500.4, "eta_seconds": 4})), ", 1,500 events/s, 4 s left");
    }
}

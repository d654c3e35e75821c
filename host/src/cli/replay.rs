//! `lantern projection replay`: starts a replay and, with `--watch`, shows it until the new read model is swapped in.

use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::Value;

use super::Context;
use super::interrupt::{INTERRUPTED, interrupted};
use super::output::{self, count, grouped, text, words};
use super::progress::Progress;
use super::projection::{pace, post, status, told};

/// Between two looks at the daemon.
const LOOK: Duration = Duration::from_millis(200);
/// So often in a row may the daemon not answer: it may be restarting, and a replay goes on after a restart.
const SILENT_LOOKS: u32 = 50;

#[derive(Args)]
pub struct Replay {
    /// Name of the projection
    name: String,
    /// Show the progress until the new read model answers queries; Ctrl-C leaves the replay running
    #[arg(long)]
    watch: bool,
}

/// How one look at a replay turned out.
#[derive(Debug, PartialEq)]
enum Look {
    Going,
    SwappedIn,
    /// It is gone and the old read model still serves.
    Gone,
    /// It cannot go on by itself.
    Stuck(String),
}

impl Replay {
    pub fn run(&self, context: &Context) -> anyhow::Result<ExitCode> {
        let answer = post(context, &self.name, "replay")?;
        if !self.watch {
            let name = &self.name;
            told(
                context,
                &answer,
                &format!("{name}: replaying; `lantern projection show {name}` shows how far it is"),
            )?;
            return Ok(ExitCode::SUCCESS);
        }
        let started = status(context, &self.name)?;
        let build = count(&started["replay"], "build").max(count(&started, "build"));
        self.watch_until_swapped(context, build)
    }

    fn watch_until_swapped(&self, context: &Context, build: u64) -> anyhow::Result<ExitCode> {
        let name = &self.name;
        let interrupted = interrupted(|| {}).context("cannot listen for Ctrl-C")?;
        let mut progress = Progress::start();
        let mut silent = 0;
        loop {
            if interrupted.load(Ordering::Relaxed) {
                drop(progress);
                eprintln!(
                    "{name}: the replay goes on in the daemon; `lantern projection cancel-replay {name}` stops it"
                );
                return Ok(ExitCode::from(INTERRUPTED));
            }
            let now = match status(context, name) {
                Ok(status) => status,
                Err(error) if silent == SILENT_LOOKS => return Err(error),
                Err(_) => {
                    silent += 1;
                    progress.show(None, "the daemon does not answer; waiting for it");
                    thread::sleep(LOOK);
                    continue;
                }
            };
            silent = 0;
            match look(&now, build) {
                Look::Going => progress.show(Some(fraction(&now["replay"])), &message(&now["replay"])),
                Look::SwappedIn => {
                    drop(progress);
                    return self.swapped_in(context, &now);
                }
                Look::Gone => {
                    bail!("{name}: the replay was cancelled or replaced; the read model of before goes on serving")
                }
                Look::Stuck(reason) => {
                    bail!("{name}: the replay cannot go on: {reason}; the read model of before goes on serving")
                }
            }
            thread::sleep(LOOK);
        }
    }

    fn swapped_in(&self, context: &Context, now: &Value) -> anyhow::Result<ExitCode> {
        let (name, failed) = (&self.name, count(now, "dead_letters"));
        let mut sentence = format!(
            "{name}: the new read model (version {}) answers queries, at position {}",
            count(now, "read_model_version"),
            grouped(count(now, "position"))
        );
        if failed > 0 {
            sentence += &format!(
                "\n{} could not be applied; `lantern dead-letter list {name}` shows them",
                output::counted(failed, "event")
            );
        }
        told(context, now, &sentence)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Builds of a projection are counted: the replay that was started either serves now, is still under way, or is gone.
fn look(now: &Value, build: u64) -> Look {
    if count(now, "build") >= build {
        return Look::SwappedIn;
    }
    let replay = &now["replay"];
    if replay.is_null() || count(replay, "build") != build {
        return Look::Gone;
    }
    match words(&replay["state"]).as_str() {
        "stopped" | "plugin missing" => Look::Stuck(text(replay, "reason").to_owned()),
        _ => Look::Going,
    }
}

fn fraction(replay: &Value) -> f64 {
    replay.get("percent").and_then(Value::as_f64).unwrap_or(0.0) / 100.0
}

fn message(replay: &Value) -> String {
    let state = words(&replay["state"]);
    let reason = replay.get("reason").and_then(Value::as_str).map(|reason| format!(" ({state}: {reason})"));
    let reason = reason.or_else(|| (state == "paused").then(|| " (paused)".to_owned())).unwrap_or_default();
    let failed = match count(replay, "dead_letters") {
        0 => String::new(),
        failed => format!(", {}", output::counted(failed, "dead letter")),
    };
    let (position, head) = (grouped(count(replay, "position")), grouped(count(replay, "head")));
    format!("{position} of {head} events{}{failed}{reason}", pace(replay))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_replay_is_over_when_its_build_serves() {
        let replay = json!({"build": 4, "state": "catching-up"});
        assert_eq!(look(&json!({"build": 3, "replay": replay}), 4), Look::Going);
        assert_eq!(look(&json!({"build": 4, "replay": null}), 4), Look::SwappedIn);
        assert_eq!(look(&json!({"build": 3, "replay": null}), 4), Look::Gone);
        assert_eq!(look(&json!({"build": 3, "replay": {"build": 5, "state": "live"}}), 4), Look::Gone);
    }

    #[test]
    fn a_replay_that_stopped_is_an_error_with_its_reason() {
        let replay = json!({"build": 4, "state": "stopped", "reason": "the disk is full"});
        assert_eq!(look(&json!({"build": 3, "replay": replay}), 4), Look::Stuck("the disk is full".into()));
    }

    #[test]
    fn the_message_has_position_rate_and_time_left() {
        let replay = json!({"state": "catching-up", "position": 41000, "head": 100000, "events_per_second": 9000.0,
            "eta_seconds": 7, "dead_letters": 1});
        assert_eq!(message(&replay), "41,000 of 100,000 events, 9,000 events/s, 7 s left, 1 dead letter");
    }
}

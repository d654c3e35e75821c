//! `lantern events import`: sends JSON lines to the daemon, batch by batch, the next one being read while one is under
//! way. Running it again, or after it was killed, adds only what is not in the log.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Value, json};

use super::Context;
use super::client::{Client, Content, Failure, Target};
use super::output::{self, Format, count, counted, duration, grouped, size};
use super::progress::{Progress, remaining};
use super::records::{Batch, Record, RecordError, Records, without_first_line};

/// Batches that are read ahead.
const READ_AHEAD: usize = 2;
/// A daemon that is busy is asked again this often, after one, two, three... times the pause.
const ATTEMPTS: u32 = 6;
const PAUSE: Duration = Duration::from_millis(200);

const RECORDS: &str = "\
Each line is one record, a JSON object with
  stream            name of the stream, or aggregate_type and aggregate_id in its place
  event_type        type of the event
  data              any JSON
and, if you like, id (a UUID), time (RFC 3339), metadata (an object) and schema_version (a number).

A record without an id gets one from its line number and text. So importing a file again changes nothing, and an
import that was stopped is simply run again.";

#[derive(Args)]
#[command(after_help = RECORDS)]
pub struct Import {
    /// File with JSON lines, of any size; `-` is standard input
    file: PathBuf,
}

/// What has been done so far.
#[derive(Debug, Default)]
struct Total {
    records: u64,
    appended: u64,
    skipped: u64,
    last_position: u64,
    last_line: u64,
    input_bytes: u64,
}

impl Import {
    pub fn run(&self, context: &Context) -> anyhow::Result<ExitCode> {
        let (input, length) = self.open()?;
        let (sender, batches) = sync_channel(READ_AHEAD);
        // Not joined: after a failure it may wait for input that never comes.
        thread::spawn(move || {
            // Nobody wants more batches: the import has failed and says why.
            let _ = Records::new(BufReader::with_capacity(1 << 20, input)).try_for_each(|batch| sender.send(batch));
        });
        let mut total = Total::default();
        let started = Instant::now();
        let mut progress = Progress::start();
        let done = batches.into_iter().try_for_each(|batch| {
            send(&context.client, &batch?, &mut total)?;
            let fraction = length.map(|length| total.input_bytes as f64 / length.max(1) as f64);
            progress.show(fraction, &total.so_far(started.elapsed(), fraction));
            Ok(())
        });
        drop(progress);
        done.map_err(|error| stopped(error, &total))?;
        match context.format {
            Format::Json => output::print(total.json(started.elapsed()))?,
            Format::Person => output::print(total.sentence(started.elapsed()))?,
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The input and, if it is known, its length in bytes.
    fn open(&self) -> anyhow::Result<(Box<dyn Read + Send>, Option<u64>)> {
        if self.file.as_os_str() == "-" {
            return Ok((Box::new(io::stdin()), None));
        }
        let cannot = || format!("cannot open {}", self.file.display());
        let file = File::open(&self.file).with_context(cannot)?;
        let metadata = file.metadata().with_context(cannot)?;
        if metadata.is_dir() {
            bail!("{} is a folder; give a file with JSON lines", self.file.display());
        }
        Ok((Box::new(file), metadata.is_file().then_some(metadata.len())))
    }
}

/// Sends a batch. When one record is refused, nothing of the batch is in the log; then those before it are sent alone.
fn send(client: &Client, batch: &Batch, total: &mut Total) -> anyhow::Result<()> {
    let refused = match post(client, &batch.body) {
        Ok(answer) => {
            total.add(&answer, &batch.records);
            total.input_bytes = batch.input_bytes;
            return Ok(());
        }
        Err(error) => error,
    };
    let Some(failure) = refused.downcast_ref::<Failure>() else { return Err(refused) };
    let Some(index) = failure.facts.get("line").and_then(Value::as_u64).and_then(|line| line.checked_sub(1)) else {
        return Err(refused);
    };
    let (good, bad) = batch.records.split_at(batch.records.len().min(index as usize));
    let Some(bad) = bad.first() else { return Err(refused) };
    if let Some(last) = good.last() {
        total.add(&post(client, &batch.body[..last.end])?, good);
    }
    Err(RecordError::Bad { line: bad.line, reason: without_own_line(&failure.message, index + 1) }.into())
}

fn post(client: &Client, body: &[u8]) -> anyhow::Result<Value> {
    let target = Target::new(&["events", "import"]);
    for attempt in 1.. {
        match client.post(&target, Content { media_type: "application/x-ndjson", headers: &[], body }) {
            Err(failure) if failure.status == Some(503) && attempt < ATTEMPTS => thread::sleep(PAUSE * attempt),
            answer => return answer?.json(),
        }
    }
    unreachable!("the loop ends by returning")
}

/// The daemon names the line of the batch, which would be wrong beside the line of the file.
fn without_own_line(message: &str, line: u64) -> String {
    without_first_line(message.strip_prefix(&format!("line {line}: ")).unwrap_or(message))
}

/// What is in the log after a failure, and how to go on.
fn stopped(error: anyhow::Error, total: &Total) -> anyhow::Error {
    let done = match total.last_line {
        0 => "nothing was imported".to_owned(),
        line => format!("everything up to line {} is in the log", grouped(line)),
    };
    let advice = match error.downcast_ref::<RecordError>() {
        Some(RecordError::Bad { .. }) => "correct the line and run the same command again",
        _ => "run the same command again to go on",
    };
    let hint = format!("{done}; {advice}: what is there is skipped");
    match error.downcast::<Failure>() {
        Ok(failure) if total.last_line == 0 => failure.into(),
        Ok(failure) => Failure { hint: Some(hint), ..failure }.into(),
        Err(error) => Failure::new(format!("{error:#}"), hint).into(),
    }
}

impl Total {
    fn add(&mut self, answer: &Value, records: &[Record]) {
        self.records += records.len() as u64;
        self.appended += count(answer, "appended");
        self.skipped += count(answer, "skipped");
        self.last_position = count(answer, "last_position");
        self.last_line = records.last().map_or(self.last_line, |record| record.line);
    }

    fn so_far(&self, elapsed: Duration, fraction: Option<f64>) -> String {
        let mut text =
            format!("{}  {}, {}", size(self.input_bytes), counted(self.records, "record"), self.rate(elapsed));
        if let Some(left) = fraction.and_then(|fraction| remaining(elapsed, fraction)) {
            text += &format!(", {} left", duration(Duration::from_secs(left.as_secs())));
        }
        text
    }

    fn rate(&self, elapsed: Duration) -> String {
        let per_second = self.records as f64 / elapsed.as_secs_f64().max(1e-3);
        format!("{}/s", grouped(per_second as u64))
    }

    fn sentence(&self, elapsed: Duration) -> String {
        let records = counted(self.records, "record");
        let (appended, skipped) = (grouped(self.appended), grouped(self.skipped));
        let (time, rate) = (duration(elapsed), self.rate(elapsed));
        format!("{records} in {time} ({rate}): {appended} appended, {skipped} already there")
    }

    fn json(&self, elapsed: Duration) -> Value {
        json!({
            "records": self.records,
            "appended": self.appended,
            "skipped": self.skipped,
            "last_position": self.last_position,
            "seconds": elapsed.as_secs_f64(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_is_in_the_log_and_how_to_go_on() {
        let total = Total { last_line: 1200, ..Total::default() };
        let bad = || RecordError::Bad { line: 1201, reason: "no event_type".into() };
        let failure = stopped(bad().into(), &total).downcast::<Failure>().expect("a failure with a hint");
        assert_eq!(failure.message, "line 1201: no event_type");
        let hint = failure.hint.expect("a hint");
        assert!(hint.starts_with("everything up to line 1,200 is in the log; correct the line"), "{hint}");

        let lost = Failure::new("no answer", "start one");
        let failure = stopped(lost.into(), &total).downcast::<Failure>().expect("a failure with a hint");
        assert!(failure.hint.expect("a hint").contains("run the same command again to go on"));
    }

    #[test]
    fn a_daemon_that_was_never_there_keeps_its_own_hint() {
        let lost = Failure::new("no answer", "start one");
        let failure = stopped(lost.into(), &Total::default()).downcast::<Failure>().expect("the same failure");
        assert_eq!(failure.hint.as_deref(), Some("start one"));
    }

    #[test]
    fn the_line_of_a_batch_is_not_shown_beside_the_line_of_the_file() {
        assert_eq!(without_own_line("line 7: no event_type", 7), "no event_type");
        assert_eq!(without_own_line("no event_type at line 1 column 4", 7), "no event_type at column 4");
    }
}

//! `lantern events tail`: follows the log by server-sent events and goes on where it was after a dropped connection.

use std::io::BufRead;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::Context;
use super::client::{Failure, Lines, Target};
use super::events::{InterestArgs, print_event};
use super::output::{self, Format};

/// Between two attempts to connect again: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

#[derive(Args)]
pub struct Tail {
    /// Start after this position; 0 starts with the first event; from now on, if not given
    #[arg(long, value_name = "POSITION")]
    after: Option<u64>,
    #[command(flatten)]
    interest: InterestArgs,
}

impl Tail {
    /// Ends only by an error that connecting again cannot cure, or when nobody reads the output any more.
    pub fn run(&self, context: &Context) -> anyhow::Result<ExitCode> {
        let mut position = match self.after {
            Some(position) => position,
            None => head(context)?,
        };
        if context.format == Format::Person {
            eprintln!("following the log after position {}; Ctrl-C ends it", output::grouped(position));
        }
        let mut lines = self.connect(context, position)?;
        loop {
            let reason = follow(lines, context.format, &mut position)?;
            eprintln!("{reason}; connecting again");
            lines = self.connect_again(context, position)?;
        }
    }

    fn connect(&self, context: &Context, position: u64) -> Result<Lines, Failure> {
        let target = self.interest.narrow(Target::new(&["events", "subscribe"]));
        Ok(context.client.get_events(&target, &position.to_string())?.lines())
    }

    /// Tries as long as the daemon is away; an answer that refuses ends it.
    fn connect_again(&self, context: &Context, position: u64) -> Result<Lines, Failure> {
        let mut pause = FIRST_PAUSE;
        loop {
            thread::sleep(pause);
            match self.connect(context, position) {
                Err(failure) if failure.status.is_none_or(|status| status >= 500) => {
                    pause = (pause * 2).min(LONGEST_PAUSE)
                }
                done => return done,
            }
        }
    }
}

fn head(context: &Context) -> anyhow::Result<u64> {
    let page: Value = context.client.get(&Target::new(&["events"]).with("limit", 1))?.json()?;
    Ok(output::count(&page, "head"))
}

/// Prints events until the connection ends and returns why it did; `position` is that of the last event printed.
fn follow(mut lines: impl BufRead, format: Format, position: &mut u64) -> anyhow::Result<String> {
    let (mut id, mut data, mut line) = (None, String::new(), String::new());
    loop {
        line.clear();
        match lines.read_line(&mut line) {
            Ok(0) => return Ok("the daemon ended the connection".to_owned()),
            Ok(_) => {}
            Err(error) => return Ok(format!("the connection is lost ({error})")),
        }
        match field(&line) {
            Field::Id(text) => id = text.parse().ok(),
            Field::Data(text) => data.push_str(text),
            Field::Other => {}
            Field::End => {
                if !data.is_empty() {
                    print_event(format, &data)?;
                }
                // An id without an event is a sign of life: nothing up to it was wanted.
                *position = id.take().unwrap_or(*position);
                data.clear();
            }
        }
    }
}

/// One line of a stream of server-sent events.
enum Field<'a> {
    Id(&'a str),
    Data(&'a str),
    /// A comment, the daemon's sign of life, or a field without a use here.
    Other,
    /// The empty line after an event.
    End,
}

fn field(line: &str) -> Field<'_> {
    let line = line.trim_end_matches(['\n', '\r']);
    if line.is_empty() {
        return Field::End;
    }
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    let value = value.strip_prefix(' ').unwrap_or(value);
    match name {
        "id" => Field::Id(value),
        "data" => Field::Data(value),
        _ => Field::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = "event: Placed\ndata: {\"position\":7,\"data\":{}}\n";

    #[test]
    fn the_position_moves_only_after_a_whole_event() {
        let mut position = 3;
        let stream = format!(": hello\nid: 5\n\nid: 7\n{EVENT}\nid: 8\n{EVENT}");
        let reason = follow(stream.as_bytes(), Format::Json, &mut position).expect("the stream just ends");
        assert_eq!(position, 7, "event 8 was cut off before its empty line");
        assert_eq!(reason, "the daemon ended the connection");
    }

    #[test]
    fn an_event_that_is_no_json_ends_it() {
        assert!(follow("data: oops\n\n".as_bytes(), Format::Person, &mut 0).is_err());
    }
}

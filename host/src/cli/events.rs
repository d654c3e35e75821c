//! `lantern events`: append and read; `import` and `tail` have their own files.

use std::io::Read as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::client::{Content, Target};
use super::output::{self, Format, grouped, text};
use super::{Context, import, tail};
use crate::event::ExpectedVersion;

/// Events that are asked for at once.
const PAGE: u64 = 500;

#[derive(Subcommand)]
pub enum Events {
    /// Append one event to a stream
    Append(Append),
    /// Import events from JSON lines; running it again skips what is there already
    Import(import::Import),
    /// Print events of one stream, or of the whole log
    Read(Read),
    /// Print events as they are appended, until Ctrl-C
    Tail(tail::Tail),
}

impl Events {
    pub fn run(&self, context: &Context) -> anyhow::Result<ExitCode> {
        match self {
            Self::Append(append) => append.run(context),
            Self::Import(import) => import.run(context),
            Self::Read(read) => read.run(context),
            Self::Tail(tail) => tail.run(context),
        }
    }
}

#[derive(Args)]
pub struct Append {
    /// Name of the stream, for example order-42
    stream: String,
    /// Type of the event, for example OrderPlaced
    #[arg(long = "type", value_name = "TYPE")]
    event_type: String,
    /// The event's data as JSON; `-` reads it from standard input
    #[arg(long, value_name = "JSON")]
    data: String,
    /// A JSON object about the event
    #[arg(long, value_name = "JSON")]
    metadata: Option<String>,
    /// What the stream must be like: any, no-stream, stream-exists, or the version of its newest event
    #[arg(long, value_name = "VERSION", default_value = "any")]
    expected: ExpectedVersion,
    /// UUID of the event; appending the same id again changes nothing
    #[arg(long, value_name = "UUID")]
    id: Option<uuid::Uuid>,
    /// Which shape the data has
    #[arg(long, value_name = "N")]
    schema_version: Option<u32>,
    /// When it happened, as in 2026-01-31T12:00:00Z; now, if not given
    #[arg(long, value_name = "TIME")]
    time: Option<String>,
}

impl Append {
    fn run(&self, context: &Context) -> anyhow::Result<ExitCode> {
        let body = self.body()?;
        let headers = [("expected-version", self.expected.to_string())];
        let content = Content { headers: &headers, ..Content::json(body.as_bytes()) };
        let answer: Value = context.client.post(&Target::new(&["streams", &self.stream, "events"]), content)?.json()?;
        match context.format {
            Format::Json => output::print(&answer)?,
            Format::Person => output::print(appended(&answer))?,
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The request. Data goes as it was written: no digit of a number is lost.
    fn body(&self) -> anyhow::Result<String> {
        let data = match self.data.as_str() {
            "-" => std::io::read_to_string(std::io::stdin().take(64 << 20)).context("cannot read standard input")?,
            text => text.to_owned(),
        };
        let data = RawValue::from_string(data.trim().to_owned()).context("--data is not JSON")?;
        let metadata =
            self.metadata.clone().map(RawValue::from_string).transpose().context("--metadata is not JSON")?;
        let mut fields = vec![("event_type", json!(self.event_type).to_string()), ("data", data.get().to_owned())];
        fields.extend(metadata.map(|metadata| ("metadata", metadata.get().to_owned())));
        fields.extend(self.id.map(|id| ("id", json!(id.to_string()).to_string())));
        fields.extend(self.schema_version.map(|version| ("schema_version", version.to_string())));
        fields.extend(self.time.as_ref().map(|time| ("time", json!(time).to_string())));
        let fields: Vec<String> = fields.iter().map(|(name, json)| format!("\"{name}\":{json}")).collect();
        Ok(format!("[{{{}}}]", fields.join(",")))
    }
}

fn appended(answer: &Value) -> String {
    let (stream, version) = (text(answer, "stream"), output::count(answer, "version"));
    let position = grouped(output::count(answer, "last_position"));
    if answer["appended"] == json!(false) {
        return format!("{stream}: this event is in the log already, at position {position}");
    }
    format!("{stream}: appended at position {position}, the stream is now at version {version}")
}

#[derive(Args)]
pub struct Read {
    /// Name of the stream; the whole log, if not given
    #[arg(conflicts_with_all = ["category", "event_type"])]
    stream: Option<String>,
    /// Read the stream from this version on
    #[arg(long, value_name = "VERSION", requires = "stream")]
    from: Option<u64>,
    /// Read the stream from its newest event to its first
    #[arg(long, requires = "stream")]
    backwards: bool,
    /// Read the log after this position
    #[arg(long, value_name = "POSITION", conflicts_with = "stream")]
    after: Option<u64>,
    #[command(flatten)]
    interest: InterestArgs,
    /// At most this many events
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u64,
}

/// Which events of the log.
#[derive(Args)]
pub struct InterestArgs {
    /// Only streams of this category; may be given several times
    #[arg(long, value_name = "NAME")]
    category: Vec<String>,
    /// Only events of this type; may be given several times
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Vec<String>,
}

impl InterestArgs {
    pub fn narrow(&self, target: Target) -> Target {
        target.with_each("category", &self.category).with_each("event_type", &self.event_type)
    }
}

impl Read {
    fn run(&self, context: &Context) -> anyhow::Result<ExitCode> {
        let (mut left, mut next) = (self.limit, self.stream.as_ref().map_or(self.after, |_| self.from));
        let mut printed = 0;
        while left > 0 {
            let page: Page = context.client.get(&self.target(next, left.min(PAGE)))?.json()?;
            for event in &page.events {
                print_event(context.format, event.get())?;
            }
            printed += page.events.len();
            left = left.saturating_sub(page.events.len() as u64);
            next = self.next(&page)?;
            if next.is_none() {
                break;
            }
        }
        if printed == 0 && context.format == Format::Person {
            output::print("no such events")?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn target(&self, next: Option<u64>, limit: u64) -> Target {
        match &self.stream {
            Some(stream) => {
                let direction = if self.backwards { "backwards" } else { "forwards" };
                let target = Target::new(&["streams", stream, "events"]).with("direction", direction);
                target.with("limit", limit).with_each("from", next)
            }
            None => self.interest.narrow(Target::new(&["events"]).with("limit", limit).with_each("after", next)),
        }
    }

    /// Where the next page starts; `None` after the last one.
    fn next(&self, page: &Page) -> anyhow::Result<Option<u64>> {
        if self.stream.is_none() {
            return Ok((page.scanned_to < page.head).then_some(page.scanned_to));
        }
        let Some(last) = page.events.last() else { return Ok(None) };
        let last = Event::read(last.get())?.version;
        let (more, next) = if self.backwards { (last > 1, last - 1) } else { (last < page.version, last + 1) };
        Ok(more.then_some(next))
    }
}

/// A page of a stream or of the log.
#[derive(Deserialize)]
struct Page {
    events: Vec<Box<RawValue>>,
    #[serde(default)]
    version: u64,
    #[serde(default)]
    scanned_to: u64,
    #[serde(default)]
    head: u64,
}

/// What a person sees of an event.
#[derive(Deserialize)]
struct Event<'a> {
    position: u64,
    version: u64,
    stream: String,
    event_type: String,
    time: String,
    content_type: String,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    data_base64: Option<String>,
}

impl<'a> Event<'a> {
    fn read(json: &'a str) -> anyhow::Result<Self> {
        serde_json::from_str(json).context("the daemon sent something that is no event")
    }

    fn line(&self) -> String {
        let data = match (self.data, &self.data_base64) {
            (Some(data), _) => data.get().to_owned(),
            (None, data) => {
                format!("({}, {} bytes in base64)", self.content_type, data.as_ref().map_or(0, String::len))
            }
        };
        let time = self.time.get(..19).unwrap_or(&self.time).replace('T', " ");
        let place = format!("{}@{}", self.stream, self.version);
        let data = output::shortened(&data, 120);
        format!("{:>8}  {time}  {place:<24} {:<20} {data}", self.position, self.event_type)
    }
}

/// One event on one line: as JSON, just as the daemon wrote it, so that no digit is lost.
pub fn print_event(format: Format, json: &str) -> anyhow::Result<()> {
    match format {
        Format::Json => output::print(json)?,
        Format::Person => output::print(Event::read(json)?.line())?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(data: &str) -> Append {
        Append {
            stream: "order-1".into(),
            event_type: "Placed".into(),
            data: data.into(),
            metadata: Some("{\"by\":\"me\"}".into()),
            expected: ExpectedVersion::Any,
            id: None,
            schema_version: Some(2),
            time: None,
        }
    }

    #[test]
    fn data_is_sent_as_it_was_written() {
        let body = append("{\"price\": 12345678901234567890.10}").body().expect("valid");
        assert_eq!(
            body,
            "[{\"event_type\":\"Placed\",\"data\":{\"price\": 12345678901234567890.10},\
             \"metadata\":{\"by\":\"me\"},\"schema_version\":2}]"
        );
    }

    #[test]
    fn data_that_is_no_json_is_refused_before_it_is_sent() {
        let error = append("{price: 1}").body().expect_err("not JSON");
        assert!(format!("{error:#}").starts_with("--data is not JSON: key must be a string"), "{error:#}");
    }

    #[test]
    fn the_next_page_of_a_stream_starts_where_this_one_ends() {
        let read = |backwards| Read {
            stream: Some("order-1".into()),
            from: None,
            backwards,
            after: None,
            interest: InterestArgs { category: vec![], event_type: vec![] },
            limit: 10,
        };
        let page = |version: u64| -> Page {
            let event = json!({"position": 1, "version": version, "stream": "order-1", "event_type": "A", "time": "",
                "content_type": "application/json", "data": 1});
            serde_json::from_value(json!({"version": 7, "events": [event]})).expect("a page")
        };
        assert_eq!(read(false).next(&page(5)).expect("an event"), Some(6));
        assert_eq!(read(false).next(&page(7)).expect("an event"), None);
        assert_eq!(read(true).next(&page(5)).expect("an event"), Some(4));
        assert_eq!(read(true).next(&page(1)).expect("an event"), None);
        let empty = Page { events: vec![], version: 7, scanned_to: 0, head: 0 };
        assert_eq!(read(true).next(&empty).expect("no event"), None);
    }

    #[test]
    fn an_event_is_one_line_for_a_person() {
        let event = r#"{"position": 12, "version": 3, "stream": "order-1", "event_type": "Placed",
            "time": "2026-01-31T12:00:00.000001Z", "content_type": "application/json", "data": {"n":1.10}}"#;
        assert_eq!(
            Event::read(event).expect("an event").line(),
            "      12  2026-01-31 12:00:00  order-1@3                Placed               {\"n\":1.10}"
        );
    }
}

//! The events that every language gets: made anew in each run, always the same. Special cases are written by hand
//! (`special`), the many come from a seed (`generated`), and the history of the example plugins is mixed in (`examples`).

mod examples;
mod generated;
mod large;
mod special;

use lantern_tests::Seeded;
use serde_json::json;

pub use examples::{CONFERENCE, FLIGHTS, ORDER};
pub use large::large_integers;

/// The media type that an event has unless it says otherwise.
pub const JSON: &str = "application/json";

/// An event that is not yet in the log.
#[derive(Clone, Debug)]
pub struct Event {
    pub id: String,
    pub stream: String,
    pub event_type: String,
    pub schema_version: u32,
    /// RFC 3339, and the same in microseconds since 1970.
    pub time: (String, i64),
    pub content_type: String,
    pub data: Vec<u8>,
    /// JSON text, an object.
    pub metadata: String,
}

impl Event {
    pub fn new(stream: &str, event_type: &str, data: impl Into<Vec<u8>>) -> Self {
        Self {
            id: String::new(),
            stream: stream.to_owned(),
            event_type: event_type.to_owned(),
            schema_version: 1,
            time: ("2026-01-31T12:00:00Z".to_owned(), 1_769_860_800_000_000),
            content_type: JSON.to_owned(),
            data: data.into(),
            metadata: "{}".to_owned(),
        }
    }

    pub fn category(&self) -> &str {
        self.stream.split_once('-').map_or(self.stream.as_str(), |(category, _)| category)
    }

    pub fn aggregate_id(&self) -> &str {
        self.stream.split_once('-').map_or("", |(_, id)| id)
    }

    /// Whether the data is JSON text: what is not comes to plugins as base64.
    pub fn is_json(&self) -> bool {
        let essence = self.content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        essence == JSON || essence.ends_with("+json")
    }

    /// Whether an import takes it: its lines hold plain JSON data only. The others go in as CloudEvents.
    pub fn is_importable(&self) -> bool {
        self.content_type == JSON
    }

    /// The line of an import, or a CloudEvent. The data goes through as the text that it is.
    pub fn to_json(&self) -> String {
        let text = |text: &str| json!(text).to_string();
        let (id, stream, event_type) = (text(&self.id), text(&self.stream), text(&self.event_type));
        let (schema_version, time, metadata) = (self.schema_version, text(&self.time.0), &self.metadata);
        if self.is_importable() {
            let data = std::str::from_utf8(&self.data).expect("JSON is UTF-8");
            return format!(
                r#"{{"id":{id},"stream":{stream},"event_type":{event_type},"schema_version":{schema_version},"time":{time},"metadata":{metadata},"data":{data}}}"#
            );
        }
        let (content_type, data) = (text(&self.content_type), text(&base64(&self.data)));
        // What a CloudEvent says besides becomes its metadata.
        let source = metadata.trim_start_matches('{').trim_end_matches('}');
        format!(
            r#"{{"specversion":"1.0","id":{id},"subject":{stream},"type":{event_type},"schemaversion":{schema_version},"time":{time},{source},"datacontenttype":{content_type},"data_base64":{data}}}"#
        )
    }
}

/// Everything that the daemon gets, in the order of the log.
pub fn history() -> Vec<Event> {
    let mut random = Seeded::new(0x1a47_e211);
    let things = generated::things(&mut random);
    let mut sources =
        [things, examples::conferences(&mut random), examples::orders(&mut random), examples::flights(&mut random)]
            .map(|events| events.into_iter().peekable());
    let mut history = Vec::new();
    while sources.iter_mut().any(|source| source.peek().is_some()) {
        // Runs of several, as from writers that append batches.
        let (source, run) = (random.below(4) as usize, 1 + random.below(20) as usize);
        history.extend(sources[source].by_ref().take(run));
    }
    with_ids(history.iter_mut(), &mut random);
    history
}

fn with_ids<'e>(events: impl Iterator<Item = &'e mut Event>, random: &mut Seeded) {
    for event in events {
        let (high, low) = (random.below(u64::MAX), random.below(u64::MAX));
        let hex = format!("{high:016x}{low:016x}");
        event.id = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
    }
}

/// Standard base64 with padding, written here so that the expectation owes nothing to the product.
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let value = bits >> (18 - 6 * digit) & 63;
            text.push(if digit <= chunk.len() { DIGITS[value as usize] as char } else { '=' });
        }
    }
    text
}

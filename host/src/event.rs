//! The vocabulary: plain values that every other module speaks in. No input, no output.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

mod batch;
mod payload;
pub use batch::{EventBatch, EventKind, EventRef, UNREADABLE};
pub use payload::check_payload;

/// Place of an event in the whole log. Dense; the first event has 1; 0 means before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

/// Place of an event in its stream, equal to the number of events up to it. Dense; the first event
/// has 1; 0 means that the stream has no event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamVersion(pub u64);

/// A point in time, in microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The present, by the machine's clock.
    pub fn now() -> Self {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self(since_epoch.map_or(0, |elapsed| elapsed.as_micros() as i64))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for StreamVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is wrong with a name or another value that came from outside.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

/// The longest stream name, category and event type, in bytes.
pub const MAX_NAME_BYTES: usize = 255;

/// The media type of event data when the writer names none.
pub const JSON: &str = "application/json";

/// The name of a stream, for example `order-42`: category `order`, aggregate id `42`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName(String);

impl StreamName {
    /// The stream of one aggregate.
    ///
    /// # Errors
    /// When the category contains `-`, or the name breaks the rules of [`StreamName::from_str`].
    pub fn of(category: &str, aggregate_id: &str) -> Result<Self, Invalid> {
        if category.contains('-') {
            return Err(Invalid(format!(
                "the aggregate type {category:?} contains '-', which separates it from the aggregate id in a stream name"
            )));
        }
        format!("{category}-{aggregate_id}").parse()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the first `-`, or the whole name if it has none.
    pub fn category(&self) -> &str {
        category_of(&self.0)
    }
}

/// The part of a stream name before the first `-`, or the whole name if it has none.
pub fn category_of(stream: &str) -> &str {
    stream.split_once('-').map_or(stream, |(category, _)| category)
}

impl FromStr for StreamName {
    type Err = Invalid;

    /// Takes 1 to [`MAX_NAME_BYTES`] bytes without control characters whose category is not empty.
    fn from_str(name: &str) -> Result<Self, Invalid> {
        check_name("stream name", name)?;
        if category_of(name).is_empty() {
            return Err(Invalid(format!("the stream name {name:?} has nothing before its '-': write CATEGORY-ID")));
        }
        Ok(Self(name.to_owned()))
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Checks a name that is stored with an event: 1 to [`MAX_NAME_BYTES`] bytes, no control characters.
///
/// # Errors
/// Says what `what` breaks.
pub fn check_name(what: &str, name: &str) -> Result<(), Invalid> {
    if name.is_empty() {
        return Err(Invalid(format!("the {what} is empty")));
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(Invalid(format!("the {what} has {} bytes; at most {MAX_NAME_BYTES} are allowed", name.len())));
    }
    if name.chars().any(char::is_control) {
        return Err(Invalid(format!("the {what} {name:?} contains a control character")));
    }
    Ok(())
}

/// Whether data of this media type is JSON text: `application/json`, or one that ends in `+json`.
pub fn is_json(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let ends_with = |suffix: &str| {
        let start = media_type.len().checked_sub(suffix.len());
        start.and_then(|start| media_type.get(start..)).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
    };
    media_type.eq_ignore_ascii_case(JSON) || ends_with("+json")
}

/// What an append expects of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectedVersion {
    /// No check.
    Any,
    /// The stream has no event.
    NoStream,
    /// The stream has at least one event.
    StreamExists,
    /// The stream's newest event has this version.
    Exact(StreamVersion),
}

impl ExpectedVersion {
    /// Whether a stream whose newest event has version `actual` is as expected.
    pub fn matches(self, actual: StreamVersion) -> bool {
        match self {
            Self::Any => true,
            Self::NoStream => actual == StreamVersion(0),
            Self::StreamExists => actual > StreamVersion(0),
            Self::Exact(expected) => actual == expected,
        }
    }
}

impl fmt::Display for ExpectedVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::NoStream => f.write_str("no-stream"),
            Self::StreamExists => f.write_str("stream-exists"),
            Self::Exact(version) => version.fmt(f),
        }
    }
}

impl FromStr for ExpectedVersion {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "any" => Ok(Self::Any),
            "no-stream" => Ok(Self::NoStream),
            "stream-exists" => Ok(Self::StreamExists),
            number => number.parse().map(|version| Self::Exact(StreamVersion(version))).map_err(|_| {
                Invalid(format!(
                    "{text:?} is no expected version: write any, no-stream, stream-exists or the number of the newest event"
                ))
            }),
        }
    }
}

/// An event that is proposed for appending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Appending the same id twice appends it once.
    pub id: Uuid,
    pub event_type: String,
    /// Which shape `data` has; the first is 1.
    pub schema_version: u32,
    pub time: Timestamp,
    /// Media type of `data`; see [`JSON`].
    pub content_type: String,
    /// JSON text when `content_type` is JSON, otherwise any bytes.
    pub data: Vec<u8>,
    /// A JSON object as text.
    pub metadata: String,
}

/// An event in the log. Never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedEvent {
    pub id: Uuid,
    pub stream: StreamName,
    pub version: StreamVersion,
    pub position: Position,
    pub event_type: String,
    pub schema_version: u32,
    pub time: Timestamp,
    pub content_type: String,
    pub data: Vec<u8>,
    pub metadata: String,
}

/// Which events a projection reads: those of `category` (`None`: of every category) whose type is
/// one of `event_types` (empty: every type).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interest {
    pub category: Option<String>,
    pub event_types: Vec<String>,
}

impl Interest {
    pub fn everything() -> Self {
        Self { category: None, event_types: Vec::new() }
    }

    pub fn matches(&self, category: &str, event_type: &str) -> bool {
        self.category.as_deref().is_none_or(|wanted| wanted == category)
            && (self.event_types.is_empty() || self.event_types.iter().any(|wanted| wanted == event_type))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_name_splits_at_its_first_dash() {
        let stream: StreamName = "order-42-b".parse().expect("valid");
        assert_eq!(stream.category(), "order");
        assert_eq!("order".parse::<StreamName>().expect("valid").category(), "order");
    }

    #[test]
    fn a_stream_name_without_category_or_with_control_characters_is_refused() {
        for name in ["", "-42", "order-\n", &"x".repeat(256)] {
            assert!(name.parse::<StreamName>().is_err(), "{name:?} was taken");
        }
        assert!(StreamName::of("or-der", "42").is_err());
    }

    #[test]
    fn json_is_known_by_its_media_type() {
        for json in ["application/json", "Application/JSON; charset=utf-8", "application/vnd.shop+json ;v=1"] {
            assert!(is_json(json), "{json}");
        }
        for other in ["", "json", "text/plain", "application/json5", "application/jsonü"] {
            assert!(!is_json(other), "{other}");
        }
    }

    #[test]
    fn an_expected_version_reads_back_what_it_prints() {
        for expected in [
            ExpectedVersion::Any,
            ExpectedVersion::NoStream,
            ExpectedVersion::StreamExists,
            ExpectedVersion::Exact(StreamVersion(7)),
        ] {
            assert_eq!(expected.to_string().parse(), Ok(expected));
        }
        assert!("-1".parse::<ExpectedVersion>().is_err());
    }

    #[test]
    fn an_interest_matches_category_and_type() {
        let interest = Interest { category: Some("order".into()), event_types: vec!["Placed".into()] };
        assert!(interest.matches("order", "Placed"));
        assert!(!interest.matches("order", "Paid"));
        assert!(!interest.matches("cart", "Placed"));
        assert!(Interest::everything().matches("cart", "Paid"));
    }
}

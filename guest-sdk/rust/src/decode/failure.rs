//! Why the data of an event does not fit its declaration, in the words of serde_json.

use crate::Error;

/// Where and why scanning stopped. Boxed, because almost no event has one.
#[derive(Debug)]
pub struct Failure(Box<Details>);

#[derive(Debug)]
struct Details {
    /// How many bytes were read.
    at: usize,
    reason: String,
    field: Option<&'static str>,
}

pub type Scanned<T> = Result<T, Failure>;

impl Failure {
    #[cold]
    pub fn new(at: usize, reason: impl Into<String>) -> Self {
        Self(Box::new(Details { at, reason: reason.into(), field: None }))
    }

    /// `value` is a grammatically correct JSON value that ends at `at`.
    #[cold]
    pub fn unfit(at: usize, value: &[u8], expected: &str) -> Self {
        let text = String::from_utf8_lossy(value);
        let kind = match value.first() {
            Some(b'"') => "string ".to_owned() + &text,
            Some(b't' | b'f') => format!("boolean `{text}`"),
            Some(b'n') => "null".to_owned(),
            Some(b'[') => "sequence".to_owned(),
            Some(b'{') => "map".to_owned(),
            _ if text != "-0" && !text.contains(['.', 'e', 'E']) => {
                let what = if matches!(expected.as_bytes(), [b'i' | b'u', b'0'..=b'9', ..]) { "value" } else { "type" };
                return Self::new(at, format!("invalid {what}: integer `{text}`, expected {expected}"));
            }
            _ => format!("floating point `{text}`"),
        };
        Self::new(at, format!("invalid type: {kind}, expected {expected}"))
    }

    #[cold]
    pub fn in_field(mut self, name: &'static str) -> Self {
        self.0.field = Some(name);
        self
    }

    /// The sentence for the dead letter.
    #[cold]
    pub fn describe(self, event_type: &str, bytes: &[u8]) -> Error {
        let Details { at, reason, field } = *self.0;
        let before = &bytes[..at.min(bytes.len())];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count();
        let reason = format!("{reason} at line {line} column {column}");
        super::describe_failure(event_type, field.unwrap_or_default(), &reason)
    }
}

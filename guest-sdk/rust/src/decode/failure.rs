//! Why the data of an event does not fit its declaration, in the words of serde_json.

use super::scan::Scanner;
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

impl Scanner<'_> {
    /// The value that comes next has another type. Says so unless it is not even a value.
    #[cold]
    pub fn unfit(&mut self, expected: &str) -> Failure {
        let first = self.peek();
        let start = self.at;
        // As serde_json, which looks at no more than the bracket.
        if matches!(first, Some(b'{' | b'[')) {
            return Failure::unfit(start, &self.bytes[start..], expected);
        }
        match self.skip_scalar(first) {
            Err(failure) => failure,
            Ok(()) => Failure::unfit(self.at, &self.bytes[start..self.at], expected),
        }
    }

    #[cold]
    pub(super) fn expected(&self, reason: &str, at_end: &str) -> Failure {
        match self.bytes.len() <= self.at {
            true => Failure::new(self.at, at_end),
            false => Failure::new(self.at + 1, reason),
        }
    }

    #[cold]
    pub(super) fn no_key(&self) -> Failure {
        let closes = self.bytes.get(self.at) == Some(&b'}');
        self.expected(if closes { "trailing comma" } else { "key must be a string" }, "EOF while parsing an object")
    }

    #[cold]
    pub(super) fn unfinished_text(&self, end: usize) -> Failure {
        match self.bytes.get(end) {
            None => Failure::new(end, "EOF while parsing a string"),
            _ => Failure::new(end + 1, "control character (\\u0000-\\u001F) found while parsing a string"),
        }
    }

    #[cold]
    pub(super) fn wrong_literal(&self, literal: &[u8]) -> Failure {
        let same = self.bytes[self.at..].iter().zip(literal).take_while(|(found, wanted)| found == wanted).count();
        match self.bytes.len() <= self.at + same {
            true => Failure::new(self.at + same, "EOF while parsing a value"),
            false => Failure::new(self.at + same + 1, "expected ident"),
        }
    }
}

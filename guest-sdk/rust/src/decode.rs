//! From the bytes of an event to the author's type. For a serde enum the variant's name is the event
//! type and the variant's content is the data.

mod content;
mod events;
mod failure;
mod field;
mod number;
mod quick;
mod scan;
mod text;

use std::fmt::Display;

use serde::Deserialize;

use crate::Error;
use crate::same::same;
use content::{Content, Quick, Thorough, VariantProbe};
use quick::GiveUp;

pub use events::{event_name, required, scan_object, unknown_event};
pub use field::Field;

/// What an event carries, not decoded yet.
#[derive(Clone, Copy, Debug)]
pub struct Payload<'a> {
    pub event_type: &'a str,
    /// Media type of `bytes`.
    pub content_type: &'a str,
    /// JSON text, unless `content_type` says otherwise.
    pub bytes: &'a [u8],
}

impl Payload<'_> {
    /// Whether `bytes` is JSON text: by its content type, `application/json` or one that ends in `+json`.
    #[inline]
    pub fn is_json(&self) -> bool {
        // Almost always it is exactly this.
        same(self.content_type.as_bytes(), b"application/json") || is_json(self.content_type)
    }
}

/// A type that the data of events turns into. Every type with [`Deserialize`] is one:
///
/// - an enum takes the events whose type is the name of one of its variants, and the projection
///   asks for no others. A unit variant ignores the data. `#[serde(rename)]` and `#[serde(alias)]`
///   say another event type;
/// - any other type takes every event of the projection's categories.
///
/// `&'a str` borrows from the event and cannot hold text that JSON escapes: take `String` or
/// `#[serde(borrow)] Cow<'a, str>` when `"` or `\` can occur in it. A variant with one `&'a [u8]`
/// takes data that is not JSON. [`Payload`] itself takes every event as it is: to be decoded later, or not at all.
///
/// [`events!`](crate::events) declares an enum that is decoded faster, without serde.
pub trait EventData<'a>: Sized {
    /// The event types it takes; `None`: every type.
    fn event_types() -> Option<&'static [&'static str]>;

    /// # Errors
    /// Names the event type and the field that do not fit.
    fn decode(payload: Payload<'a>) -> Result<Self, Error>;
}

impl<'a, T: Deserialize<'a>> EventData<'a> for T {
    fn event_types() -> Option<&'static [&'static str]> {
        let mut variants = None;
        // Fails always: it only looks at what the type asks for.
        drop(T::deserialize(VariantProbe(&mut variants)));
        variants
    }

    fn decode(payload: Payload<'a>) -> Result<Self, Error> {
        let is_enum = Self::event_types().is_some();
        Content { payload, reader: Quick }.decode(is_enum).or_else(|GiveUp| {
            let mut path = String::new();
            let read = Content { payload, reader: Thorough(&mut path) }.decode(is_enum);
            read.map_err(|error| describe_failure(payload.event_type, &path, &error))
        })
    }
}

impl<'a> EventData<'a> for Payload<'a> {
    fn event_types() -> Option<&'static [&'static str]> {
        None
    }

    fn decode(payload: Payload<'a>) -> Result<Self, Error> {
        Ok(payload)
    }
}

fn describe_failure(event_type: &str, path: &str, error: &dyn Display) -> Error {
    let field = if path.is_empty() || path == "." { String::new() } else { format!(" field `{path}`:") };
    let mut reason = error.to_string();
    if reason.contains("a borrowed string") {
        reason.push_str(" (the text has an escape: declare the field as String or Cow<'a, str>)");
    }
    Error::new(format_args!("{event_type}:{field} {reason}"))
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().as_bytes();
    essence.eq_ignore_ascii_case(b"application/json")
        || essence.last_chunk().is_some_and(|end: &[u8; 5]| end.eq_ignore_ascii_case(b"+json"))
}

#[cfg(test)]
mod differential;

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    enum Event<'a> {
        Opened {
            seats: i64,
            #[serde(borrow)]
            title: Cow<'a, str>,
        },
        Moved {
            to: &'a str,
        },
        #[serde(alias = "Shut")]
        Closed,
        Photo(&'a [u8]),
        Line(Line),
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Line {
        items: Vec<i64>,
    }

    fn decode<'a>(event_type: &'a str, data: &'a str) -> Result<Event<'a>, String> {
        let payload = Payload { event_type, content_type: "application/json", bytes: data.as_bytes() };
        Event::decode(payload).map_err(|error| error.to_string())
    }

    #[test]
    fn the_event_types_are_the_variants_of_an_enum() {
        let types = <Event<'_> as EventData>::event_types().expect("an enum");
        for event_type in ["Opened", "Moved", "Closed", "Shut", "Photo", "Line"] {
            assert!(types.contains(&event_type), "{event_type} is missing in {types:?}");
        }
        assert_eq!(<Line as EventData>::event_types(), None);
    }

    #[test]
    fn a_variant_takes_the_data_and_borrows_from_it() {
        let opened = decode("Opened", r#"{"title":"a \"b\"","more":[1,{}],"seats":3}"#);
        assert_eq!(opened, Ok(Event::Opened { seats: 3, title: "a \"b\"".into() }));
        assert!(matches!(
            decode("Opened", r#"{"title":"ab","seats":3}"#),
            Ok(Event::Opened { title: Cow::Borrowed("ab"), .. })
        ));
        assert_eq!(decode("Line", r#"{"items":[1,2]}"#), Ok(Event::Line(Line { items: vec![1, 2] })));
        assert_eq!(decode("Closed", r#"{"anything":1}"#), Ok(Event::Closed));
        assert_eq!(decode("Shut", "{}"), Ok(Event::Closed));
    }

    #[test]
    fn a_type_that_is_no_enum_takes_every_event() {
        let payload = Payload { event_type: "Any", content_type: "application/json", bytes: br#"{"items":[7]}"# };
        assert_eq!(Line::decode(payload).map_err(|error| error.to_string()), Ok(Line { items: vec![7] }));
    }

    #[test]
    fn data_that_is_not_json_arrives_as_bytes() {
        let payload = Payload { event_type: "Photo", content_type: "image/png", bytes: &[0xff, 0] };
        assert_eq!(Event::decode(payload).map_err(|error| error.to_string()), Ok(Event::Photo(&[0xff, 0])));
        assert!(
            is_json("application/json; charset=utf-8") && is_json("Application/vnd.x+JSON") && !is_json("text/json")
        );
        let as_it_is = Payload::decode(payload).map(|payload| (payload.bytes, payload.is_json())).map_err(drop);
        assert_eq!((as_it_is, Payload::event_types()), (Ok((&[0xff, 0][..], false)), None));
    }

    #[test]
    fn a_failure_names_the_event_type_and_the_field() {
        let failure = |event_type, data| decode(event_type, data).expect_err("does not fit");
        let wrong_type = failure("Opened", r#"{"seats":"many","title":""}"#);
        assert!(wrong_type.starts_with("Opened: field `seats`: invalid type: string \"many\""), "{wrong_type}");
        let deep = failure("Line", r#"{"items":[1,true]}"#);
        assert!(deep.starts_with("Line: field `items[1]`: invalid type: boolean"), "{deep}");
        let missing = failure("Moved", "{}");
        assert!(missing.starts_with("Moved: missing field `to`"), "{missing}");
        let escaped = failure("Moved", r#"{"to":"\n"}"#);
        assert!(escaped.contains("Cow<'a, str>"), "{escaped}");
        assert!(failure("Moved", r#"{"to":"x"} x"#).contains("trailing characters"));
    }
}

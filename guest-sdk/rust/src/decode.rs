//! From the bytes of an event to the author's type. For a serde enum the variant's name is the event
//! type and the variant's content is the data.

mod events;
mod failure;
mod field;
mod number;
mod scan;
mod text;

use std::cell::RefCell;
use std::fmt::Display;

use serde::de::value::BorrowedBytesDeserializer;
use serde::de::{DeserializeSeed, EnumAccess, IntoDeserializer, VariantAccess, Visitor};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};
use serde_json::Error as JsonError;

use crate::Error;

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
    pub fn is_json(&self) -> bool {
        is_json(self.content_type)
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
        let decode = |content: Content<'a, '_>| match is_enum {
            true => T::deserialize(EventDeserializer { event_type: payload.event_type, content }),
            false => content.decode(std::marker::PhantomData),
        };
        decode(Content { payload, path: None }).map_err(|error| {
            // Once more, slower, to learn which field it is.
            let path = RefCell::new(String::new());
            drop(decode(Content { payload, path: Some(&path) }));
            describe_failure(payload.event_type, &path.into_inner(), &error)
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

/// Learns the variants of an enum without data. Costs nothing, so it may run for each event.
struct VariantProbe<'p>(&'p mut Option<&'static [&'static str]>);

impl<'de> Deserializer<'de> for VariantProbe<'_> {
    type Error = OnlyLooking;

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, OnlyLooking> {
        *self.0 = Some(variants);
        Err(OnlyLooking)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, OnlyLooking> {
        Err(OnlyLooking)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

#[derive(Debug)]
struct OnlyLooking;

impl Display for OnlyLooking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("only looking")
    }
}

impl std::error::Error for OnlyLooking {}

impl serde::de::Error for OnlyLooking {
    fn custom<T: Display>(_: T) -> Self {
        Self
    }
}

/// An event as an enum whose variant is the event type.
struct EventDeserializer<'de, 'p> {
    event_type: &'de str,
    content: Content<'de, 'p>,
}

impl<'de> Deserializer<'de> for EventDeserializer<'de, '_> {
    type Error = JsonError;

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, JsonError> {
        visitor.visit_enum(self)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_enum(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de, 'p> EnumAccess<'de> for EventDeserializer<'de, 'p> {
    type Error = JsonError;
    type Variant = Content<'de, 'p>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Content<'de, 'p>), JsonError> {
        let variant = seed.deserialize(IntoDeserializer::<JsonError>::into_deserializer(self.event_type))?;
        Ok((variant, self.content))
    }
}

/// The data of an event. With a `path`, a failure leaves there which field it met.
struct Content<'de, 'p> {
    payload: Payload<'de>,
    path: Option<&'p RefCell<String>>,
}

impl<'de> Content<'de, '_> {
    fn decode<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, JsonError> {
        if !is_json(self.payload.content_type) {
            return seed.deserialize(BorrowedBytesDeserializer::new(self.payload.bytes));
        }
        let mut json = serde_json::Deserializer::from_slice(self.payload.bytes);
        let value = match self.path {
            None => seed.deserialize(&mut json)?,
            Some(path) => {
                let mut track = serde_path_to_error::Track::new();
                let decoded = seed.deserialize(serde_path_to_error::Deserializer::new(&mut json, &mut track));
                if decoded.is_err() {
                    *path.borrow_mut() = track.path().to_string();
                }
                decoded?
            }
        };
        json.end()?;
        Ok(value)
    }
}

impl<'de> VariantAccess<'de> for Content<'de, '_> {
    type Error = JsonError;

    fn unit_variant(self) -> Result<(), JsonError> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, JsonError> {
        self.decode(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, JsonError> {
        self.decode(TupleSeed(len, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, JsonError> {
        self.decode(StructSeed(fields, visitor))
    }
}

struct TupleSeed<V>(usize, V);

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for TupleSeed<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        deserializer.deserialize_tuple(self.0, self.1)
    }
}

struct StructSeed<V>(&'static [&'static str], V);

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for StructSeed<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        deserializer.deserialize_struct("", self.0, self.1)
    }
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

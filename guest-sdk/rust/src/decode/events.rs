//! `events!`: an enum of events and its decoder, from one declaration.

use super::Payload;
use super::failure::Scanned;
use super::field::Field;
use super::scan::Scanner;
use crate::Error;

/// Declares the events of a projection together with a decoder that is faster than serde's: it
/// reads the data once and keeps only the declared fields.
///
/// ```
/// use lantern_sdk::prelude::*;
///
/// events! {
///     #[derive(Debug)]
///     pub enum Event<'a> {
///         FlightScheduled { carrier: &'a str, dest: &'a str, distance: i64 },
///         FlightDeparted { carrier: &'a str, delay: i64, gate: Option<Cow<'a, str>> },
///         /// Another event type, or another name in the JSON, than the one in Rust.
///         Cancelled as "FlightCancelled" { carrier: &'a str, code as "cancellationCode": Option<u32> },
///         FleetGrounded,
///     }
/// }
/// ```
///
/// The variants are the event types, their fields the fields of a JSON object, of the types that
/// [`Field`] lists. A field of the JSON that is not declared is checked and skipped. A variant
/// without fields ignores the data. Data that is not correct JSON, or does not fit, is an error with
/// serde's words; only objects fit.
#[macro_export]
macro_rules! events {
    ($(#[$meta:meta])* $vis:vis enum $name:ident <$life:lifetime> { $($variants:tt)* }) => {
        $crate::events!(@declare [$(#[$meta])* $vis] $name [<$life>] $life { $($variants)* });
    };
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($variants:tt)* }) => {
        $crate::events!(@declare [$(#[$meta])* $vis] $name [] 'event { $($variants)* });
    };

    (@declare [$($head:tt)*] $name:ident [$($generics:tt)*] $life:lifetime {
        $(
            $(#[$variant_meta:meta])*
            $variant:ident $(as $event_type:literal)? $({
                $($(#[$field_meta:meta])* $field:ident $(as $key:literal)? : $type:ty),* $(,)?
            })?
        ),* $(,)?
    }) => {
        $($head)* enum $name $($generics)* {
            $($(#[$variant_meta])* $variant $({ $($(#[$field_meta])* $field: $type),* })?),*
        }

        impl<$life> $crate::EventData<$life> for $name $($generics)* {
            fn event_types() -> ::core::option::Option<&'static [&'static str]> {
                const TYPES: &[&str] = &[$($crate::__private::event_name(&[$($event_type,)? stringify!($variant)])),*];
                ::core::option::Option::Some(TYPES)
            }

            fn decode(payload: $crate::Payload<$life>) -> ::core::result::Result<Self, $crate::Error> {
                $(
                    let name = const { $crate::__private::event_name(&[$($event_type,)? stringify!($variant)]) };
                    if $crate::__private::same(payload.event_type.as_bytes(), name.as_bytes()) {
                        return $crate::events!(
                            @decode payload $name $variant $({ $($field [$($key)?] $type),* })?
                        );
                    }
                )*
                ::core::result::Result::Err($crate::__private::unknown_event::<Self>(payload))
            }
        }
    };

    (@decode $payload:ident $name:ident $variant:ident) => {
        ::core::result::Result::Ok($name::$variant)
    };
    (@decode $payload:ident $name:ident $variant:ident { $($field:ident [$($key:literal)?] $type:ty),* }) => {{
        $(let mut $field = ::core::option::Option::<$type>::None;)*
        $crate::__private::scan_object(
            &$payload,
            concat!("struct variant ", stringify!($name), "::", stringify!($variant)),
            |key, scanner| {
                $(
                    let name = const { $crate::__private::event_name(&[$($key,)? stringify!($field)]) };
                    if $crate::__private::same(key.as_bytes(), name.as_bytes()) {
                        return scanner.fill(&mut $field, name);
                    }
                )*
                let _ = key;
                scanner.skip_value()
            },
        )?;
        ::core::result::Result::Ok($name::$variant {
            $($field: $crate::__private::required(
                $field, &$payload, const { $crate::__private::event_name(&[$($key,)? stringify!($field)]) },
            )?),*
        })
    }};
}

/// The first of the names is the one in the log. The last one is Rust's and may be raw: `r#type`.
pub const fn event_name(names: &[&'static str]) -> &'static str {
    let name = names[0];
    match name.as_bytes() {
        [b'r', b'#', ..] if names.len() == 1 => name.split_at(2).1,
        _ => name,
    }
}

/// Reads the data of an event, which must be one object.
///
/// # Errors
/// Names the event type and the field that do not fit.
#[inline(always)]
pub fn scan_object<'a>(
    payload: &Payload<'a>,
    expected: &str,
    on_field: impl FnMut(&str, &mut Scanner<'a>) -> Scanned<()>,
) -> Result<(), Error> {
    if !payload.is_json() {
        let event_type = payload.event_type;
        return Err(Error::new(format_args!("{event_type}: invalid type: byte array, expected {expected}")));
    }
    let scanned = Scanner::new(payload.bytes).object(expected, on_field);
    scanned.map_err(|failure| failure.describe(payload.event_type, payload.bytes))
}

/// # Errors
/// When the object that was scanned does not have the field and the field cannot do without.
#[inline]
pub fn required<'a, T: Field<'a>>(field: Option<T>, payload: &Payload<'a>, name: &str) -> Result<T, Error> {
    field.or_else(T::missing).ok_or_else(|| missing_field(payload, name))
}

#[cold]
fn missing_field(payload: &Payload<'_>, name: &str) -> Error {
    let end = payload.bytes.trim_ascii_end().len();
    super::failure::Failure::new(end, format!("missing field `{name}`")).describe(payload.event_type, payload.bytes)
}

/// Lantern does not deliver such an event.
#[cold]
pub fn unknown_event<'a, E: super::EventData<'a>>(payload: Payload<'a>) -> Error {
    let known = E::event_types().unwrap_or_default().join("`, `");
    Error::new(format_args!("{0}: unknown variant `{0}`, expected one of `{known}`", payload.event_type))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::EventData;

    events! {
        /// With everything that a declaration may have.
        #[derive(Debug, PartialEq)]
        pub(crate) enum Event<'a> {
            Opened { seats: i64, title: Cow<'a, str>, r#type: Option<&'a str>, },
            /// Another name.
            Moved as "conference-moved" {
                /// Another name.
                to as "newPlace": &'a str,
                key as "key with \"quotes\"": Option<u8>,
            },
            r#Closed,
            Emptied {},
        }
    }

    events! {
        #[derive(Debug, PartialEq)]
        enum Owned { Named { name: String } }
    }

    fn decode<'a>(event_type: &'a str, data: &'a str) -> Result<Event<'a>, String> {
        let payload = Payload { event_type, content_type: "application/json", bytes: data.as_bytes() };
        Event::decode(payload).map_err(|error| error.to_string())
    }

    #[test]
    fn the_event_types_are_the_variants_or_the_names_given_for_them() {
        assert_eq!(
            <Event<'_> as EventData>::event_types(),
            Some(&["Opened", "conference-moved", "Closed", "Emptied"][..])
        );
        assert_eq!(<Owned as EventData>::event_types(), Some(&["Named"][..]));
    }

    #[test]
    fn declared_fields_are_taken_and_text_is_borrowed_where_it_can_be() {
        let opened = decode("Opened", r#"{"title":"ab","type":"x","more":[1,{}],"seats":3}"#);
        assert_eq!(opened, Ok(Event::Opened { seats: 3, title: "ab".into(), r#type: Some("x") }));
        assert!(matches!(opened, Ok(Event::Opened { title: Cow::Borrowed(_), .. })));
        let escaped = decode("Opened", r#"{"title":"é \"b\"","seats":3,"type":null}"#);
        assert_eq!(escaped, Ok(Event::Opened { seats: 3, title: "é \"b\"".into(), r#type: None }));
        assert!(matches!(escaped, Ok(Event::Opened { title: Cow::Owned(_), .. })));
        assert_eq!(decode("Emptied", " { } "), Ok(Event::Emptied {}));
        let named = Payload { event_type: "Named", content_type: "application/x+json", bytes: br#"{"name":"\u0041"}"# };
        assert_eq!(Owned::decode(named).map_err(|error| error.to_string()), Ok(Owned::Named { name: "A".into() }));
    }

    #[test]
    fn names_in_the_log_may_differ_from_those_in_rust() {
        let moved = decode("conference-moved", r#"{"to":1,"key with \"quotes\"":7,"newPlace":"Bern"}"#);
        assert_eq!(moved, Ok(Event::Moved { to: "Bern", key: Some(7) }));
    }

    #[test]
    fn a_variant_without_fields_ignores_the_data() {
        assert_eq!(decode("Closed", "no JSON"), Ok(Event::Closed));
    }

    #[test]
    fn a_failure_names_the_event_type_and_the_field() {
        let failure = |event_type, data| decode(event_type, data).expect_err("does not fit");
        assert_eq!(
            failure("Opened", r#"{"seats":"many","title":""}"#),
            "Opened: field `seats`: invalid type: string \"many\", expected i64 at line 1 column 15"
        );
        assert!(failure("Opened", r#"{"seats":1}"#).starts_with("Opened: missing field `title`"));
        assert!(failure("conference-moved", r#"{"newPlace":"\n"}"#).contains("Cow<'a, str>"));
        assert!(failure("Other", "{}").starts_with("Other: unknown variant `Other`, expected one of `Opened`"));
        assert!(failure("Emptied", "[]").starts_with("Emptied: invalid type: sequence, expected struct variant Event"));
        let photo = Payload { event_type: "Emptied", content_type: "image/png", bytes: b"{}" };
        assert!(Event::decode(photo).expect_err("no JSON").to_string().contains("byte array"));
    }

    #[test]
    fn what_is_skipped_must_be_correct_too() {
        for wrong in ["01", "[1,]", "{\"a\"}", "\"\\x\"", "tru", "\"\t\"", "[[]", "1 2"] {
            let data = format!("{{\"seats\":1,\"title\":\"\",\"skipped\":{wrong}}}");
            assert!(decode("Opened", &data).is_err(), "{data}");
        }
    }
}

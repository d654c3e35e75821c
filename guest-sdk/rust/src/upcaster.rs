//! What the author of an upcaster implements, and the macro that makes a plugin of it.

use serde::Serialize;

use crate::bindings::lantern::plugin::events::Event;
use crate::bindings::upcaster::{EventShape, UpcasterDescription, UpcasterSource};
use crate::{Error, EventData, Payload, Recorded};

/// Turns events of an old shape into newer ones while they are read. Stored events never change.
///
/// An upcaster is a function of one event, nothing else. Lantern stops asking when it has an event in a shape that no
/// upcaster takes, so each step may be small: version 1 to 2, and 2 to 3.
pub trait Upcaster: 'static {
    /// The name of the plugin: `[a-z][a-z0-9-]{0,62}`.
    const NAME: &'static str;

    /// The shapes it takes, and what each becomes.
    const SOURCES: &'static [Source];

    /// What stands in the place of one event: 1 to N events of the shapes that its source becomes.
    ///
    /// # Errors
    /// An error says that this event cannot be read: whatever wants to see it parks it, together with the later
    /// events of its stream. A panic does the same.
    fn upcast(event: Recorded<'_, Payload<'_>>) -> Result<Vec<Newer>, Error>;
}

/// An event type and which shape its data have; the first shape of an event type is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape(pub &'static str, pub u32);

/// What an upcaster takes, and the shapes of all that it may answer to that.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    pub shape: Shape,
    pub becomes: &'static [Shape],
}

/// An event that stands in the place of an older one. Id, stream, version, position, time and metadata stay.
#[derive(Clone, Debug, PartialEq)]
pub struct Newer {
    pub shape: Shape,
    /// JSON text.
    pub data: String,
}

impl Newer {
    /// With data from any type that serde can write as JSON, for example `json!({ "cents": 1250 })`.
    ///
    /// # Errors
    /// When the data cannot be written as JSON.
    pub fn new(shape: Shape, data: &impl Serialize) -> Result<Self, Error> {
        Ok(Self { shape, data: serde_json::to_string(data)? })
    }
}

impl<'a> Payload<'a> {
    /// The data as a type of the author's own, for example that of an old shape.
    ///
    /// # Errors
    /// Names the event type and the field that do not fit.
    pub fn read<T: EventData<'a>>(self) -> Result<T, Error> {
        T::decode(self)
    }
}

/// What the upcaster says of itself to the host.
pub fn describe<U: Upcaster>() -> UpcasterDescription {
    let shape = |Shape(event_type, schema_version): &Shape| EventShape {
        event_type: (*event_type).to_owned(),
        schema_version: *schema_version,
    };
    let source = |source: &Source| UpcasterSource {
        shape: shape(&source.shape),
        becomes: source.becomes.iter().map(shape).collect(),
    };
    UpcasterDescription { name: U::NAME.to_owned(), sources: U::SOURCES.iter().map(source).collect() }
}

/// A list for each event.
///
/// # Errors
/// At the first event that cannot be upcast.
pub fn upcast<U: Upcaster>(events: &[Event]) -> Result<Vec<Vec<Event>>, Error> {
    let upcast =
        |event: &Event| Ok(U::upcast(event.into())?.into_iter().map(|newer| in_place_of(event, newer)).collect());
    events.iter().map(upcast).collect()
}

fn in_place_of(event: &Event, Newer { shape: Shape(event_type, schema_version), data }: Newer) -> Event {
    Event {
        event_type: event_type.to_owned(),
        schema_version,
        content_type: "application/json".to_owned(),
        data,
        ..event.clone()
    }
}

/// Two hexadecimal digits for each byte, among dashes.
/// Makes a plugin of a type that implements [`Upcaster`](crate::Upcaster). Once in a crate whose `crate-type` contains
/// `cdylib`.
#[macro_export]
macro_rules! export_upcaster {
    ($upcaster:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::__private::{describe_upcaster, report_panics, upcast};
            use $crate::bindings::lantern::plugin::events::Event;
            use $crate::bindings::upcaster as bindings;

            struct Component;

            impl bindings::Guest for Component {
                fn describe() -> bindings::UpcasterDescription {
                    describe_upcaster::<$upcaster>()
                }

                fn upcast(
                    events: ::std::vec::Vec<Event>,
                ) -> ::core::result::Result<::std::vec::Vec<::std::vec::Vec<Event>>, ::std::string::String> {
                    report_panics();
                    upcast::<$upcaster>(&events).map_err(|error| error.to_string())
                }
            }

    bindings::export!(Component with_types_in bindings);
        };

        // Outside a guest the upcaster is only tested, but it shall compile all the same.
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() = || drop($crate::__private::describe_upcaster::<$upcaster>());
    };
}

//! What the author of a conflict resolver implements, the macro that makes a plugin of it, and the way between JSON
//! and the author's type of event.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::bindings::conflict_resolver as wit;
use crate::bindings::lantern::plugin::events::{Event, NewEvent};
use crate::decode::Payload;
use crate::event::Recorded;
use crate::{Error, EventData};

/// Decides what happens to an append whose writer had not seen the newest events of its stream.
///
/// It is a function of the conflict, nothing else: `lantern conflict rehearse` asks it again about conflicts of the past.
pub trait ConflictResolver: 'static {
    /// The name of the plugin: `[a-z][a-z0-9-]{0,62}`.
    const NAME: &'static str;

    /// The categories whose conflicts it decides; at least one. No other plugin may decide on one of them.
    const CATEGORIES: &'static [&'static str];

    /// The data of the events: an enum with one variant for each event type. An event of any other type, or whose data is
    /// no JSON, cannot be decided on: the append is rejected. `#[serde(other)]` on a unit variant takes all other types.
    type Event: Serialize + DeserializeOwned;

    /// Decides. Nothing is appended but what the answer says.
    ///
    /// # Errors
    /// An error, like a panic, is a failure of the plugin: the append is rejected, and the writer reads its text.
    fn resolve(conflict: &Conflict<'_, Self::Event>) -> Result<Resolution, Error>;
}

/// Events that were proposed behind a version of a stream that is no longer its newest.
#[derive(Clone, Debug)]
pub struct Conflict<'a, E> {
    /// The stream's name, for example `cart-42`.
    pub stream: &'a str,
    /// The part of the stream's name before its first `-`, for example `cart`.
    pub category: &'a str,
    /// The part of the stream's name behind its first `-`, for example `42`; empty if it has none.
    pub aggregate_id: &'a str,
    /// The stream version that the writer had seen; 0 when it expected no stream.
    pub expected: u64,
    /// The newest version. The decision holds only if it is still the newest afterwards; else the resolver is asked again.
    pub actual: u64,
    /// The events from `expected` + 1 to `actual`, in order; at least one. What the writer had seen is not shown: an event
    /// that carries what the next decision needs to know makes resolving easy.
    pub unseen: Vec<Recorded<'a, E>>,
    /// What the writer wants appended; at least one event.
    pub proposed: Vec<Proposed<'a, E>>,
}

/// An event that a writer wants appended.
#[derive(Clone, Copy, Debug)]
pub struct Proposed<'a, E> {
    pub data: E,
    /// All of it as it came.
    pub raw: &'a NewEvent,
}

/// What a conflict resolver decides.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolution {
    /// Append the proposed events as they are.
    Accept,
    /// Append these instead, at least one; see [`Proposed::rewritten`] and [`Proposed::unchanged`].
    Rewrite(Vec<NewEvent>),
    /// Append nothing; the writer gets the conflict and this reason.
    Reject(String),
}

impl Resolution {
    /// Append nothing, for this reason.
    pub fn reject(reason: impl ToString) -> Self {
        Self::Reject(reason.to_string())
    }
}

impl<E: Serialize> Proposed<'_, E> {
    /// An event of its own in the place of this one, with the same time and metadata. Lantern makes its id.
    ///
    /// # Errors
    /// When `event` is no variant of an enum, or has no JSON form.
    pub fn rewritten(&self, event: &E) -> Result<NewEvent, Error> {
        let (event_type, data) = match serde_json::to_value(event)? {
            Value::String(name) => (name, Value::Object(Default::default())),
            Value::Object(fields) if fields.len() == 1 => fields.into_iter().next().unwrap_or_default(),
            _ => return Err(Error::new("an event must be a variant of an enum, whose name is the event type")),
        };
        Ok(NewEvent { id: String::new(), event_type, data: data.to_string(), ..self.raw.clone() })
    }

    /// The event as it was proposed, to stand beside others.
    pub fn unchanged(&self) -> NewEvent {
        self.raw.clone()
    }
}

/// What the resolver says of itself to the host.
pub fn describe<R: ConflictResolver>() -> wit::ConflictResolverDescription {
    let categories = R::CATEGORIES.iter().map(|category| (*category).to_owned()).collect();
    wit::ConflictResolverDescription { name: R::NAME.to_owned(), categories }
}

/// Decides on a conflict as the host tells it.
///
/// # Errors
/// Says which event cannot be understood, or what the resolver's own error is.
pub fn resolve<R: ConflictResolver>(conflict: &wit::Conflict) -> Result<wit::Resolution, Error> {
    let (category, aggregate_id) = conflict.stream.split_once('-').unwrap_or((&conflict.stream, ""));
    let conflict = Conflict {
        stream: &conflict.stream,
        category,
        aggregate_id,
        expected: conflict.expected,
        actual: conflict.actual,
        unseen: conflict.unseen.iter().map(recorded).collect::<Result<_, _>>()?,
        proposed: conflict.proposed.iter().map(proposed).collect::<Result<_, _>>()?,
    };
    Ok(match R::resolve(&conflict)? {
        Resolution::Accept => wit::Resolution::Accept,
        Resolution::Rewrite(events) => wit::Resolution::Rewrite(events),
        Resolution::Reject(reason) => wit::Resolution::Reject(reason),
    })
}

fn recorded<E: DeserializeOwned>(event: &Event) -> Result<Recorded<'_, E>, Error> {
    let recorded = Recorded::from(event);
    let decoded = json(recorded.data).and_then(|_| recorded.decoded());
    decoded.map_err(|error| Error::new(format_args!("version {}: {error}", event.version)))
}

fn proposed<E: DeserializeOwned>(raw: &NewEvent) -> Result<Proposed<'_, E>, Error> {
    let payload = Payload { event_type: &raw.event_type, content_type: &raw.content_type, bytes: raw.data.as_bytes() };
    let data = json(payload).and_then(E::decode);
    let data = data.map_err(|error| Error::new(format_args!("a proposed event: {error}")))?;
    Ok(Proposed { data, raw })
}

/// The payload, unless it is no JSON.
fn json(payload: Payload<'_>) -> Result<Payload<'_>, Error> {
    let Payload { event_type, content_type, .. } = payload;
    if !payload.is_json() {
        crate::bail!("{event_type}: its data is {content_type}, which this resolver does not read");
    }
    Ok(payload)
}

/// Makes a plugin of a type that implements [`ConflictResolver`]. Once in a crate whose `crate-type` contains `cdylib`.
#[macro_export]
macro_rules! export_conflict_resolver {
    ($resolver:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::__private::conflict_resolver::{describe, resolve};
            use $crate::bindings::conflict_resolver as bindings;

            struct Component;

            impl bindings::Guest for Component {
                fn describe() -> bindings::ConflictResolverDescription {
                    $crate::__private::report_panics();
                    describe::<$resolver>()
                }

                fn resolve(
                    conflict: bindings::Conflict,
                ) -> ::core::result::Result<bindings::Resolution, ::std::string::String> {
                    $crate::__private::report_panics();
                    resolve::<$resolver>(&conflict).map_err(|error| error.to_string())
                }
            }

    bindings::export!(Component with_types_in bindings);
        };

        // Outside a guest the resolver is only tested, but it shall compile all the same.
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() = || drop($crate::__private::conflict_resolver::describe::<$resolver>());
    };
}

//! What the author of an aggregate implements, the macro that makes a plugin of it, and the way between JSON and the
//! author's types.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::bindings::aggregate as wit;
use crate::bindings::lantern::plugin::events::{Event, NewEvent};
use crate::decode::Payload;
use crate::event::Recorded;
use crate::{Error, EventData};

/// Folds the events of a stream into a state, and decides commands against it.
///
/// Both are functions of what they are given, nothing else: the same events must give the same state, however they are
/// cut into calls. Lantern may keep a state as a snapshot and go on from it.
pub trait Aggregate: 'static {
    /// The name of the plugin: `[a-z][a-z0-9-]{0,62}`.
    const NAME: &'static str;

    /// The category whose streams it folds: each stream is one aggregate.
    const CATEGORY: &'static str;

    /// Raise it when the state means something else than before: snapshots of other versions are ignored. Snapshots of
    /// other code are ignored anyway.
    const STATE_SCHEMA_VERSION: u32;

    /// `Default` is the state before the first event.
    type State: Default + Serialize + DeserializeOwned;

    /// The data of its events: an enum with one variant for each event type. Events of other types are passed over.
    type Event: Serialize + DeserializeOwned;

    /// The data of its commands: an enum with one variant for each command type. Others are refused.
    type Command: DeserializeOwned;

    /// Applies one event. The events of a stream come in the order of their versions.
    ///
    /// # Errors
    /// An error says that the stream cannot be folded: there is no state then, and no command is handled. What happened
    /// has happened, so this is for events that make no sense.
    fn evolve(state: &mut Self::State, event: Recorded<'_, Self::Event>) -> Result<(), Error>;

    /// Decides on a command: the events that it leads to, none if it changes nothing. They are appended only if the
    /// stream is still as this state shows it.
    ///
    /// # Errors
    /// An error refuses the command, and its text is the reason that the sender reads.
    fn handle(state: &Self::State, command: Received<'_, Self::Command>) -> Result<Vec<Self::Event>, Error>;
}

/// A command. `data` is the author's own type.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a, C> {
    pub data: C,
    /// UUID in its hyphenated form. The same command handled twice is handled once.
    pub id: &'a str,
    /// For example `ReserveSeats`.
    pub command_type: &'a str,
    /// When it came, in microseconds since 1970-01-01T00:00:00Z.
    pub time_micros: i64,
    /// A JSON object with what the sender wanted to say about it; its events get the same.
    pub metadata: &'a str,
}

/// What the aggregate says of itself to the host.
pub fn describe<A: Aggregate>() -> wit::AggregateDescription {
    wit::AggregateDescription {
        name: A::NAME.to_owned(),
        category: A::CATEGORY.to_owned(),
        state_schema_version: A::STATE_SCHEMA_VERSION,
    }
}

/// The state behind the events, from JSON to JSON.
///
/// # Errors
/// Says which event failed, or what is wrong with the state.
pub fn evolve<A: Aggregate>(state: Option<&str>, events: &[Event]) -> Result<String, Error> {
    let mut state = state_of::<A>(state)?;
    let event_types = <A::Event as EventData>::event_types();
    for event in events {
        if event_types.is_none_or(|types| types.contains(&event.event_type.as_str())) {
            apply::<A>(&mut state, event)
                .map_err(|error| Error::new(format_args!("version {}: {error}", event.version)))?;
        }
    }
    Ok(serde_json::to_string(&state)?)
}

/// What the aggregate decides on the command.
///
/// # Errors
/// When the state is none of this aggregate, or an event has no JSON form.
pub fn handle<A: Aggregate>(state: Option<&str>, command: &wit::Command) -> Result<wit::Decision, Error> {
    let state = state_of::<A>(state)?;
    let payload = Payload { event_type: &command.command_type, content_type: JSON, bytes: command.data.as_bytes() };
    let decided = A::Command::decode(payload).and_then(|data| {
        let wit::Command { id, command_type, time, metadata, .. } = command;
        A::handle(&state, Received { data, id, command_type, time_micros: *time, metadata })
    });
    match decided {
        Ok(events) => {
            let events: Result<_, Error> = events.iter().map(|event| new_event(event, command)).collect();
            Ok(wit::Decision::Append(events?))
        }
        Err(reason) => Ok(wit::Decision::Reject(reason.to_string())),
    }
}

const JSON: &str = "application/json";

pub(crate) fn state_of<A: Aggregate>(state: Option<&str>) -> Result<A::State, Error> {
    let read = |state| serde_json::from_str(state).map_err(|error| Error::new(format_args!("its own state: {error}")));
    state.map_or_else(|| Ok(A::State::default()), read)
}

fn apply<A: Aggregate>(state: &mut A::State, event: &Event) -> Result<(), Error> {
    let recorded = Recorded::from(event);
    if !recorded.data.is_json() {
        return Err(Error::new(format_args!(
            "{} is of content type {}, not JSON",
            event.event_type, event.content_type
        )));
    }
    A::evolve(state, recorded.decoded()?)
}

/// The event type is the name of the enum's variant, the data its content.
fn new_event<E: Serialize>(event: &E, command: &wit::Command) -> Result<NewEvent, Error> {
    let (event_type, data) = match serde_json::to_value(event)? {
        Value::String(name) => (name, Value::Object(Default::default())),
        Value::Object(fields) if fields.len() == 1 => fields.into_iter().next().unwrap_or_default(),
        _ => return Err(Error::new("an event must be a variant of an enum, whose name is the event type")),
    };
    Ok(NewEvent {
        // The host's to say.
        id: String::new(),
        time: 0,
        event_type,
        schema_version: 1,
        content_type: JSON.to_owned(),
        data: data.to_string(),
        metadata: command.metadata.clone(),
    })
}

/// Makes a plugin of a type that implements [`Aggregate`]. Once in a crate whose `crate-type` contains `cdylib`.
#[macro_export]
macro_rules! export_aggregate {
    ($aggregate:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::__private::aggregate::{describe, evolve, handle};
            use $crate::bindings::aggregate as bindings;
            use $crate::bindings::lantern::plugin::events::Event;

            struct Component;

            impl bindings::Guest for Component {
                fn describe() -> bindings::AggregateDescription {
                    $crate::__private::report_panics();
                    describe::<$aggregate>()
                }

                fn evolve(
                    state: ::core::option::Option<::std::string::String>,
                    events: ::std::vec::Vec<Event>,
                ) -> ::core::result::Result<::std::string::String, ::std::string::String> {
                    $crate::__private::report_panics();
                    evolve::<$aggregate>(state.as_deref(), &events).map_err(|error| error.to_string())
                }

                fn handle(
                    state: ::core::option::Option<::std::string::String>,
                    command: bindings::Command,
                ) -> ::core::result::Result<bindings::Decision, ::std::string::String> {
                    $crate::__private::report_panics();
                    handle::<$aggregate>(state.as_deref(), &command).map_err(|error| error.to_string())
                }
            }

    bindings::export!(Component with_types_in bindings);
        };

        // Outside a guest the aggregate is only tested, but it shall compile all the same.
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() = || drop($crate::__private::aggregate::describe::<$aggregate>());
    };
}

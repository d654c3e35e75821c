//! What an author implements, and the macro that makes a plugin of it.

use crate::event::Recorded;
use crate::read_model::Tables;
use crate::{Error, EventData};

/// Turns events into rows.
///
/// A projection is a function of its events and its own rows, nothing else: a replay must give the
/// same rows. State kept anywhere else is lost whenever Lantern likes.
pub trait Projection: 'static {
    /// The name of the projection and of its read model: `[a-z][a-z0-9-]{0,62}`.
    const NAME: &'static str;

    /// Raise it when the rows mean something else than before: Lantern then replays history into a
    /// new read model and swaps it in when it has caught up. As long as it stays, changed code goes
    /// on from where the old code stopped.
    const READ_MODEL_VERSION: u32;

    /// The categories whose events it reads. Empty: every category.
    const CATEGORIES: &'static [&'static str];

    /// About how many bytes of rows stay in the plugin's memory, of all tables together, each with the same share.
    /// More need fewer reads from the host; the result is the same. Changed rows stay until they are handed over.
    /// A plugin has 128 MiB of memory unless the daemon's settings say otherwise.
    const CACHED_BYTES: usize = 64 << 20;

    /// The data of its events: most often a serde enum with one variant for each event type that
    /// it reads. See [`EventData`].
    type Event<'a>: EventData<'a>;

    /// `Table<A>` or `(Table<A>, Table<B>, ...)`.
    type Tables: Tables;

    /// Applies one event. The events of a stream come in the order of their versions.
    ///
    /// # Errors
    /// An error says that this event cannot be applied: Lantern parks it together with the later
    /// events of its stream and keeps nothing of what this call wrote. A panic does the same.
    fn apply<'a>(event: Recorded<'a, Self::Event<'a>>, tables: &mut Self::Tables) -> Result<(), Error>;
}

/// Makes a plugin of a type that implements [`Projection`]. Once in a crate whose `crate-type`
/// contains `cdylib`.
#[macro_export]
macro_rules! export_projection {
    ($projection:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::__private::{HostRows, Instance, describe, report_panics};
            use $crate::bindings;

            struct Component;

            ::std::thread_local! {
                static INSTANCE: ::std::cell::RefCell<Instance<$projection>> = {
                    report_panics();
                    ::std::cell::RefCell::new(Instance::new(::std::rc::Rc::new(HostRows)))
                };
            }

            impl bindings::Guest for Component {
                fn describe() -> bindings::ProjectionDescription {
                    describe::<$projection>()
                }

                fn apply(
                    batch: bindings::EventBatch,
                ) -> ::core::result::Result<bindings::Pending, ::std::string::String> {
                    INSTANCE.with_borrow_mut(|instance| instance.apply(&batch)).map_err(|error| error.to_string())
                }

                fn flush() -> ::std::vec::Vec<u8> {
                    INSTANCE.with_borrow_mut(|instance| instance.flush())
                }
            }

    bindings::export!(Component with_types_in bindings);
        };

        // Outside a guest the projection is only tested, but it shall compile all the same.
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() = || drop($crate::__private::describe::<$projection>());
    };
}

//! Rust types for the worlds in `wit/`: the only generated code. It decides nothing.

/// The types of events. A world of their own uses each of them, because the generator writes
/// borrowed types only for what a world uses.
mod every_event_type {
    wasmtime::component::bindgen!({
        world: "lantern:bindings/every-event-type",
        path: "../wit",
        inline: "
            package lantern:bindings;

            world every-event-type {
                use lantern:plugin/events@0.1.0.{event, event-batch, new-event, interest};

                export into-guest: func(events: list<event>, proposed: list<new-event>, batch: event-batch);
                export from-guest: func() -> interest;
            }
        ",
        ownership: Borrowing { duplicate_if_necessary: false },
    });
}

/// The world `projection`, and the interfaces that both worlds share.
pub(super) mod typed {
    wasmtime::component::bindgen!({
        world: "lantern:plugin/projection",
        path: "../wit",
        imports: { default: trappable },
        ownership: Borrowing { duplicate_if_necessary: false },
        with: { "lantern:plugin/events": super::every_event_type::lantern::plugin::events },
    });
}

/// The world `columnar-projection`.
pub(super) mod columnar {
    wasmtime::component::bindgen!({
        world: "lantern:plugin/columnar-projection",
        path: "../wit",
        imports: { default: trappable },
        ownership: Borrowing { duplicate_if_necessary: false },
        with: {
            "lantern:plugin/events": super::every_event_type::lantern::plugin::events,
            "lantern:plugin/schema": super::typed::lantern::plugin::schema,
            "lantern:plugin/read-model": super::typed::lantern::plugin::read_model,
            "lantern:plugin/log": super::typed::lantern::plugin::log,
        },
    });
}

/// The types of events where guests answer with events too: each is owned.
pub(super) mod owned {
    wasmtime::component::bindgen!({
        world: "lantern:bindings/events-both-ways",
        path: "../wit",
        inline: "
            package lantern:bindings;

            world events-both-ways {
                use lantern:plugin/events@0.1.0.{event, new-event};

                export events: func(events: list<event>) -> list<event>;
                export new-events: func(events: list<new-event>) -> list<new-event>;
            }
        ",
    });
}

/// The world `conflict-resolver`.
pub(super) mod conflict_resolver {
    wasmtime::component::bindgen!({
        world: "lantern:plugin/conflict-resolver",
        path: "../wit",
        imports: { default: trappable },
        with: {
            "lantern:plugin/events": super::owned::lantern::plugin::events,
            "lantern:plugin/log": super::typed::lantern::plugin::log,
        },
    });
}

/// The world `upcaster`.
pub(super) mod upcaster {
    wasmtime::component::bindgen!({
        world: "lantern:plugin/upcaster",
        path: "../wit",
        imports: { default: trappable },
        with: {
            "lantern:plugin/events": super::owned::lantern::plugin::events,
            "lantern:plugin/log": super::typed::lantern::plugin::log,
        },
    });
}

/// The world `aggregate`.
pub(super) mod aggregate {
    wasmtime::component::bindgen!({
        world: "lantern:plugin/aggregate",
        path: "../wit",
        imports: { default: trappable },
        with: {
            "lantern:plugin/events": super::owned::lantern::plugin::events,
            "lantern:plugin/log": super::typed::lantern::plugin::log,
        },
    });
}

/// What `adapter.wat` imports.
pub(super) mod adapter {
    wasmtime::component::bindgen!({
        world: "lantern:host/adapter",
        path: "src/plugin/adapter.wit",
        imports: { default: trappable },
    });
}

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

/// What `adapter.wat` imports.
pub(super) mod adapter {
    wasmtime::component::bindgen!({
        world: "lantern:host/adapter",
        path: "src/plugin/adapter.wit",
        imports: { default: trappable },
    });
}

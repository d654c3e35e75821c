//! The code generated from `wit/`. Nothing else in this crate is generated.

#![allow(missing_docs, clippy::all, clippy::unwrap_used, unused_qualifications, unsafe_op_in_unsafe_fn)]

wit_bindgen::generate!({
    path: "wit",
    world: "columnar-projection",
    pub_export_macro: true,
    default_bindings_module: "lantern_sdk::bindings",
    additional_derives: [PartialEq, Clone],
});

/// The world `upcaster`.
pub mod upcaster {
    wit_bindgen::generate!({
        path: "wit",
        world: "upcaster",
        pub_export_macro: true,
        default_bindings_module: "lantern_sdk::bindings::upcaster",
        with: {
            "lantern:plugin/events@0.1.0": crate::bindings::lantern::plugin::events,
            "lantern:plugin/log@0.1.0": crate::bindings::lantern::plugin::log,
        },
        additional_derives: [PartialEq, Clone],
    });
}

/// The world `conflict-resolver`.
pub mod conflict_resolver {
    wit_bindgen::generate!({
        path: "wit",
        world: "conflict-resolver",
        pub_export_macro: true,
        default_bindings_module: "lantern_sdk::bindings::conflict_resolver",
        with: {
            "lantern:plugin/events@0.1.0": crate::bindings::lantern::plugin::events,
            "lantern:plugin/log@0.1.0": crate::bindings::lantern::plugin::log,
        },
        additional_derives: [PartialEq, Clone],
    });
}

/// The world `aggregate`.
pub mod aggregate {
    wit_bindgen::generate!({
        path: "wit",
        world: "aggregate",
        pub_export_macro: true,
        default_bindings_module: "lantern_sdk::bindings::aggregate",
        with: {
            "lantern:plugin/events@0.1.0": crate::bindings::lantern::plugin::events,
            "lantern:plugin/log@0.1.0": crate::bindings::lantern::plugin::log,
        },
        additional_derives: [PartialEq, Clone],
    });
}

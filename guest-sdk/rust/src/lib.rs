//! Write a Lantern plugin in Rust: a projection, a conflict resolver, an upcaster or an aggregate.
//!
//! A projection is one type that implements [`Projection`] and one [`export_projection!`]; the others are made in the same
//! way with [`ConflictResolver`], [`Upcaster`] and [`Aggregate`]. Rows are declared with [`table!`], events are a plain serde
//! enum or declared with [`events!`]. `README.md` shows whole ones, and how to build, test and run them.
//!
//! This crate owns everything between the author and `wit/`: decoding events, caching rows and
//! handing them over. It does no input or output of its own: a plugin sees nothing but its events
//! and its own rows.

mod aggregate;
#[doc(hidden)]
pub mod bindings;
mod conflict_resolver;
mod decode;
mod error;
mod event;
mod instance;
pub mod log;
mod projection;
mod read_model;
mod same;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
mod upcaster;

pub use aggregate::{Aggregate, Received};
pub use bindings::lantern::plugin::events::NewEvent;
pub use conflict_resolver::{Conflict, ConflictResolver, Proposed, Resolution};
pub use decode::{EventData, Field, Payload};
pub use error::Error;
pub use event::{EventId, Recorded};
pub use projection::Projection;
pub use read_model::{Column, KeyColumn, Row, Table, Tables, Value};

pub use upcaster::{Newer, Shape, Source, Upcaster};

/// All that a projection usually needs: `use lantern_sdk::prelude::*;`.
pub mod prelude {
    pub use std::borrow::Cow;

    pub use serde::{Deserialize, Serialize};

    pub use crate::{
        Aggregate, Conflict, ConflictResolver, Error, Newer, Payload, Projection, Received, Recorded, Resolution, Row,
        Shape, Source, Table, Upcaster, Value, bail, ensure, events, export_aggregate, export_conflict_resolver,
        export_projection, export_upcaster, log, table,
    };
}

/// What the macros expand to. Not for authors; may change at any time.
#[doc(hidden)]
pub mod __private {
    pub mod aggregate {
        pub use crate::aggregate::{describe, evolve, handle};
    }

    pub mod conflict_resolver {
        pub use crate::conflict_resolver::{describe, resolve};
    }

    pub use crate::decode::{event_name, required, scan_object, unknown_event};
    pub use crate::instance::{Instance, describe};
    pub use crate::log::{Level, report_panics, write};
    pub use crate::read_model::{ColumnDeclaration, HostRows, IndexDeclaration, TableDeclaration};
    pub use crate::same::same;
    pub use crate::upcaster::{describe as describe_upcaster, upcast};
}

/// Compiles the projection that the README shows.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

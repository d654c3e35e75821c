//! The API as a client sees it, over a real log and projections in plain Rust; no sockets, no WebAssembly.

mod access;
mod aggregates;
mod conflicts;
mod events;
mod fixture;
mod orders;
pub(super) use fixture::state;
mod projections;
mod shape;

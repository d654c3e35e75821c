//! Lantern: a daemon that streams stored events to plugins compiled to WebAssembly.
//!
//! `host/ARCHITECTURE.md` is the map. The modules stand in reading order; each may use only those
//! that the map's layer table allows.

mod cpu_time;
mod crash_point;
pub mod event;

pub mod code;
mod sqlite;

pub mod event_store;
pub mod read_model;

pub mod catalog;

pub mod upcast;

pub mod conflict;

pub mod aggregate;
pub mod projection;

pub mod plugin;

pub mod access;

pub mod http;

pub mod config;
pub mod telemetry;

pub mod daemon;

pub mod cli;

#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;

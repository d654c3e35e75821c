//! The JSON decoder of the Rust SDK, against serde_json.
#![no_main]

// What `differential` expects in the crate that it is part of.
use lantern_sdk::{EventData, Payload, events};

#[path = "../../../guest-sdk/rust/src/decode"]
#[allow(dead_code)] // The rest of it makes documents by chance.
mod decode {
    pub mod differential;
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| decode::differential::json(bytes));

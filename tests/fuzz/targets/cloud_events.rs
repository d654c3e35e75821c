//! A request with CloudEvents.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lantern::fuzzing::cloud_events(bytes));

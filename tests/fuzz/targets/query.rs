//! The query string of a read model.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lantern::fuzzing::query(bytes));

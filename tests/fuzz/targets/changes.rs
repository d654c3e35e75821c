//! A buffer that a plugin's `flush` returns.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lantern::fuzzing::changes(bytes));

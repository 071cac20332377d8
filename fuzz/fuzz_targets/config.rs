//! `breaker_sidecar::fuzzing` says what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| breaker_sidecar::fuzzing::config(bytes));

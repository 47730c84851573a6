#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| shipper_hash::fuzzing::index_paths(bytes));

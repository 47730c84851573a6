#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| shipper_hash::fuzzing::cache_file(bytes));

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| shipper_oci::fuzzing::reference(bytes));

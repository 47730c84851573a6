#![no_main]

#[expect(dead_code, reason = "each target uses one check")]
#[path = "../../crates/shipper-dockerfile/tests/parsers/checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::ignore_file(bytes));

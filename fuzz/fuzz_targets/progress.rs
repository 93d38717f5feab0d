//! Gives bytes that libFuzzer makes to a check of `bt_hostile`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bt_hostile::check("progress", input));

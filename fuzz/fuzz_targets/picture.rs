#![no_main]
//! See `image_gateway::fuzzing::picture`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| image_gateway::fuzzing::picture(data));

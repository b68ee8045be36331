#![no_main]
//! See `image_gateway::fuzzing::lists`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| image_gateway::fuzzing::lists(data));

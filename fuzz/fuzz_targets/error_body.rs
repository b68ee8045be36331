#![no_main]
//! See `image_gateway::fuzzing::error_body`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| image_gateway::fuzzing::error_body(data));

//! Reserved for the benchmark.

fn main() {}

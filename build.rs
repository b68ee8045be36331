//! Compiles the contract without `protoc`: protox parses, tonic generates, and the descriptor set
//! is kept for reflection.

use std::error::Error;
use std::path::PathBuf;

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let files = [
        "images",
        "models",
        "tools",
        "billing",
        "organizations",
        "errors",
    ]
    .map(|name| format!("proto/squados/images/v1/{name}.proto"));
    let descriptors = protox::compile(files, ["proto"])?;
    std::fs::write(
        out.join("squados.images.v1.bin"),
        descriptors.encode_to_vec(),
    )?;
    // `Bytes` fields: chunks of pictures are passed on without a copy.
    tonic_prost_build::configure()
        .bytes(".squados.images.v1")
        .boxed(".squados.images.v1.GenerationEvent.event.completed")
        .compile_fds(descriptors)?;
    Ok(())
}

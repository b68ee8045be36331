#![doc = include_str!("../ARCHITECTURE.md")]

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod crash;
pub mod domain;
pub mod fetch;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod generate;
pub mod grpc;
pub mod http;
pub mod keys;
pub mod live;
pub mod logging;
pub mod metrics;
pub mod mock;
pub mod openrouter;
pub mod ports;
pub mod prices;
pub mod recover;
pub mod store;
pub mod transport;
pub mod watch;

/// The contract's messages and services, as generated from `proto/`.
pub mod proto {
    #![expect(
        missing_docs,
        clippy::allow_attributes,
        clippy::excessive_nesting,
        clippy::large_enum_variant,
        clippy::too_many_lines,
        reason = "generated"
    )]

    tonic::include_proto!("squados.images.v1");

    /// The compiled contract, for reflection and for JSON.
    pub const DESCRIPTORS: &[u8] =
        include_bytes!(concat!(env!("OUT_DIR"), "/squados.images.v1.bin"));
}

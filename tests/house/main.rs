//! Tests of the whole house: the real server over real sockets, the real database, the mock
//! upstream as a real HTTP server. Every house audits its books when it is closed.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test that meets the unexpected has failed"
)]

mod access;
mod adjust;
mod charges;
mod generate;
mod hangup;
mod helpers;
mod idempotency;
mod program;
mod references;
// reflection
mod refusals;
mod streaming;
mod tidy;
mod tools;
mod upstream;

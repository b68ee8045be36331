//! Tests of the whole house: the real server over real sockets, the real database, the mock
//! upstream as a real HTTP server. Every house audits its books when it is closed.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::too_many_lines,
    reason = "a test that meets the unexpected has failed, and a table is read line by line"
)]

mod access;
mod adjust;
mod breaks;
mod calendar;
mod canary;
mod certificates;
mod charges;
mod closing;
mod descriptor;
mod ended;
mod faults;
mod fetching;
mod foreign;
mod generate;
mod hangup;
mod helpers;
mod idempotency;
mod jobs;
mod keys;
mod limits;
mod malformed;
mod named;
mod open_calls;
mod openrouter_keys;
mod orphans;
mod overload;
mod paging;
mod panics;
mod places;
mod prices;
mod program;
mod races;
mod reading;
mod records;
mod references;
mod reflection;
mod refusals;
mod setup;
mod story;
mod strangers;
mod streaming;
mod tidy;
mod told;
mod tools;
mod trail;
mod turns;
mod unspoken;
mod upstream;
mod walls;

//! The rules. No async, no I/O, no wire format: values in, values out.

pub mod address;
pub mod books;
pub mod catalog;
pub mod delivery;
pub mod failure;
pub mod generation;
#[cfg(any(test, feature = "torture"))]
pub mod histories;
pub mod ids;
pub mod job;
pub mod listing;
pub mod media;
pub mod money;
pub mod openrouter_key;
pub mod pricelist;
pub mod pricing;
pub mod quota;
pub mod recent;
pub mod recovery;
pub mod seen;
pub mod shape;
pub mod tally;
pub mod throttle;
pub mod tool;
pub mod trail;

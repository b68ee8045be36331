//! The image-generation gateway behind SquadOS.

pub mod domain;
pub mod ports;

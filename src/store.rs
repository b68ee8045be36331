//! The cellar: the only room that knows SQL and files. It keeps what the rules have decided, and
//! refuses what they would refuse, but decides nothing itself.

pub mod gallery;
pub mod private;
pub mod sqlite;

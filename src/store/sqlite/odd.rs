//! Rows that this program never wrote.

use rusqlite::types::Type;

/// A row that does not hold what the schema promises.
pub(super) fn odd(column: &str) -> rusqlite::Error {
    let what = format!("{column} holds what this program never writes");
    rusqlite::Error::FromSqlConversionFailure(0, Type::Text, what.into())
}

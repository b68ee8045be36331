//! The schema's versions: `PRAGMA user_version` counts the scripts that have run.

use rusqlite::Connection;

use super::OpenError;

/// Every script, in order. A released one is never changed.
const SCRIPTS: [&str; 1] = [include_str!("../../../migrations/sqlite/0001_init.sql")];

/// Whether a database has the version of this program; changes nothing.
pub(super) fn check(connection: &Connection) -> Result<(), OpenError> {
    let known = i64::try_from(SCRIPTS.len()).unwrap_or(i64::MAX);
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    match found {
        found if found > known => Err(OpenError::Newer { found, known }),
        found if found < known => Err(OpenError::Foreign { found }),
        _ => Ok(()),
    }
}

/// Runs the scripts that have not run yet, each in a transaction of its own.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), OpenError> {
    let known = i64::try_from(SCRIPTS.len()).unwrap_or(i64::MAX);
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > known {
        return Err(OpenError::Newer { found, known });
    }
    for (version, script) in (1i64..)
        .zip(SCRIPTS)
        .filter(|(version, _)| *version > found)
    {
        let transaction = connection.transaction()?;
        transaction.execute_batch(script)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

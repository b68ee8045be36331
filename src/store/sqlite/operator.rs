//! Which operator's key the gateway was started with, as the platform's audit trail tells it.
//!
//! Nothing is kept but a name: a hash that is keyed with a pepper. Once that pepper is lost with the
//! key-encryption key, nobody can tell whether the key of now is the one that was named. So the name
//! is also kept by itself, with its pepper's, and is then renewed without a word in the trail.

use rusqlite::{Connection, OptionalExtension, params};

use super::{Sqlite, deeds, trail};
use crate::domain::trail::By;
use crate::ports::SettingsError;

/// A name of the operator's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperatorKeyName {
    /// What it is keyed with, by its own name.
    pub pepper: [u8; 8],
    /// The name under that.
    pub name: [u8; 8],
}

impl Sqlite {
    /// Notes that the operator's key is another one than the last that was noted. `names` are all that
    /// the key has and had, the one of now first; none is no key. If the last one's was keyed with none
    /// of their peppers, nobody can tell, and nothing is said of it.
    ///
    /// # Errors
    /// [`SettingsError::Full`], [`SettingsError::Broken`].
    pub async fn note_operator_key(
        &self,
        names: Vec<OperatorKeyName>,
        by: By,
    ) -> Result<(), SettingsError> {
        self.write(move |connection| {
            let (before, now) = (kept(connection)?, names.first().copied());
            if before == now {
                return Ok(());
            }
            keep(connection, now)?;
            let same = before.is_some_and(|before| names.contains(&before));
            let untold = match (before, now) {
                (Some(before), Some(_)) => names.iter().all(|one| one.pepper != before.pepper),
                _ => false,
            };
            if same || untold {
                return Ok(());
            }
            let new = now.map(|now| deeds::name_of(&now.name));
            let deed = deeds::operator_key_changed(last(connection)?, new);
            Ok(trail::append_for_all(connection, &by, &deed)?)
        })
        .await
    }
}

/// The name that was kept last, if there was a key.
fn kept(connection: &Connection) -> Result<Option<OperatorKeyName>, rusqlite::Error> {
    let mut statement = connection.prepare_cached("SELECT pepper, name FROM operator_key")?;
    let name = statement.query_row([], |row| {
        Ok(OperatorKeyName {
            pepper: row.get(0)?,
            name: row.get(1)?,
        })
    });
    name.optional()
}

fn keep(connection: &Connection, now: Option<OperatorKeyName>) -> Result<(), rusqlite::Error> {
    connection.execute("DELETE FROM operator_key", [])?;
    if let Some(OperatorKeyName { pepper, name }) = now {
        let sql = "INSERT INTO operator_key (pepper, name) VALUES (?1, ?2)";
        connection.execute(sql, params![pepper, name])?;
    }
    Ok(())
}

/// The name that the trail told last, if it was of a key.
fn last(connection: &Connection) -> Result<Option<String>, rusqlite::Error> {
    let sql = "
      SELECT changes FROM audit_entry WHERE trail = '' AND action = 'operator_key_changed' ORDER BY seq DESC LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
    let changes = statement.query_row([], |row| row.get(0)).optional()?;
    let Some(changes): Option<String> = changes else {
        return Ok(None);
    };
    Ok(trail::read(&changes)?
        .into_iter()
        .find_map(|change| change.new))
}

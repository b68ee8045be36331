//! Which operator's key the gateway was started with, as the platform's audit trail tells it.

use rusqlite::{Connection, OptionalExtension};

use super::{Sqlite, deeds, trail};
use crate::domain::trail::By;
use crate::ports::SettingsError;

impl Sqlite {
    /// Notes that the operator's key is another one than the last that was noted. `names` are all that
    /// the key has and had, the one of now first; none is no key.
    ///
    /// # Errors
    /// [`SettingsError::Full`], [`SettingsError::Broken`].
    pub async fn note_operator_key(
        &self,
        names: Vec<[u8; 8]>,
        by: By,
    ) -> Result<(), SettingsError> {
        let names: Vec<String> = names.iter().map(deeds::name_of).collect();
        self.write(move |connection| {
            let last = last(connection)?;
            let same = match &last {
                Some(last) => names.contains(last),
                None => names.is_empty(),
            };
            if same {
                return Ok(());
            }
            let deed = deeds::operator_key_changed(last, names.first().cloned());
            Ok(trail::append_for_all(connection, &by, &deed)?)
        })
        .await
    }
}

/// The name of the key that was noted last, if it was one.
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

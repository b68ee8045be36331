//! What is sealed with the key-encryption key, all of it: organizations' own OpenRouter keys, and what
//! API keys were hashed with before that key was replaced.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Sqlite, deeds, rows, trail};
use crate::domain::ids::{OpenRouterKeyId, OrganizationId};
use crate::domain::openrouter_key::Sealed;
use crate::domain::trail::By;
use crate::ports::SettingsError;

/// The peppers that keys are hashed with and that are not given up.
pub(super) const HASHED_WITH: &str = "
  SELECT DISTINCT pepper FROM api_key WHERE pepper NOT IN (SELECT id FROM pepper WHERE kek IS NULL)";

/// The peppers that can be opened.
pub(super) const PEPPERS: &str =
    "SELECT id, kek, wrapped, sealed FROM pepper WHERE kek IS NOT NULL";

/// The names of the key-encryption keys that anything is sealed with, each once.
pub(super) const SEALED_WITH: &str = "
  SELECT kek FROM openrouter_key WHERE kek IS NOT NULL UNION SELECT kek FROM pepper WHERE kek IS NOT NULL";

/// Whose secret it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// An organization's own OpenRouter key.
    OpenRouterKey {
        /// Whose.
        organization: OrganizationId,
        /// Its id.
        id: OpenRouterKeyId,
    },
    /// What API keys were hashed with.
    Pepper {
        /// Its name.
        id: [u8; 8],
    },
}

/// A key-encryption key that is replaced.
#[derive(Clone, Debug)]
pub struct Replacing {
    /// The name of the one that is in use until now.
    pub old: [u8; 8],
    /// What API keys are hashed with until now, by its name, sealed with the new one.
    pub pepper: ([u8; 8], Sealed),
    /// Who replaces it, and when.
    pub by: By,
}

/// How much was sealed anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HandedOver {
    /// Organizations' own OpenRouter keys.
    pub openrouter_keys: u32,
    /// Peppers of API keys, the one that was in use included.
    pub peppers: u32,
}

/// What seals a secret anew.
type Reseal<'a> =
    &'a mut dyn FnMut(&Whose, &Sealed) -> Result<Sealed, Box<dyn std::error::Error + Send + Sync>>;

impl Sqlite {
    /// The names of the key-encryption keys that anything is sealed with: one, or none.
    ///
    /// # Errors
    /// [`SettingsError::Broken`].
    pub fn key_encryption_keys(&self) -> Result<Vec<[u8; 8]>, SettingsError> {
        let connection = self.shared.reader();
        let mut statement = connection.prepare(SEALED_WITH)?;
        let names = statement.query_map([], |row| row.get(0))?;
        Ok(names.collect::<Result<_, _>>()?)
    }

    /// The names of what API keys are hashed with, of all keys that were ever made, but for what was
    /// [given up](Self::give_up_lost).
    ///
    /// # Errors
    /// [`SettingsError::Broken`].
    pub fn peppers_of_api_keys(&self) -> Result<Vec<[u8; 8]>, SettingsError> {
        let connection = self.shared.reader();
        let mut statement = connection.prepare(HASHED_WITH)?;
        let names = statement.query_map([], |row| row.get(0))?;
        Ok(names.collect::<Result<_, _>>()?)
    }

    /// What API keys were hashed with before the key-encryption key was replaced.
    ///
    /// # Errors
    /// [`SettingsError::Broken`].
    pub fn peppers(&self) -> Result<Vec<([u8; 8], Sealed)>, SettingsError> {
        let connection = self.shared.reader();
        let mut statement = connection.prepare(PEPPERS)?;
        let peppers = statement.query_map([], |row| Ok((row.get(0)?, sealed(row, 1)?)))?;
        Ok(peppers.collect::<Result<_, _>>()?)
    }

    /// Seals everything anew, adds the pepper that is in use until now, and tells it in the
    /// platform's audit trail, in one transaction: all of it or nothing.
    ///
    /// # Errors
    /// [`SettingsError::Full`], [`SettingsError::Broken`], also if something does not open.
    pub async fn hand_over<E>(
        &self,
        replacing: Replacing,
        mut reseal: impl FnMut(&Whose, &Sealed) -> Result<Sealed, E> + Send + 'static,
    ) -> Result<HandedOver, SettingsError>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        self.write(move |connection| {
            let mut reseal = |whose: &Whose, sealed: &Sealed| Ok(reseal(whose, sealed)?);
            let Replacing { old, pepper, by } = &replacing;
            let (id, sealed) = pepper;
            let mut done = HandedOver {
                openrouter_keys: hand_over_keys(connection, &mut reseal)?,
                peppers: hand_over_peppers(connection, id, &mut reseal)?,
            };
            // A key that was in use before, and is again until now, has left its pepper already.
            let sql = "
              INSERT INTO pepper (id, kek, wrapped, sealed) VALUES (?1, ?2, ?3, ?4)
                  ON CONFLICT (id) DO UPDATE
                 SET kek = excluded.kek, wrapped = excluded.wrapped, sealed = excluded.sealed";
            let Sealed {
                kek,
                wrapped,
                sealed,
            } = sealed;
            connection.execute(sql, params![id, kek, wrapped, sealed])?;
            done.peppers += 1;
            let deed = deeds::encryption_key_replaced(Some(deeds::name_of(old)), kek);
            trail::append_for_all(connection, by, &deed)?;
            Ok(done)
        })
        .await
    }
}

fn hand_over_keys(connection: &Connection, reseal: Reseal<'_>) -> Result<u32, SettingsError> {
    let next = "
      SELECT id, organization, kek, wrapped, sealed FROM openrouter_key
       WHERE kek IS NOT NULL AND id > ?1 ORDER BY id LIMIT 1";
    let mut next = connection.prepare(next)?;
    let change = "UPDATE openrouter_key SET kek = ?2, wrapped = ?3, sealed = ?4 WHERE id = ?1";
    let mut change = connection.prepare(change)?;
    let (mut last, mut done) = (Vec::new(), 0);
    loop {
        // One at a time: there may be as many as there are organizations.
        let row = next.query_row([&last], |row| {
            let id = OpenRouterKeyId::from_uuid(rows::uuid(row, 0)?);
            let organization = rows::word(row, 1, |text| OrganizationId::parse(text).ok())?;
            Ok((
                Whose::OpenRouterKey { organization, id },
                id,
                sealed(row, 2)?,
            ))
        });
        let Some((whose, id, kept)) = row.optional()? else {
            return Ok(done);
        };
        let anew = reseal(&whose, &kept).map_err(SettingsError::Broken)?;
        last = id.uuid().as_bytes().to_vec();
        change.execute(params![last, anew.kek, anew.wrapped, anew.sealed])?;
        done += 1;
    }
}

/// All but the one in use until now, which is sealed by itself. Every replacement leaves one, so
/// they are few.
fn hand_over_peppers(
    connection: &Connection,
    in_use: &[u8; 8],
    reseal: Reseal<'_>,
) -> Result<u32, SettingsError> {
    let mut all = connection.prepare(&format!("{PEPPERS} AND id <> ?1"))?;
    let all = all.query_map([in_use], |row| Ok((row.get(0)?, sealed(row, 1)?)))?;
    let all: Vec<([u8; 8], Sealed)> = all.collect::<Result<_, _>>()?;
    let mut done = 0;
    for (id, kept) in all {
        let anew = reseal(&Whose::Pepper { id }, &kept).map_err(SettingsError::Broken)?;
        let sql = "UPDATE pepper SET kek = ?2, wrapped = ?3, sealed = ?4 WHERE id = ?1";
        connection.execute(sql, params![id, anew.kek, anew.wrapped, anew.sealed])?;
        done += 1;
    }
    Ok(done)
}

pub(super) fn sealed(row: &Row<'_>, from: usize) -> Result<Sealed, rusqlite::Error> {
    Ok(Sealed {
        kek: row.get(from)?,
        wrapped: row.get(from + 1)?,
        sealed: row.get(from + 2)?,
    })
}

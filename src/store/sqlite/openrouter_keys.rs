//! The port of organizations' own OpenRouter keys. A row outlives its key: generations name its
//! fingerprint, and so does the audit trail its id. Of the key nothing is left when it ends.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::rows::{self, micros, time, word};
use super::settings::require;
use super::{Sqlite, deeds, trail};
use crate::domain::ids::{OpenRouterKeyId, OrganizationId};
use crate::domain::openrouter_key::{KeyStatus, REFUSALS_APART, REFUSALS_MAX, Sealed};
use crate::domain::trail::{Actor, By};
use crate::ports::{KeyNote, OpenRouterKey, OpenRouterKeys, SettingsError};

#[async_trait]
impl OpenRouterKeys for Sqlite {
    async fn openrouter_key(
        &self,
        organization: &OrganizationId,
    ) -> Result<Option<OpenRouterKey>, SettingsError> {
        let organization = organization.clone();
        self.read(move |connection| Ok(find(connection, &organization)?))
            .await
    }

    async fn set_openrouter_key(&self, key: OpenRouterKey, by: By) -> Result<(), SettingsError> {
        self.write(move |connection| {
            require(connection, &key.organization)?;
            let before = find(connection, &key.organization)?;
            end(connection, &key.organization, by.at)?;
            insert(connection, &key)?;
            let deed = deeds::openrouter_key_set(before.as_ref(), &key);
            Ok(trail::append(connection, &key.organization, &by, &deed)?)
        })
        .await
    }

    async fn delete_openrouter_key(
        &self,
        organization: &OrganizationId,
        by: By,
    ) -> Result<bool, SettingsError> {
        let organization = organization.clone();
        self.write(move |connection| {
            require(connection, &organization)?;
            let Some(before) = find(connection, &organization)? else {
                return Ok(false);
            };
            end(connection, &organization, by.at)?;
            let deed = deeds::openrouter_key_deleted(&before);
            trail::append(connection, &organization, &by, &deed)?;
            Ok(true)
        })
        .await
    }

    async fn note_openrouter_key(
        &self,
        id: OpenRouterKeyId,
        note: KeyNote,
        at: Timestamp,
    ) -> Result<Option<KeyStatus>, SettingsError> {
        self.write(move |connection| {
            let Some(before) = by_id(connection, id)? else {
                return Ok(None);
            };
            match note {
                KeyNote::Refused => refuse(connection, id, at)?,
                KeyNote::Taken { since } => take(connection, id, since, at)?,
            }
            let Some(after) = by_id(connection, id)? else {
                return Ok(None);
            };
            if let Some(deed) = deeds::openrouter_key_noted(&before, &after) {
                let by = By {
                    actor: Actor::Gateway,
                    at,
                };
                trail::append(connection, &after.organization, &by, &deed)?;
            }
            Ok(Some(after.status()))
        })
        .await
    }
}

fn refuse(
    connection: &Connection,
    id: OpenRouterKeyId,
    at: Timestamp,
) -> Result<(), rusqlite::Error> {
    let sql = "
      UPDATE openrouter_key SET checked_us = max(checked_us, ?2), refusals = min(refusals + 1, ?3)
       WHERE id = ?1 AND ended_us IS NULL AND (refusals = 0 OR checked_us <= ?2 - ?4)";
    let apart = i64::try_from(REFUSALS_APART.as_micros()).unwrap_or(i64::MAX);
    let id = id.uuid();
    let values = params![id.as_bytes().as_slice(), micros(at), REFUSALS_MAX, apart];
    connection.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

fn take(
    connection: &Connection,
    id: OpenRouterKeyId,
    since: Timestamp,
    at: Timestamp,
) -> Result<(), rusqlite::Error> {
    let sql = "
      UPDATE openrouter_key SET checked_us = max(checked_us, ?2), refusals = 0
       WHERE id = ?1 AND ended_us IS NULL AND checked_us <= ?3";
    let id = id.uuid();
    let values = params![id.as_bytes().as_slice(), micros(at), micros(since)];
    connection.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

/// The columns that [`key`] reads, in its order, of keys that have not ended.
const KEY: &str = "
  SELECT id, organization, fingerprint, masked, kek, wrapped, sealed, refusals, created_us, checked_us
    FROM openrouter_key WHERE ended_us IS NULL";

/// The key that an organization draws with.
pub(super) fn find(
    connection: &Connection,
    organization: &OrganizationId,
) -> Result<Option<OpenRouterKey>, rusqlite::Error> {
    let sql = format!("{KEY} AND organization = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_row([organization.as_str()], key).optional()
}

fn by_id(
    connection: &Connection,
    id: OpenRouterKeyId,
) -> Result<Option<OpenRouterKey>, rusqlite::Error> {
    let sql = format!("{KEY} AND id = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let id = id.uuid();
    statement
        .query_row([id.as_bytes().as_slice()], key)
        .optional()
}

fn insert(connection: &Connection, key: &OpenRouterKey) -> Result<(), rusqlite::Error> {
    let sql = "
      INSERT INTO openrouter_key (id, organization, fingerprint, masked, kek, wrapped, sealed, refusals, created_us, checked_us)
      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    connection.prepare_cached(sql)?.execute(params![
        key.id.uuid().as_bytes().as_slice(),
        key.organization.as_str(),
        key.fingerprint,
        key.masked,
        key.sealed.kek.as_slice(),
        key.sealed.wrapped,
        key.sealed.sealed,
        key.refusals,
        micros(key.created),
        micros(key.checked),
    ])?;
    Ok(())
}

/// Ends the key of an organization, if it has one, and leaves nothing that could be opened.
fn end(
    connection: &Connection,
    organization: &OrganizationId,
    at: Timestamp,
) -> Result<(), rusqlite::Error> {
    let sql = "
      UPDATE openrouter_key SET ended_us = max(?2, created_us), kek = NULL, wrapped = NULL, sealed = NULL
       WHERE organization = ?1 AND ended_us IS NULL";
    let mut statement = connection.prepare_cached(sql)?;
    statement.execute(params![organization.as_str(), micros(at)])?;
    Ok(())
}

fn key(row: &Row<'_>) -> Result<OpenRouterKey, rusqlite::Error> {
    Ok(OpenRouterKey {
        id: OpenRouterKeyId::from_uuid(rows::uuid(row, 0)?),
        organization: word(row, 1, |text| OrganizationId::parse(text).ok())?,
        fingerprint: row.get(2)?,
        masked: row.get(3)?,
        sealed: Sealed {
            kek: row.get(4)?,
            wrapped: row.get(5)?,
            sealed: row.get(6)?,
        },
        refusals: row.get(7)?,
        created: time(row.get(8)?),
        checked: time(row.get(9)?),
    })
}

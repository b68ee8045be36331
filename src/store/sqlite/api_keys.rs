//! Keys of organizations: what is kept of them, their last use and their end.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::rows::{self, micros, time, word};
use super::{deeds, trail};
use crate::domain::ids::{ApiKeyId, OrganizationId};
use crate::domain::trail::By;
use crate::ports::{ApiKey, KeyHash, LAST_USED_EVERY, Role, SettingsError};

/// The columns that [`api_key`] reads, in its order.
const KEY: &str = "
  SELECT id, organization, name, prefix, role, created_us, expires_us, last_used_us, revoked_us, pepper, mac
    FROM api_key";

/// Adds a key, and who made it.
pub(super) fn create(
    connection: &Connection,
    key: &ApiKey,
    hash: &KeyHash,
    by: &By,
) -> Result<(), SettingsError> {
    let sql = "
      INSERT INTO api_key (id, organization, name, prefix, mac, pepper, role, created_us, expires_us)
      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    connection.prepare_cached(sql)?.execute(params![
        key.id.uuid().as_bytes().as_slice(),
        key.organization.as_str(),
        key.name,
        key.prefix,
        hash.mac.as_slice(),
        hash.pepper.as_slice(),
        key.role.as_str(),
        micros(key.created),
        key.expires.map(micros),
    ])?;
    let deed = deeds::api_key_created(key);
    Ok(trail::append(connection, &key.organization, by, &deed)?)
}

/// The key with this prefix, and what is kept of it.
pub(super) fn by_prefix(
    connection: &Connection,
    prefix: &str,
) -> Result<Option<(ApiKey, KeyHash)>, rusqlite::Error> {
    let sql = format!("{KEY} WHERE prefix = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement.query_row([prefix], |row| {
        let hash = KeyHash {
            pepper: row.get(9)?,
            mac: row.get(10)?,
        };
        Ok((api_key(row)?, hash))
    });
    found.optional()
}

/// A page of the keys of an organization, newest first.
pub(super) fn page(
    connection: &Connection,
    organization: &OrganizationId,
    after: Option<ApiKeyId>,
    limit: u32,
) -> Result<Vec<ApiKey>, rusqlite::Error> {
    // No id is above the greatest one, so that the first page asks the same.
    let after = after.map_or([u8::MAX; 17].to_vec(), |id| id.uuid().as_bytes().to_vec());
    let sql = format!("{KEY} WHERE organization = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3");
    let mut statement = connection.prepare_cached(&sql)?;
    let keys = statement.query_map(params![organization.as_str(), after, limit], api_key)?;
    keys.collect()
}

/// Ends a key, and who ended it.
pub(super) fn revoke(
    connection: &Connection,
    (organization, id): (&OrganizationId, ApiKeyId),
    up_to: Role,
    by: &By,
) -> Result<ApiKey, SettingsError> {
    let found = by_id(connection, organization, id)?;
    let key = found.ok_or(SettingsError::NoApiKey)?;
    if key.role > up_to {
        return Err(SettingsError::Above);
    }
    if key.revoked.is_some() {
        return Ok(key);
    }
    // First, because a key may end itself.
    let deed = deeds::api_key_revoked(&key, by);
    trail::append(connection, organization, by, &deed)?;
    let sql = "UPDATE api_key SET revoked_us = ?2 WHERE id = ?1";
    connection
        .prepare_cached(sql)?
        .execute(params![id.uuid().as_bytes().as_slice(), micros(by.at)])?;
    Ok(ApiKey {
        revoked: Some(by.at),
        ..key
    })
}

/// Notes a use, unless one is noted that is not long ago.
pub(super) fn note_use(
    connection: &Connection,
    id: ApiKeyId,
    at: Timestamp,
) -> Result<(), rusqlite::Error> {
    let sql = "
      UPDATE api_key SET last_used_us = ?2
       WHERE id = ?1 AND (last_used_us IS NULL OR last_used_us <= ?2 - ?3)";
    let every = i64::try_from(LAST_USED_EVERY.as_micros()).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(sql)?;
    statement.execute(params![id.uuid().as_bytes().as_slice(), micros(at), every])?;
    Ok(())
}

/// The key of an organization with this id.
pub(super) fn by_id(
    connection: &Connection,
    organization: &OrganizationId,
    id: ApiKeyId,
) -> Result<Option<ApiKey>, rusqlite::Error> {
    let sql = format!("{KEY} WHERE organization = ?1 AND id = ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let id = id.uuid();
    let found = statement.query_row(
        params![organization.as_str(), id.as_bytes().as_slice()],
        api_key,
    );
    found.optional()
}

fn api_key(row: &Row<'_>) -> Result<ApiKey, rusqlite::Error> {
    let at = |column: usize| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(time));
    Ok(ApiKey {
        id: ApiKeyId::from_uuid(rows::uuid(row, 0)?),
        organization: word(row, 1, |text| OrganizationId::parse(text).ok())?,
        name: row.get(2)?,
        prefix: row.get(3)?,
        role: word(row, 4, Role::parse)?,
        created: time(row.get(5)?),
        expires: at(6)?,
        last_used: at(7)?,
        revoked: at(8)?,
    })
}

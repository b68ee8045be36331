//! What nothing opens any more, because the key-encryption key is lost or what is kept is damaged: it
//! is found, and given up if the operator says so. Nobody draws or is let in because of that: an
//! organization's own OpenRouter key stays as one that cannot be read, and API keys are revoked.

use rusqlite::{Connection, OptionalExtension, params};

use super::sealed::{HASHED_WITH, PEPPERS, SEALED_WITH, Whose, sealed};
use super::{Sqlite, api_keys, deeds, openrouter_keys, rows, trail};
use crate::domain::ids::{ApiKeyId, OrganizationId};
use crate::domain::openrouter_key::Sealed;
use crate::domain::trail::By;
use crate::ports::{Role, SettingsError};

/// The most organizations that are named; more are only counted.
pub(super) const NAMED_MAX: usize = 1_000;

/// The name of what API keys are hashed with.
type PepperId = [u8; 8];

/// The key-encryption key of now, by the names that the books know.
#[derive(Clone, Copy, Debug)]
pub struct InUse {
    /// Its own, under which things are sealed.
    pub kek: [u8; 8],
    /// That of what API keys are hashed with; it is kept nowhere.
    pub pepper: PepperId,
}

/// What nothing opens any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Organizations' own OpenRouter keys.
    pub openrouter_keys: u32,
    /// Whose they are, in the order in which they were set; at most a thousand.
    pub organizations: Vec<OrganizationId>,
    /// API keys that have not ended and are hashed with something that is lost.
    pub api_keys: u32,
    /// What API keys are hashed with, and nobody knows.
    pub peppers: u32,
}

/// Tells what opens.
struct Opener<'a> {
    opens: &'a mut dyn FnMut(&Whose, &Sealed) -> bool,
    in_use: Option<InUse>,
}

impl Sqlite {
    /// Finds what nothing opens. `in_use` is the key of now, if there is one.
    ///
    /// # Errors
    /// [`SettingsError::Broken`].
    pub async fn lost(
        &self,
        in_use: Option<InUse>,
        mut opens: impl FnMut(&Whose, &Sealed) -> bool + Send + 'static,
    ) -> Result<Lost, SettingsError> {
        self.read(move |connection| {
            let opens = &mut opens;
            look(connection, &mut Opener { opens, in_use }, None)
        })
        .await
    }

    /// Gives up what nothing opens, in one transaction: all of it or nothing. Each organization's trail
    /// tells of its OpenRouter key and of its API keys, the platform's of the key-encryption key, if it
    /// is another one than it was.
    ///
    /// # Errors
    /// [`SettingsError::Full`], [`SettingsError::Broken`].
    pub async fn give_up_lost(
        &self,
        in_use: InUse,
        mut opens: impl FnMut(&Whose, &Sealed) -> bool + Send + 'static,
        by: By,
    ) -> Result<Lost, SettingsError> {
        self.write(move |connection| {
            let opens = &mut opens;
            let in_use = Some(in_use);
            look(connection, &mut Opener { opens, in_use }, Some(&by))
        })
        .await
    }
}

/// Finds what is lost; gives it up if somebody does that.
fn look(
    connection: &Connection,
    opener: &mut Opener<'_>,
    by: Option<&By>,
) -> Result<Lost, SettingsError> {
    let mut lost = Lost::default();
    let before = opener.in_use.map(|now| sealed_with(connection, &now));
    let before = before.transpose()?.flatten();
    look_at_openrouter_keys(connection, opener, by, &mut lost)?;
    for pepper in lost_peppers(connection, opener)? {
        lost.peppers += 1;
        // What is in use is known without a row.
        if opener.in_use.is_none_or(|in_use| in_use.pepper != pepper) {
            lost.api_keys += look_at_api_keys(connection, &pepper, by)?;
        }
        if by.is_some() {
            let sql = "
              INSERT INTO pepper (id) VALUES (?1)
                  ON CONFLICT (id) DO UPDATE SET kek = NULL, wrapped = NULL, sealed = NULL";
            connection.execute(sql, params![pepper])?;
        }
    }
    let found = lost.openrouter_keys + lost.peppers > 0;
    if let (true, Some(by), Some(in_use)) = (found, by, opener.in_use) {
        tell(connection, before, &in_use, by)?;
    }
    Ok(lost)
}

/// Tells that another key-encryption key is in use from now on, if it is.
fn tell(
    connection: &Connection,
    before: Option<[u8; 8]>,
    in_use: &InUse,
    by: &By,
) -> Result<(), SettingsError> {
    let told = "
      SELECT changes ->> '$[0].new' FROM audit_entry
       WHERE trail = '' AND action = 'encryption_key_replaced' ORDER BY seq DESC LIMIT 1";
    let told = connection
        .query_row(told, [], |row| row.get(0))
        .optional()?;
    let old: Option<String> = told.or_else(|| before.as_ref().map(deeds::name_of));
    if old == Some(deeds::name_of(&in_use.kek)) {
        return Ok(());
    }
    let deed = deeds::encryption_key_replaced(old, &in_use.kek);
    Ok(trail::append_for_all(connection, by, &deed)?)
}

/// The name of the key-encryption key that things are sealed with. It is the one of now if anything
/// is sealed with that, or API keys are hashed with its pepper: then another name in a row is damage.
fn sealed_with(connection: &Connection, now: &InUse) -> Result<Option<[u8; 8]>, rusqlite::Error> {
    let hashed = connection
        .prepare("SELECT 1 FROM api_key WHERE pepper = ?1")?
        .exists([now.pepper])?;
    if hashed {
        return Ok(Some(now.kek));
    }
    let sql = format!("SELECT kek FROM ({SEALED_WITH}) ORDER BY kek = ?1 DESC LIMIT 1");
    let name = connection.query_row(&sql, [now.kek], |row| row.get(0));
    name.optional()
}

fn look_at_openrouter_keys(
    connection: &Connection,
    opener: &mut Opener<'_>,
    by: Option<&By>,
    lost: &mut Lost,
) -> Result<(), SettingsError> {
    let next = "
      SELECT id, organization FROM openrouter_key WHERE kek IS NOT NULL AND id > ?1 ORDER BY id LIMIT 1";
    let mut next = connection.prepare(next)?;
    let mut last = Vec::new();
    loop {
        // One at a time: there may be as many as there are organizations.
        let row = next.query_row([&last], |row| {
            let organization = rows::word(row, 1, |text| OrganizationId::parse(text).ok())?;
            Ok((row.get(0)?, organization))
        });
        let Some((id, organization)) = row.optional()? else {
            return Ok(());
        };
        last = id;
        let Some(key) = openrouter_keys::find(connection, &organization)? else {
            continue;
        };
        let whose = Whose::OpenRouterKey {
            organization: organization.clone(),
            id: key.id,
        };
        let kept = key.sealed.as_ref();
        if kept.is_none_or(|kept| (opener.opens)(&whose, kept)) {
            continue;
        }
        lost.openrouter_keys += 1;
        if lost.organizations.len() < NAMED_MAX {
            lost.organizations.push(organization);
        }
        if let Some(by) = by {
            openrouter_keys::give_up(connection, &key, by)?;
        }
    }
}

/// The peppers that nobody knows any more. Every replacement of the key-encryption key leaves one, so
/// they are few.
fn lost_peppers(
    connection: &Connection,
    opener: &mut Opener<'_>,
) -> Result<Vec<PepperId>, rusqlite::Error> {
    let in_use = opener.in_use.map(|in_use| in_use.pepper);
    let mut known: Vec<PepperId> = in_use.into_iter().collect();
    let mut lost: Vec<PepperId> = Vec::new();
    let mut kept = connection.prepare(PEPPERS)?;
    let kept = kept.query_map([], |row| Ok((row.get(0)?, sealed(row, 1)?)))?;
    for pepper in kept {
        let (id, sealed) = pepper?;
        let opens = (opener.opens)(&Whose::Pepper { id }, &sealed);
        if opens { &mut known } else { &mut lost }.push(id);
    }
    let mut used = connection.prepare(HASHED_WITH)?;
    for id in used.query_map([], |row| row.get(0))? {
        let id = id?;
        if !known.contains(&id) && !lost.contains(&id) {
            lost.push(id);
        }
    }
    Ok(lost)
}

/// The API keys that are hashed with this and have not ended; they end now, if somebody gives them up.
fn look_at_api_keys(
    connection: &Connection,
    pepper: &PepperId,
    by: Option<&By>,
) -> Result<u32, SettingsError> {
    let next = "
      SELECT id, organization FROM api_key
       WHERE pepper = ?1 AND revoked_us IS NULL AND id > ?2 ORDER BY id LIMIT 1";
    let mut next = connection.prepare(next)?;
    let (mut last, mut found) = (Vec::new(), 0);
    loop {
        let row = next.query_row(params![pepper, last], |row| {
            let id = ApiKeyId::from_uuid(rows::uuid(row, 0)?);
            let organization = rows::word(row, 1, |text| OrganizationId::parse(text).ok())?;
            Ok((id, organization))
        });
        let Some((id, organization)) = row.optional()? else {
            return Ok(found);
        };
        found += 1;
        last = id.uuid().as_bytes().to_vec();
        if let Some(by) = by {
            api_keys::revoke(connection, (&organization, id), Role::Owner, by)?;
        }
    }
}

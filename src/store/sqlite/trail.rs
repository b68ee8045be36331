//! The audit trails: one chain of entries per organization, and the platform's for what is done for
//! all, each entry written in the transaction of the change it tells of.

use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use serde::{Deserialize, Serialize};

use super::chain::{TRAIL, hash};
use super::conditions::Conditions;
use super::rows::{self, micros, time};
use super::{Trouble, odd::odd};
use crate::domain::ids::{ApiKeyId, OrganizationId};
use crate::domain::trail::{Action, Actor, By, Change, Deed, Trail};
use crate::ports::{ActorId, AuditEntry, AuditFilter};

/// The platform's trail among those of organizations, none of which has an empty id.
pub(super) const PLATFORM: &str = "";

/// What people call a trail.
pub(super) const fn name(trail: &str) -> &str {
    if trail.is_empty() {
        "the platform"
    } else {
        trail
    }
}

/// The kinds of actors, as they are kept.
const OPERATOR: &str = "operator";
const GATEWAY: &str = "gateway";
const KEY: &str = "key";

/// A change as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    field: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    old: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    new: Option<String>,
}

/// The last entry of a trail.
struct Head {
    seq: i64,
    hash: [u8; 32],
}

/// Adds an entry to the trail of an organization, unless the key it is done with has been revoked:
/// what is written after that is done by nobody.
pub(super) fn append(
    connection: &Connection,
    organization: &OrganizationId,
    by: &By,
    deed: &Deed,
) -> Result<(), Trouble> {
    require(connection, &by.actor)?;
    add(connection, organization.as_str(), by, deed)
}

/// Adds an entry to the platform's trail.
pub(super) fn append_for_all(connection: &Connection, by: &By, deed: &Deed) -> Result<(), Trouble> {
    add(connection, PLATFORM, by, deed)
}

fn add(connection: &Connection, trail: &str, by: &By, deed: &Deed) -> Result<(), Trouble> {
    let head = head(connection, trail)?;
    let seq = head.as_ref().map_or(0, |head| head.seq + 1);
    let (kind, actor, prefix) = match &by.actor {
        Actor::Operator => (OPERATOR, None, None),
        Actor::Gateway => (GATEWAY, None, None),
        Actor::Key { id, prefix } => (KEY, Some(id.uuid()), Some(prefix.as_str())),
    };
    let changes = written(&deed.changes)?;
    let before = head.as_ref().map_or([0; 32], |head| head.hash);
    let actor_text = actor.map(|id| id.to_string());
    let parts = [
        trail,
        &seq.to_string(),
        deed.action.as_str(),
        kind,
        actor_text.as_deref().unwrap_or_default(),
        prefix.unwrap_or_default(),
        &deed.subject,
        &changes,
        &micros(by.at).to_string(),
    ];
    let sql = "INSERT INTO audit_entry VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    connection.prepare_cached(sql)?.execute(params![
        trail,
        seq,
        head.as_ref().map(|head| head.seq),
        deed.action.as_str(),
        kind,
        actor.map(|id| id.into_bytes().to_vec()),
        prefix,
        deed.subject,
        changes,
        micros(by.at),
        head.as_ref().map(|head| head.hash.to_vec()),
        hash(TRAIL, &before, &parts).as_slice(),
    ])?;
    Ok(())
}

fn require(connection: &Connection, actor: &Actor) -> Result<(), Trouble> {
    let Actor::Key { id, .. } = actor else {
        return Ok(());
    };
    let sql = "SELECT 1 FROM api_key WHERE id = ?1 AND revoked_us IS NOT NULL";
    let ended = connection
        .prepare_cached(sql)?
        .exists([id.uuid().as_bytes().as_slice()])?;
    if ended {
        return Err(Trouble::ActorEnded);
    }
    Ok(())
}

fn head(connection: &Connection, trail: &str) -> Result<Option<Head>, rusqlite::Error> {
    let sql = "SELECT seq, hash FROM audit_entry WHERE trail = ?1 ORDER BY seq DESC LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
    let row = statement.query_row([trail], |row| {
        Ok(Head {
            seq: row.get(0)?,
            hash: row.get(1)?,
        })
    });
    row.optional()
}

/// A page of a trail, newest first.
pub(super) fn page(
    connection: &Connection,
    page: &Conditions,
    limit: u32,
) -> Result<Vec<AuditEntry>, rusqlite::Error> {
    let sql = format!(
        "SELECT seq, action, actor_kind, actor, actor_prefix, subject, changes, at_us FROM audit_entry
          WHERE {} ORDER BY seq DESC LIMIT {limit}",
        page.sql()
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let entries = statement.query_map(params_from_iter(page.values()), entry)?;
    entries.collect()
}

/// Which entries of whose trail, before which.
pub(super) fn conditions(trail: &Trail, filter: &AuditFilter, before: Option<u64>) -> Conditions {
    let mut all = Conditions::default();
    let whose = match trail {
        Trail::Platform => PLATFORM,
        Trail::Organization(id) => id.as_str(),
    };
    all.add("trail =", whose.to_owned());
    if let Some(seq) = before {
        all.add("seq <", i64::try_from(seq).unwrap_or(i64::MAX));
    }
    if let Some(action) = filter.action {
        all.add("action =", action.as_str());
    }
    match filter.actor {
        Some(ActorId::Operator) => all.add("actor_kind =", OPERATOR),
        Some(ActorId::Gateway) => all.add("actor_kind =", GATEWAY),
        Some(ActorId::Key(id)) => all.add("actor =", id.uuid().into_bytes()),
        None => {}
    }
    all.add_period("at_us", filter.done);
    all
}

/// Tells whose entries do not carry the hash of their content and of the entry before, as they name
/// it themselves; and their places.
pub(super) fn chain(
    connection: &Connection,
    mut tell: impl FnMut(&str, i64),
) -> Result<(), rusqlite::Error> {
    let sql = "
      SELECT trail, seq, action, actor_kind, actor, actor_prefix, subject, changes, at_us, hash, prev_hash
        FROM audit_entry ORDER BY trail, seq";
    let mut statement = connection.prepare(sql)?;
    let mut entries = statement.query([])?;
    let mut last = [0; 32];
    while let Some(row) = entries.next()? {
        let (whose, seq): (String, i64) = (row.get(0)?, row.get(1)?);
        let before = if seq == 0 { [0; 32] } else { last };
        let kept: [u8; 32] = row.get(9)?;
        let named: Option<[u8; 32]> = row.get(10)?;
        let is_chained = seq == 0 || named == Some(before);
        if !is_chained || computed(row, &whose, seq, &before)? != kept {
            tell(&whose, seq);
        }
        last = kept;
    }
    Ok(())
}

fn computed(
    row: &Row<'_>,
    whose: &str,
    seq: i64,
    before: &[u8; 32],
) -> Result<[u8; 32], rusqlite::Error> {
    let text = |column: usize| row.get::<_, Option<String>>(column);
    let actor: Option<[u8; 16]> = row.get(4)?;
    let actor = actor.map(|id| uuid::Uuid::from_bytes(id).to_string());
    let at: i64 = row.get(8)?;
    let parts = [
        whose,
        &seq.to_string(),
        &text(2)?.unwrap_or_default(),
        &text(3)?.unwrap_or_default(),
        &actor.unwrap_or_default(),
        &text(5)?.unwrap_or_default(),
        &text(6)?.unwrap_or_default(),
        &text(7)?.unwrap_or_default(),
        &at.to_string(),
    ];
    Ok(hash(TRAIL, before, &parts))
}

fn entry(row: &Row<'_>) -> Result<AuditEntry, rusqlite::Error> {
    let seq: i64 = row.get(0)?;
    let kind: String = row.get(2)?;
    let actor = match kind.as_str() {
        OPERATOR => Actor::Operator,
        GATEWAY => Actor::Gateway,
        KEY => Actor::Key {
            id: ApiKeyId::from_uuid(rows::uuid(row, 3)?),
            prefix: row.get(4)?,
        },
        _ => return Err(odd("audit_entry.actor_kind")),
    };
    let changes: String = row.get(6)?;
    Ok(AuditEntry {
        sequence: u64::try_from(seq).map_err(|_| odd("audit_entry.seq"))?,
        by: By {
            actor,
            at: time(row.get(7)?),
        },
        deed: Deed {
            action: rows::word(row, 1, Action::parse)?,
            subject: row.get(5)?,
            changes: read(&changes)?,
        },
    })
}

fn written(changes: &[Change]) -> Result<String, Trouble> {
    let kept: Vec<Kept> = changes.iter().cloned().map(Kept::from).collect();
    rows::json(&kept)
}

/// What an entry tells is different.
pub(super) fn read(changes: &str) -> Result<Vec<Change>, rusqlite::Error> {
    let kept: Vec<Kept> = serde_json::from_str(changes).map_err(|_| odd("audit_entry.changes"))?;
    Ok(kept.into_iter().map(Change::from).collect())
}

impl From<Change> for Kept {
    fn from(Change { field, old, new }: Change) -> Self {
        Self { field, old, new }
    }
}

impl From<Kept> for Change {
    fn from(Kept { field, old, new }: Kept) -> Self {
        Self { field, old, new }
    }
}

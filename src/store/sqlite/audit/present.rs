//! Is what is there what the audit trails tell? The entries about one thing are followed from the
//! first to the last, and what they tell in the end is held against the rows of today. Of all things
//! one is in memory at a time.
//!
//! As an example, an API key. Its trail tells `api_key_created`, with `role: runtime`. That is the whole
//! [`Story`], because a key is made once and its role never changes: a second such entry is a break,
//! whatever its hash. Then the row of the key is read, and its fields are written as an entry would
//! write them today. If one differs, somebody has changed the row, and a break names the field.
//!
//! Each function below says of one [`Kind`] of things which entries tell of them, which stories are
//! legal, and what is there now; [`compare`] does the rest.

use rusqlite::{Connection, OptionalExtension, params};

use super::story::{Legal, Story};
use super::{Breaks, Look};
use crate::domain::ids::{AgentId, ApiKeyId, OrganizationId};
use crate::domain::money::Credits;
use crate::domain::tool::Tool;
use crate::domain::trail::Field;
use crate::store::sqlite::odd::odd;
use crate::store::sqlite::sealed::SEALED_WITH;
use crate::store::sqlite::{api_keys, deeds, openrouter_keys, rows, tools, trail};

/// Things of one kind whose changes stand in the trails.
struct Kind {
    /// In words, one of them.
    what: &'static str,
    /// The deeds that change them, as SQL lists them.
    deeds: &'static str,
    /// What tells two of one trail apart, in SQL.
    each: &'static str,
    legal: Legal,
    /// What is to be told of one that is there; nothing of one that is not.
    now: fn(&Connection, &Thing) -> Result<Vec<Field>, rusqlite::Error>,
}

/// One of them.
#[derive(PartialEq, Eq)]
struct Thing {
    trail: String,
    name: String,
}

/// A3: what a key was made as.
pub(super) fn api_keys(look: &mut Look<'_>, breaks: &mut Breaks) -> Result<(), rusqlite::Error> {
    let kind = Kind {
        what: "an API key",
        deeds: "'api_key_created'",
        each: "subject",
        legal: Legal::Once,
        now: |connection, thing| {
            let key = api_keys::by_id(connection, &thing.organization()?, thing.api_key()?)?;
            Ok(key.map_or_else(Vec::new, |key| deeds::api_key(&key).into()))
        },
    };
    compare(look, &kind, breaks)
}

/// A4: when a key was revoked.
pub(super) fn revocations(look: &mut Look<'_>, breaks: &mut Breaks) -> Result<(), rusqlite::Error> {
    let kind = Kind {
        what: "the end of an API key",
        deeds: "'api_key_revoked'",
        each: "subject",
        legal: Legal::Once,
        now: |connection, thing| {
            let sql = "SELECT revoked_us FROM api_key WHERE organization = ?1 AND id = ?2";
            let mut statement = connection.prepare_cached(sql)?;
            let id = thing.api_key()?.uuid();
            let of = params![thing.trail, id.as_bytes().as_slice()];
            let revoked = statement.query_row(of, |row| row.get(0)).optional()?;
            let revoked: Option<i64> = revoked.flatten();
            Ok(deeds::revocation(revoked.map(rows::time)).into())
        },
    };
    compare(look, &kind, breaks)
}

/// A5: how many credits were given under a reference.
pub(super) fn credits(look: &mut Look<'_>, breaks: &mut Breaks) -> Result<(), rusqlite::Error> {
    let kind = Kind {
        what: "a top-up",
        deeds: "'credits_added'",
        each: "subject",
        legal: Legal::Once,
        now: |connection, thing| {
            let sql = "
              SELECT amount_cc FROM ledger WHERE organization = ?1 AND reference = ?2 AND kind = 'purchase'";
            let mut statement = connection.prepare_cached(sql)?;
            let of = [&thing.trail, &thing.name];
            let given: Option<i64> = statement.query_row(of, |row| row.get(0)).optional()?;
            let given = given.map(Credits::from_hundredths);
            Ok(given.map_or_else(Vec::new, |given| deeds::credits(given).into()))
        },
    };
    compare(look, &kind, breaks)
}

/// A6: what an organization is called, in its own trail and in the platform's.
pub(super) fn organizations(
    look: &mut Look<'_>,
    breaks: &mut Breaks,
) -> Result<(), rusqlite::Error> {
    let kind = Kind {
        what: "an organization",
        deeds: "'organization_created'",
        each: "subject",
        legal: Legal::Once,
        now: |connection, thing| {
            let mut statement =
                connection.prepare_cached("SELECT name FROM organization WHERE id = ?1")?;
            let name = statement.query_row([&thing.name], |row| row.get(0));
            let name: Option<String> = name.optional()?;
            Ok(vec![("name", name)])
        },
    };
    compare(look, &kind, breaks)
}

/// A7: how a tool is configured.
pub(super) fn tools(look: &mut Look<'_>, breaks: &mut Breaks) -> Result<(), rusqlite::Error> {
    let kind = Kind {
        what: "a tool",
        deeds: "'tool_created', 'tool_updated', 'tool_deleted'",
        each: "subject",
        legal: Legal::GoesOn,
        now: |connection, thing| {
            let agent = AgentId::parse(&thing.name).map_err(|_| odd("audit_entry.subject"))?;
            let tool = tools::find(connection, &thing.organization()?, &agent)?;
            Ok(tool
                .as_ref()
                .map(Tool::fields)
                .map_or_else(Vec::new, Into::into))
        },
    };
    compare(look, &kind, breaks)
}

/// A8: whether a model is switched on.
pub(super) fn availability(
    look: &mut Look<'_>,
    breaks: &mut Breaks,
) -> Result<(), rusqlite::Error> {
    let kind = Kind {
        what: "the availability of a model",
        deeds: "'model_availability_changed'",
        each: "subject",
        legal: Legal::GoesOn,
        now: |connection, thing| {
            let sql = "SELECT 1 FROM model_off WHERE organization = ?1 AND model = ?2";
            let mut statement = connection.prepare_cached(sql)?;
            let off = statement.exists([&thing.trail, &thing.name])?;
            Ok(deeds::availability(!off).into())
        },
    };
    compare(look, &kind, breaks)
}

/// A9: which OpenRouter key an organization draws with, and whether it can.
pub(super) fn openrouter_keys(
    look: &mut Look<'_>,
    breaks: &mut Breaks,
) -> Result<(), rusqlite::Error> {
    let kind = Kind {
        what: "an own OpenRouter key",
        deeds: "'openrouter_key_set', 'openrouter_key_deleted', 'openrouter_key_status_changed',
          'openrouter_key_given_up'",
        // One at a time: what is told of one goes on from the one before.
        each: "'its own'",
        legal: Legal::GoesOn,
        now: |connection, thing| {
            let key = openrouter_keys::find(connection, &thing.organization()?)?;
            Ok(key.map_or_else(Vec::new, |key| deeds::openrouter_key(&key).into()))
        },
    };
    compare(look, &kind, breaks)
}

/// A11: which key everything is sealed with, once it has been replaced.
pub(super) fn encryption_key(
    look: &mut Look<'_>,
    breaks: &mut Breaks,
) -> Result<(), rusqlite::Error> {
    // Where nothing is sealed, as when all was given up, nothing is there that could differ.
    if sealed_with(look.connection)?.is_empty() {
        return Ok(());
    }
    let kind = Kind {
        what: "the key-encryption key",
        deeds: "'encryption_key_replaced'",
        each: "subject",
        legal: Legal::GoesOn,
        now: |connection, _| {
            Ok(match sealed_with(connection)?.as_slice() {
                [one] => deeds::encryption_key(one).into(),
                _ => Vec::new(),
            })
        },
    };
    compare(look, &kind, breaks)
}

/// The names of the key-encryption keys that anything is sealed with, at most two: all but one are too
/// many.
fn sealed_with(connection: &Connection) -> Result<Vec<[u8; 8]>, rusqlite::Error> {
    let mut statement = connection.prepare_cached(&format!("{SEALED_WITH} LIMIT 2"))?;
    let names = statement.query_map([], |row| row.get(0))?;
    names.collect()
}

/// Follows the entries about each thing of a kind, and looks whether they lead to what is there.
fn compare(look: &mut Look<'_>, kind: &Kind, breaks: &mut Breaks) -> Result<(), rusqlite::Error> {
    let sql = format!(
        "SELECT trail, {}, seq, changes FROM audit_entry WHERE action IN ({}) ORDER BY 1, 2, 3",
        kind.each, kind.deeds
    );
    let connection = look.connection;
    let mut statement = connection.prepare(&sql)?;
    let mut entries = statement.query([])?;
    let mut read: Option<(Thing, Story)> = None;
    while let Some(row) = entries.next()? {
        let (thing, seq, changes): (_, _, String) = (
            Thing {
                trail: row.get(0)?,
                name: row.get(1)?,
            },
            row.get(2)?,
            row.get(3)?,
        );
        let mut story = match read.take() {
            Some((before, story)) if before == thing => story,
            Some((before, story)) => {
                kind.judge(connection, (&before, &story), breaks)?;
                Story::default()
            }
            None => Story::default(),
        };
        story.go_on(kind.legal, seq, trail::read(&changes)?);
        read = Some((thing, story));
    }
    match read {
        Some((last, story)) => kind.judge(connection, (&last, &story), breaks),
        None => Ok(()),
    }
}

// === impl Kind ===

impl Kind {
    fn judge(
        &self,
        connection: &Connection,
        (thing, story): (&Thing, &Story),
        breaks: &mut Breaks,
    ) -> Result<(), rusqlite::Error> {
        let (what, whose) = (self.what, trail::name(&thing.trail));
        let Thing { name, .. } = thing;
        if let Some(seq) = story.torn {
            let wrong = match self.legal {
                Legal::Once => format!("tells a second time of {what}"),
                Legal::GoesOn => format!("does not go on from what {what} was"),
            };
            breaks.add(|| format!("entry {seq} of the audit trail {wrong}: {whose} {name}"));
        }
        let now = match (self.now)(connection, thing) {
            Ok(now) => now,
            Err(error) => return breaks.unreadable(&format!("{what}, {whose} {name}"), error),
        };
        let different = story.different_from(&now);
        if !different.is_empty() {
            let fields = different.join(", ");
            breaks.add(|| {
                format!("{what} is not what its audit trail tells ({fields}): {whose} {name}")
            });
        }
        Ok(())
    }
}

// === impl Thing ===

impl Thing {
    fn organization(&self) -> Result<OrganizationId, rusqlite::Error> {
        OrganizationId::parse(&self.trail).map_err(|_| odd("audit_entry.trail"))
    }

    fn api_key(&self) -> Result<ApiKeyId, rusqlite::Error> {
        ApiKeyId::parse(&self.name).ok_or_else(|| odd("audit_entry.subject"))
    }
}

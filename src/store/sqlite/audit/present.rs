//! Is what is there what the audit trails tell? The entries about one thing are followed from the
//! first to the last, and what they tell in the end is held against the rows of today. Of all things
//! one is in memory at a time.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension, params};

use super::{Breaks, Look};
use crate::domain::ids::{AgentId, ApiKeyId, OrganizationId};
use crate::domain::money::Credits;
use crate::domain::tool::Tool;
use crate::domain::trail::{Change, Field, changes};
use crate::store::sqlite::{api_keys, deeds, openrouter_keys, rows, tools, trail};

/// More fields than anything that is told of has: no entry of this program tells of so many.
const FIELDS_MAX: usize = 16;

/// Things of one kind whose changes stand in the trails.
struct Kind {
    /// In words, one of them.
    what: &'static str,
    /// The deeds that change them, as SQL lists them.
    deeds: &'static str,
    /// What tells two of one trail apart, in SQL.
    each: &'static str,
    /// What is to be told of one that is there; nothing of one that is not.
    now: fn(&Connection, &Thing) -> Result<Vec<Field>, rusqlite::Error>,
}

/// One of them.
#[derive(PartialEq, Eq)]
struct Thing {
    trail: String,
    name: String,
}

/// What the entries about a thing tell, up to one of them.
#[derive(Default)]
struct Story {
    fields: BTreeMap<String, String>,
    /// The first entry that goes on from something else than the one before has left.
    torn: Option<i64>,
}

/// A3: what a key was made as.
pub(super) fn api_keys(look: &mut Look<'_>, breaks: &mut Breaks) -> Result<(), rusqlite::Error> {
    let kind = Kind {
        what: "an API key",
        deeds: "'api_key_created'",
        each: "subject",
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
        now: |connection, thing| {
            let agent =
                AgentId::parse(&thing.name).map_err(|_| rows::odd("audit_entry.subject"))?;
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
        deeds: "'openrouter_key_set', 'openrouter_key_deleted', 'openrouter_key_status_changed'",
        // One at a time: what is told of one goes on from the one before.
        each: "'its own'",
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
    let kind = Kind {
        what: "the key-encryption key",
        deeds: "'encryption_key_replaced'",
        each: "subject",
        now: |connection, _| {
            let sql = "
              SELECT kek FROM openrouter_key WHERE kek IS NOT NULL UNION SELECT kek FROM pepper LIMIT 2";
            let mut statement = connection.prepare_cached(sql)?;
            let names = statement.query_map([], |row| row.get(0))?;
            let names: Vec<[u8; 8]> = names.collect::<Result<_, _>>()?;
            Ok(match names.as_slice() {
                [one] => deeds::encryption_key(one).into(),
                _ => Vec::new(),
            })
        },
    };
    compare(look, &kind, breaks)
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
        story.go_on(seq, trail::read(&changes)?);
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
            breaks.add(|| {
                format!("entry {seq} of the audit trail does not go on from what {what} was: {whose} {name}")
            });
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
        OrganizationId::parse(&self.trail).map_err(|_| rows::odd("audit_entry.trail"))
    }

    fn api_key(&self) -> Result<ApiKeyId, rusqlite::Error> {
        ApiKeyId::parse(&self.name).ok_or_else(|| rows::odd("audit_entry.subject"))
    }
}

// === impl Story ===

impl Story {
    fn go_on(&mut self, seq: i64, changes: Vec<Change>) {
        for Change { field, old, new } in changes {
            let before = self.fields.get(&field);
            // What is told of a field for the first time, nothing before can contradict.
            let follows = before.is_none_or(|before| old.as_ref() == Some(before));
            if !follows || self.fields.len() > FIELDS_MAX {
                self.torn.get_or_insert(seq);
                continue;
            }
            match new {
                Some(new) => self.fields.insert(field, new),
                None => self.fields.remove(&field),
            };
        }
    }

    /// The names of the fields that are not as they are told.
    fn different_from(&self, now: &[Field]) -> Vec<String> {
        let now = changes(None, Some(now)).into_iter();
        let now: BTreeMap<String, String> = now
            .filter_map(|change| Some((change.field, change.new?)))
            .collect();
        let names: BTreeSet<&String> = self.fields.keys().chain(now.keys()).collect();
        let different = names
            .into_iter()
            .filter(|name| self.fields.get(*name) != now.get(*name));
        different.cloned().collect()
    }
}

//! What the entries about one thing tell, and which stories can be true.
//!
//! ```text
//! entry 4, tool_created:  model: – → acme/one
//! entry 7, tool_updated:  model: acme/one → acme/two
//! entry 9, tool_updated:  model: acme/three → acme/four    torn: it was acme/two
//! ```

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::trail::{Change, Field, changes};

/// More fields than anything that is told of has: no entry of this program tells of so many.
const FIELDS_MAX: usize = 16;

/// Which stories of a kind of things are legal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Legal {
    /// One entry: it is made once, given once, or ends once, and nothing takes that back.
    Once,
    /// Each entry goes on from what the one before has left.
    GoesOn,
}

/// What the entries about a thing tell, up to one of them.
#[derive(Default)]
pub(super) struct Story {
    begun: bool,
    fields: BTreeMap<String, String>,
    /// The first entry that cannot follow on those before it; it changes nothing of what is told.
    pub(super) torn: Option<i64>,
}

impl Story {
    /// Takes the next entry, the one with this number.
    pub(super) fn go_on(&mut self, legal: Legal, seq: i64, changes: Vec<Change>) {
        if self.begun && legal == Legal::Once {
            self.torn.get_or_insert(seq);
            return;
        }
        self.begun = true;
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
    pub(super) fn different_from(&self, now: &[Field]) -> Vec<String> {
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

//! The books as an auditor sees them: read only, from outside of any gateway.

use crate::domain::books::Account;
use crate::domain::ids::GenerationId;
use crate::domain::money::{Credits, UsdCost};
use crate::domain::shape::words;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Case, LedgerEntry};

/// One question of an audit and what broke it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The invariant's name, such as `I3`.
    pub name: &'static str,
    /// What must hold.
    pub holds: &'static str,
    /// How many breaks there are; none is good.
    pub breaks: u64,
    /// The first of them, one sentence each.
    pub shown: Vec<String>,
}

/// What an audit tells while it works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditProgress {
    /// So many more rows or pictures have been looked at, one by one.
    Looked(u64),
    /// A question is answered.
    Answer(Finding),
}

/// How closely an audit looks at pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureCheck {
    /// Whether they are there, with their size.
    Size,
    /// Every byte.
    Content,
}

/// Everything that is stored about one charge, to compute it again.
#[derive(Clone, Debug)]
pub struct Paper {
    /// The generation and its calls.
    pub case: Case,
    /// The rows of the ledger that are about it, oldest first.
    pub entries: Vec<LedgerEntry>,
    /// What upstream claimed, if that was not believed.
    pub disputed: Option<UsdCost>,
    /// What the platform bears.
    pub absorbed: UsdCost,
    /// Of it, what was told later to have cost more than was charged.
    pub above_charge: UsdCost,
    /// The cost as told later, and what came back.
    pub corrected: Option<(UsdCost, Credits)>,
}

/// What we know that upstream has billed under a key on one day (UTC).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Day {
    /// Such as `2026-11-23`.
    pub day: String,
    /// Charged to customers, after corrections.
    pub charged: UsdCost,
    /// Borne by the platform.
    pub absorbed: UsdCost,
}

/// Something by which our sum may differ from upstream's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The generation.
    pub generation: GenerationId,
    /// When it began.
    pub created: Timestamp,
    /// What is not certain about it.
    pub why: &'static str,
    /// What our books have for it.
    pub ours: UsdCost,
    /// The most that upstream may have billed for it and be believed: what its hold stood for, or
    /// what it claims.
    pub most: UsdCost,
    /// OpenRouter's ids of its calls.
    pub upstream_ids: Vec<String>,
}

/// One call by upstream's id, as our books have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownCall {
    /// OpenRouter's id.
    pub upstream_id: String,
    /// The generation it was made for.
    pub generation: GenerationId,
    /// What it cost, if it was told.
    pub cost: Option<UsdCost>,
}

words! {
    /// A chain of hashes. An organization has both, the platform the second.
    Chain {
        /// Its ledger.
        Ledger = "ledger",
        /// Its audit trail.
        Trail = "audit trail",
    }
}

/// The last row of a chain. It stands for every row before it: each carries the hash of the one
/// before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Its place in the chain, from 0.
    pub sequence: u64,
    /// Its hash, SHA-256 in hexadecimal.
    pub hash: String,
}

/// The heads of one organization at one moment: kept elsewhere, they tell whether books that are
/// found later still have all that was in them (`reliability.md` rows 70 and 74).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heads {
    /// The organization.
    pub organization: String,
    /// Of its ledger.
    pub ledger: Head,
    /// Of its audit trail.
    pub trail: Head,
}

/// The head of the platform's audit trail, likewise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlatformHead {
    /// Of its audit trail; it has no ledger.
    pub platform_trail: Head,
}

/// What is kept elsewhere, line by line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum KeptHeads {
    /// Of an organization.
    Organization(Heads),
    /// Of the platform.
    Platform(PlatformHead),
}

/// How a chain stands to a head that was kept elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// The head is in the chain; what has come since follows it.
    Kept,
    /// The chain ends before the head: rows that were there are lost.
    Ends {
        /// Its last row; `None` if the chain is not there at all.
        last: Option<u64>,
    },
    /// Another row stands in the head's place: the books went on from an earlier state, or somebody
    /// wrote them anew.
    Differs,
}

/// The account of everybody together, for the head of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Organizations.
    pub organizations: u64,
    /// Rows of the ledger.
    pub entries: u64,
    /// Generations.
    pub generations: u64,
    /// All accounts added up.
    pub accounts: Account,
    /// Generations that are settled.
    pub settled: u64,
    /// Pictures that are kept.
    pub pictures: u64,
}

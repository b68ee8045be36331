//! What was, in pages and sums. Nothing here changes anything.

use async_trait::async_trait;
use jiff::Timestamp;
use rust_decimal::Decimal;
use std::fmt;

use super::{LedgerEntry, LedgerError};
use crate::domain::books::{EntryKind, Stage};
use crate::domain::generation::{Channel, Generation};
use crate::domain::ids::{AgentId, ApiKeyId, GenerationId, OrganizationId, Slug};
use crate::domain::money::Credits;
use crate::domain::trail::{Action, By, Deed, Trail};

/// The most groups that are told one by one.
pub const GROUPS_MAX: usize = 1_000;

/// What was, in pages and sums. Times are half open: from the first, before the second.
#[async_trait]
pub trait Records: fmt::Debug + Send + Sync {
    /// Generations, the last accepted first, after the one that was last seen; at most `limit`.
    ///
    /// # Errors
    /// [`LedgerError::Broken`].
    async fn generations(
        &self,
        organization: &OrganizationId,
        filter: GenerationFilter,
        after: Option<Seen>,
        limit: u32,
    ) -> Result<Vec<Generation>, LedgerError>;

    /// Rows of the ledger, newest first, before the sequence that was last seen; at most `limit`.
    ///
    /// # Errors
    /// [`LedgerError::OrganizationNotFound`], [`LedgerError::Broken`].
    async fn entries(
        &self,
        organization: &OrganizationId,
        filter: EntryFilter,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<LedgerEntry>, LedgerError>;

    /// What was consumed, as of one instant. Credits are those of the ledger rows of the period, to
    /// the hundredth, whatever they are grouped by.
    ///
    /// # Errors
    /// [`LedgerError::OrganizationNotFound`], [`LedgerError::Broken`].
    async fn usage(
        &self,
        organization: &OrganizationId,
        query: UsageQuery,
    ) -> Result<Usage, LedgerError>;

    /// Entries of an audit trail, newest first, before the sequence that was last seen; at most
    /// `limit`.
    ///
    /// # Errors
    /// [`LedgerError::OrganizationNotFound`], [`LedgerError::Broken`].
    async fn audit_entries(
        &self,
        trail: &Trail,
        filter: AuditFilter,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, LedgerError>;
}

/// An entry of an audit trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its place in the trail, from 0.
    pub sequence: u64,
    /// Who, and when.
    pub by: By,
    /// What was done to what.
    pub deed: Deed,
}

/// Which entries of an audit trail; what is `None` does not narrow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// What was done.
    pub action: Option<Action>,
    /// Who did it.
    pub actor: Option<ActorId>,
    /// When.
    pub done: Period,
}

/// An actor as one is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorId {
    /// The operator.
    Operator,
    /// The gateway by itself.
    Gateway,
    /// A key.
    Key(ApiKeyId),
}

/// The place of a generation in a list: there may be more than one of the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When it was accepted.
    pub accepted: Timestamp,
    /// Its id.
    pub id: GenerationId,
}

/// A period; an end that is not set is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Period {
    /// The first instant.
    pub from: Option<Timestamp>,
    /// The first instant after it.
    pub before: Option<Timestamp>,
}

/// Which generations; what is `None` or empty does not narrow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GenerationFilter {
    /// Whose tool.
    pub agent: Option<AgentId>,
    /// The model.
    pub model: Option<Slug>,
    /// The channel.
    pub channel: Option<Channel>,
    /// Any of these stages.
    pub stages: Vec<Stage>,
    /// Whether they were cancelled, among those that were voided.
    pub cancelled: Option<bool>,
    /// When they were accepted.
    pub accepted: Period,
}

/// Which rows of the ledger; what is `None` does not narrow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EntryFilter {
    /// What happened.
    pub kind: Option<EntryKind>,
    /// The generation that was charged.
    pub generation: Option<GenerationId>,
    /// When they were booked.
    pub booked: Period,
}

/// What consumption is summed by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UsageBy {
    /// Days in UTC.
    #[default]
    Day,
    /// Agents.
    Agent,
    /// Models.
    Model,
    /// Channels.
    Channel,
    /// End users.
    User,
}

/// Whose consumption of when, and how it is summed; what is `None` does not narrow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageQuery {
    /// When it was charged, refunded or failed.
    pub period: Period,
    /// What to sum by.
    pub by: UsageBy,
    /// Whose tool.
    pub agent: Option<AgentId>,
    /// The model.
    pub model: Option<Slug>,
    /// The channel.
    pub channel: Option<Channel>,
    /// The end user.
    pub user: Option<String>,
}

/// What was consumed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// At most [`GROUPS_MAX`]: the last days, oldest first; all others by credits, most first.
    pub rows: Vec<UsageRow>,
    /// What is not in `rows`: the days before, or the groups with fewer credits.
    pub other: Option<UsageRow>,
    /// All of it.
    pub total: UsageRow,
}

/// One sum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageRow {
    /// Which group.
    pub key: String,
    /// Generations that were charged.
    pub generations: u64,
    /// Images that were delivered.
    pub images: u64,
    /// Credits taken, minus those that came back.
    pub credits: Credits,
    /// What upstream cost, in USD.
    pub usd_cost: Decimal,
    /// Generations that ended without an image; not among `generations`.
    pub failed: u64,
}

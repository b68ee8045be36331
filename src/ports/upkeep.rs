//! The books as the recovery sees them: what is open, what must be asked, what may go.

use async_trait::async_trait;
use jiff::Timestamp;
use std::fmt;

use super::LedgerError;
use crate::domain::generation::Generation;
use crate::domain::ids::{GenerationId, OrganizationId};
use crate::domain::money::UsdCost;
use crate::domain::recovery::CallFacts;

/// What must be looked after though no caller asks. The promises are those of
/// [`Ledger`](super::Ledger).
#[async_trait]
pub trait Upkeep: fmt::Debug + Send + Sync {
    /// Generations that have not ended, in the order of their ids, after `after`; at most `limit`.
    ///
    /// # Errors
    /// [`LedgerError::Broken`].
    async fn open(
        &self,
        after: Option<GenerationId>,
        limit: u32,
    ) -> Result<Vec<GenerationId>, LedgerError>;

    /// One generation with all that is known of its calls, of whatever organization.
    ///
    /// # Errors
    /// [`LedgerError::Broken`].
    async fn case(&self, id: GenerationId) -> Result<Option<Case>, LedgerError>;

    /// Questions to upstream whose time has come, the most urgent first; at most `limit`.
    ///
    /// # Errors
    /// [`LedgerError::Broken`].
    async fn questions(&self, now: Timestamp, limit: u32) -> Result<Vec<Asking>, LedgerError>;

    /// Notes what upstream answered, and in the same transaction what follows for a generation
    /// that has ended: a refund, or a loss of the platform's. An answer to a question that is
    /// closed changes nothing.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Broken`].
    async fn answer(
        &self,
        asking: &Asking,
        answer: Answer,
        now: Timestamp,
    ) -> Result<(), LedgerError>;

    /// What comes next of the generations whose cost is to be asked for a second time: at most `limit`
    /// of them, of those that have ended before `before` (or, by a clock that was set back, after
    /// `now`). `None` if nothing comes next yet.
    ///
    /// # Errors
    /// [`LedgerError::Broken`].
    async fn unchecked(
        &self,
        before: Timestamp,
        now: Timestamp,
        limit: u32,
    ) -> Result<Option<Unchecked>, LedgerError>;

    /// Notes that costs have been asked for again up to and with `through`, and in the same
    /// transaction what follows where upstream's records say something else: a refund, or a loss of
    /// the platform's, once for a generation; where an organization's own key paid, another cost and
    /// the same credits. Those of one generation stand together in `found`.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Broken`].
    async fn checked(
        &self,
        through: GenerationId,
        found: Vec<Disagreement>,
        now: Timestamp,
    ) -> Result<(), LedgerError>;

    /// Generations that ended before `before` and whose pictures are still kept, oldest first; at
    /// most `limit`.
    ///
    /// # Errors
    /// [`LedgerError::Broken`].
    async fn expired(&self, before: Timestamp, limit: u32) -> Result<Vec<Expired>, LedgerError>;

    /// Notes that the pictures of a generation are no longer kept. Again is no change.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Broken`].
    async fn expire(&self, id: GenerationId, now: Timestamp) -> Result<(), LedgerError>;

    /// `in_doubt → review`: what upstream says contradicts itself.
    ///
    /// # Errors
    /// As [`Ledger::dispatch`](super::Ledger::dispatch).
    async fn review(&self, id: GenerationId, now: Timestamp) -> Result<(), LedgerError>;
}

/// A generation with everything that decides what becomes of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// The generation.
    pub generation: Generation,
    /// Since when it stands where it stands.
    pub since: Timestamp,
    /// Its calls.
    pub calls: Vec<CallFacts>,
}

/// A question to upstream about one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asking {
    /// The generation.
    pub generation: GenerationId,
    /// Which of its calls.
    pub call: u32,
    /// Upstream's name of it.
    pub upstream_id: String,
    /// How often it was asked before.
    pub asked: u32,
    /// The organization's own key that the call was made with; `None` is the platform's.
    pub own_key: Option<OwnKey>,
}

/// A key of an organization, as the books name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnKey {
    /// Whose it is, or was.
    pub organization: OrganizationId,
    /// By which bills are joined.
    pub fingerprint: String,
}

/// What upstream answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It cost this much.
    Told(UsdCost),
    /// Nothing is filed yet, or nobody answered.
    Nothing,
    /// The record is of another call.
    Contradiction,
}

/// Some generations in a row, as far as their cost is to be asked for a second time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unchecked {
    /// The calls to ask about, those of one generation together.
    pub calls: Vec<ToldCall>,
    /// The last of the generations; it need not have a call to ask about.
    pub through: GenerationId,
}

/// A call that brought pictures and told what it cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldCall {
    /// The generation.
    pub generation: GenerationId,
    /// Which of its calls.
    pub call: u32,
    /// Upstream's name of it.
    pub upstream_id: String,
    /// What its answer told.
    pub cost: UsdCost,
    /// The organization's own key that the call was made with; `None` is the platform's.
    pub own_key: Option<OwnKey>,
}

/// A call of which upstream's records say another cost than its answer did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disagreement {
    /// The generation.
    pub generation: GenerationId,
    /// Which of its calls.
    pub call: u32,
    /// What the records say.
    pub cost: UsdCost,
}

/// A generation whose pictures may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expired {
    /// The generation.
    pub id: GenerationId,
    /// The names of its pictures in the gallery.
    pub object_names: Vec<String>,
}

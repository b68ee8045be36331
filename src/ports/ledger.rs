//! The books: holds, charges and the stages between.

use crate::domain::books::Account;
use crate::domain::books::EntryKind;
use crate::domain::books::Stage;
use crate::domain::failure::Failure;
use crate::domain::generation::Adjustment;
use crate::domain::generation::CallRecord;
use crate::domain::generation::Charge;
use crate::domain::generation::Draft;
use crate::domain::generation::Generation;
use crate::domain::generation::StoredImage;
use crate::domain::ids::EntryId;
use crate::domain::ids::GenerationId;
use crate::domain::ids::OrganizationId;
use crate::domain::ids::Reference;
use crate::domain::ids::RequestId;
use crate::domain::money::Credits;
use crate::domain::money::UsdCost;
use crate::domain::quota::Quota;
use crate::domain::trail::Actor;
use async_trait::async_trait;
use jiff::Timestamp;
use std::fmt;

/// The books: holds, charges and the stages between. One writer, every call one durable
/// transaction; when a method returns `Ok`, the change survives a power cut.
///
/// # Contract
/// - Concurrent holds never exceed what is available.
/// - A stage changes only as [`Stage::may_become`] allows; anything else is
///   [`LedgerError::IllegalStep`] and changes nothing.
/// - At most one attempt under a request id is not voided.
/// - After an error the books are as before the call, but for [`LedgerError::Uncertain`].
#[async_trait]
pub trait Ledger: fmt::Debug + Send + Sync {
    /// Opens a generation and holds its credits, or says what stands in the way.
    ///
    /// # Errors
    /// [`LedgerError::OrganizationNotFound`], [`LedgerError::Full`], [`LedgerError::Broken`],
    /// [`LedgerError::Uncertain`].
    async fn hold(&self, opening: Opening) -> Result<HoldOutcome, LedgerError>;

    /// `held → dispatched`: immediately before the first byte leaves for OpenRouter.
    ///
    /// # Errors
    /// [`LedgerError::IllegalStep`], [`LedgerError::Full`], [`LedgerError::Broken`],
    /// [`LedgerError::Uncertain`].
    async fn dispatch(&self, id: GenerationId, now: Timestamp) -> Result<(), LedgerError>;

    /// `dispatched → streaming` at the first answer, and one more upstream id at every further
    /// one (`None` if the answer carried none). Returns whether the call has a name of its own: an
    /// id that another call had before names nobody (`reliability.md` row 36).
    ///
    /// # Errors
    /// As [`Ledger::dispatch`].
    async fn stream(
        &self,
        id: GenerationId,
        call: u32,
        upstream_id: Option<String>,
        now: Timestamp,
    ) -> Result<bool, LedgerError>;

    /// Keeps what a call brought while others of its generation still run, so that nothing told is
    /// lost with the process.
    ///
    /// # Errors
    /// As [`Ledger::dispatch`].
    async fn note(&self, id: GenerationId, call: CallRecord) -> Result<(), LedgerError>;

    /// `dispatched | streaming → stored`: the pictures are named and can be replayed; what they
    /// cost is still asked for, and the hold stays.
    ///
    /// # Errors
    /// As [`Ledger::dispatch`].
    async fn store(&self, id: GenerationId, delivery: Delivery) -> Result<Generation, LedgerError>;

    /// `dispatched | streaming → stored → settled`, or `stored → settled`, in one transaction: the
    /// pictures are named, the hold is ended, the charge is booked.
    ///
    /// # Errors
    /// As [`Ledger::dispatch`].
    async fn settle(
        &self,
        id: GenerationId,
        settlement: Settlement,
    ) -> Result<Generation, LedgerError>;

    /// `held | dispatched | streaming | in_doubt | review → voided`: the hold is released, nothing
    /// is charged.
    ///
    /// # Errors
    /// As [`Ledger::dispatch`].
    async fn void(&self, id: GenerationId, ending: Voiding) -> Result<Generation, LedgerError>;

    /// `dispatched | streaming → in_doubt`: no picture will come, and nobody knows yet whether
    /// upstream billed. The hold stays until that is told or its time is up.
    ///
    /// # Errors
    /// As [`Ledger::dispatch`].
    async fn doubt(&self, id: GenerationId, ending: Voiding) -> Result<Generation, LedgerError>;

    /// `held → voided` if nothing has been dispatched yet; otherwise nothing changes. Returns the
    /// generation as it stands then.
    ///
    /// # Errors
    /// As [`Ledger::dispatch`].
    async fn cancel(&self, id: GenerationId, ending: Voiding) -> Result<Generation, LedgerError>;

    /// Books bought credits once per `reference`, and in the same transaction who gave them into
    /// the audit trail.
    ///
    /// # Errors
    /// [`LedgerError::OrganizationNotFound`], [`LedgerError::ReferenceConflict`] if the reference
    /// was used with another amount, [`LedgerError::OutOfRange`], and as above.
    async fn add_credits(&self, purchase: Purchase) -> Result<Purchased, LedgerError>;

    /// The account of an organization.
    ///
    /// # Errors
    /// [`LedgerError::OrganizationNotFound`], [`LedgerError::Broken`].
    async fn account(&self, organization: &OrganizationId) -> Result<Account, LedgerError>;

    /// A generation of this organization, or nothing.
    ///
    /// # Errors
    /// [`LedgerError::Broken`].
    async fn generation(
        &self,
        organization: &OrganizationId,
        which: &Which,
    ) -> Result<Option<Generation>, LedgerError>;

    /// The number of open holds, for the metrics.
    ///
    /// # Errors
    /// [`LedgerError::Broken`].
    async fn open_holds(&self) -> Result<u64, LedgerError>;

    /// Whether a change can be made durable now. Writes what changes nothing.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Broken`].
    async fn writable(&self) -> Result<(), LedgerError>;

    /// Whether calls have met, more than by accident and not long ago, a database that fails: pages
    /// that are malformed, a disk that is full or gives errors. What is found by
    /// [`open_holds`](Self::open_holds) and [`writable`](Self::writable) does not count.
    fn is_failing(&self) -> bool;

    /// Checks that the books agree with themselves: sums, holds, sequence, hash chain, charges
    /// against the formula (`reliability.md` I1–I12). Returns one sentence per break; none is good.
    ///
    /// # Errors
    /// [`LedgerError::Broken`].
    async fn audit(&self) -> Result<Vec<String>, LedgerError>;
}

/// How to find a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// By the gateway's id.
    Id(GenerationId),
    /// By the caller's id: the newest attempt.
    Request(RequestId),
}

/// What is needed to open a generation.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Everything that is fixed from now on; `draft.hold` is what to hold.
    pub draft: Draft,
    /// The tool's limits, checked in the same transaction.
    pub limits: Limits,
    /// The first instant of the day (UTC). What has ended since counts, and so does what is under way,
    /// whenever it was begun.
    pub day_start: Timestamp,
    /// The first instant of the month (UTC), likewise.
    pub month_start: Timestamp,
}

/// The limits of one tool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Images a day, in flight included: those of the usage of this day, and those that may still come;
    /// `None` is no limit.
    pub daily_images: Option<u32>,
    /// Credits a month, holds included and refunds taken off; `None` is no limit.
    pub monthly_credits: Option<Credits>,
}

/// What came of opening a generation.
#[derive(Clone, Debug)]
pub enum HoldOutcome {
    /// The credits are held; this is the account after it.
    Held(Account),
    /// The same request is already running.
    Running(GenerationId),
    /// The same request is done: its pictures and its charge, or its final failure.
    Done(Box<Generation>),
    /// The same request id came with another body before.
    Conflict(GenerationId),
    /// Five attempts under this request id have failed; the last one is given.
    Exhausted(Box<Generation>),
    /// The account does not cover the hold.
    Insufficient {
        /// The hold asked for.
        needed: Credits,
        /// What a hold could have taken.
        available: Credits,
    },
    /// Too few are left of the tool's images of the day, those in flight included.
    DailyLimit(Quota<u32>),
    /// Too few are left of the tool's credits of the month, holds included.
    MonthlyLimit(Quota<Credits>),
}

/// What to write when pictures are durable.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The pictures, in order.
    pub images: Vec<StoredImage>,
    /// What the model said beside them.
    pub text: String,
    /// All changes, measured ones included.
    pub adjustments: Vec<Adjustment>,
    /// All calls, those without pictures included. Whatever is an open question
    /// ([`CallRecord::is_open_question`]) is asked from now on; whatever was billed for nothing is
    /// absorbed.
    pub calls: Vec<CallRecord>,
    /// When.
    pub now: Timestamp,
}

/// What to write when the cost is known too.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// The pictures and the calls; where they are stored already, only `calls` and `now` count.
    pub delivery: Delivery,
    /// What to charge.
    pub charge: Charge,
    /// What upstream claimed, if that was not believed: an item for reconciliation.
    pub disputed: Option<UsdCost>,
}

/// What to write when no picture comes.
#[derive(Clone, Debug)]
pub struct Voiding {
    /// Why, as the caller sees it.
    pub failure: Failure,
    /// All calls that were made, as in [`Delivery::calls`] (`domain.md` C12).
    pub calls: Vec<CallRecord>,
    /// When.
    pub now: Timestamp,
}

/// Bought credits.
#[derive(Clone, Debug)]
pub struct Purchase {
    /// Made before the first try.
    pub id: EntryId,
    /// Whose balance grows.
    pub organization: OrganizationId,
    /// How much; above zero.
    pub credits: Credits,
    /// The name of the top-up, unique within the organization.
    pub reference: Reference,
    /// Free text.
    pub description: String,
    /// Who gives them.
    pub actor: Actor,
    /// When.
    pub now: Timestamp,
}

/// A booked top-up.
#[derive(Clone, Debug)]
pub struct Purchased {
    /// The row as it was first booked.
    pub entry: LedgerEntry,
    /// Whether it was booked before under the same reference.
    pub replayed: bool,
}

/// A row of the ledger as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerEntry {
    /// Its id.
    pub id: EntryId,
    /// Its place in the organization's ledger, from 1 (0 is the opening row).
    pub sequence: u64,
    /// What happened.
    pub kind: EntryKind,
    /// The effect on the balance; negative for charges.
    pub credits: Credits,
    /// The balance after it.
    pub balance_after: Credits,
    /// The generation that was charged.
    pub generation: Option<GenerationId>,
    /// The name of the top-up.
    pub reference: Option<Reference>,
    /// Free text.
    pub description: String,
    /// When.
    pub created: Timestamp,
}

/// Why the books did not change.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// There is no such organization.
    #[error("the organization does not exist")]
    OrganizationNotFound,
    /// There is no such generation, or its stage does not allow the step.
    #[error("the generation cannot go from {from:?} to {to:?}")]
    IllegalStep {
        /// Where it stands; `None` if there is no such generation.
        from: Option<Stage>,
        /// Where it should have gone.
        to: Stage,
    },
    /// The reference was used with another amount.
    #[error("the reference was already used for another amount")]
    ReferenceConflict,
    /// An amount is not positive or leaves what the books can hold.
    #[error("the amount is out of range")]
    OutOfRange,
    /// The key of whoever wants to change something was revoked meanwhile.
    #[error("the key of the actor has ended")]
    ActorEnded,
    /// The disk is full.
    #[error("the disk is full")]
    Full,
    /// The database failed, and nothing has changed.
    #[error("the database failed")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database failed when the change was to become durable: whether it did, nobody knows.
    #[error("the database failed, and the change stands or not")]
    Uncertain(#[source] Box<dyn std::error::Error + Send + Sync>),
}

// === impl LedgerError ===

impl LedgerError {
    /// Whether the same change may be taken in a while.
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Full | Self::Broken(_) | Self::Uncertain(_))
    }
}

//! Everything the gateway can do to the world, on one page. The rooms `store` and `openrouter`
//! keep these promises; `generate` and `grpc` rely on nothing else.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::domain::books::{Account, EntryKind, Stage};
use crate::domain::catalog::Model;
use crate::domain::failure::Failure;
use crate::domain::generation::{
    Adjustment, Charge, Draft, Generation, MediaType, SourceImage, StoredImage,
};
use crate::domain::ids::{
    AgentId, ApiKeyId, EntryId, GenerationId, OrganizationId, Reference, RequestId, Slug,
};
use crate::domain::money::{Credits, UsdCost};
use crate::domain::shape::{AspectRatio, Background, OutputFormat, PixelSize, Quality, Resolution};
use crate::domain::tool::Tool;

// === The ledger ===

/// The books: holds, charges and the stages between. One writer, every call one durable
/// transaction; when a method returns `Ok`, the change survives a power cut.
///
/// # Contract
/// - Concurrent holds never exceed what is available.
/// - A stage changes only as [`Stage::may_become`] allows; anything else is
///   [`LedgerError::IllegalStep`] and changes nothing.
/// - At most one attempt under a request id is not voided.
/// - After an error the books are as before the call.
#[async_trait]
pub trait Ledger: fmt::Debug + Send + Sync {
    /// Opens a generation and holds its credits, or says what stands in the way.
    ///
    /// # Errors
    /// [`LedgerError::OrganizationNotFound`], [`LedgerError::Full`], [`LedgerError::Broken`].
    async fn hold(&self, opening: Opening) -> Result<HoldOutcome, LedgerError>;

    /// `held → dispatched`: immediately before the first byte leaves for OpenRouter.
    ///
    /// # Errors
    /// [`LedgerError::IllegalStep`], [`LedgerError::Full`], [`LedgerError::Broken`].
    async fn dispatch(&self, id: GenerationId, now: Timestamp) -> Result<(), LedgerError>;

    /// `dispatched → streaming` at the first answer, and one more upstream id at every further
    /// one (`None` if the answer carried none).
    ///
    /// # Errors
    /// As [`Ledger::dispatch`].
    async fn stream(
        &self,
        id: GenerationId,
        upstream_id: Option<String>,
        now: Timestamp,
    ) -> Result<(), LedgerError>;

    /// `dispatched | streaming → stored → settled` in one transaction: the pictures are named, the
    /// hold is ended, the charge is booked.
    ///
    /// # Errors
    /// As [`Ledger::dispatch`].
    async fn settle(
        &self,
        id: GenerationId,
        settlement: Settlement,
    ) -> Result<Generation, LedgerError>;

    /// `held | dispatched | streaming → voided`: the hold is released, nothing is charged.
    ///
    /// # Errors
    /// As [`Ledger::dispatch`].
    async fn void(&self, id: GenerationId, ending: Voiding) -> Result<Generation, LedgerError>;

    /// Books bought credits once per `reference`.
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
    /// The window those limits count in, as UTC instants.
    pub day_start: Timestamp,
    /// The first instant of the month.
    pub month_start: Timestamp,
}

/// The limits of one tool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Images a day, in flight included; `None` is no limit.
    pub daily_images: Option<u32>,
    /// Credits a month, holds included; `None` is no limit.
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
    /// The tool's images of the day are used up.
    DailyLimit {
        /// Images made today, in flight included.
        used: u32,
    },
    /// The tool's credits of the month are used up.
    MonthlyLimit {
        /// Credits spent or held this month.
        used: Credits,
    },
}

/// What to write when pictures are durable and their cost is known.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// The pictures, in order.
    pub images: Vec<StoredImage>,
    /// What the model said beside them.
    pub text: String,
    /// All changes, measured ones included.
    pub adjustments: Vec<Adjustment>,
    /// What to charge.
    pub charge: Charge,
    /// What upstream claimed, if that was not believed: an item for reconciliation.
    pub disputed: Option<UsdCost>,
    /// When.
    pub now: Timestamp,
}

/// What to write when a generation ends without pictures.
#[derive(Clone, Debug)]
pub struct Voiding {
    /// Why, as the caller sees it.
    pub failure: Failure,
    /// What upstream is known to have billed for nothing; the platform's loss (`domain.md` C12).
    pub absorbed: Option<UsdCost>,
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
    /// The disk is full.
    #[error("the disk is full")]
    Full,
    /// The database failed.
    #[error("the database failed")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

// === Settings ===

/// Organizations, their keys and their tools.
///
/// # Contract
/// Every method returns after its change is durable. Nothing of one organization is ever returned
/// for another.
#[async_trait]
pub trait Settings: fmt::Debug + Send + Sync {
    /// Adds an organization with an empty account.
    ///
    /// # Errors
    /// [`SettingsError::Exists`], [`SettingsError::Broken`].
    async fn create_organization(&self, organization: Organization) -> Result<(), SettingsError>;

    /// The organization, or nothing.
    ///
    /// # Errors
    /// [`SettingsError::Broken`].
    async fn organization(
        &self,
        id: &OrganizationId,
    ) -> Result<Option<Organization>, SettingsError>;

    /// Adds a key. Only its keyed hash is stored.
    ///
    /// # Errors
    /// [`SettingsError::NoOrganization`], [`SettingsError::Broken`].
    async fn create_api_key(&self, key: ApiKey, mac: [u8; 32]) -> Result<(), SettingsError>;

    /// The key with this public prefix and its keyed hash, or nothing.
    ///
    /// # Errors
    /// [`SettingsError::Broken`].
    async fn api_key(&self, prefix: &str) -> Result<Option<(ApiKey, [u8; 32])>, SettingsError>;

    /// The tool of an agent, or nothing.
    ///
    /// # Errors
    /// [`SettingsError::Broken`].
    async fn tool(
        &self,
        organization: &OrganizationId,
        agent: &AgentId,
    ) -> Result<Option<Tool>, SettingsError>;

    /// Writes a tool whole, new or not.
    ///
    /// # Errors
    /// [`SettingsError::NoOrganization`], [`SettingsError::Broken`].
    async fn save_tool(
        &self,
        organization: &OrganizationId,
        tool: Tool,
    ) -> Result<(), SettingsError>;

    /// The agents whose tool uses this model, by name, at most `limit`.
    ///
    /// # Errors
    /// [`SettingsError::Broken`].
    async fn agents_using(
        &self,
        organization: &OrganizationId,
        model: &Slug,
        limit: u32,
    ) -> Result<Vec<AgentId>, SettingsError>;

    /// How many agents have chosen each model.
    ///
    /// # Errors
    /// [`SettingsError::Broken`].
    async fn agents_by_model(
        &self,
        organization: &OrganizationId,
    ) -> Result<Vec<(Slug, u32)>, SettingsError>;

    /// Whether the organization may use the model; `true` unless switched off.
    ///
    /// # Errors
    /// [`SettingsError::Broken`].
    async fn is_available(
        &self,
        organization: &OrganizationId,
        model: &Slug,
    ) -> Result<bool, SettingsError>;

    /// All models that the organization has switched off.
    ///
    /// # Errors
    /// [`SettingsError::Broken`].
    async fn unavailable_models(
        &self,
        organization: &OrganizationId,
    ) -> Result<Vec<Slug>, SettingsError>;

    /// Switches a model on or off for the organization.
    ///
    /// # Errors
    /// [`SettingsError::NoOrganization`], [`SettingsError::Broken`].
    async fn set_available(
        &self,
        organization: &OrganizationId,
        model: &Slug,
        available: bool,
    ) -> Result<(), SettingsError>;
}

/// An organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// Its id.
    pub id: OrganizationId,
    /// Its display name.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
}

/// What a key may do; each role includes the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Agent runtimes: make and read images.
    Runtime,
    /// Administrators: tools, models, balance, keys.
    Admin,
    /// Owners: everything, owner keys included.
    Owner,
}

/// A key of an organization, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// Whose it is.
    pub organization: OrganizationId,
    /// What it is for, in the words of whoever made it.
    pub name: String,
    /// The public beginning of the key, unique.
    pub prefix: String,
    /// What it may do.
    pub role: Role,
    /// When it was made.
    pub created: Timestamp,
    /// When it stops working, if ever.
    pub expires: Option<Timestamp>,
}

/// Why a setting was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The id is taken.
    #[error("the organization exists already")]
    Exists,
    /// There is no such organization.
    #[error("the organization does not exist")]
    NoOrganization,
    /// The disk is full.
    #[error("the disk is full")]
    Full,
    /// The database failed.
    #[error("the database failed")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

// === The gallery ===

/// Where pictures are kept.
#[async_trait]
pub trait Gallery: fmt::Debug + Send + Sync {
    /// Begins a picture. Its bytes can be read back while it grows.
    ///
    /// # Errors
    /// [`GalleryError`].
    async fn begin(&self, id: GenerationId, index: u32) -> Result<Box<dyn Canvas>, GalleryError>;

    /// Opens a kept picture.
    ///
    /// # Errors
    /// [`GalleryError::Gone`] if it is no longer there.
    async fn open(&self, object_name: &str) -> Result<Arc<dyn ImageSource>, GalleryError>;
}

/// A picture while it is being written.
///
/// # Contract
/// Dropping a canvas without [`Canvas::keep`] leaves no picture behind.
#[async_trait]
pub trait Canvas: Send {
    /// Appends bytes. When it returns, a reader sees them.
    ///
    /// # Errors
    /// [`GalleryError::Full`], [`GalleryError::Broken`].
    async fn write(&mut self, bytes: Bytes) -> Result<(), GalleryError>;

    /// Reads what has been written so far; stays good after `keep`.
    fn source(&self) -> Arc<dyn ImageSource>;

    /// Bytes written so far.
    fn size_bytes(&self) -> u64;

    /// Looks at the whole picture (format, size, completeness), makes it durable under its final
    /// name and returns what was kept: file synced, renamed, folder synced.
    ///
    /// # Errors
    /// [`GalleryError::NotAnImage`] if it is no complete picture of a format that is kept, and as
    /// above.
    async fn keep(self: Box<Self>) -> Result<StoredImage, GalleryError>;
}

/// Bytes that can be read at any offset, more than once, by more than one reader.
#[async_trait]
pub trait ImageSource: fmt::Debug + Send + Sync {
    /// At most `limit` bytes from `offset`; empty at the end of what is there.
    ///
    /// # Errors
    /// [`GalleryError::Gone`], [`GalleryError::Broken`].
    async fn read(&self, offset: u64, limit: usize) -> Result<Bytes, GalleryError>;
}

/// Why a picture was not kept or read.
#[derive(Debug, thiserror::Error)]
pub enum GalleryError {
    /// The bytes are no complete picture of a format that is kept; the text says what is wrong.
    #[error("not a picture: {0}")]
    NotAnImage(&'static str),
    /// The picture is no longer there.
    #[error("the picture is no longer there")]
    Gone,
    /// The disk is full.
    #[error("the disk is full")]
    Full,
    /// The disk failed.
    #[error("the disk failed")]
    Broken(#[source] std::io::Error),
}

// === OpenRouter ===

/// Whoever draws.
#[async_trait]
pub trait ImageProvider: fmt::Debug + Send + Sync {
    /// Sends one order and returns once the answer has begun. Tries again only what surely was
    /// not billed, and never past the order's deadline (`domain.md` C24).
    ///
    /// # Errors
    /// [`DrawError`]: what kind, and whether it may have been billed.
    async fn draw(&self, order: &Order) -> Result<Box<dyn Drawing>, DrawError>;

    /// What a call cost, from the provider's records: `None` if not filed yet.
    ///
    /// # Errors
    /// [`DrawError`] if the provider does not say.
    async fn cost_of(&self, upstream_id: &str) -> Result<Option<UsdCost>, DrawError>;
}

/// An answer as it arrives.
#[async_trait]
pub trait Drawing: Send {
    /// OpenRouter's id of the call, if its headers named it.
    fn upstream_id(&self) -> Option<&str>;

    /// The next thing that arrived. After [`DrawEvent::Finished`] or an error it must not be
    /// called again. Pictures come one after the other: started, bytes, finished.
    ///
    /// # Errors
    /// [`DrawError`]; pictures finished before it are whole.
    async fn next(&mut self) -> Result<DrawEvent, DrawError>;
}

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DrawEvent {
    /// A picture begins.
    ImageStarted,
    /// Decoded bytes of it, at most 64 KiB at a time.
    ImageBytes(Bytes),
    /// It is complete.
    ImageFinished,
    /// The answer is complete.
    Finished(Receipt),
}

/// What an answer says about itself at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// OpenRouter's id of the call, if the body named it.
    pub upstream_id: Option<String>,
    /// What it cost, if it says so believably; own-provider-key fees included (`domain.md` C17).
    pub cost: Option<UsdCost>,
    /// What the model said beside the picture; at most 64 KiB.
    pub text: String,
    /// Tokens of the prompt, if said.
    pub prompt_tokens: Option<u64>,
    /// Tokens of the answer, image tokens included, if said.
    pub completion_tokens: Option<u64>,
    /// Image tokens among them, if said.
    pub image_tokens: Option<u64>,
}

/// One upstream call. Only what the model's parameters allow is set.
#[derive(Clone, Debug)]
pub struct Order {
    /// Our id; sent as `session_id` and in `trace`, so that a bill can be joined.
    pub generation: GenerationId,
    /// A keyed hash of the organization; sent as `user`.
    pub user_tag: String,
    /// The model, with the door it is reached by.
    pub model: Arc<Model>,
    /// The prompt.
    pub prompt: Arc<str>,
    /// Pictures asked for.
    pub count: u32,
    /// The shape, if the model takes one.
    pub aspect_ratio: Option<AspectRatio>,
    /// The size class, if the model takes one.
    pub resolution: Option<Resolution>,
    /// Explicit pixels, for models that take no size class.
    pub size: Option<PixelSize>,
    /// How much work, if the model can be told.
    pub quality: Option<Quality>,
    /// The format, if the model can be told.
    pub output_format: Option<OutputFormat>,
    /// The background, if the model can be told.
    pub background: Option<Background>,
    /// The seed, if the model takes one.
    pub seed: Option<i64>,
    /// Pictures to work from.
    pub references: Vec<ReferenceImage>,
    /// When the whole call must be over.
    pub deadline: Instant,
    /// When nothing is tried again: the caller has stopped waiting.
    pub retry_until: Instant,
}

/// A picture to work from.
#[derive(Clone, Debug)]
pub struct ReferenceImage {
    /// Its format, as its bytes say.
    pub media_type: MediaType,
    /// Its length.
    pub size_bytes: u64,
    /// Its bytes.
    pub source: Arc<dyn ImageSource>,
    /// The earlier picture it is, if it is one.
    pub from: Option<SourceImage>,
}

/// Why a call upstream brought no picture.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{cause:?} ({detail})")]
pub struct DrawError {
    /// What kind.
    pub cause: DrawCause,
    /// For the log and an administrator: status, upstream's words, cut to 500 characters and
    /// free of secrets. Never shown to an end user.
    pub detail: String,
    /// When upstream wants to be asked again.
    pub retry_after: Option<Duration>,
    /// Whether upstream may have billed the call.
    pub billed: Billed,
    /// OpenRouter's id of the call, if known.
    pub upstream_id: Option<String>,
}

/// Whether a failed call may cost the platform money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Billed {
    /// Surely not: it never left, or was refused before any work.
    No,
    /// Nobody can tell from here.
    Perhaps,
}

/// The kinds of upstream failure (`domain.md`, Appendix 2; `api.md`, Errors).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DrawCause {
    /// 400 or 422: upstream does not accept the request.
    InvalidRequest,
    /// The prompt offends the provider's rules.
    PromptRejected,
    /// The picture offended the provider's rules.
    OutputRejected,
    /// The model is unknown, deprecated, lacks the modality or is barred by privacy settings.
    ModelUnavailable,
    /// A reference picture cannot be used.
    ReferenceInvalid,
    /// A reference picture, or the request, is too large.
    ReferenceTooLarge,
    /// 429.
    RateLimited,
    /// 408, 504, 524, or our own patience: connect, idle, total.
    Timeout,
    /// 5xx, HTML, broken connections, answers that cannot be understood.
    Unavailable,
    /// The platform's key or credit is refused, or a redirect: ours to mend; somebody is told.
    OursToMend,
    /// An answer without a picture.
    NoImage,
    /// Bad base64, a cut-off picture, over the cap.
    ImageInvalid,
}

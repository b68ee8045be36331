//! Whoever draws.

use async_trait::async_trait;
use std::fmt;

use super::gallery::ImageSource;
use crate::domain::catalog::Model;
use crate::domain::generation::SourceImage;
use crate::domain::generation::{KeyMode, MediaType};
use crate::domain::ids::GenerationId;
use crate::domain::money::UsdCost;
use crate::domain::shape::AspectRatio;
use crate::domain::shape::Background;
use crate::domain::shape::OutputFormat;
use crate::domain::shape::PixelSize;
use crate::domain::shape::Quality;
use crate::domain::shape::Resolution;
use bytes::Bytes;
use jiff::Timestamp;
use secrecy::SecretString;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Whoever draws.
#[async_trait]
pub trait ImageProvider: fmt::Debug + Send + Sync {
    /// Sends one order and returns once the answer has begun. Tries again only what surely was
    /// not billed, and never past the order's deadline (`domain.md` C24).
    ///
    /// # Errors
    /// [`DrawError`]: what kind, and whether it may have been billed.
    async fn draw(&self, order: &Order) -> Result<Box<dyn Drawing>, DrawError>;

    /// What the provider's records say a call cost that was made with this key.
    ///
    /// # Errors
    /// [`DrawError`] if the provider does not answer, or not in words that are understood.
    async fn bill_of(&self, upstream_id: &str, key: &UpstreamKey) -> Result<Bill, DrawError>;

    /// Whether the provider takes a key, by its own record of it. Nothing is paid for.
    ///
    /// # Errors
    /// [`DrawError`]: [`DrawCause::KeyRefused`] if it does not know the key.
    async fn check_key(&self, key: &UpstreamKey) -> Result<KeyRecord, DrawError>;

    /// Whether a key is the platform's, under whatever name it comes.
    fn is_platforms(&self, key: &UpstreamKey) -> bool;

    /// By what the books know the platform's key: the same for the same key, and nothing to guess it
    /// from.
    fn platform_fingerprint(&self) -> String;
}

/// With whose key a call is made. It is chosen when a generation begins and stays: no call of an
/// organization that has a key of its own is ever made with the platform's (`domain.md` R10).
#[derive(Clone, Debug)]
pub enum UpstreamKey {
    /// The platform's, which the provider knows.
    Platform,
    /// The organization's own.
    Organization(SecretString),
}

/// What the provider says of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyRecord {
    /// It manages other keys, and draws nothing.
    pub manages: bool,
    /// Nothing is left of its limit, or of the budget it is under.
    pub is_used_up: bool,
    /// When it stops working, or did; `None` if never, or if that is not told.
    pub expires: Option<Timestamp>,
}

impl KeyRecord {
    /// Whether it has stopped working.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }
}

/// What the provider's records say about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bill {
    /// Not filed yet.
    NotFiled,
    /// What it cost; nothing, if it was cancelled or failed.
    Cost(UsdCost),
    /// The record names no cost that can be believed.
    NoCost,
    /// The record names another call.
    OfAnother,
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
    /// Whose key pays.
    pub key: UpstreamKey,
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

// === impl UpstreamKey ===

impl UpstreamKey {
    /// Whose it is.
    pub const fn mode(&self) -> KeyMode {
        match self {
            Self::Platform => KeyMode::Platform,
            Self::Organization(_) => KeyMode::Organization,
        }
    }
}

/// Why a call upstream brought no picture.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{cause:?} ({detail})")]
pub struct DrawError {
    /// What kind.
    pub cause: DrawCause,
    /// For the log and an administrator: status, upstream's words, cut to 500 characters, free of
    /// secrets, and withheld if they quote the key or the prompt. Never shown to an end user.
    pub detail: String,
    /// When upstream wants to be asked again.
    pub retry_after: Option<Duration>,
    /// Whether upstream may have billed the call.
    pub billed: Billed,
    /// OpenRouter's id of the call, if known.
    pub upstream_id: Option<String>,
    /// What the answer says it cost although it brought no picture: the platform's loss
    /// (`domain.md` C12).
    pub cost: Option<UsdCost>,
}

/// Whether a failed call may cost the platform money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Billed {
    /// Surely not: it never left, or was refused before any work.
    No,
    /// It was answered, and nobody can tell from the answer.
    Perhaps,
    /// The answer never ended: whether the picture was made and billed, only the provider's
    /// records can tell.
    Unanswered,
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
    /// 429: a provider has no room, or nobody says whose limit it is.
    RateLimited,
    /// 429 of OpenRouter itself: the key, or the account it is of, may not ask so often.
    KeyRateLimited,
    /// 408, 504, 524, or our own patience: connect, idle, total.
    Timeout,
    /// 5xx, HTML, broken connections, answers that cannot be understood.
    Unavailable,
    /// 401, or 403 for another reason than content: the key that was used is not taken.
    KeyRefused,
    /// 402, or the key's own limit: it has no credit left.
    KeyOutOfCredit,
    /// A redirect, or a request that nobody but us can mend; somebody is told.
    OursToMend,
    /// An answer without a picture.
    NoImage,
    /// Bad base64, a cut-off picture, over the cap.
    ImageInvalid,
}

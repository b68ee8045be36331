//! A generation: one tool call from its hold to its receipt, as it is kept and shown.

use jiff::Timestamp;

use super::books::Stage;
use super::failure::Failure;
use super::ids::{AgentId, GenerationId, OrganizationId, RequestId, Slug};
use super::money::{Credits, UsdCost};
use super::pricing::{Bounds, Pricing, Question};
use super::shape::{AspectRatio, PixelSize, Resolution, SentShape, words};

/// The most images of one generation, and so the places they have: upstream draws at most ten in a
/// call, and a generation makes at most four calls. What nobody asked for is kept and delivered, too
/// (`domain.md` C20); more than this is no answer to any question of ours.
pub const IMAGES_MAX: usize = 40;

words! {
    /// Where the conversation takes place.
    Channel {
        /// Not said.
        Unspecified = "unspecified",
        /// The platform's own chat.
        Hub = "hub",
        /// A public chat page.
        PublicChat = "public_chat",
        /// A widget on a site.
        Widget = "widget",
        /// WhatsApp.
        Whatsapp = "whatsapp",
        /// Telegram.
        Telegram = "telegram",
        /// The REST API or a webhook.
        Api = "api",
    }
}

words! {
    /// Whether a person in production asked, or somebody trying the agent out (`domain.md` C34).
    /// Both are charged.
    Origin {
        /// In production.
        Live = "live",
        /// Before publishing.
        Test = "test",
    }
}

words! {
    /// Whose OpenRouter key paid upstream.
    KeyMode {
        /// The platform's: charged by cost.
        Platform = "platform",
        /// The organization's own: one credit per image.
        Organization = "organization",
    }
}

words! {
    /// Where a cost comes from (`domain.md` C15), best first.
    CostSource {
        /// `usage.cost` of the answer itself.
        Usage = "usage",
        /// `GET /generation` afterwards.
        Lookup = "lookup",
        /// What came, times the prices pinned at the start.
        Computed = "computed",
        /// The hold, because nothing better was to be had.
        Estimate = "estimate",
    }
}

words! {
    /// A format a picture is kept in.
    MediaType {
        /// PNG.
        Png = "image/png",
        /// JPEG.
        Jpeg = "image/jpeg",
        /// WebP.
        Webp = "image/webp",
        /// GIF: taken as a reference, never kept as a result.
        Gif = "image/gif",
    }
}

impl MediaType {
    /// The usual ending of a file's name.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::Webp => "webp",
            Self::Gif => "gif",
        }
    }
}

/// Who asked, where, and whatever the caller wants to find again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// The conversation, as the caller names it; may be empty.
    pub conversation_id: String,
    /// The message that caused the call; may be empty.
    pub message_id: String,
    /// The end user; may be empty.
    pub user_id: String,
    /// Where the conversation takes place.
    pub channel: Channel,
    /// Production or trial.
    pub origin: Origin,
    /// Echoed, sorted by key.
    pub metadata: Vec<(String, String)>,
}

/// Something that was asked for and not done as asked; never dearer (`domain.md` C32).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adjustment {
    /// The request's field.
    pub field: String,
    /// What was asked.
    pub requested: String,
    /// What was used instead; empty if the provider decides.
    pub used: String,
    /// Why.
    pub reason: String,
}

/// An earlier picture that this one was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceImage {
    /// The generation that made it.
    pub generation: GenerationId,
    /// Which of its pictures.
    pub index: u32,
}

/// A picture that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredImage {
    /// Its place in the generation, from 0.
    pub index: u32,
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
    /// Its length.
    pub size_bytes: u64,
    /// Width and height as its bytes say.
    pub pixels: PixelSize,
    /// Its format as its bytes say.
    pub media_type: MediaType,
    /// Its name in the image store; stable.
    pub object_name: String,
}

/// What was taken from the balance, and how it was computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Credits taken.
    pub credits: Credits,
    /// Images that were counted: delivered, but not more than asked for (`domain.md` C20).
    pub images: u32,
    /// Whose key paid upstream.
    pub key_mode: KeyMode,
    /// What upstream cost, summed over all calls.
    pub cost: UsdCost,
    /// Where that figure comes from.
    pub cost_source: CostSource,
    /// What came back when the true cost was told later and was lower (`domain.md` C15).
    pub refunded: Credits,
    /// What upstream's records said later that it cost, if the books go by that now: less, or with
    /// an organization's own key more.
    pub corrected: Option<UsdCost>,
}

/// What is known of one upstream call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallRecord {
    /// Its place in the job, from 0.
    pub call: u32,
    /// OpenRouter's id of it, if it was told.
    pub upstream_id: Option<String>,
    /// The places of the pictures it brought.
    pub images: Vec<u32>,
    /// What it cost as OpenRouter told, in its answer or afterwards; `None` if it did not yet.
    pub cost: Option<(UsdCost, CostSource)>,
    /// Tokens of the prompt, if told.
    pub prompt_tokens: Option<u64>,
    /// Tokens of the answer, if told.
    pub completion_tokens: Option<u64>,
    /// What the model said beside its pictures.
    pub text: String,
    /// Whether it surely cost nothing: it never left, or was refused before any work.
    pub unbilled: bool,
}

/// What is fixed when a generation begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Made by the gateway before the first try, so that a second try is recognized.
    pub id: GenerationId,
    /// Who pays.
    pub organization: OrganizationId,
    /// The caller's id of the tool call.
    pub request_id: RequestId,
    /// SHA-256 of the canonical request, so that the same id with another body is seen.
    pub fingerprint: [u8; 32],
    /// The agent whose tool it is.
    pub agent: AgentId,
    /// Who asked and where.
    pub context: Context,
    /// The tool's model.
    pub model: Slug,
    /// Its display name then.
    pub model_name: String,
    /// The prompt, trimmed.
    pub prompt: String,
    /// The size class used.
    pub resolution: Resolution,
    /// The shape used.
    pub aspect_ratio: AspectRatio,
    /// Images asked for.
    pub requested: u32,
    /// What was changed before the call.
    pub adjustments: Vec<Adjustment>,
    /// Earlier pictures it is made from.
    pub sources: Vec<SourceImage>,
    /// Whose key pays upstream; pinned.
    pub key_mode: KeyMode,
    /// What it may cost.
    pub bounds: Bounds,
    /// Credits held: `bounds.high`, or more if the prompt is long.
    pub hold: Credits,
    /// The price rule in words, pinned for the receipt (`domain.md` C19).
    pub price_basis: String,
    /// The prices of then, by which a cost is computed that upstream never told (`domain.md` C15,
    /// C19).
    pub pricing: Option<Pricing>,
    /// What the prices were asked.
    pub question: Question,
    /// What the calls say about size and shape.
    pub sent: SentShape,
    /// Which key pays upstream, by its fingerprint: bills are joined by it.
    pub upstream_key: String,
    /// When it began.
    pub created: Timestamp,
    /// When it must have ended upstream.
    pub deadline: Timestamp,
}

/// A generation as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// What was fixed at the start.
    pub draft: Draft,
    /// Which attempt under its request id this is, from 1.
    pub attempt: u32,
    /// Where its money stands.
    pub stage: Stage,
    /// Its pictures; only once stored.
    pub images: Vec<StoredImage>,
    /// What the model said beside the picture.
    pub text: String,
    /// All changes, those seen only in the pictures included.
    pub adjustments: Vec<Adjustment>,
    /// What was charged; only once settled. Stored and not settled: the cost is still asked for.
    pub charge: Option<Charge>,
    /// The balance right after the charge; only once settled.
    pub balance_after: Option<Credits>,
    /// Why it ends without pictures; once voided, or while its bill is in doubt.
    pub failure: Option<Failure>,
    /// OpenRouter's ids of the calls made for it, as far as known.
    pub upstream_ids: Vec<String>,
    /// When it ended.
    pub finished: Option<Timestamp>,
}

#[cfg(any(test, feature = "torture"))]
#[expect(clippy::expect_used, reason = "its names are written here")]
impl Draft {
    /// A draft of one picture, for tests that care about a few of its fields.
    pub(crate) fn sample() -> Self {
        let name = "sample";
        let zero = Credits::ZERO;
        Self {
            id: GenerationId::from_uuid(uuid::Uuid::nil()),
            organization: OrganizationId::parse(name).expect("a name"),
            request_id: RequestId::parse(name).expect("a name"),
            fingerprint: [0; 32],
            agent: AgentId::parse(name).expect("a name"),
            context: Context {
                conversation_id: String::new(),
                message_id: String::new(),
                user_id: String::new(),
                channel: Channel::Unspecified,
                origin: Origin::Live,
                metadata: Vec::new(),
            },
            model: Slug::parse("acme/model").expect("a slug"),
            model_name: name.to_owned(),
            prompt: name.to_owned(),
            resolution: Resolution::R1K,
            aspect_ratio: AspectRatio::SQUARE,
            requested: 1,
            adjustments: Vec::new(),
            sources: Vec::new(),
            key_mode: KeyMode::Platform,
            bounds: Bounds {
                low: zero,
                expected: zero,
                high: zero,
            },
            hold: Credits::from_whole(1),
            price_basis: String::new(),
            pricing: None,
            question: Question::one(Resolution::R1K),
            sent: SentShape::default(),
            upstream_key: String::new(),
            created: Timestamp::UNIX_EPOCH,
            deadline: Timestamp::UNIX_EPOCH,
        }
    }
}

impl CallRecord {
    /// Whether OpenRouter is asked what it cost: it may have billed, it can be named, and nobody
    /// told (`domain.md` C15).
    pub const fn is_open_question(&self) -> bool {
        self.upstream_id.is_some() && !self.unbilled && self.cost.is_none()
    }
}

impl Charge {
    /// The computation in one line, such as `0.0672 × 2000 + 1 = 135.40`, so that anybody can
    /// check it. Rounded up at two decimals, which the line says where it matters.
    pub fn explanation(&self) -> String {
        match self.key_mode {
            KeyMode::Platform => {
                format!("{} × 2000 + {} = {}", self.cost, self.images, self.credits)
            }
            KeyMode::Organization => format!("{} × 1 = {}", self.images, self.credits),
        }
    }
}

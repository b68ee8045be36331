//! From the domain to the wire: one free function per message, named for its result.

use jiff::Timestamp;

use crate::domain::books::{Account, EntryKind, Stage};
use crate::domain::failure::Reason;
use crate::domain::generation::{
    Adjustment, Charge, CostSource, Generation, KeyMode, SourceImage, StoredImage,
};
use crate::domain::generation::{Channel, Origin};
use crate::domain::ids::OrganizationId;
use crate::domain::money::Credits;
use crate::domain::openrouter_key::KeyStatus;
use crate::domain::pricing::{BillingType, Bounds, Estimate, Tier};
use crate::domain::tool::Status;
use crate::ports::{ApiKey, LedgerEntry, OpenRouterKey, Organization, Role};
use crate::proto;

pub(super) fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.as_second(),
        nanos: at.subsec_nanosecond(),
    }
}

pub(super) fn int(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) const fn billing_type(value: BillingType) -> proto::BillingType {
    match value {
        BillingType::PerImage => proto::BillingType::PerImage,
        BillingType::PerMegapixel => proto::BillingType::PerMegapixel,
        BillingType::PerToken => proto::BillingType::PerToken,
    }
}

pub(super) const fn tier(value: Tier) -> proto::Tier {
    match value {
        Tier::Draft => proto::Tier::Draft,
        Tier::General => proto::Tier::General,
        Tier::Final => proto::Tier::Final,
    }
}

/// The word for a status, and what to do about it.
pub(super) fn tool_status(value: Status) -> (proto::ToolStatus, String) {
    match value {
        Status::Ready => (proto::ToolStatus::Ready, String::new()),
        Status::Disabled => (proto::ToolStatus::Disabled, String::new()),
        Status::NeedsConfiguration(why) => (proto::ToolStatus::NeedsConfiguration, why),
    }
}

pub(super) const fn stage(value: Stage) -> proto::Stage {
    match value {
        Stage::Held => proto::Stage::Held,
        Stage::Dispatched => proto::Stage::Dispatched,
        Stage::Streaming => proto::Stage::Streaming,
        Stage::Stored => proto::Stage::Stored,
        Stage::Settled => proto::Stage::Settled,
        Stage::Voided => proto::Stage::Voided,
        Stage::InDoubt => proto::Stage::InDoubt,
        Stage::Review => proto::Stage::Review,
    }
}

/// What a program acts on, by where the money stands. Images that are stored are there, whether
/// their cost is known or not; where none will come, nothing is decided until the hold is.
fn state(value: &Generation) -> proto::GenerationState {
    let reason = value.failure.as_ref().map(|failure| failure.reason);
    match value.stage {
        Stage::Held => proto::GenerationState::Pending,
        Stage::Dispatched | Stage::Streaming | Stage::InDoubt | Stage::Review => {
            proto::GenerationState::Running
        }
        Stage::Stored | Stage::Settled => proto::GenerationState::Succeeded,
        Stage::Voided if reason == Some(Reason::GenerationCancelled) => {
            proto::GenerationState::Cancelled
        }
        Stage::Voided => proto::GenerationState::Failed,
    }
}

/// A stage in a few words.
pub(super) const fn stage_in_words(value: Stage) -> &'static str {
    match value {
        Stage::Held => "credits are held",
        Stage::Dispatched => "sent to the image provider",
        Stage::Streaming => "the image provider answers",
        Stage::Stored => "the images are stored",
        Stage::Settled => "charged",
        Stage::Voided => "ended without an image",
        Stage::InDoubt | Stage::Review => "no image came; asking the provider what it billed",
    }
}

const fn channel(value: Channel) -> proto::Channel {
    match value {
        Channel::Unspecified => proto::Channel::Unspecified,
        Channel::Hub => proto::Channel::Hub,
        Channel::PublicChat => proto::Channel::PublicChat,
        Channel::Widget => proto::Channel::Widget,
        Channel::Whatsapp => proto::Channel::Whatsapp,
        Channel::Telegram => proto::Channel::Telegram,
        Channel::Api => proto::Channel::Api,
    }
}

const fn origin(value: Origin) -> proto::Origin {
    match value {
        Origin::Live => proto::Origin::Live,
        Origin::Test => proto::Origin::Test,
    }
}

const fn key_mode(value: KeyMode) -> proto::KeyMode {
    match value {
        KeyMode::Platform => proto::KeyMode::Platform,
        KeyMode::Organization => proto::KeyMode::Organization,
    }
}

const fn cost_source(value: CostSource) -> proto::CostSource {
    match value {
        CostSource::Usage => proto::CostSource::Usage,
        CostSource::Lookup => proto::CostSource::Lookup,
        CostSource::Computed => proto::CostSource::Computed,
        CostSource::Estimate => proto::CostSource::Estimate,
    }
}

pub(super) const fn role(value: Role) -> proto::Role {
    match value {
        Role::Runtime => proto::Role::Runtime,
        Role::Admin => proto::Role::Admin,
        Role::Owner => proto::Role::Owner,
    }
}

const fn entry_kind(value: EntryKind) -> proto::LedgerEntryKind {
    match value {
        EntryKind::Purchase => proto::LedgerEntryKind::Purchase,
        EntryKind::Charge => proto::LedgerEntryKind::Charge,
        EntryKind::ChargeDebt => proto::LedgerEntryKind::ChargeDebt,
        EntryKind::DebtRepaid => proto::LedgerEntryKind::DebtRepaid,
        EntryKind::Refund => proto::LedgerEntryKind::Refund,
    }
}

pub(super) fn estimate(value: &Estimate, price_time: Timestamp) -> proto::Estimate {
    proto::Estimate {
        low: value.bounds.low.to_string(),
        expected: value.bounds.expected.to_string(),
        high: value.bounds.high.to_string(),
        display: value.display.clone(),
        billing_type: billing_type(value.billing_type).into(),
        basis: value.basis.clone(),
        price_time: Some(timestamp(price_time)),
        recent_average: value
            .recent
            .map(|recent| recent.average.to_string())
            .unwrap_or_default(),
        recent_count: int(value.recent.map_or(0, |recent| recent.count)),
        departs: value.recent.is_some_and(|recent| recent.departs),
        usd_expected: value.usd.normalize().to_string(),
    }
}

/// The estimate of an earlier call, as far as it was kept.
pub(super) fn kept_estimate(bounds: &Bounds, basis: &str) -> proto::Estimate {
    proto::Estimate {
        low: bounds.low.to_string(),
        expected: bounds.expected.to_string(),
        high: bounds.high.to_string(),
        basis: basis.to_owned(),
        ..proto::Estimate::default()
    }
}

pub(super) fn image_finished(value: &StoredImage) -> proto::ImageFinished {
    proto::ImageFinished {
        index: int(value.index),
        sha256: hex(&value.sha256),
        size_bytes: i64::try_from(value.size_bytes).unwrap_or(i64::MAX),
        width: int(value.pixels.width),
        height: int(value.pixels.height),
        media_type: value.media_type.to_string(),
        object_name: value.object_name.clone(),
    }
}

fn adjustment(value: &Adjustment) -> proto::Adjustment {
    proto::Adjustment {
        field: value.field.clone(),
        requested: value.requested.clone(),
        used: value.used.clone(),
        reason: value.reason.clone(),
    }
}

fn source(value: &SourceImage) -> proto::GeneratedImage {
    proto::GeneratedImage {
        generation_id: value.generation.to_string(),
        index: int(value.index),
    }
}

fn charge(value: &Charge, generation: &Generation) -> proto::Charge {
    proto::Charge {
        credits: value.credits.to_string(),
        images: int(value.images),
        key_mode: key_mode(value.key_mode).into(),
        usd_cost: value.cost.to_string(),
        cost_source: cost_source(value.cost_source).into(),
        balance_after: generation
            .balance_after
            .map(|b| b.to_string())
            .unwrap_or_default(),
        explanation: value.explanation(),
        pending: false,
        refunded: match value.refunded {
            Credits::ZERO => String::new(),
            refunded => refunded.to_string(),
        },
        corrected_usd_cost: value.corrected.map(|cost| cost.to_string()),
    }
}

/// The images are there, their cost is not: the hold is the most it can be.
fn pending(generation: &Generation) -> Option<proto::Charge> {
    let draft = &generation.draft;
    let delivered = u32::try_from(generation.images.len()).unwrap_or(u32::MAX);
    (generation.stage == Stage::Stored).then(|| proto::Charge {
        credits: draft.hold.to_string(),
        images: int(delivered.min(draft.requested)),
        key_mode: key_mode(draft.key_mode).into(),
        explanation: format!("at most {}, until the cost is known", draft.hold),
        pending: true,
        ..proto::Charge::default()
    })
}

pub(super) fn generation(value: &Generation, replayed: bool) -> proto::Generation {
    let draft = &value.draft;
    let context = &draft.context;
    let ended = value.failure.as_ref();
    let error = ended
        .filter(|_| value.stage == Stage::Voided)
        .map(|failure| proto::GenerationError {
            reason: failure.reason.to_string(),
            message: failure.message.clone(),
            metadata: failure
                .metadata
                .iter()
                .map(|(k, v)| (k.to_string(), v.clone()))
                .collect(),
        });
    proto::Generation {
        id: draft.id.to_string(),
        request_id: draft.request_id.to_string(),
        agent_id: draft.agent.to_string(),
        conversation_id: context.conversation_id.clone(),
        message_id: context.message_id.clone(),
        user_id: context.user_id.clone(),
        channel: channel(context.channel).into(),
        origin: origin(context.origin).into(),
        metadata: context.metadata.iter().cloned().collect(),
        model: draft.model.to_string(),
        model_name: draft.model_name.clone(),
        prompt: draft.prompt.clone(),
        resolution: draft.resolution.to_string(),
        aspect_ratio: draft.aspect_ratio.to_string(),
        state: state(value).into(),
        stage: stage(value.stage).into(),
        images: value.images.iter().map(image_finished).collect(),
        requested: int(draft.requested),
        delivered: i32::try_from(value.images.len()).unwrap_or(i32::MAX),
        adjustments: value.adjustments.iter().map(adjustment).collect(),
        text: value.text.clone(),
        sources: draft.sources.iter().map(source).collect(),
        charge: value
            .charge
            .as_ref()
            .map(|paid| charge(paid, value))
            .or_else(|| pending(value)),
        error,
        create_time: Some(timestamp(draft.created)),
        finish_time: value.finished.map(timestamp),
        upstream_generation_ids: value.upstream_ids.clone(),
        replayed,
        note: String::new(),
    }
}

pub(super) fn balance(organization: &OrganizationId, account: Account) -> proto::Balance {
    proto::Balance {
        organization_id: organization.to_string(),
        credits: account.balance().to_string(),
        held: account.held.to_string(),
        available: account.available().to_string(),
        debt: account.debt.to_string(),
    }
}

pub(super) fn ledger_entry(value: &LedgerEntry) -> proto::LedgerEntry {
    proto::LedgerEntry {
        id: value.id.to_string(),
        sequence: i64::try_from(value.sequence).unwrap_or(i64::MAX),
        kind: entry_kind(value.kind).into(),
        credits: value.credits.to_string(),
        balance_after: value.balance_after.to_string(),
        generation_id: value
            .generation
            .map(|id| id.to_string())
            .unwrap_or_default(),
        reference: value
            .reference
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        description: value.description.clone(),
        create_time: Some(timestamp(value.created)),
    }
}

/// An organization, with what may be shown of its own OpenRouter key, and what that is worth.
pub(super) fn organization(
    value: &Organization,
    own: Option<(&OpenRouterKey, KeyStatus)>,
) -> proto::Organization {
    let mode = own.map_or(KeyMode::Platform, |_| KeyMode::Organization);
    let status = own.map(|(_, status)| match status {
        KeyStatus::Active => proto::OpenRouterKeyStatus::Active,
        KeyStatus::Invalid | KeyStatus::Platforms => proto::OpenRouterKeyStatus::Invalid,
        KeyStatus::Unreadable => proto::OpenRouterKeyStatus::Unreadable,
    });
    let own = own.map(|(own, _)| own);
    proto::Organization {
        id: value.id.to_string(),
        name: value.name.clone(),
        create_time: Some(timestamp(value.created)),
        key_mode: key_mode(mode).into(),
        openrouter_key_masked: own.map(|own| own.masked.clone()).unwrap_or_default(),
        openrouter_key_status: status.unwrap_or_default().into(),
        openrouter_key_set_time: own.map(|own| timestamp(own.created)),
        openrouter_key_check_time: own.map(|own| timestamp(own.checked)),
    }
}

pub(super) fn api_key(value: &ApiKey) -> proto::ApiKey {
    proto::ApiKey {
        id: value.id.to_string(),
        organization_id: value.organization.to_string(),
        name: value.name.clone(),
        prefix: value.prefix.clone(),
        role: role(value.role).into(),
        create_time: Some(timestamp(value.created)),
        expire_time: value.expires.map(timestamp),
        last_used_time: value.last_used.map(timestamp),
        revoke_time: value.revoked.map(timestamp),
    }
}

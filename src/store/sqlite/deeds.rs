//! What each change is called in the audit trail, and what is told of it.

use jiff::Timestamp;

use super::chain::hash_of_prices;
use crate::domain::catalog::PriceChange;
use crate::domain::ids::Slug;
use crate::domain::money::Credits;
use crate::domain::tool::Tool;
use crate::domain::trail::{Action, By, Deed, Field, changes};
use crate::ports::{ApiKey, ListUpdate, OpenRouterKey, Organization, Purchase};

/// The field in which a key-encryption key is named.
const ENCRYPTION_KEY: &str = "key_encryption_key";

pub(super) fn organization_created(organization: &Organization) -> Deed {
    Deed {
        action: Action::OrganizationCreated,
        subject: organization.id.to_string(),
        changes: changes(None, Some(&[("name", Some(organization.name.clone()))])),
    }
}

pub(super) fn api_key_created(key: &ApiKey) -> Deed {
    Deed {
        action: Action::ApiKeyCreated,
        subject: key.id.to_string(),
        changes: changes(None, Some(&api_key(key))),
    }
}

/// What is told of a key when it is made.
pub(super) fn api_key(key: &ApiKey) -> [Field; 4] {
    [
        ("name", Some(key.name.clone())),
        ("prefix", Some(key.prefix.clone())),
        ("role", Some(key.role.to_string())),
        ("expire_time", key.expires.map(|at| at.to_string())),
    ]
}

pub(super) fn api_key_revoked(key: &ApiKey, by: &By) -> Deed {
    Deed {
        action: Action::ApiKeyRevoked,
        subject: key.id.to_string(),
        changes: changes(None, Some(&revocation(Some(by.at)))),
    }
}

/// What is told of a key when it ends.
pub(super) fn revocation(at: Option<Timestamp>) -> [Field; 1] {
    [("revoke_time", at.map(|at| at.to_string()))]
}

/// Nothing, if it was saved as it was.
pub(super) fn tool_saved(old: Option<&Tool>, new: &Tool) -> Option<Deed> {
    let before = old.map(Tool::fields);
    let before = before.as_ref().map(<[_; 12]>::as_slice);
    let deed = Deed {
        action: match old {
            None => Action::ToolCreated,
            Some(_) => Action::ToolUpdated,
        },
        subject: new.agent.to_string(),
        changes: changes(before, Some(&new.fields())),
    };
    Some(deed).filter(|deed| !deed.changes.is_empty())
}

pub(super) fn tool_deleted(tool: &Tool) -> Deed {
    Deed {
        action: Action::ToolDeleted,
        subject: tool.agent.to_string(),
        changes: changes(Some(&tool.fields()), None),
    }
}

pub(super) fn model_switched(model: &Slug, available: bool) -> Deed {
    Deed {
        action: Action::ModelAvailabilityChanged,
        subject: model.to_string(),
        changes: changes(
            Some(&availability(!available)),
            Some(&availability(available)),
        ),
    }
}

/// What is told of a model that is switched.
pub(super) fn availability(available: bool) -> [Field; 1] {
    [("available", Some(available.to_string()))]
}

pub(super) fn credits_added(purchase: &Purchase) -> Deed {
    Deed {
        action: Action::CreditsAdded,
        subject: purchase.reference.to_string(),
        changes: changes(None, Some(&credits(purchase.credits))),
    }
}

/// What is told of a top-up.
pub(super) fn credits(credits: Credits) -> [Field; 1] {
    [("credits", Some(credits.to_string()))]
}

pub(super) fn openrouter_key_set(old: Option<&OpenRouterKey>, new: &OpenRouterKey) -> Deed {
    let old = old.map(openrouter_key);
    Deed {
        action: Action::OpenrouterKeySet,
        subject: new.id.to_string(),
        changes: changes(
            old.as_ref().map(<[_; 3]>::as_slice),
            Some(&openrouter_key(new)),
        ),
    }
}

pub(super) fn openrouter_key_deleted(key: &OpenRouterKey) -> Deed {
    Deed {
        action: Action::OpenrouterKeyDeleted,
        subject: key.id.to_string(),
        changes: changes(Some(&openrouter_key(key)), None),
    }
}

/// It can be opened no more.
pub(super) fn openrouter_key_given_up(old: &OpenRouterKey) -> Deed {
    let new = OpenRouterKey {
        sealed: None,
        ..old.clone()
    };
    Deed {
        action: Action::OpenrouterKeyGivenUp,
        subject: old.id.to_string(),
        changes: changes(Some(&openrouter_key(old)), Some(&openrouter_key(&new))),
    }
}

/// Nothing, if it can be drawn with as before.
pub(super) fn openrouter_key_noted(old: &OpenRouterKey, new: &OpenRouterKey) -> Option<Deed> {
    let deed = Deed {
        action: Action::OpenrouterKeyStatusChanged,
        subject: new.id.to_string(),
        changes: changes(Some(&openrouter_key(old)), Some(&openrouter_key(new))),
    };
    Some(deed).filter(|deed| !deed.changes.is_empty())
}

/// What is told of an own key; never the key itself.
pub(super) fn openrouter_key(key: &OpenRouterKey) -> [Field; 3] {
    [
        ("openrouter_key_masked", Some(key.masked.clone())),
        ("fingerprint", Some(key.fingerprint.clone())),
        ("openrouter_key_status", Some(key.status().to_string())),
    ]
}

/// Nothing, if the list is as it was.
pub(super) fn models_synced(update: &ListUpdate) -> Option<Deed> {
    let flagged = update.prices.iter().filter(|price| price.flagged).count();
    let count = |count: usize| Some(count.to_string()).filter(|_| count > 0);
    let models = |models: u32| Some(models.to_string()).filter(|_| models > 0);
    let fields = [
        ("models_changed", count(update.models.len())),
        ("models_added", models(update.added)),
        ("models_withdrawn", models(update.withdrawn)),
        ("prices_changed", count(update.prices.len())),
        ("prices_flagged", count(flagged)),
        ("prices_sha256", hash_of_moves(&update.prices)),
    ];
    let deed = Deed {
        action: Action::ModelsSynced,
        subject: "models".to_owned(),
        changes: changes(None, Some(&fields)),
    };
    Some(deed).filter(|deed| !deed.changes.is_empty())
}

pub(super) fn price_confirmed(model: &Slug, since: Timestamp) -> Deed {
    let doubted = [("price_unconfirmed_since", Some(since.to_string()))];
    Deed {
        action: Action::PriceConfirmed,
        subject: model.to_string(),
        changes: changes(Some(&doubted), None),
    }
}

/// By the names of the keys, which are not secret; the old one's, if anybody knows it.
pub(super) fn encryption_key_replaced(old: Option<String>, new: &[u8; 8]) -> Deed {
    Deed {
        action: Action::EncryptionKeyReplaced,
        subject: "key-encryption-key".to_owned(),
        changes: changes(Some(&[(ENCRYPTION_KEY, old)]), Some(&encryption_key(new))),
    }
}

/// What is told of a key-encryption key: its name.
pub(super) fn encryption_key(id: &[u8; 8]) -> [Field; 1] {
    [(ENCRYPTION_KEY, Some(name_of(id)))]
}

/// By the names of the keys, likewise.
pub(super) fn operator_key_changed(old: Option<String>, new: Option<String>) -> Deed {
    Deed {
        action: Action::OperatorKeyChanged,
        subject: "operator-key".to_owned(),
        changes: changes(
            Some(&[("operator_key", old)]),
            Some(&[("operator_key", new)]),
        ),
    }
}

/// The name of a key that must not be seen, in hexadecimal.
pub(super) fn name_of(id: &[u8; 8]) -> String {
    format!("{:016x}", u64::from_be_bytes(*id))
}

/// The rows of prices that moved together, as [`hash_of_prices`] takes them; nothing if none did.
fn hash_of_moves(prices: &[PriceChange]) -> Option<String> {
    let mut rows: Vec<[String; 5]> = prices
        .iter()
        .map(|price| {
            [
                price.slug.to_string(),
                price.part.to_string(),
                price.before.to_string(),
                price.after.to_string(),
                i64::from(price.flagged).to_string(),
            ]
        })
        .collect();
    rows.sort();
    let rows = rows.iter().map(|row| row.each_ref().map(String::as_str));
    (!prices.is_empty()).then(|| hash_of_prices(rows))
}

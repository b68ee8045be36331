//! What each change is called in the audit trail, and what is told of it.

use crate::domain::ids::Slug;
use crate::domain::openrouter_key::KeyStatus;
use crate::domain::tool::Tool;
use crate::domain::trail::{Action, By, Deed, Field, changes};
use crate::ports::{ApiKey, OpenRouterKey, Organization, Purchase};

pub(super) fn organization_created(organization: &Organization) -> Deed {
    let fields = [("name", Some(organization.name.clone()))];
    Deed {
        action: Action::OrganizationCreated,
        subject: organization.id.to_string(),
        changes: changes(None, Some(&fields)),
    }
}

pub(super) fn api_key_created(key: &ApiKey) -> Deed {
    let fields = [
        ("name", Some(key.name.clone())),
        ("prefix", Some(key.prefix.clone())),
        ("role", Some(key.role.to_string())),
        ("expire_time", key.expires.map(|at| at.to_string())),
    ];
    Deed {
        action: Action::ApiKeyCreated,
        subject: key.id.to_string(),
        changes: changes(None, Some(&fields)),
    }
}

pub(super) fn api_key_revoked(key: &ApiKey, by: &By) -> Deed {
    let fields = [("revoke_time", Some(by.at.to_string()))];
    Deed {
        action: Action::ApiKeyRevoked,
        subject: key.id.to_string(),
        changes: changes(None, Some(&fields)),
    }
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
    let state = |available: bool| [("available", Some(available.to_string()))];
    Deed {
        action: Action::ModelAvailabilityChanged,
        subject: model.to_string(),
        changes: changes(Some(&state(!available)), Some(&state(available))),
    }
}

pub(super) fn credits_added(purchase: &Purchase) -> Deed {
    let fields = [("credits", Some(purchase.credits.to_string()))];
    Deed {
        action: Action::CreditsAdded,
        subject: purchase.reference.to_string(),
        changes: changes(None, Some(&fields)),
    }
}

pub(super) fn openrouter_key_set(old: Option<&OpenRouterKey>, new: &OpenRouterKey) -> Deed {
    let old = old.map(openrouter_key);
    Deed {
        action: Action::OpenrouterKeySet,
        subject: new.id.to_string(),
        changes: changes(
            old.as_ref().map(<[_; 2]>::as_slice),
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

pub(super) fn openrouter_key_given_up(key: &OpenRouterKey) -> Deed {
    let status = |status: KeyStatus| [("openrouter_key_status", Some(status.to_string()))];
    Deed {
        action: Action::OpenrouterKeyGivenUp,
        subject: key.id.to_string(),
        changes: changes(
            Some(&status(KeyStatus::after(key.refusals))),
            Some(&status(KeyStatus::Unreadable)),
        ),
    }
}

/// Never the key itself.
fn openrouter_key(key: &OpenRouterKey) -> [Field; 2] {
    [
        ("openrouter_key_masked", Some(key.masked.clone())),
        ("fingerprint", Some(key.fingerprint.clone())),
    ]
}

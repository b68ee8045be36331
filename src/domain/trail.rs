//! The audit trail: who changed what, from which value to which. The set of deeds is closed, and
//! so is the size of an entry; a secret is never a value.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::ids::{ApiKeyId, OrganizationId};
use super::shape::words;

/// The most characters of a value in the trail. What is longer is cut, and ends with `…` and the
/// beginning of its hash, by which two long values that begin alike differ.
pub const VALUE_CHARS_MAX: usize = 200;

/// Bytes of that hash, which is SHA-256 over the whole value.
const HASH_BYTES: usize = 8;

words! {
    /// What was done.
    Action {
        /// An organization was made; the first entry of its trail, and one of the platform's.
        OrganizationCreated = "organization_created",
        /// A key was made.
        ApiKeyCreated = "api_key_created",
        /// A key was revoked.
        ApiKeyRevoked = "api_key_revoked",
        /// An agent got its Generate Image tool.
        ToolCreated = "tool_created",
        /// A tool was changed.
        ToolUpdated = "tool_updated",
        /// A tool was deleted.
        ToolDeleted = "tool_deleted",
        /// A model was switched on or off for the organization.
        ModelAvailabilityChanged = "model_availability_changed",
        /// Credits were bought or given.
        CreditsAdded = "credits_added",
        /// The organization's own OpenRouter key was set, or another in its place.
        OpenrouterKeySet = "openrouter_key_set",
        /// The organization's own OpenRouter key was deleted.
        OpenrouterKeyDeleted = "openrouter_key_deleted",
        /// OpenRouter refuses the organization's own key for good, or has taken it after all.
        OpenrouterKeyStatusChanged = "openrouter_key_status_changed",
        /// The price list was read, and was not as before; of the platform's trail.
        ModelsSynced = "models_synced",
        /// A price that is hard to believe was believed; of the platform's trail.
        PriceConfirmed = "price_confirmed",
        /// The key-encryption key was replaced; of the platform's trail.
        EncryptionKeyReplaced = "encryption_key_replaced",
        /// The gateway was started with another operator's key; of the platform's trail.
        OperatorKeyChanged = "operator_key_changed",
    }
}

/// Whose trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trail {
    /// The platform's: what is done for all.
    Platform,
    /// An organization's.
    Organization(OrganizationId),
}

/// Who does something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Whoever has the operator's key, or the data folder itself.
    Operator,
    /// The gateway by itself.
    Gateway,
    /// Whoever has a key of an organization.
    Key {
        /// Its id.
        id: ApiKeyId,
        /// Its public beginning, by which people know it.
        prefix: String,
    },
}

/// Who does something, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    /// Who.
    pub actor: Actor,
    /// When.
    pub at: Timestamp,
}

/// What was done to what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    /// What was done.
    pub action: Action,
    /// To what: the id of a key, an agent or an organization, a model, the reference of a top-up;
    /// or one word for what there is one of.
    pub subject: String,
    /// The fields that are different now.
    pub changes: Vec<Change>,
}

/// A field that is different now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its name in the contract.
    pub field: String,
    /// Its value before; `None` if it had none.
    pub old: Option<String>,
    /// Its value now; `None` if it has none.
    pub new: Option<String>,
}

/// A field of a thing with its value, if it has one.
pub type Field = (&'static str, Option<String>);

/// What is different between two states of one thing that list the same fields in the same order.
/// A thing that is not there has no value in any of them.
pub fn changes(old: Option<&[Field]>, new: Option<&[Field]>) -> Vec<Change> {
    let names = new.or(old).unwrap_or_default();
    let value = |state: Option<&[Field]>, place: usize| {
        let field = state.and_then(|fields| fields.get(place));
        field.and_then(|(_, value)| value.clone())
    };
    let pairs = names.iter().enumerate().map(|(place, (name, _))| Change {
        field: (*name).to_owned(),
        old: value(old, place),
        new: value(new, place),
    });
    let different = pairs.filter(|change| change.old != change.new);
    different.map(Change::cut).collect()
}

// === impl Change ===

impl Change {
    /// Cut to what an entry may hold, after it was compared whole.
    fn cut(self) -> Self {
        Self {
            old: self.old.map(cut),
            new: self.new.map(cut),
            ..self
        }
    }
}

fn cut(value: String) -> String {
    match value.char_indices().nth(VALUE_CHARS_MAX) {
        None => value,
        Some((end, _)) => {
            let digest = Sha256::digest(value.as_bytes());
            let hash: String = digest[..HASH_BYTES]
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            format!("{}…{hash}", &value[..end])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(model: &str, text: &str) -> [Field; 3] {
        let set = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        [
            ("enabled", set("true")),
            ("model", set(model)),
            ("text", set(text)),
        ]
    }

    #[test]
    fn only_what_is_different_is_told_from_which_value_to_which() {
        let (old, new) = (fields("a", ""), fields("b", ""));
        let told = changes(Some(&old), Some(&new));
        let expected = Change {
            field: "model".to_owned(),
            old: Some("a".to_owned()),
            new: Some("b".to_owned()),
        };
        assert_eq!(told, [expected]);
        assert_eq!(changes(Some(&old), Some(&old)), []);
    }

    #[test]
    fn what_begins_had_no_values_and_what_ends_has_none() {
        let state = fields("a", "");
        let begun = changes(None, Some(&state));
        let ended = changes(Some(&state), None);
        assert_eq!(begun.len(), 2, "a field without a value tells nothing");
        assert!(begun.iter().all(|change| change.old.is_none()));
        assert!(ended.iter().all(|change| change.new.is_none()));
        assert_eq!(changes(None, None), []);
    }

    #[test]
    fn a_long_value_is_cut_and_still_known_to_be_different() {
        let (a, b) = ("é".repeat(300) + "a", "é".repeat(300) + "b");
        let told = changes(Some(&fields("m", &a)), Some(&fields("m", &b)));
        let [old, new] = [&told[0].old, &told[0].new].map(|value| {
            let value = value.as_deref().expect("a value");
            let (begin, hash) = value.split_once('…').expect("it is cut");
            assert_eq!(begin, "é".repeat(VALUE_CHARS_MAX));
            assert_eq!(hash.len(), 2 * HASH_BYTES);
            hash
        });
        assert_ne!(old, new);
    }
}

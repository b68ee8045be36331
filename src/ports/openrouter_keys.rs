//! Organizations' own OpenRouter keys.

use std::fmt;

use async_trait::async_trait;
use jiff::Timestamp;

use super::SettingsError;
use crate::domain::ids::{OpenRouterKeyId, OrganizationId};
use crate::domain::openrouter_key::{KeyStatus, Sealed};
use crate::domain::trail::By;

/// Organizations' own OpenRouter keys, sealed: whoever keeps them cannot read them. The promises are
/// those of [`Settings`](super::Settings).
#[async_trait]
pub trait OpenRouterKeys: fmt::Debug + Send + Sync {
    /// The key that an organization draws with, or nothing.
    ///
    /// # Errors
    /// [`SettingsError::Broken`].
    async fn openrouter_key(
        &self,
        organization: &OrganizationId,
    ) -> Result<Option<OpenRouterKey>, SettingsError>;

    /// Keeps a key in place of the one before, of which nothing is left but that it was there.
    ///
    /// # Errors
    /// [`SettingsError::NoOrganization`], [`SettingsError::Full`], [`SettingsError::Broken`].
    async fn set_openrouter_key(&self, key: OpenRouterKey, by: By) -> Result<(), SettingsError>;

    /// Deletes the key of an organization. `false` if it has none.
    ///
    /// # Errors
    /// [`SettingsError::NoOrganization`], [`SettingsError::Full`], [`SettingsError::Broken`].
    async fn delete_openrouter_key(
        &self,
        organization: &OrganizationId,
        by: By,
    ) -> Result<bool, SettingsError>;

    /// Notes that OpenRouter refused a key, and confirmed it, or that it took it after a refusal.
    /// Refusals within [`REFUSALS_APART`](crate::domain::openrouter_key::REFUSALS_APART) of each other are one; a success of before a refusal does
    /// not undo it. Nothing, if the key is no longer there.
    ///
    /// # Errors
    /// [`SettingsError::Full`], [`SettingsError::Broken`].
    async fn note_openrouter_key(
        &self,
        id: OpenRouterKeyId,
        note: KeyNote,
        at: Timestamp,
    ) -> Result<Option<KeyStatus>, SettingsError>;
}

/// What became of a key in a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyNote {
    /// It was refused, and OpenRouter has confirmed it.
    Refused,
    /// It was taken.
    Taken {
        /// When the generation began.
        since: Timestamp,
    },
}

/// An organization's own key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenRouterKey {
    /// Its id.
    pub id: OpenRouterKeyId,
    /// Whose it is.
    pub organization: OrganizationId,
    /// What generations made with it are known by: a keyed hash of it.
    pub fingerprint: String,
    /// What may be shown of it.
    pub masked: String,
    /// The key itself, sealed; `None` if it was given up, because nothing opened it any more.
    pub sealed: Option<Sealed>,
    /// Confirmed refusals since it was last taken.
    pub refusals: u32,
    /// When it was set.
    pub created: Timestamp,
    /// When OpenRouter last said whether it takes it.
    pub checked: Timestamp,
}

// === impl OpenRouterKey ===

impl OpenRouterKey {
    /// Whether it can be drawn with, as far as the books know: whether it opens, only whoever has the
    /// key-encryption key can tell.
    pub const fn status(&self) -> KeyStatus {
        if self.sealed.is_none() {
            return KeyStatus::Unreadable;
        }
        KeyStatus::after(self.refusals)
    }
}

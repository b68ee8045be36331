//! With whose key an organization draws. An organization that has a key of its own draws with that or
//! not at all: the platform's key is never used in its place (`domain.md` R10, `reliability.md`
//! row 27).

use std::sync::Arc;

use jiff::Timestamp;
use secrecy::SecretString;

use super::refusals::unsettled;
use crate::domain::failure::Failure;
use crate::domain::generation::KeyMode;
use crate::domain::ids::{OpenRouterKeyId, OrganizationId};
use crate::domain::openrouter_key::KeyStatus;
use crate::keys::{Keyring, Owner, Unopened, Vault};
use crate::ports::{
    Bill, DrawCause, DrawError, ImageProvider, KeyNote, OpenRouterKey, OpenRouterKeys, OwnKey,
    SettingsError, UpstreamKey,
};

/// What organizations' own keys are sealed for; changing it makes every key useless.
const PURPOSE: &str = "openrouter key";

/// Finds out with whose key an organization draws.
#[derive(Debug)]
pub struct Payers {
    keys: Arc<dyn OpenRouterKeys>,
    vault: Arc<Vault>,
    keyring: Arc<Keyring>,
    provider: Arc<dyn ImageProvider>,
}

/// Why an organization's own key is of no use.
#[derive(Debug)]
enum Useless {
    /// OpenRouter refuses it.
    Refused,
    /// It is the platform's.
    Platforms,
    /// It was given up, because nothing opened it.
    GivenUp,
    /// It does not open.
    Unopened(Unopened),
}

/// Why there is nothing to say of what a call cost.
#[derive(Debug, thiserror::Error)]
pub enum NoBill {
    /// The organization's own key that it was made with is deleted, replaced, unreadable, or known to
    /// be refused.
    #[error("the key that the call was made with is gone")]
    NoKey,
    /// Whether it is there cannot be read now.
    #[error("the key that the call was made with cannot be read now")]
    Keys(#[from] SettingsError),
    /// OpenRouter does not answer, or not in words that are understood.
    #[error(transparent)]
    Upstream(#[from] DrawError),
}

/// With whose key one generation is drawn, from its beginning to its end.
#[derive(Clone, Debug)]
pub struct Payer {
    /// The key.
    pub(super) key: UpstreamKey,
    /// By which bills are joined.
    pub(super) fingerprint: String,
    /// The organization's own key, with how often it was refused since it was last taken.
    own: Option<(OpenRouterKeyId, u32)>,
    /// When it was chosen: what a key is worth then says nothing about what it is worth later.
    since: Timestamp,
}

/// Whose secret a key is, in the vault.
pub fn owner<'a>(organization: &'a OrganizationId, id: &'a [u8]) -> Owner<'a> {
    Owner {
        purpose: PURPOSE,
        organization: organization.as_str(),
        id,
    }
}

// === impl Payers ===

impl Payers {
    /// Over these keys, which this vault opens and this keyring names.
    pub fn new(
        keys: Arc<dyn OpenRouterKeys>,
        vault: Arc<Vault>,
        keyring: Arc<Keyring>,
        provider: Arc<dyn ImageProvider>,
    ) -> Self {
        Self {
            keys,
            vault,
            keyring,
            provider,
        }
    }

    /// Who pays for what an organization draws now.
    ///
    /// # Errors
    /// `OPENROUTER_KEY_INVALID` if its own key is known to be refused, cannot be opened, or is the
    /// platform's.
    pub async fn of(&self, organization: &OrganizationId) -> Result<Payer, Failure> {
        let own = self.keys.openrouter_key(organization).await;
        let Some(own) = own.map_err(unsettled)? else {
            return Ok(Payer {
                fingerprint: self.provider.platform_fingerprint(),
                key: UpstreamKey::Platform,
                own: None,
                since: crate::clock::now(),
            });
        };
        let key = self.use_of(&own).map_err(|useless| useless.told(&own))?;
        Ok(Payer {
            key,
            fingerprint: own.fingerprint,
            own: Some((own.id, own.refusals)),
            since: crate::clock::now(),
        })
    }

    /// Whether an organization's own key can be drawn with: what [`of`](Self::of) would say now.
    pub fn status(&self, own: &OpenRouterKey) -> KeyStatus {
        match self.use_of(own) {
            Ok(_) => KeyStatus::Active,
            Err(Useless::Refused) => KeyStatus::Invalid,
            Err(Useless::Platforms) => KeyStatus::Platforms,
            Err(Useless::GivenUp | Useless::Unopened(_)) => KeyStatus::Unreadable,
        }
    }

    /// What a call cost, asked with the key that it was made with: the platform's, or the
    /// organization's own. No other stands in for it.
    ///
    /// # Errors
    /// [`NoBill`].
    pub async fn bill_of(
        &self,
        upstream_id: &str,
        own_key: Option<&OwnKey>,
    ) -> Result<Bill, NoBill> {
        let key = match own_key {
            None => UpstreamKey::Platform,
            Some(own) => self.still_there(own).await?.ok_or(NoBill::NoKey)?,
        };
        Ok(self.provider.bill_of(upstream_id, &key).await?)
    }

    /// The organization's own key that a call was made with, if it is still there to ask with: until it
    /// is deleted, replaced or unreadable, and as long as OpenRouter takes it.
    async fn still_there(&self, asked: &OwnKey) -> Result<Option<UpstreamKey>, SettingsError> {
        let own = self.keys.openrouter_key(&asked.organization).await?;
        let usable = own.filter(|own| own.status() == KeyStatus::Active);
        let Some(own) = usable else {
            return Ok(None);
        };
        let is_named = own.fingerprint == asked.fingerprint;
        // Under one pepper another fingerprint is another key. Only where there was another pepper can
        // it be the same one, set again since.
        if !is_named && !self.keyring.has_former() {
            return Ok(None);
        }
        let key = self.use_of(&own).ok();
        Ok(key.filter(|key| match key {
            UpstreamKey::Organization(secret) => {
                is_named || self.keyring.is_known_by(secret, &asked.fingerprint)
            }
            UpstreamKey::Platform => false,
        }))
    }

    /// What became of the key in a generation, for the next one: a refusal counts if OpenRouter
    /// confirms it, so that a hiccup there does not end a good key.
    pub(super) async fn note(self: Arc<Self>, payer: Payer, refused: bool) {
        let Some((id, refusals)) = payer.own else {
            return;
        };
        let note = if refused {
            let checked = self.provider.check_key(&payer.key).await;
            match checked.map_err(|error| error.cause) {
                Err(DrawCause::KeyRefused) => KeyNote::Refused,
                Ok(record) if record.has_expired(crate::clock::now()) => KeyNote::Refused,
                // It works, or nobody knows.
                _ => return,
            }
        } else if refusals == 0 {
            return;
        } else {
            KeyNote::Taken { since: payer.since }
        };
        let now = crate::clock::now();
        match self.keys.note_openrouter_key(id, note, now).await {
            Ok(Some(KeyStatus::Invalid)) if refused => {
                tracing::warn!(openrouter_key = %id, "OpenRouter refuses an organization's own key: it draws no more until it is replaced");
            }
            Ok(_) => {}
            Err(error) => {
                let _ = unsettled(error);
            }
        }
    }

    /// The key itself, unless nothing may be drawn with it.
    fn use_of(&self, own: &OpenRouterKey) -> Result<UpstreamKey, Useless> {
        let key = UpstreamKey::Organization(self.open(own)?);
        // The settings may have changed since it was set: the platform would pay for one credit.
        if self.provider.is_platforms(&key) {
            return Err(Useless::Platforms);
        }
        match KeyStatus::after(own.refusals) {
            KeyStatus::Active => Ok(key),
            KeyStatus::Invalid | KeyStatus::Platforms | KeyStatus::Unreadable => {
                Err(Useless::Refused)
            }
        }
    }

    fn open(&self, own: &OpenRouterKey) -> Result<SecretString, Useless> {
        let sealed = own.sealed.as_ref().ok_or(Useless::GivenUp)?;
        let id = own.id.uuid();
        let whose = owner(&own.organization, id.as_bytes());
        self.vault.open(whose, sealed).map_err(Useless::Unopened)
    }
}

// === impl Useless ===

impl Useless {
    /// To whoever asks for a picture; and to the operator, if it is the operator's to mend.
    fn told(self, own: &OpenRouterKey) -> Failure {
        let OpenRouterKey {
            id, organization, ..
        } = own;
        match self {
            Self::Refused => Failure::openrouter_key_refused(),
            Self::Platforms => {
                tracing::error!(%organization, "the organization's own OpenRouter key is the platform's: nothing is drawn with it");
                Failure::openrouter_key_is_platforms()
            }
            Self::GivenUp => Failure::openrouter_key_unreadable(),
            Self::Unopened(error) => {
                tracing::error!(openrouter_key = %id, %organization, %error, "an organization's own OpenRouter key cannot be opened: nothing is drawn with it");
                Failure::openrouter_key_unreadable()
            }
        }
    }
}

// === impl Payer ===

impl Payer {
    /// Whose key it is.
    pub(super) const fn mode(&self) -> KeyMode {
        self.key.mode()
    }
}

//! With whose key an organization draws. An organization that has a key of its own draws with that or
//! not at all: the platform's key is never used in its place (`domain.md` R10, `reliability.md`
//! row 27).

use std::sync::Arc;

use jiff::Timestamp;

use super::refusals::unsettled;
use crate::domain::failure::Failure;
use crate::domain::generation::KeyMode;
use crate::domain::ids::{OpenRouterKeyId, OrganizationId};
use crate::domain::openrouter_key::KeyStatus;
use crate::keys::{Owner, Vault};
use crate::ports::{
    Asking, Bill, DrawCause, DrawError, ImageProvider, KeyNote, OpenRouterKey, OpenRouterKeys,
    OwnKey, UpstreamKey,
};

/// What organizations' own keys are sealed for; changing it makes every key useless.
const PURPOSE: &str = "openrouter key";

/// Finds out with whose key an organization draws.
#[derive(Debug)]
pub struct Payers {
    keys: Arc<dyn OpenRouterKeys>,
    vault: Arc<Vault>,
    provider: Arc<dyn ImageProvider>,
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
    /// Over these keys, which this vault opens.
    pub fn new(
        keys: Arc<dyn OpenRouterKeys>,
        vault: Arc<Vault>,
        provider: Arc<dyn ImageProvider>,
    ) -> Self {
        Self {
            keys,
            vault,
            provider,
        }
    }

    /// Who pays for what an organization draws now.
    ///
    /// # Errors
    /// `OPENROUTER_KEY_INVALID` if its own key is known to be refused.
    pub async fn of(&self, organization: &OrganizationId) -> Result<Payer, Failure> {
        let own = self.keys.openrouter_key(organization).await;
        let Some(own) = own.map_err(unsettled)? else {
            let key = UpstreamKey::Platform;
            return Ok(Payer {
                fingerprint: self.provider.key_fingerprint(&key),
                key,
                own: None,
                since: crate::clock::now(),
            });
        };
        if own.status() == KeyStatus::Invalid {
            return Err(Failure::openrouter_key_invalid());
        }
        // The settings may have changed since it was set: the platform would pay for one credit.
        if own.fingerprint == self.provider.key_fingerprint(&UpstreamKey::Platform) {
            tracing::error!(%organization, "the organization's own OpenRouter key is the platform's: nothing is drawn with it");
            return Err(Failure::openrouter_key_invalid());
        }
        Ok(Payer {
            key: self.open(&own).ok_or_else(Failure::internal)?,
            fingerprint: own.fingerprint,
            own: Some((own.id, own.refusals)),
            since: crate::clock::now(),
        })
    }

    /// What a call cost, asked with the key that it was made with. If that is gone, nobody can be
    /// asked.
    ///
    /// # Errors
    /// As [`ImageProvider::bill_of`].
    pub async fn bill_of(&self, asking: &Asking) -> Result<Bill, DrawError> {
        let key = match &asking.own_key {
            None => Some(UpstreamKey::Platform),
            Some(own) => self.still_there(own).await,
        };
        match key {
            Some(key) => self.provider.bill_of(&asking.upstream_id, &key).await,
            None => Ok(Bill::NotFiled),
        }
    }

    /// The organization's own key that a call was made with, if it is still there to ask with.
    async fn still_there(&self, asked: &OwnKey) -> Option<UpstreamKey> {
        let own = self.keys.openrouter_key(&asked.organization).await.ok()??;
        if own.fingerprint != asked.fingerprint {
            return None;
        }
        self.open(&own)
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

    fn open(&self, own: &OpenRouterKey) -> Option<UpstreamKey> {
        let id = own.id.uuid();
        let opened = self
            .vault
            .open(owner(&own.organization, id.as_bytes()), &own.sealed);
        match opened {
            Ok(secret) => Some(UpstreamKey::Organization(secret)),
            Err(error) => {
                tracing::error!(openrouter_key = %own.id, %error, "an organization's own OpenRouter key cannot be opened");
                None
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

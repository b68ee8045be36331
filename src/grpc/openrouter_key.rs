//! An organization's own OpenRouter key: set, deleted, and what follows from it for prices and tools.

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use tonic::Request;
use uuid::Uuid;

use super::billing::organization_not_found;
use super::caller::Caller;
use super::organizations::refused;
use super::{Service, caller, read, write};
use crate::domain::failure::{Failure, Reason};
use crate::domain::generation::KeyMode;
use crate::domain::ids::{OpenRouterKeyId, OrganizationId};
use crate::domain::openrouter_key::{KeyStatus, check, mask};
use crate::domain::pricelist::PriceList;
use crate::generate::{owner, unsettled};
use crate::keys::ours::looks_ours;
use crate::ports::{DrawCause, DrawError, KeyRecord, OpenRouterKey, Organization, UpstreamKey};
use crate::proto;

impl Service {
    pub(super) async fn set_key(
        &self,
        request: Request<proto::SetOpenRouterKeyRequest>,
    ) -> Result<proto::Organization, Failure> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let secret = SecretString::from(request.key);
        let id = read::subject(&caller, &request.organization_id)?;
        check(secret.expose_secret()).map_err(|what| Failure::invalid("key", what))?;
        self.refuse_ours(secret.expose_secret())?;
        let organization = self.existing(&id).await?;
        let key = UpstreamKey::Organization(secret.clone());
        self.admit(&key).await?;
        let key_id = OpenRouterKeyId::from_uuid(Uuid::now_v7());
        let whose = key_id.uuid();
        let sealed = self
            .parts
            .vault
            .seal(owner(&id, whose.as_bytes()), &secret)
            .map_err(|_| Failure::internal())?;
        let by = caller.by();
        let own = OpenRouterKey {
            id: key_id,
            organization: id,
            fingerprint: self.parts.keyring.fingerprint(&secret),
            masked: mask(secret.expose_secret()),
            sealed: Some(sealed),
            refusals: 0,
            created: by.at,
            checked: by.at,
        };
        let keys = &self.parts.openrouter_keys;
        let set = keys.set_openrouter_key(own.clone(), by).await;
        set.map_err(refused)?;
        Ok(write::organization(
            &organization,
            Some((&own, KeyStatus::Active)),
        ))
    }

    pub(super) async fn delete_key(
        &self,
        request: Request<proto::DeleteOpenRouterKeyRequest>,
    ) -> Result<proto::Organization, Failure> {
        let caller = caller(&request)?;
        let id = read::subject(&caller, &request.get_ref().organization_id)?;
        let organization = self.existing(&id).await?;
        let keys = &self.parts.openrouter_keys;
        let deleted = keys.delete_openrouter_key(&id, caller.by()).await;
        deleted.map_err(refused)?;
        Ok(write::organization(&organization, None))
    }

    /// The organization's own key, if it has one.
    pub(super) async fn own_key(
        &self,
        organization: &OrganizationId,
    ) -> Result<Option<OpenRouterKey>, Failure> {
        let keys = &self.parts.openrouter_keys;
        keys.openrouter_key(organization).await.map_err(unsettled)
    }

    /// Whether an organization's own key can be drawn with.
    pub(super) fn key_status(&self, own: &OpenRouterKey) -> KeyStatus {
        self.parts.generator.payers().status(own)
    }

    /// Prices as the organization pays them, and whether its own key is in the way of its tools.
    pub(super) async fn prices_of(
        &self,
        organization: &OrganizationId,
    ) -> Result<(PriceList, KeyStatus), Failure> {
        let own = self.own_key(organization).await?;
        let list = self.parts.prices.current();
        Ok(match own {
            None => (list.with_key(KeyMode::Platform), KeyStatus::Active),
            Some(own) => (list.with_key(KeyMode::Organization), self.key_status(&own)),
        })
    }

    /// Prices as the caller pays them.
    pub(super) async fn prices_for(&self, caller: &Caller) -> Result<PriceList, Failure> {
        match caller {
            Caller::Organization { id, .. } => Ok(self.prices_of(id).await?.0),
            Caller::Operator => Ok(self.parts.prices.current().with_key(KeyMode::Platform)),
        }
    }

    pub(super) async fn existing(&self, id: &OrganizationId) -> Result<Organization, Failure> {
        let found = self.parts.settings.organization(id).await;
        found.map_err(unsettled)?.ok_or_else(organization_not_found)
    }

    /// Refuses a key of this gateway before it leaves the house: OpenRouter could act with it.
    fn refuse_ours(&self, key: &str) -> Result<(), Failure> {
        if looks_ours(key) || self.parts.keyring.is_operator(key) {
            let what = "is a key of this gateway; give one that was made at OpenRouter";
            return Err(Failure::invalid("key", what));
        }
        Ok(())
    }

    /// Asks OpenRouter whether it takes the key, before anything is kept.
    async fn admit(&self, key: &UpstreamKey) -> Result<(), Failure> {
        let provider = &self.parts.provider;
        if provider.is_platforms(key) {
            // One credit would be charged for what the platform pays.
            return Err(Failure::invalid("key", "is not the organization's own"));
        }
        let record = provider.check_key(key).await.map_err(unchecked)?;
        worthless(record, crate::clock::now()).map_or(Ok(()), Err)
    }
}

/// Why a key that OpenRouter knows is not kept: with what it says of it, every picture would fail.
fn worthless(record: KeyRecord, now: Timestamp) -> Option<Failure> {
    if record.manages {
        let what = "manages other keys and makes no images; make an API key at OpenRouter";
        return Some(Failure::invalid("key", what));
    }
    if let Some(at) = record.expires.filter(|_| record.has_expired(now)) {
        let message = format!(
            "This key stopped working at OpenRouter at {at}; nothing was changed. Make a new one there."
        );
        return Some(Failure::openrouter_key_invalid("expired", message));
    }
    record.is_used_up.then(|| {
        Failure::new(
            Reason::OpenrouterKeyOutOfCredit,
            "The limit of this key, or the budget it is under, is used up at OpenRouter; nothing was changed. Raise it there first, or wait until it is reset.",
        )
    })
}

/// Why a key is not kept.
fn unchecked(error: DrawError) -> Failure {
    let failure = match error.cause {
        DrawCause::KeyRefused => Failure::openrouter_key_invalid(
            "refused",
            "OpenRouter does not know this key; nothing was changed. Copy it once more, or make a new one at OpenRouter.",
        ),
        DrawCause::KeyOutOfCredit => Failure::new(
            Reason::OpenrouterKeyOutOfCredit,
            "This key has no credit or limit left at OpenRouter; nothing was changed. Add credit there first.",
        ),
        DrawCause::RateLimited | DrawCause::KeyRateLimited => Failure::new(
            Reason::UpstreamRateLimited,
            "OpenRouter is too busy to check the key; nothing was changed. Try again in a moment.",
        ),
        cause => {
            tracing::warn!(?cause, detail = error.detail, "a key could not be checked");
            Failure::new(
                Reason::UpstreamUnavailable,
                "OpenRouter cannot be asked about the key; nothing was changed. Try again later.",
            )
        }
    };
    match error.retry_after {
        Some(wait) => failure.retry_after(wait),
        None => failure,
    }
}

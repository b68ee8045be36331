//! Organizations, their keys and their tools.

use crate::domain::ids::AgentId;
use crate::domain::ids::ApiKeyId;
use crate::domain::ids::OrganizationId;
use crate::domain::ids::Slug;
use crate::domain::shape::{Resolution, words};
use crate::domain::tool::Tool;
use crate::domain::trail::By;
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use std::fmt;

/// Organizations, their keys and their tools.
///
/// # Contract
/// Every method returns after its change is durable, and whoever made it stands in the audit trail
/// of the organization in the same transaction: a change without its entry is never seen, nor an
/// entry without its change. What changes nothing has no entry. A key that is revoked changes
/// nothing any more ([`SettingsError::ActorEnded`]). Nothing of one organization is ever returned
/// for another.
#[async_trait]
pub trait Settings: fmt::Debug + Send + Sync {
    /// Adds an organization with an empty account.
    ///
    /// # Errors
    /// [`SettingsError::Exists`], [`SettingsError::Broken`].
    async fn create_organization(
        &self,
        organization: Organization,
        by: By,
    ) -> Result<(), SettingsError>;

    /// The organization, or nothing.
    ///
    /// # Errors
    /// [`SettingsError::Broken`].
    async fn organization(
        &self,
        id: &OrganizationId,
    ) -> Result<Option<Organization>, SettingsError>;

    /// Adds a key. Only its keyed hash is stored.
    ///
    /// # Errors
    /// [`SettingsError::NoOrganization`], [`SettingsError::Broken`].
    async fn create_api_key(&self, key: ApiKey, hash: KeyHash, by: By)
    -> Result<(), SettingsError>;

    /// The key with this public prefix and its keyed hash, or nothing. Keys that have ended are
    /// found like any other.
    ///
    /// # Errors
    /// [`SettingsError::Broken`].
    async fn api_key(&self, prefix: &str) -> Result<Option<(ApiKey, KeyHash)>, SettingsError>;

    /// The keys of an organization, those that have ended included, the newest first, after the
    /// one that was last seen; at most `limit`.
    ///
    /// # Errors
    /// [`SettingsError::NoOrganization`], [`SettingsError::Broken`].
    async fn api_keys(
        &self,
        organization: &OrganizationId,
        after: Option<ApiKeyId>,
        limit: u32,
    ) -> Result<Vec<ApiKey>, SettingsError>;

    /// Ends a key for good, unless its role is above `up_to`. Whoever ends it again is given it as
    /// it is.
    ///
    /// # Errors
    /// [`SettingsError::NoOrganization`], [`SettingsError::NoApiKey`], [`SettingsError::Above`],
    /// [`SettingsError::Full`], [`SettingsError::Broken`].
    async fn revoke_api_key(
        &self,
        organization: &OrganizationId,
        id: ApiKeyId,
        up_to: Role,
        by: By,
    ) -> Result<ApiKey, SettingsError>;

    /// Notes when keys were used. A key whose last use is noted keeps it for
    /// [`LAST_USED_EVERY`]: what is noted sooner is passed over.
    ///
    /// # Errors
    /// [`SettingsError::Full`], [`SettingsError::Broken`].
    async fn note_uses(&self, uses: Vec<(ApiKeyId, Timestamp)>) -> Result<(), SettingsError>;

    /// The tool of an agent, or nothing.
    ///
    /// # Errors
    /// [`SettingsError::Broken`].
    async fn tool(
        &self,
        organization: &OrganizationId,
        agent: &AgentId,
    ) -> Result<Option<Tool>, SettingsError>;

    /// Tools by agent id, behind the one that was last seen; at most `limit`.
    ///
    /// # Errors
    /// [`SettingsError::Broken`].
    async fn tools(
        &self,
        organization: &OrganizationId,
        filter: ToolFilter,
        after: Option<AgentId>,
        limit: u32,
    ) -> Result<Vec<Tool>, SettingsError>;

    /// Writes a tool whole if it is still as it was `before`; `None` is one that is not there.
    /// `false` if somebody else was faster: then nothing is written.
    ///
    /// # Errors
    /// [`SettingsError::NoOrganization`], [`SettingsError::Full`], [`SettingsError::Broken`].
    async fn save_tool(
        &self,
        organization: &OrganizationId,
        before: Option<Tool>,
        tool: Tool,
        by: By,
    ) -> Result<bool, SettingsError>;

    /// Deletes a tool, and nothing else: what its agent has made and consumed is history, and its
    /// limits go by that. `false` if there is none.
    ///
    /// # Errors
    /// [`SettingsError::Broken`].
    async fn delete_tool(
        &self,
        organization: &OrganizationId,
        agent: &AgentId,
        by: By,
    ) -> Result<bool, SettingsError>;

    /// The agents whose tool is switched on and has chosen this model and one of these sizes as its
    /// default.
    ///
    /// # Errors
    /// [`SettingsError::Broken`].
    async fn agents_enabled_with(
        &self,
        organization: &OrganizationId,
        (model, sizes): (&Slug, &[Resolution]),
        limit: u32,
    ) -> Result<Agents, SettingsError>;

    /// How many agents have chosen each model.
    ///
    /// # Errors
    /// [`SettingsError::Broken`].
    async fn agents_by_model(
        &self,
        organization: &OrganizationId,
    ) -> Result<Vec<(Slug, u32)>, SettingsError>;

    /// Whether the organization may use the model; `true` unless switched off.
    ///
    /// # Errors
    /// [`SettingsError::Broken`].
    async fn is_available(
        &self,
        organization: &OrganizationId,
        model: &Slug,
    ) -> Result<bool, SettingsError>;

    /// All models that the organization has switched off.
    ///
    /// # Errors
    /// [`SettingsError::Broken`].
    async fn unavailable_models(
        &self,
        organization: &OrganizationId,
    ) -> Result<Vec<Slug>, SettingsError>;

    /// Switches a model on or off for the organization. `false` if it was so already.
    ///
    /// # Errors
    /// [`SettingsError::NoOrganization`], [`SettingsError::Broken`].
    async fn set_available(
        &self,
        organization: &OrganizationId,
        model: &Slug,
        available: bool,
        by: By,
    ) -> Result<bool, SettingsError>;
}

/// How long the last use of a key is not noted again.
pub const LAST_USED_EVERY: SignedDuration = SignedDuration::from_secs(60);

/// Which tools; what is `None` does not narrow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolFilter {
    /// Those that have chosen this model.
    pub model: Option<Slug>,
    /// Those of this status.
    pub status: Option<StatusFilter>,
    /// Those that have chosen one of these sizes as their default.
    pub sizes: Option<Vec<Resolution>>,
}

/// What a tool's status follows from ([`Tool::status`]): models that can be used are those that the
/// catalog has, that make images and that the organization has not switched off, each with every
/// default size that it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatusFilter {
    /// Switched off.
    Disabled,
    /// Switched on, with one of these models, which are all that can be used.
    Ready(Vec<(Slug, Resolution)>),
    /// Switched on, with none of these models, which are all that can be used.
    NeedsConfiguration(Vec<(Slug, Resolution)>),
}

/// Some agents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agents {
    /// The first of them by id, as many as were asked for.
    pub first: Vec<AgentId>,
    /// How many there are in all.
    pub count: u32,
}

/// An organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// Its id.
    pub id: OrganizationId,
    /// Its display name.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
}

words! {
    /// What a key may do; each role includes the one before.
    Role {
        /// Agent runtimes: make and read images.
        Runtime = "runtime",
        /// Administrators: tools, models, balance, keys.
        Admin = "admin",
        /// Owners: everything, owner keys included.
        Owner = "owner",
    }
}

/// A key of an organization, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// Whose it is.
    pub organization: OrganizationId,
    /// What it is for, in the words of whoever made it.
    pub name: String,
    /// The public beginning of the key, unique.
    pub prefix: String,
    /// What it may do.
    pub role: Role,
    /// When it was made.
    pub created: Timestamp,
    /// When it stops working, if ever.
    pub expires: Option<Timestamp>,
    /// When it was last used, to about [`LAST_USED_EVERY`]; `None` if never.
    pub last_used: Option<Timestamp>,
    /// When it was revoked, if it was.
    pub revoked: Option<Timestamp>,
}

/// What is kept of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHash {
    /// The name of the pepper it was hashed with.
    pub pepper: [u8; 8],
    /// The keyed hash.
    pub mac: [u8; 32],
}

// === impl ApiKey ===

impl ApiKey {
    /// Whether it opens anything at this time.
    pub fn is_good(&self, now: Timestamp) -> bool {
        self.revoked.is_none() && self.expires.is_none_or(|expires| expires > now)
    }
}

/// Why a setting was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The id is taken.
    #[error("the organization exists already")]
    Exists,
    /// There is no such organization.
    #[error("the organization does not exist")]
    NoOrganization,
    /// The organization has no such key.
    #[error("the key does not exist")]
    NoApiKey,
    /// The key's role is above those that may be touched.
    #[error("the role of the key is too high")]
    Above,
    /// The key of whoever wants to change something was revoked meanwhile.
    #[error("the key of the actor has ended")]
    ActorEnded,
    /// The disk is full.
    #[error("the disk is full")]
    Full,
    /// The database failed, and nothing has changed.
    #[error("the database failed")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database failed when the change was to become durable: whether it did, nobody knows.
    #[error("the database failed, and the change stands or not")]
    Uncertain(#[source] Box<dyn std::error::Error + Send + Sync>),
}

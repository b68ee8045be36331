//! Organizations, their keys and their tools.

use crate::domain::ids::AgentId;
use crate::domain::ids::ApiKeyId;
use crate::domain::ids::OrganizationId;
use crate::domain::ids::Slug;
use crate::domain::tool::Tool;
use async_trait::async_trait;
use jiff::Timestamp;
use std::fmt;

/// Organizations, their keys and their tools.
///
/// # Contract
/// Every method returns after its change is durable. Nothing of one organization is ever returned
/// for another.
#[async_trait]
pub trait Settings: fmt::Debug + Send + Sync {
    /// Adds an organization with an empty account.
    ///
    /// # Errors
    /// [`SettingsError::Exists`], [`SettingsError::Broken`].
    async fn create_organization(&self, organization: Organization) -> Result<(), SettingsError>;

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
    async fn create_api_key(&self, key: ApiKey, mac: [u8; 32]) -> Result<(), SettingsError>;

    /// The key with this public prefix and its keyed hash, or nothing.
    ///
    /// # Errors
    /// [`SettingsError::Broken`].
    async fn api_key(&self, prefix: &str) -> Result<Option<(ApiKey, [u8; 32])>, SettingsError>;

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
    ) -> Result<bool, SettingsError>;

    /// The agents whose tool is switched on and has chosen this model.
    ///
    /// # Errors
    /// [`SettingsError::Broken`].
    async fn agents_enabled_with(
        &self,
        organization: &OrganizationId,
        model: &Slug,
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
    ) -> Result<bool, SettingsError>;
}

/// Which tools; what is `None` does not narrow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolFilter {
    /// Those that have chosen this model.
    pub model: Option<Slug>,
    /// Those of this status.
    pub status: Option<StatusFilter>,
}

/// What a tool's status follows from ([`Tool::status`]): models that can be used are those that the
/// catalog has, that make images and that the organization has not switched off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatusFilter {
    /// Switched off.
    Disabled,
    /// Switched on, with one of these models, which are all that can be used.
    Ready(Vec<Slug>),
    /// Switched on, with none of these models, which are all that can be used.
    NeedsConfiguration(Vec<Slug>),
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

/// What a key may do; each role includes the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Agent runtimes: make and read images.
    Runtime,
    /// Administrators: tools, models, balance, keys.
    Admin,
    /// Owners: everything, owner keys included.
    Owner,
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
    /// The disk is full.
    #[error("the disk is full")]
    Full,
    /// The database failed.
    #[error("the database failed")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

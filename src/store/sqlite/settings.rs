//! The port of organizations, keys, tools and availability.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::rows::{micros, time, word};
use super::{Sqlite, Trouble, api_keys, deeds, entries, tools, trail};
use crate::domain::ids::{AgentId, ApiKeyId, OrganizationId, Slug};
use crate::domain::shape::Resolution;
use crate::domain::tool::Tool;
use crate::domain::trail::By;
use crate::ports::{
    Agents, ApiKey, KeyHash, Organization, Role, Settings, SettingsError, ToolFilter,
};

#[async_trait]
impl Settings for Sqlite {
    async fn create_organization(
        &self,
        organization: Organization,
        by: By,
    ) -> Result<(), SettingsError> {
        self.write(move |connection| {
            let made = make_organization(connection, &organization, &by)?;
            made.then_some(()).ok_or(SettingsError::Exists)
        })
        .await
    }

    async fn organization(
        &self,
        id: &OrganizationId,
    ) -> Result<Option<Organization>, SettingsError> {
        let id = id.clone();
        self.read(move |connection| {
            let sql = "SELECT name, created_us FROM organization WHERE id = ?1";
            let mut statement = connection.prepare_cached(sql)?;
            let row = statement.query_row([id.as_str()], |row| {
                Ok(Organization {
                    id: id.clone(),
                    name: row.get(0)?,
                    created: time(row.get(1)?),
                })
            });
            Ok(row.optional()?)
        })
        .await
    }

    async fn create_api_key(
        &self,
        key: ApiKey,
        hash: KeyHash,
        by: By,
    ) -> Result<(), SettingsError> {
        self.write(move |connection| {
            require(connection, &key.organization)?;
            api_keys::create(connection, &key, &hash, &by)
        })
        .await
    }

    async fn api_key(&self, prefix: &str) -> Result<Option<(ApiKey, KeyHash)>, SettingsError> {
        let prefix = prefix.to_owned();
        self.read(move |connection| Ok(api_keys::by_prefix(connection, &prefix)?))
            .await
    }

    async fn api_keys(
        &self,
        organization: &OrganizationId,
        after: Option<ApiKeyId>,
        limit: u32,
    ) -> Result<Vec<ApiKey>, SettingsError> {
        let organization = organization.clone();
        self.look_back(move |connection| {
            require(connection, &organization)?;
            Ok(api_keys::page(connection, &organization, after, limit)?)
        })
        .await
    }

    async fn revoke_api_key(
        &self,
        organization: &OrganizationId,
        id: ApiKeyId,
        up_to: Role,
        by: By,
    ) -> Result<ApiKey, SettingsError> {
        let organization = organization.clone();
        self.write(move |connection| {
            require(connection, &organization)?;
            api_keys::revoke(connection, (&organization, id), up_to, &by)
        })
        .await
    }

    async fn note_uses(&self, uses: Vec<(ApiKeyId, Timestamp)>) -> Result<(), SettingsError> {
        self.write(move |connection| {
            for (id, at) in &uses {
                api_keys::note_use(connection, *id, *at)?;
            }
            Ok(())
        })
        .await
    }

    async fn tool(
        &self,
        organization: &OrganizationId,
        agent: &AgentId,
    ) -> Result<Option<Tool>, SettingsError> {
        let (organization, agent) = (organization.clone(), agent.clone());
        self.read(move |connection| Ok(tools::find(connection, &organization, &agent)?))
            .await
    }

    async fn tools(
        &self,
        organization: &OrganizationId,
        filter: ToolFilter,
        after: Option<AgentId>,
        limit: u32,
    ) -> Result<Vec<Tool>, SettingsError> {
        let organization = organization.clone();
        self.look_back(move |connection| {
            let page = tools::page_sql(&organization, &filter, after.as_ref(), limit);
            Ok(tools::page(connection, &page)?)
        })
        .await
    }

    async fn save_tool(
        &self,
        organization: &OrganizationId,
        before: Option<Tool>,
        tool: Tool,
        by: By,
    ) -> Result<bool, SettingsError> {
        let organization = organization.clone();
        self.write(move |connection| {
            require(connection, &organization)?;
            if tools::find(connection, &organization, &tool.agent)? != before {
                return Ok(false);
            }
            tools::save(connection, &organization, &tool)?;
            if let Some(deed) = deeds::tool_saved(before.as_ref(), &tool) {
                trail::append(connection, &organization, &by, &deed)?;
            }
            Ok(true)
        })
        .await
    }

    async fn delete_tool(
        &self,
        organization: &OrganizationId,
        agent: &AgentId,
        by: By,
    ) -> Result<bool, SettingsError> {
        let (organization, agent) = (organization.clone(), agent.clone());
        self.write(move |connection| {
            let Some(tool) = tools::find(connection, &organization, &agent)? else {
                return Ok(false);
            };
            tools::delete(connection, &organization, &agent)?;
            let deed = deeds::tool_deleted(&tool);
            trail::append(connection, &organization, &by, &deed)?;
            Ok(true)
        })
        .await
    }

    async fn agents_enabled_with(
        &self,
        organization: &OrganizationId,
        (model, sizes): (&Slug, &[Resolution]),
        limit: u32,
    ) -> Result<Agents, SettingsError> {
        let (organization, model) = (organization.clone(), model.clone());
        let sizes = sizes.to_vec();
        self.look_back(move |connection| {
            Ok(tools::enabled_with(
                connection,
                &organization,
                (&model, &sizes),
                limit,
            )?)
        })
        .await
    }

    async fn agents_by_model(
        &self,
        organization: &OrganizationId,
    ) -> Result<Vec<(Slug, u32)>, SettingsError> {
        let organization = organization.clone();
        self.read(move |connection| {
            let sql = "
              SELECT model, count(*) FROM tool WHERE organization = ?1 AND model IS NOT NULL GROUP BY model";
            let mut statement = connection.prepare_cached(sql)?;
            let counts = statement.query_map([organization.as_str()], |row| Ok((slug(row)?, row.get(1)?)))?;
            Ok(counts.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn is_available(
        &self,
        organization: &OrganizationId,
        model: &Slug,
    ) -> Result<bool, SettingsError> {
        let (organization, model) = (organization.clone(), model.clone());
        self.read(move |connection| {
            let sql = "SELECT count(*) = 0 FROM model_off WHERE organization = ?1 AND model = ?2";
            let mut statement = connection.prepare_cached(sql)?;
            Ok(statement.query_row([organization.as_str(), model.as_str()], |row| row.get(0))?)
        })
        .await
    }

    async fn unavailable_models(
        &self,
        organization: &OrganizationId,
    ) -> Result<Vec<Slug>, SettingsError> {
        let organization = organization.clone();
        self.read(move |connection| {
            let sql = "SELECT model FROM model_off WHERE organization = ?1 ORDER BY model";
            let mut statement = connection.prepare_cached(sql)?;
            let models = statement.query_map([organization.as_str()], slug)?;
            Ok(models.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn set_available(
        &self,
        organization: &OrganizationId,
        model: &Slug,
        available: bool,
        by: By,
    ) -> Result<bool, SettingsError> {
        let (organization, model) = (organization.clone(), model.clone());
        self.write(move |connection| {
            require(connection, &organization)?;
            let sql = if available {
                "DELETE FROM model_off WHERE organization = ?1 AND model = ?2"
            } else {
                "INSERT INTO model_off VALUES (?1, ?2) ON CONFLICT DO NOTHING"
            };
            let changed = connection.execute(sql, [organization.as_str(), model.as_str()])?;
            if changed > 0 {
                let deed = deeds::model_switched(&model, available);
                trail::append(connection, &organization, &by, &deed)?;
            }
            Ok(changed > 0)
        })
        .await
    }
}

/// Makes an organization, with an empty account and the first entry of its audit trail, and tells it
/// in the platform's; false if there is one with its id.
pub(super) fn make_organization(
    connection: &Connection,
    organization: &Organization,
    by: &By,
) -> Result<bool, Trouble> {
    let (id, created) = (&organization.id, organization.created);
    let sql = "INSERT INTO organization VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    let values = params![id.as_str(), organization.name, micros(created)];
    if connection.prepare_cached(sql)?.execute(values)? == 0 {
        return Ok(false);
    }
    entries::genesis(connection, id, created)?;
    let deed = deeds::organization_created(organization);
    trail::append(connection, id, by, &deed)?;
    trail::append_for_all(connection, by, &deed)?;
    Ok(true)
}

/// Every setting belongs to an organization that is there.
pub(super) fn require(
    connection: &Connection,
    organization: &OrganizationId,
) -> Result<(), SettingsError> {
    let sql = "SELECT 1 FROM organization WHERE id = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let there = statement.exists([organization.as_str()])?;
    there.then_some(()).ok_or(SettingsError::NoOrganization)
}

fn slug(row: &Row<'_>) -> Result<Slug, rusqlite::Error> {
    word(row, 0, |text| Slug::parse(text).ok())
}

impl From<Trouble> for SettingsError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Full => Self::Full,
            Trouble::ActorEnded => Self::ActorEnded,
            Trouble::Broken(error) => Self::Broken(error),
            Trouble::Uncertain(error) => Self::Uncertain(error),
        }
    }
}

impl From<rusqlite::Error> for SettingsError {
    fn from(error: rusqlite::Error) -> Self {
        Trouble::from(error).into()
    }
}

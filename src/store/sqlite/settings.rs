//! The port of organizations, keys, tools and availability.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::rows::{micros, time, uuid, word};
use super::{Sqlite, Trouble, entries, tools};
use crate::domain::ids::{AgentId, ApiKeyId, OrganizationId, Slug};
use crate::domain::tool::Tool;
use crate::ports::{Agents, ApiKey, Organization, Role, Settings, SettingsError, ToolFilter};

#[async_trait]
impl Settings for Sqlite {
    async fn create_organization(&self, organization: Organization) -> Result<(), SettingsError> {
        self.write(move |connection| {
            let sql = "INSERT INTO organization VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
            let values = params![
                organization.id.as_str(),
                organization.name,
                micros(organization.created)
            ];
            if connection.execute(sql, values)? == 0 {
                return Err(SettingsError::Exists);
            }
            Ok(entries::genesis(
                connection,
                &organization.id,
                organization.created,
            )?)
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

    async fn create_api_key(&self, key: ApiKey, mac: [u8; 32]) -> Result<(), SettingsError> {
        self.write(move |connection| {
            require(connection, &key.organization)?;
            let sql = "INSERT INTO api_key VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
            connection.execute(
                sql,
                params![
                    key.id.uuid().as_bytes().as_slice(),
                    key.organization.as_str(),
                    key.name,
                    key.prefix,
                    mac.as_slice(),
                    role_word(key.role),
                    micros(key.created),
                    key.expires.map(micros),
                ],
            )?;
            Ok(())
        })
        .await
    }

    async fn api_key(&self, prefix: &str) -> Result<Option<(ApiKey, [u8; 32])>, SettingsError> {
        let prefix = prefix.to_owned();
        self.read(move |connection| {
            let sql = "
              SELECT id, organization, name, prefix, role, created_us, expires_us, mac FROM api_key WHERE prefix = ?1";
            let mut statement = connection.prepare_cached(sql)?;
            Ok(statement.query_row([prefix], api_key).optional()?)
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
    ) -> Result<bool, SettingsError> {
        let organization = organization.clone();
        self.write(move |connection| {
            require(connection, &organization)?;
            if tools::find(connection, &organization, &tool.agent)? != before {
                return Ok(false);
            }
            tools::save(connection, &organization, &tool)?;
            Ok(true)
        })
        .await
    }

    async fn delete_tool(
        &self,
        organization: &OrganizationId,
        agent: &AgentId,
    ) -> Result<bool, SettingsError> {
        let (organization, agent) = (organization.clone(), agent.clone());
        self.write(move |connection| Ok(tools::delete(connection, &organization, &agent)?))
            .await
    }

    async fn agents_enabled_with(
        &self,
        organization: &OrganizationId,
        model: &Slug,
        limit: u32,
    ) -> Result<Agents, SettingsError> {
        let (organization, model) = (organization.clone(), model.clone());
        self.look_back(move |connection| {
            Ok(tools::enabled_with(
                connection,
                &organization,
                &model,
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
            Ok(changed > 0)
        })
        .await
    }
}

/// Every setting belongs to an organization that is there.
fn require(connection: &Connection, organization: &OrganizationId) -> Result<(), SettingsError> {
    let sql = "SELECT 1 FROM organization WHERE id = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let there = statement.exists([organization.as_str()])?;
    there.then_some(()).ok_or(SettingsError::NoOrganization)
}

fn api_key(row: &Row<'_>) -> Result<(ApiKey, [u8; 32]), rusqlite::Error> {
    let expires: Option<i64> = row.get(6)?;
    let key = ApiKey {
        id: ApiKeyId::from_uuid(uuid(row, 0)?),
        organization: word(row, 1, |text| OrganizationId::parse(text).ok())?,
        name: row.get(2)?,
        prefix: row.get(3)?,
        role: word(row, 4, role)?,
        created: time(row.get(5)?),
        expires: expires.map(time),
    };
    Ok((key, row.get(7)?))
}

fn slug(row: &Row<'_>) -> Result<Slug, rusqlite::Error> {
    word(row, 0, |text| Slug::parse(text).ok())
}

const fn role_word(role: Role) -> &'static str {
    match role {
        Role::Runtime => "runtime",
        Role::Admin => "admin",
        Role::Owner => "owner",
    }
}

fn role(word: &str) -> Option<Role> {
    [Role::Runtime, Role::Admin, Role::Owner]
        .into_iter()
        .find(|role| role_word(*role) == word)
}

impl From<Trouble> for SettingsError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Full => Self::Full,
            Trouble::Broken(error) => Self::Broken(error),
        }
    }
}

impl From<rusqlite::Error> for SettingsError {
    fn from(error: rusqlite::Error) -> Self {
        Trouble::from(error).into()
    }
}

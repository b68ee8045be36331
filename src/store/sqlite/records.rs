//! Pages of generations and of the ledger. Pages go by what was last seen, not by how many were
//! skipped: whatever is added meanwhile moves nothing.

use async_trait::async_trait;
use rusqlite::{Connection, params_from_iter};

use super::conditions::Conditions;
use super::{Sqlite, entries, rows, trail, usage};
use crate::domain::failure::Reason;
use crate::domain::generation::Generation;
use crate::domain::ids::{GenerationId, OrganizationId};
use crate::domain::trail::Trail;
use crate::ports::{
    AuditEntry, AuditFilter, EntryFilter, GenerationFilter, LedgerEntry, LedgerError, Records,
    Seen, Usage, UsageQuery,
};

#[async_trait]
impl Records for Sqlite {
    async fn generations(
        &self,
        organization: &OrganizationId,
        filter: GenerationFilter,
        after: Option<Seen>,
        limit: u32,
    ) -> Result<Vec<Generation>, LedgerError> {
        let organization = organization.clone();
        self.look_back(move |connection| {
            let page = of_generations(&organization, &filter, after);
            generations(connection, &page, limit)
        })
        .await
    }

    async fn entries(
        &self,
        organization: &OrganizationId,
        filter: EntryFilter,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<LedgerEntry>, LedgerError> {
        let organization = organization.clone();
        self.look_back(move |connection| {
            exists(connection, &organization)?;
            let page = of_entries(&organization, &filter, before);
            Ok(entries::page(connection, &page, limit)?)
        })
        .await
    }

    async fn usage(
        &self,
        organization: &OrganizationId,
        query: UsageQuery,
    ) -> Result<Usage, LedgerError> {
        let organization = organization.clone();
        self.look_back(move |connection| {
            exists(connection, &organization)?;
            Ok(usage::usage(connection, &organization, &query)?)
        })
        .await
    }

    async fn audit_entries(
        &self,
        trail: &Trail,
        filter: AuditFilter,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, LedgerError> {
        let of = trail.clone();
        self.look_back(move |connection| {
            if let Trail::Organization(id) = &of {
                exists(connection, id)?;
            }
            let page = trail::conditions(&of, &filter, before);
            Ok(trail::page(connection, &page, limit)?)
        })
        .await
    }
}

pub(super) fn of_generations(
    organization: &OrganizationId,
    filter: &GenerationFilter,
    after: Option<Seen>,
) -> Conditions {
    let mut all = Conditions::default();
    all.add("g.organization =", organization.to_string());
    if let Some(Seen { accepted, id }) = after {
        let (at, id) = (rows::micros(accepted), id.uuid().into_bytes());
        all.add_pair("(g.created_us, g.id) <", at, id);
    }
    if let Some(agent) = &filter.agent {
        all.add("g.agent =", agent.to_string());
    }
    if let Some(model) = &filter.model {
        all.add("g.model =", model.to_string());
    }
    if let Some(channel) = filter.channel {
        all.add("g.channel =", channel.as_str());
    }
    if !filter.stages.is_empty() {
        let stages: Vec<_> = filter.stages.iter().map(|stage| stage.as_str()).collect();
        all.add_own_words("s.state", &stages);
    }
    match filter.cancelled {
        Some(true) => all.add("s.reason =", Reason::GenerationCancelled.as_str()),
        Some(false) => all.add("s.reason <>", Reason::GenerationCancelled.as_str()),
        None => {}
    }
    all.add_period("g.created_us", filter.accepted);
    all
}

fn of_entries(
    organization: &OrganizationId,
    filter: &EntryFilter,
    before: Option<u64>,
) -> Conditions {
    let mut all = Conditions::default();
    all.add("organization =", organization.to_string());
    // The opening row has nothing to tell.
    all.add("seq >", 0);
    if let Some(seq) = before {
        all.add("seq <", i64::try_from(seq).unwrap_or(i64::MAX));
    }
    if let Some(kind) = filter.kind {
        all.add("kind =", kind.as_str());
    }
    if let Some(id) = filter.generation {
        all.add("generation =", id.uuid().into_bytes());
    }
    all.add_period("at_us", filter.booked);
    all
}

fn generations(
    connection: &Connection,
    page: &Conditions,
    limit: u32,
) -> Result<Vec<Generation>, LedgerError> {
    let sql = sql(page, limit);
    let mut statement = connection.prepare_cached(&sql)?;
    let ids = statement.query_map(params_from_iter(page.values()), |row| rows::uuid(row, 0))?;
    let ids: Vec<_> = ids.collect::<Result<_, _>>()?;
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        found.extend(rows::by_id(connection, GenerationId::from_uuid(id))?);
    }
    Ok(found)
}

pub(super) fn sql(page: &Conditions, limit: u32) -> String {
    format!(
        "SELECT g.id FROM generation g JOIN generation_state s ON s.generation = g.id
          WHERE {} ORDER BY g.created_us DESC, g.id DESC LIMIT {limit}",
        page.sql()
    )
}

fn exists(connection: &Connection, organization: &OrganizationId) -> Result<(), LedgerError> {
    let found = rows::account(connection, organization)?;
    found.map(drop).ok_or(LedgerError::OrganizationNotFound)
}

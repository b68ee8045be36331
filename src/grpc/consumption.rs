//! The ledger in pages, and what was consumed.

use tonic::Request;

use super::billing::ledger_failure;
use super::page::{Asked, Page};
use super::{Service, caller, read, write};
use crate::domain::books::EntryKind;
use crate::domain::failure::Failure;
use crate::domain::generation::{Channel, KeyMode};
use crate::domain::ids::{AgentId, GenerationId};
use crate::ports::{EntryFilter, UsageBy, UsageQuery, UsageRow};
use crate::proto;

impl Service {
    pub(super) async fn entries(
        &self,
        request: Request<proto::ListLedgerEntriesRequest>,
    ) -> Result<proto::ListLedgerEntriesResponse, Failure> {
        let organization = read::subject(&caller(&request)?, &request.get_ref().organization_id)?;
        let request = request.into_inner();
        let filter = entry_filter(&request)?;
        let asked = ("ListLedgerEntries", &organization, filter);
        let question = Asked::new(&self.parts.keyring, &asked);
        let mut page = Page::new(request.page_size)?;
        let before = question.place(&request.page_token)?.map(u64::from_be_bytes);
        let records = &self.parts.records;
        let found = records.entries(&organization, filter, before, page.wanted());
        let found = found.await.map_err(ledger_failure)?;
        let mut next_page_token = String::new();
        let mut last = 0;
        for entry in &found {
            if !page.add(write::ledger_entry(entry)) {
                next_page_token = question.token(&u64::to_be_bytes(last));
                break;
            }
            last = entry.sequence;
        }
        Ok(proto::ListLedgerEntriesResponse {
            entries: page.items,
            next_page_token,
        })
    }

    pub(super) async fn consumed(
        &self,
        request: Request<proto::QueryUsageRequest>,
    ) -> Result<proto::QueryUsageResponse, Failure> {
        let organization = read::subject(&caller(&request)?, &request.get_ref().organization_id)?;
        let query = usage_query(request.into_inner())?;
        let usage = self.parts.records.usage(&organization, query).await;
        let usage = usage.map_err(ledger_failure)?;
        Ok(proto::QueryUsageResponse {
            rows: usage.rows.iter().map(usage_row).collect(),
            other: usage.other.as_ref().map(usage_row),
            total: Some(usage_row(&usage.total)),
        })
    }
}

fn entry_filter(request: &proto::ListLedgerEntriesRequest) -> Result<EntryFilter, Failure> {
    use proto::LedgerEntryKind as Kind;
    let kind = match read::known("kind", request.kind)? {
        Kind::Unspecified => None,
        Kind::Purchase => Some(EntryKind::Purchase),
        Kind::Charge => Some(EntryKind::Charge),
        Kind::ChargeDebt => Some(EntryKind::ChargeDebt),
        Kind::DebtRepaid => Some(EntryKind::DebtRepaid),
        Kind::Refund => Some(EntryKind::Refund),
    };
    let generation = match request.generation_id.as_str() {
        "" => None,
        id => Some(GenerationId::parse(id).ok_or_else(|| {
            Failure::invalid("generation_id", "is not an id that this gateway makes")
        })?),
    };
    Ok(EntryFilter {
        kind,
        generation,
        booked: read::period(request.start_time.as_ref(), request.end_time.as_ref())?,
    })
}

fn usage_query(request: proto::QueryUsageRequest) -> Result<UsageQuery, Failure> {
    use proto::UsageGroup as Group;
    let by = match read::known("group_by", request.group_by)? {
        Group::Unspecified | Group::Day => UsageBy::Day,
        Group::Agent => UsageBy::Agent,
        Group::Model => UsageBy::Model,
        Group::Channel => UsageBy::Channel,
        Group::User => UsageBy::User,
    };
    let key_mode = match read::known("key_mode", request.key_mode)? {
        proto::KeyMode::Unspecified => None,
        proto::KeyMode::Platform => Some(KeyMode::Platform),
        proto::KeyMode::Organization => Some(KeyMode::Organization),
    };
    let agent = &request.agent_id;
    let channels: Vec<_> = Channel::ALL
        .iter()
        .map(|channel| channel.as_str())
        .collect();
    let accepted = format!("one of {}", channels.join(", "));
    Ok(UsageQuery {
        period: read::period(request.start_time.as_ref(), request.end_time.as_ref())?,
        by,
        agent: match agent.is_empty() {
            true => None,
            false => Some(read::name("agent_id", agent, AgentId::parse)?),
        },
        model: match request.model.is_empty() {
            true => None,
            false => Some(read::slug("model", &request.model)?),
        },
        channel: read::optional("channel", &request.channel, Channel::parse, &accepted)?,
        user: Some(read::text("user_id", request.user_id, 255)?).filter(|user| !user.is_empty()),
        key_mode,
    })
}

fn usage_row(row: &UsageRow) -> proto::UsageRow {
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    proto::UsageRow {
        key: row.key.clone(),
        generations: count(row.generations),
        images: count(row.images),
        credits: row.credits.to_string(),
        usd_cost: row.usd_cost.to_string(),
        own_usd_cost: row.own_usd_cost.to_string(),
        failed: count(row.failed),
    }
}

//! Who changed what, in pages.

use tonic::Request;

use super::caller::Caller;
use super::page::{Asked, Page};
use super::{Service, billing, caller, read, write};
use crate::domain::failure::Failure;
use crate::domain::ids::ApiKeyId;
use crate::domain::trail::{Action, Actor, Change, Trail};
use crate::ports::{ActorId, AuditEntry, AuditFilter};
use crate::proto;

/// Entries that are in memory at a time, with up to ten kilobytes of changes each.
const AT_A_TIME: u32 = 256;

/// The operator's name among actors.
pub(super) const OPERATOR: &str = "operator";

/// The gateway's own.
const GATEWAY: &str = "gateway";

impl Service {
    pub(super) async fn audit_entries(
        &self,
        request: Request<proto::ListAuditEntriesRequest>,
    ) -> Result<proto::ListAuditEntriesResponse, Failure> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let trail = match caller {
            Caller::Operator if request.organization_id.is_empty() => Trail::Platform,
            _ => Trail::Organization(read::subject(&caller, &request.organization_id)?),
        };
        let filter = filter(&request)?;
        let asked = ("ListAuditEntries", &trail, &filter);
        let question = Asked::new(&self.parts.keyring, &asked);
        let mut page = Page::new(request.page_size)?;
        let last = question.place(&request.page_token)?;
        let mut last = last.map(u64::from_be_bytes);
        let records = &self.parts.records;
        let more = 'filling: loop {
            let wanted = page.wanted().min(AT_A_TIME);
            let found = records.audit_entries(&trail, filter, last, wanted);
            let found = found.await.map_err(billing::ledger_failure)?;
            for entry in &found {
                if !page.add(shown(entry)) {
                    break 'filling true;
                }
                last = Some(entry.sequence);
            }
            if found.len() < usize::try_from(wanted).unwrap_or(usize::MAX) {
                break false;
            }
        };
        let last = last.filter(|_| more).map(u64::to_be_bytes);
        Ok(proto::ListAuditEntriesResponse {
            entries: page.items,
            next_page_token: last.map(|last| question.token(&last)).unwrap_or_default(),
        })
    }
}

fn filter(request: &proto::ListAuditEntriesRequest) -> Result<AuditFilter, Failure> {
    let actor = match request.actor.as_str() {
        "" => None,
        OPERATOR => Some(ActorId::Operator),
        GATEWAY => Some(ActorId::Gateway),
        id => {
            let what = "must be \"operator\", \"gateway\" or the id of a key";
            let id = ApiKeyId::parse(id).ok_or_else(|| Failure::invalid("actor", what))?;
            Some(ActorId::Key(id))
        }
    };
    Ok(AuditFilter {
        action: action(read::known("action", request.action)?),
        actor,
        done: read::period(request.start_time.as_ref(), request.end_time.as_ref())?,
    })
}

const fn action(wire: proto::AuditAction) -> Option<Action> {
    use proto::AuditAction as Wire;
    Some(match wire {
        Wire::Unspecified => return None,
        Wire::OrganizationCreated => Action::OrganizationCreated,
        Wire::ApiKeyCreated => Action::ApiKeyCreated,
        Wire::ApiKeyRevoked => Action::ApiKeyRevoked,
        Wire::ToolCreated => Action::ToolCreated,
        Wire::ToolUpdated => Action::ToolUpdated,
        Wire::ToolDeleted => Action::ToolDeleted,
        Wire::ModelAvailabilityChanged => Action::ModelAvailabilityChanged,
        Wire::CreditsAdded => Action::CreditsAdded,
        Wire::OpenrouterKeySet => Action::OpenrouterKeySet,
        Wire::OpenrouterKeyDeleted => Action::OpenrouterKeyDeleted,
        Wire::OpenrouterKeyStatusChanged => Action::OpenrouterKeyStatusChanged,
        Wire::ModelsSynced => Action::ModelsSynced,
        Wire::PriceConfirmed => Action::PriceConfirmed,
        Wire::EncryptionKeyReplaced => Action::EncryptionKeyReplaced,
        Wire::OperatorKeyChanged => Action::OperatorKeyChanged,
    })
}

const fn wire(action: Action) -> proto::AuditAction {
    use proto::AuditAction as Wire;
    match action {
        Action::OrganizationCreated => Wire::OrganizationCreated,
        Action::ApiKeyCreated => Wire::ApiKeyCreated,
        Action::ApiKeyRevoked => Wire::ApiKeyRevoked,
        Action::ToolCreated => Wire::ToolCreated,
        Action::ToolUpdated => Wire::ToolUpdated,
        Action::ToolDeleted => Wire::ToolDeleted,
        Action::ModelAvailabilityChanged => Wire::ModelAvailabilityChanged,
        Action::CreditsAdded => Wire::CreditsAdded,
        Action::OpenrouterKeySet => Wire::OpenrouterKeySet,
        Action::OpenrouterKeyDeleted => Wire::OpenrouterKeyDeleted,
        Action::OpenrouterKeyStatusChanged => Wire::OpenrouterKeyStatusChanged,
        Action::ModelsSynced => Wire::ModelsSynced,
        Action::PriceConfirmed => Wire::PriceConfirmed,
        Action::EncryptionKeyReplaced => Wire::EncryptionKeyReplaced,
        Action::OperatorKeyChanged => Wire::OperatorKeyChanged,
    }
}

fn shown(entry: &AuditEntry) -> proto::AuditEntry {
    let (actor, actor_prefix) = match &entry.by.actor {
        Actor::Operator => (OPERATOR.to_owned(), String::new()),
        Actor::Gateway => (GATEWAY.to_owned(), String::new()),
        Actor::Key { id, prefix } => (id.to_string(), prefix.clone()),
    };
    proto::AuditEntry {
        sequence: i64::try_from(entry.sequence).unwrap_or(i64::MAX),
        action: wire(entry.deed.action).into(),
        actor,
        actor_prefix,
        subject: entry.deed.subject.clone(),
        changes: entry.deed.changes.iter().map(change).collect(),
        create_time: Some(write::timestamp(entry.by.at)),
    }
}

fn change(change: &Change) -> proto::FieldChange {
    proto::FieldChange {
        field: change.field.clone(),
        old_value: change.old.clone(),
        new_value: change.new.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_deed_has_its_name_in_the_contract_and_is_found_by_it() {
        for deed in Action::ALL {
            let name = format!("AUDIT_ACTION_{}", deed.as_str().to_uppercase());
            assert_eq!(wire(*deed).as_str_name(), name);
            assert_eq!(action(wire(*deed)), Some(*deed));
        }
    }
}

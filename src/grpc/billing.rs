//! Balances and top-ups.

use tonic::{Request, Response, Status};

use super::{Service, caller, read, write};
use crate::domain::failure::{Failure, Reason};
use crate::domain::ids::{EntryId, Reference};
use crate::generate::internal;
use crate::ports::{LedgerError, Purchase};
use crate::proto;
use crate::proto::billing_service_server::BillingService;

#[tonic::async_trait]
impl BillingService for Service {
    async fn get_balance(
        &self,
        request: Request<proto::GetBalanceRequest>,
    ) -> Result<Response<proto::Balance>, Status> {
        self.answer("GetBalance", self.balance(request).await)
    }

    async fn list_ledger_entries(
        &self,
        request: Request<proto::ListLedgerEntriesRequest>,
    ) -> Result<Response<proto::ListLedgerEntriesResponse>, Status> {
        self.answer("ListLedgerEntries", self.entries(request).await)
    }

    async fn query_usage(
        &self,
        request: Request<proto::QueryUsageRequest>,
    ) -> Result<Response<proto::QueryUsageResponse>, Status> {
        self.answer("QueryUsage", self.consumed(request).await)
    }

    async fn add_credits(
        &self,
        request: Request<proto::AddCreditsRequest>,
    ) -> Result<Response<proto::AddCreditsResponse>, Status> {
        self.answer("AddCredits", self.purchase(request).await)
    }
}

impl Service {
    async fn balance(
        &self,
        request: Request<proto::GetBalanceRequest>,
    ) -> Result<proto::Balance, Failure> {
        let caller = caller(&request)?;
        let organization = read::subject(&caller, &request.get_ref().organization_id)?;
        let account = self
            .parts
            .ledger
            .account(&organization)
            .await
            .map_err(ledger_failure)?;
        Ok(write::balance(&organization, account))
    }

    async fn purchase(
        &self,
        request: Request<proto::AddCreditsRequest>,
    ) -> Result<proto::AddCreditsResponse, Failure> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let credits = read::credits("credits", &request.credits)?;
        let positive = credits.filter(|credits| credits.hundredths() > 0);
        let by = caller.by();
        let purchase = Purchase {
            id: EntryId::from_uuid(uuid::Uuid::now_v7()),
            organization: read::subject(&caller, &request.organization_id)?,
            credits: positive.ok_or_else(|| Failure::invalid("credits", "must be above zero"))?,
            reference: read::new_name("reference", &request.reference, Reference::parse)?,
            description: read::text("description", request.description, 1000)?,
            actor: by.actor,
            now: by.at,
        };
        let reference = purchase.reference.clone();
        let booked = self.parts.ledger.add_credits(purchase).await;
        let booked = booked.map_err(|error| match error {
            LedgerError::ReferenceConflict => {
                let what = "This reference was used before for another amount; take a new one.";
                Failure::new(Reason::IdempotencyConflict, what).with("reference", reference)
            }
            other => ledger_failure(other),
        })?;
        Ok(proto::AddCreditsResponse {
            entry: Some(write::ledger_entry(&booked.entry)),
            replayed: booked.replayed,
        })
    }
}

/// What a refusing ledger is to a caller who named an organization.
pub(super) fn ledger_failure(error: LedgerError) -> Failure {
    match error {
        LedgerError::OrganizationNotFound => organization_not_found(),
        LedgerError::OutOfRange => {
            Failure::invalid("credits", "would exceed what a balance can hold")
        }
        other => internal(other),
    }
}

/// Only an operator can meet this: a key's own organization exists.
pub(super) fn organization_not_found() -> Failure {
    let what = "There is no such organization; CreateOrganization makes one.";
    Failure::new(Reason::OrganizationNotFound, what)
}

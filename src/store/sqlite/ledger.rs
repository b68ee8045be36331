//! The port of the books, over the writer and the readers.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::Connection;

use super::{Sqlite, Trouble, audit, entries, hold, rows, steps};
use crate::domain::books::{Account, Stage};
use crate::domain::generation::{CallRecord, Generation};
use crate::domain::ids::{GenerationId, OrganizationId};
use crate::ports::{
    Delivery, HoldOutcome, Ledger, LedgerError, Opening, Purchase, Purchased, Settlement, Voiding,
    Which,
};

#[async_trait]
impl Ledger for Sqlite {
    async fn hold(&self, opening: Opening) -> Result<HoldOutcome, LedgerError> {
        self.write(move |connection| hold::open(connection, &opening))
            .await
    }

    async fn dispatch(&self, id: GenerationId, now: Timestamp) -> Result<(), LedgerError> {
        self.write(move |connection| steps::advance(connection, id, Stage::Dispatched, now))
            .await
    }

    async fn stream(
        &self,
        id: GenerationId,
        call: u32,
        upstream_id: Option<String>,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        self.write(move |connection| {
            steps::stream(connection, id, (call, upstream_id.as_deref()), now)
        })
        .await
    }

    async fn note(&self, id: GenerationId, call: CallRecord) -> Result<(), LedgerError> {
        self.write(move |connection| steps::note(connection, id, &call))
            .await
    }

    async fn store(&self, id: GenerationId, delivery: Delivery) -> Result<Generation, LedgerError> {
        self.write(move |connection| steps::store(connection, id, &delivery))
            .await
    }

    async fn settle(
        &self,
        id: GenerationId,
        settlement: Settlement,
    ) -> Result<Generation, LedgerError> {
        self.write(move |connection| steps::settle(connection, id, &settlement))
            .await
    }

    async fn void(&self, id: GenerationId, ending: Voiding) -> Result<Generation, LedgerError> {
        self.write(move |connection| steps::void(connection, id, &ending))
            .await
    }

    async fn doubt(&self, id: GenerationId, ending: Voiding) -> Result<Generation, LedgerError> {
        self.write(move |connection| steps::doubt(connection, id, &ending))
            .await
    }

    async fn cancel(&self, id: GenerationId, ending: Voiding) -> Result<Generation, LedgerError> {
        self.write(move |connection| steps::cancel(connection, id, &ending))
            .await
    }

    async fn add_credits(&self, purchase: Purchase) -> Result<Purchased, LedgerError> {
        self.write(move |connection| entries::purchase(connection, &purchase))
            .await
    }

    async fn account(&self, organization: &OrganizationId) -> Result<Account, LedgerError> {
        let organization = organization.clone();
        self.read(move |connection| {
            let found = rows::account(connection, &organization)?;
            found.ok_or(LedgerError::OrganizationNotFound)
        })
        .await
    }

    async fn generation(
        &self,
        organization: &OrganizationId,
        which: &Which,
    ) -> Result<Option<Generation>, LedgerError> {
        let (organization, which) = (organization.clone(), which.clone());
        self.read(move |connection| {
            Ok(match which {
                Which::Id(id) => rows::own_by_id(connection, &organization, id)?,
                Which::Request(request) => rows::by_request(connection, &organization, &request)?,
            })
        })
        .await
    }

    async fn writable(&self) -> Result<(), LedgerError> {
        // The version of the schema, as it is: one page, through the log and to the disk.
        let writer = &self.shared.writer;
        let rewrite = |connection: &Connection| {
            let version =
                connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))?;
            Ok(connection.pragma_update(None, "user_version", version)?)
        };
        writer.write(rewrite).await
    }

    fn is_failing(&self) -> bool {
        self.shared.health.is_failing()
    }

    async fn open_holds(&self) -> Result<u64, LedgerError> {
        self.glance(|connection| {
            let sql =
                "SELECT count(*) FROM generation_state WHERE state NOT IN ('settled', 'voided')";
            let count: i64 = connection
                .prepare_cached(sql)?
                .query_row([], |row| row.get(0))?;
            Ok(u64::try_from(count).unwrap_or(0))
        })
        .await
    }

    async fn audit(&self) -> Result<Vec<String>, LedgerError> {
        self.read(|connection| Ok(audit::audit(connection)?)).await
    }
}

impl From<Trouble> for LedgerError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Full => Self::Full,
            Trouble::ActorEnded => Self::ActorEnded,
            Trouble::Broken(error) => Self::Broken(error),
            Trouble::Uncertain(error) => Self::Uncertain(error),
        }
    }
}

impl From<rusqlite::Error> for LedgerError {
    fn from(error: rusqlite::Error) -> Self {
        Trouble::from(error).into()
    }
}

//! The books behind a trap, with a clock that can be set ahead.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use image_gateway::domain::books::Account;
use image_gateway::domain::generation::{CallRecord, Generation};
use image_gateway::domain::ids::{GenerationId, OrganizationId};
use image_gateway::ports::{
    Answer, Asking, Case, Delivery, Disagreement, Expired, HoldOutcome, Ledger, LedgerError,
    Opening, Purchase, Purchased, Settlement, Unchecked, Upkeep, Voiding, Which,
};
use image_gateway::store::sqlite::Sqlite;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

use super::trap::{Side, Trap};

/// The real books, crossed one call at a time.
#[derive(Debug)]
pub(crate) struct TrappedBooks {
    pub(crate) books: Sqlite,
    pub(crate) trap: Arc<Trap>,
    /// By how many seconds the recovery's time is ahead.
    pub(crate) ahead: AtomicI64,
    /// The recovery has looked at everything once.
    pub(crate) looked: Notify,
}

fn lost(side: Side) -> LedgerError {
    let error = Box::new(io::Error::other("lost"));
    match side {
        Side::Before => LedgerError::Broken(error),
        Side::After => LedgerError::Uncertain(error),
    }
}

impl TrappedBooks {
    fn ahead(&self) -> SignedDuration {
        SignedDuration::from_secs(self.ahead.load(Ordering::SeqCst))
    }
}

#[async_trait]
impl Ledger for TrappedBooks {
    async fn hold(&self, opening: Opening) -> Result<HoldOutcome, LedgerError> {
        let work = self.books.hold(opening);
        self.trap.cross("hold", lost, work).await
    }

    async fn dispatch(&self, id: GenerationId, now: Timestamp) -> Result<(), LedgerError> {
        let work = self.books.dispatch(id, now);
        self.trap.cross("dispatch", lost, work).await
    }

    async fn stream(
        &self,
        id: GenerationId,
        call: u32,
        upstream_id: Option<String>,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        let work = self.books.stream(id, call, upstream_id, now);
        self.trap.cross("stream", lost, work).await
    }

    async fn note(&self, id: GenerationId, call: CallRecord) -> Result<(), LedgerError> {
        let work = self.books.note(id, call);
        self.trap.cross("note", lost, work).await
    }

    async fn store(&self, id: GenerationId, delivery: Delivery) -> Result<Generation, LedgerError> {
        let work = self.books.store(id, delivery);
        self.trap.cross("store", lost, work).await
    }

    async fn settle(
        &self,
        id: GenerationId,
        settlement: Settlement,
    ) -> Result<Generation, LedgerError> {
        let work = self.books.settle(id, settlement);
        self.trap.cross("settle", lost, work).await
    }

    async fn void(&self, id: GenerationId, ending: Voiding) -> Result<Generation, LedgerError> {
        let work = self.books.void(id, ending);
        self.trap.cross("void", lost, work).await
    }

    async fn doubt(&self, id: GenerationId, ending: Voiding) -> Result<Generation, LedgerError> {
        let work = self.books.doubt(id, ending);
        self.trap.cross("doubt", lost, work).await
    }

    async fn cancel(&self, id: GenerationId, ending: Voiding) -> Result<Generation, LedgerError> {
        let work = self.books.cancel(id, ending);
        self.trap.cross("cancel", lost, work).await
    }

    async fn add_credits(&self, purchase: Purchase) -> Result<Purchased, LedgerError> {
        let work = self.books.add_credits(purchase);
        self.trap.cross("add_credits", lost, work).await
    }

    async fn account(&self, organization: &OrganizationId) -> Result<Account, LedgerError> {
        let work = self.books.account(organization);
        self.trap.cross("account", lost, work).await
    }

    async fn generation(
        &self,
        organization: &OrganizationId,
        which: &Which,
    ) -> Result<Option<Generation>, LedgerError> {
        let work = self.books.generation(organization, which);
        self.trap.cross("generation", lost, work).await
    }

    async fn writable(&self) -> Result<(), LedgerError> {
        let work = self.books.writable();
        self.trap.cross("writable", lost, work).await
    }

    fn is_failing(&self) -> bool {
        self.books.is_failing()
    }

    async fn open_holds(&self) -> Result<u64, LedgerError> {
        self.trap
            .cross("open_holds", lost, self.books.open_holds())
            .await
    }

    async fn audit(&self) -> Result<Vec<String>, LedgerError> {
        self.trap.cross("audit", lost, self.books.audit()).await
    }
}

#[async_trait]
impl Upkeep for TrappedBooks {
    async fn open(
        &self,
        after: Option<GenerationId>,
        limit: u32,
    ) -> Result<Vec<GenerationId>, LedgerError> {
        let work = self.books.open(after, limit);
        self.trap.cross("open", lost, work).await
    }

    async fn case(&self, id: GenerationId) -> Result<Option<Case>, LedgerError> {
        let work = async {
            let case = self.books.case(id).await?;
            Ok(case.map(|mut case| {
                // The clock is ahead: everything was longer ago.
                let draft = &mut case.generation.draft;
                draft.created -= self.ahead();
                draft.deadline -= self.ahead();
                case.since -= self.ahead();
                case
            }))
        };
        self.trap.cross("case", lost, work).await
    }

    async fn questions(&self, now: Timestamp, limit: u32) -> Result<Vec<Asking>, LedgerError> {
        let work = self.books.questions(now + self.ahead(), limit);
        self.trap.cross("questions", lost, work).await
    }

    async fn answer(
        &self,
        asking: &Asking,
        answer: Answer,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let work = self.books.answer(asking, answer, now + self.ahead());
        self.trap.cross("answer", lost, work).await
    }

    async fn unchecked(
        &self,
        before: Timestamp,
        now: Timestamp,
        limit: u32,
    ) -> Result<Option<Unchecked>, LedgerError> {
        let work = self
            .books
            .unchecked(before + self.ahead(), now + self.ahead(), limit);
        self.trap.cross("unchecked", lost, work).await
    }

    async fn checked(
        &self,
        through: GenerationId,
        found: Vec<Disagreement>,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let work = self.books.checked(through, found, now + self.ahead());
        self.trap.cross("checked", lost, work).await
    }

    async fn expired(&self, before: Timestamp, limit: u32) -> Result<Vec<Expired>, LedgerError> {
        let work = self.books.expired(before, limit);
        let found = self.trap.cross("expired", lost, work).await;
        // Asked last of all.
        self.looked.notify_one();
        found
    }

    async fn expire(&self, id: GenerationId, now: Timestamp) -> Result<(), LedgerError> {
        let work = self.books.expire(id, now);
        self.trap.cross("expire", lost, work).await
    }

    async fn review(&self, id: GenerationId, now: Timestamp) -> Result<(), LedgerError> {
        let work = self.books.review(id, now);
        self.trap.cross("review", lost, work).await
    }
}

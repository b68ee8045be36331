//! The port of the recovery, over the writer and the readers.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{Sqlite, calls, cases, checks, steps};
use crate::domain::books::Stage;
use crate::domain::ids::GenerationId;
use crate::ports::{Answer, Asking, Case, Disagreement, Expired, LedgerError, Unchecked, Upkeep};

#[async_trait]
impl Upkeep for Sqlite {
    async fn open(
        &self,
        after: Option<GenerationId>,
        limit: u32,
    ) -> Result<Vec<GenerationId>, LedgerError> {
        self.read(move |connection| cases::open(connection, after, limit))
            .await
    }

    async fn case(&self, id: GenerationId) -> Result<Option<Case>, LedgerError> {
        self.read(move |connection| cases::case(connection, id))
            .await
    }

    async fn questions(&self, now: Timestamp, limit: u32) -> Result<Vec<Asking>, LedgerError> {
        self.read(move |connection| calls::due(connection, now, limit))
            .await
    }

    async fn answer(
        &self,
        asking: &Asking,
        answer: Answer,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let asking = asking.clone();
        self.write(move |connection| calls::answer(connection, &asking, answer, now))
            .await
    }

    async fn unchecked(
        &self,
        before: Timestamp,
        now: Timestamp,
        limit: u32,
    ) -> Result<Option<Unchecked>, LedgerError> {
        self.read(move |connection| checks::unchecked(connection, (before, now), limit))
            .await
    }

    async fn checked(
        &self,
        through: GenerationId,
        found: Vec<Disagreement>,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        self.write(move |connection| checks::checked(connection, through, &found, now))
            .await
    }

    async fn expired(&self, before: Timestamp, limit: u32) -> Result<Vec<Expired>, LedgerError> {
        self.read(move |connection| cases::expired(connection, before, limit))
            .await
    }

    async fn expire(&self, id: GenerationId, now: Timestamp) -> Result<(), LedgerError> {
        self.write(move |connection| cases::expire(connection, id, now))
            .await
    }

    async fn review(&self, id: GenerationId, now: Timestamp) -> Result<(), LedgerError> {
        self.write(move |connection| steps::advance(connection, id, Stage::Review, now))
            .await
    }
}

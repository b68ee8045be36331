//! Looking at a generation that was begun before: from its beginning while it runs, again when it is
//! done, and taking it back while nothing has been sent.

use std::sync::Arc;

use super::Generator;
use super::refusals::{cancelled, internal, not_found};
use crate::domain::books::Stage;
use crate::domain::failure::Failure;
use crate::domain::generation::Generation;
use crate::domain::ids::{GenerationId, OrganizationId};
use crate::live::Registry;
use crate::ports::{Voiding, Which};
use crate::watch::Watch;

impl Generator {
    /// Those that run in this process: nobody else may touch them.
    pub const fn running(&self) -> &Registry {
        &self.registry
    }

    /// A generation as its caller sees it: what has arrived so far and then live, or all of it
    /// again.
    ///
    /// # Errors
    /// `GENERATION_NOT_FOUND`, or the failure it ended with.
    pub async fn watch(
        &self,
        organization: &OrganizationId,
        which: &Which,
    ) -> Result<Watch, Failure> {
        let found = self.find(organization, which).await?;
        self.attach(found)
    }

    /// Takes a generation back if nothing has been sent yet; otherwise it goes on, because
    /// OpenRouter bills it anyway, and is charged (`api.md`, CancelGeneration). Returns it as it
    /// stands.
    ///
    /// # Errors
    /// `GENERATION_NOT_FOUND`.
    pub async fn cancel(
        &self,
        organization: &OrganizationId,
        which: &Which,
    ) -> Result<Generation, Failure> {
        let id: GenerationId = self.find(organization, which).await?.draft.id;
        let ending = Voiding {
            failure: cancelled(id),
            calls: Vec::new(),
            now: crate::clock::now(),
        };
        self.parts.ledger.cancel(id, ending).await.map_err(internal)
    }

    async fn find(
        &self,
        organization: &OrganizationId,
        which: &Which,
    ) -> Result<Generation, Failure> {
        let ledger = &self.parts.ledger;
        let found = ledger.generation(organization, which).await;
        found.map_err(internal)?.ok_or_else(not_found)
    }

    /// What there is to see of it.
    pub(super) fn attach(&self, found: Generation) -> Result<Watch, Failure> {
        let gallery = Arc::clone(&self.parts.gallery);
        if let Some(live) = self.registry.find(found.draft.id) {
            return Ok(Watch::running(live));
        }
        match (found.stage, &found.failure) {
            (Stage::Voided, Some(failure)) => Err(failure.clone()),
            (Stage::Voided, None) => Err(Failure::internal()),
            (Stage::Stored | Stage::Settled, _) => Ok(Watch::done(found, gallery)),
            _ => Ok(Watch::waiting(
                found,
                Arc::clone(&self.parts.ledger),
                gallery,
            )),
        }
    }
}

//! The end of a generation: what came is charged, once, or the hold is released.

use std::time::Duration;

use tokio::time::Instant;

use super::draw::{CallFailure, CallOutcome};
use super::{Generator, Held, internal};
use crate::domain::books::Stage;
use crate::domain::delivery::{CallCost, Verdict, measured_adjustments, verdict};
use crate::domain::failure::{Failure, Reason};
use crate::domain::generation::{CostSource, Generation, StoredImage};
use crate::domain::money::{UsdCost, sum_costs};
use crate::ports::{Billed, DrawCause, LedgerError, Settlement, Voiding};

/// Waits before the books are asked again to end a generation: its images are stored, and must not
/// be lost because a disk was busy for a moment.
const SETTLE_WAITS: [Duration; 5] = [
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// So many characters in common with the prompt are no accident.
const QUOTE_CHARS: usize = 16;

impl Generator {
    /// The whole of a generation after its hold: dispatch, draw, settle or void.
    pub(super) async fn draw_and_settle(&self, held: &Held) -> Result<Generation, Failure> {
        let begun = held.live.started();
        if let Err(error) = self
            .parts
            .ledger
            .dispatch(held.draft.id, crate::clock::now())
            .await
        {
            // Nothing has left: this is surely not billed.
            let failure = internal(error);
            return Err(self.void(held, failure, None).await);
        }
        held.live
            .update(|progress| progress.stage = Stage::Dispatched);
        let sent = Instant::now();
        let outcomes = self.draw_all(held).await;
        let drawn = Instant::now();
        let last = outcomes.iter().filter_map(|outcome| outcome.answered).max();
        let answered = last.unwrap_or(drawn);
        let result = if outcomes.iter().all(|outcome| outcome.images.is_empty()) {
            Err(self.give_up(held, &outcomes).await)
        } else {
            self.settle(held, outcomes).await
        };
        let own = (sent - begun) + drawn.elapsed();
        self.parts.metrics.generation_finished(own, answered - sent);
        result
    }

    async fn settle(&self, held: &Held, outcomes: Vec<CallOutcome>) -> Result<Generation, Failure> {
        for failure in outcomes
            .iter()
            .filter_map(|outcome| outcome.failure.as_ref())
        {
            log_part(held, failure);
        }
        let absorbed = absorbed(&outcomes);
        let paid = outcomes.iter().filter(|outcome| !outcome.images.is_empty());
        let paid: Vec<CallCost> = paid.map(|outcome| outcome.cost.clone()).collect();
        let mut images: Vec<StoredImage> = Vec::new();
        let mut text = String::new();
        for outcome in outcomes {
            images.extend(outcome.images);
            text.push_str(&outcome.text);
        }
        images.sort_by_key(|image| image.index);
        let Verdict { charge, disputed } = verdict(&held.job, held.draft.key_mode, &images, &paid);
        if let Some(claimed) = disputed {
            tracing::error!(
                generation = %held.draft.id, claimed_usd = %claimed, charged = %charge.credits,
                "upstream claims an unbelievable cost; settled at the hold"
            );
        }
        if charge.cost_source != CostSource::Usage {
            self.parts.metrics.cost_unknown(charge.cost_source);
        }
        let mut adjustments = held.draft.adjustments.clone();
        adjustments.extend(measured_adjustments(&held.job, &images));
        let bytes = images.iter().map(|image| image.size_bytes).sum();
        let settlement = Settlement {
            images,
            text,
            adjustments,
            charge,
            absorbed,
            disputed,
            now: crate::clock::now(),
        };
        let credits = settlement.charge.credits;
        let generation = self.book(held, settlement).await?;
        let delivered = u32::try_from(generation.images.len()).unwrap_or(u32::MAX);
        self.parts.metrics.images_settled(delivered, bytes, credits);
        Ok(generation)
    }

    /// Books a settlement; a database that fails for a moment is asked again.
    async fn book(&self, held: &Held, settlement: Settlement) -> Result<Generation, Failure> {
        let mut waits = SETTLE_WAITS.into_iter();
        loop {
            let attempt = self
                .parts
                .ledger
                .settle(held.draft.id, settlement.clone())
                .await;
            match (attempt, waits.next()) {
                (Ok(generation), _) => return Ok(generation),
                (Err(LedgerError::Broken(_) | LedgerError::Full), Some(wait)) => {
                    tokio::time::sleep(wait).await;
                }
                (Err(error), _) => {
                    // Whatever the cause, the images are there and their charge is not decided.
                    let _ = internal(error);
                    return Err(Failure::internal());
                }
            }
        }
    }

    /// No picture at all: releases the hold, and says why.
    async fn give_up(&self, held: &Held, outcomes: &[CallOutcome]) -> Failure {
        let failures = outcomes
            .iter()
            .filter_map(|outcome| outcome.failure.as_ref());
        for failure in failures.clone() {
            log_part(held, failure);
        }
        let told = failures.max_by_key(|failure| failure.weight());
        let failure = match told {
            Some(failure) => failure.to_failure(held),
            None => no_image(outcomes),
        };
        let absorbed = absorbed(outcomes);
        self.void(held, failure, absorbed).await
    }

    /// Releases the hold. What the caller is told does not depend on whether the books can be
    /// written now: an open hold is freed later, and nothing was charged.
    pub(super) async fn void(
        &self,
        held: &Held,
        failure: Failure,
        absorbed: Option<UsdCost>,
    ) -> Failure {
        let ending = Voiding {
            failure: failure.clone(),
            absorbed,
            now: crate::clock::now(),
        };
        let mut waits = SETTLE_WAITS.into_iter();
        loop {
            let attempt = self.parts.ledger.void(held.draft.id, ending.clone()).await;
            match (attempt, waits.next()) {
                (Ok(_), _) => return failure,
                (Err(LedgerError::Broken(_) | LedgerError::Full), Some(wait)) => {
                    tokio::time::sleep(wait).await;
                }
                (Err(error), _) => {
                    tracing::error!(
                        generation = %held.draft.id,
                        error = &error as &dyn std::error::Error,
                        "a hold could not be released"
                    );
                    return failure;
                }
            }
        }
    }
}

/// What is known to be billed for calls that brought no picture: users buy pictures, so it is the
/// platform's loss (`domain.md` C12).
fn absorbed(outcomes: &[CallOutcome]) -> Option<UsdCost> {
    let empty = outcomes.iter().filter(|outcome| outcome.images.is_empty());
    let known = empty.filter_map(|outcome| outcome.cost.known);
    sum_costs(known.map(|(cost, _)| cost)).filter(|cost| *cost > UsdCost::ZERO)
}

/// A complete answer without a picture; what the model said instead is kept for an administrator.
fn no_image(outcomes: &[CallOutcome]) -> Failure {
    let said: String = outcomes
        .iter()
        .map(|outcome| outcome.text.as_str())
        .collect();
    let said: String = said.chars().take(500).collect();
    let failure = Failure::new(
        Reason::NoImageReturned,
        "The model answered without an image; rephrase the prompt or try once more.",
    );
    if said.is_empty() {
        failure
    } else {
        failure.with("model_said", said)
    }
}

fn log_part(held: &Held, failure: &CallFailure) {
    let (generation, model) = (held.draft.id, &held.draft.model);
    match failure {
        CallFailure::Draw(error) => {
            let cause = error.cause;
            let detail = without_prompt(&error.detail, &held.draft.prompt);
            if cause == DrawCause::OursToMend {
                tracing::error!(%generation, %model, detail, "upstream refuses the platform: mend the key or its credit");
            } else {
                let perhaps_billed = error.billed == Billed::Perhaps;
                tracing::warn!(%generation, %model, ?cause, detail, perhaps_billed, "an upstream call failed");
            }
        }
        CallFailure::Keep(error) => {
            tracing::warn!(%generation, %model, %error, "an image was not kept");
        }
    }
}

/// Upstream's words, unless they quote the prompt: prompts are never logged.
fn without_prompt<'a>(detail: &'a str, prompt: &str) -> &'a str {
    let characters: Vec<(usize, char)> = detail.char_indices().collect();
    let end = |index: usize| characters.get(index).map_or(detail.len(), |(at, _)| *at);
    let run = QUOTE_CHARS.min(prompt.chars().count());
    let last = (characters.len() + 1).saturating_sub(run);
    let quotes = (0..last).any(|start| prompt.contains(&detail[end(start)..end(start + run)]));
    if quotes {
        "(withheld: it quotes the prompt)"
    } else {
        detail
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_quote_the_prompt_are_withheld() {
        let prompt = "a portrait of somebody nobody may know about";
        for quoting in [
            "HTTP 400: cannot draw a portrait of somebody nobody may know about",
            "HTTP 403: flagged: ortrait of somebody nob",
        ] {
            assert!(without_prompt(quoting, prompt).starts_with("(withheld"));
        }
        for harmless in ["HTTP 502: Provider returned error", "", "a portrait"] {
            assert_eq!(without_prompt(harmless, prompt), harmless);
        }
        assert!(without_prompt("cannot draw ☃☃", "☃☃").starts_with("(withheld"));
    }
}

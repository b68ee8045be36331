//! The end of a generation: what came is charged, once, or the hold is released.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::outcome::{CallFailure, CallOutcome};
use super::record::stored;
use super::refusals::cancelled;
use super::{Generator, Held, internal};
use crate::crash::step;
use crate::domain::books::Stage;
use crate::domain::delivery::{Verdict, measured_adjustments, verdict};
use crate::domain::failure::{Failure, Reason};
use crate::domain::generation::{CallRecord, CostSource, Generation, KeyMode, StoredImage};
use crate::domain::job::Job;
use crate::domain::money::{Credits, UsdCost};
use crate::domain::shape::Resolution;
use crate::ports::{Billed, Delivery, DrawCause, LedgerError, Settlement, Voiding};

/// Waits before the books are asked again to end a generation: its images are stored, and must not
/// be lost because a disk was busy for a moment.
const SETTLE_WAITS: [Duration; 5] = [
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// How a generation has ended for its caller.
pub(super) struct Ended {
    /// What is told.
    pub(super) told: Result<Box<Generation>, Failure>,
    /// What the books do not have yet, because they do not work. Pictures are durable: they are
    /// delivered as stored, and booked when the books work again (`reliability.md` row 62).
    pub(super) later: Option<Unbooked>,
}

/// What the books are still to be told.
pub(super) enum Unbooked {
    /// What came, and is charged.
    Settlement(Box<Settlement>),
    /// Nothing came. The reason is the one that the caller was told.
    Nothing(Stage, Voiding),
}

impl Generator {
    /// The whole of a generation after its hold: dispatch, draw, settle or void.
    pub(super) async fn draw_and_settle(&self, held: &Held) -> Ended {
        let begun = held.live.started();
        let dispatched = self
            .parts
            .ledger
            .dispatch(held.draft.id, crate::clock::now());
        if let Err(error) = step("dispatch", dispatched).await {
            return step("undispatched", self.undispatched(held, error)).await;
        }
        held.live
            .update(|progress| progress.stage = Stage::Dispatched);
        let sent = Instant::now();
        let outcomes = step("draw", self.draw_all(held)).await;
        let drawn = Instant::now();
        let last = outcomes.iter().filter_map(|outcome| outcome.answered).max();
        let answered = last.unwrap_or(drawn);
        for failure in outcomes
            .iter()
            .filter_map(|outcome| outcome.failure.as_ref())
        {
            log_part(held, failure);
        }
        self.note_payer(held, &outcomes);
        let result = if outcomes.iter().all(|outcome| outcome.images.is_empty()) {
            step("give_up", self.give_up(held, &outcomes)).await
        } else {
            step("deliver", self.deliver(held, outcomes)).await
        };
        let own = (sent - begun) + drawn.elapsed();
        self.parts.metrics.generation_finished(own, answered - sent);
        result
    }

    /// Keeps in mind whether the organization's own key is still taken; nobody waits for that.
    fn note_payer(&self, held: &Held, outcomes: &[CallOutcome]) {
        let refused = outcomes.iter().any(CallOutcome::key_was_refused);
        let taken = outcomes.iter().any(|outcome| !outcome.images.is_empty());
        if held.payer.mode() == KeyMode::Platform || !(refused || taken) {
            return;
        }
        let payers = Arc::clone(&self.parts.payers);
        let noted = payers.note(held.payer.clone(), refused);
        self.parts.tracker.spawn(noted);
    }

    /// Nothing has left, so this is surely not billed: the hold is released, unless somebody has
    /// done so already by cancelling.
    async fn undispatched(&self, held: &Held, error: LedgerError) -> Ended {
        if let LedgerError::IllegalStep {
            from: Some(Stage::Voided),
            ..
        } = error
        {
            return Ended::without(cancelled(held.draft.id));
        }
        let voided = self.end_without(held, Stage::Voided, internal(error), Vec::new());
        step("void_unsent", voided).await
    }

    /// Books what came: charged at once, or stored while OpenRouter is still asked for the cost.
    async fn deliver(&self, held: &Held, outcomes: Vec<CallOutcome>) -> Ended {
        let delivery = delivery(held, outcomes);
        let verdict = verdict(&held.draft, &delivery.images, &delivery.calls);
        // With the organization's own key the charge does not go by the cost.
        let by_cost = held.payer.mode() == KeyMode::Platform;
        let waits =
            |call: &CallRecord| by_cost && call.is_open_question() && !call.images.is_empty();
        let settlement = self.settlement(held, delivery, verdict);
        let end = if settlement.delivery.calls.iter().any(waits) {
            End::Store
        } else {
            End::Settle
        };
        step("book", self.book(held, settlement, end)).await
    }

    fn settlement(&self, held: &Held, delivery: Delivery, verdict: Verdict) -> Box<Settlement> {
        let Verdict { charge, disputed } = verdict;
        if let Some(claimed) = disputed {
            tracing::error!(
                generation = %held.draft.id, claimed_usd = %claimed, charged = %charge.credits,
                "upstream claims an unbelievable cost; settled at the hold"
            );
        }
        if charge.cost_source != CostSource::Usage {
            self.parts.metrics.cost_unknown(charge.cost_source);
        }
        if charge.cost == UsdCost::ZERO && costs(&held.job) {
            self.parts.metrics.images_free(charge.images);
            tracing::warn!(
                generation = %held.draft.id, model = %held.draft.model,
                "upstream says that pictures of a model with a price cost nothing"
            );
        }
        Box::new(Settlement {
            delivery,
            charge,
            disputed,
        })
    }

    /// Books an end; a database that fails for a moment is asked again.
    async fn book(&self, held: &Held, settlement: Box<Settlement>, end: End) -> Ended {
        let mut waits = SETTLE_WAITS.into_iter();
        loop {
            let attempt = step("settle", self.try_to_book(held, &settlement, end)).await;
            match (attempt, waits.next()) {
                (Ok(generation), _) => {
                    self.count(&generation);
                    return Ended {
                        told: Ok(Box::new(generation)),
                        later: None,
                    };
                }
                (Err(error), Some(wait)) if error.may_pass() => {
                    step("wait_to_settle", tokio::time::sleep(wait)).await;
                }
                (Err(error), _) => {
                    // Whatever the cause, the images are there: they are delivered.
                    let _ = internal(error);
                    return Ended {
                        told: Ok(Box::new(stored(&held.draft, &settlement))),
                        later: Some(Unbooked::Settlement(settlement)),
                    };
                }
            }
        }
    }

    pub(super) async fn try_to_book(
        &self,
        held: &Held,
        settlement: &Settlement,
        end: End,
    ) -> Result<Generation, LedgerError> {
        let (id, ledger) = (held.draft.id, &self.parts.ledger);
        match end {
            End::Store => {
                let stored = ledger.store(id, settlement.delivery.clone());
                step("store_books", stored).await
            }
            End::Settle => {
                let settled = ledger.settle(id, settlement.clone());
                step("settle_books", settled).await
            }
        }
    }

    pub(super) fn count(&self, generation: &Generation) {
        let images = &generation.images;
        let bytes = images.iter().map(|image| image.size_bytes).sum();
        let delivered = u32::try_from(images.len()).unwrap_or(u32::MAX);
        let charge = generation.charge.as_ref();
        let credits = charge.map_or(Credits::ZERO, |charge| charge.credits);
        self.parts.metrics.images_settled(delivered, bytes, credits);
    }

    /// No picture at all: releases the hold, or keeps it while nobody knows whether OpenRouter
    /// billed, and says why.
    async fn give_up(&self, held: &Held, outcomes: &[CallOutcome]) -> Ended {
        let failures = outcomes
            .iter()
            .filter_map(|outcome| outcome.failure.as_ref());
        let failure = match failures.max_by_key(|failure| failure.weight()) {
            Some(failure) => failure.to_failure(held),
            None => no_image(outcomes),
        };
        let own_key = held.payer.mode() == KeyMode::Organization;
        let failure = if own_key && outcomes.iter().any(CallOutcome::is_perhaps_billed) {
            failure.billed_by_openrouter()
        } else {
            failure
        };
        let calls = outcomes.iter().map(|outcome| outcome.record.clone());
        let calls = calls.collect();
        let stage = if outcomes.iter().any(CallOutcome::is_in_doubt) {
            Stage::InDoubt
        } else {
            Stage::Voided
        };
        let ended = self.end_without(held, stage, failure, calls);
        step("end_without", ended).await
    }

    /// Releases the hold, or keeps it in doubt until OpenRouter's records tell or its time is up. What
    /// the caller is told does not depend on whether the books can be written now, and they are told
    /// the same as soon as they can.
    async fn end_without(
        &self,
        held: &Held,
        stage: Stage,
        failure: Failure,
        calls: Vec<CallRecord>,
    ) -> Ended {
        let ending = Voiding {
            failure,
            calls,
            now: crate::clock::now(),
        };
        let mut waits = SETTLE_WAITS.into_iter();
        loop {
            let ended = step("without", self.try_without(held, stage, &ending)).await;
            match (ended, waits.next()) {
                (Ok(_), _) => return Ended::without(ending.failure),
                (Err(error), Some(wait)) if error.may_pass() => {
                    step("wait_to_end", tokio::time::sleep(wait)).await;
                }
                (Err(error), _) => {
                    unended(held, &error);
                    return Ended {
                        told: Err(ending.failure.clone()),
                        later: Some(Unbooked::Nothing(stage, ending)),
                    };
                }
            }
        }
    }

    pub(super) async fn try_without(
        &self,
        held: &Held,
        stage: Stage,
        ending: &Voiding,
    ) -> Result<Generation, LedgerError> {
        let (id, ledger) = (held.draft.id, &self.parts.ledger);
        if stage == Stage::InDoubt {
            step("doubt_books", ledger.doubt(id, ending.clone())).await
        } else {
            step("void_books", ledger.void(id, ending.clone())).await
        }
    }
}

impl Ended {
    /// Without a picture, and the books know it.
    const fn without(failure: Failure) -> Self {
        Self {
            told: Err(failure),
            later: None,
        }
    }
}

/// What the books are told of pictures.
#[derive(Clone, Copy)]
pub(super) enum End {
    Store,
    Settle,
}

/// What came, as the books keep it.
fn delivery(held: &Held, outcomes: Vec<CallOutcome>) -> Delivery {
    let mut images: Vec<StoredImage> = Vec::new();
    let mut calls = Vec::with_capacity(outcomes.len());
    let mut text = String::new();
    for mut outcome in outcomes {
        images.extend(outcome.images);
        // Kept once, with the pictures.
        text.push_str(&std::mem::take(&mut outcome.record.text));
        calls.push(outcome.record);
    }
    images.sort_by_key(|image| image.index);
    let mut adjustments = held.draft.adjustments.clone();
    adjustments.extend(measured_adjustments(&held.draft, &images));
    Delivery {
        images,
        text,
        adjustments,
        calls,
        now: crate::clock::now(),
    }
}

pub(super) fn unended(held: &Held, error: &LedgerError) {
    tracing::error!(
        generation = %held.draft.id,
        error = error as &dyn std::error::Error,
        "the end of a generation could not be written yet"
    );
}

/// A complete answer without a picture; what the model said instead is kept for an administrator.
fn no_image(outcomes: &[CallOutcome]) -> Failure {
    let said: String = outcomes
        .iter()
        .map(|outcome| outcome.record.text.as_str())
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
            let detail = &error.detail;
            let key = matches!(cause, DrawCause::KeyRefused | DrawCause::KeyOutOfCredit);
            if cause == DrawCause::OursToMend || (key && held.payer.mode() == KeyMode::Platform) {
                tracing::error!(%generation, %model, detail, "upstream refuses the platform: mend the key or its credit");
            } else {
                let perhaps_billed = error.billed != Billed::No;
                tracing::warn!(%generation, %model, ?cause, detail, perhaps_billed, "an upstream call failed");
            }
        }
        CallFailure::Keep(error) => {
            tracing::warn!(%generation, %model, %error, "an image was not kept");
        }
    }
}

/// Whether pictures of its model have a price.
fn costs(job: &Job) -> bool {
    let pricing = job.model.pricing.as_ref();
    let usd = pricing.and_then(|pricing| pricing.billed_at(Resolution::R1K));
    usd.is_some_and(|usd| !usd.is_zero())
}

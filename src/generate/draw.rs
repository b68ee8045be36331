//! Drawing: one upstream call per part of the job, side by side, each picture written to the
//! gallery and shown to those who watch while it arrives.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::easel::Easel;
use super::{Generator, Held};
use crate::crash::step;
use crate::domain::books::Stage;
use crate::domain::failure::{Failure, Reason};
use crate::domain::generation::{CallRecord, CostSource, KeyMode, StoredImage};
use crate::domain::money::UsdCost;
use crate::ports::{
    Bill, Billed, DrawCause, DrawError, DrawEvent, Drawing, GalleryError, LedgerError, Order,
    Receipt,
};

/// How long a missing cost is looked up before it is computed (`api.md`, Charge).
const LOOKUP_PATIENCE: Duration = Duration::from_secs(5);

/// Waits between look-ups: records are filed some time after the answer (`domain.md` C15).
const LOOKUP_WAITS: [Duration; 4] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];

/// The least wait that a caller is told.
const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);

/// Why one call brought no more pictures.
#[derive(Debug)]
pub(super) enum CallFailure {
    /// Upstream.
    Draw(DrawError),
    /// Our disk.
    Keep(GalleryError),
}

/// What one call brought.
#[derive(Debug, Default)]
pub(super) struct CallOutcome {
    /// What the books keep of it.
    pub(super) record: CallRecord,
    /// Its pictures, all durable.
    pub(super) images: Vec<StoredImage>,
    /// When the last byte of the answer was there.
    pub(super) answered: Option<Instant>,
    /// Why it brought no more, if it failed.
    pub(super) failure: Option<CallFailure>,
}

impl Generator {
    /// Makes all calls of a job side by side, and waits for the last.
    pub(super) async fn draw_all(&self, held: &Held) -> Vec<CallOutcome> {
        let calls = (0..).zip(&held.job.calls);
        let calls = calls.map(|(call, count)| self.draw_one(held, call, *count));
        step("draw_all", join_all(calls)).await
    }

    async fn draw_one(&self, held: &Held, call: u32, count: u32) -> CallOutcome {
        let mut outcome = CallOutcome {
            record: CallRecord {
                call,
                ..CallRecord::default()
            },
            ..CallOutcome::default()
        };
        let order = self.order(held, count);
        let sent = held.admitted.leave.use_it();
        match step("send", self.parts.provider.draw(&order)).await {
            Ok(drawing) => step("answer", self.take(held, drawing, &mut outcome)).await,
            Err(error) => {
                self.count_call(held, Some(error.cause));
                outcome.refused(error);
            }
        }
        held.admitted.leave.ended(sent, outcome.was_accepted());
        if held.job.calls.len() > 1 {
            let noted = self
                .parts
                .ledger
                .note(held.draft.id, outcome.record.clone());
            if let Err(error) = step("note_call", noted).await {
                unnoted(held, &error);
            }
        }
        outcome
    }

    /// Reads an answer, and looks up the cost that it does not tell.
    async fn take(&self, held: &Held, drawing: Box<dyn Drawing>, outcome: &mut CallOutcome) {
        outcome.record.upstream_id = drawing.upstream_id().map(str::to_owned);
        // The note is durable long before the picture is whole, and must not delay its bytes. If
        // the books fail now, the picture is still delivered (`reliability.md` row 62).
        let note = self.note_answer(held, &outcome.record);
        let receive = step("receive", self.receive(held, drawing, &mut outcome.images));
        let (own_name, received) = tokio::join!(note, receive);
        let not_its_own = outcome.record.upstream_id.take_if(|_| !own_name);
        outcome.answered = Some(Instant::now());
        outcome.record.images = outcome.images.iter().map(|image| image.index).collect();
        match received {
            Ok(receipt) => {
                self.count_call(held, None);
                outcome.told(receipt);
            }
            Err(CallFailure::Draw(error)) => {
                self.count_call(held, Some(error.cause));
                outcome.refused(error);
            }
            Err(failure) => outcome.failure = Some(failure),
        }
        // The end of the answer may say the same once more.
        if not_its_own.is_some() && outcome.record.upstream_id == not_its_own {
            outcome.record.upstream_id = None;
        }
        if outcome.record.is_open_question() && !outcome.images.is_empty() {
            outcome.record.cost = step("look_up", self.look_up(held, &outcome.record)).await;
        }
    }

    fn count_call(&self, held: &Held, outcome: Option<DrawCause>) {
        let key = held.payer.mode();
        self.parts.metrics.upstream_call(key, outcome);
    }

    fn order(&self, held: &Held, count: u32) -> Order {
        let (draft, job) = (&held.draft, &held.job);
        let deadline = Instant::now() + self.parts.upstream_timeout;
        Order {
            generation: draft.id,
            user_tag: self.parts.keyring.tag(&draft.organization),
            model: Arc::clone(&job.model),
            prompt: Arc::from(draft.prompt.as_str()),
            count,
            aspect_ratio: job.sent.aspect_ratio,
            resolution: job.sent.resolution,
            size: job.sent.size,
            quality: job.quality,
            output_format: job.output_format,
            background: job.background,
            seed: job.seed,
            references: held.references.clone(),
            key: held.payer.key.clone(),
            deadline,
            retry_until: held
                .patience
                .map_or(deadline, |patience| patience.min(deadline)),
        }
    }

    /// Notes that an answer has begun; false if its name is another call's.
    async fn note_answer(&self, held: &Held, call: &CallRecord) -> bool {
        let (id, now) = (held.draft.id, crate::clock::now());
        let upstream_id = call.upstream_id.clone();
        let noted = self.parts.ledger.stream(id, call.call, upstream_id, now);
        let noted = step("note_answer", noted).await;
        held.live
            .update(|progress| progress.stage = Stage::Streaming);
        noted.unwrap_or_else(|error| {
            unnoted(held, &error);
            true
        })
    }

    /// Reads one answer to its end. Pictures are durable as soon as each is whole, before anything
    /// else of the answer is looked at: a bad receipt must never lose a picture.
    async fn receive(
        &self,
        held: &Held,
        mut drawing: Box<dyn Drawing>,
        images: &mut Vec<StoredImage>,
    ) -> Result<Receipt, CallFailure> {
        let mut easel: Option<Easel> = None;
        loop {
            match step("next", drawing.next())
                .await
                .map_err(CallFailure::Draw)?
            {
                DrawEvent::ImageStarted => {
                    let set_up = step("set_up", self.set_up(held)).await;
                    easel = set_up.map_err(CallFailure::Keep)?;
                }
                DrawEvent::ImageBytes(bytes) => {
                    if let Some(easel) = &mut easel {
                        step("paint", easel.paint(held, bytes)).await?;
                    }
                }
                DrawEvent::ImageFinished => {
                    if let Some(easel) = easel.take() {
                        images.push(step("keep", easel.finish(held)).await?);
                    }
                }
                DrawEvent::Finished(receipt) => return Ok(receipt),
            }
        }
    }

    async fn look_up(&self, held: &Held, call: &CallRecord) -> Option<(UsdCost, CostSource)> {
        let upstream_id = call.upstream_id.as_deref()?;
        let asking = async {
            for wait in LOOKUP_WAITS {
                step("wait_to_ask", tokio::time::sleep(wait)).await;
                let bill = self.parts.provider.bill_of(upstream_id, &held.payer.key);
                match step("ask", bill).await {
                    Ok(Bill::Cost(cost)) => return Some((cost, CostSource::Lookup)),
                    Ok(Bill::NotFiled | Bill::OfAnother) => {}
                    Err(error) => tracing::warn!(%error, "the cost of a call cannot be looked up"),
                }
            }
            None
        };
        let asked = tokio::time::timeout(LOOKUP_PATIENCE, asking);
        step("asked", asked).await.ok().flatten()
    }
}

/// The picture is worth more than the note: it goes on without.
fn unnoted(held: &Held, error: &LedgerError) {
    tracing::error!(
        generation = %held.draft.id,
        error = error as &dyn std::error::Error,
        "what is known of a call could not be noted"
    );
}

impl CallOutcome {
    /// Takes what the answer says about itself.
    fn told(&mut self, receipt: Receipt) {
        let record = &mut self.record;
        record.upstream_id = receipt.upstream_id.or(record.upstream_id.take());
        record.cost = receipt.cost.map(|cost| (cost, CostSource::Usage));
        record.text = receipt.text;
        record.prompt_tokens = receipt.prompt_tokens;
        record.completion_tokens = receipt.completion_tokens;
    }

    fn refused(&mut self, error: DrawError) {
        let record = &mut self.record;
        record.upstream_id = error.upstream_id.clone().or(record.upstream_id.take());
        record.cost = error.cost.map(|cost| (cost, CostSource::Usage));
        record.unbilled = error.billed == Billed::No && self.images.is_empty();
        self.failure = Some(CallFailure::Draw(error));
    }

    /// Whether upstream may have billed a call that brought nothing.
    pub(super) const fn is_perhaps_billed(&self) -> bool {
        match &self.failure {
            Some(CallFailure::Draw(error)) => !matches!(error.billed, Billed::No),
            Some(CallFailure::Keep(_)) | None => true,
        }
    }

    /// Whether OpenRouter did not take the key.
    pub(super) const fn key_was_refused(&self) -> bool {
        matches!(
            &self.failure,
            Some(CallFailure::Draw(error)) if matches!(error.cause, DrawCause::KeyRefused)
        )
    }

    /// Whether upstream worked, whatever came of it. A key that is not taken (401) or has no credit
    /// (402) counts as such: upstream answers at once and for nothing, and the next call must
    /// notice that the key was mended. An own key tells it of its organization's calls alone.
    const fn was_accepted(&self) -> bool {
        match &self.failure {
            Some(CallFailure::Draw(error)) => !matches!(
                error.cause,
                DrawCause::RateLimited | DrawCause::Timeout | DrawCause::Unavailable
            ),
            Some(CallFailure::Keep(_)) | None => true,
        }
    }

    /// Whether the answer broke off without a picture, so that only OpenRouter's records can tell
    /// what it cost (`reliability.md` §2.2).
    pub(super) const fn is_in_doubt(&self) -> bool {
        let unanswered = matches!(
            &self.failure,
            Some(CallFailure::Draw(error)) if matches!(error.billed, Billed::Unanswered)
        );
        unanswered && self.record.cost.is_none()
    }
}

impl CallFailure {
    /// What the failure is to a caller, with what an administrator needs beside it.
    pub(super) fn to_failure(&self, held: &Held) -> Failure {
        match self {
            Self::Draw(error) => draw_failure(error, held),
            Self::Keep(GalleryError::Full) => super::storage_full(),
            Self::Keep(GalleryError::NotAnImage(why)) => image_invalid().with("cause", why),
            Self::Keep(error @ (GalleryError::Gone | GalleryError::Broken(_))) => {
                tracing::error!(
                    generation = %held.draft.id,
                    error = error as &dyn std::error::Error,
                    "an image could not be kept"
                );
                Failure::internal()
            }
        }
    }

    /// Which failure tells most when several calls failed: greater is better.
    pub(super) const fn weight(&self) -> u8 {
        match self {
            Self::Keep(_) => 3,
            Self::Draw(error) => match error.billed {
                Billed::Perhaps | Billed::Unanswered => 1,
                Billed::No => 2,
            },
        }
    }
}

/// Upstream's failure in our words (`api.md`, Upstream → reason).
fn draw_failure(error: &DrawError, held: &Held) -> Failure {
    let model = &held.job.model.slug;
    let own_key = held.payer.mode() == KeyMode::Organization;
    let failure = match error.cause {
        DrawCause::InvalidRequest => Failure::new(
            Reason::InvalidRequest,
            "The provider does not accept this request; change the prompt or the options.",
        ),
        DrawCause::PromptRejected => rejected("prompt"),
        DrawCause::OutputRejected => rejected("output"),
        DrawCause::ModelUnavailable => Failure::model_unavailable(model, "refused_upstream"),
        DrawCause::ReferenceInvalid => Failure::new(
            Reason::ReferenceImageInvalid,
            "The provider cannot use a reference image; send another one.",
        ),
        DrawCause::ReferenceTooLarge if held.references.is_empty() => Failure::new(
            Reason::ReferenceImageTooLarge,
            "The request is too large for the provider; shorten the prompt.",
        ),
        DrawCause::ReferenceTooLarge => Failure::new(
            Reason::ReferenceImageTooLarge,
            "The reference images are too large for the provider; send smaller ones.",
        ),
        DrawCause::RateLimited => Failure::new(
            Reason::UpstreamRateLimited,
            "The image provider is busy; try again in a moment.",
        ),
        DrawCause::Timeout => Failure::new(
            Reason::UpstreamTimeout,
            "The image provider did not answer in time; try again with the same request_id.",
        ),
        DrawCause::KeyRefused if own_key => Failure::openrouter_key_refused(),
        DrawCause::KeyOutOfCredit if own_key => Failure::openrouter_key_out_of_credit(),
        DrawCause::Unavailable
        | DrawCause::KeyRefused
        | DrawCause::KeyOutOfCredit
        | DrawCause::OursToMend => Failure::new(
            Reason::UpstreamUnavailable,
            "The image provider does not work at the moment; try again later.",
        ),
        DrawCause::NoImage => Failure::new(
            Reason::NoImageReturned,
            "The model answered without an image; rephrase the prompt or try once more.",
        ),
        DrawCause::ImageInvalid => image_invalid(),
    };
    let failure = match error.retry_after {
        // What upstream allows at once was tried at once; a caller gets some air.
        Some(wait) => failure.retry_after(wait.max(RETRY_AFTER_MIN)),
        None => failure,
    };
    failure.with("model", model)
}

fn rejected(stage: &'static str) -> Failure {
    Failure::new(
        Reason::ContentRejected,
        "The provider's rules do not allow this image; rephrase the prompt.",
    )
    .with("stage", stage)
    .with("charged", "0.00")
}

fn image_invalid() -> Failure {
    Failure::new(
        Reason::ImageInvalid,
        "What the provider sent is not a whole image; nothing was charged. Try once more.",
    )
}

//! Drawing: one upstream call per part of the job, side by side, each picture written to the
//! gallery and shown to those who watch while it arrives.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::easel::Easel;
use super::outcome::{CallFailure, CallOutcome};
use super::{Generator, Held};
use crate::crash::step;
use crate::domain::books::Stage;
use crate::domain::generation::{CallRecord, CostSource, StoredImage};
use crate::domain::money::UsdCost;
use crate::ports::{Bill, DrawCause, DrawEvent, Drawing, LedgerError, Order, Receipt};

/// How long a missing cost is looked up before it is computed (`api.md`, Charge).
const LOOKUP_PATIENCE: Duration = Duration::from_secs(5);

/// Waits between look-ups: records are filed some time after the answer (`domain.md` C15).
const LOOKUP_WAITS: [Duration; 4] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];

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
                    Ok(Bill::NotFiled | Bill::NoCost | Bill::OfAnother) => {}
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

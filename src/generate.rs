//! The use case: from permission to receipt. [`Generator::generate`] decides and holds, then a
//! task of its own draws and settles, whatever becomes of the caller.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::domain::books::Stage;
use crate::domain::catalog::Catalog;
use crate::domain::failure::{Failure, Reason};
use crate::domain::generation::{Draft, Generation, KeyMode};
use crate::domain::ids::{GenerationId, OrganizationId};
use crate::domain::job::{ImageRequest, Job, limit_reached, usable_model};
use crate::domain::tool::Tool;
use crate::keys::Keyring;
use crate::live::{Accepted, End, Live, Registry};
use crate::metrics::Metrics;
use crate::ports::{
    Gallery, HoldOutcome, ImageProvider, Ledger, Limits, Opening, ReferenceImage, Settings, Which,
};
use crate::watch::Watch;
use refusals::{conflict, in_progress, overloaded};
pub use refusals::{internal, storage_full, unsettled};

mod draw;
mod refusals;
mod settle;

/// Less time than this to the caller's deadline counts as none (`api.md`, Rules).
pub const LEAST_TIME: Duration = Duration::from_secs(1);

/// What a generator is made of.
#[derive(Debug)]
pub struct Parts {
    /// The books.
    pub ledger: Arc<dyn Ledger>,
    /// Tools and availability.
    pub settings: Arc<dyn Settings>,
    /// Where pictures are kept.
    pub gallery: Arc<dyn Gallery>,
    /// Who draws.
    pub provider: Arc<dyn ImageProvider>,
    /// The price list.
    pub catalog: Arc<Catalog>,
    /// Names organizations to upstream.
    pub keyring: Arc<Keyring>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Runs what outlives its caller; drained at the end.
    pub tracker: TaskTracker,
    /// The most generations at a time; one more is refused before any hold.
    pub max_concurrent: usize,
    /// The longest an upstream call may take.
    pub upstream_timeout: Duration,
}

/// Runs generations.
#[derive(Debug)]
pub struct Generator {
    parts: Parts,
    places: Arc<Semaphore>,
    registry: Registry,
}

/// One call.
#[derive(Debug)]
pub struct Call {
    /// Who pays; from the key.
    pub organization: OrganizationId,
    /// What is asked.
    pub request: ImageRequest,
    /// The bytes of its references, in the order of `request.references`.
    pub references: Vec<ReferenceImage>,
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
}

/// A generation that holds its credits and is about to be drawn.
struct Held {
    draft: Draft,
    job: Job,
    references: Vec<ReferenceImage>,
    live: Arc<Live>,
    /// When the caller stops waiting: nothing is tried again after it.
    patience: Option<Instant>,
    /// Given back when the generation ends.
    _place: OwnedSemaphorePermit,
}

// === impl Generator ===

impl Generator {
    /// A generator with nothing running.
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            places: Arc::new(Semaphore::new(parts.max_concurrent)),
            registry: Registry::default(),
            parts,
        })
    }

    /// The whole of a call up to the point where its credits are held; what follows can be
    /// watched. A repeated request is shown its first answer, or the running one.
    ///
    /// # Errors
    /// The failure to answer with; no credits were moved.
    pub async fn generate(self: &Arc<Self>, call: Call) -> Result<Watch, Failure> {
        let left = call
            .deadline
            .map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left < LEAST_TIME) {
            let what = "Less than a second is left to your deadline; nothing was begun.";
            return Err(Failure::new(Reason::DeadlineExceeded, what));
        }
        if let Some(earlier) = self.earlier_answer(&call).await? {
            return Ok(earlier);
        }
        let tool = self.tool(&call).await?;
        let job = self.plan(&call, &tool).await?;
        let place = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| overloaded())?;
        // From here on money moves: a caller that hangs up must not leave a hold without a task.
        let generator = Arc::clone(self);
        let begun = async move { generator.hold_and_run(call, &tool, job, place).await };
        let begun = self.parts.tracker.spawn(begun).await;
        begun.unwrap_or_else(|_| Err(Failure::internal()))
    }

    /// What this very request was answered before, without asking whether it would be allowed
    /// today: the tool may have changed since.
    async fn earlier_answer(&self, call: &Call) -> Result<Option<Watch>, Failure> {
        let which = Which::Request(call.request.request_id.clone());
        let ledger = &self.parts.ledger;
        let Some(found) = ledger
            .generation(&call.organization, &which)
            .await
            .map_err(internal)?
        else {
            return Ok(None);
        };
        if found.draft.fingerprint != call.request.fingerprint() {
            return Err(conflict(found.draft.id));
        }
        match found.stage {
            Stage::Stored | Stage::Settled => Ok(Some(self.replay(found))),
            Stage::Voided => match &found.failure {
                Some(failure) if !failure.reason.is_transient() => Err(failure.clone()),
                _ => Ok(None),
            },
            _ => Ok(self.registry.find(found.draft.id).map(Watch::running)),
        }
    }

    async fn tool(&self, call: &Call) -> Result<Tool, Failure> {
        let agent = &call.request.agent;
        let settings = &self.parts.settings;
        let tool = settings.tool(&call.organization, agent).await;
        tool.map_err(unsettled)?
            .ok_or_else(|| Failure::agent_not_found(agent))
    }

    async fn plan(&self, call: &Call, tool: &Tool) -> Result<Job, Failure> {
        let available = match &tool.model {
            Some(model) => {
                let settings = &self.parts.settings;
                let available = settings.is_available(&call.organization, model).await;
                available.map_err(unsettled)?
            }
            None => false,
        };
        let model = usable_model(tool, &self.parts.catalog, available)?;
        Job::plan(&call.request, tool, model)
    }

    async fn hold_and_run(
        self: &Arc<Self>,
        call: Call,
        tool: &Tool,
        job: Job,
        place: OwnedSemaphorePermit,
    ) -> Result<Watch, Failure> {
        let now = crate::clock::now();
        let draft = self.draft(&call, &job, now);
        let live = Arc::new(Live::new(self.accepted(&draft, &job)));
        // Visible before the hold is, so that a duplicate that finds the hold finds this too.
        self.registry.insert(&live);
        let opening = Opening {
            draft: draft.clone(),
            limits: limits(tool),
            day_start: day_start(now),
            month_start: month_start(now),
        };
        let outcome = self.parts.ledger.hold(opening).await;
        if !matches!(outcome, Ok(HoldOutcome::Held(_))) {
            self.registry.remove(draft.id);
        }
        let account = match outcome.map_err(internal)? {
            HoldOutcome::Held(account) => account,
            other => return self.not_held(&call.organization, other, now).await,
        };
        live.update(|progress| progress.available = Some(account.available()));
        let held = Held {
            draft,
            job,
            references: call.references,
            live: Arc::clone(&live),
            patience: call.deadline,
            _place: place,
        };
        let generator = Arc::clone(self);
        self.parts
            .tracker
            .spawn(async move { generator.run(held).await });
        Ok(Watch::running(live))
    }

    /// Another outcome than a hold: an earlier answer, or a refusal.
    async fn not_held(
        &self,
        organization: &OrganizationId,
        outcome: HoldOutcome,
        now: Timestamp,
    ) -> Result<Watch, Failure> {
        match outcome {
            // Taken care of by the caller; there is nothing to refuse.
            HoldOutcome::Held(_) => Err(Failure::internal()),
            HoldOutcome::Running(id) => match self.registry.find(id) {
                Some(live) => Ok(Watch::running(live)),
                // It has ended since, or runs in a process that is gone.
                None => self.ended_since(organization, id).await,
            },
            HoldOutcome::Done(generation) => self.answer(*generation),
            HoldOutcome::Exhausted(generation) => {
                Err(generation.failure.unwrap_or_else(Failure::internal))
            }
            HoldOutcome::Conflict(id) => Err(conflict(id)),
            HoldOutcome::Insufficient { needed, available } => {
                Err(Failure::insufficient_credits(needed, available))
            }
            HoldOutcome::DailyLimit { used } => {
                let resets = day_start(now) + SignedDuration::from_hours(24);
                Err(limit_reached("daily_image_limit", resets).with("used", used))
            }
            HoldOutcome::MonthlyLimit { used } => {
                Err(limit_reached("monthly_credit_limit", next_month(now)).with("used", used))
            }
        }
    }

    async fn ended_since(
        &self,
        organization: &OrganizationId,
        id: GenerationId,
    ) -> Result<Watch, Failure> {
        let found = self
            .parts
            .ledger
            .generation(organization, &Which::Id(id))
            .await;
        match found.map_err(internal)? {
            Some(generation) if generation.stage.is_final() => self.answer(generation),
            _ => Err(in_progress(id)),
        }
    }

    fn answer(&self, generation: Generation) -> Result<Watch, Failure> {
        match &generation.failure {
            Some(failure) => Err(failure.clone()),
            None => Ok(self.replay(generation)),
        }
    }

    fn replay(&self, generation: Generation) -> Watch {
        Watch::done(generation, Arc::clone(&self.parts.gallery))
    }

    /// Draws and settles. Runs to its end even if nobody watches any more; a panic ends the
    /// generation like any other failure.
    async fn run(self: Arc<Self>, held: Held) {
        let in_flight = self.parts.metrics.generation_started();
        let work = AssertUnwindSafe(self.draw_and_settle(&held)).catch_unwind();
        let end = match work.await {
            Ok(Ok(generation)) => End::Settled(Arc::new(generation)),
            Ok(Err(failure)) => End::Failed(Arc::new(failure)),
            Err(_) => {
                let failure = Failure::internal();
                let _ = self.void(&held, failure.clone(), None).await;
                End::Failed(Arc::new(failure))
            }
        };
        held.live.update(|progress| progress.end = Some(end));
        self.registry.remove(held.draft.id);
        drop(in_flight);
    }

    fn draft(&self, call: &Call, job: &Job, now: Timestamp) -> Draft {
        let request = &call.request;
        let timeout =
            SignedDuration::try_from(self.parts.upstream_timeout).unwrap_or(SignedDuration::MAX);
        Draft {
            id: GenerationId::from_uuid(uuid::Uuid::now_v7()),
            organization: call.organization.clone(),
            request_id: request.request_id.clone(),
            fingerprint: request.fingerprint(),
            agent: request.agent.clone(),
            context: request.context.clone(),
            model: job.model.slug.clone(),
            model_name: job.model.name.clone(),
            prompt: request.prompt.to_string(),
            resolution: job.resolution,
            aspect_ratio: job.aspect_ratio,
            requested: job.requested,
            adjustments: job.adjustments.clone(),
            sources: request
                .references
                .iter()
                .filter_map(|facts| facts.from)
                .collect(),
            key_mode: KeyMode::Platform,
            bounds: job.estimate.bounds.clone(),
            hold: job.hold,
            price_basis: job.estimate.basis.clone(),
            created: now,
            deadline: now.checked_add(timeout).unwrap_or(Timestamp::MAX),
        }
    }

    fn accepted(&self, draft: &Draft, job: &Job) -> Accepted {
        Accepted {
            id: draft.id,
            request_id: draft.request_id.to_string(),
            model: draft.model.to_string(),
            estimate: job.estimate.clone(),
            price_time: self.parts.catalog.as_of,
            hold: draft.hold,
        }
    }
}

/// The limits of a tool, as the books check them.
fn limits(tool: &Tool) -> Limits {
    Limits {
        daily_images: (tool.daily_image_limit > 0).then_some(tool.daily_image_limit),
        monthly_credits: tool.monthly_credit_limit,
    }
}

/// Midnight UTC before `now`.
fn day_start(now: Timestamp) -> Timestamp {
    civil(now, |date| date)
}

/// The first midnight UTC of the month.
fn month_start(now: Timestamp) -> Timestamp {
    civil(now, jiff::civil::Date::first_of_month)
}

/// The first midnight UTC of the month after.
fn next_month(now: Timestamp) -> Timestamp {
    civil(now, |date| {
        date.last_of_month()
            .tomorrow()
            .unwrap_or(jiff::civil::Date::MAX)
    })
}

fn civil(now: Timestamp, pick: impl FnOnce(jiff::civil::Date) -> jiff::civil::Date) -> Timestamp {
    use jiff::tz::TimeZone;
    let date = pick(TimeZone::UTC.to_datetime(now).date());
    TimeZone::UTC
        .to_timestamp(date.to_datetime(jiff::civil::Time::midnight()))
        .unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_months_begin_at_midnight_utc() {
        let now: Timestamp = "2026-12-31T23:59:59.9Z".parse().expect("a time");
        assert_eq!(day_start(now).to_string(), "2026-12-31T00:00:00Z");
        assert_eq!(month_start(now).to_string(), "2026-12-01T00:00:00Z");
        assert_eq!(next_month(now).to_string(), "2027-01-01T00:00:00Z");
    }
}

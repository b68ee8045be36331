//! The use case: from permission to receipt. [`Generator::generate`] decides and holds, then a
//! task of its own draws and settles, whatever becomes of the caller.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::crash::step;
use crate::domain::books::Stage;
use crate::domain::failure::Failure;
use crate::domain::generation::Draft;
use crate::domain::ids::OrganizationId;
use crate::domain::job::{ImageRequest, Job, usable_model};
use crate::domain::quota;
use crate::domain::throttle::Demand;
use crate::domain::tool::Tool;
use crate::keys::Keyring;
use crate::live::{End, Live, Registry};
use crate::metrics::Metrics;
use crate::ports::{
    Gallery, HoldOutcome, ImageProvider, Ledger, Opening, ReferenceImage, Settings, Which,
};
use crate::prices::Prices;
use crate::watch::Watch;
use calendar::{day_start, month_start, next_month};
pub use payer::{NoBill, Payer, Payers, owner};
use places::{Place, Places};
use record::limits;
pub use references::{Errand, Reference};
use refusals::{conflict, exhausted, no_place, too_late};
pub use refusals::{internal, no_room, not_found, storage_full, unsettled, unsettled_for_all};
use settle::Ended;
use upstream::{Bid, Leave, Upstream};

mod attach;
mod calendar;
mod draw;
mod easel;
mod later;
mod outcome;
mod payer;
mod places;
mod record;
mod references;
mod refusals;
mod settle;
mod upstream;

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
    /// With whose key.
    pub payers: Arc<Payers>,
    /// The price list.
    pub prices: Arc<Prices>,
    /// Names organizations to upstream.
    pub keyring: Arc<Keyring>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Runs what outlives its caller; drained at the end.
    pub tracker: TaskTracker,
    /// The most generations at a time; one more is refused before any hold.
    pub max_concurrent: usize,
    /// The most of one organization; `None` is only what is fair.
    pub max_concurrent_each: Option<usize>,
    /// The longest an upstream call may take.
    pub upstream_timeout: Duration,
}

/// Runs generations.
#[derive(Debug)]
pub struct Generator {
    parts: Parts,
    places: Arc<Places>,
    /// Of references that are being fetched.
    fetches: Arc<Places>,
    upstream: Arc<Upstream>,
    registry: Registry,
}

/// One call.
#[derive(Debug)]
pub struct Call {
    /// Who pays; from the key.
    pub organization: OrganizationId,
    /// What is asked.
    pub request: ImageRequest,
    /// Its references, in the order of `request.references`.
    pub references: Vec<Reference>,
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
}

/// What a generation needs before it may hold credits.
struct Admitted {
    leave: Leave,
    /// Given back when the generation ends.
    _place: Place,
}

/// A generation that holds its credits and is about to be drawn.
struct Held {
    draft: Draft,
    job: Job,
    references: Vec<ReferenceImage>,
    /// With whose key it is drawn.
    payer: Payer,
    live: Arc<Live>,
    /// When the caller stops waiting: nothing is tried again after it.
    patience: Option<Instant>,
    admitted: Admitted,
}

// === impl Generator ===

impl Generator {
    /// A generator with nothing running.
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            places: Places::new(parts.max_concurrent, parts.max_concurrent_each),
            fetches: Places::new(references::AT_A_TIME_OF_ALL, None),
            upstream: Upstream::new(Arc::clone(&parts.metrics)),
            registry: Registry::default(),
            parts,
        })
    }

    /// With whose key organizations draw.
    pub const fn payers(&self) -> &Arc<Payers> {
        &self.parts.payers
    }

    /// The whole of a call up to the point where its credits are held; what follows can be
    /// watched. A repeated request is shown its first answer, or the running one.
    ///
    /// # Errors
    /// The failure to answer with; no credits were moved.
    pub async fn generate(self: &Arc<Self>, mut call: Call) -> Result<Watch, Failure> {
        let left = call
            .deadline
            .map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left < LEAST_TIME) {
            return Err(too_late());
        }
        if let Some(earlier) = self.earlier_answer(&call).await? {
            return Ok(earlier);
        }
        // Before anything else is asked: who is refused because too many draw costs next to nothing.
        let place = self.places.take(&call.organization).map_err(no_place)?;
        let tool = self.tool(&call).await?;
        let payer = self.parts.payers.of(&call.organization).await?;
        let mut job = self.plan(&call, &tool, &payer).await?;
        // A full disk refuses work while it costs nothing (`reliability.md` row 16).
        self.parts.gallery.room().await.map_err(no_room)?;
        let bid = Bid::new(
            Demand {
                organization: call.organization.clone(),
                model: job.model.slug.clone(),
                key: payer.mode(),
            },
            call.request.agent.clone(),
        );
        // Nothing is fetched, or held, for what will fail.
        self.upstream.would_give(&bid)?;
        let away = call.references.iter().any(Reference::is_elsewhere);
        let references = references::gather(&mut call, &self.fetches).await?;
        if away {
            // With the sizes that are known now, which may cost more.
            job = self.plan(&call, &tool, &payer).await?;
        }
        let admitted = Admitted {
            leave: self.upstream.leave(bid)?,
            _place: place,
        };
        // From here on money moves: a caller that hangs up must not leave a hold without a task.
        let generator = Arc::clone(self);
        let begun = async move {
            let order = (job, references, payer);
            generator.hold_and_run(call, &tool, order, admitted).await
        };
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
            Stage::Voided => match &found.failure {
                Some(failure) if !failure.reason.is_transient() => Err(failure.clone()),
                _ => Ok(None),
            },
            _ => self.attach(found).map(Some),
        }
    }

    async fn tool(&self, call: &Call) -> Result<Tool, Failure> {
        let agent = &call.request.agent;
        let settings = &self.parts.settings;
        let tool = settings.tool(&call.organization, agent).await;
        tool.map_err(unsettled)?
            .ok_or_else(|| Failure::agent_not_found(agent))
    }

    async fn plan(&self, call: &Call, tool: &Tool, payer: &Payer) -> Result<Job, Failure> {
        let available = match &tool.model {
            Some(model) => {
                let settings = &self.parts.settings;
                let available = settings.is_available(&call.organization, model).await;
                available.map_err(unsettled)?
            }
            None => false,
        };
        let list = self.parts.prices.current().with_key(payer.mode());
        let model = usable_model(tool, &list.catalog, available)?;
        Job::plan(&call.request, tool, model, &list)
    }

    async fn hold_and_run(
        self: &Arc<Self>,
        call: Call,
        tool: &Tool,
        (job, references, payer): (Job, Vec<ReferenceImage>, Payer),
        admitted: Admitted,
    ) -> Result<Watch, Failure> {
        let now = crate::clock::now();
        let draft = self.draft(&call, &job, &payer, now);
        let live = Arc::new(Live::new(self.accepted(&draft, &job)));
        // Visible before the hold is, so that a duplicate that finds the hold finds this too.
        self.registry.insert(&live);
        let opening = Opening {
            draft: draft.clone(),
            limits: limits(tool),
            day_start: day_start(now),
            month_start: month_start(now),
        };
        let outcome = step("hold", self.parts.ledger.hold(opening)).await;
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
            references,
            payer,
            live: Arc::clone(&live),
            patience: call.deadline,
            admitted,
        };
        let generator = Arc::clone(self);
        self.parts.tracker.spawn(Box::pin(generator.run(held)));
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
                // It has ended since, or is in doubt.
                None => self.watch(organization, &Which::Id(id)).await,
            },
            HoldOutcome::Done(generation) => self.attach(*generation),
            HoldOutcome::Exhausted(generation) => Err(exhausted(*generation)),
            HoldOutcome::Conflict(id) => Err(conflict(id)),
            HoldOutcome::Insufficient { needed, available } => {
                Err(Failure::insufficient_credits(needed, available))
            }
            HoldOutcome::DailyLimit(quota) => {
                let resets = day_start(now) + SignedDuration::from_hours(24);
                Err(quota::daily_images(quota, now, resets))
            }
            HoldOutcome::MonthlyLimit(quota) => {
                Err(quota::monthly_credits(quota, now, next_month(now)))
            }
        }
    }

    /// Draws and settles. Runs to its end even if nobody watches any more. A panic leaves the
    /// generation to the recovery, which ends it as after a crash.
    async fn run(self: Arc<Self>, held: Held) {
        let in_flight = self.parts.metrics.generation_started();
        let work = AssertUnwindSafe(self.draw_and_settle(&held)).catch_unwind();
        let (told, later) = match step("run", work).await {
            Ok(Ended { told, later }) => (told, later),
            Err(_) => (Err(Failure::internal()), None),
        };
        let end = match told {
            Ok(generation) => End::Settled(Arc::from(generation)),
            Err(failure) => End::Failed(Arc::new(failure)),
        };
        held.live.update(|progress| progress.end = Some(end));
        if let Some(unbooked) = later {
            step("later", self.book_later(&held, unbooked)).await;
        }
        self.registry.remove(held.draft.id);
        drop(in_flight);
    }
}

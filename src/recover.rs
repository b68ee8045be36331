//! Finishes what nobody works on (`reliability.md` §2.2): at the start whatever a process that is
//! gone has left, and from then on whatever is in doubt, waits for its cost, or is past its time. What
//! has ended by the cost that its answer told is asked about once more.
//! What to do is decided in [`domain::recovery`](crate::domain::recovery); here it is done.
//!
//! Every step is one transaction of the books, and the books refuse a step that does not follow, so
//! that nothing here can end a generation twice, whenever the process is killed.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join;
use futures_util::stream::iter;
use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::crash::step;
use crate::domain::books::Stage;
use crate::domain::ids::GenerationId;
use crate::domain::recovery::{Facts, Step};
use crate::generate::{Generator, NoBill, Payers};
use crate::metrics::Metrics;
use crate::ports::{
    Answer, Asking, Bill, Case, Expired, Gallery, GalleryError, Ledger, LedgerError, Upkeep,
};
use ending::{delivered, settlement, voiding};

mod checking;
mod ending;

/// How often it is looked for questions whose time has come.
const TICK: Duration = Duration::from_millis(250);

/// How often everything that is open is looked at: a hold ends at most this long after its time.
const SWEEP_EVERY: Duration = Duration::from_secs(2);

/// How often it is looked for pictures whose time is up.
const EXPIRE_EVERY: Duration = Duration::from_secs(60);

/// Generations looked at side by side. The books take what waits together in one commit.
const SIDE_BY_SIDE: usize = 64;

/// Questions to OpenRouter side by side.
const ASKED_AT_ONCE: usize = 16;

/// Ids read from the books at a time.
const PAGE: u32 = 512;

/// What the recovery is made of.
#[derive(Debug)]
pub struct Parts {
    /// The books.
    pub ledger: Arc<dyn Ledger>,
    /// The same, as far as they must be looked after.
    pub upkeep: Arc<dyn Upkeep>,
    /// Where pictures are kept.
    pub gallery: Arc<dyn Gallery>,
    /// Ask what calls cost, each with the key that it was made with.
    pub payers: Arc<Payers>,
    /// Knows what runs: that is not touched.
    pub generator: Arc<Generator>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// How long pictures are kept after their generation has ended.
    pub retention: Duration,
    /// How long after its end a settled generation is asked about a second time; `None` is never.
    pub check_after: Option<Duration>,
}

/// Finishes what nobody works on.
#[derive(Debug)]
pub struct Recovery {
    parts: Parts,
}

/// Why a step could not be done now; it is tried again at the next sweep.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("the books failed")]
    Ledger(#[from] LedgerError),
    #[error("the gallery failed")]
    Gallery(#[from] GalleryError),
}

// === impl Recovery ===

impl Recovery {
    /// A recovery that has not begun.
    pub const fn new(parts: Parts) -> Self {
        Self { parts }
    }

    /// Works until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let work = async {
            let mut ticks = tokio::time::interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let (mut sweep_at, mut expire_at) = (Instant::now(), Instant::now());
            loop {
                step("tick", ticks.tick()).await;
                step("ask_due", self.ask()).await;
                if Instant::now() >= sweep_at {
                    step("sweep_open", self.sweep()).await;
                    sweep_at = Instant::now() + SWEEP_EVERY;
                }
                if Instant::now() >= expire_at {
                    step("expire_due", self.expire()).await;
                    expire_at = Instant::now() + EXPIRE_EVERY;
                }
            }
        };
        // Beside the rest: no hold waits for it.
        let work = join(work, checking::walk(&self.parts));
        // Between any two awaits it may be stopped: what is half done is found again.
        stop.run_until_cancelled(work).await;
    }

    /// Looks at everything that is open, and takes the step that is due.
    async fn sweep(&self) {
        let mut after = None;
        loop {
            let page = step("list_open", self.parts.upkeep.open(after, PAGE)).await;
            let ids = match page {
                Ok(ids) => ids,
                Err(error) => return unfinished("list", &error.into()),
            };
            let Some(last) = ids.last().copied() else {
                return;
            };
            after = Some(last);
            let work = iter(ids).for_each_concurrent(SIDE_BY_SIDE, |id| self.look(id));
            step("sweep", work).await;
        }
    }

    async fn look(&self, id: GenerationId) {
        // Asked before the books are read: what ran then and has ended since is ended there.
        if self.parts.generator.running().find(id).is_some() {
            return;
        }
        if let Err(trouble) = step("finish", self.finish(id)).await {
            unfinished("generation", &trouble);
        }
    }

    /// Takes the step that is due for one generation.
    async fn finish(&self, id: GenerationId) -> Result<(), Trouble> {
        let case = step("read_case", self.parts.upkeep.case(id)).await?;
        let Some(mut case) = case.filter(|case| !case.generation.stage.is_final()) else {
            return Ok(());
        };
        if matches!(case.generation.stage, Stage::Dispatched | Stage::Streaming) {
            case.generation.images = step("find", self.parts.gallery.find(id)).await?;
        }
        let now = crate::clock::now();
        let due = facts(&case).next(now);
        let done = step("take_step", self.take(case, due, now)).await;
        match done {
            // Somebody else was faster; the books have refused the second.
            Err(LedgerError::IllegalStep { .. }) => Ok(()),
            other => Ok(other?),
        }
    }

    async fn take(&self, case: Case, due: Step, now: Timestamp) -> Result<(), LedgerError> {
        let (id, ledger) = (case.generation.draft.id, &self.parts.ledger);
        match due {
            Step::Wait(_) => return Ok(()),
            Step::Void(why) => {
                let ending = voiding(&case, Some(why), now);
                step("recover_void", ledger.void(id, ending)).await?;
            }
            Step::Doubt => {
                let ending = voiding(&case, None, now);
                step("recover_doubt", ledger.doubt(id, ending)).await?;
            }
            Step::Store => {
                let delivery = delivered(&case, now);
                step("recover_store", ledger.store(id, delivery)).await?;
            }
            Step::Settle => {
                let settlement = settlement(&case, now);
                step("recover_settle", ledger.settle(id, settlement)).await?;
            }
            Step::Review => {
                step("recover_review", self.parts.upkeep.review(id, now)).await?;
                tracing::error!(generation = %id, "upstream's records contradict each other");
            }
        }
        tracing::info!(generation = %id, from = %case.generation.stage, step = ?due, "recovered");
        self.parts.metrics.recovered(due);
        Ok(())
    }

    /// Asks the questions whose time has come.
    async fn ask(&self) {
        loop {
            let now = crate::clock::now();
            let due = step("list_due", self.parts.upkeep.questions(now, PAGE)).await;
            let due = match due {
                Ok(due) => due,
                Err(error) => return unfinished("questions", &error.into()),
            };
            if due.is_empty() {
                return;
            }
            let work = iter(due).for_each_concurrent(ASKED_AT_ONCE, |asking| self.ask_one(asking));
            step("ask_all", work).await;
        }
    }

    async fn ask_one(&self, asking: Asking) {
        let id = asking.generation;
        let payers = &self.parts.payers;
        let asked = payers.bill_of(&asking.upstream_id, asking.own_key.as_ref());
        let answer = match step("recover_ask", asked).await {
            Ok(Bill::Cost(cost)) => Answer::Told(cost),
            Ok(Bill::NotFiled | Bill::NoCost) | Err(NoBill::NoKey) => Answer::Nothing,
            Ok(Bill::OfAnother) => Answer::Contradiction,
            Err(error) => {
                tracing::warn!(generation = %id, %error, "what a call cost cannot be asked now");
                Answer::Nothing
            }
        };
        let noted = self
            .parts
            .upkeep
            .answer(&asking, answer, crate::clock::now());
        match step("note_answered", noted).await {
            Ok(()) if answer != Answer::Nothing => Box::pin(step("look", self.look(id))).await,
            Ok(()) => {}
            Err(error) => unfinished("answer", &error.into()),
        }
    }

    /// Removes pictures whose time is up; their records and charges stay.
    async fn expire(&self) {
        let Ok(retention) = SignedDuration::try_from(self.parts.retention) else {
            return;
        };
        let Ok(before) = crate::clock::now().checked_sub(retention) else {
            return;
        };
        loop {
            let page = step("list_expired", self.parts.upkeep.expired(before, PAGE)).await;
            let page = match page {
                Ok(page) => page,
                Err(error) => return unfinished("expired", &error.into()),
            };
            if page.is_empty() {
                return;
            }
            for one in page {
                if let Err(trouble) = step("expire_one", self.expire_one(one)).await {
                    return unfinished("expiry", &trouble);
                }
            }
        }
    }

    /// The files first: a mark without them would leave them for ever.
    async fn expire_one(&self, one: Expired) -> Result<(), Trouble> {
        for name in &one.object_names {
            step("remove", self.parts.gallery.remove(name)).await?;
        }
        let marked = self.parts.upkeep.expire(one.id, crate::clock::now());
        Ok(step("expire", marked).await?)
    }
}

/// What decides about a generation.
fn facts(case: &Case) -> Facts {
    let draft = &case.generation.draft;
    Facts {
        stage: case.generation.stage,
        since: case.since,
        created: draft.created,
        deadline: draft.deadline,
        has_pictures: !case.generation.images.is_empty(),
        calls: case.calls.clone(),
    }
}

/// Nothing is lost: the next sweep finds it again.
fn unfinished(what: &'static str, trouble: &Trouble) {
    tracing::error!(
        what,
        error = trouble as &dyn std::error::Error,
        "the recovery could not go on"
    );
}

//! The price list in force, and how it is kept up to date (`domain.md` R25): read from OpenRouter
//! at the start, every so often and when the operator asks, taken over whole or not at all.
//! Whoever takes [`Prices::current`] keeps that list until it is done (`domain.md` R26).

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::domain::catalog::{Absurd, Catalog, Kept, PriceChange, Renewal, renew};
use crate::domain::generation::KeyMode;
use crate::domain::ids::Slug;
use crate::domain::listing::Listed;
use crate::domain::pricelist::PriceList;
use crate::domain::recent::Recent;
use crate::domain::trail::{Actor, By};
use crate::metrics::Metrics;
use crate::ports::{ChangePlace, ListError, ListUpdate, Lister, PriceStore, SettingsError};

/// How often it is looked what pictures really cost.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Syncs are spread by up to this share of their interval, in percent, so that gateways which were
/// started together do not ask together.
const JITTER_PERCENT: u32 = 10;

/// A list is stale when this many syncs in a row should have brought another.
const STALE_AFTER: u32 = 3;

/// What the price list is made of.
#[derive(Debug)]
pub struct Parts {
    /// Who tells prices.
    pub lister: Arc<dyn Lister>,
    /// Who keeps them.
    pub store: Arc<dyn PriceStore>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// How often upstream is asked; never by itself if it is `None`.
    pub interval: Option<Duration>,
    /// Runs what must not end in the midst because a caller hangs up. Not that of generations, which
    /// have as long as a drain takes.
    pub tracker: TaskTracker,
    /// Cancelled when the gateway goes down: a list that is not whole by then is not read to its end.
    pub stop: CancellationToken,
}

/// The price list in force.
#[derive(Debug)]
pub struct Prices {
    parts: Parts,
    current: RwLock<Arc<PriceList>>,
    /// What the list follows from. Who holds it is the only one that changes the list, and asks
    /// nothing of upstream meanwhile.
    kept: Mutex<Vec<Kept>>,
    /// The sync that runs, if one does: there is never another beside it.
    running: std::sync::Mutex<Option<Running>>,
}

/// A sync that runs, for everybody who waits for it.
type Running = Shared<BoxFuture<'static, Result<Synced, Arc<SyncError>>>>;

/// What a sync has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synced {
    /// When the list was read.
    pub at: Timestamp,
    /// Models that were not known, or had been withdrawn.
    pub added: u32,
    /// Models that are no longer offered.
    pub withdrawn: u32,
    /// Prices that moved.
    pub prices: usize,
    /// Of them, those that are hard to believe.
    pub flagged: usize,
}

/// Why a sync changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// Upstream told no list.
    #[error(transparent)]
    List(#[from] ListError),
    /// It told one that cannot be true.
    #[error("upstream's list cannot be true: {0}")]
    Absurd(#[from] Absurd),
    /// The list could not be kept.
    #[error("the list could not be kept")]
    Store(#[from] SettingsError),
    /// The gateway went down before the list was whole.
    #[error("the gateway is going down")]
    Stopped,
}

// === impl Prices ===

impl Prices {
    /// The last list that was kept; before the first sync the given one.
    ///
    /// # Errors
    /// If what was kept cannot be read.
    pub async fn open(parts: Parts, before: Catalog) -> Result<Self, SettingsError> {
        let kept = parts.store.kept().await?;
        let (catalog, last_sync) = match &kept {
            Some(list) => {
                let catalog = Catalog::synced(&list.models, list.read, crate::clock::now());
                (catalog, Some(list.read))
            }
            None => (before, None),
        };
        let recent = parts.store.figures().await?;
        parts.metrics.prices_in_force(&catalog, last_sync);
        Ok(Self {
            current: RwLock::new(Arc::new(PriceList {
                catalog: Arc::new(catalog),
                recent: Arc::new(Recent::new(recent)),
                last_sync,
                trouble: None,
                key_mode: KeyMode::Platform,
            })),
            kept: Mutex::new(kept.map(|list| list.models).unwrap_or_default()),
            running: std::sync::Mutex::default(),
            parts,
        })
    }

    /// The list of this moment.
    pub fn current(&self) -> Arc<PriceList> {
        let current = self.current.read();
        Arc::clone(&current.unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the list may be out of date.
    pub fn is_stale(&self, list: &PriceList, now: Timestamp) -> bool {
        let patience = self.parts.interval.map(|every| every * STALE_AFTER);
        let patience = patience.and_then(|patience| patience.try_into().ok());
        let old = |patience| {
            list.last_sync
                .is_some_and(|at| now.duration_since(at) > patience)
        };
        list.trouble.is_some() || patience.is_some_and(old)
    }

    /// Reads upstream's list and takes it over, whoever hangs up meanwhile. Whoever comes while that
    /// runs gets its result; whoever began it is told of in the audit trail.
    ///
    /// # Errors
    /// Nothing has changed but what [`PriceList::trouble`] says.
    pub async fn sync(self: &Arc<Self>, actor: Actor) -> Result<Synced, Arc<SyncError>> {
        let running = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.get_or_insert_with(|| self.begin(actor)).clone()
        };
        running.await
    }

    fn begin(self: &Arc<Self>, actor: Actor) -> Running {
        let prices = Arc::clone(self);
        let syncing = self.parts.tracker.spawn(async move {
            let synced = prices.sync_here(actor).await;
            *prices
                .running
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = None;
            synced
        });
        let told = syncing.map(|told| told.unwrap_or(Err(SyncError::Stopped)).map_err(Arc::new));
        told.boxed().shared()
    }

    async fn sync_here(&self, actor: Actor) -> Result<Synced, SyncError> {
        // Only what upstream has not told is given up: what is being kept is kept.
        let listing = self.parts.lister.list();
        let Some(listing) = self.parts.stop.run_until_cancelled(listing).await else {
            return Err(SyncError::Stopped);
        };
        let renewed = match listing {
            Ok(listing) => self.renew(listing, actor).await,
            Err(error) => Err(error.into()),
        };
        self.look().await;
        self.parts.metrics.prices_synced(renewed.is_ok());
        match &renewed {
            Ok(synced) => self.recovered(synced),
            Err(error) => self.failed(error),
        }
        renewed
    }

    /// Believes the price of a model; without a doubt about it nothing happens. Tells whether there
    /// was one.
    ///
    /// # Errors
    /// If that could not be kept.
    pub async fn confirm(&self, slug: &Slug, actor: Actor) -> Result<bool, SettingsError> {
        let mut kept = self.kept.lock().await;
        let mut found = kept.iter_mut();
        let doubted = found.find(|one| one.listed.slug == *slug && one.caution.is_some());
        let (Some(doubted), Some(read)) = (doubted, self.current().last_sync) else {
            return Ok(false);
        };
        let by = By {
            actor,
            at: crate::clock::now(),
        };
        self.parts.store.believe(doubted.clone(), by).await?;
        doubted.caution = None;
        self.put(&kept, read);
        Ok(true)
    }

    /// Price changes, the newest first; see [`PriceStore::price_changes`].
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn changes(
        &self,
        model: Option<Slug>,
        after: Option<ChangePlace>,
        limit: u32,
    ) -> Result<Vec<PriceChange>, SettingsError> {
        self.parts.store.price_changes(model, after, limit).await
    }

    /// Syncs every so often, and looks what pictures cost, until told to stop; then waits for what
    /// is being kept.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let work = async { tokio::join!(self.keep_in_sync(), self.keep_looking()) };
        stop.run_until_cancelled(work).await;
        self.parts.tracker.close();
        self.parts.tracker.wait().await;
    }

    async fn keep_in_sync(self: &Arc<Self>) {
        let Some(interval) = self.parts.interval else {
            return;
        };
        loop {
            // What went wrong is told by `sync` itself.
            let _ = self.sync(Actor::Gateway).await;
            sleep_until(Instant::now() + jittered(interval)).await;
        }
    }

    async fn keep_looking(&self) {
        loop {
            sleep_until(Instant::now() + LOOK_EVERY).await;
            self.look().await;
        }
    }

    /// Looks what pictures cost.
    async fn look(&self) {
        match self.parts.store.figures().await {
            Ok(figures) => {
                let recent = Arc::new(Recent::new(figures));
                self.change(|list| list.recent = recent);
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "what pictures cost lately cannot be read");
            }
        }
    }

    async fn renew(&self, listing: Vec<Listed>, actor: Actor) -> Result<Synced, SyncError> {
        let mut kept = self.kept.lock().await;
        let now = crate::clock::now();
        let Renewal {
            kept: next,
            changed,
            prices,
            added,
            withdrawn,
            by_last_good,
        } = renew(&kept, listing, now)?;
        let synced = Synced {
            at: now,
            added,
            withdrawn,
            prices: prices.len(),
            flagged: prices.iter().filter(|change| change.flagged).count(),
        };
        let is_new = |one: &&Kept| changed.contains(&one.listed.slug);
        let models = next.iter().filter(is_new).cloned().collect();
        for change in prices.iter().filter(|change| change.flagged) {
            tracing::warn!(
                model = %change.slug, price = %change.part,
                before = %change.before, after = %change.after,
                "a price is hard to believe; holds go by the dearer one until it is confirmed"
            );
        }
        for model in &by_last_good {
            tracing::warn!(%model, "a price cannot be read or is gone; the last good one stays");
        }
        let update = ListUpdate {
            models,
            prices,
            added,
            withdrawn,
        };
        let by = By { actor, at: now };
        self.parts.store.keep(update, by).await?;
        *kept = next;
        self.put(&kept, now);
        Ok(synced)
    }

    /// Puts the list into force that follows from what is kept.
    fn put(&self, kept: &[Kept], read: Timestamp) {
        let catalog = Catalog::synced(kept, read, crate::clock::now());
        self.parts.metrics.prices_in_force(&catalog, Some(read));
        let catalog = Arc::new(catalog);
        self.change(|list| {
            list.catalog = catalog;
            list.last_sync = Some(read);
        });
    }

    fn recovered(&self, synced: &Synced) {
        if self.current().trouble.is_some() {
            tracing::info!("prices are in sync again");
        }
        if synced.added > 0 || synced.withdrawn > 0 || synced.prices > 0 {
            tracing::info!(
                added = synced.added,
                withdrawn = synced.withdrawn,
                prices = synced.prices,
                "prices have changed"
            );
        }
        self.change(|list| list.trouble = None);
    }

    /// Said once, until it is well again or something else.
    fn failed(&self, error: &SyncError) {
        let trouble = error.to_string();
        if self.current().trouble.as_deref() != Some(&trouble) {
            let error = error as &dyn std::error::Error;
            tracing::warn!(error, "prices are not in sync; the last good list stays");
        }
        self.change(|list| list.trouble = Some(trouble));
    }

    fn change(&self, change: impl FnOnce(&mut PriceList)) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = PriceList::clone(&current);
        change(&mut next);
        *current = Arc::new(next);
    }
}

/// The interval, a little shorter or longer.
fn jittered(interval: Duration) -> Duration {
    let spread = interval * JITTER_PERCENT / 100;
    let mut random = [0; 4];
    // Without randomness the interval is exact, which only matters to upstream.
    let share = match getrandom::fill(&mut random) {
        Ok(()) => u32::from_le_bytes(random),
        Err(_) => u32::MAX / 2,
    };
    let whole = (spread * 2).as_nanos();
    let part = whole.saturating_mul(share.into()) / u128::from(u32::MAX);
    let part = Duration::from_nanos(u64::try_from(part).unwrap_or(0));
    interval.saturating_sub(spread).saturating_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syncs_are_spread_by_a_tenth_of_their_interval() {
        let interval = Duration::from_secs(900);
        for _ in 0..1000 {
            let next = jittered(interval);
            assert!((810..=990).contains(&next.as_secs()), "{next:?}");
        }
    }
}

//! How upstream fares, as its calls end: while too many come to nothing, further ones are refused
//! before any hold (`reliability.md` row 79; [`crate::domain::throttle`] says which).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::failure::{Failure, Reason};
use crate::domain::ids::AgentId;
use crate::domain::throttle::{Change, Demand, PROBE_EVERY, Scope, Throttle};
use crate::metrics::Metrics;

/// The upstream of a gateway, as it is seen from here.
#[derive(Debug)]
pub(super) struct Upstream {
    opened: Instant,
    throttle: Mutex<Throttle>,
    metrics: Arc<Metrics>,
}

/// The leave to send one generation's calls; its turn goes to somebody else if none is sent.
#[derive(Debug)]
pub(super) struct Leave {
    upstream: Arc<Upstream>,
    bid: Bid,
    given: Duration,
    used: AtomicBool,
}

/// What one generation asks of upstream.
#[derive(Clone, Debug)]
pub(super) struct Bid {
    /// What is drawn for whom.
    pub(super) demand: Demand,
    /// The agent that asked for it.
    pub(super) agent: AgentId,
    /// How lucky it is, among all random numbers. One for all its calls: whoever was not refused
    /// by chance before its references were fetched is not refused by chance after that.
    luck: u64,
}

// === impl Bid ===

impl Bid {
    pub(super) fn new(demand: Demand, agent: AgentId) -> Self {
        Self {
            demand,
            agent,
            // Without randomness every call is as good as the one in the middle.
            luck: getrandom::u64().unwrap_or(u64::MAX / 2),
        }
    }

    const fn who(&self) -> (&Demand, &AgentId) {
        (&self.demand, &self.agent)
    }
}

// === impl Upstream ===

impl Upstream {
    pub(super) fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            opened: Instant::now(),
            throttle: Mutex::default(),
            metrics,
        })
    }

    /// Whether there would be leave now. It takes nobody's turn, and promises nothing.
    ///
    /// # Errors
    /// `UPSTREAM_UNAVAILABLE`; nothing was begun.
    pub(super) fn would_give(&self, bid: &Bid) -> Result<(), Failure> {
        let now = self.opened.elapsed();
        let asked = self.with(|throttle| throttle.would_pass(bid.who(), now, bid.luck));
        asked.map_err(|scope| self.refusal(bid, &scope))
    }

    /// Leave to send calls, unless too many like them come to nothing. For the moment before the
    /// hold: whoever is slow until then, or is refused, would keep a turn from others.
    ///
    /// # Errors
    /// `UPSTREAM_UNAVAILABLE`; nothing was begun.
    pub(super) fn leave(self: &Arc<Self>, bid: Bid) -> Result<Leave, Failure> {
        let now = self.opened.elapsed();
        let asked = self.with(|throttle| throttle.ask(bid.who(), now, bid.luck));
        asked.map_err(|scope| self.refusal(&bid, &scope))?;
        Ok(Leave {
            upstream: Arc::clone(self),
            bid,
            given: now,
            used: AtomicBool::new(false),
        })
    }

    fn refusal(&self, bid: &Bid, scope: &Scope) -> Failure {
        self.metrics.upstream_spared(scope);
        let what = "The image provider has failed too often in the last minutes; nothing was begun. Try again in a moment.";
        Failure::new(Reason::UpstreamUnavailable, what)
            .with("model", &bid.demand.model)
            .with("spared", scope.kind())
            .retry_after(PROBE_EVERY)
    }

    fn with<T>(&self, work: impl FnOnce(&mut Throttle) -> T) -> T {
        let mut throttle = self.throttle.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut throttle)
    }
}

// === impl Leave ===

impl Leave {
    /// A call goes out now; what is returned is said again when it has ended.
    pub(super) fn use_it(&self) -> Duration {
        self.used.store(true, Ordering::Relaxed);
        self.upstream.opened.elapsed()
    }

    /// A call that went out then has ended: upstream accepted it, or did not.
    pub(super) fn ended(&self, sent: Duration, accepted: bool) {
        let now = self.upstream.opened.elapsed();
        let tell = |throttle: &mut Throttle| throttle.tell(&self.bid.demand, sent, now, accepted);
        for change in self.upstream.with(tell) {
            log(&change);
        }
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        if !*self.used.get_mut() {
            self.upstream
                .with(|throttle| throttle.give_back(self.bid.who(), self.given));
        }
    }
}

fn log(Change { scope, refuses }: &Change) {
    let kind = scope.kind();
    if *refuses {
        tracing::warn!(
            kind,
            %scope,
            "upstream fails too often; most of these calls are refused before any hold"
        );
    } else {
        tracing::info!(kind, %scope, "these calls are refused no more");
    }
}

//! How upstream fares, as its calls end: while too many come to nothing, further ones are refused
//! before any hold (`reliability.md` row 79; [`crate::domain::throttle`] says which).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::failure::{Failure, Reason};
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
    demand: Demand,
    given: Duration,
    used: AtomicBool,
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

    /// Leave to send calls, unless too many like them come to nothing.
    ///
    /// # Errors
    /// `UPSTREAM_UNAVAILABLE`; nothing was begun.
    pub(super) fn leave(self: &Arc<Self>, demand: Demand) -> Result<Leave, Failure> {
        // Without randomness every call is as good as the one in the middle.
        let draw = getrandom::u64().unwrap_or(u64::MAX / 2);
        let now = self.opened.elapsed();
        let asked = self.with(|throttle| throttle.ask(&demand, now, draw));
        if let Err(scope) = asked {
            self.metrics.upstream_spared(&scope);
            return Err(browned_out(&demand, &scope));
        }
        Ok(Leave {
            upstream: Arc::clone(self),
            demand,
            given: now,
            used: AtomicBool::new(false),
        })
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
        let tell = |throttle: &mut Throttle| throttle.tell(&self.demand, sent, now, accepted);
        for change in self.upstream.with(tell) {
            log(&change);
        }
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        if !*self.used.get_mut() {
            self.upstream
                .with(|throttle| throttle.give_back(&self.demand, self.given));
        }
    }
}

fn browned_out(demand: &Demand, scope: &Scope) -> Failure {
    let what = "The image provider has failed too often in the last minutes; nothing was begun. Try again in a moment.";
    Failure::new(Reason::UpstreamUnavailable, what)
        .with("model", &demand.model)
        .with("spared", scope.kind())
        .retry_after(PROBE_EVERY)
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

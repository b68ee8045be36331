//! Quantiles, of measurements and of Prometheus histograms.

use std::time::Duration;

use serde::Serialize;

/// The middle and the end of some measurements, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// A cumulative histogram as `/metrics` shows it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histogram {
    /// Upper bounds in seconds and how many were not above.
    buckets: Vec<(f64, f64)>,
}

/// A page of `/metrics`.
#[derive(Debug)]
pub(crate) struct Scrape {
    pub(crate) page: String,
}

// === impl Spread ===

impl Spread {
    /// By nearest rank; zero of nothing.
    pub(crate) fn of(mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        let rank = |percent: usize| {
            let rank = (took.len() * percent).div_ceil(100).max(1);
            took.get(rank - 1).copied().map_or(0.0, millis)
        };
        Self {
            p50_ms: rank(50),
            p99_ms: rank(99),
        }
    }

    /// What this has more than `other`, quantile by quantile.
    pub(crate) fn minus(self, other: Self) -> Self {
        Self {
            p50_ms: self.p50_ms - other.p50_ms,
            p99_ms: self.p99_ms - other.p99_ms,
        }
    }
}

// === impl Histogram ===

impl Histogram {
    /// What was observed after `earlier` was read.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let pairs = self.buckets.iter().zip(&earlier.buckets);
        Self {
            buckets: pairs
                .map(|((bound, now), (_, before))| (*bound, now - before))
                .collect(),
        }
    }

    /// Interpolated within a bucket, as Prometheus' `histogram_quantile` does it.
    pub(crate) fn spread(&self) -> Spread {
        Spread {
            p50_ms: self.quantile(0.50) * 1e3,
            p99_ms: self.quantile(0.99) * 1e3,
        }
    }

    fn quantile(&self, quantile: f64) -> f64 {
        let count = self.buckets.last().map_or(0.0, |(_, count)| *count);
        let rank = quantile * count;
        let (mut lower, mut below) = (0.0, 0.0);
        for (bound, count) in &self.buckets {
            if *count >= rank && *count > below {
                // There is nothing to interpolate to beyond the last bound.
                let upper = if bound.is_finite() { *bound } else { lower };
                return lower + (upper - lower) * (rank - below) / (count - below);
            }
            (lower, below) = (*bound, *count);
        }
        0.0
    }
}

// === impl Scrape ===

impl Scrape {
    /// `image_gateway_own_seconds`, what the gateway says of itself: from its task's begin to the
    /// order's sending, plus from the end of the answer to the receipt. That is two durable commits
    /// (dispatched, settled). The hold lies before it; the file's sync is counted as upstream's.
    pub(crate) fn own(&self) -> Histogram {
        let prefix = "image_gateway_own_seconds_bucket{le=\"";
        let lines = self.page.lines().filter_map(|line| {
            let (bound, count) = line.strip_prefix(prefix)?.split_once("\"} ")?;
            let bound = match bound {
                "+Inf" => f64::INFINITY,
                bound => bound.parse().ok()?,
            };
            Some((bound, count.parse().ok()?))
        });
        Histogram {
            buckets: lines.collect(),
        }
    }

    /// Holds that are neither settled nor voided.
    pub(crate) fn open_holds(&self) -> u64 {
        self.number("image_gateway_open_holds ")
    }

    /// Generations that run.
    pub(crate) fn in_flight(&self) -> u64 {
        self.number("image_gateway_generations_in_flight ")
    }

    /// Connections of the gRPC port that are open.
    pub(crate) fn connections(&self) -> u64 {
        self.number("image_gateway_connections ")
    }

    fn number(&self, name: &str) -> u64 {
        let line = self.page.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

/// A time in milliseconds.
pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

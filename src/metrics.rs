//! What the gateway counts, for Prometheus. One value owns its registry, so that two gateways in
//! one process (tests, the demo) never mix. Labels come from closed sets only: nothing a caller
//! types can make a series.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::domain::failure::Reason;
use crate::domain::generation::{CostSource, KeyMode};
use crate::domain::money::Credits;
use crate::domain::recovery::Step;
use crate::domain::throttle::Scope;
use crate::ports::DrawCause;
pub use checks::CostCheck;
use checks::CostChecks;
use connections::Connections;
pub use connections::{ConnectionEnd, OpenConnection};
use prices::PriceFigures;

mod checks;
mod connections;
mod prices;

/// What [`Metrics::encode`] writes: the media type of OpenMetrics text, version 1.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The label of what went well.
const OK: &str = "OK";

/// Seconds that the gateway itself may add to a call: durable writes and disk, 0.1 ms to 1 s.
const OWN_SECONDS: [f64; 13] = [
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0,
];

/// Seconds that drawing takes: 0.1 s for refusals to 10 minutes for the slowest models.
const UPSTREAM_SECONDS: [f64; 13] = [
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0,
];

/// A set of labels: names and values known when the program is compiled.
type Labels<const N: usize> = [(&'static str, &'static str); N];

/// Everything that is counted.
pub struct Metrics {
    registry: Registry,
    calls: Family<Labels<2>, Counter>,
    in_flight: Gauge,
    own: Histogram,
    upstream: Histogram,
    images: Counter,
    image_bytes: Counter,
    credits: CreditsCharged,
    upstream_calls: Family<Labels<1>, Counter>,
    upstream_spared: Family<Labels<1>, Counter>,
    open_holds: Gauge<u64, AtomicU64>,
    costs_unknown: Family<Labels<1>, Counter>,
    recovered: Family<Labels<1>, Counter>,
    prices: PriceFigures,
    cost_checks: CostChecks,
    connections: Connections,
}

/// A generation that is running: counted as in flight until this is dropped.
#[must_use = "the generation counts as in flight only while this lives"]
#[derive(Debug)]
pub struct InFlight {
    metrics: Arc<Metrics>,
}

/// Credits as an exact integer inside and a decimal number outside.
#[derive(Clone, Debug, Default)]
struct CreditsCharged {
    hundredths: Arc<AtomicU64>,
}

// === impl Metrics ===

impl Metrics {
    /// Counters at zero.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("image_gateway"),
            calls: Family::default(),
            in_flight: Gauge::default(),
            own: Histogram::new(OWN_SECONDS),
            upstream: Histogram::new(UPSTREAM_SECONDS),
            images: Counter::default(),
            image_bytes: Counter::default(),
            credits: CreditsCharged::default(),
            upstream_calls: Family::default(),
            upstream_spared: Family::default(),
            open_holds: Gauge::default(),
            costs_unknown: Family::default(),
            recovered: Family::default(),
            prices: PriceFigures::default(),
            cost_checks: CostChecks::default(),
            connections: Connections::default(),
        };
        metrics.prices.register(&mut metrics.registry);
        metrics.register_calls();
        metrics.register_results();
        metrics.cost_checks.register(&mut metrics.registry);
        metrics.connections.register(&mut metrics.registry);
        metrics.begin_at_zero();
        metrics
    }

    /// A series that appears with its first event hides that event from `rate()`.
    fn begin_at_zero(&self) {
        let _ = self.upstream_calls.get_or_create(&[("outcome", OK)]);
        for source in CostSource::ALL
            .iter()
            .filter(|source| **source != CostSource::Usage)
        {
            let _ = self
                .costs_unknown
                .get_or_create(&[("source", source.as_str())]);
        }
    }

    /// A call was answered: `reason` is why it failed, or nothing if it did not. `rpc` is the
    /// method's name in the contract.
    pub fn call_finished(&self, rpc: &'static str, reason: Option<Reason>) {
        let reason = reason.map_or(OK, Reason::as_str);
        self.calls
            .get_or_create(&[("rpc", rpc), ("reason", reason)])
            .inc();
    }

    /// A generation runs for as long as the answer of this is kept.
    pub fn generation_started(self: &Arc<Self>) -> InFlight {
        self.in_flight.inc();
        InFlight {
            metrics: Arc::clone(self),
        }
    }

    /// A generation ended: `own` is what the gateway added, `upstream` what drawing took.
    pub fn generation_finished(&self, own: Duration, upstream: Duration) {
        self.own.observe(own.as_secs_f64());
        self.upstream.observe(upstream.as_secs_f64());
    }

    /// Images were charged.
    pub fn images_settled(&self, images: u32, bytes: u64, credits: Credits) {
        self.images.inc_by(u64::from(images));
        self.image_bytes.inc_by(bytes);
        self.credits.add(credits);
    }

    /// A call to OpenRouter ended: `outcome` is why it brought no picture, or nothing if it did.
    /// What is wrong with the platform's key is the operator's to mend, with another not.
    pub fn upstream_call(&self, key: KeyMode, outcome: Option<DrawCause>) {
        let outcome = outcome.map_or(OK, |cause| cause_label(key, cause));
        self.upstream_calls
            .get_or_create(&[("outcome", outcome)])
            .inc();
    }

    /// A call was refused before its hold, because too many of this scope come to nothing.
    pub fn upstream_spared(&self, scope: &Scope) {
        self.upstream_spared
            .get_or_create(&[("scope", scope.kind())])
            .inc();
    }

    /// How many holds are open in the books.
    pub fn set_open_holds(&self, holds: u64) {
        self.open_holds.set(holds);
    }

    /// An answer did not say what it cost, and the charge rests on `source` instead.
    pub fn cost_unknown(&self, source: CostSource) {
        self.costs_unknown
            .get_or_create(&[("source", source.as_str())])
            .inc();
    }

    /// The recovery has taken a step that nobody else would have taken.
    pub fn recovered(&self, step: Step) {
        let step = match step {
            Step::Void(_) => "void",
            Step::Settle => "settle",
            Step::Store => "store",
            Step::Doubt => "doubt",
            Step::Review => "review",
            Step::Wait(_) => return,
        };
        self.recovered.get_or_create(&[("step", step)]).inc();
    }

    /// All of it as OpenMetrics text; see [`CONTENT_TYPE`].
    pub fn encode(&self) -> String {
        let mut page = String::new();
        match text::encode(&mut page, &self.registry) {
            Ok(()) => page,
            // Writing to a string fails only if a metric refuses to be written, and a page that
            // is cut in the middle would be read as counters that went away.
            Err(fmt::Error) => String::from("# EOF\n"),
        }
    }

    fn register_calls(&mut self) {
        self.registry.register(
            "calls",
            "Calls answered, by method and by ErrorReason (OK if none)",
            self.calls.clone(),
        );
        self.registry.register(
            "generations_in_flight",
            "Generations running now",
            self.in_flight.clone(),
        );
        self.registry.register_with_unit(
            "own",
            "The gateway's own time of a generation: from the hold to the call, and from the last answer to the receipt",
            Unit::Seconds,
            self.own.clone(),
        );
        self.registry.register_with_unit(
            "upstream",
            "From the request to OpenRouter to the last byte of its answer",
            Unit::Seconds,
            self.upstream.clone(),
        );
        self.registry.register(
            "upstream_calls",
            "Calls to OpenRouter, by outcome (OK if a picture came)",
            self.upstream_calls.clone(),
        );
        self.registry.register(
            "upstream_spared",
            "Calls refused before their hold because too many failed lately: of a model for an organization, of a model, of an author, or all",
            self.upstream_spared.clone(),
        );
    }

    fn register_results(&mut self) {
        self.registry.register(
            "recovered",
            "Steps taken for generations that nobody worked on, by step",
            self.recovered.clone(),
        );
        self.registry
            .register("images", "Images charged", self.images.clone());
        self.registry.register_with_unit(
            "image",
            "Bytes of the images charged",
            Unit::Bytes,
            self.image_bytes.clone(),
        );
        self.registry.register(
            "credits_charged",
            "Credits charged; one credit is 0.0005 USD",
            self.credits.clone(),
        );
        self.registry.register(
            "open_holds",
            "Holds that are neither settled nor voided",
            self.open_holds.clone(),
        );
        self.registry.register(
            "cost_unknown",
            "Charges whose cost the answer did not say, by where it was taken from instead",
            self.costs_unknown.clone(),
        );
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics")
            .field("in_flight", &self.in_flight.get())
            .field("open_holds", &self.open_holds.get())
            .finish_non_exhaustive()
    }
}

// === impl InFlight ===

impl Drop for InFlight {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
    }
}

// === impl CreditsCharged ===

impl CreditsCharged {
    /// A negative amount is no charge, and a counter never goes down.
    fn add(&self, credits: Credits) {
        let hundredths = u64::try_from(credits.hundredths()).unwrap_or(0);
        self.hundredths.fetch_add(hundredths, Ordering::Relaxed);
    }

    /// The nearest number that the text format's reader, a float, can hold. Read from the decimal
    /// text, because money is not divided as a float here.
    fn total(&self) -> f64 {
        let hundredths = self.hundredths.load(Ordering::Relaxed);
        let credits = Credits::from_hundredths(i64::try_from(hundredths).unwrap_or(i64::MAX));
        credits.to_string().parse().unwrap_or(f64::NAN)
    }
}

impl EncodeMetric for CreditsCharged {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        ConstCounter::new(self.total()).encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

const fn cause_label(key: KeyMode, cause: DrawCause) -> &'static str {
    match cause {
        DrawCause::InvalidRequest => "invalid_request",
        DrawCause::PromptRejected => "prompt_rejected",
        DrawCause::OutputRejected => "output_rejected",
        DrawCause::ModelUnavailable => "model_unavailable",
        DrawCause::ReferenceInvalid => "reference_invalid",
        DrawCause::ReferenceTooLarge => "reference_too_large",
        DrawCause::KeyRateLimited if matches!(key, KeyMode::Organization) => "own_key_rate_limited",
        DrawCause::RateLimited | DrawCause::KeyRateLimited => "rate_limited",
        DrawCause::Timeout => "timeout",
        DrawCause::Unavailable => "unavailable",
        DrawCause::KeyRefused if matches!(key, KeyMode::Organization) => "own_key_refused",
        DrawCause::KeyOutOfCredit if matches!(key, KeyMode::Organization) => {
            "own_key_out_of_credit"
        }
        DrawCause::KeyRefused | DrawCause::KeyOutOfCredit => "ours_to_mend",
        DrawCause::OursToMend => "ours_to_mend",
        DrawCause::NoImage => "no_image",
        DrawCause::ImageInvalid => "image_invalid",
    }
}

#[cfg(test)]
mod tests;

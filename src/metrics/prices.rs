//! Figures of the price list.

use std::sync::Arc;

use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::{Labels, Metrics, OK};
use crate::domain::catalog::{Catalog, Model, Usability};

/// The label of a sync that changed nothing.
const FAILED: &str = "FAILED";

/// What is counted of the price list.
#[derive(Debug, Default)]
pub(super) struct PriceFigures {
    syncs: Family<Labels<1>, Counter>,
    last_sync: Gauge,
    models: Family<Labels<1>, Gauge>,
    doubted: Gauge,
    by_last_good: Gauge,
    free: Counter,
}

impl PriceFigures {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Readings of OpenRouter's lists, by outcome";
        registry.register("price_syncs", help, self.syncs.clone());
        for outcome in [OK, FAILED] {
            let _ = self.syncs.get_or_create(&[("outcome", outcome)]);
        }
        registry.register_with_unit(
            "price_list_read",
            "When the list in force was read, since 1970; 0 if it is the published page's",
            Unit::Seconds,
            self.last_sync.clone(),
        );
        let help = "Models in the list, by whether they can draw";
        registry.register("models", help, self.models.clone());
        let help = "Prices that are hard to believe and not confirmed yet";
        registry.register("prices_unconfirmed", help, self.doubted.clone());
        let help = "Models with a price that is not listed so any more; the last good one stays";
        registry.register("models_by_last_good_price", help, self.by_last_good.clone());
        let help = "Images charged at a cost of 0 USD although their model has a price";
        registry.register("images_free_unexpectedly", help, self.free.clone());
    }
}

impl Metrics {
    /// Upstream's lists were read, or could not be.
    pub fn prices_synced(&self, ok: bool) {
        let outcome = if ok { OK } else { FAILED };
        self.prices
            .syncs
            .get_or_create(&[("outcome", outcome)])
            .inc();
    }

    /// A list is in force from now on.
    pub fn prices_in_force(&self, catalog: &Catalog, read: Option<Timestamp>) {
        self.prices
            .last_sync
            .set(read.map_or(0, Timestamp::as_second));
        for state in Usability::OF_A_MODEL {
            let models = catalog.models().iter();
            let count = models
                .filter(|model| model.usability(true) == state)
                .count();
            let gauge = self
                .prices
                .models
                .get_or_create(&[("state", state.cause())]);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let doubted = catalog
            .models()
            .iter()
            .filter(|model| model.caution_since.is_some());
        self.prices
            .doubted
            .set(i64::try_from(doubted.count()).unwrap_or(i64::MAX));
        let by_last_good = |model: &&Arc<Model>| {
            let mut lines = model.price_lines.iter();
            lines.any(|line| !line.last_good.is_empty())
        };
        let by_last_good = catalog.models().iter().filter(by_last_good);
        self.prices
            .by_last_good
            .set(i64::try_from(by_last_good.count()).unwrap_or(i64::MAX));
    }

    /// Images of a model with a price were said to cost nothing (`domain.md` C16).
    pub fn images_free(&self, images: u32) {
        self.prices.free.inc_by(images.into());
    }
}

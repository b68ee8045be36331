//! Figures of costs that are asked for a second time.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::{Labels, Metrics};
use crate::domain::shape::words;

words! {
    /// What came of asking a second time what a call has cost.
    CostCheck {
        /// The records say what the answer said.
        Same = "same",
        /// They say less: the difference comes back, unless an organization's own key paid it.
        Lower = "lower",
        /// They say more: the platform bears the difference, if its key paid.
        Higher = "higher",
        /// There is no record of the call, or none that names its cost.
        Missing = "missing",
        /// Nobody answered about this call, though the records of others were found; or it was made
        /// with an organization's own key, and with that nobody answered, or it is gone or not taken any
        /// more.
        Unanswered = "unanswered",
    }
}

/// What is counted of it.
#[derive(Debug, Default)]
pub(super) struct CostChecks {
    checks: Family<Labels<1>, Counter>,
}

impl CostChecks {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Calls whose cost was asked for a second time, by what the records say of it";
        registry.register("cost_checks", help, self.checks.clone());
        for outcome in CostCheck::ALL {
            let _ = self.of(*outcome);
        }
    }

    fn of(&self, outcome: CostCheck) -> impl std::ops::Deref<Target = Counter> + '_ {
        self.checks.get_or_create(&[("outcome", outcome.as_str())])
    }
}

impl Metrics {
    /// A call was asked about a second time, and what came of it is in the books.
    pub fn cost_checked(&self, outcome: CostCheck) {
        self.cost_checks.of(outcome).inc();
    }
}

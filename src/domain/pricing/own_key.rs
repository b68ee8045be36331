//! What pictures cost an organization that draws with its own OpenRouter key.

use super::{Bounds, Estimate};
use crate::domain::money::own_key_charge;

// === impl Estimate ===

impl Estimate {
    /// The same for an organization that draws with its own key: 1 credit per image, and beside it
    /// what OpenRouter will bill that key (`domain.md` R10, C33). What it sorts by stays.
    #[must_use]
    pub fn with_own_key(self, count: u32) -> Self {
        let credits = own_key_charge(count);
        Self {
            bounds: Bounds {
                low: credits,
                expected: credits,
                high: credits,
            },
            display: count.to_string(),
            basis: format!(
                "1 credit per image with the organization's own OpenRouter key, which pays {} USD: {}",
                self.usd.normalize(),
                self.basis
            ),
            recent: None,
            ..self
        }
    }
}

//! USD as a reconciliation adds them up, and as it prints them.

use rust_decimal::Decimal;

use crate::domain::money::UsdCost;

/// A cost of the books, in USD.
pub(super) fn usd(cost: UsdCost) -> Decimal {
    Decimal::from_i128_with_scale(cost.pico().into(), 12)
}

/// USD without zeros that say nothing.
pub(super) fn plain(usd: Decimal) -> String {
    usd.normalize().to_string()
}

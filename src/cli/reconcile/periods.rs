//! The sums of a key: of today, this week, this month, and ever, as OpenRouter tells them, and whether
//! what is uncertain is enough to make a difference.

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use serde::Serialize;

use super::amounts::{plain, usd};
use crate::domain::money::UsdCost;
use crate::openrouter::KeyUsage;
use crate::ports::{Day, Item};

/// One period.
#[derive(Serialize)]
pub(super) struct Period {
    pub(super) period: &'static str,
    /// Its first day; none if it is ever.
    #[serde(skip)]
    from: Option<Date>,
    #[serde(skip)]
    apart: Decimal,
    pub(super) ours: String,
    pub(super) theirs: Option<String>,
    pub(super) difference: Option<String>,
}

/// Today, this week, this month, and ever.
pub(super) fn periods(days: &[Day], theirs: &KeyUsage) -> Vec<Period> {
    let today = TimeZone::UTC.to_datetime(crate::clock::now()).date();
    let monday = (0..7)
        .filter_map(|back| today.checked_sub(jiff::Span::new().days(back)).ok())
        .find(|day| day.weekday() == Weekday::Monday);
    let since = |from: Option<Date>| {
        let from = from.map(|day| day.to_string()).unwrap_or_default();
        let days = days.iter().filter(|day| day.day >= from);
        days.map(|day| usd(day.charged) + usd(day.absorbed))
            .sum::<Decimal>()
    };
    let period = |period, from: Option<Date>, theirs: Option<UsdCost>| {
        let (ours, theirs) = (since(from), theirs.map(usd));
        Period {
            period,
            from,
            apart: theirs.map_or(Decimal::ZERO, |theirs| theirs - ours),
            ours: plain(ours),
            theirs: theirs.map(plain),
            difference: theirs.map(|theirs| plain(theirs - ours)),
        }
    };
    vec![
        period("today", Some(today), theirs.day),
        period("this week", monday, theirs.week),
        period("this month", Some(today.first_of_month()), theirs.month),
        period("ever", None, theirs.all),
    ]
}

// === impl Period ===

impl Period {
    /// Whether what is not certain is enough to make the difference: what is in our books and may
    /// not be in the bill, and what may be in the bill beyond our books.
    pub(super) fn is_explained(&self, items: &[Item]) -> bool {
        let of_period = |item: &&Item| {
            let day = TimeZone::UTC.to_datetime(item.created).date();
            self.from.is_none_or(|from| day >= from)
        };
        let (mut below, mut above) = (Decimal::ZERO, Decimal::ZERO);
        for item in items.iter().filter(of_period) {
            below += usd(item.ours);
            above += usd(item.most) - usd(item.ours);
        }
        -below <= self.apart && self.apart <= above
    }
}

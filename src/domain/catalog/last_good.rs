//! A price that cannot be read, or is gone without a word: the last good one stands, beside what is
//! listed (`domain.md` C19). It is never replaced by the price of something else, such as that of
//! 1K by the absence of one for 4K.

use super::reading::{ENTRIES_MAX, believable, prices_pictures};
use crate::domain::listing::{Listed, ListedPrices, PriceLine};

/// What is listed, with the last good price beside each that cannot be read. If no line is left by
/// which pictures could be priced, the last good lines stay.
pub(super) fn beside(old: &Listed, mut listed: Listed) -> Listed {
    listed.last_good = prices(old, &listed);
    let (Some(before), Some(offer)) = (&old.offer, &mut listed.offer) else {
        return listed;
    };
    for line in &mut offer.lines {
        line.last_good = last_good(&before.lines, line);
    }
    let priced = |lines: &[PriceLine]| lines.iter().any(prices_pictures);
    if priced(&before.lines) && !priced(&offer.lines) {
        let good = before.lines.iter();
        let good = good.filter(|line| believable(line.in_use()).is_some());
        let gone = good.filter(|line| !offer.lines.iter().any(|now| is_same(line, now)));
        let mut kept: Vec<_> = gone.map(no_longer_listed).collect();
        // Those of pictures first: what is kept of a list that changes and changes is bounded too.
        kept.sort_by_key(|line| !prices_pictures(line));
        kept.truncate(ENTRIES_MAX.saturating_sub(offer.lines.len()));
        offer.lines.extend(kept);
    }
    listed
}

fn prices(old: &Listed, listed: &Listed) -> ListedPrices {
    let before = old.prices_in_use();
    let good = |now: &str, before: &str| {
        let stands = believable(now).is_none() && believable(before).is_some();
        if stands { before } else { "" }.to_owned()
    };
    ListedPrices {
        prompt: good(&listed.prices.prompt, before.prompt),
        completion: good(&listed.prices.completion, before.completion),
        image_output: good(&listed.prices.image_output, before.image_output),
    }
}

fn last_good(before: &[PriceLine], line: &PriceLine) -> String {
    if believable(&line.usd).is_some() {
        return String::new();
    }
    let mut same = before.iter().filter(|old| is_same(old, line));
    let good = same.find(|old| believable(old.in_use()).is_some());
    good.map(|old| old.in_use().to_owned()).unwrap_or_default()
}

/// Whether both are the price of the same. The published page names no provider.
fn is_same(old: &PriceLine, line: &PriceLine) -> bool {
    let whose = old.provider == line.provider || old.provider.is_empty();
    let what = |line: &PriceLine| [&line.billable, &line.unit, &line.variant].map(String::clone);
    whose && what(old) == what(line)
}

fn no_longer_listed(line: &PriceLine) -> PriceLine {
    PriceLine {
        usd: String::new(),
        last_good: line.in_use().to_owned(),
        ..line.clone()
    }
}

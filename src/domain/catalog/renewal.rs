//! From one list to the next: what is taken over, what is kept, and what is not believed
//! (`domain.md` R25, R26, C18, C19). All or nothing: a list that cannot be true changes nothing.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;

use super::absurd::{Absurd, billed, check};
use super::watched::{PricePart, is_believable, moves};
use super::{Catalog, Model, last_good, page, reading};
use crate::domain::ids::Slug;
use crate::domain::listing::Listed;

/// How long a price that is hard to believe must stand before it is believed.
pub const CAUTION: SignedDuration = SignedDuration::from_hours(24);

/// A model with what is known of its past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// As it was last listed, with the last good price beside each that cannot be read.
    pub listed: Listed,
    /// Since when it is no longer listed.
    pub withdrawn: Option<Timestamp>,
    /// When its price last changed.
    pub price_changed: Option<Timestamp>,
    /// Set while its price is hard to believe.
    pub caution: Option<Caution>,
}

/// What stood before a price that is hard to believe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caution {
    /// As it was listed with the last price that was believed.
    pub before: Listed,
    /// When the new price came.
    pub since: Timestamp,
}

/// A change of one price, in USD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceChange {
    /// Whose price.
    pub slug: Slug,
    /// When it was noticed.
    pub at: Timestamp,
    /// Which of its prices, and so of what.
    pub part: PricePart,
    /// The price before.
    pub before: Decimal,
    /// The price since.
    pub after: Decimal,
    /// Hard to believe: more than a factor of ten away from the last price that was believed, or to
    /// or from zero. Holds go by the dearer one for a while. Of a model that makes no pictures never,
    /// because nothing is held for it.
    pub flagged: bool,
}

/// The next list.
#[derive(Clone, Debug)]
pub struct Renewal {
    /// Every model ever listed.
    pub kept: Vec<Kept>,
    /// Those of them that are not as they were before.
    pub changed: Vec<Slug>,
    /// Prices that moved.
    pub prices: Vec<PriceChange>,
    /// Models that were not known, or had been withdrawn.
    pub added: u32,
    /// Models that are no longer listed.
    pub withdrawn: u32,
    /// Models that go by a last good price, and did not before.
    pub by_last_good: Vec<Slug>,
}

/// Takes a list over. The very first is compared with the published page, as far as it lists the
/// same models. If it has image endpoints for none, whoever tells it makes pictures by chat alone: the
/// page says what they cost, and not by which door they come.
///
/// # Errors
/// [`Absurd`]: nothing is to be changed.
pub fn renew(kept: &[Kept], listing: Vec<Listed>, now: Timestamp) -> Result<Renewal, Absurd> {
    let mut listing = once_each(listing);
    let is_first = kept.is_empty();
    let by_chat = is_first && listing.values().all(|listed| listed.offer.is_none());
    let mut page: Vec<Kept> = if is_first {
        let page = page::listed().into_iter();
        let both = page.filter(|model| listing.contains_key(&model.slug));
        both.map(Kept::new).collect()
    } else {
        Vec::new()
    };
    let known = if is_first { &page } else { kept };
    let offered = known.iter().filter(|one| one.withdrawn.is_none());
    let offered: Vec<&Listed> = offered.map(|one| &one.listed).collect();
    check(&offered, &listing, by_chat)?;
    if by_chat {
        // A price of the page would bring its door along, behind which nobody is.
        page.retain(|one| listing.get(&one.listed.slug).and_then(billed).is_some());
    }
    let known = if is_first { &page } else { kept };
    let mut renewal = Renewal {
        kept: Vec::with_capacity(listing.len()),
        changed: Vec::new(),
        prices: Vec::new(),
        added: 0,
        withdrawn: 0,
        by_last_good: Vec::new(),
    };
    for old in known {
        match listing.remove(&old.listed.slug) {
            Some(listed) => renewal.go_on(old, listed, now),
            None => renewal.withdraw(old, now),
        }
    }
    let mut new: Vec<Listed> = listing.into_values().collect();
    new.sort_by(|a, b| a.slug.cmp(&b.slug));
    for listed in new {
        renewal.added += 1;
        renewal.changed.push(listed.slug.clone());
        renewal.kept.push(Kept::new(listed));
    }
    if is_first {
        let all = renewal.kept.iter();
        renewal.changed = all.map(|one| one.listed.slug.clone()).collect();
        renewal.added = u32::try_from(renewal.kept.len()).unwrap_or(u32::MAX);
    }
    Ok(renewal)
}

impl Catalog {
    /// The price list that follows from what is kept. Models of the published page that were never
    /// listed are withdrawn, so that an agent which has chosen one learns why it cannot draw.
    pub fn synced(kept: &[Kept], as_of: Timestamp, now: Timestamp) -> Self {
        let listed: HashSet<&Slug> = kept.iter().map(|one| &one.listed.slug).collect();
        let built_in = Self::built_in();
        let never = built_in
            .models()
            .iter()
            .filter(|model| !listed.contains(&model.slug));
        let never = never.map(|model| Model {
            withdrawn: true,
            ..Model::clone(model)
        });
        let models = kept.iter().map(|one| one.model(now)).chain(never);
        Self {
            synced: true,
            ..Self::new(models.collect(), as_of)
        }
    }
}

/// The last of each: a list that names a model twice is read as its last word.
fn once_each(listing: Vec<Listed>) -> HashMap<Slug, Listed> {
    let all = listing.into_iter();
    all.map(|listed| (listed.slug.clone(), listed)).collect()
}

// === impl Kept ===

impl Kept {
    /// A model without a past.
    const fn new(listed: Listed) -> Self {
        Self {
            listed,
            withdrawn: None,
            price_changed: None,
            caution: None,
        }
    }

    /// The model as callers see it.
    fn model(&self, now: Timestamp) -> Model {
        let mut model = reading::read(&self.listed);
        model.withdrawn = self.withdrawn.is_some();
        model.price_changed = self.price_changed;
        if let Some(caution) = self.caution.as_ref().filter(|caution| caution.stands(now)) {
            let before = reading::read(&caution.before);
            model.perhaps.extend(before.pricing);
            model.perhaps.extend(before.perhaps);
            model.caution_since = Some(caution.since);
        }
        model
    }
}

/// Whether one of the prices is still a leap away from what was trusted.
fn still(trusted: &Model, after: &Model, leapt: impl Fn(PricePart, Decimal) -> bool) -> bool {
    let moves = moves(trusted, after);
    moves.iter().any(|moved| leapt(moved.part, moved.after))
}

impl Caution {
    fn stands(&self, now: Timestamp) -> bool {
        now.duration_since(self.since) < CAUTION
    }
}

// === impl Renewal ===

impl Renewal {
    /// A model that was known is listed.
    fn go_on(&mut self, old: &Kept, listed: Listed, now: Timestamp) {
        let mut listed = last_good::beside(&old.listed, listed);
        if billed(&old.listed).is_some() && billed(&listed).is_none() {
            // It is asked for in another way, which has no price: the last way stands.
            listed.prices = old.listed.prices.clone();
            listed.last_good = old.listed.last_good.clone();
            listed.offer.clone_from(&old.listed.offer);
        }
        if listed.goes_by_last_good() && !old.listed.goes_by_last_good() {
            self.by_last_good.push(listed.slug.clone());
        }
        let mut next = Kept {
            listed,
            withdrawn: None,
            price_changed: old.price_changed,
            caution: old.caution.clone().filter(|caution| caution.stands(now)),
        };
        self.compare(old, &mut next, now);
        self.added += u32::from(old.withdrawn.is_some());
        self.keep(old, next);
    }

    /// Compares every price with the last one that was believed.
    fn compare(&mut self, old: &Kept, next: &mut Kept, now: Timestamp) {
        let after = reading::read(&next.listed);
        let moves = moves(&reading::read(&old.listed), &after);
        if moves.is_empty() {
            return;
        }
        let caution = next.caution.take();
        let doubted = caution.as_ref().map(|caution| caution.since);
        let before = caution.map_or_else(|| old.listed.clone(), |caution| caution.before);
        let trusted = reading::read(&before);
        let leapt = |part, usd| after.pricing.is_some() && !is_believable(part, &trusted, usd);
        let mut leaps_now = false;
        for moved in &moves {
            let flagged = leapt(moved.part, moved.after);
            leaps_now |= flagged;
            self.prices.push(PriceChange {
                slug: next.listed.slug.clone(),
                at: now,
                part: moved.part,
                before: moved.before,
                after: moved.after,
                flagged,
            });
        }
        // What did not move now may be what is doubted.
        let since = match doubted {
            _ if leaps_now => Some(now),
            Some(since) => still(&trusted, &after, leapt).then_some(since),
            None => None,
        };
        next.caution = since.map(|since| Caution { before, since });
        next.price_changed = Some(now);
    }

    /// A model that was known is not listed.
    fn withdraw(&mut self, old: &Kept, now: Timestamp) {
        self.withdrawn += u32::from(old.withdrawn.is_none());
        let next = Kept {
            withdrawn: old.withdrawn.or(Some(now)),
            ..old.clone()
        };
        self.keep(old, next);
    }

    fn keep(&mut self, old: &Kept, next: Kept) {
        if *old != next {
            self.changed.push(next.listed.slug.clone());
        }
        self.kept.push(next);
    }
}

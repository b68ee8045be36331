//! From one list to the next: what is taken over, what is kept, and what is not believed
//! (`domain.md` R25, R26, C18, C19). All or nothing: a list that cannot be true changes nothing.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;

use super::{Catalog, Model, reading};
use crate::domain::ids::Slug;
use crate::domain::listing::Listed;

/// How long a price that is hard to believe must stand before it is believed.
pub const CAUTION: SignedDuration = SignedDuration::from_hours(24);

/// A price that moves by more than this factor is hard to believe.
const BELIEVABLE_FACTOR: u32 = 10;

/// A model with what is known of its past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// As it was last listed; its prices as they could last be read.
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

/// A change of what a picture of 1K is billed, in USD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceChange {
    /// Whose price.
    pub slug: Slug,
    /// When it was noticed.
    pub at: Timestamp,
    /// The price before.
    pub before: Decimal,
    /// The price since.
    pub after: Decimal,
    /// Hard to believe: holds go by the dearer one for a while.
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
}

/// A list that cannot be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Absurd {
    /// Nothing that makes pictures is listed with a price.
    #[error("it lists no image model with a price")]
    Empty,
    /// Most of what was there is gone.
    #[error("{gone} of {known} models are gone from it")]
    HalfGone {
        /// Models that were listed before and are not now.
        gone: usize,
        /// Models that were listed before.
        known: usize,
    },
    /// Most of what had a price has none that can be read.
    #[error("the prices of {odd} of {known} image models are zero or cannot be read")]
    HalfUnpriced {
        /// Image models that had a price, and have none or nothing now.
        odd: usize,
        /// Image models that had a price.
        known: usize,
    },
}

/// Takes a list over.
///
/// # Errors
/// [`Absurd`]: nothing is to be changed.
pub fn renew(kept: &[Kept], listing: Vec<Listed>, now: Timestamp) -> Result<Renewal, Absurd> {
    let mut listing = once_each(listing);
    check(kept, &listing)?;
    let mut renewal = Renewal {
        kept: Vec::with_capacity(listing.len()),
        changed: Vec::new(),
        prices: Vec::new(),
        added: 0,
        withdrawn: 0,
    };
    for old in kept {
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
        renewal.kept.push(Kept {
            listed,
            withdrawn: None,
            price_changed: None,
            caution: None,
        });
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

fn check(kept: &[Kept], listing: &HashMap<Slug, Listed>) -> Result<(), Absurd> {
    let usd = |slug: &Slug| listing.get(slug).and_then(billed);
    if !listing.values().any(|listed| billed(listed).is_some()) {
        return Err(Absurd::Empty);
    }
    let before: Vec<&Kept> = kept.iter().filter(|one| one.withdrawn.is_none()).collect();
    let gone = before
        .iter()
        .filter(|one| !listing.contains_key(&one.listed.slug));
    let (gone, known) = (gone.count(), before.len());
    if gone * 2 > known {
        return Err(Absurd::HalfGone { gone, known });
    }
    let costs = |usd: Option<Decimal>| usd.is_some_and(|usd| !usd.is_zero());
    let priced: Vec<_> = before
        .iter()
        .filter(|one| costs(billed(&one.listed)))
        .collect();
    let odd = priced.iter().filter(|one| !costs(usd(&one.listed.slug)));
    let (odd, known) = (odd.count(), priced.len());
    if odd * 2 > known {
        return Err(Absurd::HalfUnpriced { odd, known });
    }
    Ok(())
}

/// What a picture of 1K is billed; `None` without a price that can be read.
fn billed(listed: &Listed) -> Option<Decimal> {
    reading::read(listed).pricing?.billed_at_1k()
}

/// Whether a price may have moved like this.
fn believable(before: Decimal, after: Decimal) -> bool {
    let (low, high) = (before.min(after), before.max(after));
    let most = low.checked_mul(BELIEVABLE_FACTOR.into());
    high.is_zero() || (!low.is_zero() && most.is_none_or(|most| high <= most))
}

// === impl Kept ===

impl Kept {
    /// The model as callers see it.
    fn model(&self, now: Timestamp) -> Model {
        let mut model = reading::read(&self.listed);
        model.withdrawn = self.withdrawn.is_some();
        model.price_changed = self.price_changed;
        if let Some(caution) = self.caution.as_ref().filter(|caution| caution.stands(now)) {
            let before = reading::read(&caution.before);
            model.perhaps.extend(before.pricing);
            model.caution_since = Some(caution.since);
        }
        model
    }
}

impl Caution {
    fn stands(&self, now: Timestamp) -> bool {
        now.duration_since(self.since) < CAUTION
    }
}

// === impl Renewal ===

impl Renewal {
    /// A model that was known is listed.
    fn go_on(&mut self, old: &Kept, mut listed: Listed, now: Timestamp) {
        let before = billed(&old.listed);
        let mut after = billed(&listed);
        if before.is_some() && after.is_none() {
            // The last price that could be read stands (`domain.md` C19: the true cost decides).
            listed.prices = old.listed.prices.clone();
            listed.offer.clone_from(&old.listed.offer);
            after = before;
        }
        let mut next = Kept {
            listed,
            withdrawn: None,
            price_changed: old.price_changed,
            caution: old.caution.clone().filter(|caution| caution.stands(now)),
        };
        if let (Some(before), Some(after)) = (before, after) {
            self.price(old, &mut next, (before, after), now);
        }
        self.added += u32::from(old.withdrawn.is_some());
        self.keep(old, next);
    }

    /// Compares a price with the last one that was believed.
    fn price(
        &mut self,
        old: &Kept,
        next: &mut Kept,
        (before, after): (Decimal, Decimal),
        now: Timestamp,
    ) {
        if before == after {
            return;
        }
        let caution = next.caution.take();
        let trusted = caution.map_or_else(|| old.listed.clone(), |caution| caution.before);
        let flagged = billed(&trusted).is_some_and(|trusted| !believable(trusted, after));
        if flagged {
            next.caution = Some(Caution {
                before: trusted,
                since: now,
            });
        }
        next.price_changed = Some(now);
        self.prices.push(PriceChange {
            slug: next.listed.slug.clone(),
            at: now,
            before,
            after,
            flagged,
        });
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

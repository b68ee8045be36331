//! From what came to what it costs: the receipt. Only delivered pictures are charged, and a cost
//! that cannot be believed costs the platform, not the customer.

use super::generation::{Adjustment, CallRecord, Charge, CostSource, Draft, KeyMode, StoredImage};
use super::money::{Credits, UsdCost, own_key_charge, platform_charge};
use super::pricing::Delivered;
use super::recovery::{CallFacts, Question};
use super::shape::{MEGAPIXEL, PixelSize};

/// A cost is not believed when it is above this many times the hold … (`api.md`, Rules)
const DISBELIEF_HOLDS: i64 = 10;

/// … and also above this many pico-dollars per picture: 5 USD.
const DISBELIEF_PICO_PER_IMAGE: i64 = 5_000_000_000_000;

/// Pico-dollars that one hundredth of a credit buys.
const PICO_PER_HUNDREDTH: i64 = 5_000_000;

/// What to charge, and what upstream claimed if that was not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What to charge.
    pub charge: Charge,
    /// A claimed cost that was not believed: an item for reconciliation.
    pub disputed: Option<UsdCost>,
}

/// What a charge should have been, now that costs are told which it had to compute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Correction {
    /// The whole cost as told; with the platform's key never above what was charged.
    pub cost: UsdCost,
    /// What comes back to the customer.
    pub refund: Credits,
    /// What the platform bears, because the true cost is higher than the computed one.
    pub absorbed: UsdCost,
}

/// What the books say a generation has cost, to be held against what its calls say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recounted {
    /// The cost that was charged, after its correction.
    pub charged: UsdCost,
    /// What upstream claimed, if that was not believed.
    pub disputed: Option<UsdCost>,
    /// What the platform bears because it was told later.
    pub above: UsdCost,
}

/// What the calls of a charged generation say that it cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    verdict: Verdict,
    /// Some of it was told after the call.
    later: bool,
    /// Some of it is still asked for.
    open: bool,
}

/// What is charged for these pictures (`domain.md` C1, C2, C14–C17, C20).
pub fn verdict(draft: &Draft, images: &[StoredImage], calls: &[CallRecord]) -> Verdict {
    let delivered = u32::try_from(images.len()).unwrap_or(u32::MAX);
    let counted = delivered.min(draft.requested);
    let (total, source) = total(draft, images, calls);
    let believed = believe(draft, total, counted);
    let (cost, cost_source) = match believed {
        Some(cost) => (cost, source),
        None => (cost_of_hold(draft, counted), CostSource::Estimate),
    };
    Verdict {
        charge: Charge {
            credits: due(draft.key_mode, cost, counted),
            images: counted,
            key_mode: draft.key_mode,
            cost,
            cost_source,
            refunded: Credits::ZERO,
            corrected: None,
        },
        disputed: believed.is_none().then_some(total),
    }
}

/// The rule, by whose key paid upstream.
pub fn due(key_mode: KeyMode, cost: UsdCost, images: u32) -> Credits {
    match key_mode {
        KeyMode::Platform => platform_charge(cost, images),
        KeyMode::Organization => own_key_charge(images),
    }
}

/// What upstream is known to have billed the platform for a call that brought no picture: users buy
/// pictures, so it is the platform's loss (`domain.md` C12). `None` if nothing, or if the
/// organization's own key was billed.
pub fn absorbed(key_mode: KeyMode, call: &CallRecord) -> Option<UsdCost> {
    if key_mode == KeyMode::Organization {
        return None;
    }
    let told = call.cost.filter(|_| call.images.is_empty());
    told.map(|(cost, _)| cost)
        .filter(|cost| *cost > UsdCost::ZERO)
}

/// Compares a charge with what it would be now that costs are told which it had to compute. Only
/// a lower cost changes what the customer paid (`domain.md` C15).
pub fn correction(charge: &Charge, now: &Verdict) -> Correction {
    let unchanged = Correction {
        cost: charge.cost,
        ..Correction::default()
    };
    // What cannot be believed is for an operator to look at.
    if now.disputed.is_some() {
        return unchanged;
    }
    // What the organization's own key was billed is told as it is; the credits do not go by it.
    if charge.key_mode == KeyMode::Organization {
        return Correction {
            cost: now.charge.cost,
            ..unchanged
        };
    }
    match now.charge.cost.pico() - charge.cost.pico() {
        above if above >= 0 => Correction {
            absorbed: UsdCost::from_pico(above).unwrap_or(UsdCost::ZERO),
            ..unchanged
        },
        _ => Correction {
            cost: now.charge.cost,
            refund: charge.credits.saturating_sub(now.charge.credits),
            absorbed: UsdCost::ZERO,
        },
    }
}

/// What the calls say that these pictures cost; `None` if one of them never told.
pub fn recount(draft: &Draft, images: &[StoredImage], calls: &[CallFacts]) -> Option<Told> {
    let asked = |question| calls.iter().any(|call| call.question == question);
    let records: Vec<CallRecord> = calls.iter().map(|call| call.record.clone()).collect();
    let mut brought = records.iter().filter(|call| !call.images.is_empty());
    let all_told = brought.clone().all(|call| call.cost.is_some());
    (all_told && brought.next().is_some()).then(|| Told {
        verdict: verdict(draft, images, &records),
        later: asked(Question::Answered),
        open: asked(Question::Open),
    })
}

/// What came in another outline than was asked for (`api.md`: more than 3 %).
pub fn measured_adjustments(draft: &Draft, images: &[StoredImage]) -> Vec<Adjustment> {
    let mut adjustments = Vec::new();
    let told_shape = draft.sent.aspect_ratio.is_some() || draft.sent.size.is_some();
    let misshapen = |image: &&StoredImage| told_shape && !draft.aspect_ratio.fits(image.pixels);
    if let Some(image) = images.iter().find(misshapen) {
        adjustments.push(Adjustment {
            field: "aspect_ratio".to_owned(),
            requested: draft.aspect_ratio.to_string(),
            used: image.pixels.to_string(),
            reason: "the model made another shape".to_owned(),
        });
    }
    let small = |image: &&StoredImage| {
        draft
            .sent
            .size
            .is_some_and(|size| is_much_smaller(image.pixels, size))
    };
    if let Some(image) = images.iter().find(small) {
        adjustments.push(Adjustment {
            field: "resolution".to_owned(),
            requested: draft.resolution.to_string(),
            used: image.pixels.to_string(),
            reason: "the model made a smaller picture".to_owned(),
        });
    }
    adjustments
}

// === impl Recounted ===

impl Recounted {
    /// The cost that the calls told, if that is not what the books say.
    pub fn contradicted_by(&self, told: &Told) -> Option<UsdCost> {
        let Verdict { charge, disputed } = &told.verdict;
        let agrees = match (self.disputed, disputed) {
            // A charge that was not believed stays as it is, whatever is told later.
            (Some(_), _) if told.later => true,
            (None, Some(_)) => told.later,
            (Some(claimed), seen) => *seen == Some(claimed) && charge.cost == self.charged,
            (None, None) => {
                self.charged.checked_add(self.above) == Some(charge.cost)
                    // A correction waits for the last answer.
                    || (told.later && told.open)
            }
        };
        (!agrees).then(|| disputed.unwrap_or(charge.cost))
    }
}

/// The sum of the calls that brought pictures, with the least certain of their sources.
fn total(draft: &Draft, images: &[StoredImage], calls: &[CallRecord]) -> (UsdCost, CostSource) {
    let mut sum = (UsdCost::ZERO, CostSource::Usage);
    for call in calls.iter().filter(|call| !call.images.is_empty()) {
        let (cost, source) = call.cost.unwrap_or_else(|| fallback(draft, images, call));
        let cost = sum.0.checked_add(cost).unwrap_or(sum.0);
        sum = (cost, sum.1.max(source));
    }
    sum
}

/// A cost that nobody told: what came, times the pinned prices; else the usual cost
/// (`domain.md` C15).
fn fallback(draft: &Draft, images: &[StoredImage], call: &CallRecord) -> (UsdCost, CostSource) {
    let brought = |image: &&StoredImage| call.images.contains(&image.index);
    let megapixels = images.iter().filter(brought);
    let delivered = Delivered {
        megapixels: megapixels.map(|image| image.pixels.megapixels()).collect(),
        completion_tokens: call.completion_tokens,
        prompt_tokens: call.prompt_tokens,
    };
    let pricing = draft.pricing.as_ref();
    match pricing.and_then(|pricing| pricing.computed(&delivered, &draft.question)) {
        Some(cost) => (cost, CostSource::Computed),
        None => {
            let brought = i64::try_from(call.images.len()).unwrap_or(0);
            let all = pico_of(draft.bounds.expected, draft.requested);
            let share = all / i64::from(draft.requested.max(1)) * brought;
            let cost = UsdCost::from_pico(share).unwrap_or(UsdCost::ZERO);
            (cost, CostSource::Estimate)
        }
    }
}

/// The cost, unless it is beyond belief: a wrong digit in `usage.cost` parses perfectly well.
fn believe(draft: &Draft, cost: UsdCost, images: u32) -> Option<UsdCost> {
    // Nothing here is paid by it.
    if draft.key_mode == KeyMode::Organization {
        return Some(cost);
    }
    let charge = platform_charge(cost, images);
    let above_hold = charge.hundredths() > draft.hold.hundredths().saturating_mul(DISBELIEF_HOLDS);
    let above_sense =
        cost.pico() > DISBELIEF_PICO_PER_IMAGE.saturating_mul(i64::from(images.max(1)));
    (!(above_hold && above_sense)).then_some(cost)
}

/// The cost whose charge is the hold, so that the formula still explains the receipt.
fn cost_of_hold(draft: &Draft, images: u32) -> UsdCost {
    UsdCost::from_pico(pico_of(draft.hold, images)).unwrap_or(UsdCost::ZERO)
}

fn pico_of(credits: Credits, images: u32) -> i64 {
    let variable = credits.hundredths().saturating_sub(i64::from(images) * 100);
    variable.max(0).saturating_mul(PICO_PER_HUNDREDTH)
}

/// Less than three quarters of the area that was asked for.
fn is_much_smaller(pixels: PixelSize, wanted: PixelSize) -> bool {
    let area = |size: PixelSize| u64::from(size.width) * u64::from(size.height);
    area(wanted) >= MEGAPIXEL && area(pixels) * 4 < area(wanted) * 3
}

#[cfg(test)]
mod tests;

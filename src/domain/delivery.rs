//! From what came to what it costs: the receipt. Only delivered pictures are charged, and a cost
//! that cannot be believed costs the platform, not the customer.

use super::generation::{Adjustment, Charge, CostSource, KeyMode, StoredImage};
use super::job::Job;
use super::money::{Credits, UsdCost, own_key_charge, platform_charge};
use super::pricing::Delivered;
use super::shape::{MEGAPIXEL, PixelSize};

/// A cost is not believed when it is above this many times the hold … (`api.md`, Rules)
const DISBELIEF_HOLDS: i64 = 10;

/// … and also above this many pico-dollars per picture: 5 USD.
const DISBELIEF_PICO_PER_IMAGE: i64 = 5_000_000_000_000;

/// Pico-dollars that one hundredth of a credit buys.
const PICO_PER_HUNDREDTH: i64 = 5_000_000;

/// What one upstream call told about its cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallCost {
    /// The cost, and where it comes from; `None` if nobody told.
    pub known: Option<(UsdCost, CostSource)>,
    /// The sizes of its pictures.
    pub pixels: Vec<PixelSize>,
    /// Tokens of the answer, if told.
    pub completion_tokens: Option<u64>,
    /// Tokens of the prompt, if told.
    pub prompt_tokens: Option<u64>,
}

/// What to charge, and what upstream claimed if that was not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What to charge.
    pub charge: Charge,
    /// A claimed cost that was not believed: an item for reconciliation.
    pub disputed: Option<UsdCost>,
}

/// What is charged for these pictures (`domain.md` C1, C2, C14–C17, C20).
pub fn verdict(
    job: &Job,
    key_mode: KeyMode,
    images: &[StoredImage],
    calls: &[CallCost],
) -> Verdict {
    let delivered = u32::try_from(images.len()).unwrap_or(u32::MAX);
    let counted = delivered.min(job.requested);
    let (cost, source) = total(job, calls);
    let believed = believe(job, cost, counted);
    let (cost, source) = match believed {
        Some(cost) => (cost, source),
        None => (cost_of_hold(job, counted), CostSource::Estimate),
    };
    let credits = match key_mode {
        KeyMode::Platform => platform_charge(cost, counted),
        KeyMode::Organization => own_key_charge(counted),
    };
    Verdict {
        charge: Charge {
            credits,
            images: counted,
            key_mode,
            cost,
            cost_source: source,
        },
        disputed: believed.is_none().then_some(total(job, calls).0),
    }
}

/// What came in another outline than was asked for (`api.md`: more than 3 %).
pub fn measured_adjustments(job: &Job, images: &[StoredImage]) -> Vec<Adjustment> {
    let mut adjustments = Vec::new();
    let told_shape = job.sent.aspect_ratio.is_some() || job.sent.size.is_some();
    let misshapen = |image: &&StoredImage| told_shape && !job.aspect_ratio.fits(image.pixels);
    if let Some(image) = images.iter().find(misshapen) {
        adjustments.push(Adjustment {
            field: "aspect_ratio".to_owned(),
            requested: job.aspect_ratio.to_string(),
            used: image.pixels.to_string(),
            reason: "the model made another shape".to_owned(),
        });
    }
    let small = |image: &&StoredImage| {
        job.sent
            .size
            .is_some_and(|size| is_much_smaller(image.pixels, size))
    };
    if let Some(image) = images.iter().find(small) {
        adjustments.push(Adjustment {
            field: "resolution".to_owned(),
            requested: job.resolution.to_string(),
            used: image.pixels.to_string(),
            reason: "the model made a smaller picture".to_owned(),
        });
    }
    adjustments
}

/// The sum of all calls, with the least certain of their sources.
fn total(job: &Job, calls: &[CallCost]) -> (UsdCost, CostSource) {
    let mut sum = (UsdCost::ZERO, CostSource::Usage);
    for call in calls {
        let (cost, source) = call.known.unwrap_or_else(|| fallback(job, call));
        let cost = sum.0.checked_add(cost).unwrap_or(sum.0);
        sum = (cost, sum.1.max(source));
    }
    sum
}

/// A cost that nobody told: what came, times the pinned prices; else the usual cost
/// (`domain.md` C15).
fn fallback(job: &Job, call: &CallCost) -> (UsdCost, CostSource) {
    let delivered = Delivered {
        megapixels: call
            .pixels
            .iter()
            .map(|pixels| pixels.megapixels())
            .collect(),
        completion_tokens: call.completion_tokens,
        prompt_tokens: call.prompt_tokens,
    };
    let pricing = job.model.pricing.as_ref();
    match pricing.and_then(|pricing| pricing.computed(&delivered, &job.question)) {
        Some(cost) => (cost, CostSource::Computed),
        None => {
            let images = u32::try_from(call.pixels.len()).unwrap_or(0);
            let expected = job.estimate.bounds.expected;
            let all = pico_of(expected, job.requested);
            let share = all / i64::from(job.requested.max(1)) * i64::from(images);
            let cost = UsdCost::from_pico(share).unwrap_or(UsdCost::ZERO);
            (cost, CostSource::Estimate)
        }
    }
}

/// The cost, unless it is beyond belief: a wrong digit in `usage.cost` parses perfectly well.
fn believe(job: &Job, cost: UsdCost, images: u32) -> Option<UsdCost> {
    let charge = platform_charge(cost, images);
    let above_hold = charge.hundredths() > job.hold.hundredths().saturating_mul(DISBELIEF_HOLDS);
    let above_sense =
        cost.pico() > DISBELIEF_PICO_PER_IMAGE.saturating_mul(i64::from(images.max(1)));
    (!(above_hold && above_sense)).then_some(cost)
}

/// The cost whose charge is the hold, so that the formula still explains the receipt.
fn cost_of_hold(job: &Job, images: u32) -> UsdCost {
    UsdCost::from_pico(pico_of(job.hold, images)).unwrap_or(UsdCost::ZERO)
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

//! What pictures really cost lately: beside every estimate, and under every hold
//! (`domain.md` B3, `reliability.md` 2.3).

use std::collections::HashMap;

use rust_decimal::Decimal;

use super::ids::Slug;
use super::money::{Credits, UsdCost, platform_charge};
use super::pricing::{Bounds, Estimate, Question, Remark};
use super::shape::{Quality, Resolution};

/// Settled generations of a kind that are looked at, the newest.
pub const GENERATIONS: u32 = 200;

/// Fewer than these say nothing about an estimate.
const TELLING: u32 = 5;

/// Fewer than these say nothing about the dearest: all organizations' holds follow from them, and
/// one caller's odd picture is no rule for the others.
const TELLING_OF_THE_DEAREST: u32 = 20;

/// An average that departs from the estimate by more than this is pointed out, in percent
/// (`domain.md` B3).
const DEPARTURE_PERCENT: u32 = 25;

/// What decides the price of a picture.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    /// Which model drew it.
    pub model: Slug,
    /// How large.
    pub resolution: Resolution,
    /// With how much work, if the tool chose.
    pub quality: Option<Quality>,
}

/// What pictures of a kind cost that were drawn without reference pictures: those cost extra, by how
/// many and how large they were, which no figure of a kind can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Generations that were looked at, at most [`GENERATIONS`].
    pub count: u32,
    /// USD per picture, over all of them.
    pub average: UsdCost,
    /// USD per picture, above which 1 of 100 generations was; of fewer, also one.
    pub p99: UsdCost,
}

/// The figures of every kind that was drawn.
#[derive(Clone, Debug, Default)]
pub struct Recent {
    figures: HashMap<Kind, Figures>,
}

impl Figures {
    /// Of the generations of a kind: what each cost in all, and how many pictures it brought.
    /// `None` of none.
    pub fn of(costs: &[(UsdCost, u32)]) -> Option<Self> {
        let each = |(cost, images): &(UsdCost, u32)| cost.pico() / i64::from((*images).max(1));
        let mut per_image: Vec<i64> = costs.iter().map(each).collect();
        per_image.sort_unstable();
        // Rounded down, so that a single outlier never decides.
        let rank = per_image.len().checked_mul(99)? / 100;
        let sum: i128 = costs.iter().map(|(cost, _)| i128::from(cost.pico())).sum();
        let images: i128 = costs
            .iter()
            .map(|(_, images)| i128::from((*images).max(1)))
            .sum();
        let average = i64::try_from(sum.checked_div(images)?).ok()?;
        Some(Self {
            count: u32::try_from(costs.len()).ok()?,
            average: UsdCost::from_pico(average)?,
            p99: UsdCost::from_pico(*per_image.get(rank.saturating_sub(1))?)?,
        })
    }
}

impl Recent {
    /// These figures.
    pub fn new(figures: impl IntoIterator<Item = (Kind, Figures)>) -> Self {
        Self {
            figures: figures.into_iter().collect(),
        }
    }

    /// The estimate for such pictures with what they cost lately beside it. Once there are enough of
    /// them, its high end covers what 99 of 100 generations cost, and so does the hold.
    pub fn beside(&self, model: &Slug, question: &Question, mut estimate: Estimate) -> Estimate {
        let Some(figures) = self.of(model, question) else {
            return estimate;
        };
        if figures.count >= TELLING_OF_THE_DEAREST
            && let Some(p99) = charge(figures.p99, question.count)
        {
            estimate.bounds.high = estimate.bounds.high.max(p99);
        }
        estimate.recent = charge(figures.average, question.count).map(|average| Remark {
            average,
            count: figures.count,
            departs: figures.count >= TELLING && departs(average, &estimate.bounds),
        });
        estimate
    }

    fn of(&self, model: &Slug, question: &Question) -> Option<&Figures> {
        self.figures.get(&Kind {
            model: model.clone(),
            resolution: question.resolution,
            quality: question.quality,
        })
    }
}

fn charge(each: UsdCost, count: u32) -> Option<Credits> {
    let pico = each.pico().checked_mul(count.into())?;
    Some(platform_charge(UsdCost::from_pico(pico)?, count))
}

fn departs(average: Credits, estimate: &Bounds) -> bool {
    let [average, expected] = [average, estimate.expected].map(|c| Decimal::from(c.hundredths()));
    let apart = (average - expected).abs();
    apart * Decimal::from(100) > expected * Decimal::from(DEPARTURE_PERCENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::catalog::Catalog;

    fn usd(text: &str) -> UsdCost {
        UsdCost::from_json(text).expect("a cost")
    }

    fn recent(costs: &[(UsdCost, u32)]) -> (Slug, Question, Recent) {
        let model = Slug::parse("bytedance-seed/seedream-4.5").expect("a slug");
        let question = Question::one(Resolution::R1K);
        let kind = Kind {
            model: model.clone(),
            resolution: question.resolution,
            quality: question.quality,
        };
        let figures = Figures::of(costs).map(|figures| (kind, figures));
        (model, question, Recent::new(figures))
    }

    fn estimated(costs: &[(UsdCost, u32)], asked: Question) -> Estimate {
        let (model, _, recent) = recent(costs);
        let catalog = Catalog::built_in();
        let estimate = catalog.find(&model).expect("listed").estimate_for(&asked);
        recent.beside(&model, &asked, estimate.expect("priced"))
    }

    #[test]
    fn a_hold_covers_what_ninety_nine_of_a_hundred_cost() {
        let mut costs = vec![(usd("0.04"), 1); 98];
        costs.extend([(usd("0.1"), 2), (usd("0.2"), 2)]);
        let one = Question::one(Resolution::R1K);
        let high = |asked| estimated(&costs, asked).bounds.high.to_string();
        assert_eq!(high(one), "101.00");
        assert_eq!(high(Question { count: 2, ..one }), "202.00");
        let other = Question::one(Resolution::R4K);
        assert_eq!(high(other), "81.00");
        assert_eq!(
            estimated(&[(usd("0.01"), 1)], one).bounds.high.to_string(),
            "81.00"
        );
    }

    #[test]
    fn one_dear_picture_raises_no_hold_and_neither_do_a_few() {
        let one = Question::one(Resolution::R1K);
        let high = |costs: &[(UsdCost, u32)]| estimated(costs, one).bounds.high.to_string();
        for cheap in [0, 5, 18, 19, 20, 98, 99, 199] {
            let mut costs = vec![(usd("0.04"), 1); cheap];
            costs.push((usd("4"), 1));
            assert_eq!(high(&costs), "81.00", "one beside {cheap}");
        }
        let dear = |count| vec![(usd("0.05"), 1); count];
        assert_eq!(high(&dear(19)), "81.00");
        assert_eq!(high(&dear(20)), "101.00");
    }

    #[test]
    fn an_estimate_that_is_off_by_more_than_a_quarter_is_pointed_out() {
        let one = Question::one(Resolution::R1K);
        for (cost, times, departs) in [
            ("0.04", 5, false),
            // 81 credits are expected: 101.25 is exactly a quarter more.
            ("0.050125", 5, false),
            ("0.05013", 5, true),
            ("0.0298", 5, true),
            ("0.4", 4, false),
        ] {
            let remark = estimated(&vec![(usd(cost), 1); times], one).recent;
            let remark = remark.expect("a remark");
            assert_eq!(remark.departs, departs, "{cost}");
            assert_eq!(remark.average, platform_charge(usd(cost), 1));
        }
        assert_eq!(estimated(&[], one).recent, None);
    }
}

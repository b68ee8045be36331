//! What a picture is likely to cost: three billing types, and for each the least, the usual and
//! the most (`domain.md` R16–R19, C4–C11). Estimates decide holds and tables, never charges.

use rust_decimal::Decimal;

use super::money::{Credits, UsdCost, platform_charge};
use super::shape::{Quality, Resolution, words};

pub use reference::ReferencePrice;
pub use token::TokenPrice;

mod own_key;
mod reference;
mod token;

/// Output tokens of a 1024 × 1024 picture that the published page assumes (`domain.md` R14).
pub const TOKENS_PER_1K_IMAGE: u32 = 1290;

/// Prompt tokens that every high estimate allows for. A longer prompt raises the hold: no
/// tokenizer makes more tokens than the text has bytes.
pub const PROMPT_TOKENS_ALLOWED: u64 = 256;

words! {
    /// What a model bills by.
    BillingType {
        /// A fixed price, whatever the size.
        PerImage = "per_image",
        /// By area.
        PerMegapixel = "per_megapixel",
        /// By output tokens; only an estimate, marked `~`.
        PerToken = "per_token",
    }
}

words! {
    /// What a model is good for, by its price at 1K (`domain.md` R20, C28).
    Tier {
        /// Up to 30 credits: tests, high volume, drafts.
        Draft = "draft",
        /// Up to 100: general use.
        General = "general",
        /// Above: final production.
        Final = "final",
    }
}

/// How a model bills.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pricing {
    /// The output.
    pub output: OutputPrice,
    /// Reference pictures.
    pub reference: ReferencePrice,
    /// A token of the prompt, in USD; mostly zero for a model that does not bill by token.
    pub prompt: Decimal,
}

/// How a model bills its output. All prices in USD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputPrice {
    /// A price per picture, with exceptions for some size classes.
    PerImage {
        /// The usual price.
        base: Decimal,
        /// Exceptions, smallest class first; each holds for its class and those above.
        variants: Vec<(Resolution, Decimal)>,
    },
    /// A price for the first megapixel and one for each further (`domain.md` C5, C6).
    PerMegapixel {
        /// The first.
        first: Decimal,
        /// Each further; the first one's if unknown.
        next: Option<Decimal>,
    },
    /// A price per output token.
    PerToken(TokenPrice),
}

/// What an estimate is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// The size class.
    pub resolution: Resolution,
    /// The level of work, if the tool chose one.
    pub quality: Option<Quality>,
    /// Pictures.
    pub count: u32,
    /// Reference pictures.
    pub references: u32,
    /// Their megapixels together, each rounded up.
    pub reference_megapixels: u64,
    /// Length of the prompt; 0 if not known yet.
    pub prompt_bytes: u64,
}

/// What a call may cost, in credits for all its images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The least to expect.
    pub low: Credits,
    /// The usual.
    pub expected: Credits,
    /// What is held.
    pub high: Credits,
}

/// What such pictures cost lately, said beside an estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remark {
    /// What as many pictures cost on average, in credits.
    pub average: Credits,
    /// Over how many generations.
    pub count: u32,
    /// The estimate is off by more than a quarter.
    pub departs: bool,
}

/// What pictures may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Credits for all pictures.
    pub bounds: Bounds,
    /// The exact credits of the usual case, unrounded: what tables sort and tiers go by.
    pub exact: Decimal,
    /// As a table shows it: `~27`, `61` (`domain.md` B2).
    pub display: String,
    /// What the model bills by.
    pub billing_type: BillingType,
    /// From which price and rule, in words.
    pub basis: String,
    /// The usual cost in USD.
    pub usd: Decimal,
    /// What such pictures cost lately, where that is known.
    pub recent: Option<Remark>,
}

/// What came, for computing a cost that upstream did not tell (`domain.md` C15 b).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Megapixels of each picture, rounded up.
    pub megapixels: Vec<u64>,
    /// Tokens of the answer, if upstream told those.
    pub completion_tokens: Option<u64>,
    /// Tokens of the prompt, if told.
    pub prompt_tokens: Option<u64>,
}

impl Question {
    /// One square picture of a size class, from a short prompt.
    pub const fn one(resolution: Resolution) -> Self {
        Self {
            resolution,
            quality: None,
            count: 1,
            references: 0,
            reference_megapixels: 0,
            prompt_bytes: 0,
        }
    }

    const fn size(&self) -> Size {
        Size {
            resolution: self.resolution,
            quality: self.quality,
        }
    }
}

// === impl Pricing ===

impl Pricing {
    /// What the model bills by.
    pub const fn billing_type(&self) -> BillingType {
        match self.output {
            OutputPrice::PerImage { .. } => BillingType::PerImage,
            OutputPrice::PerMegapixel { .. } => BillingType::PerMegapixel,
            OutputPrice::PerToken(_) => BillingType::PerToken,
        }
    }

    /// What one square picture of this size is billed, in USD; `None` only if a price is absurd.
    pub fn billed_at(&self, resolution: Resolution) -> Option<Decimal> {
        let size = Question::one(resolution).size();
        match &self.output {
            OutputPrice::PerToken(price) => price.billed(size),
            OutputPrice::PerImage { .. } | OutputPrice::PerMegapixel { .. } => {
                Some(self.output.usd(size)?.expected)
            }
        }
    }

    /// Answers a question; `None` only if a price is absurd.
    pub fn estimate(&self, question: &Question) -> Option<Estimate> {
        let count = Decimal::from(question.count);
        let (certain, possible) = self.reference.usd(question);
        let one = self.output.usd(question.size())?;
        let expected = one.expected.checked_mul(count)?.checked_add(certain)?;
        let low = one.low.checked_mul(count)?.checked_add(certain)?;
        let prompt = self.prompt_usd(question)?;
        let high = one.high.checked_mul(count)?;
        let high = high.checked_add(possible)?.checked_add(prompt)?;
        let exact = exact_credits(expected, question.count)?;
        Some(Estimate {
            bounds: Bounds {
                low: charged(low, question.count)?,
                expected: charged(expected, question.count)?,
                high: charged(high.max(expected), question.count)?,
            },
            exact,
            display: display(exact, self.billing_type()),
            billing_type: self.billing_type(),
            basis: self.output.basis(question.size()),
            usd: expected,
            recent: None,
        })
    }

    /// The cost of what came, by these prices (`domain.md` C15 b).
    pub fn computed(&self, delivered: &Delivered, question: &Question) -> Option<UsdCost> {
        let size = question.size();
        let images = u32::try_from(delivered.megapixels.len()).ok()?;
        let usd = match &self.output {
            OutputPrice::PerImage { .. } => {
                self.output.usd(size)?.expected.checked_mul(images.into())?
            }
            OutputPrice::PerMegapixel { first, next } => delivered
                .megapixels
                .iter()
                .map(|megapixels| by_area(*first, *next, *megapixels))
                .try_fold(Decimal::ZERO, |sum, usd| sum.checked_add(usd?))?,
            OutputPrice::PerToken(price) => price.computed(delivered, size, images)?,
        };
        let prompt_tokens = Decimal::from(delivered.prompt_tokens.unwrap_or(0));
        let prompt = self.prompt.checked_mul(prompt_tokens)?;
        UsdCost::from_decimal(usd.checked_add(prompt)?)
    }

    /// What one reference picture of a megapixel may be billed at most, in USD.
    pub fn billed_per_reference(&self) -> Decimal {
        let (_, possible) = self.reference.usd(&Question {
            references: 1,
            reference_megapixels: 1,
            ..Question::one(Resolution::R1K)
        });
        possible
    }

    fn prompt_usd(&self, question: &Question) -> Option<Decimal> {
        let tokens = question.prompt_bytes.max(PROMPT_TOKENS_ALLOWED);
        // Each picture may be a call of its own, which reads the prompt again.
        let tokens = tokens.checked_mul(u64::from(question.count))?;
        self.prompt.checked_mul(tokens.into())
    }
}

/// What decides the price of one picture.
#[derive(Clone, Copy)]
pub(super) struct Size {
    resolution: Resolution,
    quality: Option<Quality>,
}

/// The cost of one picture, three ways.
struct OnePicture {
    low: Decimal,
    expected: Decimal,
    high: Decimal,
}

impl OutputPrice {
    fn usd(&self, size: Size) -> Option<OnePicture> {
        let all_alike = |usd| OnePicture {
            low: usd,
            expected: usd,
            high: usd,
        };
        match self {
            Self::PerImage { base, variants } => Some(all_alike(
                stepped(variants, size.resolution).unwrap_or(*base),
            )),
            Self::PerMegapixel { first, next } => {
                let megapixels = size.resolution.megapixels();
                let expected = by_area(*first, *next, megapixels)?;
                // Linear is a safe upper bound (`domain.md` C6).
                let high = by_area(*first, None, megapixels)?.max(expected);
                Some(OnePicture {
                    high,
                    ..all_alike(expected)
                })
            }
            Self::PerToken(price) => price.usd(size),
        }
    }

    fn basis(&self, size: Size) -> String {
        match self {
            Self::PerImage { base, variants } => {
                let usd = stepped(variants, size.resolution)
                    .unwrap_or(*base)
                    .normalize();
                let place = if variants.is_empty() {
                    "at any size".to_owned()
                } else {
                    format!("at {}", size.resolution)
                };
                format!("{usd} USD per image {place}")
            }
            Self::PerMegapixel { first, next } => {
                let megapixels = size.resolution.megapixels();
                let first = first.normalize();
                match next.map(|next| next.normalize()) {
                    Some(next) => format!(
                        "{first} USD for the first megapixel, {next} USD for each further, {megapixels} in all"
                    ),
                    None => format!("{first} USD per megapixel, {megapixels} in all"),
                }
            }
            Self::PerToken(price) => price.basis(size),
        }
    }
}

impl Tier {
    /// The tier of an unrounded price at 1K.
    pub fn of(exact: Decimal) -> Self {
        if exact <= Decimal::from(30) {
            Self::Draft
        } else if exact <= Decimal::from(100) {
            Self::General
        } else {
            Self::Final
        }
    }
}

/// The table's way of writing credits: `~` and the nearest whole number where the price varies,
/// else the exact figure without idle zeros (`domain.md` B2). The charge is rounded otherwise.
fn display(exact: Decimal, billing_type: BillingType) -> String {
    use rust_decimal::RoundingStrategy::{AwayFromZero, MidpointAwayFromZero};
    match billing_type {
        BillingType::PerToken => {
            format!("~{}", exact.round_dp_with_strategy(0, MidpointAwayFromZero))
        }
        BillingType::PerImage | BillingType::PerMegapixel => exact
            .round_dp_with_strategy(2, AwayFromZero)
            .normalize()
            .to_string(),
    }
}

/// The entry of the greatest class that is not above `resolution`; `None` if all are.
fn stepped<T: Copy>(steps: &[(Resolution, T)], resolution: Resolution) -> Option<T> {
    let fitting = steps.iter().rev().find(|(from, _)| *from <= resolution);
    fitting.map(|(_, value)| *value)
}

fn by_area(first: Decimal, next: Option<Decimal>, megapixels: u64) -> Option<Decimal> {
    let further = Decimal::from(megapixels.saturating_sub(1));
    first.checked_add(next.unwrap_or(first).checked_mul(further)?)
}

fn exact_credits(usd: Decimal, count: u32) -> Option<Decimal> {
    usd.checked_mul(Decimal::from(2000))?
        .checked_add(count.into())
}

fn charged(usd: Decimal, count: u32) -> Option<Credits> {
    UsdCost::from_decimal(usd).map(|cost| platform_charge(cost, count))
}

#[cfg(test)]
mod tests;

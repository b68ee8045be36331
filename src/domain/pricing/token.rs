//! Prices by token, and how many tokens a picture becomes.

use rust_decimal::Decimal;

use super::{Delivered, OnePicture, Size, TOKENS_PER_1K_IMAGE, stepped};
use crate::domain::shape::{Quality, Resolution};

/// How a model bills by token. All prices in USD per token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenPrice {
    /// The price the table shows: the text price until a sync has brought the image price.
    pub shown: Decimal,
    /// The price image tokens are really billed at; holds use it (`domain.md` B3).
    pub image: Decimal,
    /// A token of text beside the picture.
    pub text: Decimal,
    /// Image tokens by size class where documented, smallest first; each holds for its class and
    /// those above, the first also for those below. Empty: [`TOKENS_PER_1K_IMAGE`], scaled as `domain.md` C9 says.
    pub tokens: Vec<(Resolution, u32)>,
    /// Image tokens by level of work where documented; asked for explicitly, they stand for every
    /// size class.
    pub tokens_by_quality: Vec<(Quality, u32)>,
    /// How far the variable part may stray either way, in percent (`domain.md` R15, C11).
    pub spread_percent: u8,
    /// Tokens of thought and text that may come beside a picture (`domain.md` B3).
    pub beside_tokens: u32,
}

// === impl TokenPrice ===

impl TokenPrice {
    /// Whether a sync has brought the price that image tokens are billed at.
    fn knows_image_price(&self) -> bool {
        self.shown == self.image
    }

    /// What the image tokens of one picture are billed.
    pub(super) fn billed(&self, size: Size) -> Option<Decimal> {
        self.image.checked_mul(self.billed_tokens(size)?)
    }

    pub(super) fn usd(&self, size: Size) -> Option<OnePicture> {
        let expected = self.shown.checked_mul(self.shown_tokens(size)?)?;
        let billed = self.billed(size)?;
        let spread = expected.checked_mul(percent(self.spread_percent))?;
        let times = self.undocumented_factor(size.quality);
        let dearest = billed.max(expected).checked_mul(times.into())?;
        let above = dearest.checked_mul(percent(self.spread_percent))?;
        let beside = self.text.checked_mul(self.beside_tokens.into())?;
        Some(OnePicture {
            low: expected.checked_sub(spread)?,
            expected,
            high: dearest.checked_add(above)?.checked_add(beside)?,
        })
    }

    /// Image tokens of a level of work. A level above [`Quality::High`] that nobody documents makes
    /// at least as many as the dearest that is documented; "auto" and what is below it are not
    /// guessed.
    fn of_quality(&self, quality: Quality) -> Option<u32> {
        let documented = self.tokens_by_quality.iter();
        let found = documented.clone().find(|(level, _)| *level == quality);
        let dearest = || documented.max_by_key(|(level, _)| *level);
        let stands = found.or_else(|| dearest().filter(|_| quality > Quality::High));
        stands.map(|(_, tokens)| *tokens)
    }

    /// How many times a picture's tokens it may become at most, because the level is not documented.
    /// From "low" to "medium" and from there to "high" OpenAI's tokens grow fourfold; the two levels
    /// above are taken to lie within one more such step.
    fn undocumented_factor(&self, quality: Option<Quality>) -> u32 {
        let mut documented = self.tokens_by_quality.iter();
        match quality {
            Some(quality) if documented.any(|(level, _)| *level == quality) => 1,
            Some(Quality::Xhigh) => 2,
            Some(Quality::Max) => 4,
            Some(Quality::Auto | Quality::Low | Quality::Medium | Quality::High) | None => 1,
        }
    }

    /// Image tokens as billed.
    fn billed_tokens(&self, size: Size) -> Option<Decimal> {
        if let Some(tokens) = size.quality.and_then(|quality| self.of_quality(quality)) {
            return Some(tokens.into());
        }
        let smallest = self.tokens.first().map(|(_, tokens)| *tokens);
        if let Some(tokens) = stepped(&self.tokens, size.resolution).or(smallest) {
            return Some(tokens.into());
        }
        Decimal::from(TOKENS_PER_1K_IMAGE).checked_mul(scale(size.resolution))
    }

    /// Image tokens as the table shows them: the page's figure at 1K, and in proportion elsewhere,
    /// until the true price is known and with it the documented count is used.
    fn shown_tokens(&self, size: Size) -> Option<Decimal> {
        if self.knows_image_price() {
            return self.billed_tokens(size);
        }
        let here = self.billed_tokens(size)?;
        let at_1k = self.billed_tokens(Size {
            resolution: Resolution::R1K,
            quality: None,
        })?;
        let shown = Decimal::from(TOKENS_PER_1K_IMAGE).checked_mul(here)?;
        shown.checked_div(at_1k)
    }

    pub(super) fn computed(
        &self,
        delivered: &Delivered,
        size: Size,
        images: u32,
    ) -> Option<Decimal> {
        let tokens = match delivered.completion_tokens {
            Some(tokens) => tokens.into(),
            None => self.billed_tokens(size)?.checked_mul(images.into())?,
        };
        self.image.checked_mul(tokens)
    }

    pub(super) fn basis(&self, size: Size) -> String {
        let tokens = self.shown_tokens(size).unwrap_or_default().round();
        let per_million = |price: Decimal| {
            price
                .checked_mul(Decimal::from(1_000_000))
                .unwrap_or_default()
                .normalize()
        };
        let mut text = format!(
            "about {tokens} output tokens at {} USD per million",
            per_million(self.shown)
        );
        if self.spread_percent > 0 {
            text.push_str(&format!(", give or take {} %", self.spread_percent));
        }
        if !self.knows_image_price() {
            text.push_str(&format!(
                "; held at the image price of {} USD per million",
                per_million(self.image)
            ));
        }
        text
    }
}

/// How image tokens grow where nobody documents them: 1, 1.5, 2.25 (`domain.md` C9).
fn scale(resolution: Resolution) -> Decimal {
    match resolution {
        Resolution::R512 | Resolution::R768 | Resolution::R1K => Decimal::ONE,
        Resolution::R1K5 | Resolution::R2K => Decimal::new(15, 1),
        Resolution::R4K => Decimal::new(225, 2),
    }
}

fn percent(value: u8) -> Decimal {
    Decimal::new(i64::from(value), 2)
}

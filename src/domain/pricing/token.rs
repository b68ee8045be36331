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
    /// A token of the prompt.
    pub prompt: Decimal,
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
        let dearest = billed.max(expected);
        let above = dearest.checked_mul(percent(self.spread_percent))?;
        let beside = self.text.checked_mul(self.beside_tokens.into())?;
        Some(OnePicture {
            low: expected.checked_sub(spread)?,
            expected,
            high: dearest.checked_add(above)?.checked_add(beside)?,
        })
    }

    /// Image tokens as billed.
    fn billed_tokens(&self, size: Size) -> Option<Decimal> {
        let by_quality = self.tokens_by_quality.iter();
        if let Some((_, tokens)) = by_quality
            .into_iter()
            .find(|(q, _)| Some(*q) == size.quality)
        {
            return Some((*tokens).into());
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
        let output = match delivered.completion_tokens {
            Some(tokens) => self.image.checked_mul(tokens.into())?,
            None => {
                let tokens = self.billed_tokens(size)?.checked_mul(images.into())?;
                self.image.checked_mul(tokens)?
            }
        };
        let prompt = self
            .prompt
            .checked_mul(delivered.prompt_tokens.unwrap_or(0).into())?;
        output.checked_add(prompt)
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

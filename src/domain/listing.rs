//! What OpenRouter lists about its models, in its own words: kept as it was told, so that every
//! figure can be traced back, and understood only where a catalog reads it.

use rust_decimal::Decimal;

use super::ids::Slug;

/// The most characters of a price that are looked at. OpenRouter's longest have 25.
const PRICE_CHARS_MAX: usize = 64;

/// A model as it is listed. Every text is upstream's own, and may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// `id`.
    pub slug: Slug,
    /// `name`.
    pub name: String,
    /// `architecture.input_modalities`.
    pub inputs: Vec<String>,
    /// `architecture.output_modalities`.
    pub outputs: Vec<String>,
    /// `context_length`, in tokens.
    pub context_tokens: Option<u64>,
    /// `pricing`, in USD per token.
    pub prices: ListedPrices,
    /// What counts instead of those of `prices` that cannot be read: what they last were. Else empty.
    pub last_good: ListedPrices,
    /// What `GET /images/models` says, for a model that is listed there.
    pub offer: Option<Offer>,
}

/// The prices of `GET /models` that matter here, each the text of a decimal in USD per token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedPrices {
    /// A token of the prompt.
    pub prompt: String,
    /// A token of text.
    pub completion: String,
    /// A token of a picture, or of what stands for one.
    pub image_output: String,
}

/// How pictures are made: `supported_parameters` and the price lines of its endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// `aspect_ratio.values`.
    pub aspect_ratios: Vec<String>,
    /// `resolution.values`.
    pub resolutions: Vec<String>,
    /// `quality.values`.
    pub qualities: Vec<String>,
    /// `output_format.values`.
    pub output_formats: Vec<String>,
    /// `background.values`.
    pub backgrounds: Vec<String>,
    /// Whether there is a `seed`.
    pub seed: bool,
    /// `n.max`.
    pub images_per_call: Option<u32>,
    /// `input_references.max`.
    pub references: Option<u32>,
    /// `pricing` of every endpoint.
    pub lines: Vec<PriceLine>,
}

/// One price of one provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceLine {
    /// `provider_slug`: lines of the same provider belong together.
    pub provider: String,
    /// What is billed: `output_image`, `input_reference` …
    pub billable: String,
    /// By what: `image`, `megapixel`, `token` …
    pub unit: String,
    /// For which kind only, such as `2k`; empty for all.
    pub variant: String,
    /// The text of a decimal; empty for a line that is no longer listed.
    pub usd: String,
    /// What counts instead, if `usd` cannot be read: what it last was. Else empty.
    pub last_good: String,
}

/// The prices of `GET /models` that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PricesInUse<'a> {
    /// A token of the prompt.
    pub prompt: &'a str,
    /// A token of text.
    pub completion: &'a str,
    /// A token of a picture, or of what stands for one.
    pub image_output: &'a str,
}

// === impl Listed ===

impl Listed {
    /// The prices that count: those that are listed, or the last good ones.
    pub fn prices_in_use(&self) -> PricesInUse<'_> {
        let (now, before) = (&self.prices, &self.last_good);
        PricesInUse {
            prompt: in_use(&now.prompt, &before.prompt),
            completion: in_use(&now.completion, &before.completion),
            image_output: in_use(&now.image_output, &before.image_output),
        }
    }

    /// The prices of `GET /models`, as far as there are any, as lines of nobody in particular.
    pub fn prices_as_lines(&self) -> impl Iterator<Item = PriceLine> {
        let (now, before) = (&self.prices, &self.last_good);
        let all = [
            ("prompt", &now.prompt, &before.prompt),
            ("completion", &now.completion, &before.completion),
            ("image_output", &now.image_output, &before.image_output),
        ];
        let told = all
            .into_iter()
            .filter(|(_, now, before)| !now.is_empty() || !before.is_empty());
        told.map(|(billable, now, before)| PriceLine {
            billable: billable.to_owned(),
            unit: "token".to_owned(),
            usd: now.clone(),
            last_good: before.clone(),
            ..PriceLine::default()
        })
    }

    /// Whether a price counts that is not listed so any more.
    pub fn goes_by_last_good(&self) -> bool {
        let mut lines = self.offer.iter().flat_map(|offer| &offer.lines);
        self.last_good != ListedPrices::default() || lines.any(|line| !line.last_good.is_empty())
    }
}

// === impl PriceLine ===

impl PriceLine {
    /// The price that counts: the one that is listed, or the last good one.
    pub fn in_use(&self) -> &str {
        in_use(&self.usd, &self.last_good)
    }
}

fn in_use<'a>(listed: &'a str, last_good: &'a str) -> &'a str {
    if last_good.is_empty() {
        listed
    } else {
        last_good
    }
}

/// Reads a price: a decimal that is not negative, with or without an exponent. `-1` means that the
/// price depends on where a request goes; that and all else is `None`, never zero.
pub fn price(text: &str) -> Option<Decimal> {
    if text.is_empty() || text.len() > PRICE_CHARS_MAX || !text.is_ascii() {
        return None;
    }
    let read = if text.contains(['e', 'E']) {
        Decimal::from_scientific(text)
    } else {
        text.parse()
    };
    read.ok()
        .filter(|price| !price.is_sign_negative() || price.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_read_in_every_spelling_or_not_at_all() {
        for (text, read) in [
            ("0", Some(Decimal::ZERO)),
            ("-0", Some(Decimal::ZERO)),
            ("0.04", Some(Decimal::new(4, 2))),
            ("2.5e-06", Some(Decimal::new(25, 7))),
            ("3E-05", Some(Decimal::new(3, 5))),
            (
                "0.00000958083832335329",
                Some(Decimal::new(958_083_832_335_329, 20)),
            ),
            ("", None),
            ("-1", None),
            ("free", None),
            ("NaN", None),
            ("1e400", None),
            ("1e-400", None),
            ("0x10", None),
            ("１", None),
        ] {
            assert_eq!(price(text), read, "{text:?}");
        }
        assert_eq!(price(&"9".repeat(65)), None);
    }
}

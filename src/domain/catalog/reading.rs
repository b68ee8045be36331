//! From what upstream lists to a model of ours. The unit of the price lines is the billing type
//! (`domain.md` R16, B3); what cannot be read is kept, shown and never guessed.

use rust_decimal::{Decimal, RoundingStrategy};

use super::curated::{Curated, TokenPrices};
use super::{Capabilities, Door, Model, Parameters, TextPrice};
use crate::domain::listing::{Listed, Offer, PriceLine, price};
use crate::domain::pricing::{OutputPrice, Pricing, ReferencePrice};
use crate::domain::shape::{AspectRatio, Background, OutputFormat, Quality, Resolution};

/// Pseudo tokens by which `GET /models` spreads the price of one picture (`domain.md` B3).
const TOKENS_PER_IMAGE: u32 = 4175;

/// Pseudo tokens by which it spreads the price of one megapixel.
const TOKENS_PER_MEGAPIXEL: u32 = 4096;

/// Decimals of a true price per million tokens; a spread price has more.
const DECIMALS_PER_MILLION: u32 = 3;

/// Decimals of a true price per picture or megapixel.
const DECIMALS_PER_IMAGE: u32 = 4;

/// The most that one token, megapixel or picture can cost and be believed, in USD. The dearest
/// picture of 2026 costs half a dollar.
const BELIEVABLE_USD: i64 = 100;

/// References a model takes that reads pictures and names no limit (OpenRouter's schema: 16).
const REFERENCES_UNSAID: u32 = 16;

/// The most entries of a list that are looked at; OpenRouter's longest have 17.
const ENTRIES_MAX: usize = 64;

/// Which price lines belong together.
struct Lines<'a> {
    lines: Vec<&'a PriceLine>,
    curated: Curated,
    token: TokenPrices,
}

/// A line, and its price.
type Line<'a> = (&'a PriceLine, Decimal);

/// Lines that are for one kind only.
#[derive(Default)]
struct Variants<'a> {
    /// For a size class, smallest first.
    by_size: Vec<(Resolution, Line<'a>)>,
    /// For something else.
    unknown: Vec<Line<'a>>,
}

/// Reads a model.
pub(super) fn read(listed: &Listed) -> Model {
    let has = |list: &[String], what: &str| list.iter().any(|one| one == what);
    let capabilities = Capabilities {
        generates_images: has(&listed.outputs, "image"),
        reads_images: has(&listed.inputs, "image"),
        text: has(&listed.outputs, "text"),
        files: has(&listed.inputs, "file"),
    };
    let mut prices = if capabilities.generates_images {
        pricings(listed)
    } else {
        Vec::new()
    };
    let pricing = (!prices.is_empty()).then(|| prices.remove(0));
    Model {
        slug: listed.slug.clone(),
        name: listed.name.clone(),
        capabilities,
        door: match listed.offer {
            Some(_) => Door::Images,
            None => Door::Chat,
        },
        parameters: parameters(listed, pricing.as_ref()),
        pricing,
        perhaps: prices,
        text_price: text_price(listed).filter(|_| capabilities.text),
        context_tokens: listed.context_tokens,
        price_lines: listed
            .offer
            .as_ref()
            .map(|offer| offer.lines.clone())
            .unwrap_or_default(),
        withdrawn: false,
        price_changed: None,
        caution_since: None,
    }
}

/// A price that can be charged by.
fn believable(text: &str) -> Option<Decimal> {
    price(text).filter(|usd| *usd <= Decimal::from(BELIEVABLE_USD))
}

fn text_price(listed: &Listed) -> Option<TextPrice> {
    Some(TextPrice {
        input: believable(&listed.prices.prompt)?,
        output: believable(&listed.prices.completion)?,
    })
}

/// Every price by which a picture may be billed: the cheapest first, which is where OpenRouter
/// mostly sends calls to; the others count in high estimates.
fn pricings(listed: &Listed) -> Vec<Pricing> {
    let curated = Curated::of(listed.slug.as_str());
    let token = |image: Decimal| TokenPrices {
        prompt: believable(&listed.prices.prompt).unwrap_or_default(),
        text: believable(&listed.prices.completion).unwrap_or_default(),
        image,
    };
    let mut all = match &listed.offer {
        Some(offer) => by_provider(offer)
            .into_iter()
            .map(|lines| Lines {
                lines,
                curated,
                token: token(Decimal::ZERO),
            })
            .flat_map(|lines| lines.pricings())
            .collect(),
        None => Vec::new(),
    };
    if all.is_empty() {
        all = spread(
            &listed.prices.image_output,
            &listed.prices.completion,
            curated,
            &token,
        );
    }
    all.sort_by_key(|pricing: &Pricing| pricing.billed_at_1k().unwrap_or(Decimal::MAX));
    all.dedup();
    all
}

fn by_provider(offer: &Offer) -> Vec<Vec<&PriceLine>> {
    let mut all: Vec<Vec<&PriceLine>> = Vec::new();
    for line in offer.lines.iter().take(ENTRIES_MAX) {
        let same = |group: &&mut Vec<&PriceLine>| group[0].provider == line.provider;
        match all.iter_mut().find(same) {
            Some(group) => group.push(line),
            None => all.push(vec![line]),
        }
    }
    all
}

/// A price of `GET /models` alone: per token, or one of the encodings that only look like it.
fn spread(
    image_output: &str,
    completion: &str,
    curated: Curated,
    token: &impl Fn(Decimal) -> TokenPrices,
) -> Vec<Pricing> {
    let of = |output, reference| Pricing { output, reference };
    let reference = curated.reference(None);
    // Without a price of its own a picture is billed as text is (`domain.md` C10), unless text is
    // free, because there is none.
    let as_text = || believable(completion).filter(|usd| !usd.is_zero());
    let Some(usd) = believable(image_output).or_else(as_text) else {
        return Vec::new();
    };
    let per_million = usd.checked_mul(Decimal::from(1_000_000));
    let true_tokens = per_million.is_some_and(|usd| decimals(usd) <= DECIMALS_PER_MILLION);
    if true_tokens {
        let price = curated.by_token(token(usd), usd);
        return vec![of(OutputPrice::PerToken(price), ReferencePrice::Tokens)];
    }
    let reference = reference.unwrap_or(ReferencePrice::Free);
    if let Some(listed) = whole_price(usd, TOKENS_PER_MEGAPIXEL) {
        // Some lists spread the price of a further megapixel; then the known first one stands.
        let known = curated.megapixels().map(|(known, _)| known);
        let first = known.filter(|known| *known > listed).unwrap_or(listed);
        return vec![of(by_area(first, curated), reference)];
    }
    let Some(base) = whole_price(usd, TOKENS_PER_IMAGE) else {
        return Vec::new();
    };
    let output = OutputPrice::PerImage {
        base,
        variants: Vec::new(),
    };
    vec![of(output, reference)]
}

/// The price that was spread over so many pseudo tokens, if it comes out even.
fn whole_price(usd: Decimal, tokens: u32) -> Option<Decimal> {
    let product = usd.checked_mul(tokens.into())?;
    // Upstream prints 15 to 18 digits, so that the product is a hair beside the price.
    let price = product.round_dp_with_strategy(12, RoundingStrategy::MidpointNearestEven);
    (decimals(price) <= DECIMALS_PER_IMAGE).then(|| price.normalize())
}

fn decimals(value: Decimal) -> u32 {
    value.normalize().scale()
}

fn by_area(first: Decimal, curated: Curated) -> OutputPrice {
    let known = curated.megapixels().filter(|(known, _)| *known == first);
    OutputPrice::PerMegapixel {
        first,
        next: known.map(|(_, next)| next),
    }
}

// === impl Lines ===

impl Lines<'_> {
    /// What a picture may cost at this provider: by the plain line, and by each line of a kind that
    /// is not known, which may or may not apply.
    fn pricings(&self) -> Vec<Pricing> {
        let lines = self.of("output_image");
        let plain = lines.iter().filter(|(line, _)| line.variant.is_empty());
        let plain = plain.copied().min_by_key(|(_, usd)| *usd);
        let Variants { by_size, unknown } = variants(&lines);
        let smallest = by_size.first().map(|(_, line)| *line);
        let Some(first) = plain.or(smallest) else {
            return unknown
                .iter()
                .filter_map(|line| self.pricing(*line, &[]))
                .collect();
        };
        let same_unit = |(resolution, (line, usd)): &(Resolution, Line<'_>)| {
            (line.unit == first.0.unit).then_some((*resolution, *usd))
        };
        let known: Vec<_> = by_size.iter().filter_map(same_unit).collect();
        let main = self.pricing(first, &known);
        let perhaps = unknown.iter().filter_map(|line| self.pricing(*line, &[]));
        main.into_iter().chain(perhaps).collect()
    }

    fn of(&self, billable: &str) -> Vec<Line<'_>> {
        let lines = self.lines.iter().filter(|line| line.billable == billable);
        lines
            .filter_map(|line| Some((*line, believable(&line.usd)?)))
            .collect()
    }

    fn pricing(
        &self,
        (line, usd): Line<'_>,
        variants: &[(Resolution, Decimal)],
    ) -> Option<Pricing> {
        let output = match line.unit.as_str() {
            "image" => OutputPrice::PerImage {
                base: usd,
                variants: variants
                    .iter()
                    .filter(|(_, at)| *at != usd)
                    .copied()
                    .collect(),
            },
            "megapixel" => by_area(usd, self.curated),
            "token" => {
                let prices = TokenPrices {
                    image: usd,
                    ..self.token
                };
                OutputPrice::PerToken(self.curated.by_token(prices, usd))
            }
            _ => return None,
        };
        Some(Pricing {
            reference: self.reference(&output),
            output,
        })
    }

    fn reference(&self, output: &OutputPrice) -> ReferencePrice {
        let mut lines = self.of("input_image");
        lines.extend(self.of("input_reference"));
        let dearest = |unit: &str| {
            let of_unit = lines.iter().filter(|(line, _)| line.unit == unit);
            of_unit.map(|(_, usd)| *usd).max()
        };
        let (per_image, per_megapixel) = (dearest("image"), dearest("megapixel"));
        if let Some(usd) = per_megapixel.filter(|usd| !usd.is_zero()) {
            return ReferencePrice::PerMegapixel(usd);
        }
        let known = self.curated.reference(per_image);
        let listed = per_image.filter(|usd| !usd.is_zero());
        known
            .or(listed.map(ReferencePrice::PerImage))
            .unwrap_or(match output {
                OutputPrice::PerToken(_) => ReferencePrice::Tokens,
                OutputPrice::PerImage { .. } | OutputPrice::PerMegapixel { .. } => {
                    ReferencePrice::Free
                }
            })
    }
}

/// Takes apart the lines that are for one kind only.
fn variants<'a>(lines: &[Line<'a>]) -> Variants<'a> {
    let mut variants = Variants::default();
    for line in lines.iter().filter(|(line, _)| !line.variant.is_empty()) {
        match Resolution::parse(&line.0.variant.to_ascii_uppercase()) {
            Some(resolution) => variants.by_size.push((resolution, *line)),
            None => variants.unknown.push(*line),
        }
    }
    variants
        .by_size
        .sort_by_key(|(resolution, (_, usd))| (*resolution, *usd));
    variants
}

fn parameters(listed: &Listed, pricing: Option<&Pricing>) -> Parameters {
    let Some(offer) = &listed.offer else {
        return Parameters {
            images_per_call: 1,
            references: references(listed, None),
            ..Parameters::default()
        };
    };
    let by_area =
        pricing.is_some_and(|pricing| matches!(pricing.output, OutputPrice::PerMegapixel { .. }));
    let mut resolutions = known(&offer.resolutions, Resolution::parse);
    resolutions.sort_unstable();
    let pixel_resolutions = if by_area && resolutions.is_empty() {
        vec![Resolution::R1K, Resolution::R2K, Resolution::R4K]
    } else {
        Vec::new()
    };
    Parameters {
        aspect_ratios: known(&offer.aspect_ratios, AspectRatio::parse),
        resolutions,
        pixel_resolutions,
        qualities: known(&offer.qualities, Quality::parse),
        output_formats: known(&offer.output_formats, OutputFormat::parse),
        backgrounds: known(&offer.backgrounds, Background::parse),
        seed: offer.seed,
        images_per_call: offer.images_per_call.unwrap_or(1).max(1),
        references: references(listed, offer.references),
    }
}

fn references(listed: &Listed, said: Option<u32>) -> u32 {
    let reads = listed.inputs.iter().any(|input| input == "image");
    said.unwrap_or(if reads { REFERENCES_UNSAID } else { 0 })
}

/// The entries that are understood, each once.
fn known<T: PartialEq>(texts: &[String], parse: impl Fn(&str) -> Option<T>) -> Vec<T> {
    let mut all = Vec::new();
    for one in texts
        .iter()
        .take(ENTRIES_MAX)
        .filter_map(|text| parse(text))
    {
        if !all.contains(&one) {
            all.push(one);
        }
    }
    all
}

//! From what upstream lists to a model of ours. What cannot be read is kept, shown and never guessed.
//!
//! # The walk of one price
//!
//! A picture of 2K by `google/gemini-3.1-flash-image-preview`, from upstream's words to credits:
//!
//! 1. **Lines.** `GET /images/models/…/endpoints` tells per provider what is billed, by what, for
//!    which kind, and how much: `output_image`, `token`, for all, 6e-05 USD. The unit is the billing
//!    type (`domain.md` R16, B3): by token. The lines of a provider make one [`Pricing`], and one
//!    more for each kind that is not known ([`Lines::pricings`]).
//! 2. **`GET /models`** tells what no line does: 5e-07 USD a token of the prompt, 3e-06 a token of
//!    text. A line `input_text` or `input_image` by token is more precise, and wins.
//! 3. **Encodings.** Only a model without any line for its pictures is read by `image_output` of
//!    `GET /models` ([`mod@spread`]). 6e-05 makes 60 USD per million, a true price of tokens. FLUX.2
//!    Klein’s 0.00000341796875 does not come out even so; times 4096 it is 0.014 USD, which is its
//!    price per megapixel, as Seedream’s 0.0000095808… times 4175 is 0.04 USD per picture.
//! 4. **Curated.** How many tokens a picture becomes no list tells: 1680 at 2K, and some 1000 beside
//!    it ([`Curated`]). 1680 × 6e-05 = 0.1008 USD; × 2000 + 1 = 202.60 credits.
//!
//! **Shown** is the cheapest provider's price, where OpenRouter mostly sends calls to. **Held** is the
//! dearest that may apply: any provider's, that of an unknown kind, the price before one that is
//! doubted, what pictures cost lately. **Watched** is every price that can decide a bill
//! ([`watched`](super::watched)). **Charged** is none of them, but what the call cost.

use rust_decimal::Decimal;

use super::curated::{Curated, TokenPrices};
use super::{Capabilities, Door, Model, TextPrice};
use crate::domain::listing::{Listed, Offer, PriceLine, price};
use crate::domain::pricing::{OutputPrice, Pricing, ReferencePrice};
use crate::domain::shape::Resolution;
use parameters::parameters;
use spread::spread;

mod parameters;
mod spread;

/// The most that one token, megapixel or picture can cost and be believed, in USD. The dearest
/// picture of 2026 costs half a dollar.
const BELIEVABLE_USD: i64 = 100;

/// The most entries of a list that are looked at; OpenRouter's longest have 17.
pub(super) const ENTRIES_MAX: usize = 64;

/// What a picture is billed under.
const OUTPUT: &str = "output_image";

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
        price_lines: shown_lines(listed, capabilities),
        withdrawn: false,
        price_changed: None,
        caution_since: None,
    }
}

/// A price that can be charged by.
pub(super) fn believable(text: &str) -> Option<Decimal> {
    price(text).filter(|usd| *usd <= Decimal::from(BELIEVABLE_USD))
}

/// Whether pictures can be priced by this line, for all or for one kind.
pub(super) fn prices_pictures(line: &PriceLine) -> bool {
    let known = matches!(
        line.unit.as_str(),
        "image" | "request" | "megapixel" | "token"
    );
    line.billable == OUTPUT && known && believable(line.in_use()).is_some()
}

fn text_price(listed: &Listed) -> Option<TextPrice> {
    let prices = listed.prices_in_use();
    Some(TextPrice {
        input: believable(prices.prompt)?,
        output: believable(prices.completion)?,
    })
}

/// The lines of the endpoints; of a model whose pictures have none, what `GET /models` says.
fn shown_lines(listed: &Listed, capabilities: Capabilities) -> Vec<PriceLine> {
    let offer = listed.offer.iter();
    let mut lines: Vec<_> = offer.flat_map(|offer| &offer.lines).cloned().collect();
    if capabilities.generates_images && !has_output(&lines) {
        lines.extend(listed.prices_as_lines());
    }
    lines
}

fn has_output(lines: &[PriceLine]) -> bool {
    lines.iter().any(|line| line.billable == OUTPUT)
}

/// Every price by which a picture may be billed: the cheapest first, which is where OpenRouter
/// mostly sends calls to; the others count in high estimates.
fn pricings(listed: &Listed) -> Vec<Pricing> {
    let lines = listed.offer.as_ref().map_or(&[][..], |offer| &offer.lines);
    let curated = curated(listed);
    let prices = listed.prices_in_use();
    let token = TokenPrices {
        prompt: believable(prices.prompt).unwrap_or_default(),
        text: believable(prices.completion).unwrap_or_default(),
        image: Decimal::ZERO,
    };
    let of = |lines| Lines {
        lines,
        curated,
        token,
    };
    let mut all: Vec<Pricing> = if has_output(lines) {
        let groups = by_provider(lines).into_iter();
        groups.flat_map(|lines| of(lines).pricings()).collect()
    } else {
        let token = of(lines.iter().collect()).token_prices(Decimal::ZERO);
        spread((prices.image_output, prices.completion), curated, token)
    };
    let by_price = |pricing: &Pricing| pricing.billed_at(Resolution::R1K);
    all.sort_by_key(|pricing| by_price(pricing).unwrap_or(Decimal::MAX));
    all.dedup();
    all
}

fn curated(listed: &Listed) -> Curated {
    let known = Curated::of(listed.slug.as_str());
    let takes_levels = |offer: &Offer| !offer.qualities.is_empty();
    match &listed.offer {
        Some(offer) if takes_levels(offer) => known.with_levels(),
        _ => known,
    }
}

fn by_provider(lines: &[PriceLine]) -> Vec<Vec<&PriceLine>> {
    let mut all: Vec<Vec<&PriceLine>> = Vec::new();
    for line in lines.iter().take(ENTRIES_MAX) {
        let same = |group: &&mut Vec<&PriceLine>| group[0].provider == line.provider;
        match all.iter_mut().find(same) {
            Some(group) => group.push(line),
            None => all.push(vec![line]),
        }
    }
    all
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
    /// What a picture may cost at this provider: by the cheapest plain line with what it says of some
    /// sizes, and by each other line, which may or may not apply.
    fn pricings(&self) -> Vec<Pricing> {
        let mut lines = self.of(OUTPUT);
        // Another unit says nothing of a picture, not even that it is cheaper.
        lines.retain(|(line, _)| prices_pictures(line));
        let plain = lines.iter().filter(|(line, _)| line.variant.is_empty());
        let mut plain: Vec<_> = plain.copied().collect();
        plain.sort_by_key(|(_, usd)| *usd);
        let Variants { by_size, unknown } = variants(&lines);
        let smallest = by_size.first().map(|(_, line)| *line);
        let Some(first) = plain.first().copied().or(smallest) else {
            let each = unknown.iter();
            return each.filter_map(|line| self.pricing(*line, &[])).collect();
        };
        let is_known = |(_, (line, _)): &(Resolution, Line<'_>)| {
            unit(line) == "image" && unit(first.0) == "image"
        };
        let (known, odd): (Vec<_>, Vec<_>) = by_size.into_iter().partition(is_known);
        let known: Vec<_> = known.iter().map(|(at, (_, usd))| (*at, *usd)).collect();
        let main = self.pricing(first, &known);
        let odd = odd.into_iter().map(|(_, line)| line);
        let others = plain.into_iter().skip(1);
        let perhaps = unknown.into_iter().chain(odd).chain(others);
        let perhaps = perhaps.filter_map(|line| self.pricing(line, &[]));
        main.into_iter().chain(perhaps).collect()
    }

    fn of(&self, billable: &str) -> Vec<Line<'_>> {
        let lines = self.lines.iter().filter(|line| line.billable == billable);
        lines
            .filter_map(|line| Some((*line, believable(line.in_use())?)))
            .collect()
    }

    fn pricing(
        &self,
        (line, usd): Line<'_>,
        variants: &[(Resolution, Decimal)],
    ) -> Option<Pricing> {
        let output = match unit(line) {
            "image" => OutputPrice::PerImage {
                base: usd,
                variants: variants
                    .iter()
                    .filter(|(_, at)| *at != usd)
                    .copied()
                    .collect(),
            },
            "megapixel" => by_area(usd, self.curated),
            "token" => OutputPrice::PerToken(self.curated.by_token(self.token_prices(usd), usd)),
            _ => return None,
        };
        Some(Pricing {
            reference: self.reference(&output),
            prompt: match output {
                OutputPrice::PerToken(_) => self.token_prices(usd).prompt,
                OutputPrice::PerImage { .. } | OutputPrice::PerMegapixel { .. } => {
                    self.dearest(&["input_text"], "token").unwrap_or_default()
                }
            },
            output,
        })
    }

    /// Prices per token, where a token of a picture costs so much.
    fn token_prices(&self, image: Decimal) -> TokenPrices {
        let line = self.dearest(&["input_text"], "token");
        TokenPrices {
            prompt: line.unwrap_or(self.token.prompt),
            image,
            ..self.token
        }
    }

    /// The dearest line of these kinds and this unit.
    fn dearest(&self, billables: &[&str], of: &str) -> Option<Decimal> {
        let lines = billables.iter().flat_map(|billable| self.of(billable));
        let of_unit = lines.filter(|(line, _)| unit(line) == of);
        of_unit.map(|(_, usd)| usd).max()
    }

    fn reference(&self, output: &OutputPrice) -> ReferencePrice {
        let dearest = |unit| self.dearest(&["input_image", "input_reference"], unit);
        let costs = |unit| dearest(unit).filter(|usd| !usd.is_zero());
        if let Some(usd) = costs("megapixel") {
            return ReferencePrice::PerMegapixel(usd);
        }
        let by_token = || match output {
            OutputPrice::PerToken(_) => {
                dearest("token").unwrap_or(self.token_prices(Decimal::ZERO).prompt)
            }
            OutputPrice::PerImage { .. } | OutputPrice::PerMegapixel { .. } => {
                costs("token").unwrap_or_default()
            }
        };
        let known = self.curated.reference(dearest("image"));
        known
            .or_else(|| costs("image").map(ReferencePrice::PerImage))
            .unwrap_or_else(|| match by_token() {
                free if free.is_zero() => ReferencePrice::Free,
                usd => ReferencePrice::Tokens(usd),
            })
    }
}

/// By what a line bills. A call that asks for one picture is one request.
fn unit(line: &PriceLine) -> &str {
    match line.unit.as_str() {
        "request" => "image",
        unit => unit,
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

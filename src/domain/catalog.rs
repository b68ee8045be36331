//! The price list: an immutable value, replaced whole. A request pins one list by holding it, so
//! "the current price at the time of generation" is true by construction (`domain.md` R26).

use std::sync::Arc;

use jiff::Timestamp;
use rust_decimal::Decimal;

use super::failure::Failure;
use super::ids::Slug;
use super::listing::PriceLine;
use super::money::{Credits, UsdCost, platform_charge};
use super::pricing::{Estimate, Pricing, Question, Tier};
use super::shape::{AspectRatio, Background, OutputFormat, Quality, Resolution};

pub use absurd::Absurd;
pub use renewal::{CAUTION, Caution, Kept, PriceChange, Renewal, renew};
pub use watched::PricePart;

mod absurd;
mod built_in;
mod curated;
mod last_good;
mod page;
mod reading;
mod renewal;
mod watched;

/// All models, cheapest first.
#[derive(Clone, Debug)]
pub struct Catalog {
    models: Vec<Arc<Model>>,
    /// When these prices were read.
    pub as_of: Timestamp,
    /// Whether upstream was asked for them; else they are those of the published page.
    pub synced: bool,
}

/// A model as OpenRouter offers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// Its id at OpenRouter.
    pub slug: Slug,
    /// `Provider: Model`.
    pub name: String,
    /// What it takes and gives.
    pub capabilities: Capabilities,
    /// The endpoint that makes its pictures.
    pub door: Door,
    /// What a request may say.
    pub parameters: Parameters,
    /// How it bills pictures; none for a model that makes none, or whose price cannot be read.
    pub pricing: Option<Pricing>,
    /// Other prices that may apply: those of dearer providers, of kinds that are not known, and the
    /// one before a change that nobody has confirmed. Only high estimates count them.
    pub perhaps: Vec<Pricing>,
    /// How it bills text, if it makes any.
    pub text_price: Option<TextPrice>,
    /// How much text it reads at once, in tokens.
    pub context_tokens: Option<u64>,
    /// The prices of its pictures as they are listed, those that are not understood too.
    pub price_lines: Vec<PriceLine>,
    /// No longer offered upstream; kept for history and names (`domain.md` C18).
    pub withdrawn: bool,
    /// When its price last changed, if it ever did.
    pub price_changed: Option<Timestamp>,
    /// Since when holds go by the dearer of two prices, because the newer is hard to believe.
    pub caution_since: Option<Timestamp>,
}

/// What text costs, in USD per token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextPrice {
    /// Read.
    pub input: Decimal,
    /// Written.
    pub output: Decimal,
}

/// What a model takes and gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Its output includes pictures: the frame icon (`domain.md` R5).
    pub generates_images: bool,
    /// Its input may include pictures.
    pub reads_images: bool,
    /// Its output includes text.
    pub text: bool,
    /// Its input may include files.
    pub files: bool,
}

/// How pictures are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// `POST /images`: the model is listed by `GET /images/models`.
    Images,
    /// `POST /chat/completions` with the modalities the model's output has.
    Chat,
}

/// What a request to a model may say (`supported_parameters`). Empty lists: the model cannot be
/// told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// Shapes.
    pub aspect_ratios: Vec<AspectRatio>,
    /// Size classes as a parameter.
    pub resolutions: Vec<Resolution>,
    /// Size classes that are asked for as explicit pixels, because the model bills by area and
    /// takes no size class (`api.md`: FLUX.2).
    pub pixel_resolutions: Vec<Resolution>,
    /// Levels of work.
    pub qualities: Vec<Quality>,
    /// Formats.
    pub output_formats: Vec<OutputFormat>,
    /// Backgrounds.
    pub backgrounds: Vec<Background>,
    /// Whether it takes a seed.
    pub seed: bool,
    /// The most pictures one upstream call makes.
    pub images_per_call: u32,
    /// The most reference pictures.
    pub references: u32,
}

/// Whether a model can be chosen or used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usability {
    /// Yes.
    Usable,
    /// It is not in the catalog.
    NotInCatalog,
    /// Upstream no longer offers it.
    Withdrawn,
    /// It makes no pictures.
    TextOnly,
    /// Nobody can say what a picture costs.
    Unpriced,
    /// The organization has switched it off.
    NotAvailable,
}

// === impl Catalog ===

impl Catalog {
    /// A list of these models, sorted by the unrounded estimate at 1K, then name, then slug
    /// (`domain.md` R11, C29); models without pictures last, by what text costs (`api.md`, Lists).
    pub fn new(models: Vec<Model>, as_of: Timestamp) -> Self {
        let mut keyed: Vec<_> = models
            .into_iter()
            .map(|model| (model.place(), Arc::new(model)))
            .collect();
        keyed.sort_by(|(a_place, a), (b_place, b)| {
            let names = || (&a.name, &a.slug).cmp(&(&b.name, &b.slug));
            a_place.cmp(b_place).then_with(names)
        });
        Self {
            models: keyed.into_iter().map(|(_, model)| model).collect(),
            as_of,
            synced: false,
        }
    }

    /// The twelve models of the published page, with its prices.
    pub fn built_in() -> Self {
        built_in::catalog()
    }

    /// The model with this slug.
    pub fn find(&self, slug: &Slug) -> Option<&Arc<Model>> {
        self.models.iter().find(|model| model.slug == *slug)
    }

    /// All models, cheapest first.
    pub fn models(&self) -> &[Arc<Model>] {
        &self.models
    }
}

// === impl Model ===

impl Model {
    /// One picture at 1K, or at the model's smallest size class if it has no 1K.
    pub fn estimate(&self) -> Option<Estimate> {
        self.estimate_for(&Question::one(self.usual_resolution()?))
    }

    /// 1K, or the model's smallest size class if it has no 1K.
    pub fn usual_resolution(&self) -> Option<Resolution> {
        let offered = self.resolutions();
        if offered.contains(&Resolution::R1K) {
            Some(Resolution::R1K)
        } else {
            offered.first().copied()
        }
    }

    /// The answer to any question; none for a model that makes no pictures.
    pub fn estimate_for(&self, question: &Question) -> Option<Estimate> {
        let mut estimate = self.pricing.as_ref()?.estimate(question)?;
        let perhaps = self.perhaps.iter().filter_map(|one| one.estimate(question));
        let highest = perhaps.map(|perhaps| perhaps.bounds.high).max();
        estimate.bounds.high = estimate.bounds.high.max(highest.unwrap_or(Credits::ZERO));
        Some(estimate)
    }

    /// Where it stands in a list: pictures before text before what has no price.
    fn place(&self) -> (u8, Decimal) {
        if let Some(estimate) = self.estimate() {
            return (0, estimate.exact);
        }
        match self.text_price {
            Some(price) => (1, price.output),
            None => (2, Decimal::ZERO),
        }
    }

    /// Draft, general or final, by the estimate at 1K.
    pub fn tier(&self) -> Option<Tier> {
        self.estimate().map(|estimate| Tier::of(estimate.exact))
    }

    /// The size classes that can be asked for, smallest first. A model that cannot be told makes
    /// pictures of about 1K.
    pub fn resolutions(&self) -> Vec<Resolution> {
        let parameters = &self.parameters;
        if !parameters.resolutions.is_empty() {
            parameters.resolutions.clone()
        } else if !parameters.pixel_resolutions.is_empty() {
            parameters.pixel_resolutions.clone()
        } else {
            vec![Resolution::R1K]
        }
    }

    /// The size classes that a request may be content with: those that the model has, and all above
    /// its smallest, because a smaller picture is never dearer (`domain.md` C32).
    pub fn takes(&self) -> Vec<Resolution> {
        let smallest = self.resolutions().into_iter().min();
        let all = Resolution::ALL.into_iter();
        all.filter(|size| smallest.is_some_and(|smallest| smallest <= *size))
            .collect()
    }

    /// Whether an organization that `available` speaks for can use it.
    pub const fn usability(&self, available: bool) -> Usability {
        if !self.capabilities.generates_images {
            Usability::TextOnly
        } else if self.withdrawn {
            Usability::Withdrawn
        } else if self.pricing.is_none() {
            Usability::Unpriced
        } else if available {
            Usability::Usable
        } else {
            Usability::NotAvailable
        }
    }
}

// === impl TextPrice ===

impl TextPrice {
    /// Credits per 1,000 tokens read and written, without the overhead of a picture.
    pub fn credits_per_1k(self) -> Option<(Credits, Credits)> {
        let credits = |usd: Decimal| {
            let cost = UsdCost::from_decimal(usd.checked_mul(1000.into())?)?;
            Some(text_charge(cost))
        };
        Some((credits(self.input)?, credits(self.output)?))
    }
}

/// `usd × 2000`, rounded up at two decimals: the rule of pictures without their overhead.
fn text_charge(cost: UsdCost) -> Credits {
    let with_overhead = platform_charge(cost, 1).hundredths();
    Credits::from_hundredths(with_overhead.saturating_sub(100))
}

// === impl Usability ===

impl Usability {
    /// What a model can be by itself, whoever asks.
    pub const OF_A_MODEL: [Self; 4] = [
        Self::Usable,
        Self::Withdrawn,
        Self::TextOnly,
        Self::Unpriced,
    ];

    /// The machine's word for it, as in `metadata.cause`.
    pub const fn cause(self) -> &'static str {
        match self {
            Self::Usable => "usable",
            Self::NotInCatalog => "not_in_catalog",
            Self::Withdrawn => "withdrawn",
            Self::TextOnly => "text_only",
            Self::Unpriced => "unpriced",
            Self::NotAvailable => "not_available_to_organization",
        }
    }

    /// What is wrong, to follow the model's name; `None` if nothing is.
    pub const fn sentence(self) -> Option<&'static str> {
        match self {
            Self::Usable => None,
            Self::NotInCatalog => Some("is not in the catalog"),
            Self::Withdrawn => Some("is no longer offered"),
            Self::TextOnly => Some("makes no images"),
            Self::Unpriced => Some("has no price that can be read"),
            Self::NotAvailable => Some("is switched off for this organization"),
        }
    }

    /// `MODEL_UNAVAILABLE` with the cause, unless usable.
    ///
    /// # Errors
    /// The failure to answer with.
    pub fn into_result(self, slug: &Slug) -> Result<(), Failure> {
        match self {
            Self::Usable => Ok(()),
            Self::NotInCatalog
            | Self::Withdrawn
            | Self::TextOnly
            | Self::Unpriced
            | Self::NotAvailable => Err(Failure::model_unavailable(slug, self.cause())),
        }
    }
}

#[cfg(test)]
mod tests;

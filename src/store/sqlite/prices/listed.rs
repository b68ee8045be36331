//! A listed model as JSON: every text as it was told.

use serde::{Deserialize, Serialize};

use crate::domain::ids::Slug;
use crate::domain::listing::{Listed, ListedPrices, Offer, PriceLine};

/// A listed model without its slug, which is the key of its row.
#[derive(Serialize, Deserialize)]
pub(super) struct Document {
    name: String,
    inputs: Vec<String>,
    outputs: Vec<String>,
    context_tokens: Option<u64>,
    prompt: String,
    completion: String,
    image_output: String,
    last_good: LastGood,
    offer: Option<OfferDocument>,
}

#[derive(Serialize, Deserialize)]
struct LastGood {
    prompt: String,
    completion: String,
    image_output: String,
}

#[derive(Serialize, Deserialize)]
struct OfferDocument {
    aspect_ratios: Vec<String>,
    resolutions: Vec<String>,
    qualities: Vec<String>,
    output_formats: Vec<String>,
    backgrounds: Vec<String>,
    seed: bool,
    images_per_call: Option<u32>,
    references: Option<u32>,
    lines: Vec<LineDocument>,
}

#[derive(Serialize, Deserialize)]
struct LineDocument {
    provider: String,
    billable: String,
    unit: String,
    variant: String,
    usd: String,
    last_good: String,
}

impl Document {
    pub(super) fn of(listed: &Listed) -> Self {
        Self {
            name: listed.name.clone(),
            inputs: listed.inputs.clone(),
            outputs: listed.outputs.clone(),
            context_tokens: listed.context_tokens,
            prompt: listed.prices.prompt.clone(),
            completion: listed.prices.completion.clone(),
            image_output: listed.prices.image_output.clone(),
            last_good: LastGood {
                prompt: listed.last_good.prompt.clone(),
                completion: listed.last_good.completion.clone(),
                image_output: listed.last_good.image_output.clone(),
            },
            offer: listed.offer.as_ref().map(OfferDocument::of),
        }
    }

    pub(super) fn read(self, slug: Slug) -> Listed {
        Listed {
            slug,
            name: self.name,
            inputs: self.inputs,
            outputs: self.outputs,
            context_tokens: self.context_tokens,
            prices: ListedPrices {
                prompt: self.prompt,
                completion: self.completion,
                image_output: self.image_output,
            },
            last_good: ListedPrices {
                prompt: self.last_good.prompt,
                completion: self.last_good.completion,
                image_output: self.last_good.image_output,
            },
            offer: self.offer.map(OfferDocument::read),
        }
    }
}

impl OfferDocument {
    fn of(offer: &Offer) -> Self {
        let line = |line: &PriceLine| LineDocument {
            provider: line.provider.clone(),
            billable: line.billable.clone(),
            unit: line.unit.clone(),
            variant: line.variant.clone(),
            usd: line.usd.clone(),
            last_good: line.last_good.clone(),
        };
        Self {
            aspect_ratios: offer.aspect_ratios.clone(),
            resolutions: offer.resolutions.clone(),
            qualities: offer.qualities.clone(),
            output_formats: offer.output_formats.clone(),
            backgrounds: offer.backgrounds.clone(),
            seed: offer.seed,
            images_per_call: offer.images_per_call,
            references: offer.references,
            lines: offer.lines.iter().map(line).collect(),
        }
    }

    fn read(self) -> Offer {
        let line = |line: LineDocument| PriceLine {
            provider: line.provider,
            billable: line.billable,
            unit: line.unit,
            variant: line.variant,
            usd: line.usd,
            last_good: line.last_good,
        };
        Offer {
            aspect_ratios: self.aspect_ratios,
            resolutions: self.resolutions,
            qualities: self.qualities,
            output_formats: self.output_formats,
            backgrounds: self.backgrounds,
            seed: self.seed,
            images_per_call: self.images_per_call,
            references: self.references,
            lines: self.lines.into_iter().map(line).collect(),
        }
    }
}

//! What a request to a model may say, as far as it is understood.

use super::super::Parameters;
use super::ENTRIES_MAX;
use crate::domain::listing::Listed;
use crate::domain::pricing::{OutputPrice, Pricing};
use crate::domain::shape::{AspectRatio, Background, OutputFormat, Quality, Resolution};

/// References a model takes that reads pictures and names no limit (OpenRouter's schema: 16).
const REFERENCES_UNSAID: u32 = 16;

/// Reads them. A model that bills by area and takes no size class is asked in pixels.
pub(super) fn parameters(listed: &Listed, pricing: Option<&Pricing>) -> Parameters {
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

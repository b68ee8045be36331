//! The published page as if it had been listed, by what its models are billed: what the very first
//! list is compared with, so that it is not believed blindly.

use rust_decimal::Decimal;

use super::{Catalog, Model};
use crate::domain::listing::{Listed, ListedPrices, Offer, PriceLine};
use crate::domain::pricing::{OutputPrice, Pricing, ReferencePrice};

/// The twelve models.
pub(super) fn listed() -> Vec<Listed> {
    let page = Catalog::built_in();
    let models = page.models().iter();
    models.filter_map(|model| as_listed(model)).collect()
}

fn as_listed(model: &Model) -> Option<Listed> {
    let pricing = model.pricing.as_ref()?;
    let mut lines = output(&pricing.output);
    lines.extend(reference(pricing));
    let resolutions = model.parameters.resolutions.iter();
    let text = match &pricing.output {
        OutputPrice::PerToken(price) => price.text,
        OutputPrice::PerImage { .. } | OutputPrice::PerMegapixel { .. } => Decimal::ZERO,
    };
    Some(Listed {
        slug: model.slug.clone(),
        name: model.name.clone(),
        inputs: vec!["text".to_owned(), "image".to_owned()],
        outputs: vec!["image".to_owned()],
        context_tokens: None,
        prices: ListedPrices {
            prompt: pricing.prompt.to_string(),
            completion: text.to_string(),
            image_output: String::new(),
        },
        last_good: ListedPrices::default(),
        offer: Some(Offer {
            resolutions: resolutions.map(ToString::to_string).collect(),
            lines,
            ..Offer::default()
        }),
    })
}

fn output(price: &OutputPrice) -> Vec<PriceLine> {
    let of = |unit, usd| line("output_image", unit, usd);
    match price {
        OutputPrice::PerImage { base, variants } => {
            let variants = variants.iter().map(|(size, usd)| PriceLine {
                variant: size.as_str().to_ascii_lowercase(),
                ..of("image", *usd)
            });
            [of("image", *base)].into_iter().chain(variants).collect()
        }
        OutputPrice::PerMegapixel { first, .. } => vec![of("megapixel", *first)],
        OutputPrice::PerToken(price) => vec![of("token", price.image)],
    }
}

/// What only older documents say of references stands in the curated table, not in a line.
fn reference(pricing: &Pricing) -> Option<PriceLine> {
    match pricing.reference {
        ReferencePrice::PerImage(usd) | ReferencePrice::PerhapsPerImage(usd) => {
            Some(line("input_reference", "image", usd))
        }
        ReferencePrice::PerMegapixel(usd) => Some(line("input_image", "megapixel", usd)),
        ReferencePrice::Tokens(usd) => Some(line("input_image", "token", usd)),
        ReferencePrice::Free | ReferencePrice::PerhapsPerMegapixel(_) => None,
    }
}

/// A line of nobody in particular.
fn line(billable: &str, unit: &str, usd: Decimal) -> PriceLine {
    PriceLine {
        billable: billable.to_owned(),
        unit: unit.to_owned(),
        usd: usd.to_string(),
        ..PriceLine::default()
    }
}

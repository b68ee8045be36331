//! A model as an organization sees it.

use super::View;
use crate::domain::catalog::Model;
use crate::domain::job::REFERENCES_MAX;
use crate::domain::listing::{PriceLine, price};
use crate::domain::pricelist::PriceList;
use crate::domain::pricing::{Estimate, Question};
use crate::domain::shape::Resolution;
use crate::domain::tool::IMAGES_PER_CALL_MAX;
use crate::grpc::write;
use crate::proto;

/// Shows a model.
pub(super) fn show(model: &Model, list: &PriceList, view: &View) -> proto::Model {
    let draws = model.pricing.is_some();
    proto::Model {
        available: view
            .shows_availability()
            .then(|| view.available(&model.slug)),
        agents_using: write::int(view.agents(&model.slug)),
        ..if draws {
            image_model(model, list)
        } else {
            text_model(model)
        }
    }
}

/// What every model has.
fn any_model(model: &Model) -> proto::Model {
    proto::Model {
        slug: model.slug.to_string(),
        name: model.name.clone(),
        capabilities: capabilities(model).into_iter().map(Into::into).collect(),
        withdrawn: model.withdrawn,
        price_change_time: model.price_changed.map(write::timestamp),
        price_unconfirmed_since: model.caution_since.map(write::timestamp),
        price_lines: model.price_lines.iter().map(price_line).collect(),
        context_tokens: model
            .context_tokens
            .and_then(|tokens| i64::try_from(tokens).ok())
            .unwrap_or_default(),
        ..proto::Model::default()
    }
}

fn text_model(model: &Model) -> proto::Model {
    let (input, output) = model
        .text_price
        .and_then(|price| price.credits_per_1k())
        .map(|(input, output)| (input.to_string(), output.to_string()))
        .unwrap_or_default();
    proto::Model {
        credits_per_1k_input_tokens: input,
        credits_per_1k_output_tokens: output,
        ..any_model(model)
    }
}

fn image_model(model: &Model, list: &PriceList) -> proto::Model {
    let shown = |estimate: &Estimate| write::estimate(estimate, list.catalog.as_of);
    let resolutions = model.resolutions();
    let by_resolution = resolutions.iter().filter_map(|resolution| {
        let estimate = list.estimate(model, &Question::one(*resolution))?;
        Some((resolution.to_string(), shown(&estimate)))
    });
    let billing_type = model.pricing.as_ref().map(|pricing| pricing.billing_type());
    let parameters = &model.parameters;
    let usual = model.usual_resolution();
    proto::Model {
        billing_type: billing_type
            .map(write::billing_type)
            .unwrap_or_default()
            .into(),
        estimate: usual
            .and_then(|resolution| list.estimate(model, &Question::one(resolution)))
            .as_ref()
            .map(shown),
        estimate_resolution: usual.map(|usual| usual.to_string()).unwrap_or_default(),
        estimates_by_resolution: by_resolution.collect(),
        tier: model.tier().map(write::tier).unwrap_or_default().into(),
        aspect_ratios: parameters
            .aspect_ratios
            .iter()
            .map(ToString::to_string)
            .collect(),
        resolutions: resolutions.iter().map(Resolution::to_string).collect(),
        max_count: write::int(IMAGES_PER_CALL_MAX),
        max_reference_images: write::int(parameters.references.min(REFERENCES_MAX)),
        ..any_model(model)
    }
}

/// As it is listed; a number in plain notation.
fn price_line(line: &PriceLine) -> proto::PriceLine {
    let plain = |text: &str| {
        let usd = price(text).map(|usd| usd.normalize().to_string());
        usd.unwrap_or_else(|| text.to_owned())
    };
    proto::PriceLine {
        provider: line.provider.clone(),
        billable: line.billable.clone(),
        unit: line.unit.clone(),
        variant: line.variant.clone(),
        usd: plain(&line.usd),
        usd_in_use: plain(&line.last_good),
    }
}

/// What a model can do.
pub(super) fn capabilities(model: &Model) -> Vec<proto::Capability> {
    let has = model.capabilities;
    [
        (has.generates_images, proto::Capability::GeneratesImages),
        (has.reads_images, proto::Capability::ReadsImages),
        (has.text, proto::Capability::Text),
        (has.files, proto::Capability::Files),
    ]
    .into_iter()
    .filter_map(|(has, capability)| has.then_some(capability))
    .collect()
}

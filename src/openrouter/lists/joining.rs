//! One list out of three answers, joined by slug.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::reading::Endpoints;
use crate::domain::ids::Slug;
use crate::domain::listing::Listed;

/// What the gateway has a use for; OpenRouter also lists models that embed, speak or film.
const WANTED_OUTPUTS: [&str; 2] = ["text", "image"];

/// Joins models of `GET /models`, those of `GET /images/models`, and the endpoints of the latter as
/// far as there are any. The result is in the order of the slugs.
pub(super) fn join<'a>(
    models: impl Iterator<Item = &'a Listed>,
    image_models: &[Listed],
    endpoints: &HashMap<Slug, Option<Arc<Endpoints>>>,
) -> Vec<Listed> {
    // Of a model that is there twice the later one stays.
    let mut all: BTreeMap<Slug, Listed> = models
        .map(|model| (model.slug.clone(), model.clone()))
        .collect();
    for model in image_models {
        let endpoints = endpoints.get(&model.slug).and_then(Option::as_deref);
        let offered = with_offer(model, endpoints);
        let whole = match all.remove(&model.slug) {
            Some(known) => completed(known, offered),
            None => offered,
        };
        all.insert(whole.slug.clone(), whole);
    }
    all.into_values().filter(is_wanted).collect()
}

fn with_offer(model: &Listed, endpoints: Option<&Endpoints>) -> Listed {
    let parameters = model.offer.clone();
    let parameters = parameters.or_else(|| endpoints?.parameters.clone());
    let mut offer = parameters.unwrap_or_default();
    offer.lines = endpoints.map(|told| told.lines.clone()).unwrap_or_default();
    Listed {
        offer: Some(offer),
        ..model.clone()
    }
}

/// A model with its offer, and whatever only the list of image models says.
fn completed(known: Listed, offered: Listed) -> Listed {
    let either = |told: Vec<String>, other| if told.is_empty() { other } else { told };
    Listed {
        name: if known.name.is_empty() {
            offered.name
        } else {
            known.name
        },
        inputs: either(known.inputs, offered.inputs),
        outputs: either(known.outputs, offered.outputs),
        offer: offered.offer,
        ..known
    }
}

/// A model that says nothing of what it makes may be anything, and stays.
fn is_wanted(model: &Listed) -> bool {
    let wanted = |output: &String| WANTED_OUTPUTS.contains(&output.as_str());
    model.offer.is_some() || model.outputs.is_empty() || model.outputs.iter().any(wanted)
}

//! `supported_parameters` of an image model or an endpoint of it: what a request may say.

use serde::Deserialize;

use super::raw::{Raw, number, object, words};
use crate::domain::listing::Offer;

/// Those parameters that the gateway knows.
#[derive(Deserialize)]
struct Parameters<'a> {
    #[serde(borrow, default)]
    aspect_ratio: Raw<'a>,
    #[serde(borrow, default)]
    resolution: Raw<'a>,
    #[serde(borrow, default)]
    quality: Raw<'a>,
    #[serde(borrow, default)]
    output_format: Raw<'a>,
    #[serde(borrow, default)]
    background: Raw<'a>,
    #[serde(borrow, default)]
    seed: Raw<'a>,
    #[serde(borrow, default)]
    n: Raw<'a>,
    #[serde(borrow, default)]
    input_references: Raw<'a>,
}

/// A parameter: `enum` with `values`, `range` with `min` and `max`, or `boolean`. What it is shows
/// in what it has; `type` says nothing more.
#[derive(Deserialize)]
struct Parameter<'a> {
    #[serde(borrow, default)]
    values: Raw<'a>,
    #[serde(borrow, default)]
    max: Raw<'a>,
}

/// Reads the parameters, without lines; `None` if nothing is told that matters.
pub(super) fn offer(raw: Raw<'_>) -> Option<Offer> {
    let parameters: Parameters<'_> = object(raw)?;
    let offer = Offer {
        aspect_ratios: values(parameters.aspect_ratio),
        resolutions: values(parameters.resolution),
        qualities: values(parameters.quality),
        output_formats: values(parameters.output_format),
        backgrounds: values(parameters.background),
        seed: parameter(parameters.seed).is_some(),
        images_per_call: most(parameters.n),
        references: most(parameters.input_references),
        lines: Vec::new(),
    };
    (offer != Offer::default()).then_some(offer)
}

fn parameter(raw: Raw<'_>) -> Option<Parameter<'_>> {
    object(raw)
}

fn values(raw: Raw<'_>) -> Vec<String> {
    words(parameter(raw).and_then(|parameter| parameter.values))
}

fn most(raw: Raw<'_>) -> Option<u32> {
    number(parameter(raw)?.max)
}

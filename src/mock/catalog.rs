//! The models the mock offers: recorded catalog answers, and what validation reads from them.
//!
//! Twelve records are OpenRouter's. Two chat-only image models and two text models stand beside
//! them, so that paths which no listed model takes can be walked too.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::price::{PRICES, PriceRow};
use super::size::tier_named;

/// Most references of a model whose record names no limit (OpenRouter's schema: 16).
const REFERENCES_MOST: usize = 16;

/// Everything the catalog routes answer with.
#[derive(Debug)]
pub(crate) struct Catalog {
    pub(crate) models: Vec<Model>,
    /// The items of `GET /images/models`.
    pub(crate) image_listing: Vec<Box<RawValue>>,
}

/// One model.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) id: String,
    canonical_slug: String,
    pub(crate) outputs: Vec<String>,
    pub(crate) provider: String,
    pub(crate) price: &'static PriceRow,
    /// The item of `GET /models`.
    pub(crate) record: Box<RawValue>,
    /// What `POST /images` takes; absent for models that only chat reaches.
    pub(crate) image_api: Option<ImageApi>,
}

/// What `POST /images` takes for a model.
#[derive(Debug)]
pub(crate) struct ImageApi {
    pub(crate) images_most: usize,
    pub(crate) references_most: usize,
    pub(crate) aspect_ratios: Vec<String>,
    /// Empty if the model knows no resolution.
    pub(crate) tiers: Vec<u32>,
    pub(crate) streams: bool,
    /// The answer of `GET /images/models/{author}/{slug}/endpoints`.
    pub(crate) endpoints: Box<RawValue>,
}

#[derive(Deserialize)]
struct ModelHead {
    id: String,
    canonical_slug: String,
    architecture: Architecture,
}

#[derive(Deserialize)]
struct Architecture {
    output_modalities: Vec<String>,
}

#[derive(Deserialize)]
struct EndpointsHead {
    endpoints: Vec<Endpoint>,
}

#[derive(Deserialize)]
struct Endpoint {
    provider_name: String,
    supported_parameters: HashMap<String, Capability>,
    supports_streaming: bool,
}

#[derive(Deserialize)]
struct Capability {
    #[serde(default)]
    values: Vec<String>,
    max: Option<usize>,
}

impl Catalog {
    /// Reads the embedded records.
    pub(crate) fn load() -> serde_json::Result<Self> {
        let records: Vec<Box<RawValue>> = serde_json::from_str(include_str!("data/models.json"))?;
        let image_listing = serde_json::from_str(include_str!("data/image_models.json"))?;
        let mut endpoints: HashMap<String, Box<RawValue>> =
            serde_json::from_str(include_str!("data/endpoints.json"))?;
        let mut models = Vec::with_capacity(records.len());
        for record in records {
            let head: ModelHead = serde_json::from_str(record.get())?;
            let endpoints = endpoints.remove(&head.id);
            models.extend(Model::read(head, record, endpoints)?);
        }
        Ok(Self {
            models,
            image_listing,
        })
    }

    /// Finds a model by its slug or its dated slug.
    pub(crate) fn model(&self, slug: &str) -> Option<&Model> {
        self.models
            .iter()
            .find(|model| model.id == slug || model.canonical_slug == slug)
    }
}

impl Model {
    pub(crate) fn makes_images(&self) -> bool {
        self.outputs.iter().any(|output| output == "image")
    }

    pub(crate) fn makes_text(&self) -> bool {
        self.outputs.iter().any(|output| output == "text")
    }

    pub(crate) fn is_by(&self, author: &str) -> bool {
        self.id.split_once('/').is_some_and(|(by, _)| by == author)
    }

    /// A model without a price is left out, so that no call can be free by mistake.
    fn read(
        head: ModelHead,
        record: Box<RawValue>,
        endpoints: Option<Box<RawValue>>,
    ) -> serde_json::Result<Option<Self>> {
        let Some(price) = PRICES.iter().find(|row| row.model == head.id) else {
            return Ok(None);
        };
        let mut provider = "Mock".to_owned();
        let mut image_api = None;
        if let Some(raw) = endpoints {
            let parsed: EndpointsHead = serde_json::from_str(raw.get())?;
            if let Some(first) = parsed.endpoints.into_iter().next() {
                provider.clone_from(&first.provider_name);
                image_api = Some(ImageApi::read(&first, raw));
            }
        }
        Ok(Some(Self {
            id: head.id,
            canonical_slug: head.canonical_slug,
            outputs: head.architecture.output_modalities,
            provider,
            price,
            record,
            image_api,
        }))
    }
}

impl ImageApi {
    fn read(endpoint: &Endpoint, endpoints: Box<RawValue>) -> Self {
        let values = |name: &str| {
            endpoint
                .supported_parameters
                .get(name)
                .map(|c| c.values.clone())
                .unwrap_or_default()
        };
        let most = |name: &str| endpoint.supported_parameters.get(name).and_then(|c| c.max);
        Self {
            images_most: most("n").unwrap_or(1),
            references_most: most("input_references").unwrap_or(REFERENCES_MOST),
            aspect_ratios: values("aspect_ratio"),
            tiers: values("resolution")
                .iter()
                .filter_map(|name| tier_named(name))
                .collect(),
            streams: endpoint.supports_streaming,
            endpoints,
        }
    }
}

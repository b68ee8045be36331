//! The three answers that make the list, each read as far as it can be: an array that is none
//! spoils the answer, anything odd further in only itself. Nothing is understood here, and nothing
//! but texts of bounded length comes out.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::client::SMALL_BODY_CAP_BYTES;
use super::super::error_body::ErrorBody;
use super::super::lenient::Object;
use super::super::presentable::presentable;
use super::parameters::offer;
use super::raw::{Raw, each, first, number, object, price, text, word, words};
use crate::domain::ids::Slug;
use crate::domain::listing::{Listed, ListedPrices, Offer, PriceLine};

/// The most models of a list. OpenRouter had some 700 of all kinds in 2026.
pub(super) const MODELS_MAX: usize = 5_000;

/// The most characters of a name.
pub(super) const NAME_MAX_CHARS: usize = 200;

/// The most endpoints and price lines of a model; OpenRouter's longest have 2 and 4.
pub(super) const LINES_MAX: usize = 64;

/// An answer of which the list is made.
pub(super) trait Part: Sized + Send + Sync + 'static {
    /// Reads it whole.
    fn read(body: &[u8]) -> Result<Self, Unread>;
}

/// Why an answer is not read.
#[derive(Debug)]
pub(super) enum Unread {
    /// It is an error, although it began well.
    Error(Box<ErrorBody>),
    /// It is something else.
    NoList(String),
}

/// One page of `GET /models`.
#[derive(Debug)]
pub(super) struct ModelPage {
    /// Without offers.
    pub(super) models: Vec<Listed>,
    /// How many records it has, those that cannot be read included.
    pub(super) records: usize,
    /// `total_count`: records of all pages.
    pub(super) total: Option<usize>,
    /// `links.next` names another page.
    pub(super) names_next: bool,
}

/// `GET /images/models`.
#[derive(Debug, Default)]
pub(super) struct ImageModels {
    /// With the parameters as far as they are told, without lines and without prices.
    pub(super) models: Vec<Listed>,
}

/// `GET /images/models/{author}/{slug}/endpoints`.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    /// The parameters of the first endpoint that tells any.
    pub(super) parameters: Option<Offer>,
    /// The price lines of all endpoints.
    pub(super) lines: Vec<PriceLine>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    data: Raw<'a>,
    #[serde(borrow, default)]
    endpoints: Raw<'a>,
    #[serde(borrow, default)]
    total_count: Raw<'a>,
    #[serde(borrow, default)]
    links: Raw<'a>,
    #[serde(borrow, default)]
    error: Raw<'a>,
}

#[derive(Deserialize)]
struct Links<'a> {
    #[serde(borrow, default)]
    next: Raw<'a>,
}

/// A model of either list.
#[derive(Deserialize)]
struct ModelRecord<'a> {
    #[serde(borrow, default)]
    id: Raw<'a>,
    #[serde(borrow, default)]
    name: Raw<'a>,
    #[serde(borrow, default)]
    context_length: Raw<'a>,
    #[serde(borrow, default)]
    architecture: Raw<'a>,
    #[serde(borrow, default)]
    pricing: Raw<'a>,
    #[serde(borrow, default)]
    supported_parameters: Raw<'a>,
}

#[derive(Default, Deserialize)]
struct Architecture<'a> {
    #[serde(borrow, default)]
    input_modalities: Raw<'a>,
    #[serde(borrow, default)]
    output_modalities: Raw<'a>,
}

#[derive(Default, Deserialize)]
struct Prices<'a> {
    #[serde(borrow, default)]
    prompt: Raw<'a>,
    #[serde(borrow, default)]
    completion: Raw<'a>,
    #[serde(borrow, default)]
    image_output: Raw<'a>,
}

#[derive(Deserialize)]
struct EndpointRecord<'a> {
    #[serde(borrow, default)]
    provider_slug: Raw<'a>,
    #[serde(borrow, default)]
    supported_parameters: Raw<'a>,
    #[serde(borrow, default)]
    pricing: Raw<'a>,
}

#[derive(Deserialize)]
struct LineRecord<'a> {
    #[serde(borrow, default)]
    billable: Raw<'a>,
    #[serde(borrow, default)]
    unit: Raw<'a>,
    #[serde(borrow, default)]
    variant: Raw<'a>,
    #[serde(borrow, default)]
    cost_usd: Raw<'a>,
}

/// Reads the outermost object; an error comes before any data beside it.
fn envelope(body: &[u8]) -> Result<Envelope<'_>, Unread> {
    if body.trim_ascii_start().starts_with(b"<") {
        return Err(no_list("an HTML page"));
    }
    let Object(envelope): Object<Envelope<'_>> =
        serde_json::from_slice(body).map_err(|error| no_list(&error.to_string()))?;
    if envelope.error.is_none() {
        return Ok(envelope);
    }
    // What an error says is taken apart, which takes many times the room of its text.
    let error = (body.len() <= SMALL_BODY_CAP_BYTES).then(|| ErrorBody::of_body(body));
    let error = error.flatten().unwrap_or_default();
    Err(Unread::Error(Box::new(error)))
}

/// Reads the models of an array, and says how many records it has.
fn models(data: Raw<'_>) -> Result<(Vec<Listed>, usize), Unread> {
    let data = data.ok_or_else(|| no_list("no data"))?;
    let mut models = Vec::new();
    let mut records = 0_usize;
    let read = each(data, |raw| {
        records += 1;
        if records <= MODELS_MAX {
            models.extend(model(raw));
        }
    });
    read.map_err(|error| no_list(&error.to_string()))?;
    if records > MODELS_MAX {
        return Err(no_list(&format!("{records} models")));
    }
    Ok((models, records))
}

/// Reads a model; `None` without an id that can be one.
fn model(raw: &RawValue) -> Option<Listed> {
    let record: ModelRecord<'_> = object(Some(raw))?;
    let id: String = serde_json::from_str(record.id?.get()).ok()?;
    let slug = Slug::parse(&id).ok()?;
    let architecture: Architecture<'_> = object(record.architecture).unwrap_or_default();
    let prices: Prices<'_> = object(record.pricing).unwrap_or_default();
    Some(Listed {
        slug,
        name: text(record.name, NAME_MAX_CHARS).unwrap_or_default(),
        inputs: words(architecture.input_modalities),
        outputs: words(architecture.output_modalities),
        context_tokens: number(record.context_length),
        prices: ListedPrices {
            prompt: price(prices.prompt),
            completion: price(prices.completion),
            image_output: price(prices.image_output),
        },
        last_good: ListedPrices::default(),
        offer: offer(record.supported_parameters),
    })
}

fn line(raw: &RawValue, provider: &str) -> Option<PriceLine> {
    let record: LineRecord<'_> = object(Some(raw))?;
    Some(PriceLine {
        provider: provider.to_owned(),
        billable: word(record.billable),
        unit: word(record.unit),
        variant: word(record.variant),
        usd: price(record.cost_usd),
        last_good: String::new(),
    })
}

fn no_list(what: &str) -> Unread {
    Unread::NoList(presentable(what))
}

// === impl ModelPage ===

impl Part for ModelPage {
    fn read(body: &[u8]) -> Result<Self, Unread> {
        let envelope = envelope(body)?;
        let (mut models, records) = models(envelope.data)?;
        for model in &mut models {
            // Parameters of chat, whatever they are.
            model.offer = None;
        }
        let next = object(envelope.links).and_then(|Links { next }| next);
        Ok(Self {
            models,
            records,
            total: number(envelope.total_count),
            names_next: next.is_some_and(|next| next.get().starts_with('"')),
        })
    }
}

// === impl ImageModels ===

impl Part for ImageModels {
    fn read(body: &[u8]) -> Result<Self, Unread> {
        let envelope = envelope(body)?;
        let (mut models, records) = models(envelope.data)?;
        let total = number(envelope.total_count).unwrap_or(records);
        if total > records {
            return Err(no_list(&format!("{records} of {total} image models")));
        }
        for model in &mut models {
            // Prices of pictures stand at the endpoints.
            model.prices = ListedPrices::default();
        }
        Ok(Self { models })
    }
}

// === impl Endpoints ===

impl Part for Endpoints {
    fn read(body: &[u8]) -> Result<Self, Unread> {
        let listed = envelope(body)?.endpoints;
        let listed = listed.ok_or_else(|| no_list("no endpoints"))?;
        let mut endpoints = Self::default();
        let mut records = 0_usize;
        let read = each(listed, |raw| {
            records += 1;
            if records <= LINES_MAX {
                endpoints.take(raw);
            }
        });
        read.map_err(|error| no_list(&error.to_string()))?;
        Ok(endpoints)
    }
}

impl Endpoints {
    fn take(&mut self, raw: &RawValue) {
        let Some::<EndpointRecord<'_>>(record) = object(Some(raw)) else {
            return;
        };
        if self.parameters.is_none() {
            self.parameters = offer(record.supported_parameters);
        }
        let provider = word(record.provider_slug);
        let room = LINES_MAX - self.lines.len();
        let lines = first(record.pricing, room, |raw| line(raw, &provider));
        self.lines.extend(lines);
    }
}

//! From a request to an order: whether the agent may, what is adjusted, what is held. Everything
//! that can be refused is refused here, before any credits are touched.

use std::sync::Arc;

use jiff::Timestamp;

use super::catalog::{Catalog, Model, Usability};
use super::failure::Failure;
use super::generation::Adjustment;
use super::money::Credits;
use super::pricelist::PriceList;
use super::pricing::{Estimate, Question};
use super::shape::{AspectRatio, Background, OutputFormat, Quality, Resolution, SentShape};
use super::tool::Tool;
use fit::Fitting;
pub use request::{ImageRequest, ReferenceFacts};

mod fit;
mod request;

/// The most reference pictures of one call, whatever the model takes (`api.md`, Limits).
pub const REFERENCES_MAX: u32 = 16;

/// What will be done, and what it may cost.
#[derive(Clone, Debug)]
pub struct Job {
    /// Who draws.
    pub model: Arc<Model>,
    /// The shape.
    pub aspect_ratio: AspectRatio,
    /// The size class.
    pub resolution: Resolution,
    /// Pictures asked for.
    pub requested: u32,
    /// Pictures of each upstream call; their sum is `requested`.
    pub calls: Vec<u32>,
    /// What the calls say about size and shape.
    pub sent: SentShape,
    /// The level of work, if the model can be told.
    pub quality: Option<Quality>,
    /// The format, if the model can be told.
    pub output_format: Option<OutputFormat>,
    /// The background, if the model can be told.
    pub background: Option<Background>,
    /// The seed, if the model takes one.
    pub seed: Option<i64>,
    /// What is done otherwise than asked.
    pub adjustments: Vec<Adjustment>,
    /// What was asked of the price list.
    pub question: Question,
    /// Its answer.
    pub estimate: Estimate,
    /// When the price of the estimate was read.
    pub price_time: Timestamp,
    /// What to hold.
    pub hold: Credits,
}

// === impl Job ===

impl Job {
    /// Plans a request, or says what stands in the way.
    ///
    /// # Errors
    /// The failure to answer with; nothing has been held yet.
    pub fn plan(
        request: &ImageRequest,
        tool: &Tool,
        model: &Arc<Model>,
        list: &PriceList,
    ) -> Result<Self, Failure> {
        check_amounts(request, tool, model)?;
        let mut adjustments = Vec::new();
        let mut fit = Fitting {
            request,
            tool,
            model,
            adjustments: &mut adjustments,
        };
        let resolution = fit.resolution()?;
        let aspect_ratio = fit.aspect_ratio();
        let output_format = fit.output_format();
        let background = fit.background();
        let seed = fit.seed();
        let quality = fit.quality();
        refuse_if_strict(request, &adjustments)?;
        let question = question(request, resolution, quality);
        let estimate = list
            .estimate(model, &question)
            .ok_or_else(|| Failure::model_unavailable(&model.slug, "no_usable_price"))?;
        let hold = hold(request, &estimate)?;
        Ok(Self {
            model: Arc::clone(model),
            aspect_ratio,
            resolution,
            requested: request.count,
            calls: split(request.count, model.parameters.images_per_call),
            sent: sent(model, resolution, aspect_ratio),
            quality,
            output_format,
            background,
            seed,
            adjustments,
            question,
            estimate,
            price_time: list.catalog.as_of,
            hold,
        })
    }
}

/// The model an enabled tool draws with, if it can now.
///
/// # Errors
/// `TOOL_NOT_ENABLED`, `TOOL_NEEDS_CONFIGURATION`, `MODEL_UNAVAILABLE`.
pub fn usable_model<'a>(
    tool: &Tool,
    catalog: &'a Catalog,
    available: bool,
) -> Result<&'a Arc<Model>, Failure> {
    if !tool.enabled {
        return Err(Failure::tool_not_enabled(&tool.agent));
    }
    let slug = tool
        .model
        .as_ref()
        .ok_or_else(|| Failure::tool_needs_configuration(&tool.agent))?;
    let Some(model) = catalog.find(slug) else {
        let cause = Usability::NotInCatalog.cause();
        return Err(Failure::model_unavailable(slug, cause));
    };
    model.usability(available).into_result(slug)?;
    Ok(model)
}

fn check_amounts(request: &ImageRequest, tool: &Tool, model: &Model) -> Result<(), Failure> {
    if request.count > tool.max_images_per_call {
        let what = format!(
            "is {}, this agent's tool allows at most {} per call",
            request.count, tool.max_images_per_call
        );
        return Err(Failure::invalid("count", what));
    }
    if request.references.is_empty() {
        return Ok(());
    }
    let most = model.parameters.references.min(REFERENCES_MAX);
    let position = usize::try_from(most).unwrap_or(usize::MAX);
    if !tool.allow_reference_images {
        Err(Failure::reference_invalid(
            0,
            "is not allowed by this agent's tool",
        ))
    } else if request.references.len() > position {
        let what = format!("is one too many: {} takes at most {most}", model.name);
        Err(Failure::reference_invalid(position, what))
    } else {
        Ok(())
    }
}

fn refuse_if_strict(request: &ImageRequest, adjustments: &[Adjustment]) -> Result<(), Failure> {
    let Some(first) = adjustments.first().filter(|_| request.strict) else {
        return Ok(());
    };
    let instead = if first.used.is_empty() {
        "nothing"
    } else {
        &first.used
    };
    let what = format!(
        "cannot be {}: {}; without `strict`, {instead} would be used",
        first.requested, first.reason
    );
    Err(Failure::invalid(&first.field, what))
}

fn question(request: &ImageRequest, resolution: Resolution, quality: Option<Quality>) -> Question {
    let megapixels = request
        .references
        .iter()
        .map(|facts| facts.pixels.megapixels());
    Question {
        resolution,
        quality,
        count: request.count,
        references: u32::try_from(request.references.len()).unwrap_or(u32::MAX),
        reference_megapixels: megapixels.sum(),
        prompt_bytes: u64::try_from(request.prompt.len()).unwrap_or(u64::MAX),
    }
}

fn hold(request: &ImageRequest, estimate: &Estimate) -> Result<Credits, Failure> {
    let hold = estimate.bounds.high;
    match request.max_credits {
        Some(most) if hold > most => Err(Failure::max_credits_exceeded(hold, most)),
        _ => Ok(hold),
    }
}

/// How many pictures each upstream call makes: a model that makes one per call gets one call per
/// picture (`api.md`).
fn split(count: u32, per_call: u32) -> Vec<u32> {
    let per_call = per_call.max(1);
    let mut calls = vec![per_call; usize::try_from(count / per_call).unwrap_or(0)];
    if !count.is_multiple_of(per_call) {
        calls.push(count % per_call);
    }
    calls
}

fn sent(model: &Model, resolution: Resolution, aspect_ratio: AspectRatio) -> SentShape {
    let parameters = &model.parameters;
    if parameters.pixel_resolutions.contains(&resolution) && resolution != Resolution::R1K {
        return SentShape {
            size: Some(aspect_ratio.pixels(resolution)),
            ..SentShape::default()
        };
    }
    let takes = |list: &[AspectRatio]| list.iter().any(|ratio| ratio.same_shape(aspect_ratio));
    SentShape {
        aspect_ratio: takes(&parameters.aspect_ratios).then_some(aspect_ratio),
        resolution: parameters
            .resolutions
            .contains(&resolution)
            .then_some(resolution),
        size: None,
    }
}

#[cfg(test)]
mod tests;

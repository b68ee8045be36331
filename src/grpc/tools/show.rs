//! A tool as its organization sees it.

use crate::domain::job::{ImageRequest, Job, usable_model};
use crate::domain::openrouter_key::KeyStatus;
use crate::domain::pricelist::PriceList;
use crate::domain::pricing::Estimate;
use crate::domain::tool::Tool;
use crate::grpc::write;
use crate::proto;

/// Shows a tool at the prices and with the key of its organization; `available` says whether that may
/// use its model.
pub(super) fn show(
    tool: &Tool,
    (list, key): (&PriceList, KeyStatus),
    available: bool,
) -> proto::GenerateImageTool {
    let status = tool.status(&list.catalog, available).with_key(key);
    let (status, status_reason) = write::tool_status(status);
    let estimate = usual_estimate(tool, list, available);
    proto::GenerateImageTool {
        status: status.into(),
        status_reason,
        estimate: estimate.map(|estimate| write::estimate(&estimate, list.catalog.as_of)),
        create_time: Some(write::timestamp(tool.created)),
        update_time: Some(write::timestamp(tool.updated)),
        ..configuration(tool)
    }
}

/// What the builder chose.
fn configuration(tool: &Tool) -> proto::GenerateImageTool {
    let ratios = tool.allowed_aspect_ratios.iter();
    proto::GenerateImageTool {
        agent_id: tool.agent.to_string(),
        enabled: tool.enabled,
        model: text(tool.model.as_ref()),
        default_aspect_ratio: tool.default_aspect_ratio.to_string(),
        default_resolution: tool.default_resolution.to_string(),
        max_resolution: tool.max_resolution.to_string(),
        allowed_aspect_ratios: ratios.map(ToString::to_string).collect(),
        quality: text(tool.quality),
        max_images_per_call: write::int(tool.max_images_per_call),
        daily_image_limit: write::int(tool.daily_image_limit),
        monthly_credit_limit: text(tool.monthly_credit_limit),
        allow_reference_images: tool.allow_reference_images,
        when_to_use: tool.when_to_use.clone(),
        ..proto::GenerateImageTool::default()
    }
}

/// One image with the tool's defaults, whether it is switched on or not.
fn usual_estimate(tool: &Tool, list: &PriceList, available: bool) -> Option<Estimate> {
    let tool = Tool {
        enabled: true,
        ..tool.clone()
    };
    let model = usable_model(&tool, &list.catalog, available).ok()?;
    let request = ImageRequest::bare(tool.agent.clone()).ok()?;
    let job = Job::plan(&request, &tool, model, list).ok()?;
    Some(job.estimate)
}

/// Nothing is an empty text.
fn text(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

//! The Generate Image tool of each agent.

use tonic::{Request, Response, Status};

use super::{Service, caller, read, write};
use crate::domain::failure::Failure;
use crate::domain::ids::OrganizationId;
use crate::domain::job::{ImageRequest, Job, usable_model};
use crate::domain::pricelist::PriceList;
use crate::domain::pricing::Estimate;
use crate::domain::shape::AspectRatio;
use crate::domain::tool::{Status as ToolState, Tool};
use crate::generate::unsettled;
use crate::proto;
use crate::proto::tool_service_server::ToolService;

/// The fields a caller can change, in the contract's order.
const FIELDS: [&str; 12] = [
    "enabled",
    "model",
    "default_aspect_ratio",
    "default_resolution",
    "max_resolution",
    "allowed_aspect_ratios",
    "quality",
    "max_images_per_call",
    "daily_image_limit",
    "monthly_credit_limit",
    "allow_reference_images",
    "when_to_use",
];

#[tonic::async_trait]
impl ToolService for Service {
    async fn get_generate_image_tool(
        &self,
        request: Request<proto::GetGenerateImageToolRequest>,
    ) -> Result<Response<proto::GenerateImageTool>, Status> {
        self.answer("GetGenerateImageTool", self.get_tool(request).await)
    }

    async fn update_generate_image_tool(
        &self,
        request: Request<proto::UpdateGenerateImageToolRequest>,
    ) -> Result<Response<proto::GenerateImageTool>, Status> {
        self.answer("UpdateGenerateImageTool", self.update_tool(request).await)
    }
}

impl Service {
    async fn get_tool(
        &self,
        request: Request<proto::GetGenerateImageToolRequest>,
    ) -> Result<proto::GenerateImageTool, Failure> {
        let organization = read::payer(&caller(&request)?)?;
        let agent = read::agent_id(&request.get_ref().agent_id)?;
        let found = self.parts.settings.tool(&organization, &agent).await;
        let tool = found
            .map_err(unsettled)?
            .ok_or_else(|| Failure::agent_not_found(&agent))?;
        self.show_tool(&organization, &tool).await
    }

    async fn update_tool(
        &self,
        request: Request<proto::UpdateGenerateImageToolRequest>,
    ) -> Result<proto::GenerateImageTool, Failure> {
        let organization = read::payer(&caller(&request)?)?;
        let request = request.into_inner();
        let missing = || Failure::invalid("generate_image_tool", "must be set");
        let wanted = request.generate_image_tool.ok_or_else(missing)?;
        let agent = read::agent_id(&wanted.agent_id)?;
        let settings = &self.parts.settings;
        let now = crate::clock::now();
        let kept = settings
            .tool(&organization, &agent)
            .await
            .map_err(unsettled)?;
        let mut tool = kept.unwrap_or_else(|| Tool::new(agent, now));
        for field in changed(&wanted, request.update_mask)? {
            change(&mut tool, &wanted, field)?;
        }
        tool.updated = now;
        let available = self.tool_model_available(&organization, &tool).await?;
        tool.check(&self.parts.prices.current().catalog, available)?;
        if !request.validate_only {
            settings
                .save_tool(&organization, tool.clone())
                .await
                .map_err(unsettled)?;
        }
        self.show_tool(&organization, &tool).await
    }

    async fn tool_model_available(
        &self,
        organization: &OrganizationId,
        tool: &Tool,
    ) -> Result<bool, Failure> {
        match &tool.model {
            Some(model) => {
                let available = self.parts.settings.is_available(organization, model).await;
                available.map_err(unsettled)
            }
            None => Ok(false),
        }
    }

    async fn show_tool(
        &self,
        organization: &OrganizationId,
        tool: &Tool,
    ) -> Result<proto::GenerateImageTool, Failure> {
        let list = self.parts.prices.current();
        let catalog = &list.catalog;
        let available = self.tool_model_available(organization, tool).await?;
        let (status, status_reason) = match tool.status(catalog, available) {
            ToolState::Ready => (proto::ToolStatus::Ready, String::new()),
            ToolState::Disabled => (proto::ToolStatus::Disabled, String::new()),
            ToolState::NeedsConfiguration(why) => (proto::ToolStatus::NeedsConfiguration, why),
        };
        let estimate = usual_estimate(tool, &list, available);
        Ok(proto::GenerateImageTool {
            agent_id: tool.agent.to_string(),
            enabled: tool.enabled,
            model: tool
                .model
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            default_aspect_ratio: tool.default_aspect_ratio.to_string(),
            default_resolution: tool.default_resolution.to_string(),
            max_resolution: tool.max_resolution.to_string(),
            allowed_aspect_ratios: tool
                .allowed_aspect_ratios
                .iter()
                .map(ToString::to_string)
                .collect(),
            quality: tool
                .quality
                .map(|quality| quality.to_string())
                .unwrap_or_default(),
            max_images_per_call: write::int(tool.max_images_per_call),
            daily_image_limit: write::int(tool.daily_image_limit),
            monthly_credit_limit: tool
                .monthly_credit_limit
                .map(|c| c.to_string())
                .unwrap_or_default(),
            allow_reference_images: tool.allow_reference_images,
            when_to_use: tool.when_to_use.clone(),
            status: status.into(),
            status_reason,
            estimate: estimate.map(|estimate| write::estimate(&estimate, catalog.as_of)),
            create_time: Some(write::timestamp(tool.created)),
            update_time: Some(write::timestamp(tool.updated)),
        })
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

/// Which fields to change: those of the mask; without one, those that are set (AIP-134).
fn changed(
    wanted: &proto::GenerateImageTool,
    mask: Option<prost_types::FieldMask>,
) -> Result<Vec<&'static str>, Failure> {
    let paths = mask.map(|mask| mask.paths).unwrap_or_default();
    if paths.is_empty() {
        return Ok(FIELDS
            .into_iter()
            .filter(|field| is_set(wanted, field))
            .collect());
    }
    if paths.iter().any(|path| path == "*") {
        return Ok(FIELDS.to_vec());
    }
    let known = |path: &String| FIELDS.into_iter().find(|field| field == path);
    let unknown = |path: &str| {
        let what = format!(
            "names {path}, which cannot be changed; it takes {}",
            FIELDS.join(", ")
        );
        Failure::invalid("update_mask", what)
    };
    paths
        .iter()
        .map(|path| known(path).ok_or_else(|| unknown(path)))
        .collect()
}

fn is_set(wanted: &proto::GenerateImageTool, field: &str) -> bool {
    match field {
        "enabled" => wanted.enabled,
        "model" => !wanted.model.is_empty(),
        "default_aspect_ratio" => !wanted.default_aspect_ratio.is_empty(),
        "default_resolution" => !wanted.default_resolution.is_empty(),
        "max_resolution" => !wanted.max_resolution.is_empty(),
        "allowed_aspect_ratios" => !wanted.allowed_aspect_ratios.is_empty(),
        "quality" => !wanted.quality.is_empty(),
        "max_images_per_call" => wanted.max_images_per_call != 0,
        "daily_image_limit" => wanted.daily_image_limit != 0,
        "monthly_credit_limit" => !wanted.monthly_credit_limit.is_empty(),
        "allow_reference_images" => wanted.allow_reference_images,
        "when_to_use" => !wanted.when_to_use.is_empty(),
        _ => false,
    }
}

/// Takes one field; an empty value is the default.
fn change(
    tool: &mut Tool,
    wanted: &proto::GenerateImageTool,
    field: &'static str,
) -> Result<(), Failure> {
    let fresh = Tool::new(tool.agent.clone(), tool.created);
    match field {
        "enabled" => tool.enabled = wanted.enabled,
        "model" => {
            let model = Some(wanted.model.as_str()).filter(|model| !model.is_empty());
            tool.model = model.map(|model| read::slug("model", model)).transpose()?;
        }
        "default_aspect_ratio" => {
            let read = read::aspect_ratio(field, &wanted.default_aspect_ratio)?;
            tool.default_aspect_ratio = read.unwrap_or(fresh.default_aspect_ratio);
        }
        "default_resolution" => {
            let read = read::resolution(field, &wanted.default_resolution)?;
            tool.default_resolution = read.unwrap_or(fresh.default_resolution);
        }
        "max_resolution" => {
            let read = read::resolution(field, &wanted.max_resolution)?;
            tool.max_resolution = read.unwrap_or(fresh.max_resolution);
        }
        "allowed_aspect_ratios" => {
            tool.allowed_aspect_ratios = ratios(field, &wanted.allowed_aspect_ratios)?
        }
        "quality" => tool.quality = read::quality(&wanted.quality)?,
        "max_images_per_call" => {
            let read = read::amount(field, wanted.max_images_per_call)?;
            tool.max_images_per_call = if read == 0 {
                fresh.max_images_per_call
            } else {
                read
            };
        }
        "daily_image_limit" => {
            tool.daily_image_limit = read::amount(field, wanted.daily_image_limit)?
        }
        "monthly_credit_limit" => {
            tool.monthly_credit_limit = read::credits(field, &wanted.monthly_credit_limit)?;
        }
        "allow_reference_images" => tool.allow_reference_images = wanted.allow_reference_images,
        "when_to_use" => tool.when_to_use = read::text(field, wanted.when_to_use.clone(), 4000)?,
        _ => {}
    }
    Ok(())
}

fn ratios(field: &str, texts: &[String]) -> Result<Vec<AspectRatio>, Failure> {
    if texts.len() > 50 {
        return Err(Failure::invalid(field, "must have at most 50 entries"));
    }
    let ratio = |text: &String| {
        let read = read::aspect_ratio(field, text)?;
        read.ok_or_else(|| Failure::invalid(field, "must not contain an empty entry"))
    };
    texts.iter().map(ratio).collect()
}

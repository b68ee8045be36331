//! The fields of a tool that a caller can change.

use crate::domain::failure::Failure;
use crate::domain::ids::AgentId;
use crate::domain::shape::AspectRatio;
use crate::domain::tool::Tool;
use crate::grpc::{read, status};
use crate::proto;

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

/// So many bytes of an unknown name are said back: what it should have been has to stand beside it.
const NAME_SHOWN_BYTES: usize = 64;

/// Which fields to change: those of the mask; without one, those that are set (AIP-134).
pub(super) fn changed(
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
            "names {}, which cannot be changed; it takes {}",
            status::cut(path, NAME_SHOWN_BYTES),
            FIELDS.join(", ")
        );
        Failure::invalid("update_mask", what)
    };
    paths
        .iter()
        .map(|path| known(path).ok_or_else(|| unknown(path)))
        .collect()
}

/// The tool after the change of these fields; a new one if there was none.
pub(super) fn apply(
    before: Option<&Tool>,
    wanted: &proto::GenerateImageTool,
    fields: &[&'static str],
) -> Result<Tool, Failure> {
    let now = crate::clock::now();
    let mut tool = match before {
        Some(before) => before.clone(),
        None => {
            let agent = read::new_name("agent_id", &wanted.agent_id, AgentId::parse)?;
            Tool::new(agent, now)
        }
    };
    for field in fields {
        change(&mut tool, wanted, field)?;
    }
    tool.updated = now;
    Ok(tool)
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

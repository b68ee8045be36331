//! A request for images, read field by field.

use std::sync::Arc;

use crate::domain::failure::Failure;
use crate::domain::generation::Context;
use crate::domain::job::ImageRequest;
use crate::grpc::read;
use crate::proto;

/// Characters of a prompt (`api.md`, GenerateImageRequest).
const PROMPT_CHARS_MAX: usize = 32_000;

/// Characters of the caller's own ids.
const ID_CHARS_MAX: usize = 255;

/// Pairs of metadata, characters of a key, characters of a value (`api.md`, GenerateImageRequest).
const METADATA_MAX: (usize, usize, usize) = (16, 64, 512);

/// Everything but the reference images.
pub(super) fn image_request(message: proto::GenerateImageRequest) -> Result<ImageRequest, Failure> {
    let context = Context {
        conversation_id: read::text("conversation_id", message.conversation_id, ID_CHARS_MAX)?,
        message_id: read::text("message_id", message.message_id, ID_CHARS_MAX)?,
        user_id: read::text("user_id", message.user_id, ID_CHARS_MAX)?,
        channel: read::channel(message.channel)?,
        origin: read::origin(message.origin)?,
        metadata: metadata(message.metadata)?,
    };
    Ok(ImageRequest {
        agent: read::agent_id(&message.agent_id)?,
        request_id: read::request_id(&message.request_id)?,
        prompt: prompt(&message.prompt)?,
        aspect_ratio: read::aspect_ratio("aspect_ratio", &message.aspect_ratio)?,
        resolution: read::resolution("resolution", &message.resolution)?,
        count: read::amount("count", message.count)?.max(1),
        references: Vec::new(),
        seed: message.seed,
        output_format: read::output_format(&message.output_format)?,
        background: read::background(&message.background)?,
        max_credits: read::credits("max_credits", &message.max_credits)?,
        strict: message.strict,
        context,
    })
}

fn prompt(text: &str) -> Result<Arc<str>, Failure> {
    let trimmed = text.trim();
    let chars = trimmed.chars().count();
    if chars == 0 {
        Err(Failure::invalid("prompt", "must not be empty"))
    } else if chars > PROMPT_CHARS_MAX {
        let what = format!("has {chars} characters, the limit is {PROMPT_CHARS_MAX}");
        Err(Failure::invalid("prompt", what))
    } else {
        Ok(trimmed.into())
    }
}

fn metadata(
    map: std::collections::HashMap<String, String>,
) -> Result<Vec<(String, String)>, Failure> {
    let (pairs, key_chars, value_chars) = METADATA_MAX;
    if map.len() > pairs {
        return Err(Failure::invalid(
            "metadata",
            format!("must have at most {pairs} pairs"),
        ));
    }
    let mut read = Vec::with_capacity(map.len());
    for (key, value) in map {
        if key.chars().count() > key_chars {
            let what = format!("has a key of more than {key_chars} characters");
            return Err(Failure::invalid("metadata", what));
        }
        read.push((key, read::text("metadata", value, value_chars)?));
    }
    read.sort();
    Ok(read)
}

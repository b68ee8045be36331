//! `POST /api/v1/chat/completions`: the older way to a picture, and the only one to some models.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use bytes::Bytes;
use serde_json::{Value, json};

use super::answer::{Answer, EVENT_STREAM, JSON, Refusal};
use super::call::{Call, Ordered, prompt_of, unix_seconds};
use super::catalog::Model;
use super::parts::Parts;
use super::price::Order;
use super::reference::{fonts, pixels_of};
use super::script::MediaType;
use super::size::{Pixels, clamp_shape, clamp_tier, tier_named};
use super::usage::{Stated, state};

const BESIDE_A_PICTURE: &str = "Here is your picture.";
const WITHOUT_A_PICTURE: &str = "I can describe it, but no picture was asked for.";
const REFUSED: &str = "I'm not able to create that image.";
/// An estimate of the length of a token in characters.
const CHARACTERS_PER_TOKEN: usize = 4;

#[derive(Debug)]
struct Wish<'a> {
    model: &'a Model,
    with_image: bool,
    with_text: bool,
    pixels: Pixels,
    tier: u32,
    references: Vec<&'a str>,
    streamed: bool,
}

/// What the assistant says.
#[derive(Debug)]
struct Message {
    content: Option<&'static str>,
    pictures: Vec<Bytes>,
    finish_reason: Option<&'static str>,
    native_finish_reason: Option<&'static str>,
}

/// Answers the route.
pub(crate) async fn create(call: Call) -> Response<Body> {
    let answer = if call.work_is_replaced() {
        Answer::nothing()
    } else {
        make(&call)
            .await
            .unwrap_or_else(|refusal| refusal.answer(&call.stage.samples))
    };
    call.respond(answer).await
}

async fn make(call: &Call) -> Result<Answer, Refusal> {
    call.check_key()?;
    let wish = read(call)?;
    let asked = usize::from(wish.with_image);
    let images = call
        .script
        .images
        .filter(|_| wish.with_image)
        .unwrap_or(asked);
    let words = content(&wish, images);
    let references: Vec<u64> = wish.references.iter().map(|url| pixels_of(url)).collect();
    let text_tokens = words.map_or(0, str::len).div_ceil(CHARACTERS_PER_TOKEN);
    let charge = wish.model.price.charge(&Order {
        images,
        pixels: wish.pixels,
        tier: wish.tier,
        quality: call
            .body
            .pointer("/image_config/quality")
            .and_then(Value::as_str)
            .unwrap_or(""),
        references: &references,
        fonts: fonts(call.body.pointer("/image_config/font_inputs")),
        prompt_characters: prompt_of(&call.body).chars().count(),
        text_tokens: u64::try_from(text_tokens).unwrap_or_default(),
    });
    let stated = state(&charge, &call.script);
    let stated = stated.map_err(|error| Refusal::broken(&error))?;
    let delivery = call.delivery(Ordered {
        model: wish.model,
        images,
        references: references.len(),
        charge,
        cost: stated.cost,
        streamed: wish.streamed,
        // Providers without cancel support bill what was generated, read or not.
        billed_if_cancelled: true,
    });
    let pictures = call.pictures(wish.model, wish.pixels, images).await?;
    let message = Message::new(&wish, words, pictures);
    let mut answer = match wish.streamed {
        true => stream(call, &wish, &message, &stated),
        false => whole(call, &wish, &message, &stated),
    };
    answer.delivery = Some(delivery);
    Ok(answer)
}

/// A refusal shows as recorded: Google says so in words, OpenAI says nothing at all.
fn content(wish: &Wish<'_>, images: usize) -> Option<&'static str> {
    match (wish.with_image, images) {
        (false, _) => Some(WITHOUT_A_PICTURE),
        (true, 0) => (!wish.model.is_by("openai")).then_some(REFUSED),
        (true, _) => wish.with_text.then_some(BESIDE_A_PICTURE),
    }
}

impl Message {
    fn new(wish: &Wish<'_>, content: Option<&'static str>, pictures: Vec<Bytes>) -> Self {
        let silent = content.is_none() && pictures.is_empty();
        let native = if wish.model.is_by("google") {
            "STOP"
        } else {
            "stop"
        };
        Self {
            content,
            pictures,
            finish_reason: (!silent).then_some("stop"),
            native_finish_reason: (!silent).then_some(native),
        }
    }
}

fn whole(call: &Call, wish: &Wish<'_>, message: &Message, stated: &Stated) -> Answer {
    let mut parts = Parts::default();
    head(call, wish, "chat.completion", &mut parts);
    parts.text(",\"choices\":[{\"index\":0,\"logprobs\":null,\"finish_reason\":");
    parts
        .json(&message.finish_reason)
        .text(",\"native_finish_reason\":");
    parts.json(&message.native_finish_reason);
    parts.text(",\"message\":{\"role\":\"assistant\",\"refusal\":null,\"reasoning\":null");
    parts.text(",\"content\":").json(&message.content);
    if !message.pictures.is_empty() {
        parts.text(",\"images\":");
        images(call, &message.pictures, &mut parts);
    }
    parts.text("}}]");
    usage(stated, &mut parts);
    parts.text("}");
    Answer {
        body: parts.finish(),
        ..Answer::of(StatusCode::OK, JSON, Bytes::new())
    }
}

/// Text first, then all pictures in one line, the reason of the end, and the usage last.
fn stream(call: &Call, wish: &Wish<'_>, message: &Message, stated: &Stated) -> Answer {
    const COMMENT: &str = ": OPENROUTER PROCESSING\n\n";
    const GOES_ON: &str = "},\"finish_reason\":null,\"native_finish_reason\":null}]}\n\n";
    let mut parts = Parts::default();
    parts.text(COMMENT).text(COMMENT);
    chunk_head(call, wish, &mut parts);
    parts
        .text(",\"content\":")
        .json(&message.content.unwrap_or_default())
        .text(GOES_ON);
    if !message.pictures.is_empty() {
        chunk_head(call, wish, &mut parts);
        parts.text(",\"content\":\"\",\"images\":");
        images(call, &message.pictures, &mut parts);
        parts.text(GOES_ON);
    }
    chunk_head(call, wish, &mut parts);
    parts
        .text(",\"content\":\"\"},\"finish_reason\":")
        .json(&message.finish_reason);
    parts
        .text(",\"native_finish_reason\":")
        .json(&message.native_finish_reason)
        .text("}]}\n\n");
    chunk_head(call, wish, &mut parts);
    parts.text(",\"content\":\"\"},\"finish_reason\":null,\"native_finish_reason\":null}]");
    usage(stated, &mut parts);
    parts.text("}\n\ndata: [DONE]\n\n");
    Answer {
        body: parts.finish(),
        ..Answer::of(StatusCode::OK, EVENT_STREAM, Bytes::new())
    }
}

fn chunk_head(call: &Call, wish: &Wish<'_>, parts: &mut Parts) {
    parts.text("data: ");
    head(call, wish, "chat.completion.chunk", parts);
    parts.text(",\"choices\":[{\"index\":0,\"logprobs\":null,\"delta\":{\"role\":\"assistant\"");
}

fn head(call: &Call, wish: &Wish<'_>, object: &str, parts: &mut Parts) {
    parts.text("{\"id\":").json(&call.generation_id);
    parts.text(",\"provider\":").json(&wish.model.provider);
    parts.text(",\"model\":").json(&wish.model.id);
    parts.text(",\"object\":").json(&object);
    parts.text(",\"created\":").json(&unix_seconds());
    parts.text(",\"system_fingerprint\":null");
}

fn images(call: &Call, pictures: &[Bytes], parts: &mut Parts) {
    let media_type = match &call.script.media_type {
        None => "image/png",
        Some(MediaType::Omit) => "",
        Some(MediaType::Override(text)) => text,
    };
    for (index, picture) in pictures.iter().enumerate() {
        parts.text(if index == 0 { "[" } else { "," });
        parts
            .text("{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:")
            .text(media_type);
        parts
            .text(";base64,")
            .shared(picture)
            .text("\"},\"index\":")
            .json(&index)
            .text("}");
    }
    parts.text("]");
}

fn usage(stated: &Stated, parts: &mut Parts) {
    if let Some(usage) = &stated.usage {
        parts.text(",\"usage\":").text(usage);
    }
}

fn read(call: &Call) -> Result<Wish<'_>, Refusal> {
    let body = &call.body;
    let slug = body.get("model").and_then(Value::as_str);
    let slug = slug.ok_or_else(|| Refusal::plain(400, "No models provided"))?;
    let model = call
        .stage
        .catalog
        .model(slug)
        .ok_or_else(|| Refusal::NoSuchModel(slug.to_owned()))?;
    let messages = body
        .get("messages")
        .and_then(Value::as_array)
        .filter(|all| !all.is_empty());
    let messages = messages
        .ok_or_else(|| Refusal::plain(400, "Input required: specify \"prompt\" or \"messages\""))?;
    let (with_image, with_text) = modalities(body, model)?;
    if with_image && body.get("tools").is_some_and(|tools| *tools != json!([])) {
        return Err(Refusal::plain(
            404,
            "No endpoints found that support tool use",
        ));
    }
    let references = references(messages)?;
    if with_image && prompt_of(body).is_empty() {
        return Err(Refusal::plain(
            400,
            "Invalid request parameters: the prompt is empty",
        ));
    }
    let (pixels, tier) = shape(body, model);
    let streamed = body.get("stream").and_then(Value::as_bool).unwrap_or(false);
    Ok(Wish {
        model,
        with_image,
        with_text,
        pixels,
        tier,
        references,
        streamed,
    })
}

/// Without `modalities` a model that can write only writes.
fn modalities(body: &Value, model: &Model) -> Result<(bool, bool), Refusal> {
    let Some(asked) = body.get("modalities").and_then(Value::as_array) else {
        return Ok((!model.makes_text(), model.makes_text()));
    };
    let asked: Vec<&str> = asked.iter().filter_map(Value::as_str).collect();
    let offered = |name: &&str| model.outputs.iter().any(|output| output == name);
    if asked.is_empty() || !asked.iter().all(offered) {
        let message = "No endpoints found that support the requested output modalities: ";
        return Err(Refusal::plain(
            404,
            format!("{message}{}", asked.join(", ")),
        ));
    }
    Ok((
        asked.contains(&"image") && model.makes_images(),
        asked.contains(&"text"),
    ))
}

fn references(messages: &[Value]) -> Result<Vec<&str>, Refusal> {
    let contents = messages
        .iter()
        .filter_map(|message| message.get("content")?.as_array());
    let parts: Vec<&Value> = contents.flatten().collect();
    if parts
        .iter()
        .any(|part| part.get("type").and_then(Value::as_str) == Some("file"))
    {
        return Err(Refusal::plain(400, "Invalid file type"));
    }
    let urls = parts
        .iter()
        .filter_map(|part| part.pointer("/image_url/url")?.as_str());
    Ok(urls.collect())
}

/// Chat never refuses a shape: what it does not know it replaces.
fn shape(body: &Value, model: &Model) -> (Pixels, u32) {
    let config = |name: &str| body.pointer("/image_config")?.get(name)?.as_str();
    let tier = config("image_size").and_then(tier_named).unwrap_or(1024);
    let asked = config("aspect_ratio")
        .filter(|asked| *asked != "auto")
        .unwrap_or("1:1");
    match &model.image_api {
        None => (Pixels::of_shape(asked, tier), tier),
        Some(api) => {
            let tier = clamp_tier(tier, &api.tiers);
            (
                Pixels::of_shape(&clamp_shape(asked, &api.aspect_ratios), tier),
                tier,
            )
        }
    }
}

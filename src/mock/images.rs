//! `POST /api/v1/images`: checks a request as OpenRouter does, prices it and draws.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use bytes::Bytes;
use rust_decimal::Decimal;
use serde_json::Value;

use super::answer::{Answer, EVENT_STREAM, JSON, Refusal};
use super::call::{Call, Ordered, unix_seconds};
use super::catalog::{Catalog, ImageApi, Model};
use super::parts::Parts;
use super::price::{Charge, Order};
use super::reference::{fonts, pixels_of};
use super::script::MediaType;
use super::size::{ASPECT_RATIOS, Pixels, RESOLUTIONS, clamp_shape, clamp_tier, tier_named};
use super::usage::{Stated, state};

/// The most that the request schema takes for any model.
const IMAGES_MOST: u64 = 10;
const REFERENCES_MOST: usize = 16;
const DRAWN: &str = "image/png";
/// The side of the picture that is sent ahead of the finished one.
const PARTIAL_SIDE: u32 = 256;

#[derive(Debug)]
struct Wish<'a> {
    model: &'a Model,
    images: usize,
    pixels: Pixels,
    tier: u32,
    quality: &'a str,
    references: Vec<&'a str>,
    streamed: bool,
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
    let wish = read(&call.body, &call.stage.catalog)?;
    let images = call.script.images.unwrap_or(wish.images);
    let charge = wish.charge(&call.body, images);
    let stated = state(&charge, &call.script);
    let stated = stated.map_err(|error| Refusal::broken(&error))?;
    let delivery = call.delivery(Ordered {
        model: wish.model,
        images,
        references: wish.references.len(),
        charge,
        cost: stated.cost,
        streamed: wish.streamed,
        billed_if_cancelled: false,
    });
    let pictures = call.pictures(wish.model, wish.pixels, images).await?;
    let mut answer = if wish.streamed {
        let side = PARTIAL_SIDE;
        let small = Pixels {
            width: side,
            height: side,
        };
        let partial = call.pictures(wish.model, small, 1.min(images)).await?;
        stream(call, &partial, &pictures, &stated)
    } else {
        whole(call, &pictures, &stated)
    };
    answer.delivery = Some(delivery);
    Ok(answer)
}

fn whole(call: &Call, pictures: &[Bytes], stated: &Stated) -> Answer {
    let mut parts = Parts::default();
    parts
        .text("{\"created\":")
        .json(&unix_seconds())
        .text(",\"data\":[");
    for (index, picture) in pictures.iter().enumerate() {
        parts.text(if index == 0 {
            "{\"b64_json\":\""
        } else {
            ",{\"b64_json\":\""
        });
        parts.shared(picture).text("\"");
        media_type(call, &mut parts);
        parts.text("}");
    }
    parts.text("]");
    if let Some(usage) = &stated.usage {
        parts.text(",\"usage\":").text(usage);
    }
    parts.text("}");
    Answer {
        body: parts.finish(),
        ..Answer::of(StatusCode::OK, JSON, Bytes::new())
    }
}

/// The events of OpenRouter's image guide; usage comes with the last image.
fn stream(call: &Call, partial: &[Bytes], pictures: &[Bytes], stated: &Stated) -> Answer {
    let mut parts = Parts::default();
    parts.text(": OPENROUTER PROCESSING\n\n");
    for (index, picture) in partial.iter().enumerate() {
        parts.text("data: {\"type\":\"image_generation.partial_image\",\"partial_image_index\":");
        parts
            .json(&index)
            .text(",\"b64_json\":\"")
            .shared(picture)
            .text("\"}\n\n");
    }
    for (index, picture) in pictures.iter().enumerate() {
        parts.text("data: {\"type\":\"image_generation.completed\",\"b64_json\":\"");
        parts.shared(picture).text("\"");
        media_type(call, &mut parts);
        parts.text(",\"created\":").json(&unix_seconds());
        if let (Some(usage), true) = (&stated.usage, index + 1 == pictures.len()) {
            parts.text(",\"usage\":").text(usage);
        }
        parts.text("}\n\n");
    }
    parts.text("data: [DONE]\n\n");
    Answer {
        body: parts.finish(),
        ..Answer::of(StatusCode::OK, EVENT_STREAM, Bytes::new())
    }
}

fn media_type(call: &Call, parts: &mut Parts) {
    match &call.script.media_type {
        None => parts.text(",\"media_type\":").json(&DRAWN),
        Some(MediaType::Override(text)) => parts.text(",\"media_type\":").json(text),
        Some(MediaType::Omit) => parts,
    };
}

/// What a request would cost in USD, without drawing; `None` if it would be refused.
pub(crate) fn quote(body: &Value, catalog: &Catalog) -> Option<Decimal> {
    let wish = read(body, catalog).ok()?;
    Some(wish.charge(body, wish.images).cost())
}

impl Wish<'_> {
    fn charge(&self, body: &Value, images: usize) -> Charge {
        let references: Vec<u64> = self.references.iter().map(|url| pixels_of(url)).collect();
        self.model.price.charge(&Order {
            images,
            pixels: self.pixels,
            tier: self.tier,
            quality: self.quality,
            references: &references,
            fonts: fonts(body.pointer("/provider/options/sourceful/font_inputs")),
            prompt_characters: text_of(body, "prompt").map_or(0, |text| text.chars().count()),
            text_tokens: 0,
        })
    }
}

fn read<'a>(body: &'a Value, catalog: &'a Catalog) -> Result<Wish<'a>, Refusal> {
    let slug = text_of(body, "model").ok_or_else(|| invalid("model: Required"))?;
    let prompt = text_of(body, "prompt").ok_or_else(|| invalid("prompt: Required"))?;
    if prompt.is_empty() {
        return Err(invalid(
            "prompt: Too small: expected string to have >=1 characters",
        ));
    }
    let model = catalog.model(slug);
    let found = model.and_then(|model| Some((model, model.image_api.as_ref()?)));
    let Some((model, api)) = found else {
        return Err(Refusal::plain(
            404,
            format!("No image model found for \"{slug}\""),
        ));
    };
    let (pixels, tier) = shape(body, api)?;
    Ok(Wish {
        model,
        images: images(body, model, api)?,
        pixels,
        tier,
        quality: text_of(body, "quality").unwrap_or("auto"),
        references: references(body, model, api)?,
        streamed: api.streams && body.get("stream").and_then(Value::as_bool).unwrap_or(false),
    })
}

fn images(body: &Value, model: &Model, api: &ImageApi) -> Result<usize, Refusal> {
    let asked = match body.get("n") {
        None | Some(Value::Null) => 1,
        Some(n) => n.as_u64().ok_or_else(|| invalid("n: Expected integer"))?,
    };
    if asked == 0 || asked > IMAGES_MOST {
        return Err(invalid("n: Expected a number from 1 to 10"));
    }
    let asked = usize::try_from(asked).unwrap_or(usize::MAX);
    if asked > api.images_most {
        let message = format!(
            "{} makes at most {} image(s) per call",
            model.id, api.images_most
        );
        return Err(Refusal::plain(400, message));
    }
    Ok(asked)
}

fn references<'a>(body: &'a Value, model: &Model, api: &ImageApi) -> Result<Vec<&'a str>, Refusal> {
    let Some(list) = body.get("input_references").filter(|list| !list.is_null()) else {
        return Ok(Vec::new());
    };
    let list = list
        .as_array()
        .ok_or_else(|| invalid("input_references: Expected array"))?;
    if list.len() > REFERENCES_MOST.min(api.references_most) {
        let most = api.references_most.min(REFERENCES_MOST);
        let message = format!("{} takes at most {most} input references", model.id);
        return Err(Refusal::plain(400, message));
    }
    let urls: Option<Vec<&str>> = list
        .iter()
        .map(|reference| reference.pointer("/image_url/url").and_then(Value::as_str))
        .collect();
    urls.ok_or_else(|| invalid("input_references: Expected image_url.url"))
}

/// Explicit pixels win, but may not contradict a resolution or an aspect ratio.
fn shape(body: &Value, api: &ImageApi) -> Result<(Pixels, u32), Refusal> {
    let aspect_ratio = text_of(body, "aspect_ratio");
    if let Some(asked) = aspect_ratio.filter(|asked| !ASPECT_RATIOS.contains(asked)) {
        let list = ASPECT_RATIOS.join("|");
        return Err(invalid(&format!(
            "aspect_ratio: Invalid option \"{asked}\": one of {list}"
        )));
    }
    let mut tier = named_tier(text_of(body, "resolution"), "resolution")?;
    if let Some(size) = text_of(body, "size") {
        if let Some(pixels) = Pixels::parse(size) {
            let shape_fits = aspect_ratio.is_none_or(|asked| pixels.has_shape(asked));
            if !shape_fits || tier.is_some_and(|tier| !pixels.has_tier(tier)) {
                return Err(invalid("size: does not match resolution or aspect_ratio"));
            }
            return Ok((pixels, pixels.tier()));
        }
        let named = named_tier(Some(size), "size")?;
        if tier.is_some() && tier != named {
            return Err(invalid("size: does not match resolution"));
        }
        tier = named;
    }
    let tier = clamp_tier(tier.unwrap_or(1024), &api.tiers);
    let asked = aspect_ratio
        .filter(|asked| *asked != "auto")
        .unwrap_or("1:1");
    Ok((
        Pixels::of_shape(&clamp_shape(asked, &api.aspect_ratios), tier),
        tier,
    ))
}

fn named_tier(name: Option<&str>, field: &str) -> Result<Option<u32>, Refusal> {
    let Some(name) = name else {
        return Ok(None);
    };
    let list = RESOLUTIONS.map(|(name, _)| name).join("|");
    let unknown = || {
        invalid(&format!(
            "{field}: Invalid option \"{name}\": one of {list}"
        ))
    };
    tier_named(name).map(Some).ok_or_else(unknown)
}

fn text_of<'a>(body: &'a Value, field: &str) -> Option<&'a str> {
    body.get(field).and_then(Value::as_str)
}

fn invalid(message: &str) -> Refusal {
    Refusal::plain(400, format!("Invalid request parameters: {message}"))
}

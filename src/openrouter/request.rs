//! One order becomes one HTTP body. References are read and encoded while they are sent, so that
//! no more than one piece of one of them is held, however many there are. The body can be made
//! again for another try.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::try_unfold;
use http_body::{Body, Frame, SizeHint};
use serde::Serialize;

use super::base64;
use crate::domain::catalog::Door;
use crate::domain::shape::Resolution;
use crate::ports::{GalleryError, Order, ReferenceImage};

/// How much of a reference is read at once: a multiple of three, so that the base64 text of the
/// pieces is the text of the whole.
const PIECE_BYTES: usize = 48 << 10;

/// `max_tokens` of the chat door. Without it OpenRouter's credit check assumes the model's maximum
/// and asks for dollars of credit for a picture of cents (402 "can only afford"). A picture is at
/// most about 6,300 tokens (GPT, high); the rest is for what a model thinks before it draws, since
/// a limit that is too low costs a paid picture.
const CHAT_MAX_TOKENS: u32 = 16_384;

/// What all our calls are called in OpenRouter's traces.
const GENERATION_NAME: &str = "generate_image";

/// A body that can be sent more than once.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    parts: Arc<[Piece]>,
    length: u64,
}

/// Why a reference could not be sent, for whoever waits for the answer.
#[derive(Clone, Debug, Default)]
pub(super) struct UploadFault(Arc<Mutex<Option<String>>>);

#[derive(Clone, Debug)]
enum Piece {
    Text(Bytes),
    Reference(ReferenceImage),
}

#[derive(Debug, Serialize)]
struct Head<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    stream: bool,
    user: &'a str,
    session_id: String,
    trace: Trace,
    #[serde(flatten)]
    door: DoorFields<'a>,
}

/// Joins OpenRouter's records to ours.
#[derive(Debug, Serialize)]
struct Trace {
    trace_id: String,
    generation_name: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum DoorFields<'a> {
    Images(ImagesFields<'a>),
    Chat(ChatFields),
}

#[derive(Debug, Serialize)]
struct ImagesFields<'a> {
    prompt: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aspect_ratio: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolution: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quality: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_format: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    background: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct ChatFields {
    modalities: &'static [&'static str],
    #[serde(skip_serializing_if = "ImageConfig::is_empty")]
    image_config: ImageConfig,
    max_tokens: u32,
}

#[derive(Debug, Serialize)]
struct ImageConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    aspect_ratio: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_size: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quality: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct TextPart<'a> {
    r#type: &'static str,
    text: &'a str,
}

/// Where a reading stands.
#[derive(Debug)]
struct Reading {
    parts: Arc<[Piece]>,
    part: usize,
    offset: u64,
    fault: UploadFault,
}

/// A stream whose length is known, so that `Content-Length` is sent and checked.
#[derive(Debug)]
struct Measured {
    inner: reqwest::Body,
    left: u64,
}

#[derive(Debug, thiserror::Error)]
enum UploadError {
    #[error("a reference picture could not be read")]
    Read(#[source] GalleryError),
    #[error("a reference picture is shorter than it was")]
    Short,
}

/// The endpoint's path below the base URL.
pub(super) const fn path(door: Door) -> &'static str {
    match door {
        Door::Images => "images",
        Door::Chat => "chat/completions",
    }
}

// === impl Outgoing ===

impl Outgoing {
    /// The body of this order, with only what the order says.
    ///
    /// # Errors
    /// None that an order can cause: serde_json fails only on maps with odd keys.
    pub(super) fn new(order: &Order) -> Result<Self, serde_json::Error> {
        let mut head = serde_json::to_string(&head(order))?;
        // The pictures come last, so that all before them is one piece.
        head.truncate(head.len() - 1);
        let (opening, closing) = match order.model.door {
            Door::Images if order.references.is_empty() => (String::new(), "}"),
            Door::Images => (r#","input_references":["#.to_owned(), "]}"),
            Door::Chat => (chat_opening(&order.prompt)?, "]}]}"),
        };
        let follows_a_part = order.model.door == Door::Chat;
        let mut parts = Vec::with_capacity(order.references.len() * 2 + 1);
        let mut text = head + &opening;
        for (index, reference) in order.references.iter().enumerate() {
            if index > 0 || follows_a_part {
                text.push(',');
            }
            text.push_str(r#"{"type":"image_url","image_url":{"url":"data:"#);
            text.push_str(reference.media_type.as_str());
            text.push_str(";base64,");
            parts.push(Piece::Text(std::mem::take(&mut text).into()));
            parts.push(Piece::Reference(reference.clone()));
            text.push_str(r#""}}"#);
        }
        text.push_str(closing);
        parts.push(Piece::Text(text.into()));
        let length = parts.iter().map(Piece::length).fold(0, u64::saturating_add);
        Ok(Self {
            parts: parts.into(),
            length,
        })
    }

    /// The body, from its beginning. A reference that cannot be read ends it early and leaves a
    /// word in `fault`.
    pub(super) fn body(&self, fault: UploadFault) -> reqwest::Body {
        let reading = Reading {
            parts: Arc::clone(&self.parts),
            part: 0,
            offset: 0,
            fault,
        };
        reqwest::Body::wrap(Measured {
            inner: reqwest::Body::wrap_stream(pieces(reading)),
            left: self.length,
        })
    }
}

fn head(order: &Order) -> Head<'_> {
    let id = order.generation.to_string();
    Head {
        model: order.model.slug.as_str(),
        seed: order.seed,
        stream: false,
        user: &order.user_tag,
        session_id: id.clone(),
        trace: Trace {
            trace_id: id,
            generation_name: GENERATION_NAME,
        },
        door: match order.model.door {
            Door::Images => DoorFields::Images(images_fields(order)),
            Door::Chat => DoorFields::Chat(chat_fields(order)),
        },
    }
}

fn images_fields(order: &Order) -> ImagesFields<'_> {
    ImagesFields {
        prompt: &order.prompt,
        // One is the default, and models of one picture need not know the field.
        n: (order.count > 1).then_some(order.count),
        aspect_ratio: order.aspect_ratio.map(|ratio| ratio.to_string()),
        resolution: order.resolution.map(Resolution::as_str),
        size: order.size.map(|size| size.to_string()),
        quality: order.quality.map(|quality| quality.as_str()),
        output_format: order.output_format.map(|format| format.as_str()),
        background: order.background.map(|background| background.as_str()),
    }
}

fn chat_fields(order: &Order) -> ChatFields {
    ChatFields {
        // A model that cannot write refuses to be asked for text; one that can may want it.
        modalities: if order.model.capabilities.text {
            &["image", "text"]
        } else {
            &["image"]
        },
        image_config: ImageConfig {
            aspect_ratio: order.aspect_ratio.map(|ratio| ratio.to_string()),
            image_size: order.resolution.map(image_size),
            quality: order.quality.map(|quality| quality.as_str()),
        },
        max_tokens: CHAT_MAX_TOKENS,
    }
}

/// The chat door spells the smallest class its own way.
const fn image_size(resolution: Resolution) -> &'static str {
    match resolution {
        Resolution::R512 => "0.5K",
        Resolution::R768
        | Resolution::R1K
        | Resolution::R1K5
        | Resolution::R2K
        | Resolution::R4K => resolution.as_str(),
    }
}

fn chat_opening(prompt: &str) -> Result<String, serde_json::Error> {
    let part = serde_json::to_string(&TextPart {
        r#type: "text",
        text: prompt,
    })?;
    Ok(format!(r#","messages":[{{"role":"user","content":[{part}"#))
}

fn pieces(reading: Reading) -> impl Stream<Item = Result<Bytes, UploadError>> + Send {
    try_unfold(reading, |mut reading| async move {
        let piece = reading.next().await.inspect_err(|error| {
            reading.fault.tell(error);
        })?;
        Ok(piece.map(|bytes| (bytes, reading)))
    })
}

// === impl Piece ===

impl Piece {
    fn length(&self) -> u64 {
        match self {
            Self::Text(text) => text.len().try_into().unwrap_or(u64::MAX),
            Self::Reference(reference) => base64::encoded_length(reference.size_bytes),
        }
    }
}

// === impl ImageConfig ===

impl ImageConfig {
    const fn is_empty(&self) -> bool {
        self.aspect_ratio.is_none() && self.image_size.is_none() && self.quality.is_none()
    }
}

// === impl Reading ===

impl Reading {
    /// The next piece of the body; `None` at its end.
    async fn next(&mut self) -> Result<Option<Bytes>, UploadError> {
        while let Some(part) = self.parts.get(self.part) {
            let reference = match part {
                Piece::Text(text) => {
                    self.part += 1;
                    return Ok(Some(text.clone()));
                }
                Piece::Reference(reference) => reference,
            };
            let piece = read_piece(reference, self.offset).await?;
            if piece.is_empty() {
                self.part += 1;
                self.offset = 0;
                continue;
            }
            self.offset += u64::try_from(piece.len()).unwrap_or(u64::MAX);
            return Ok(Some(base64::encode(&piece).into()));
        }
        Ok(None)
    }
}

/// Reads a whole piece, or what is left; never beyond the length that was announced.
async fn read_piece(reference: &ReferenceImage, offset: u64) -> Result<Vec<u8>, UploadError> {
    let left = reference.size_bytes.saturating_sub(offset);
    let wanted = usize::try_from(left)
        .unwrap_or(PIECE_BYTES)
        .min(PIECE_BYTES);
    let mut piece = Vec::with_capacity(wanted);
    while piece.len() < wanted {
        let at = offset + u64::try_from(piece.len()).unwrap_or(u64::MAX);
        let read = reference.source.read(at, wanted - piece.len()).await;
        let bytes = read.map_err(UploadError::Read)?;
        if bytes.is_empty() {
            return Err(UploadError::Short);
        }
        piece.extend_from_slice(&bytes[..bytes.len().min(wanted - piece.len())]);
    }
    Ok(piece)
}

// === impl UploadFault ===

impl UploadFault {
    /// What went wrong while the body was sent, if anything.
    pub(super) fn word(&self) -> Option<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn tell(&self, error: &UploadError) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
    }
}

// === impl Measured ===

impl Body for Measured {
    type Data = Bytes;
    type Error = reqwest::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, reqwest::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.inner).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            let length = frame.data_ref().map_or(0, Bytes::len);
            self.left = self
                .left
                .saturating_sub(length.try_into().unwrap_or(u64::MAX));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

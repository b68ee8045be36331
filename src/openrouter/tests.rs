//! This room against real HTTP, real samples and arbitrary chunks.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Client, Config};
use crate::domain::catalog::{Catalog, Door, Model};
use crate::domain::generation::MediaType;
use crate::domain::ids::{GenerationId, Slug};
use crate::ports::{
    DrawError, DrawEvent, Drawing, GalleryError, ImageProvider, ImageSource, Order, Receipt,
    ReferenceImage, UpstreamKey,
};

mod calls;
mod decoding;
mod lists;
mod requests;
mod samples;
mod server;
mod splicing;
mod trouble;

/// A key that must never be seen anywhere but in the header.
const KEY: &str = "sk-or-v1-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// The generation of every test.
const GENERATION: &str = "01936b0c-7d2a-7000-8000-000000000001";

/// A recorded call.
#[derive(Debug, serde::Deserialize)]
struct Sample {
    http: SampleHttp,
    body: Box<RawValue>,
    request_body: Option<serde_json::Value>,
}

#[derive(Debug, serde::Deserialize)]
struct SampleHttp {
    method: String,
    path: String,
    status: Option<u16>,
    headers: std::collections::BTreeMap<String, String>,
}

/// What came of a call.
#[derive(Debug)]
struct Outcome {
    pictures: Vec<Vec<u8>>,
    ending: Result<Receipt, DrawError>,
}

/// A picture in memory, given out in pieces of an odd size.
#[derive(Debug)]
struct InMemory(Vec<u8>);

#[async_trait]
impl ImageSource for InMemory {
    async fn read(&self, offset: u64, limit: usize) -> Result<Bytes, GalleryError> {
        let offset = usize::try_from(offset).expect("small");
        let rest = self.0.get(offset..).unwrap_or_default();
        Ok(Bytes::copy_from_slice(
            &rest[..rest.len().min(limit).min(10_007)],
        ))
    }
}

fn fixture(name: &str) -> String {
    let path = format!(
        "{}/tests/fixtures/openrouter/{name}",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read_to_string(path).expect("the fixture can be read")
}

fn sample(name: &str) -> Sample {
    serde_json::from_str(&fixture(name)).expect("an envelope")
}

impl Sample {
    /// The bytes of the body as they came over the wire.
    fn wire(&self) -> Vec<u8> {
        let raw = self.body.get();
        serde_json::from_str::<String>(raw)
            .unwrap_or_else(|_| raw.to_owned())
            .into_bytes()
    }
}

fn config(base_url: &str) -> Config {
    Config {
        backoff: Duration::from_millis(2),
        ..Config::new(base_url, KEY.into())
    }
}

fn client(base_url: &str) -> Client {
    Client::new(config(base_url)).expect("a client")
}

fn model(slug: &str, door: Door) -> Arc<Model> {
    let slug = Slug::parse(slug).expect("a slug");
    let catalog = Catalog::built_in();
    let model = catalog.find(&slug).expect("in the catalog");
    Arc::new(Model {
        door,
        ..Model::clone(model)
    })
}

fn order(slug: &str, door: Door) -> Order {
    let deadline = Instant::now() + Duration::from_secs(60);
    Order {
        generation: GenerationId::from_uuid(Uuid::parse_str(GENERATION).expect("a UUID")),
        user_tag: "org-tag".to_owned(),
        model: model(slug, door),
        prompt: "a red panda".into(),
        count: 1,
        aspect_ratio: None,
        resolution: None,
        size: None,
        quality: None,
        output_format: None,
        background: None,
        seed: None,
        references: Vec::new(),
        key: UpstreamKey::Platform,
        deadline,
        retry_until: deadline,
    }
}

fn images_order() -> Order {
    order("bytedance-seed/seedream-4.5", Door::Images)
}

fn reference(bytes: &[u8]) -> ReferenceImage {
    ReferenceImage {
        media_type: MediaType::Png,
        size_bytes: bytes.len().try_into().expect("small"),
        source: Arc::new(InMemory(bytes.to_vec())),
        from: None,
    }
}

/// Draws and takes all events, checking their order and sizes.
async fn outcome(client: &Client, order: &Order) -> Outcome {
    match client.draw(order).await {
        Ok(drawing) => collect(drawing).await,
        Err(error) => Outcome {
            pictures: Vec::new(),
            ending: Err(error),
        },
    }
}

async fn collect(mut drawing: Box<dyn Drawing>) -> Outcome {
    let mut pictures = Pictures::default();
    let ending = loop {
        match drawing.next().await {
            Ok(DrawEvent::Finished(receipt)) => break Ok(receipt),
            Ok(event) => pictures.take(event),
            Err(error) => break Err(error),
        }
    };
    let pictures = pictures.complete;
    Outcome { pictures, ending }
}

/// Puts pictures together from events in their proper order.
#[derive(Debug, Default)]
struct Pictures {
    open: Option<Vec<u8>>,
    complete: Vec<Vec<u8>>,
}

impl Pictures {
    fn take(&mut self, event: DrawEvent) {
        match event {
            DrawEvent::ImageStarted => {
                assert!(
                    self.open.replace(Vec::new()).is_none(),
                    "one after the other"
                );
            }
            DrawEvent::ImageBytes(bytes) => {
                assert!(
                    !bytes.is_empty() && bytes.len() <= 64 << 10,
                    "{}",
                    bytes.len()
                );
                let open = self.open.as_mut().expect("bytes belong to a picture");
                open.extend_from_slice(&bytes);
            }
            DrawEvent::ImageFinished => {
                self.complete.push(self.open.take().expect("begun before"));
            }
            DrawEvent::Finished(_) => unreachable!("not a part of a picture"),
        }
    }
}

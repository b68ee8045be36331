//! Callers: one that draws through the gateway as an agent runtime would, and one that asks the
//! mock (or nginx before it) for the same bytes. Bytes are counted and dropped.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use image_gateway::proto;
use image_gateway::proto::generation_event::Event;
use serde_json::json;
use tokio::task::JoinSet;
use tonic::Streaming;

use crate::figures::Spread;
use crate::house::{AGENT, Gateway, House, Images, MODEL};

/// Callers that share one connection to the gateway.
const CALLERS_PER_CONNECTION: usize = 16;

/// Somebody who asks for images, one after the other.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// Through the gateway.
    Gateway(Images),
    /// Straight to the mock, or whatever passes on to it.
    Direct { http: reqwest::Client, url: String },
}

/// When the parts of one answer came, counted from the request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// All of it.
    pub(crate) total: Duration,
    /// The credits are held: the key, the tool, and the first durable commit.
    pub(crate) accepted: Duration,
    /// From the image's last byte to the receipt: the file's sync and the last durable commit.
    pub(crate) finish: Duration,
}

/// What came of a load.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) samples: Vec<Sample>,
    /// From the first request to the last answer.
    pub(crate) wall: Duration,
}

/// How callers are set to work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    /// What is drawn; the same prompt is the same image.
    pub(crate) prompt: &'static str,
    /// No call begins after this.
    pub(crate) time: Duration,
    /// Over this the callers' first calls are spread, so that they do not march in step.
    pub(crate) spread: Duration,
}

// === impl Caller ===

impl Caller {
    /// So many callers of the gateway.
    pub(crate) async fn of_gateway(gateway: &Gateway, count: usize) -> Result<Vec<Self>> {
        let mut callers = Vec::new();
        while callers.len() < count {
            let client = gateway.images(gateway.endpoint()?).await?;
            let more = CALLERS_PER_CONNECTION.min(count - callers.len());
            callers.extend(std::iter::repeat_n(Self::Gateway(client), more));
        }
        Ok(callers)
    }

    /// So many callers of the mock.
    pub(crate) fn of_mock(house: &House, count: usize) -> Vec<Self> {
        Self::of_url(&format!("{}/images", house.mock.base_url), count)
    }

    /// So many callers of an address that answers like the mock.
    pub(crate) fn of_url(url: &str, count: usize) -> Vec<Self> {
        let caller = Self::Direct {
            http: reqwest::Client::new(),
            url: url.to_owned(),
        };
        vec![caller; count]
    }

    /// One image.
    async fn call(&mut self, prompt: &str) -> Result<Sample> {
        match self {
            Self::Gateway(images) => read(images, prompt).await,
            Self::Direct { http, url } => fetch(http, url, prompt).await,
        }
    }
}

/// Lets every caller ask again and again until time is up.
pub(crate) async fn work(callers: &[Caller], work: Work) -> Result<Outcome> {
    let begun = Instant::now();
    let until = begun + work.time;
    let mut running = JoinSet::new();
    let share = work.spread / u32::try_from(callers.len())?;
    for (turn, caller) in (0..).zip(callers) {
        let mut caller = caller.clone();
        let wait = share * turn;
        running.spawn(async move {
            tokio::time::sleep(wait).await;
            let mut samples = Vec::new();
            while samples.is_empty() || Instant::now() < until {
                samples.push(caller.call(work.prompt).await?);
            }
            anyhow::Ok(samples)
        });
    }
    let mut samples = Vec::new();
    while let Some(ended) = running.join_next().await {
        samples.extend(ended??);
    }
    Ok(Outcome {
        samples,
        wall: begun.elapsed(),
    })
}

/// The request of one image under a new name.
pub(crate) fn request(prompt: &str) -> proto::GenerateImageRequest {
    proto::GenerateImageRequest {
        agent_id: AGENT.to_owned(),
        request_id: uuid::Uuid::now_v7().to_string(),
        prompt: prompt.to_owned(),
        ..proto::GenerateImageRequest::default()
    }
}

/// The next event; the end is an error, because `completed` comes before it.
pub(crate) async fn event(events: &mut Streaming<proto::GenerationEvent>) -> Result<Event> {
    let message = events.message().await?.context("no `completed`")?;
    message.event.context("an event without content")
}

async fn read(images: &mut Images, prompt: &str) -> Result<Sample> {
    let begun = Instant::now();
    let mut events = images.generate_image(request(prompt)).await?.into_inner();
    let (mut accepted, mut last_byte) = (begun, begun);
    loop {
        match event(&mut events).await? {
            Event::Accepted(_) => accepted = Instant::now(),
            Event::ImageChunk(_) => last_byte = Instant::now(),
            Event::Completed(generation) => {
                ensure!(generation.charge.is_some(), "an image without a charge");
                return Ok(Sample {
                    total: begun.elapsed(),
                    accepted: accepted - begun,
                    finish: last_byte.elapsed(),
                });
            }
            Event::Progress(_) | Event::ImageStarted(_) | Event::ImageFinished(_) => {}
        }
    }
}

async fn fetch(http: &reqwest::Client, url: &str, prompt: &str) -> Result<Sample> {
    let begun = Instant::now();
    let order = json!({ "model": MODEL, "prompt": prompt });
    let asked = http.post(url).bearer_auth("sk-or-v1-direct");
    let typed = asked.header("content-type", "application/json");
    let mut answer = typed.body(order.to_string()).send().await?;
    if !answer.status().is_success() {
        bail!("{url} answers {}", answer.status());
    }
    while answer.chunk().await?.is_some() {}
    Ok(Sample {
        total: begun.elapsed(),
        accepted: Duration::ZERO,
        finish: Duration::ZERO,
    })
}

// === impl Outcome ===

impl Outcome {
    pub(crate) fn per_second(&self) -> f64 {
        self.samples.len() as f64 / self.wall.as_secs_f64()
    }

    pub(crate) fn spread(&self, part: impl Fn(&Sample) -> Duration) -> Spread {
        Spread::of(self.samples.iter().map(part).collect())
    }
}

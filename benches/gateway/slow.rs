//! Memory with 200 images of 8 MiB in flight that do not get on: once because no caller reads
//! beyond the first byte, once because upstream drips. Each on a fresh gateway, whose memory
//! before its first image is what growth is counted from.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use image_gateway::proto;
use image_gateway::proto::generation_event::Event;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::Streaming;

use crate::Bench;
use crate::callers::{event, request};
use crate::house::{Gateway, House, Images};
use crate::load::{OFTEN, SIZES};
use crate::process;

/// Images in flight.
const IN_FLIGHT: usize = 200;
/// Callers on one connection.
const PER_CONNECTION: usize = 50;
/// What a connection takes before it is read: little, so that what is not read stays with the
/// gateway.
const STREAM_WINDOW_BYTES: u32 = 64 << 10;
/// How long nobody reads after everybody has a first byte.
const SILENCE: Duration = Duration::from_secs(2);
/// How long upstream drips.
const DRIP: Duration = Duration::from_secs(12);
/// The longest to wait for first bytes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Memory in one of the two cases.
#[derive(Debug, Serialize)]
pub(crate) struct Slow {
    pub(crate) case: &'static str,
    pub(crate) callers: usize,
    /// Callers that had begun and had not ended while memory was watched.
    pub(crate) generations_running: u64,
    pub(crate) idle_bytes: u64,
    pub(crate) peak_bytes: u64,
    pub(crate) growth_bytes: u64,
    pub(crate) seconds: f64,
}

/// Both cases; only the first in a hurry.
pub(crate) async fn measure(bench: &Bench, house: &House) -> Result<Vec<Slow>> {
    let size_bytes = SIZES[2].bytes;
    bench.expect(if bench.quick { 1 } else { 2 });
    bench.step("200 callers that do not read");
    let at_once = json!({ "size_bytes": size_bytes, "times": OFTEN });
    let silent = Case {
        name: "callers that do not read",
        folder: "silent",
        script: at_once,
        silence: SILENCE,
    };
    let mut measured = vec![silent.measure(house).await?];
    if !bench.quick {
        bench.step("200 images that drip");
        let total_ms = u64::try_from(DRIP.as_millis())?;
        let drip = json!({
            "size_bytes": size_bytes, "times": OFTEN, "drip": { "total_ms": total_ms }
        });
        let dripping = Case {
            name: "an upstream that drips",
            folder: "dripping",
            script: drip,
            silence: Duration::ZERO,
        };
        measured.push(dripping.measure(house).await?);
    }
    Ok(measured)
}

/// A way to be slow.
struct Case {
    name: &'static str,
    folder: &'static str,
    script: Value,
    /// How long callers wait after their first byte.
    silence: Duration,
}

// === impl Case ===

impl Case {
    async fn measure(&self, house: &House) -> Result<Slow> {
        let gateway = Gateway::start(&house.mock, house.folder(), self.folder).await?;
        house.mock.play(&self.script).await?;
        let clients = connect(&gateway).await?;
        process::forget_peak(gateway.pid)?;
        let idle_bytes = process::rss_bytes(gateway.pid)?;
        let begun = Instant::now();
        let (read_on, go) = watch::channel(false);
        let (arrived, mut first_bytes) = watch::channel(0);
        let mut running = JoinSet::new();
        for client in &clients {
            let caller = call(client.clone(), arrived.clone(), go.clone());
            running.spawn(caller);
        }
        let all = first_bytes.wait_for(|count| *count == IN_FLIGHT);
        let all = tokio::time::timeout(PATIENCE, all).await;
        ensure!(all.is_ok(), "not every caller got a first byte");
        let generations_running = gateway.scrape().await?.in_flight();
        tokio::time::sleep(self.silence).await;
        read_on.send_replace(true);
        while let Some(ended) = running.join_next().await {
            ended??;
        }
        let seconds = begun.elapsed().as_secs_f64();
        let peak_bytes = process::peak_bytes(gateway.pid)?;
        ensure!(gateway.scrape().await?.open_holds() == 0, "a hold is open");
        Ok(Slow {
            case: self.name,
            callers: IN_FLIGHT,
            generations_running,
            idle_bytes,
            peak_bytes,
            growth_bytes: peak_bytes.saturating_sub(idle_bytes),
            seconds,
        })
    }
}

async fn connect(gateway: &Gateway) -> Result<Vec<Images>> {
    let mut clients = Vec::new();
    for _ in 0..IN_FLIGHT / PER_CONNECTION {
        let endpoint = gateway.endpoint()?;
        let endpoint = endpoint.initial_stream_window_size(STREAM_WINDOW_BYTES);
        let client = gateway.images(endpoint).await?;
        clients.extend(std::iter::repeat_n(client, PER_CONNECTION));
    }
    Ok(clients)
}

/// Reads up to the first byte, waits to be told, and reads the rest.
async fn call(
    mut images: Images,
    arrived: watch::Sender<usize>,
    mut go: watch::Receiver<bool>,
) -> Result<()> {
    let answer = images.generate_image(request(SIZES[2].prompt)).await?;
    let mut events = answer.into_inner();
    let mut bytes = first_chunk(&mut events).await?;
    arrived.send_modify(|count| *count += 1);
    go.wait_for(|go| *go).await?;
    loop {
        match event(&mut events).await? {
            Event::ImageChunk(chunk) => bytes += chunk.data.len(),
            Event::Completed(_) => {
                let whole = u64::try_from(bytes)? >= SIZES[2].bytes;
                ensure!(whole, "an image of {bytes} bytes");
                return Ok(());
            }
            Event::Accepted(_)
            | Event::Progress(_)
            | Event::ImageStarted(_)
            | Event::ImageFinished(_) => {}
        }
    }
}

async fn first_chunk(events: &mut Streaming<proto::GenerationEvent>) -> Result<usize> {
    loop {
        if let Event::ImageChunk(chunk) = event(events).await? {
            return Ok(chunk.data.len());
        }
    }
}

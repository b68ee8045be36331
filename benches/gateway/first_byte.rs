//! How early the first byte of an image reaches the caller, while its answer still drips.
//!
//! Two measurements: the share of the drip's time that had passed since the request was sent
//! (more than had arrived, because the hold comes first), and, exactly, the fewest bytes after
//! which the mock can stop for good and the caller still gets a first byte.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use image_gateway::proto::generation_event::Event;
use serde::Serialize;
use serde_json::json;

use crate::Bench;
use crate::callers::{Caller, Work, event, request, work};
use crate::figures::Spread;
use crate::house::{House, Images};
use crate::load::{MEDIUM, OFTEN};

/// How long the answer takes to come.
const DRIP: Duration = Duration::from_secs(2);
/// A first byte that has not come by then does not come.
const PATIENCE: Duration = Duration::from_millis(400);
/// What the mock lets through, in hundredths of the answer, until the first byte comes.
const SHARES: std::ops::RangeInclusive<u64> = 1..=20;

/// How early the first byte came.
#[derive(Debug, Serialize)]
pub(crate) struct FirstByte {
    pub(crate) calls: usize,
    pub(crate) since_request: Spread,
    /// Of the drip's time, at the 99th percentile.
    pub(crate) share_by_time: f64,
    /// Of the answer's bytes; `None` if none came within the first 20 %.
    pub(crate) share_by_bytes: Option<f64>,
}

/// Drips, and stops.
pub(crate) async fn measure(bench: &Bench, house: &House) -> Result<FirstByte> {
    let calls = if bench.quick { 2 } else { 6 };
    bench.expect(2);
    bench.step("time to the first byte");
    let images = house.gateway.images(house.gateway.endpoint()?).await?;
    prepare(house).await?;
    let total_ms = u64::try_from(DRIP.as_millis())?;
    let script = json!({
        "size_bytes": MEDIUM.bytes, "times": OFTEN, "drip": { "total_ms": total_ms }
    });
    house.mock.play(&script).await?;
    let mut took = Vec::new();
    for _ in 0..calls {
        took.push(first_byte(&images).await?);
    }
    let since_request = Spread::of(took);
    bench.step("bytes before the first byte");
    Ok(FirstByte {
        calls,
        since_request,
        share_by_time: since_request.p99_ms / 1e3 / DRIP.as_secs_f64(),
        share_by_bytes: share_by_bytes(house, &images).await?,
    })
}

/// Draws the picture once, so that its drawing is not measured.
async fn prepare(house: &House) -> Result<()> {
    let script = json!({ "size_bytes": MEDIUM.bytes, "times": OFTEN });
    house.mock.play(&script).await?;
    let once = Work {
        prompt: MEDIUM.prompt,
        time: Duration::ZERO,
        spread: Duration::ZERO,
    };
    work(&Caller::of_mock(house, 1), once).await?;
    Ok(())
}

async fn share_by_bytes(house: &House, images: &Images) -> Result<Option<f64>> {
    // What base64 makes of it; the JSON around it is some hundred bytes.
    let body_bytes = MEDIUM.bytes.div_ceil(3) * 4;
    for share in SHARES {
        let gate = format!("share-{share}");
        let script = json!({
            "size_bytes": MEDIUM.bytes, "times": OFTEN,
            "gate": gate, "gate_at_byte": body_bytes * share / 100,
        });
        house.mock.play(&script).await?;
        let came = tokio::time::timeout(PATIENCE, first_byte(images)).await;
        house.mock.open_gate(&gate).await?;
        if let Ok(came) = came {
            came?;
            return Ok(Some(share as f64 / 100.0));
        }
    }
    Ok(None)
}

/// From the request to the first byte of an image. The caller then hangs up; the gateway finishes.
async fn first_byte(images: &Images) -> Result<Duration> {
    let begun = Instant::now();
    let mut images = images.clone();
    let answer = images.generate_image(request(MEDIUM.prompt)).await?;
    let mut events = answer.into_inner();
    loop {
        let event = event(&mut events).await.context("no first byte")?;
        if matches!(event, Event::ImageChunk(_)) {
            return Ok(begun.elapsed());
        }
    }
}

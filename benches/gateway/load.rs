//! Images per second at full load, and own time at a third of it.
//!
//! *Full load*: every caller asks again at once, and the mock answers at once, so that client,
//! mock and gateway share the machine's cores and calls mostly wait for each other. Good for
//! images per second and CPU per image; its times are queueing.
//!
//! *Paced*: the mock takes so long for each image that the machine is at about a third of what it
//! has just shown at full load, as in life, where drawing takes seconds. Good for own time.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use serde_json::json;

use crate::Bench;
use crate::callers::{Caller, Outcome, Sample, Work, work};
use crate::figures::Spread;
use crate::house::House;
use crate::process;

/// The images of the issue, by name, prompt and bytes.
pub(crate) const SIZES: [Size; 3] = [
    Size::new("64 KiB", "small", 64 << 10),
    MEDIUM,
    Size::new("8 MiB", "large", 8 << 20),
];
/// The usual image.
pub(crate) const MEDIUM: Size = Size::new("1.5 MiB", "medium", 3 << 19);
const CONCURRENCIES: [usize; 3] = [1, 16, 64];
/// Where own time is to be met.
const PACED_CONCURRENCY: usize = 16;
/// Paced load, as a share of full load.
const PACED_SHARE: f64 = 1.0 / 3.0;
/// Sizes are told apart by prompt, so a script is used this often and not once.
pub(crate) const OFTEN: u32 = u32::MAX;

/// An image of a size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) name: &'static str,
    pub(crate) prompt: &'static str,
    pub(crate) bytes: u64,
}

/// What was measured at one size and concurrency.
#[derive(Debug, Serialize)]
pub(crate) struct Cell {
    pub(crate) size: &'static str,
    pub(crate) size_bytes: u64,
    pub(crate) concurrency: usize,
    /// What the mock took for each image before its first byte; zero at full load.
    pub(crate) upstream_ms: u64,
    pub(crate) images: usize,
    pub(crate) images_per_second: f64,
    /// The same without the gateway.
    pub(crate) direct_per_second: f64,
    pub(crate) total: Spread,
    pub(crate) direct: Spread,
    /// `total - direct`, quantile by quantile.
    pub(crate) own: Spread,
    pub(crate) accepted: Spread,
    pub(crate) finish: Spread,
    /// What the gateway says itself, see `figures.rs`.
    pub(crate) histogram: Spread,
    pub(crate) cpu_seconds_per_image: f64,
    pub(crate) peak_rss_bytes: u64,
    /// Above what was there before.
    pub(crate) rss_per_image_bytes: u64,
}

/// How long each cell is measured, with and without the gateway.
#[derive(Clone, Copy)]
struct Times {
    gateway: Duration,
    direct: Duration,
}

// === impl Size ===

impl Size {
    const fn new(name: &'static str, prompt: &'static str, bytes: u64) -> Self {
        Self {
            name,
            prompt,
            bytes,
        }
    }
}

/// All sizes at all concurrencies.
pub(crate) async fn measure(bench: &Bench, house: &House) -> Result<Vec<Cell>> {
    let sizes = if bench.quick { &SIZES[1..2] } else { &SIZES };
    let concurrencies = if bench.quick {
        &CONCURRENCIES[..2]
    } else {
        &CONCURRENCIES
    };
    bench.expect(sizes.len() * (concurrencies.len() + 1));
    let mut cells = Vec::new();
    for size in sizes {
        let mut full_load = 1.0;
        for concurrency in concurrencies {
            bench.step(format!("{} at concurrency {concurrency}", size.name));
            let cell = measure_cell(bench, house, *size, (*concurrency, Duration::ZERO)).await?;
            if *concurrency == PACED_CONCURRENCY {
                full_load = cell.images_per_second;
            }
            cells.push(cell);
        }
        bench.step(format!("{} paced at {PACED_CONCURRENCY}", size.name));
        let latency = PACED_CONCURRENCY as f64 / (full_load * PACED_SHARE);
        let paced = (PACED_CONCURRENCY, Duration::from_secs_f64(latency));
        cells.push(measure_cell(bench, house, *size, paced).await?);
    }
    Ok(cells)
}

async fn measure_cell(
    bench: &Bench,
    house: &House,
    size: Size,
    (concurrency, latency): (usize, Duration),
) -> Result<Cell> {
    let times = times(bench, latency);
    let upstream_ms = u64::try_from(latency.as_millis())?;
    house
        .mock
        .play(&json!({ "size_bytes": size.bytes, "latency_ms": upstream_ms, "times": OFTEN }))
        .await?;
    let mut task = Work {
        prompt: size.prompt,
        time: Duration::ZERO,
        spread: latency,
    };
    let callers = Caller::of_gateway(&house.gateway, concurrency).await?;
    let others = Caller::of_mock(house, concurrency);
    // Opens every connection, and draws the picture.
    work(&others, task).await?;
    work(&callers, task).await?;
    task.time = times.direct;
    let direct = work(&others, task).await?;
    task.time = times.gateway;
    let pid = house.gateway.pid;
    process::forget_peak(pid)?;
    let (rss, cpu) = (process::rss_bytes(pid)?, process::cpu_seconds(pid)?);
    let own = house.gateway.scrape().await?.own();
    let through = work(&callers, task).await?;
    let cpu = process::cpu_seconds(pid)? - cpu;
    let peak_rss_bytes = process::peak_bytes(pid)?;
    let histogram = house.gateway.scrape().await?.own().since(&own);
    let images = through.samples.len();
    Ok(Cell {
        size: size.name,
        size_bytes: size.bytes,
        concurrency,
        upstream_ms,
        images,
        images_per_second: through.per_second(),
        direct_per_second: direct.per_second(),
        histogram: histogram.spread(),
        cpu_seconds_per_image: cpu / images as f64,
        peak_rss_bytes,
        rss_per_image_bytes: peak_rss_bytes.saturating_sub(rss) / u64::try_from(concurrency)?,
        ..timed(&through, &direct)
    })
}

/// The times of a cell, nothing else.
fn timed(through: &Outcome, direct: &Outcome) -> Cell {
    let total = through.spread(|sample: &Sample| sample.total);
    let without = direct.spread(|sample| sample.total);
    Cell {
        total,
        direct: without,
        own: total.minus(without),
        accepted: through.spread(|sample| sample.accepted),
        finish: through.spread(|sample| sample.finish),
        size: "",
        size_bytes: 0,
        concurrency: 0,
        upstream_ms: 0,
        images: 0,
        images_per_second: 0.0,
        direct_per_second: 0.0,
        histogram: Spread::default(),
        cpu_seconds_per_image: 0.0,
        peak_rss_bytes: 0,
        rss_per_image_bytes: 0,
    }
}

fn times(bench: &Bench, latency: Duration) -> Times {
    let seconds = Duration::from_secs_f64;
    match (bench.quick, latency.is_zero()) {
        (true, true) => Times {
            gateway: seconds(2.0),
            direct: seconds(0.7),
        },
        (true, false) => Times {
            gateway: seconds(4.0),
            direct: seconds(2.0),
        },
        (false, true) => Times {
            gateway: seconds(4.0),
            direct: seconds(1.5),
        },
        (false, false) => Times {
            gateway: seconds(8.0),
            direct: seconds(4.0),
        },
    }
}

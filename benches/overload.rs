//! What the gateway does when more is asked of it than it can do: how many pictures still come, how
//! soon the others are refused, and what those wait who ask for little beside one who asks for all.
//!
//! `cargo bench --bench overload` takes two minutes, `-- --quick` half of one. The mock takes a
//! fixed time for each picture, so that what the gateway can do is what it may: so many at a time
//! (`MAX_CONCURRENT_GENERATIONS`), so many in a second. Requests come at a fixed rate, however long
//! the answers take.

#![expect(
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    reason = "measurements are statistics, not money"
)]

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;
use image_gateway::openrouter::install_crypto;
use serde_json::json;

use house::{House, Settings};
use load::{Crowd, Outcome};

#[path = "gateway/figures.rs"]
#[expect(dead_code, reason = "shared with the other benchmarks")]
mod figures;
#[path = "gateway/house.rs"]
#[expect(dead_code, reason = "shared with the other benchmarks")]
mod house;
#[path = "overload/load.rs"]
mod load;
#[path = "overload/report.rs"]
mod report;

/// Generations at a time …
const CAPACITY: u32 = 32;
/// … each of which takes so long upstream.
const DRAWING: Duration = Duration::from_millis(500);
/// Pictures a second that this is.
const PER_SECOND: f64 = 64.0;
/// The same as a setting.
const CAPACITY_TEXT: &str = "32";
/// Organizations that ask for as much as each other.
const EQUALS: usize = 8;
/// What is offered, in parts of what the gateway can do. The last is what the goal speaks of.
const LOADS: [f64; 6] = [0.5, 0.8, 1.0, 1.5, 2.0, 10.0];
/// Requests a second of each of the equals beside one who asks for all: a seventh of its part.
const MODEST_PER_SECOND: f64 = 1.0;
/// How many times its part the loud one asks for.
const LOUD_TIMES: f64 = 100.0;

/// Measures the gateway at more than it can do.
#[derive(Debug, Parser)]
#[command(name = "cargo bench --bench overload --")]
struct Args {
    /// Shorter, and less exact
    #[arg(long)]
    quick: bool,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
    /// Names of benchmarks, as cargo passes them on: there is one
    #[arg(hide = true)]
    names: Vec<String>,
}

/// What a house was offered, and what came of it.
#[derive(Debug)]
struct Row {
    /// In parts of what it can do.
    load: f64,
    outcome: Outcome,
}

fn main() -> ExitCode {
    if !std::env::args().any(|argument| argument == "--bench") {
        return said("nothing is measured without --bench; use `cargo bench --bench overload`");
    }
    let args = Args::parse();
    install_crypto();
    let measured = tokio::runtime::Runtime::new()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(measure(args.quick)));
    match measured {
        Ok(report) => said(&report),
        Err(error) => {
            // Nobody can be told that nothing can be printed.
            let _ = writeln!(anstream::stderr().lock(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn said(text: &str) -> ExitCode {
    match writeln!(anstream::stdout().lock(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

async fn measure(quick: bool) -> Result<String> {
    let time = Duration::from_secs(if quick { 3 } else { 12 });
    let rows = overload(time).await?;
    let fair = fairness(time).await?;
    Ok(format!("{}\n{fair}", report::overload(&rows)?))
}

/// Everybody asks for the same, and all for more and more.
async fn overload(time: Duration) -> Result<Vec<Row>> {
    // No organization's own limit comes before the gateway's.
    let house = open(&[("MAX_CALLS_PER_SECOND", "0")]).await?;
    let crowd = Crowd::of(&house.gateway, EQUALS).await?;
    let mut rows = Vec::new();
    let mut done = crowd
        .ask(PER_SECOND / 4.0, Duration::from_secs(2))
        .await?
        .done();
    for load in LOADS {
        let outcome = crowd.ask(PER_SECOND * load, time).await?;
        done += outcome.done();
        rows.push(Row { load, outcome });
    }
    let holds = load::holds(&house)?;
    ensure!(holds == done, "{holds} holds for {done} pictures");
    Ok(rows)
}

/// The same callers, alone and beside one who asks for far more than its part, under the settings
/// that a gateway has by itself.
async fn fairness(time: Duration) -> Result<String> {
    let house = open(&[("MAX_CALLS_PER_SECOND", "200")]).await?;
    let modest = Crowd::of(&house.gateway, EQUALS).await?;
    let loud = Crowd::of(&house.gateway, 1).await?;
    let rate = MODEST_PER_SECOND * EQUALS as f64;
    modest.ask(rate, Duration::from_secs(2)).await?;
    let alone = modest.ask(rate, time).await?;
    let part = PER_SECOND / (EQUALS + 1) as f64;
    let (beside, shouted) = tokio::join!(modest.ask(rate, time), loud.ask(part * LOUD_TIMES, time));
    Ok(report::fairness(&alone, &beside?, &shouted?))
}

async fn open(settings: Settings<'_>) -> Result<House> {
    let limits = [("MAX_CONCURRENT_GENERATIONS", CAPACITY_TEXT)];
    let house = House::with(&[&limits[..], settings].concat()).await?;
    let latency_ms = u64::try_from(DRAWING.as_millis())?;
    ensure!(PER_SECOND * DRAWING.as_secs_f64() == f64::from(CAPACITY));
    let script = json!({ "size_bytes": 64 << 10, "latency_ms": latency_ms, "times": u32::MAX });
    house.mock.play(&script).await?;
    Ok(house)
}

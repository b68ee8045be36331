//! What the gateway does when more is asked of it than it can do: how many pictures still come, how
//! soon the others are refused, and what those wait who ask for little beside one who asks for all.
//!
//! `cargo bench --bench overload` takes seven minutes, `-- --quick` one; `-- load` and `-- fairness`
//! measure one of the two alone. The mock takes a fixed time for each picture, so that what the
//! gateway can do is what it may: so many at a time (`MAX_CONCURRENT_GENERATIONS`), so many in a
//! second. Requests come at a fixed rate, however long the answers take.
//!
//! Callers, mock and gateway share one machine, so that whoever shouts makes it busy, wherever the
//! shouting goes. What sharing a gateway costs is told by a control: the same one shouts as much at
//! another gateway, on the same machine and in front of the same mock.

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
/// What is offered, in parts of what the gateway can do, and for how long in each turn. What goals
/// speak of is asked for long enough that 30 of the pictures of all turns are above their p99.
const LOADS: [(f64, Duration); 6] = [
    (0.5, Duration::from_secs(5)),
    (QUIET, Duration::from_secs(21)),
    (1.0, Duration::from_secs(5)),
    (1.5, Duration::from_secs(5)),
    (2.0, Duration::from_secs(5)),
    (TOO_MUCH, Duration::from_secs(17)),
];
/// Beside this the calls that are let in at ten times too much are held.
const QUIET: f64 = 0.8;
/// What the goal speaks of.
const TOO_MUCH: f64 = 10.0;
/// Everything is measured so often; what is told is the one in the middle.
const TURNS: usize = 3;
/// Requests a second of each of the equals beside one who asks for all: seven tenths of its part.
const MODEST_PER_SECOND: f64 = 5.0;
/// How many times its part the loud one asks for.
const LOUD_TIMES: f64 = 100.0;
/// How long they have asked before the loud one begins, whose first calls would find all places free.
const BEFORE: Duration = Duration::from_secs(1);
/// How long the equals ask in each turn, alone and beside the loud one: 3,000 pictures in all turns.
const BESIDE: Duration = Duration::from_secs(25);
/// Generations at a time of the other gateway, of which the loud one gets as many as the equals leave
/// it in the first.
const ELSEWHERE_TEXT: &str = "9";

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
    /// What is measured: both, if nothing is named
    names: Vec<Part>,
}

/// What can be measured alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// More than can be done.
    Load,
    /// One who shouts beside others.
    Fairness,
}

/// What a house was offered, and what came of it in each turn.
#[derive(Debug)]
struct Row {
    /// In parts of what it can do.
    load: f64,
    turns: Vec<Outcome>,
}

/// What those saw who ask for little, turn by turn.
#[derive(Debug, Default)]
struct Fairness {
    alone: Vec<Outcome>,
    /// While another shouted at another gateway.
    elsewhere: Vec<Outcome>,
    /// While another shouted at theirs.
    beside: Vec<Outcome>,
    /// What the shouting came to, at the other gateway and at theirs.
    loud: [Vec<Outcome>; 2],
}

fn main() -> ExitCode {
    if !std::env::args().any(|argument| argument == "--bench") {
        return said("nothing is measured without --bench; use `cargo bench --bench overload`");
    }
    let args = Args::parse();
    install_crypto();
    let measured = tokio::runtime::Runtime::new()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(measure(&args)));
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

async fn measure(args: &Args) -> Result<String> {
    let wanted = |part| args.names.is_empty() || args.names.contains(&part);
    let mut text = String::new();
    if wanted(Part::Load) {
        text += &report::overload(&overload(args).await?)?;
    }
    if wanted(Part::Fairness) {
        text += &report::fairness(&fairness(args).await?);
    }
    Ok(text)
}

impl Args {
    const fn turns(&self) -> usize {
        if self.quick { 1 } else { TURNS }
    }

    /// How long something is asked for that takes so long when there is time.
    fn time(&self, time: Duration) -> Duration {
        if self.quick { time / 4 } else { time }
    }
}

/// Everybody asks for the same, and all for more and more.
async fn overload(args: &Args) -> Result<Vec<Row>> {
    // No organization's own limit comes before the gateway's.
    let house = open(&[("MAX_CALLS_PER_SECOND", "0")]).await?;
    let crowd = Crowd::of(&house.gateway, EQUALS).await?;
    let mut rows = Vec::from(LOADS.map(|(load, _)| Row {
        load,
        turns: Vec::new(),
    }));
    let mut done = crowd
        .ask(PER_SECOND / 4.0, Duration::from_secs(2))
        .await?
        .done();
    for _ in 0..args.turns() {
        for (row, (load, time)) in rows.iter_mut().zip(LOADS) {
            let outcome = crowd.ask(PER_SECOND * load, args.time(time)).await?;
            done += outcome.done();
            row.turns.push(outcome);
        }
    }
    let holds = load::holds(&house)?;
    ensure!(holds == done, "{holds} holds for {done} pictures");
    Ok(rows)
}

/// The same callers, alone, and beside one who asks for far more than its part of another gateway or
/// of theirs, under the settings that a gateway has by itself.
async fn fairness(args: &Args) -> Result<Fairness> {
    let settings = [("MAX_CALLS_PER_SECOND", "200")];
    let house = open(&settings).await?;
    let fewer = [settings[0], ("MAX_CONCURRENT_GENERATIONS", ELSEWHERE_TEXT)];
    let other = house.another_gateway("other", &fewer).await?;
    let modest = Crowd::of(&house.gateway, EQUALS).await?;
    let loud = [
        Crowd::of(&other, 1).await?,
        Crowd::of(&house.gateway, 1).await?,
    ];
    let rate = MODEST_PER_SECOND * EQUALS as f64;
    let shouted = PER_SECOND / (EQUALS + 1) as f64 * LOUD_TIMES;
    let time = args.time(BESIDE);
    modest.ask(rate, Duration::from_secs(2)).await?;
    let mut told = Fairness::default();
    for turn in 0..args.turns() {
        // Another one begins each time, so that none is always measured on the fuller books.
        for step in 0..3 {
            match (turn + step) % 3 {
                0 => told.alone.push(modest.ask(rate, time).await?),
                step => {
                    let beside = async {
                        tokio::time::sleep(BEFORE).await;
                        loud[step - 1].ask(shouted, time - BEFORE).await
                    };
                    let (seen, shouted) = tokio::join!(modest.ask(rate, time), beside);
                    told.loud[step - 1].push(shouted?);
                    let others = [&mut told.elsewhere, &mut told.beside];
                    others[step - 1].push(seen?);
                }
            }
        }
    }
    Ok(told)
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

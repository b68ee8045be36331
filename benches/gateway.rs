//! What the gateway costs: real processes on loopback, durable books, against the mock.
//!
//! `cargo bench --bench gateway` measures everything (below four minutes, and up to 10 GiB on disk), `-- --quick` the main
//! figures, `-- --json` prints one JSON document instead of tables. Times on shared machines mean
//! little by themselves, so each stands beside what the same machine needed in the same run for
//! the same bytes without the gateway, and beside what one `fdatasync` takes.

#![expect(
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    reason = "measurements are statistics, not money"
)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{Parser, ValueEnum};
use image_gateway::openrouter::install_crypto;
use indicatif::{ProgressBar, ProgressStyle};

use house::House;
use report::Report;

#[path = "gateway/callers.rs"]
mod callers;
#[path = "gateway/figures.rs"]
#[expect(dead_code, reason = "shared with the overload and the floods")]
mod figures;
#[path = "gateway/first_byte.rs"]
mod first_byte;
#[path = "gateway/house.rs"]
#[expect(dead_code, reason = "shared with the overload and the floods")]
mod house;
#[path = "gateway/load.rs"]
mod load;
#[path = "gateway/nginx.rs"]
mod nginx;
#[path = "gateway/process.rs"]
mod process;
#[path = "gateway/report.rs"]
mod report;
#[path = "gateway/slow.rs"]
mod slow;

/// Said when `cargo test --benches` runs this: a benchmark is no test.
const HINT: &str = "nothing is measured without --bench; use `cargo bench --bench gateway`";

/// Measures the gateway against the mock.
#[derive(Debug, Parser)]
#[command(name = "cargo bench --bench gateway --")]
struct Args {
    /// The main figures only, in well under a minute
    #[arg(long)]
    quick: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// Measure this part alone; may be repeated
    #[arg(long, value_name = "PART")]
    only: Vec<Part>,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
    /// Names of benchmarks, as cargo passes them on: there is one
    #[arg(hide = true)]
    names: Vec<String>,
}

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Images per second, own time and CPU by size and concurrency
    Load,
    /// How early the first byte of an image comes
    FirstByte,
    /// Memory with 200 slow images in flight
    Slow,
    /// CPU beside nginx
    Nginx,
}

/// What every part is handed.
#[derive(Debug)]
struct Bench {
    quick: bool,
    only: Vec<Part>,
    bar: ProgressBar,
}

// === impl Bench ===

impl Bench {
    fn new(args: &Args) -> Result<Self> {
        let bar = ProgressBar::new(0);
        bar.set_style(ProgressStyle::with_template(
            "{spinner} [{bar:30}] {pos}/{len} {elapsed} {msg}",
        )?);
        bar.enable_steady_tick(Duration::from_millis(200));
        Ok(Self {
            quick: args.quick,
            only: args.only.clone(),
            bar,
        })
    }

    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    /// Announces steps that are to come.
    fn expect(&self, steps: usize) {
        self.bar.inc_length(u64::try_from(steps).unwrap_or(0));
    }

    /// Says what is measured next.
    fn step(&self, what: impl Into<String>) {
        self.bar.inc(1);
        self.bar.set_message(what.into());
    }
}

fn main() -> ExitCode {
    if !std::env::args().any(|argument| argument == "--bench") {
        return done(report::print(HINT));
    }
    let args = Args::parse();
    install_crypto();
    done(measure_and_print(&args))
}

fn measure_and_print(args: &Args) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let bench = Bench::new(args)?;
    let measured = runtime.block_on(measure(&bench));
    bench.bar.finish_and_clear();
    let report = measured?;
    if args.json {
        report::print(&serde_json::to_string(&report)?)
    } else {
        report::print(&report.to_string())
    }
}

async fn measure(bench: &Bench) -> Result<Report> {
    let begun = Instant::now();
    let mut report = Report::new(bench.quick)?;
    bench.expect(4);
    bench.step("starting the mock and the gateway");
    let house = House::open().await?;
    bench.step("fdatasync");
    report.fdatasync.push(process::fdatasync(house.folder())?);
    if bench.wants(Part::Load) {
        report.load = load::measure(bench, &house).await?;
    }
    if bench.wants(Part::FirstByte) {
        report.first_byte = Some(first_byte::measure(bench, &house).await?);
    }
    if bench.wants(Part::Nginx) {
        report.nginx = Some(nginx::measure(bench, &house).await?);
    }
    report.open_holds = Some(house.gateway.open_holds().await?);
    if bench.wants(Part::Slow) {
        report.slow = slow::measure(bench, &house).await?;
    }
    bench.step("fdatasync");
    report.fdatasync.push(process::fdatasync(house.folder())?);
    bench.step("removing some thousand images");
    drop(house);
    report.seconds = begun.elapsed().as_secs_f64();
    Ok(report)
}

fn done(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::complain(&error);
            ExitCode::FAILURE
        }
    }
}

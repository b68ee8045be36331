//! What the books can take: durable holds, releases and charges on the real disk, each run on a
//! database of its own that is audited afterwards.
//!
//! `cargo bench --bench ledger` measures everything (about three minutes), `-- --quick` the same in less than one,
//! `-- --json` prints one JSON document instead of tables. Times on shared machines mean little by
//! themselves, so they stand beside what the same disk's `fdatasync` needed in the same run, and
//! every figure is the median of repeats that take turns.

#![expect(
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    reason = "measurements are statistics, not money"
)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use callers::Task;
use plan::Plan;
use report::Report;

#[path = "ledger/books.rs"]
mod books;
#[path = "ledger/callers.rs"]
mod callers;
#[path = "ledger/disk.rs"]
mod disk;
#[expect(dead_code, reason = "histograms are read by the gateway's benchmark")]
#[path = "gateway/figures.rs"]
mod figures;
#[path = "ledger/goals.rs"]
mod goals;
#[path = "ledger/plan.rs"]
mod plan;
#[path = "ledger/report.rs"]
mod report;

/// Said when `cargo test --benches` runs this: a benchmark is no test.
const HINT: &str = "nothing is measured without --bench; use `cargo bench --bench ledger`";

/// Measures the books.
#[derive(Debug, Parser)]
#[command(name = "cargo bench --bench ledger --")]
struct Args {
    /// Shorter runs, in less than a minute
    #[arg(long)]
    quick: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// Measure this task alone
    #[arg(long, value_name = "TASK")]
    only: Vec<Task>,
    /// Measure with so many callers alone; may be repeated
    #[arg(long, value_name = "COUNT")]
    callers: Vec<usize>,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
    /// Names of benchmarks, as cargo passes them on: there is one
    #[arg(hide = true)]
    names: Vec<String>,
}

fn main() -> ExitCode {
    if !std::env::args().any(|argument| argument == "--bench") {
        return done(report::print(HINT));
    }
    done(measure_and_print(&Args::parse()))
}

fn measure_and_print(args: &Args) -> Result<()> {
    let begun = Instant::now();
    let plan = Plan::new(args.quick, &args.only, &args.callers);
    let bar = ProgressBar::new(u64::try_from(plan.steps())?);
    bar.set_style(ProgressStyle::with_template(
        "{spinner} [{bar:30}] {pos}/{len} {elapsed} {msg}",
    )?);
    bar.enable_steady_tick(Duration::from_millis(200));
    let runtime = tokio::runtime::Runtime::new()?;
    let measured = runtime.block_on(plan.measure(&bar));
    bar.finish_and_clear();
    let report = Report::new(args.quick, measured?, begun.elapsed())?;
    if args.json {
        report::print(&serde_json::to_string(&report)?)
    } else {
        report::print(&report.to_string())
    }
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

//! Kills the real program, over and over, and looks whether anybody lost anything.
//!
//! `cargo test` runs a short dose: once at every named place, and at random moments. `make torture`
//! runs it for as long as is asked and prints what was survived.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that meets the unexpected has failed, and what it survived is for people"
)]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use dice::Dice;
use lane::Lane;
use reckoning::Reckoning;

mod between;
#[path = "../house/canary.rs"]
mod canary;
#[path = "../house/closing.rs"]
#[expect(dead_code, reason = "shared with the tests of the house")]
mod closing;
mod dice;
mod gateway;
#[path = "../house/helpers.rs"]
#[expect(dead_code, reason = "shared with the tests of the house")]
mod helpers;
mod kills;
mod lane;
#[path = "../house/named.rs"]
mod named;
mod places;
mod reckoning;
mod scenes;
#[path = "../house/setup.rs"]
mod setup;
#[path = "../house/story.rs"]
#[expect(dead_code, reason = "shared with the tests of the house")]
mod story;

/// Data folders that are tortured side by side …
const LANES: u64 = 3;

/// … and in the long dose, where the places are few among the kills, and most lanes sleep until the
/// next.
const LONG_LANES: u64 = 6;

/// Random kills of the short dose, beside one at every named place.
const RANDOM_KILLS: u64 = 90;

/// Random kills of a lane before its books are looked at, in the long dose: with some 6 generations
/// each, so that the mock still has the whole bill.
const KILLS_A_ROUND: u64 = 500;

/// Kills the program and looks whether anybody lost anything.
#[derive(Debug, Parser)]
#[command(name = "cargo test --test torture --")]
struct Args {
    /// Goes on for this many minutes instead of the short dose
    #[arg(long, value_name = "N")]
    minutes: Option<u64>,
    /// … and longer, until there were so many kills
    #[arg(long, value_name = "N", requires = "minutes", default_value_t = 0)]
    kills: u64,
    /// The seed of an earlier run
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// What the test runner is asked for: anything but `torture` is not here
    #[arg(value_name = "FILTER")]
    filter: Option<String>,
    /// The test runner's own options, which mean nothing here
    #[arg(long, hide = true, num_args = 0..=1)]
    test_threads: Option<String>,
    #[arg(long, hide = true)]
    nocapture: bool,
    #[arg(long, hide = true)]
    quiet: bool,
    #[arg(long, hide = true)]
    list: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let elsewhere = args
        .filter
        .as_deref()
        .is_some_and(|filter| !"torture".contains(filter));
    if elsewhere || args.list {
        return ExitCode::SUCCESS;
    }
    let seed = args
        .seed
        .unwrap_or_else(|| (u64::from(std::process::id()) << 20) ^ clock());
    println!("seed {seed}");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let survived = runtime.block_on(torture(&args, seed));
    println!("{survived}");
    if survived.lost.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Histories of the rules alone, in the long dose.
#[cfg(feature = "torture")]
const HISTORIES: u64 = 100_000_000;

/// Plays random histories of the rules on all cores; the first that breaks a rule ends everything.
#[cfg(feature = "torture")]
fn histories(seed: u64) -> u64 {
    use image_gateway::domain::histories::run;
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get() as u64);
    let share = HISTORIES.div_ceil(threads);
    let seen = std::thread::scope(|scope| {
        let play = |n| move || run(seed.wrapping_add(n * share), share);
        let runs: Vec<_> = (0..threads).map(|n| scope.spawn(play(n))).collect();
        let runs = runs.into_iter().map(|run| run.join().expect("no panic"));
        runs.map(|run| run.unwrap_or_else(|broken| panic!("{broken}")).histories)
            .sum()
    });
    println!("{seen} random histories break no rule");
    seen
}

/// The rules alone are tortured only where the feature is on.
#[cfg(not(feature = "torture"))]
const fn histories(_seed: u64) -> u64 {
    0
}

/// Microseconds of the present second: a seed is to be another every time.
fn clock() -> u64 {
    u64::try_from(image_gateway::clock::now().subsec_microsecond()).unwrap_or(0)
}

/// How much is to be done.
#[derive(Clone, Debug)]
struct Dose {
    lanes: u64,
    /// The long dose goes on at least until then.
    until: Option<Instant>,
    kills: u64,
    bar: ProgressBar,
}

/// The whole dose, in lanes side by side.
async fn torture(args: &Args, seed: u64) -> Reckoning {
    let begun = Instant::now();
    let histories = args.minutes.map_or(0, |_| histories(seed));
    let dose = Dose::new(args, begun);
    let plan = Arc::new(kills::plan().await);
    let lanes = (0..dose.lanes).map(|number| {
        let dice = Dice::new(seed.wrapping_add(number));
        one_lane(number, dice, &plan, &dose)
    });
    let mut total = Reckoning::default();
    for lane in futures_util::future::join_all(lanes).await {
        total.add(lane);
    }
    dose.bar.finish_and_clear();
    total.add_places(&plan);
    total.histories = histories;
    total.took = begun.elapsed();
    total
}

async fn one_lane(number: u64, mut dice: Dice, plan: &kills::Plan, dose: &Dose) -> Reckoning {
    let mut total = Reckoning::default();
    loop {
        let mut lane = Lane::open(number).await;
        let mine = plan.kills.iter().enumerate();
        for (_, kill) in mine.filter(|(place, _)| *place as u64 % dose.lanes == number) {
            kills::at_a_place(&mut lane, kill).await;
            dose.bar.inc(1);
        }
        for _ in 0..dose.kills_a_round() {
            kills::at_random(&mut lane, &mut dice).await;
            dose.bar.inc(1);
            if dose.until.is_some() && dose.is_over() {
                break;
            }
        }
        total.add(lane.close().await);
        if dose.is_over() || !total.lost.is_empty() {
            return total;
        }
    }
}

impl Dose {
    fn new(args: &Args, begun: Instant) -> Self {
        let time = args
            .minutes
            .map(|minutes| Duration::from_secs(minutes * 60));
        let until = time.map(|time| begun + time);
        let style = ProgressStyle::with_template("{spinner} {pos} kills, {elapsed_precise}{msg}");
        let bar = ProgressBar::new_spinner().with_style(style.expect("a template"));
        if let Some(minutes) = args.minutes {
            bar.set_message(format!(" of {minutes} minutes"));
        }
        Self {
            lanes: if until.is_some() { LONG_LANES } else { LANES },
            until,
            kills: args.kills,
            bar,
        }
    }

    const fn kills_a_round(&self) -> u64 {
        match self.until {
            Some(_) => KILLS_A_ROUND,
            None => RANDOM_KILLS / LANES,
        }
    }

    fn is_over(&self) -> bool {
        let in_time = |until| Instant::now() > until;
        self.until.is_none_or(in_time) && self.bar.position() >= self.kills
    }
}

//! What is measured, in which order: every repeat does every case once, so that a slow minute of
//! the machine falls on all of them, and tries the disk before and after each.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use indicatif::ProgressBar;
use serde::Serialize;

use crate::books::{Books, Template};
use crate::callers::{self, Run, Step, Task};
use crate::disk::{self, Disk};
use crate::figures::Spread;

const REPEATS: usize = 3;
const CALLERS: [usize; 3] = [1, 32, 256];
/// One hot organization, and a crowd.
const ORGANIZATIONS: [usize; 2] = [1, 1000];

/// How much is done.
#[derive(Debug)]
pub(crate) struct Plan {
    /// In order: half load comes after that of which it is the half.
    cases: Vec<Case>,
    /// Before anything counts: statements are prepared, the log has its size.
    warming: Duration,
    /// Each case in each repeat.
    time: Duration,
    /// The disk, between one case and the next.
    disk: Duration,
}

/// Who asks for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Case {
    pub(crate) task: Task,
    pub(crate) organizations: usize,
    pub(crate) load: Load,
}

/// How they ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Load {
    /// So many callers, each again as soon as it is answered.
    Callers(usize),
    /// Half as many per second as callers have reached in the same repeat, whoever still waits.
    Half,
}

/// A case, and the medians of its repeats.
#[derive(Debug, Serialize)]
pub(crate) struct Cell {
    #[serde(flatten)]
    pub(crate) case: Case,
    /// Pairs or lives.
    pub(crate) per_second: f64,
    pub(crate) lowest: f64,
    pub(crate) highest: f64,
    pub(crate) commits_per_second: f64,
    /// Commits per second as a share of `fdatasync` per second just before and after.
    pub(crate) share_of_fdatasync: f64,
    pub(crate) steps: Vec<(Step, Spread)>,
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    /// Each time it was tried.
    pub(crate) disk: Vec<Disk>,
    pub(crate) cells: Vec<Cell>,
    /// Databases that were audited after their run, and found clean.
    pub(crate) audits: usize,
}

/// What one repeat brought, in the order of the cases.
#[derive(Default)]
struct Repeat {
    /// Before each run and after the last.
    disk: Vec<Disk>,
    runs: Vec<(Case, Run)>,
}

/// Where databases are made: on the disk of the build, for `/tmp` may be memory.
pub(crate) fn folder() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

// === impl Case ===

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (task, organizations) = (self.task.plural(), self.organizations);
        let load = self.load;
        write!(f, "{task}, {load}, organizations: {organizations}")
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Callers(count) => write!(f, "callers: {count}"),
            Self::Half => write!(f, "half load"),
        }
    }
}

// === impl Plan ===

impl Plan {
    /// Of these tasks with so many callers; of everything, where nothing is named.
    pub(crate) fn new(quick: bool, tasks: &[Task], callers: &[usize]) -> Self {
        let [warming, time, disk] = if quick {
            [100, 500, 200]
        } else {
            [300, 2500, 1000]
        }
        .map(Duration::from_millis);
        let tasks = some_or_all(tasks, &[Task::Pair, Task::Life]);
        let loads = some_or_all(callers, &CALLERS)
            .iter()
            .map(|callers| Load::Callers(*callers));
        let full = tasks
            .iter()
            .flat_map(|task| loads.clone().map(|load| (*task, load)));
        let half = tasks.iter().filter(|task| **task == Task::Life);
        let all = full.chain(half.map(|task| (*task, Load::Half)));
        let cases = all.flat_map(|(task, load)| {
            ORGANIZATIONS.map(|organizations| Case {
                task,
                organizations,
                load,
            })
        });
        Self {
            cases: cases.collect(),
            warming,
            time,
            disk,
        }
    }

    /// What the progress bar counts: databases to copy, and the runs of each repeat.
    pub(crate) fn steps(&self) -> usize {
        ORGANIZATIONS.len() + REPEATS * self.cases.len()
    }

    pub(crate) async fn measure(&self, bar: &ProgressBar) -> Result<Measured> {
        let mut templates = Vec::new();
        for organizations in ORGANIZATIONS {
            step(bar, format!("founding organizations: {organizations}"));
            templates.push(Template::new(organizations).await?);
        }
        let mut repeats = Vec::new();
        for _ in 0..REPEATS {
            repeats.push(self.repeat(bar, &templates).await?);
        }
        Ok(Measured {
            disk: repeats
                .iter()
                .flat_map(|repeat| &repeat.disk)
                .copied()
                .collect(),
            cells: self
                .cases
                .iter()
                .map(|case| Cell::of(*case, &repeats))
                .collect(),
            audits: repeats.iter().map(|repeat| repeat.runs.len()).sum(),
        })
    }

    async fn repeat(&self, bar: &ProgressBar, templates: &[Template]) -> Result<Repeat> {
        let mut repeat = Repeat::default();
        for case in self.cases.iter().copied() {
            step(bar, case.to_string());
            repeat.disk.push(disk::fdatasync(folder(), self.disk)?);
            let fits = |template: &&Template| template.organizations() == case.organizations;
            let template = templates.iter().find(fits).context("no such database")?;
            let books = template.books()?;
            let half = repeat.capacity(case) / 2.0;
            run(&books, case, half, self.warming).await?;
            repeat
                .runs
                .push((case, run(&books, case, half, self.time).await?));
            books.audit().await.with_context(|| case.to_string())?;
        }
        repeat.disk.push(disk::fdatasync(folder(), self.disk)?);
        Ok(repeat)
    }
}

// === impl Repeat ===

impl Repeat {
    /// The most that callers have reached at the task of a case on as many organizations.
    fn capacity(&self, case: Case) -> f64 {
        let alike = |of: &Case| (of.task, of.organizations) == (case.task, case.organizations);
        let rates = self.runs.iter().filter(|(of, _)| alike(of));
        rates.map(|(_, run)| run.per_second).fold(0.0, f64::max)
    }

    /// The run of a case, and what the disk did per second around it.
    fn run(&self, case: Case) -> Option<(&Run, f64)> {
        let around = self.runs.iter().zip(self.disk.windows(2));
        around
            .filter(|((of, _), _)| *of == case)
            .find_map(|((_, run), disk)| match disk {
                [before, after] => Some((run, before.per_second.midpoint(after.per_second))),
                _ => None,
            })
    }
}

// === impl Cell ===

impl Cell {
    fn of(case: Case, repeats: &[Repeat]) -> Self {
        let over = |figure: &dyn Fn(&Run, f64) -> f64| {
            let figures = repeats.iter().filter_map(|repeat| {
                let (run, disk) = repeat.run(case)?;
                Some(figure(run, disk))
            });
            sorted(figures)
        };
        let rates = over(&|run, _| run.per_second);
        let spread = |step: Step| Spread {
            p50_ms: median(&over(&|run, _| run.spread(step).p50_ms)),
            p99_ms: median(&over(&|run, _| run.spread(step).p99_ms)),
        };
        Self {
            case,
            per_second: median(&rates),
            lowest: rates.first().copied().unwrap_or_default(),
            highest: rates.last().copied().unwrap_or_default(),
            commits_per_second: median(&over(&|run, _| run.commits_per_second)),
            share_of_fdatasync: median(&over(&|run, disk| run.commits_per_second / disk)),
            steps: case
                .task
                .steps()
                .iter()
                .map(|step| (*step, spread(*step)))
                .collect(),
        }
    }

    /// How long a step took.
    pub(crate) fn spread(&self, step: Step) -> Option<Spread> {
        let (_, spread) = self.steps.iter().find(|(of, _)| *of == step)?;
        Some(*spread)
    }
}

/// From the lowest to the highest.
pub(crate) fn sorted(figures: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures
}

/// The middle one of sorted figures; the upper of two.
pub(crate) fn median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn some_or_all<'a, T>(some: &'a [T], all: &'a [T]) -> &'a [T] {
    if some.is_empty() { all } else { some }
}

async fn run(books: &Books, case: Case, half: f64, time: Duration) -> Result<Run> {
    match case.load {
        Load::Callers(count) => callers::closed(books, case.task, count, time).await,
        Load::Half => callers::open(books, case.task, half, time).await,
    }
}

/// Says what is measured next.
fn step(bar: &ProgressBar, what: impl Into<Cow<'static, str>>) {
    bar.inc(1);
    bar.set_message(what);
}

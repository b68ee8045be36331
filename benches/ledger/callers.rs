//! Callers of the books: some who ask again as soon as they are answered, and some who come when
//! they come, however long the others still wait.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::ValueEnum;
use image_gateway::clock;
use image_gateway::ports::{HoldOutcome, Ledger};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::books::{self, Books};
use crate::figures::Spread;

/// What a caller does, over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Task {
    /// Hold and release: two commits.
    Pair,
    /// Hold, dispatch, stream and settle with one image: four commits.
    Life,
}

/// One durable change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    Hold,
    Void,
    Dispatch,
    Stream,
    Settle,
}

/// What a run on one database brought.
#[derive(Debug)]
pub(crate) struct Run {
    /// Pairs or lives.
    pub(crate) per_second: f64,
    pub(crate) commits_per_second: f64,
    took: Vec<(Step, Duration)>,
}

// === impl Task ===

impl Task {
    /// What it is made of, in order.
    pub(crate) const fn steps(self) -> &'static [Step] {
        match self {
            Self::Pair => &[Step::Hold, Step::Void],
            Self::Life => &[Step::Hold, Step::Dispatch, Step::Stream, Step::Settle],
        }
    }

    /// Many of them.
    pub(crate) const fn plural(self) -> &'static str {
        match self {
            Self::Pair => "pairs",
            Self::Life => "lives",
        }
    }

    /// Does it for the `n`-th time on these books. `since` is when the caller came.
    async fn perform(
        self,
        books: &Books,
        n: usize,
        since: Instant,
        took: &mut Vec<(Step, Duration)>,
    ) -> Result<()> {
        let opening = books.opening(n)?;
        let id = opening.draft.id;
        let mut since = since;
        for step in self.steps() {
            match step {
                Step::Hold => {
                    let outcome = books.sqlite.hold(opening.clone()).await?;
                    ensure!(matches!(outcome, HoldOutcome::Held(_)), "{outcome:?}");
                }
                Step::Void => drop(books.sqlite.void(id, books::voiding()).await?),
                Step::Dispatch => books.sqlite.dispatch(id, clock::now()).await?,
                Step::Stream => {
                    let upstream_id = Some(format!("gen-{id}"));
                    books
                        .sqlite
                        .stream(id, 0, upstream_id, clock::now())
                        .await?;
                }
                Step::Settle => drop(books.sqlite.settle(id, books::settlement(id)?).await?),
            }
            took.push((*step, since.elapsed()));
            since = Instant::now();
        }
        Ok(())
    }
}

// === impl Step ===

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hold => "hold",
            Self::Void => "void",
            Self::Dispatch => "dispatch",
            Self::Stream => "stream",
            Self::Settle => "settle",
        })
    }
}

// === impl Run ===

impl Run {
    /// How long a step took, from asking to knowing that it is durable.
    pub(crate) fn spread(&self, step: Step) -> Spread {
        let of_step = self.took.iter().filter(|(of, _)| *of == step);
        Spread::of(of_step.map(|(_, took)| *took).collect())
    }
}

/// Lets callers work, each beginning again as soon as it is answered, until time is up.
pub(crate) async fn closed(
    books: &Books,
    task: Task,
    callers: usize,
    time: Duration,
) -> Result<Run> {
    let (begun, commits) = (Instant::now(), books.sqlite.commits());
    let until = begun + time;
    let mut running = JoinSet::new();
    for caller in 0..callers {
        let books = books.clone();
        running.spawn(async move {
            let mut took = Vec::new();
            let mut n = caller;
            while Instant::now() < until {
                task.perform(&books, n, Instant::now(), &mut took).await?;
                n += callers;
            }
            anyhow::Ok(took)
        });
    }
    let mut took = Vec::new();
    while let Some(ended) = running.join_next().await {
        took.extend(ended??);
    }
    run(books, task, (begun, commits), took)
}

/// Begins so many per second, whether those before are done or not. Times count from when each
/// was due, so that a stall is felt by all who would have come during it.
pub(crate) async fn open(
    books: &Books,
    task: Task,
    per_second: f64,
    time: Duration,
) -> Result<Run> {
    let (begun, commits) = (Instant::now(), books.sqlite.commits());
    let gap = Duration::from_secs_f64(1.0 / per_second);
    let mut running = JoinSet::new();
    let (mut took, mut due, mut n) = (Vec::new(), begun, 0);
    while due < begun + time {
        tokio::time::sleep_until(due.into()).await;
        let books = books.clone();
        running.spawn(async move {
            let mut took = Vec::new();
            task.perform(&books, n, due, &mut took).await?;
            anyhow::Ok(took)
        });
        (due, n) = (due + gap, n + 1);
        while let Some(ended) = running.try_join_next() {
            took.extend(ended??);
        }
    }
    while let Some(ended) = running.join_next().await {
        took.extend(ended??);
    }
    run(books, task, (begun, commits), took)
}

fn run(
    books: &Books,
    task: Task,
    (begun, commits): (Instant, u64),
    took: Vec<(Step, Duration)>,
) -> Result<Run> {
    let seconds = begun.elapsed().as_secs_f64();
    let commits = u32::try_from(books.sqlite.commits() - commits)?;
    let done = took.len() / task.steps().len();
    Ok(Run {
        per_second: done as f64 / seconds,
        commits_per_second: f64::from(commits) / seconds,
        took,
    })
}

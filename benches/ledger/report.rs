//! What was measured, as tables for people and as JSON for machines.

use std::fmt;
use std::io::Write;
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use crate::callers::{Step, Task};
use crate::disk::Disk;
use crate::figures::Spread;
use crate::goals::{self, Goal};
use crate::plan::{Cell, Measured, median, sorted};

/// What the figures mean.
const LEGEND: &str = "\
pairs         hold and release: two durable commits of the caller's
lives         hold, dispatch, stream, settle with one image: four
callers       each asks again as soon as it is answered; changes that wait share a commit
half load     half of the lives per second that callers have reached, begun evenly whoever still
              waits; counted from when each was due, the timer's millisecond included
of fdatasync  commits per second as a share of an 8 KiB overwrite and fdatasync on the same disk,
              tried just before and just after; over 100 % the disk was too uneven to say
Figures are medians of repeats that take turns, each run on a database of its own. Callers and
books share the cores.";

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    quick: bool,
    cores: usize,
    #[serde(flatten)]
    measured: Measured,
    goals: Vec<Goal>,
    seconds: f64,
}

/// Prints to stdout.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut stdout = anstream::stdout().lock();
    writeln!(stdout, "{text}")?;
    Ok(stdout.flush()?)
}

/// Says on stderr why nothing was measured.
pub(crate) fn complain(error: &anyhow::Error) {
    // Nobody can be told that nothing can be printed.
    let _ = writeln!(anstream::stderr().lock(), "error: {error:#}");
}

/// A whole number with its thousands apart.
pub(crate) fn count(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let mut parted = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            parted.push(',');
        }
        parted.push(digit);
    }
    parted
}

pub(crate) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

// === impl Report ===

impl Report {
    pub(crate) fn new(quick: bool, measured: Measured, took: Duration) -> Result<Self> {
        Ok(Self {
            quick,
            cores: available_parallelism()?.get(),
            goals: goals::all(&measured),
            measured,
            seconds: took.as_secs_f64(),
        })
    }

    fn rates(&self, task: Task) -> Vec<Vec<String>> {
        let head = [
            "load",
            "organizations",
            "/s",
            "lowest",
            "highest",
            "commits/s",
            "of fdatasync",
            "changes/commit",
        ];
        let rows = self.cells(task).map(|cell| {
            let changes = cell.per_second * task.steps().len() as f64;
            vec![
                cell.case.load.to_string(),
                cell.case.organizations.to_string(),
                count(cell.per_second),
                count(cell.lowest),
                count(cell.highest),
                count(cell.commits_per_second),
                percent(cell.share_of_fdatasync),
                format!("{:.1}", changes / cell.commits_per_second),
            ]
        });
        with_head(head.map(str::to_owned).to_vec(), rows)
    }

    fn times(&self, task: Task) -> Vec<Vec<String>> {
        let steps = task.steps().iter();
        let head = ["load", "organizations"].map(str::to_owned);
        let head = head.into_iter().chain(steps.clone().map(Step::to_string));
        let rows = self.cells(task).map(|cell| {
            let case = [
                cell.case.load.to_string(),
                cell.case.organizations.to_string(),
            ];
            let times = steps.clone().filter_map(|step| cell.spread(*step));
            case.into_iter().chain(times.map(spread)).collect()
        });
        with_head(head.collect(), rows)
    }

    fn goals(&self) -> Vec<Vec<String>> {
        let head = ["goal", "wanted", "measured", "met"].map(str::to_owned);
        let rows = self.goals.iter().map(|goal| {
            let met = if goal.met { "yes" } else { "NO" };
            let Goal {
                what,
                wanted,
                measured,
                ..
            } = goal;
            vec![
                what.clone(),
                wanted.clone(),
                measured.clone(),
                met.to_owned(),
            ]
        });
        with_head(head.to_vec(), rows)
    }

    fn cells(&self, task: Task) -> impl Iterator<Item = &Cell> {
        let cells = self.measured.cells.iter();
        cells.filter(move |cell| cell.case.task == task)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let over = |figure: &dyn Fn(&Disk) -> f64| sorted(self.measured.disk.iter().map(figure));
        let rates = over(&|disk| disk.per_second);
        let took = Spread {
            p50_ms: median(&over(&|disk| disk.took.p50_ms)),
            p99_ms: median(&over(&|disk| disk.took.p99_ms)),
        };
        writeln!(f, "{} cores for callers and books together", self.cores)?;
        writeln!(
            f,
            "fdatasync of 8 KiB: {}/s ({} ms), lowest {}, highest {}, tried {} times",
            count(median(&rates)),
            spread(took),
            rates.first().copied().map(count).unwrap_or_default(),
            rates.last().copied().map(count).unwrap_or_default(),
            rates.len(),
        )?;
        let measured = |task: &Task| self.cells(*task).next().is_some();
        for task in [Task::Pair, Task::Life].into_iter().filter(measured) {
            let name = task.plural();
            table(f, &format!("{name} per second"), &self.rates(task))?;
            let title = format!("steps of {name} in ms, p50 / p99");
            table(f, &title, &self.times(task))?;
        }
        writeln!(f, "\n{LEGEND}")?;
        table(f, "Goals", &self.goals())?;
        let audits = self.measured.audits;
        writeln!(f, "audited after each run: {audits} databases, all clean")?;
        write!(f, "measured in {:.0} s", self.seconds)
    }
}

/// Columns as wide as their widest cell; the first to the left, all others to the right.
fn table(f: &mut fmt::Formatter<'_>, title: &str, rows: &[Vec<String>]) -> fmt::Result {
    writeln!(f, "\n{title}")?;
    let columns = rows.first().map_or(0, Vec::len);
    let cells = |column: usize| rows.iter().filter_map(move |row| row.get(column));
    let width = |column| {
        cells(column)
            .map(|cell: &String| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..columns).filter_map(width).collect();
    for row in rows {
        let padded = row.iter().zip(&widths).enumerate();
        let padded = padded.map(|(column, (cell, width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        writeln!(f, "  {}", padded.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

fn with_head(head: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> Vec<Vec<String>> {
    std::iter::once(head).chain(rows).collect()
}

fn spread(spread: Spread) -> String {
    format!("{:.2} / {:.2}", spread.p50_ms, spread.p99_ms)
}

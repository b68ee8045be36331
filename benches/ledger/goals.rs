//! What the books are held to (`reliability.md` G13 and G14).

use serde::Serialize;

use crate::callers::{Step, Task};
use crate::plan::{Cell, Load, Measured};
use crate::report::{count, percent};

/// Commits of one caller, as a share of the disk's `fdatasync` (G13).
const SHARE: f64 = 0.50;
/// With group commit (G14).
const PAIRS_PER_SECOND: f64 = 10_000.0;
const LIVES_PER_SECOND: f64 = 2_000.0;
/// Of a hold at half load (G14).
const HOLD_P99_MS: f64 = 20.0;

/// A goal and what came of it.
#[derive(Debug, Serialize)]
pub(crate) struct Goal {
    pub(crate) what: String,
    pub(crate) wanted: String,
    pub(crate) measured: String,
    pub(crate) met: bool,
}

/// All goals, each for every number of organizations.
pub(crate) fn all(measured: &Measured) -> Vec<Goal> {
    let cells = measured.cells.iter();
    let alone = cells
        .clone()
        .filter(|cell| cell.case.load == Load::Callers(1));
    let best = cells.clone().filter(|cell| best(cell, &measured.cells));
    let half = cells.filter(|cell| cell.case.load == Load::Half);
    let goals = alone.map(share).chain(best.map(rate));
    goals.chain(half.filter_map(hold)).collect()
}

fn best(cell: &Cell, cells: &[Cell]) -> bool {
    let alike = |other: &&Cell| {
        let (a, b) = (&cell.case, &other.case);
        (a.task, a.organizations) == (b.task, b.organizations)
    };
    cells
        .iter()
        .filter(alike)
        .all(|other| other.per_second <= cell.per_second)
}

fn share(cell: &Cell) -> Goal {
    Goal {
        what: format!("{}: commits of fdatasync", cell.case),
        wanted: format!(">= {}", percent(SHARE)),
        measured: percent(cell.share_of_fdatasync),
        // More than all of it means that the disk stalled while it was tried alone.
        met: (SHARE..=1.0).contains(&cell.share_of_fdatasync),
    }
}

fn rate(cell: &Cell) -> Goal {
    let wanted = match cell.case.task {
        Task::Pair => PAIRS_PER_SECOND,
        Task::Life => LIVES_PER_SECOND,
    };
    Goal {
        what: cell.case.to_string(),
        wanted: format!(">= {}/s", count(wanted)),
        measured: format!("{}/s", count(cell.per_second)),
        met: cell.per_second >= wanted,
    }
}

fn hold(cell: &Cell) -> Option<Goal> {
    let p99_ms = cell.spread(Step::Hold)?.p99_ms;
    Some(Goal {
        what: format!("{}: p99 of a hold", cell.case),
        wanted: format!("<= {HOLD_P99_MS:.0} ms"),
        measured: format!("{p99_ms:.2} ms"),
        met: p99_ms <= HOLD_P99_MS,
    })
}

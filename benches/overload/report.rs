//! What is printed. Of several turns it is always the one in the middle.

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::figures::Spread;
use crate::load::Outcome;
use crate::{Fairness, QUIET, Row, TOO_MUCH};

/// Some of the times of an outcome.
type Times = fn(&Outcome) -> &Vec<Duration>;

/// A line for each load, and whether the goals are met at the last.
pub(crate) fn overload(rows: &[Row]) -> Result<String> {
    let mut text = String::from(
        "load | pictures/s | refused | refusal p50, p99 ms | accepted p50, p99 ms | picture p50, p99 ms\n",
    );
    for Row { load, turns } in rows {
        writeln!(
            text,
            "{load:>4}× | {:>10.1} | {:>7} | {} | {} | {}",
            middle(turns.iter().map(|turn| turn.per_second)),
            count(turns, |turn| &turn.refused),
            pair(turns, |turn| &turn.refused),
            pair(turns, |turn| &turn.accepted),
            pair(turns, |turn| &turn.pictures)
        )?;
    }
    let of = |load: f64| {
        let row = rows.iter().find(|row| row.load == load);
        row.map(|row| &row.turns).context("nothing was measured")
    };
    let (quiet, last) = (of(QUIET)?, of(TOO_MUCH)?);
    let speeds = |turns: &[Outcome]| middle(turns.iter().map(|turn| turn.per_second));
    let peak = rows.iter().map(|row| speeds(&row.turns));
    let peak = peak.fold(0.0, f64::max);
    writeln!(
        text,
        "at {TOO_MUCH}×: goodput {:.0} % of the peak (goal: 90); refusals p99 {:.1} ms (goal: 5); one hold for each picture, none for a refusal",
        100.0 * speeds(last) / peak,
        spread(last, |turn| &turn.refused).p99_ms
    )?;
    writeln!(
        text,
        "p99 of what is let in, in parts of that at {QUIET}×: pictures {:.2}, their holds {:.2} (goal: 2); of {} and {}",
        times(last, quiet, |turn| &turn.pictures),
        times(last, quiet, |turn| &turn.accepted),
        count(last, |turn| &turn.pictures),
        count(quiet, |turn| &turn.pictures),
    )?;
    Ok(text)
}

/// What the modest waited alone, while another shouted at another gateway, and at theirs.
pub(crate) fn fairness(told: &Fairness) -> String {
    let Fairness {
        alone,
        elsewhere,
        beside,
        loud,
    } = told;
    let line = |what: &str, of: Times| {
        format!(
            "{what:<9}| {:>7} | {} | {} | {} | {:>5.2}× | {:>5.2}×\n",
            count(beside, of),
            pair(alone, of),
            pair(elsewhere, of),
            pair(beside, of),
            times(beside, elsewhere, of),
            times(beside, alone, of),
        )
    };
    let shouted = |what: &str, turns: &[Outcome]| {
        format!(
            "the loud one at {what}: {} drawn; {} refused in {} ms, {} of its calls that only read in {} ms\n",
            count(turns, |turn| &turn.pictures),
            count(turns, |turn| &turn.refused),
            pair(turns, |turn| &turn.refused),
            count(turns, |turn| &turn.turned_away),
            pair(turns, |turn| &turn.turned_away),
        )
    };
    let lines = [
        "others   | of each | alone p50, p99 ms | one shouts at another gateway | at the same | p99, same / another (goal: 1.2) | same / alone\n"
            .to_owned(),
        line("pictures", |turn| &turn.pictures),
        line("accepted", |turn| &turn.accepted),
        line("balance", |turn| &turn.asked),
        format!(
            "refused of the others: {} alone, {} and {}\n",
            count(alone, |turn| &turn.refused),
            count(elsewhere, |turn| &turn.refused),
            count(beside, |turn| &turn.refused),
        ),
        shouted("another gateway", &loud[0]),
        shouted("the same", &loud[1]),
    ];
    lines.concat()
}

/// How many times one p99 is the other, taken turn by turn.
fn times(turns: &[Outcome], beside: &[Outcome], of: Times) -> f64 {
    let p99 = |turn: &Outcome| Spread::of(of(turn).clone()).p99_ms;
    let turns = turns.iter().zip(beside);
    middle(turns.map(|(turn, beside)| p99(turn) / p99(beside).max(0.001)))
}

fn spread(turns: &[Outcome], of: Times) -> Spread {
    let each: Vec<_> = turns
        .iter()
        .map(|turn| Spread::of(of(turn).clone()))
        .collect();
    Spread {
        p50_ms: middle(each.iter().map(|spread| spread.p50_ms)),
        p99_ms: middle(each.iter().map(|spread| spread.p99_ms)),
    }
}

/// The one in the middle; zero of nothing.
fn middle(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<_> = figures.collect();
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(0.0)
}

fn count(turns: &[Outcome], of: Times) -> usize {
    turns.iter().map(|turn| of(turn).len()).sum()
}

fn pair(turns: &[Outcome], of: Times) -> String {
    let Spread { p50_ms, p99_ms } = spread(turns, of);
    format!("{p50_ms:>7.1} {p99_ms:>7.1}")
}

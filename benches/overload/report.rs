//! What is printed.

use std::fmt::Write;

use anyhow::{Context, Result};

use crate::Row;
use crate::figures::Spread;
use crate::load::Outcome;

/// A line for each load, and whether the goals are met at the last.
pub(crate) fn overload(rows: &[Row]) -> Result<String> {
    let mut text = String::from(
        "load | pictures/s | refused | refusal p50, p99 ms | accepted p50, p99 ms | picture p50, p99 ms\n",
    );
    for Row { load, outcome } in rows {
        let refused = outcome.spread(|outcome| &outcome.refused);
        let accepted = outcome.spread(|outcome| &outcome.accepted);
        let picture = outcome.spread(|outcome| &outcome.pictures);
        writeln!(
            text,
            "{load:>4}× | {:>10.1} | {:>7} | {} | {} | {}",
            outcome.per_second,
            outcome.refused.len(),
            pair(refused),
            pair(accepted),
            pair(picture)
        )?;
    }
    let peak = rows.iter().map(|row| row.outcome.per_second);
    let peak = peak.fold(0.0, f64::max);
    let last = &rows.last().context("nothing was measured")?.outcome;
    let refused = last.spread(|outcome| &outcome.refused);
    writeln!(
        text,
        "goodput at the last: {:.0} % of the peak (goal: 90); refusals p99 {:.1} ms (goal: 5); one hold for each picture, none for a refusal",
        100.0 * last.per_second / peak,
        refused.p99_ms
    )?;
    Ok(text)
}

/// What the modest waited alone, and beside the loud one.
pub(crate) fn fairness(alone: &Outcome, beside: &Outcome, loud: &Outcome) -> String {
    let line = |what: &str, of: fn(&Outcome) -> &Vec<std::time::Duration>| {
        let (alone, beside) = (alone.spread(of), beside.spread(of));
        let times = beside.p99_ms / alone.p99_ms.max(0.001);
        format!(
            "{what:<9}| {} | {} | {times:.2}×\n",
            pair(alone),
            pair(beside)
        )
    };
    let lines = [
        "others   | alone p50, p99 ms | beside one at 100× p50, p99 ms | p99\n".to_owned(),
        line("pictures", |outcome| &outcome.pictures),
        line("accepted", |outcome| &outcome.accepted),
        line("balance", |outcome| &outcome.asked),
        format!(
            "refused  | {} of the others; of the loud one {} refused, {} drawn, refusal {} ms\n",
            beside.refused.len(),
            loud.refused.len(),
            loud.done(),
            pair(loud.spread(|outcome| &outcome.refused))
        ),
    ];
    lines.concat()
}

fn pair(spread: Spread) -> String {
    format!("{:>7.1} {:>7.1}", spread.p50_ms, spread.p99_ms)
}

//! Consumption on paper: an aligned table with bars.

use std::borrow::Cow;

use anstyle::{AnsiColor, Style};

use crate::cli::terminal::{self, Text};
use crate::proto::{QueryUsageResponse, UsageRow};

/// The longest bar.
const BAR_CELLS: usize = 24;

/// What stands between two columns.
const GAP: &str = "  ";

/// So much of a name is shown however narrow the terminal is.
const NAME_CELLS_MIN: usize = 12;

/// Parts of a cell, from one eighth to seven.
const EIGHTHS: [char; 7] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];

const HEAD: Style = Style::new().bold();
const BAR: Style = AnsiColor::Cyan.on_default();

/// The columns after the first.
const COLUMNS: [&str; 6] = [
    "Generations",
    "Images",
    "Credits",
    "USD",
    "Own USD",
    "Failed",
];

/// A table for people: numbers to the right, a bar for the share of credits. In lines of so many cells
/// bars go first, then the ends of names.
pub(super) fn table(answer: &QueryUsageResponse, by: &str, columns: Option<usize>) -> Text {
    let mut rows: Vec<(String, &UsageRow)> = Vec::new();
    for row in &answer.rows {
        rows.push((shown(&row.key), row));
    }
    if let Some(other) = &answer.other {
        rows.push(("(all others)".to_owned(), other));
    }
    let total = answer.total.clone().unwrap_or_default();
    let most = rows.iter().map(|(_, row)| hundredths(&row.credits)).max();
    let most = most.unwrap_or(0);
    let mut widths = widths(
        by,
        rows.iter().map(|(name, row)| (name.as_str(), *row)),
        &total,
    );
    let numbers: usize = widths[1..].iter().map(|width| width + GAP.len()).sum();
    let with_bars =
        columns.is_none_or(|columns| widths[0] + numbers + GAP.len() + BAR_CELLS <= columns);
    if let Some(columns) = columns {
        let room = columns.saturating_sub(numbers).max(NAME_CELLS_MIN);
        widths[0] = widths[0].min(room);
    }
    let mut lines = vec![Text::from(line(by, &COLUMNS, &widths)).styled(HEAD)];
    for (name, row) in &rows {
        let bar = if with_bars {
            bar(hundredths(&row.credits), most)
        } else {
            String::new()
        };
        let cells = cells(row);
        let line = Text::from(line(name, &cells.each_ref().map(Cow::as_ref), &widths));
        lines.push(if bar.is_empty() {
            line
        } else {
            line.and(GAP).and(Text::from(bar).styled(BAR))
        });
    }
    if rows.is_empty() {
        lines.push("nothing was consumed".into());
    }
    let cells = cells(&total);
    let total = line("Total", &cells.each_ref().map(Cow::as_ref), &widths);
    lines.push(Text::from(total).styled(HEAD));
    Text::lines(lines)
}

pub(super) fn cells(row: &UsageRow) -> [Cow<'_, str>; 6] {
    [
        row.generations.to_string().into(),
        row.images.to_string().into(),
        row.credits.as_str().into(),
        row.usd_cost.as_str().into(),
        row.own_usd_cost.as_str().into(),
        row.failed.to_string().into(),
    ]
}

/// Something to read where nothing was given.
fn shown(key: &str) -> String {
    let shown = if key.is_empty() { "(none)" } else { key };
    shown.to_owned()
}

fn widths<'a>(
    by: &str,
    rows: impl Iterator<Item = (&'a str, &'a UsageRow)>,
    total: &'a UsageRow,
) -> [usize; 7] {
    let mut widths = [0; 7];
    let mut widen = |place: usize, text: &str| {
        if let Some(width) = widths.get_mut(place) {
            *width = (*width).max(terminal::width(text));
        }
    };
    widen(0, by);
    for (place, head) in (1..).zip(COLUMNS) {
        widen(place, head);
    }
    for (name, row) in rows.chain([("Total", total)]) {
        widen(0, name);
        for (place, cell) in (1..).zip(cells(row)) {
            widen(place, &cell);
        }
    }
    widths
}

fn line(name: &str, cells: &[&str; 6], widths: &[usize; 7]) -> String {
    let mut line = terminal::left(&terminal::cut(name, widths[0]), widths[0]);
    for (cell, width) in cells.iter().zip(&widths[1..]) {
        line.push_str(GAP);
        line.push_str(&terminal::right(cell, *width));
    }
    line
}

/// As long as its share of the most, in eighths of a cell.
fn bar(value: i64, most: i64) -> String {
    let (Ok(value), Ok(most)) = (u128::try_from(value), u128::try_from(most)) else {
        return String::new();
    };
    if most == 0 {
        return String::new();
    }
    let eighths = value * 8 * 24 / most;
    let full = usize::try_from(eighths / 8).unwrap_or(0).min(BAR_CELLS);
    let part = usize::try_from(eighths % 8).unwrap_or(0);
    let mut bar = "█".repeat(full);
    bar.extend(part.checked_sub(1).and_then(|part| EIGHTHS.get(part)));
    bar
}

/// Credits as the contract writes them, without the point.
fn hundredths(credits: &str) -> i64 {
    credits.replace('.', "").parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &str, credits: &str) -> UsageRow {
        UsageRow {
            key: key.to_owned(),
            generations: 1,
            images: 2,
            credits: credits.to_owned(),
            usd_cost: "0.014".to_owned(),
            own_usd_cost: "0.3".to_owned(),
            failed: 0,
        }
    }

    fn answer() -> QueryUsageResponse {
        QueryUsageResponse {
            rows: vec![row("painter", "100.00"), row("", "12.50")],
            other: None,
            total: Some(row("", "112.50")),
        }
    }

    #[test]
    fn numbers_stand_under_each_other_and_bars_are_in_proportion() {
        let table = table(&answer(), "Agent", None).plain();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(
            lines,
            [
                "Agent    Generations  Images  Credits    USD  Own USD  Failed",
                "painter            1       2   100.00  0.014      0.3       0  ████████████████████████",
                "(none)             1       2    12.50  0.014      0.3       0  ███",
                "Total              1       2   112.50  0.014      0.3       0",
            ]
        );
    }

    #[test]
    fn nothing_is_said_in_words() {
        let table = table(&QueryUsageResponse::default(), "Day", None).plain();
        assert!(table.contains("nothing was consumed"), "{table}");
    }

    #[test]
    fn on_a_narrow_terminal_names_are_cut_and_bars_go() {
        let mut answer = answer();
        answer.rows[0].key = "an-agent-with-a-name-that-does-not-end".to_owned();
        for (columns, bars) in [(130, true), (94, false), (70, false)] {
            let table = super::table(&answer, "Agent", Some(columns)).plain();
            for line in table.lines() {
                assert!(terminal::width(line) <= columns, "{columns}: {line}");
            }
            assert_eq!(table.contains('█'), bars, "{table}");
            assert_eq!(table.contains('…'), columns < 90, "{table}");
        }
    }
}

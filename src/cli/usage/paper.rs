//! Consumption on paper: an aligned table with bars, and CSV.

use std::borrow::Cow;

use anstyle::{AnsiColor, Style};

use crate::cli::terminal;
use crate::proto::{QueryUsageResponse, UsageRow};

/// The longest bar.
const BAR_CELLS: usize = 24;

/// Parts of a cell, from one eighth to seven.
const EIGHTHS: [char; 7] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];

const HEAD: Style = Style::new().bold();
const BAR: Style = AnsiColor::Cyan.on_default();

/// The columns after the first.
const COLUMNS: [&str; 5] = ["Generations", "Images", "Credits", "USD", "Failed"];

/// A table for people: numbers to the right, a bar for the share of credits.
pub(super) fn table(answer: &QueryUsageResponse, by: &str) -> String {
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
    let widths = widths(
        by,
        rows.iter().map(|(name, row)| (name.as_str(), *row)),
        &total,
    );
    let mut lines = vec![format!("{HEAD}{}{HEAD:#}", line(by, &COLUMNS, &widths))];
    for (name, row) in &rows {
        let bar = bar(hundredths(&row.credits), most);
        let cells = cells(row);
        let line = line(name, &cells.each_ref().map(Cow::as_ref), &widths);
        lines.push(format!("{line}  {BAR}{bar}{BAR:#}").trim_end().to_owned());
    }
    if rows.is_empty() {
        lines.push("nothing was consumed".to_owned());
    }
    let cells = cells(&total);
    let total = line("Total", &cells.each_ref().map(Cow::as_ref), &widths);
    lines.push(format!("{HEAD}{total}{HEAD:#}"));
    lines.join("\n")
}

/// RFC 4180, with a header. Text that a spreadsheet would take for a formula gets an apostrophe, and
/// so does text that begins with one: no two keys become the same cell.
pub(super) fn csv(answer: &QueryUsageResponse, by: &str) -> String {
    let header = format!(
        "{},generations,images,credits,usd_cost,failed\r\n",
        by.to_lowercase()
    );
    let rows = answer.rows.iter().map(|row| (row.key.as_str(), row));
    let other = answer.other.iter().map(|row| ("(all others)", row));
    rows.chain(other).fold(header, |mut text, (key, row)| {
        let cells = cells(row);
        text.push_str(&cell(key));
        for number in cells {
            text.push(',');
            text.push_str(&number);
        }
        text.push_str("\r\n");
        text
    })
}

fn cells(row: &UsageRow) -> [Cow<'_, str>; 5] {
    [
        row.generations.to_string().into(),
        row.images.to_string().into(),
        row.credits.as_str().into(),
        row.usd_cost.as_str().into(),
        row.failed.to_string().into(),
    ]
}

/// Something to read where nothing was given, and no control characters.
fn shown(key: &str) -> String {
    if key.is_empty() {
        return "(none)".to_owned();
    }
    terminal::printable(key)
}

fn widths<'a>(
    by: &str,
    rows: impl Iterator<Item = (&'a str, &'a UsageRow)>,
    total: &'a UsageRow,
) -> [usize; 6] {
    let mut widths = [0; 6];
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

fn line(name: &str, cells: &[&str; 5], widths: &[usize; 6]) -> String {
    let mut line = terminal::left(name, widths[0]);
    for (cell, width) in cells.iter().zip(&widths[1..]) {
        line.push_str("  ");
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

fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '\'']);
    let text = if formula {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if text.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
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
        let table = anstream::adapter::strip_str(&table(&answer(), "Agent")).to_string();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(
            lines,
            [
                "Agent    Generations  Images  Credits    USD  Failed",
                "painter            1       2   100.00  0.014       0  ████████████████████████",
                "(none)             1       2    12.50  0.014       0  ███",
                "Total              1       2   112.50  0.014       0",
            ]
        );
    }

    #[test]
    fn nothing_is_said_in_words() {
        let table = table(&QueryUsageResponse::default(), "Day");
        assert!(table.contains("nothing was consumed"), "{table}");
    }

    #[test]
    fn a_spreadsheet_finds_no_formula() {
        let mut answer = answer();
        for key in [
            "=1+1",
            "'=1+1",
            "+1",
            "-1",
            "@x",
            "\tx",
            "\n=1",
            "a,b",
            "say \"hi\"",
            "x=1",
        ] {
            answer.rows.push(row(key, "1.00"));
        }
        let csv = csv(&answer, "Agent");
        let lines: Vec<&str> = csv.split("\r\n").collect();
        assert_eq!(lines[0], "agent,generations,images,credits,usd_cost,failed");
        assert_eq!(lines[1], "painter,1,2,100.00,0.014,0");
        let keys: Vec<&str> = lines[3..]
            .iter()
            .map(|line| line.trim_end_matches(",1,2,1.00,0.014,0"))
            .collect();
        assert_eq!(
            keys,
            [
                "'=1+1",
                "''=1+1",
                "'+1",
                "'-1",
                "'@x",
                "'\tx",
                "\"'\n=1\"",
                "\"a,b\"",
                "\"say \"\"hi\"\"\"",
                "x=1",
                ""
            ]
        );
    }
}

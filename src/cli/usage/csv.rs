//! Consumption as CSV: faithful for programs, harmless in a spreadsheet and on a terminal.

use super::paper::cells;
use crate::cli::terminal;
use crate::domain::seen::hides;
use crate::proto::QueryUsageResponse;

/// What a spreadsheet takes for the beginning of a formula, in both widths; and the apostrophe that
/// guards against it, so that no two texts become the same cell.
const BEGINS_FORMULA: [char; 9] = ['=', '+', '-', '@', '＝', '＋', '－', '＠', '\''];

/// Where a spreadsheet that splits at something else than commas may begin another cell.
const SPLITS: [char; 4] = [';', '\t', '\r', '\n'];

/// RFC 4180, with a header; every text is quoted, and so is what stands for a number and is none. An
/// apostrophe stands before whatever could begin a
/// formula, at the beginning of a text and behind each place at which it might be split: whoever takes
/// away one apostrophe at each such place has the text as it was. If it is `shown` on a terminal,
/// control characters are written out.
pub(super) fn csv(answer: &QueryUsageResponse, by: &str, shown: bool) -> String {
    let header = format!(
        "{},generations,images,credits,usd_cost,own_usd_cost,failed\r\n",
        by.to_lowercase()
    );
    let rows = answer.rows.iter().map(|row| (row.key.as_str(), row));
    let other = answer.other.iter().map(|row| ("(all others)", row));
    rows.chain(other).fold(header, |mut text, (key, row)| {
        text.push_str(&cell(key, shown));
        for number in cells(row) {
            text.push(',');
            if is_number(&number) {
                text.push_str(&number);
            } else {
                text.push_str(&cell(&number, shown));
            }
        }
        text.push_str("\r\n");
        text
    })
}

/// A text as a cell.
fn cell(text: &str, shown: bool) -> String {
    let text = guarded(text);
    quoted(&if shown {
        terminal::escaped(&text)
    } else {
        text
    })
}

/// Whether a text is a number as the contract writes them: digits, with a sign and a point if need be.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    all_digits(whole) && all_digits(part)
}

/// A text with an apostrophe at each place where a formula could begin.
fn guarded(text: &str) -> String {
    let mut guarded = String::with_capacity(text.len());
    let mut begins = true;
    for (at, c) in text.char_indices() {
        // Safe or not, a text that begins with what splits is looked at with suspicion.
        let splits_at_once = at == 0 && SPLITS[1..].contains(&c);
        if begins && (splits_at_once || may_begin_formula(&text[at..])) {
            guarded.push('\'');
        }
        guarded.push(c);
        begins = SPLITS.contains(&c);
    }
    guarded
}

/// Whether the first character that counts begins a formula: spreadsheets pass over white space, what
/// is not seen, and quotes where they split.
fn may_begin_formula(text: &str) -> bool {
    let passed = |c: &char| *c == '"' || c.is_whitespace() || hides(*c);
    let first = text.chars().find(|c| !passed(c));
    text.starts_with('\'') || first.is_some_and(|first| BEGINS_FORMULA.contains(&first))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proto::UsageRow;

    fn answer(keys: &[&str]) -> QueryUsageResponse {
        let row = |key: &&str| UsageRow {
            key: (*key).to_owned(),
            generations: 1,
            images: 2,
            credits: "1.00".to_owned(),
            usd_cost: "0.014".to_owned(),
            own_usd_cost: "0".to_owned(),
            failed: 0,
        };
        QueryUsageResponse {
            rows: keys.iter().map(row).collect(),
            ..QueryUsageResponse::default()
        }
    }

    /// Reads RFC 4180 with another separator, as a spreadsheet may be set to.
    fn parse(text: &str, separator: char) -> Vec<Vec<String>> {
        let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
        let (mut inside, mut rest) = (false, text.chars().peekable());
        while let Some(c) = rest.next() {
            match c {
                '"' if inside && rest.next_if_eq(&'"').is_some() => cell.push('"'),
                '"' => inside = !inside,
                c if c == separator && !inside => row.push(std::mem::take(&mut cell)),
                '\r' if !inside && rest.next_if_eq(&'\n').is_some() => {
                    row.push(std::mem::take(&mut cell));
                    rows.push(std::mem::take(&mut row));
                }
                c => cell.push(c),
            }
        }
        rows
    }

    /// Takes the documented guard away.
    fn unguarded(text: &str) -> String {
        let mut begins = true;
        let mut plain = String::new();
        for c in text.chars() {
            if !(begins && c == '\'') {
                plain.push(c);
            }
            begins = SPLITS.contains(&c);
        }
        plain
    }

    #[test]
    fn a_spreadsheet_finds_no_formula() {
        for (key, cell) in [
            ("painter", "\"painter\""),
            ("", "\"\""),
            ("=1+1", "\"'=1+1\""),
            ("'=1+1", "\"''=1+1\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@x", "\"'@x\""),
            ("＝1", "\"'＝1\""),
            ("\tx", "\"'\tx\""),
            ("\n=1", "\"'\n'=1\""),
            (" =1", "\"' =1\""),
            ("\u{a0}\u{3000}=1", "\"'\u{a0}\u{3000}=1\""),
            ("\u{feff}=1", "\"'\u{feff}=1\""),
            ("x;=1", "\"x;'=1\""),
            ("x\t @y", "\"x\t' @y\""),
            ("x;y=1;z", "\"x;y=1;z\""),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
        ] {
            let csv = csv(&answer(&[key]), "Agent", false);
            let expected = format!(
                "agent,generations,images,credits,usd_cost,own_usd_cost,failed\r\n{cell},1,2,1.00,0.014,0,0\r\n"
            );
            assert_eq!(csv, expected, "{key:?}");
        }
    }

    #[test]
    fn a_terminal_is_told_what_a_control_character_was() {
        let key = "\u{1b}[31mred\u{9b}\r\n";
        assert!(csv(&answer(&[key]), "Agent", false).contains(key));
        let shown = csv(&answer(&[key]), "Agent", true);
        let written = "\"\\u{1b}[31mred\\u{9b}\\u{d}\\u{a}\"";
        assert!(shown.contains(written), "{shown}");
        assert!(!shown.replace("\r\n", "").contains(char::is_control));
    }

    #[test]
    fn a_number_that_is_none_is_a_text_that_does_not_act() {
        for (number, cell, shown) in [
            ("1.00", "1.00", "1.00"),
            ("-1.5", "-1.5", "-1.5"),
            ("0", "0", "0"),
            ("=1+1", "\"'=1+1\"", "\"'=1+1\""),
            ("-1+1", "\"'-1+1\"", "\"'-1+1\""),
            ("-", "\"'-\"", "\"'-\""),
            ("1.", "\"1.\"", "\"1.\""),
            ("1;=2", "\"1;'=2\"", "\"1;'=2\""),
            ("1,2", "\"1,2\"", "\"1,2\""),
            ("", "\"\"", "\"\""),
            ("\u{1b}[2J", "\"\u{1b}[2J\"", "\"\\u{1b}[2J\""),
        ] {
            let mut answer = answer(&["a"]);
            answer.rows[0].credits = number.to_owned();
            for (on_a_terminal, cell) in [(false, cell), (true, shown)] {
                let csv = csv(&answer, "Agent", on_a_terminal);
                let row = format!("\r\n\"a\",1,2,{cell},0.014,0,0\r\n");
                assert!(csv.ends_with(&row), "{number:?}: {csv:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_read_back_is_what_was_kept(
            keys in proptest::collection::vec("[=+@＝＠' \u{a0};,\"\t\r\na-c\u{1b}-]{0,8}|.{0,8}", 1..5),
        ) {
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            let csv = csv(&answer(&keys), "Agent", false);
            let rows = parse(&csv, ',');
            prop_assert_eq!(rows.len(), 1 + keys.len());
            for (row, key) in rows[1..].iter().zip(&keys) {
                prop_assert_eq!(row.len(), 7);
                prop_assert_eq!(&unguarded(&row[0]), key);
            }
            // However it is split, no cell begins a formula.
            let lines = csv.replace('"', "");
            for cell in lines.split(SPLITS) {
                let first = cell.trim_start_matches(|c: char| c.is_whitespace() || hides(c));
                let formula = first.starts_with(&BEGINS_FORMULA[..8]);
                prop_assert!(!formula, "{:?} in {:?}", cell, csv);
            }
        }
    }
}

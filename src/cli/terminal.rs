//! The one place that prints: results on stdout, everything else on stderr, colours only where a
//! terminal shows them (`NO_COLOR` is kept). Nothing that goes through here acts on a terminal, but
//! for ends of lines and colours of ours: names come from databases that others have written.

use std::borrow::Cow;
use std::fmt::{Display, Write as _};
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use terminal_size::{Width, terminal_size_of};
use unicode_width::UnicodeWidthStr;

use super::failed::Failed;
use super::keyless::keyless;

/// The names in a table.
const LABEL: Style = Style::new().bold();
/// The word `error`.
const ERROR: Style = AnsiColor::Red.on_default().bold();
/// What is as it must be.
const GOOD: Style = AnsiColor::Green.on_default();
/// The word `hint`.
const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// What stands for a character that is not seen as itself.
const HIDDEN: char = '\u{fffd}';

/// How the styles begin that this room prints with, and how they end, behind the escape character.
const STYLES: [&str; 7] = ["[0m", "[1m", "[2m", "[31m", "[32m", "[33m", "[36m"];

/// Prints a result.
pub(super) fn result(text: impl Display) -> Result<(), Failed> {
    let mut stdout = anstream::stdout().lock();
    writeln!(stdout, "{}", harmless(&text.to_string()))
        .and_then(|()| stdout.flush())
        .or_else(unless_closed)
}

/// Prints a result for programs: one JSON document on one line.
pub(super) fn json(value: &impl Serialize) -> Result<(), Failed> {
    let text = serde_json::to_string(value)
        .map_err(|error| Failed::new("cannot write the result as JSON").because(error))?;
    raw(json_escaped(&text) + "\n")
}

/// JSON of the same meaning in which every character is seen as itself, so that it can be shown on a
/// terminal and nothing need be stripped: what is not stands within strings, where it can be escaped.
fn json_escaped(json: &str) -> String {
    json.chars().fold(String::new(), |mut text, c| {
        if hides(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _ = write!(text, "\\u{unit:04x}");
            }
        } else {
            text.push(c);
        }
        text
    })
}

/// A reader that has seen enough, as `head` has, is no failure.
fn unless_closed(error: io::Error) -> Result<(), Failed> {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(Failed::new("cannot write to stdout").because(error)),
    }
}

/// Prints data that has its own line ends, as it is: nothing is stripped on the way to a file or
/// another program. Who prints to a terminal [escapes](escaped) it before.
pub(super) fn raw(text: impl Display) -> Result<(), Failed> {
    let mut stdout = io::stdout().lock();
    write!(stdout, "{text}")
        .and_then(|()| stdout.flush())
        .or_else(unless_closed)
}

/// Whether the result is read on a terminal.
pub(super) fn is_shown() -> bool {
    io::stdout().is_terminal()
}

/// The cells of a line of the terminal that the result is read on; none if it goes elsewhere.
pub(super) fn columns() -> Option<usize> {
    let (Width(columns), _) = is_shown().then(|| terminal_size_of(io::stdout()))??;
    Some(columns.into())
}

/// Prints something beside the result. A closed stderr is no reason to stop.
pub(super) fn note(text: impl Display) {
    let _ = writeln!(anstream::stderr().lock(), "{}", harmless(&text.to_string()));
}

/// A text in which nothing acts on a terminal but ends of lines and [`STYLES`]. Whoever lays out a text
/// makes the names in it [`printable`], which also keeps them in their line; this is for what comes
/// by another way, as words of a server in an error do.
fn harmless(text: &str) -> String {
    let mut pieces = text.split('\u{1b}');
    let mut shown = visible(pieces.next().unwrap_or_default());
    for piece in pieces {
        let styled = STYLES.iter().any(|style| piece.starts_with(style));
        shown.push(if styled { '\u{1b}' } else { HIDDEN });
        shown.push_str(&visible(piece));
    }
    shown
}

/// A text of several lines without what is not seen.
fn visible(lines: &str) -> String {
    let lines: Vec<_> = lines.split('\n').map(printable).collect();
    lines.join("\n")
}

/// Says why a command failed and what to do, and gives the status to end with.
pub(super) fn failed(failed: &Failed) -> ExitCode {
    let message = keyless(&failed.message);
    note(format_args!("{ERROR}error:{ERROR:#} {message}"));
    if let Some(hint) = &failed.hint {
        note(format_args!("{HINT}hint:{HINT:#} {}", keyless(hint)));
    }
    ExitCode::from(failed.status)
}

/// Prints what clap has to say (help included) and gives the status to end with.
pub(super) fn usage(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    match keyless(&text) {
        // Nobody can be told that nothing can be printed.
        Cow::Borrowed(_) => _ = error.print(),
        // What was mistyped is quoted.
        Cow::Owned(without) => note(without.trim_end()),
    }
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// A word for what is as it must be.
pub(super) fn good(word: &str) -> String {
    format!("{GOOD}{word}{GOOD:#}")
}

/// A word for what is not.
pub(super) fn bad(word: &str) -> String {
    format!("{ERROR}{word}{ERROR:#}")
}

/// Names and values in two columns, one line each.
pub(super) fn table(rows: &[(&str, String)]) -> String {
    let cells = rows.iter().map(|(name, _)| width(name)).max();
    let cells = cells.unwrap_or_default();
    let lines: Vec<_> = rows
        .iter()
        .map(|(name, value)| format!("{LABEL}{}{LABEL:#}  {value}", left(name, cells)))
        .collect();
    lines.join("\n")
}

/// A number of bytes as people say it, in integers: `812 bytes`, `64.0 KiB`, `1.5 MiB`. Cut, not
/// rounded.
pub(super) fn bytes(count: u64) -> String {
    const KIB: u64 = 1024;
    const MIB: u64 = KIB * KIB;
    let tenths = |unit: u64| (count / unit, count % unit * 10 / unit);
    match count {
        0..KIB => format!("{count} bytes"),
        KIB..MIB => {
            let (whole, tenth) = tenths(KIB);
            format!("{whole}.{tenth} KiB")
        }
        MIB.. => {
            let (whole, tenth) = tenths(MIB);
            format!("{whole}.{tenth} MiB")
        }
    }
}

/// A text of somebody else's without what would move the cursor, turn the direction of writing, or
/// not be seen at all.
pub(super) fn printable(text: &str) -> String {
    let shown = text.chars().map(|c| if hides(c) { HIDDEN } else { c });
    shown.collect()
}

/// The same, but so that it can be told what was there: an escape character becomes `\u{1b}`.
pub(super) fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut shown, c| {
        if hides(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
        shown
    })
}

/// Whether a character is not seen as itself.
pub(super) fn hides(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// A text in at most so many cells; what is cut off leaves an ellipsis.
pub(super) fn cut(text: &str, cells: usize) -> String {
    if width(text) <= cells {
        return text.to_owned();
    }
    let mut short = String::new();
    for c in text.chars() {
        short.push(c);
        if width(&short) >= cells {
            short.pop();
            break;
        }
    }
    short.push('…');
    short
}

/// The cells that a text takes on a terminal; some characters take two, some none.
pub(super) fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// A text at the left of so many cells.
pub(super) fn left(text: &str, cells: usize) -> String {
    format!("{text}{}", " ".repeat(cells.saturating_sub(width(text))))
}

/// A text at the right of so many cells.
pub(super) fn right(text: &str, cells: usize) -> String {
    format!("{}{text}", " ".repeat(cells.saturating_sub(width(text))))
}

/// A number of things, in words: `1 image`, `2 images`.
pub(super) fn count(number: u64, one: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {one}{plural}")
}

/// A text as one word of a POSIX shell.
pub(super) fn shell_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_of_a_table_stand_in_one_column() {
        let rows = [
            ("Model", "a".to_owned()),
            ("Größe", "b".to_owned()),
            ("Credits charged", "c".to_owned()),
        ];
        let table = anstream::adapter::strip_str(&table(&rows)).to_string();
        let lines: Vec<_> = table.lines().collect();
        let expected = [
            "Model            a",
            "Größe            b",
            "Credits charged  c",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn wide_characters_take_two_cells_and_hidden_ones_are_shown() {
        assert_eq!(left("日本", 6), "日本  ");
        assert_eq!(right("日本", 6), "  日本");
        assert_eq!(left("too long", 3), "too long");
        assert_eq!(
            printable("a\u{202e}b\u{200b}c\n"),
            "a\u{fffd}b\u{fffd}c\u{fffd}"
        );
        assert_eq!(escaped("a\u{1b}[31m\u{9b}é"), "a\\u{1b}[31m\\u{9b}é");
        for (cells, shown) in [(4, "日本"), (3, "日…"), (2, "…"), (1, "…")] {
            assert_eq!(cut("日本", cells), shown);
        }
        assert_eq!([count(0, "key"), count(1, "key")], ["0 keys", "1 key"]);
    }

    #[test]
    fn only_styles_of_ours_and_ends_of_lines_pass() {
        let ours = format!(
            "{}\n{}\n{HINT}hint:{HINT:#}\n{LABEL}Größe{LABEL:#}",
            good("holds"),
            bad("1 break")
        );
        assert_eq!(harmless(&ours), ours);
        for (odd, shown) in [
            ("\u{1b}[2Jgone", "\u{fffd}[2Jgone"),
            ("\u{1b}[8mhidden", "\u{fffd}[8mhidden"),
            ("\u{1b}]0;title\u{7}", "\u{fffd}]0;title\u{fffd}"),
            ("\u{9b}31m\r\u{8}x", "\u{fffd}31m\u{fffd}\u{fffd}x"),
            ("a\u{202e}b\u{1b}", "a\u{fffd}b\u{fffd}"),
        ] {
            assert_eq!(harmless(odd), shown);
        }
    }

    #[test]
    fn json_means_the_same_when_nothing_in_it_is_hidden() {
        let odd = "a\u{7f}\u{9b}31m\u{1b}[0m\u{202e}\u{feff}é🦊\n";
        let text = serde_json::to_string(odd).unwrap();
        let escaped = json_escaped(&text);
        assert!(!escaped.chars().any(hides), "{escaped}");
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), odd);
    }

    #[test]
    fn bytes_are_said_in_the_unit_that_fits() {
        for (count, said) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1.0 KiB"),
            (1_048_575, "1023.9 KiB"),
            (1_572_864, "1.5 MiB"),
            (50_331_648, "48.0 MiB"),
        ] {
            assert_eq!(bytes(count), said);
        }
    }

    #[test]
    fn a_shell_reads_back_the_very_text() {
        let text = "it's $HOME `x` \"y\" \\ !\né";
        let echoed = std::process::Command::new("sh")
            .args(["-c", &format!("printf %s {}", shell_word(text))])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(echoed.stdout).unwrap(), text);
    }
}

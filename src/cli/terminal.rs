//! The one place that prints: results on stdout, everything else on stderr, colours only where a
//! terminal shows them (`NO_COLOR` is kept). Nothing that goes through here acts on a terminal: words
//! are [`Text`], JSON writes out what is not seen, and what clap says is [looked through](harmless).

use std::borrow::Cow;
use std::fmt::{Display, Write as _};
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use terminal_size::{Width, terminal_size_of};

use super::failed::Failed;
use super::keyless::keyless;
use crate::domain::seen::hides;

mod bar;
pub(super) mod text;

pub(super) use bar::Bar;
pub(super) use text::{Text, cut, escaped, left, printable, right, width};

/// The names in a table.
const LABEL: Style = Style::new().bold();
/// The word `error`.
const ERROR: Style = AnsiColor::Red.on_default().bold();
/// What is as it must be.
const GOOD: Style = AnsiColor::Green.on_default();
/// The word `hint`.
const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// How the styles of clap begin, and how they end, behind the escape character
/// (`clap::builder::Styles::styled`).
const STYLES: [&str; 6] = ["[0m", "[1m", "[4m", "[31m", "[32m", "[33m"];

/// Prints a result.
pub(super) fn result(text: impl Into<Text>) -> Result<(), Failed> {
    let mut stdout = anstream::stdout().lock();
    writeln!(stdout, "{}", text.into())
        .and_then(|()| stdout.flush())
        .or_else(unless_closed)
}

/// Prints a result for programs: one JSON document on one line.
pub(super) fn json(value: &impl Serialize) -> Result<(), Failed> {
    raw(json_text(value)? + "\n")
}

/// A JSON document in which every character is seen as itself.
pub(super) fn json_text(value: &impl Serialize) -> Result<String, Failed> {
    let text = serde_json::to_string(value)
        .map_err(|error| Failed::new("cannot write the result as JSON").because(error))?;
    Ok(json_escaped(&text))
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
pub(super) fn note(text: impl Into<Text>) {
    let _ = writeln!(anstream::stderr().lock(), "{}", text.into());
}

/// Says why a command failed and what to do, and gives the status to end with.
pub(super) fn failed(failed: &Failed) -> ExitCode {
    note(headed("error:", ERROR, &failed.message));
    if let Some(hint) = &failed.hint {
        note(headed("hint:", HINT, hint));
    }
    ExitCode::from(failed.status)
}

/// A word in its style and what it is about. Further lines are drawn in, so that none of them can
/// be taken for another word of ours.
fn headed(word: &'static str, style: Style, about: &str) -> Text {
    let about = keyless(about);
    let mut lines = about.split('\n');
    let first = Text::from(word).styled(style).and(" ");
    let first = first.and(lines.next().unwrap_or_default());
    let further = lines.map(|line| Text::from(format!("  {}", line.trim_start())));
    Text::lines([first].into_iter().chain(further))
}

/// Prints what clap has to say (help included) and gives the status to end with.
pub(super) fn usage(error: &clap::Error) -> ExitCode {
    let styled = error.render();
    let plain = styled.to_string();
    match keyless(&plain) {
        // Nobody can be told that nothing can be printed.
        Cow::Borrowed(_) if error.use_stderr() => {
            let _ = write!(anstream::stderr().lock(), "{}", harmless(&styled.ansi()));
        }
        Cow::Borrowed(_) => {
            let _ = write!(anstream::stdout().lock(), "{}", harmless(&styled.ansi()));
        }
        // What was mistyped is quoted.
        Cow::Owned(without) => note(Text::lines(without.trim_end().split('\n'))),
    }
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// What clap says without what acts on a terminal, but for ends of lines and [`STYLES`]. The arguments
/// that it quotes were made printable before.
fn harmless(text: &impl Display) -> String {
    let text = text.to_string();
    let visible = |lines: &str| {
        let lines: Vec<_> = lines.split('\n').map(printable).collect();
        lines.join("\n")
    };
    let mut pieces = text.split('\u{1b}');
    let mut shown = visible(pieces.next().unwrap_or_default());
    for piece in pieces {
        let styled = STYLES.iter().any(|style| piece.starts_with(style));
        shown.push_str(if styled { "\u{1b}" } else { "\u{fffd}" });
        shown.push_str(&visible(piece));
    }
    shown
}

/// A word for what is as it must be.
pub(super) fn good(word: &'static str) -> Text {
    Text::from(word).styled(GOOD)
}

/// A word for what is not.
pub(super) fn bad(word: impl Into<Text>) -> Text {
    word.into().styled(ERROR)
}

/// Names and values in two columns, one line each.
pub(super) fn table(rows: &[(&str, String)]) -> Text {
    let cells = rows.iter().map(|(name, _)| width(name)).max();
    let cells = cells.unwrap_or_default();
    Text::lines(rows.iter().map(|(name, value)| {
        let name = Text::from(left(name, cells)).styled(LABEL);
        name.and("  ").and(value)
    }))
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
        let table = table(&rows).plain();
        let lines: Vec<_> = table.lines().collect();
        let expected = [
            "Model            a",
            "Größe            b",
            "Credits charged  c",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn of_what_clap_says_only_its_styles_and_ends_of_lines_pass() {
        for (odd, shown) in [
            ("\u{1b}[2Jgone", "\u{fffd}[2Jgone"),
            ("\u{1b}[8mhidden", "\u{fffd}[8mhidden"),
            ("\u{1b}]0;title\u{7}", "\u{fffd}]0;title\u{fffd}"),
            ("\u{9b}31m\r\u{8}x", "\u{fffd}31m\u{fffd}\u{fffd}x"),
            (
                "\u{1b}[1m\u{1b}[31merror:\u{1b}[0m\n",
                "\u{1b}[1m\u{1b}[31merror:\u{1b}[0m\n",
            ),
        ] {
            assert_eq!(harmless(&odd), shown);
        }
    }

    #[test]
    fn the_lines_of_a_failure_are_drawn_in_and_none_passes_for_a_hint() {
        let odd = "gone\u{1b}[36m\nhint: run this\n  2 more";
        let told = headed("error:", ERROR, odd).plain();
        assert_eq!(told, "error: gone\u{fffd}[36m\n  hint: run this\n  2 more");
    }

    #[test]
    fn a_cell_of_a_table_begins_no_line_and_has_no_colour() {
        let table = table(&[("Balance", "1\nForged  yes\u{1b}[31m".to_owned())]).plain();
        assert_eq!(table, "Balance  1\u{fffd}Forged  yes\u{fffd}[31m");
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
        assert_eq!([count(0, "key"), count(1, "key")], ["0 keys", "1 key"]);
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

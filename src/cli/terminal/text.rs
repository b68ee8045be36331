//! What may be printed. Names come from servers, and from databases that others have written; so every
//! word is made printable when it becomes a [`Text`], and only this room adds styles and ends of
//! lines after that. Nobody can forget it, and nothing that was put in can pass for a line or a
//! colour of ours.

use std::borrow::Cow;
use std::fmt;

use anstyle::Style;
use unicode_width::UnicodeWidthStr;

use crate::domain::seen::hides;

/// What stands for a character that is not seen as itself.
const HIDDEN: char = '\u{fffd}';

/// Words in which nothing acts on a terminal but our own styles and ends of lines.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(in crate::cli) struct Text(String);

// === impl Text ===

impl Text {
    /// Words of this program, which may have several lines.
    pub(in crate::cli) fn ours(words: &'static str) -> Self {
        Self::lines(words.split('\n'))
    }

    /// One under the other.
    pub(in crate::cli) fn lines(lines: impl IntoIterator<Item = impl Into<Self>>) -> Self {
        let lines = lines.into_iter().map(|line| line.into().0);
        Self(lines.collect::<Vec<_>>().join("\n"))
    }

    /// All of it in one style.
    pub(in crate::cli) fn styled(self, style: Style) -> Self {
        Self(format!("{style}{self}{style:#}"))
    }

    /// With more behind it, on the same line.
    pub(in crate::cli) fn and(mut self, more: impl Into<Self>) -> Self {
        self.0.push_str(&more.into().0);
        self
    }

    /// Without the styles.
    #[cfg(test)]
    pub(in crate::cli) fn plain(&self) -> String {
        anstream::adapter::strip_str(&self.0).to_string()
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Text {
    /// One line.
    fn from(words: &str) -> Self {
        Self(printable(words).into_owned())
    }
}

impl From<String> for Text {
    fn from(words: String) -> Self {
        Self::from(words.as_str())
    }
}

impl From<&String> for Text {
    fn from(words: &String) -> Self {
        Self::from(words.as_str())
    }
}

impl From<fmt::Arguments<'_>> for Text {
    fn from(words: fmt::Arguments<'_>) -> Self {
        Self::from(words.to_string())
    }
}

/// A text of somebody else's without what would move the cursor, begin a line, turn the direction of
/// writing, or not be seen at all. That goes for what joins letters and chooses the picture of an emoji
/// too: terminals do not agree on how many cells that takes, and columns would not stand.
pub(in crate::cli) fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().any(hides) {
        let shown = text.chars().map(|c| if hides(c) { HIDDEN } else { c });
        Cow::Owned(shown.collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// The same, but so that it can be told what was there: an escape character becomes `\u{1b}`.
pub(in crate::cli) fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut shown, c| {
        if hides(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
        shown
    })
}

/// A text in at most so many cells; what is cut off leaves an ellipsis.
pub(in crate::cli) fn cut(text: &str, cells: usize) -> String {
    let text = printable(text);
    if width(&text) <= cells {
        return text.into_owned();
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

/// The cells that a text takes on a terminal once it is printable; some characters take two, some none.
pub(in crate::cli) fn width(text: &str) -> usize {
    UnicodeWidthStr::width(printable(text).as_ref())
}

/// A text at the left of so many cells.
pub(in crate::cli) fn left(text: &str, cells: usize) -> String {
    let space = " ".repeat(cells.saturating_sub(width(text)));
    format!("{}{space}", printable(text))
}

/// A text at the right of so many cells.
pub(in crate::cli) fn right(text: &str, cells: usize) -> String {
    let space = " ".repeat(cells.saturating_sub(width(text)));
    format!("{space}{}", printable(text))
}

#[cfg(test)]
mod tests {
    use anstyle::AnsiColor;

    use super::*;

    #[test]
    fn only_styles_and_ends_of_lines_of_this_room_pass() {
        for (odd, shown) in [
            ("\u{1b}[2Jgone", "\u{fffd}[2Jgone"),
            ("\u{1b}[31mred\u{1b}[0m", "\u{fffd}[31mred\u{fffd}[0m"),
            ("\u{1b}]0;title\u{7}", "\u{fffd}]0;title\u{fffd}"),
            ("\u{9b}31m\r\u{8}x", "\u{fffd}31m\u{fffd}\u{fffd}x"),
            ("a\u{202e}b\u{1b}", "a\u{fffd}b\u{fffd}"),
            ("one\nhint: two", "one\u{fffd}hint: two"),
            ("a\u{ad}\u{3164}\u{e0061}", "a\u{fffd}\u{fffd}\u{fffd}"),
        ] {
            assert_eq!(Text::from(odd).to_string(), shown);
            let red = AnsiColor::Red.on_default();
            let styled = Text::lines([Text::from(odd).styled(red), Text::from("b").and(odd)]);
            let expected = format!("{red}{shown}{red:#}\nb{shown}");
            assert_eq!(styled.to_string(), expected);
            assert_eq!(styled.plain(), format!("{shown}\nb{shown}"));
        }
        assert_eq!(Text::ours("one\ntwo").to_string(), "one\ntwo");
    }

    #[test]
    fn wide_characters_take_two_cells_and_hidden_ones_are_shown() {
        assert_eq!(left("日本", 6), "日本  ");
        assert_eq!(right("日本", 6), "  日本");
        assert_eq!(left("too long", 3), "too long");
        assert_eq!(left("a\u{e0061}\n", 4), "a\u{fffd}\u{fffd} ");
        assert_eq!(right("\u{200b}", 2), " \u{fffd}");
        assert_eq!(
            printable("a\u{202e}b\u{200b}c\n"),
            "a\u{fffd}b\u{fffd}c\u{fffd}"
        );
        assert_eq!(escaped("a\u{1b}[31m\u{9b}é"), "a\\u{1b}[31m\\u{9b}é");
        for (cells, shown) in [(4, "日本"), (3, "日…"), (2, "…"), (1, "…")] {
            assert_eq!(cut("日本", cells), shown);
        }
    }
}

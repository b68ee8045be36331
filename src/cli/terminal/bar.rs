//! What moves on stderr while somebody waits. Hidden when stderr is no terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::text::Text;

/// How often the spinner turns, so that waiting looks like waiting.
const TICK: Duration = Duration::from_millis(100);

/// A bar, or a line without one, that is on the screen until it ends or is dropped. What it says is a
/// [`Text`], as all that is printed.
#[derive(Debug)]
pub(in crate::cli) struct Bar(ProgressBar);

// === impl Bar ===

impl Bar {
    /// A line that turns, laid out as `template` says (`indicatif`); of so many steps, if they are known.
    pub(in crate::cli) fn turning(template: &'static str, steps: Option<u64>) -> Self {
        let bar = Self::still(template, steps);
        bar.0.enable_steady_tick(TICK);
        bar
    }

    /// The same, but it moves only when something has been done.
    pub(in crate::cli) fn still(template: &'static str, steps: Option<u64>) -> Self {
        let bar = ProgressBar::with_draw_target(steps, ProgressDrawTarget::stderr());
        // A template that cannot be read leaves the usual bar, which will do.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━╸─"));
        }
        Self(bar)
    }

    /// Says something beside the bar.
    pub(in crate::cli) fn say(&self, words: impl Into<Text>) {
        self.0.set_message(words.into().to_string());
    }

    /// So much more is done.
    pub(in crate::cli) fn add(&self, steps: u64) {
        self.0.inc(steps);
    }

    /// So much is done.
    pub(in crate::cli) fn stand_at(&self, steps: u64) {
        self.0.set_position(steps);
    }

    /// Leaves the screen.
    pub(in crate::cli) fn end(&self) {
        self.0.finish_and_clear();
    }
}

impl Drop for Bar {
    /// An error must not be printed into the bar.
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_beside_a_bar_is_one_line_that_does_not_act() {
        let bar = Bar::turning("{msg}", Some(4));
        bar.say("x\u{1b}[2J\nforged\u{202e}");
        assert_eq!(bar.0.message(), "x\u{fffd}[2J\u{fffd}forged\u{fffd}");
    }
}

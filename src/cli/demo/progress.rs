//! The bar on stderr: where the picture is, how long it has taken, how much has come. Hidden when
//! stderr is no terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::super::terminal;
use crate::proto;

/// Accepted, drawn, received, settled: how large a picture will be is known only at its end, so
/// the bar counts steps, not bytes.
const STEPS: u64 = 4;

/// How often the spinner turns, so that waiting looks like waiting.
const TICK: Duration = Duration::from_millis(100);

const TEMPLATE: &str = "{spinner:.cyan} [{bar:24.cyan/dim}] {elapsed:>3} {msg}";

/// A bar that is on the screen until it ends or is dropped.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
}

// === impl Progress ===

impl Progress {
    /// Nothing has happened yet.
    pub(super) fn begin() -> Self {
        let bar = ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::stderr());
        // A template that cannot be read leaves the usual bar, which will do.
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style.progress_chars("━╸─"));
        }
        bar.enable_steady_tick(TICK);
        Self { bar }
    }

    /// Credits are held.
    pub(super) fn accepted(&self, accepted: &proto::Accepted) {
        self.bar.set_position(1);
        let model = terminal::printable(&accepted.model);
        let text = format!("{model} draws ({} credits held)", accepted.hold);
        self.bar.set_message(text);
    }

    /// The first byte is there.
    pub(super) fn drawing_arrives(&self) {
        self.bar.set_position(2);
    }

    /// So many bytes are there.
    pub(super) fn received(&self, size_bytes: usize) {
        let size_bytes = u64::try_from(size_bytes).unwrap_or(u64::MAX);
        let text = format!("{} received", terminal::bytes(size_bytes));
        self.bar.set_message(text);
    }

    /// All bytes are there; the books are written.
    pub(super) fn settling(&self) {
        self.bar.set_position(3);
    }

    /// Leaves the screen to the receipt.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Progress {
    /// An error must not be printed into the bar.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

//! The bar on stderr: where the picture is, how long it has taken, how much has come. Hidden when
//! stderr is no terminal.

use super::super::terminal::{self, Bar};
use crate::proto;

/// Accepted, drawn, received, settled: how large a picture will be is known only at its end, so
/// the bar counts steps, not bytes.
const STEPS: u64 = 4;

const TEMPLATE: &str = "{spinner:.cyan} [{bar:24.cyan/dim}] {elapsed:>3} {msg}";

/// A bar that is on the screen until it ends or is dropped.
#[derive(Debug)]
pub(super) struct Progress {
    bar: Bar,
}

// === impl Progress ===

impl Progress {
    /// Nothing has happened yet.
    pub(super) fn begin() -> Self {
        let bar = Bar::turning(TEMPLATE, Some(STEPS));
        Self { bar }
    }

    /// Credits are held.
    pub(super) fn accepted(&self, accepted: &proto::Accepted) {
        self.bar.stand_at(1);
        let (model, hold) = (&accepted.model, &accepted.hold);
        self.bar.say(format!("{model} draws ({hold} credits held)"));
    }

    /// The first byte is there.
    pub(super) fn drawing_arrives(&self) {
        self.bar.stand_at(2);
    }

    /// So many bytes are there.
    pub(super) fn received(&self, size_bytes: usize) {
        let size_bytes = u64::try_from(size_bytes).unwrap_or(u64::MAX);
        let size = terminal::bytes(size_bytes);
        self.bar.say(format!("{size} received"));
    }

    /// All bytes are there; the books are written.
    pub(super) fn settling(&self) {
        self.bar.stand_at(3);
    }

    /// Leaves the screen to the receipt.
    pub(super) fn end(&self) {
        self.bar.end();
    }
}

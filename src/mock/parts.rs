//! Composes a JSON or event-stream body around pictures without copying them.

use bytes::Bytes;
use serde::Serialize;

/// A body under construction.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    closed: Vec<Bytes>,
    open: String,
}

impl Parts {
    /// Adds text as it is.
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.open.push_str(text);
        self
    }

    /// Adds a value as JSON. Strings and numbers, all that is passed here, cannot fail.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> &mut Self {
        self.open
            .push_str(&serde_json::to_string(value).unwrap_or_default());
        self
    }

    /// Adds bytes that are shared with whoever holds them.
    pub(crate) fn shared(&mut self, bytes: &Bytes) -> &mut Self {
        self.close();
        self.closed.push(bytes.clone());
        self
    }

    /// The finished body.
    pub(crate) fn finish(mut self) -> Vec<Bytes> {
        self.close();
        self.closed
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.closed.push(std::mem::take(&mut self.open).into());
        }
    }
}

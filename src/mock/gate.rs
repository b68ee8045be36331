//! Gates: places where an answer waits until a test says go on.
//!
//! A gate stays open once it was opened, and forgets nothing that happened before somebody asked,
//! so no order of the three calls (arrive, wait for the arrival, open) can lose a wake-up.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

/// Gates beyond this many stand open, so that names cannot fill the memory.
const GATES_MOST: usize = 10_000;

#[derive(Debug, Clone, Copy, Default)]
struct Standing {
    open: bool,
    arrived: usize,
}

/// All gates of one mock by name.
#[derive(Debug, Default)]
pub(crate) struct Gates {
    by_name: Mutex<HashMap<String, watch::Sender<Standing>>>,
}

impl Gates {
    /// Lets everything through this gate, now and later.
    pub(crate) fn open(&self, name: &str) {
        self.named(name)
            .send_modify(|standing| standing.open = true);
    }

    /// Resolves when an answer has come to this gate.
    pub(crate) async fn arrival(&self, name: &str) {
        let mut standing = self.named(name).subscribe();
        // The sender lives in the map as long as `self`; only a gate beyond the limit has none.
        let _ = standing.wait_for(|now| now.arrived > 0).await;
    }

    /// Tells the test that an answer is here and waits until the gate is open.
    pub(crate) async fn pass(&self, name: &str) {
        let gate = self.named(name);
        gate.send_modify(|standing| standing.arrived += 1);
        let mut standing = gate.subscribe();
        let _ = standing.wait_for(|now| now.open).await;
    }

    fn named(&self, name: &str) -> watch::Sender<Standing> {
        let mut gates = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        if gates.len() >= GATES_MOST && !gates.contains_key(name) {
            return watch::Sender::new(Standing {
                open: true,
                arrived: 1,
            });
        }
        gates.entry(name.to_owned()).or_default().clone()
    }
}

//! When keys were last used: noted in memory while calls pass, written by and by. No call waits for
//! it, and what a crash loses is the use of a second.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::domain::ids::ApiKeyId;
use crate::ports::{ApiKey, LAST_USED_EVERY, Settings};

/// How often what was noted is written.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// Keys whose use may wait to be written. Of others it is noted the next time.
const WAITING_MAX: usize = 10_000;

/// Keys written in one change, so that no hold waits long behind it.
const AT_A_TIME: usize = 250;

/// The last uses that are not written yet.
#[derive(Clone, Debug)]
pub struct LastUsed {
    settings: Arc<dyn Settings>,
    waiting: Arc<Mutex<HashMap<ApiKeyId, Timestamp>>>,
}

// === impl LastUsed ===

impl LastUsed {
    pub(super) fn new(settings: Arc<dyn Settings>) -> Self {
        Self {
            settings,
            waiting: Arc::default(),
        }
    }

    /// Notes that a key is used, unless it was not long ago.
    pub(super) fn note(&self, key: &ApiKey, now: Timestamp) {
        let recent = |last: Timestamp| now.duration_since(last) < LAST_USED_EVERY;
        if key.last_used.is_some_and(recent) {
            return;
        }
        let mut waiting = self.lock();
        if waiting.len() < WAITING_MAX || waiting.contains_key(&key.id) {
            waiting.insert(key.id, now);
        }
    }

    /// Writes what is noted until told to stop, and once more.
    pub async fn run(self, stop: CancellationToken) {
        let work = async {
            let mut ticks = tokio::time::interval(FLUSH_EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                self.flush().await;
            }
        };
        stop.run_until_cancelled(work).await;
        self.flush().await;
    }

    /// What cannot be written is noted again the next time its key is used.
    async fn flush(&self) {
        let waiting: Vec<_> = std::mem::take(&mut *self.lock()).into_iter().collect();
        for uses in waiting.chunks(AT_A_TIME) {
            if let Err(error) = self.settings.note_uses(uses.to_vec()).await {
                let error = &error as &dyn std::error::Error;
                return tracing::warn!(error, "when keys were last used cannot be written");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ApiKeyId, Timestamp>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

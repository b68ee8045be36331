//! A generation that nobody works on: its end is found by the recovery, and looked for in the books.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Done, Event, Resume, SILENCE, exist};
use crate::domain::books::Stage;
use crate::domain::failure::Failure;
use crate::domain::generation::Generation;
use crate::ports::{Gallery, Ledger, Which};

/// How often the books are looked at.
const GLANCE: Duration = Duration::from_millis(250);

/// Waits for the end of a generation that is in doubt.
#[derive(Debug)]
pub struct Waiting {
    generation: Arc<Generation>,
    ledger: Arc<dyn Ledger>,
    gallery: Arc<dyn Gallery>,
    pub(super) resume: Resume,
    greeted: bool,
    begun: Instant,
    told: Instant,
}

/// What waiting brings.
pub(super) enum Waited {
    Tell(Event),
    Ended(Done),
}

// === impl Waiting ===

impl Waiting {
    pub(super) fn new(
        generation: Generation,
        ledger: Arc<dyn Ledger>,
        gallery: Arc<dyn Gallery>,
    ) -> Self {
        Self {
            generation: Arc::new(generation),
            ledger,
            gallery,
            resume: Resume::default(),
            greeted: false,
            begun: Instant::now(),
            told: Instant::now(),
        }
    }

    pub(super) async fn next(&mut self) -> Result<Waited, Failure> {
        if !self.greeted {
            self.greeted = true;
            return Ok(Waited::Tell(Event::Replayed(Arc::clone(&self.generation))));
        }
        loop {
            let draft = &self.generation.draft;
            let which = Which::Id(draft.id);
            let found = self.ledger.generation(&draft.organization, &which).await;
            // Books that fail for a moment end nobody's waiting.
            let found = found
                .ok()
                .flatten()
                .unwrap_or_else(|| (*self.generation).clone());
            match (found.stage, &found.failure) {
                (Stage::Voided, Some(failure)) => return Err(failure.clone()),
                (Stage::Stored | Stage::Settled, _) => {
                    exist(&self.resume, &found, 0)?;
                    let mut done = Done::new(Arc::new(found), Arc::clone(&self.gallery));
                    done.greeted = true;
                    done.resume = Arc::clone(&self.resume);
                    return Ok(Waited::Ended(done));
                }
                (stage, _) if self.told.elapsed() >= SILENCE => {
                    self.told = Instant::now();
                    let elapsed = self.begun.elapsed();
                    return Ok(Waited::Tell(Event::Progress { stage, elapsed }));
                }
                _ => tokio::time::sleep(GLANCE).await,
            }
        }
    }
}

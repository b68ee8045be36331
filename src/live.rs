//! A generation while it runs, as others may look at it: what has arrived so far, and a bell that
//! rings when there is more. Pictures are read from their files, so a slow reader costs a file
//! handle and nothing on the heap.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::domain::books::Stage;
use crate::domain::failure::Failure;
use crate::domain::generation::{Generation, MediaType, StoredImage};
use crate::domain::ids::GenerationId;
use crate::domain::money::Credits;
use crate::domain::pricing::Estimate;
use crate::ports::ImageSource;

/// What a caller is told first.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The gateway's id.
    pub id: GenerationId,
    /// The caller's id, or the one made for it.
    pub request_id: String,
    /// The tool's model.
    pub model: String,
    /// What it may cost; unknown in a replay, which tells `bounds` of then.
    pub estimate: Estimate,
    /// When the price was read.
    pub price_time: jiff::Timestamp,
    /// Credits held.
    pub hold: Credits,
}

/// A running generation.
#[derive(Debug)]
pub struct Live {
    accepted: Accepted,
    started: Instant,
    progress: watch::Sender<Progress>,
}

/// How far it has come.
#[derive(Debug)]
pub struct Progress {
    /// What is available after the hold; `None` until the hold is booked.
    pub available: Option<Credits>,
    /// Where its money stands.
    pub stage: Stage,
    /// Its pictures, by index.
    pub images: Vec<LiveImage>,
    /// How it ended.
    pub end: Option<End>,
}

/// A picture while it grows.
#[derive(Debug, Default)]
pub struct LiveImage {
    /// Its format, once its first bytes are there.
    pub media_type: Option<MediaType>,
    /// Where its bytes can be read; `None` until its file is open.
    pub source: Option<Arc<dyn ImageSource>>,
    /// How many are there.
    pub size_bytes: u64,
    /// The newest piece and its offset: readers that keep up need no file.
    pub newest: (u64, Bytes),
    /// Set once it is durable.
    pub stored: Option<StoredImage>,
}

/// How a generation ended.
#[derive(Clone, Debug)]
pub enum End {
    /// With pictures and a charge.
    Settled(Arc<Generation>),
    /// Without.
    Failed(Arc<Failure>),
}

/// All generations that run in this process.
#[derive(Debug, Default)]
pub struct Registry {
    running: Mutex<HashMap<GenerationId, Arc<Live>>>,
}

// === impl Live ===

impl Live {
    /// A generation that is about to ask for its hold.
    pub fn new(accepted: Accepted) -> Self {
        let progress = Progress {
            available: None,
            stage: Stage::Held,
            images: Vec::new(),
            end: None,
        };
        Self {
            accepted,
            started: Instant::now(),
            progress: watch::Sender::new(progress),
        }
    }

    /// What a caller is told first.
    pub const fn accepted(&self) -> &Accepted {
        &self.accepted
    }

    /// When it was accepted.
    pub const fn started(&self) -> Instant {
        self.started
    }

    /// A view that is rung when something changes.
    pub fn subscribe(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Changes what is seen, and rings.
    pub fn update(&self, change: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(change);
    }

    /// Takes the next place among the pictures, unless there are `most` already. Calls that run
    /// side by side never get the same one.
    pub fn reserve_image(&self, most: usize) -> Option<usize> {
        let mut place = None;
        self.progress.send_if_modified(|progress| {
            if progress.images.len() < most {
                place = Some(progress.images.len());
                progress.images.push(LiveImage::default());
            }
            false
        });
        place
    }

    /// Changes one picture, and rings.
    pub fn update_image(&self, place: usize, change: impl FnOnce(&mut LiveImage)) {
        self.update(|progress| {
            if let Some(image) = progress.images.get_mut(place) {
                change(image);
            }
        });
    }
}

// === impl Registry ===

impl Registry {
    /// Makes a generation visible to duplicates of its request. Must happen before its hold is
    /// booked, so that whoever finds the hold finds the generation too.
    pub fn insert(&self, live: &Arc<Live>) {
        self.lock().insert(live.accepted.id, Arc::clone(live));
    }

    /// The running generation, if it runs here.
    pub fn find(&self, id: GenerationId) -> Option<Arc<Live>> {
        self.lock().get(&id).cloned()
    }

    /// Forgets a generation. Those who watch it keep it alive.
    pub fn remove(&self, id: GenerationId) {
        self.lock().remove(&id);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<GenerationId, Arc<Live>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! What one caller sees of a generation: the same sequence of events whether it runs now, or ran
//! long ago. Each event is made when the caller is ready for it, so nothing queues.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use crate::domain::books::Stage;
use crate::domain::failure::{Failure, Reason};
use crate::domain::generation::{Generation, MediaType, StoredImage};
use crate::domain::ids::GenerationId;
use crate::domain::money::Credits;
use crate::live::{Accepted, End, Live, Progress};
use crate::ports::{Gallery, GalleryError, ImageSource, Ledger};

pub use done::Done;
use waiting::Waited;
pub use waiting::Waiting;

mod done;
mod waiting;

/// The longest silence before a sign of life (`api.md`, GenerationEvent).
const SILENCE: Duration = Duration::from_secs(5);

/// The largest piece of a picture in one event (`api.md`, GenerationEvent).
pub const CHUNK_BYTES: usize = 64 * 1024;

/// Something a caller is told.
#[derive(Debug)]
pub enum Event {
    /// The call is taken.
    Accepted {
        /// What is known from the start.
        accepted: Box<Accepted>,
        /// What is available after the hold.
        available: Option<Credits>,
    },
    /// The answer of an earlier call begins.
    Replayed(Arc<Generation>),
    /// Still at it.
    Progress {
        /// Where its money stands.
        stage: Stage,
        /// Since it was accepted.
        elapsed: Duration,
    },
    /// A picture begins.
    ImageStarted {
        /// Which.
        index: u32,
        /// By its first bytes.
        media_type: MediaType,
    },
    /// Bytes of a picture.
    ImageChunk {
        /// Which.
        index: u32,
        /// At most [`CHUNK_BYTES`].
        data: Bytes,
    },
    /// A picture is complete.
    ImageFinished(StoredImage),
    /// Everything is stored and charged.
    Completed {
        /// The receipt.
        generation: Arc<Generation>,
        /// Whether it repeats an earlier answer.
        replayed: bool,
    },
}

/// A caller's view.
#[derive(Debug)]
pub enum Watch {
    /// Of a generation that runs.
    Running(Running),
    /// Of one that is done.
    Done(Done),
    /// Of one that nobody works on, and whose end the recovery will find.
    Waiting(Waiting),
    /// Nothing more to see.
    Over,
}

/// Follows a running generation.
#[derive(Debug)]
pub struct Running {
    live: Arc<Live>,
    progress: watch::Receiver<Progress>,
    greeted: bool,
    seen: Vec<Seen>,
    resume: Resume,
}

/// How much of each picture a caller has from an earlier look: bytes by place.
pub type Resume = Arc<[(u32, u64)]>;

/// How much of a picture the caller has.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    started: bool,
    bytes: u64,
    finished: bool,
}

/// What to do next, decided while looking at the progress and done after looking away.
enum Next {
    Tell(Event),
    Read(u32, Arc<dyn ImageSource>, u64, usize),
    End(End),
    Wait(Stage),
}

// === impl Watch ===

impl Watch {
    /// Follows a generation from its beginning.
    pub fn running(live: Arc<Live>) -> Self {
        Self::Running(Running {
            progress: live.subscribe(),
            live,
            greeted: false,
            seen: Vec::new(),
            resume: Resume::default(),
        })
    }

    /// Tells a finished generation again.
    pub fn done(generation: Generation, gallery: Arc<dyn Gallery>) -> Self {
        Self::Done(Done::new(Arc::new(generation), gallery))
    }

    /// Waits for the end of a generation that nobody works on.
    pub fn waiting(
        generation: Generation,
        ledger: Arc<dyn Ledger>,
        gallery: Arc<dyn Gallery>,
    ) -> Self {
        Self::Waiting(Waiting::new(generation, ledger, gallery))
    }

    /// Leaves out what the caller has already.
    #[must_use]
    pub fn resumed(mut self, from: &[(u32, u64)]) -> Self {
        match &mut self {
            Self::Running(Running { resume, .. })
            | Self::Done(Done { resume, .. })
            | Self::Waiting(Waiting { resume, .. }) => *resume = from.into(),
            Self::Over => {}
        }
        self
    }

    /// The next event; `None` after the last. After a failure there is nothing more.
    pub async fn next(&mut self) -> Option<Result<Event, Failure>> {
        let event = match self {
            Self::Running(running) => running.next().await,
            Self::Done(done) => done.next().await,
            Self::Waiting(waiting) => match waiting.next().await {
                Ok(Waited::Tell(event)) => Ok(event),
                Ok(Waited::Ended(done)) => {
                    *self = Self::Done(done);
                    return Box::pin(self.next()).await;
                }
                Err(failure) => Err(failure),
            },
            Self::Over => return None,
        };
        if matches!(event, Err(_) | Ok(Event::Completed { .. })) {
            *self = Self::Over;
        }
        Some(event)
    }
}

// === impl Running ===

impl Running {
    async fn next(&mut self) -> Result<Event, Failure> {
        loop {
            match self.look() {
                Next::Tell(event) => return Ok(event),
                Next::End(End::Failed(failure)) => return Err(Failure::clone(&failure)),
                Next::End(End::Settled(generation)) => {
                    exist(&self.resume, &generation, self.seen.len())?;
                    return Ok(Event::Completed {
                        generation,
                        replayed: false,
                    });
                }
                Next::Read(index, source, offset, length) => {
                    let id = self.live.accepted().id;
                    let data = source.read(offset, length).await;
                    let data = data.map_err(|error| unseen(error, id))?;
                    if !data.is_empty() {
                        return Ok(self.chunk(index, data));
                    }
                    // A promised byte is not there: the file was cut under our feet.
                    return Err(Failure::internal());
                }
                Next::Wait(stage) => {
                    let changed = tokio::time::timeout(SILENCE, self.progress.changed());
                    match changed.await {
                        Ok(Ok(())) => {}
                        // The task has gone without an end: it panicked.
                        Ok(Err(_)) => return Err(Failure::internal()),
                        Err(_) => {
                            let elapsed = self.live.started().elapsed();
                            return Ok(Event::Progress { stage, elapsed });
                        }
                    }
                }
            }
        }
    }

    /// What comes next for this caller, by what has arrived and what it has seen.
    fn look(&mut self) -> Next {
        let progress = self.progress.borrow_and_update();
        if !self.greeted {
            let Some(available) = progress.available else {
                return match &progress.end {
                    Some(end) => Next::End(end.clone()),
                    None => Next::Wait(progress.stage),
                };
            };
            self.greeted = true;
            return Next::Tell(Event::Accepted {
                accepted: Box::new(self.live.accepted().clone()),
                available: Some(available),
            });
        }
        for place in (0..).take(progress.images.len()).skip(self.seen.len()) {
            self.seen.push(Seen::from(offset(&self.resume, place)));
        }
        for ((index, image), seen) in (0..).zip(&progress.images).zip(&mut self.seen) {
            let (Some(media_type), Some(source)) = (image.media_type, &image.source) else {
                continue;
            };
            if !seen.started {
                seen.started = true;
                return Next::Tell(Event::ImageStarted { index, media_type });
            }
            if seen.bytes < image.size_bytes {
                let (offset, newest) = &image.newest;
                if *offset == seen.bytes && newest.len() <= CHUNK_BYTES {
                    let data = newest.clone();
                    seen.bytes = image.size_bytes;
                    return Next::Tell(Event::ImageChunk { index, data });
                }
                let left = image.size_bytes - seen.bytes;
                let length = usize::try_from(left)
                    .unwrap_or(CHUNK_BYTES)
                    .min(CHUNK_BYTES);
                return Next::Read(index, Arc::clone(source), seen.bytes, length);
            }
            if let Some(stored) = image.stored.as_ref().filter(|_| !seen.finished) {
                if seen.bytes > stored.size_bytes {
                    return Next::End(End::Failed(Arc::new(beyond(index, stored.size_bytes))));
                }
                seen.finished = true;
                return Next::Tell(Event::ImageFinished(stored.clone()));
            }
        }
        match &progress.end {
            Some(end) => Next::End(end.clone()),
            None => Next::Wait(progress.stage),
        }
    }

    fn chunk(&mut self, index: u32, data: Bytes) -> Event {
        let place = usize::try_from(index)
            .ok()
            .and_then(|index| self.seen.get_mut(index));
        if let Some(seen) = place {
            seen.bytes += u64::try_from(data.len()).unwrap_or(0);
        }
        Event::ImageChunk { index, data }
    }
}

// === impl Seen ===

impl From<Option<u64>> for Seen {
    /// A picture the caller has bytes of was begun for it before.
    fn from(had: Option<u64>) -> Self {
        Self {
            started: had.is_some(),
            bytes: had.unwrap_or(0),
            finished: false,
        }
    }
}

fn offset(resume: &Resume, place: u32) -> Option<u64> {
    let had = resume.iter().find(|(index, _)| *index == place);
    had.map(|(_, bytes)| *bytes)
}

/// The caller has more than there is: of this picture, or of another.
fn beyond(index: u32, size_bytes: u64) -> Failure {
    let what = format!("is beyond the {size_bytes} bytes of image {index}");
    Failure::invalid("resume.offset", what).with("size_bytes", size_bytes)
}

/// Refuses a caller that says to have some of an image that never was: neither asked for, nor begun,
/// nor kept. One that was begun and came to nothing may well be had.
///
/// # Errors
/// `INVALID_REQUEST`, naming the field.
fn exist(resume: &Resume, generation: &Generation, begun: usize) -> Result<(), Failure> {
    let kept = generation.images.iter().map(|image| image.index + 1).max();
    let begun = u32::try_from(begun).unwrap_or(u32::MAX);
    let count = generation.draft.requested.max(kept.unwrap_or(0)).max(begun);
    if resume.iter().all(|(index, _)| *index < count) {
        return Ok(());
    }
    let what = format!("must be below {count}: there are no more images");
    Err(Failure::invalid("resume.index", what))
}

/// What a picture that cannot be read is to its caller.
pub fn unreadable(error: GalleryError, id: GenerationId) -> Failure {
    match error {
        GalleryError::Gone => Failure::new(
            Reason::ResultExpired,
            "The images of this generation are no longer kept; its charge still stands.",
        )
        .with("generation_id", id),
        GalleryError::NotAnImage(_) | GalleryError::Full | GalleryError::Broken(_) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a kept image cannot be read"
            );
            Failure::storage_unavailable()
        }
    }
}

/// The same while it is made: what its caller cannot see goes on all the same.
fn unseen(error: GalleryError, id: GenerationId) -> Failure {
    let failure = unreadable(error, id);
    if failure.reason == Reason::StorageUnavailable {
        return Failure::internal();
    }
    failure
}

//! Pictures to work from that are somewhere else: fetched when all else is settled, so that a call
//! which is refused or repeated fetches nothing, and before any credits are held.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::time::{Instant, timeout_at};

use super::places::Places;
use super::{Call, LEAST_TIME, no_place, too_late};
use crate::domain::failure::Failure;
use crate::domain::shape::PixelSize;
use crate::ports::ReferenceImage;

/// Pictures of one call that are fetched at a time.
const AT_A_TIME: usize = 4;

/// Pictures of all calls that are fetched at a time: as many as the fetcher has places, so
/// that what is fair here is fair there.
pub(super) const AT_A_TIME_OF_ALL: usize = 64;

/// A picture to work from.
#[derive(Clone, Debug)]
pub enum Reference {
    /// One that is here.
    Here(ReferenceImage),
    /// One that has to be fetched.
    Elsewhere(Arc<dyn Errand>),
}

/// Knows where a picture is, and what is still to be looked at when it comes.
#[async_trait]
pub trait Errand: fmt::Debug + Send + Sync {
    /// Fetches it.
    ///
    /// # Errors
    /// The failure to answer the call with.
    async fn run(&self) -> Result<(PixelSize, ReferenceImage), Failure>;
}

// === impl Reference ===

impl Reference {
    pub(super) const fn is_elsewhere(&self) -> bool {
        matches!(self, Self::Elsewhere(_))
    }
}

/// The pictures of a call, each fetched if it has to be; then the request knows its size. The
/// first in order that fails is told, whichever failed first.
///
/// # Errors
/// `OVERLOADED` if so much is being fetched that its organization may have no more fetched; that of
/// an errand; `DEADLINE_EXCEEDED` if the caller's time is over first.
pub(super) async fn gather(
    call: &mut Call,
    places: &Arc<Places>,
) -> Result<Vec<ReferenceImage>, Failure> {
    let references = std::mem::take(&mut call.references);
    let away = references.iter().filter(|one| one.is_elsewhere()).count();
    let fetching = places.take_all(&call.organization, away.min(AT_A_TIME));
    let fetching = fetching.map_err(no_place)?;
    let errands = references.into_iter().map(|reference| async move {
        match reference {
            Reference::Here(image) => Ok((None, image)),
            Reference::Elsewhere(errand) => {
                let (pixels, image) = errand.run().await?;
                Ok((Some(pixels), image))
            }
        }
    });
    let work = stream::iter(errands)
        .buffered(AT_A_TIME)
        .try_collect::<Vec<_>>();
    let gathered = match call.deadline {
        Some(deadline) => {
            let latest = deadline
                .checked_sub(LEAST_TIME)
                .unwrap_or_else(Instant::now);
            timeout_at(latest, work).await.map_err(|_| too_late())?
        }
        None => work.await,
    }?;
    drop(fetching);
    let mut images = Vec::with_capacity(gathered.len());
    for ((pixels, image), facts) in gathered.into_iter().zip(&mut call.request.references) {
        facts.pixels = pixels.unwrap_or(facts.pixels);
        images.push(image);
    }
    Ok(images)
}

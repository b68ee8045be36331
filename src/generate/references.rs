//! Pictures to work from that are somewhere else: fetched when all else is settled, so that a call
//! which is refused or repeated fetches nothing, and before any credits are held.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::time::{Instant, timeout_at};

use super::places::{Place, Places};
use super::{Call, LEAST_TIME, no_place, too_late};
use crate::domain::failure::Failure;
use crate::domain::shape::PixelSize;
use crate::ports::{FetchPlace, ReferenceImage};

/// Pictures of one call that are fetched at a time.
const AT_A_TIME: usize = 4;

/// Pictures of all calls that are fetched at a time: as many as the fetcher has places, each of
/// which it keeps as long as its own, so that what is fair here is fair there.
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
    /// Fetches it. The place is kept for as long as anything works on it: a name that is looked up
    /// goes on when nobody waits any more.
    ///
    /// # Errors
    /// The failure to answer the call with.
    async fn run(&self, place: FetchPlace) -> Result<(PixelSize, ReferenceImage), Failure>;
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
    let work = fetched(references, fetching.map_err(no_place)?);
    let gathered = match call.deadline {
        Some(deadline) => {
            let latest = deadline
                .checked_sub(LEAST_TIME)
                .unwrap_or_else(Instant::now);
            timeout_at(latest, work).await.map_err(|_| too_late())?
        }
        None => work.await,
    }?;
    let mut images = Vec::with_capacity(gathered.len());
    for ((pixels, image), facts) in gathered.into_iter().zip(&mut call.request.references) {
        facts.pixels = pixels.unwrap_or(facts.pixels);
        images.push(image);
    }
    Ok(images)
}

/// A picture, with its size if that was not known before.
type Fetched = (Option<PixelSize>, ReferenceImage);

/// The pictures in their order, so many fetched at a time as there are places, which is one for each
/// that is elsewhere, or [`AT_A_TIME`]. A place is one picture's after another.
async fn fetched(references: Vec<Reference>, places: Vec<Place>) -> Result<Vec<Fetched>, Failure> {
    let places: Vec<Arc<Place>> = places.into_iter().map(Arc::new).collect();
    let mut turns = places.into_iter().cycle();
    let errands = references.into_iter().map(|reference| {
        let place = reference.is_elsewhere().then(|| turns.next()).flatten();
        async move {
            match (reference, place) {
                (Reference::Here(image), _) => Ok((None, image)),
                (Reference::Elsewhere(errand), Some(place)) => {
                    let (pixels, image) = errand.run(place).await?;
                    Ok((Some(pixels), image))
                }
                // Nobody has asked for a place; nothing is fetched without one.
                (Reference::Elsewhere(_), None) => Err(Failure::internal()),
            }
        }
    });
    stream::iter(errands)
        .buffered(AT_A_TIME)
        .try_collect()
        .await
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::domain::ids::OrganizationId;
    use crate::generate::places::NoPlace;

    /// A name whose look-up goes on when the picture has long been given up.
    #[derive(Debug, Default)]
    struct SlowName {
        looking_up: Mutex<Vec<FetchPlace>>,
    }

    #[async_trait]
    impl Errand for SlowName {
        async fn run(&self, place: FetchPlace) -> Result<(PixelSize, ReferenceImage), Failure> {
            self.looking_up.lock().expect("a name").push(place);
            tokio::task::yield_now().await;
            Err(Failure::reference_invalid(0, "cannot be fetched"))
        }
    }

    #[tokio::test]
    async fn names_that_are_still_looked_up_count_for_their_organization_and_for_nobody_else() {
        let places = Places::new(16, None);
        let [loud, quiet] =
            ["loud", "quiet"].map(|name| OrganizationId::parse(name).expect("a name"));
        let slow = Arc::new(SlowName::default());
        let call = async |organization: &OrganizationId| {
            let took = places.take_all(organization, 4)?;
            let references = (0..4).map(|_| Reference::Elsewhere(slow.clone()));
            let failed = fetched(references.collect(), took).await;
            assert!(failed.is_err(), "it has been given up");
            Ok(())
        };
        for _ in 0..3 {
            assert_eq!(call(&loud).await, Ok(()));
        }
        // Nothing is fetched any more, and twelve names are still looked up.
        assert_eq!(call(&loud).await, Err(NoPlace::Crowded));
        assert_eq!(call(&quiet).await, Ok(()));
        slow.looking_up.lock().expect("names").clear();
        assert_eq!(call(&loud).await, Ok(()));
    }

    #[tokio::test]
    async fn without_a_place_nothing_is_fetched() {
        let slow = Arc::new(SlowName::default());
        let refused = fetched(vec![Reference::Elsewhere(slow.clone())], Vec::new()).await;
        assert!(refused.is_err());
        assert_eq!(slow.looking_up.lock().expect("names").len(), 0);
    }
}

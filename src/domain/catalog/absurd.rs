//! Lists that cannot be true. One that is refused changes nothing: the last good one stays
//! (`domain.md` R25).

use std::collections::HashMap;

use rust_decimal::Decimal;

use super::reading;
use crate::domain::ids::Slug;
use crate::domain::listing::Listed;
use crate::domain::shape::Resolution;

/// A list that cannot be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Absurd {
    /// Nothing that makes pictures is listed with a price.
    #[error("it lists no image model with a price")]
    Empty,
    /// Half of what was there is gone, or more.
    #[error("{gone} of {known} models are gone from it")]
    HalfGone {
        /// Models that were listed before and are not now.
        gone: usize,
        /// Models that were listed before.
        known: usize,
    },
    /// Half of what `GET /images/models` listed is gone from that, or more.
    #[error("{gone} of {known} models are gone from the list of image models")]
    HalfUnoffered {
        /// Models that were listed there before and are not now.
        gone: usize,
        /// Models that were listed there before.
        known: usize,
    },
    /// Half of what had endpoints with prices has none, or more.
    #[error("{gone} of {known} image models have no endpoint with a price left")]
    HalfUnlined {
        /// Models that had price lines and have none now.
        gone: usize,
        /// Models that had price lines.
        known: usize,
    },
    /// Half of what had a price has none that can be read, or more.
    #[error("the prices of {odd} of {known} image models are zero or cannot be read")]
    HalfUnpriced {
        /// Image models that had a price, and have none or nothing now.
        odd: usize,
        /// Image models that had a price.
        known: usize,
    },
    /// Nothing costs anything.
    #[error("it lists every image model at a price of zero")]
    Free,
}

/// Compares a list with what was listed before. Whether models have lost their image endpoints is not
/// asked `by_chat`, where there never were any.
///
/// # Errors
/// Why it cannot be true.
pub(super) fn check(
    before: &[&Listed],
    listing: &HashMap<Slug, Listed>,
    by_chat: bool,
) -> Result<(), Absurd> {
    let now = |old: &&Listed| listing.get(&old.slug);
    let usd = |listed: &Listed| billed(listed).filter(|usd| !usd.is_zero());
    if !listing.values().any(|listed| billed(listed).is_some()) {
        return Err(Absurd::Empty);
    }
    let lost = |had: &dyn Fn(&Listed) -> bool| {
        let had_it = before.iter().filter(|old| had(old));
        let (kept, lost): (Vec<&&Listed>, Vec<_>) =
            had_it.partition(|old| now(old).is_some_and(had));
        let known = kept.len() + lost.len();
        (known > 0 && lost.len() * 2 >= known).then_some((lost.len(), known))
    };
    if let Some((gone, known)) = lost(&|_| true) {
        return Err(Absurd::HalfGone { gone, known });
    }
    if let Some((gone, known)) = lost(&|listed| listed.offer.is_some() || by_chat) {
        return Err(Absurd::HalfUnoffered { gone, known });
    }
    if let Some((gone, known)) = lost(&|listed| has_lines(listed) || by_chat) {
        return Err(Absurd::HalfUnlined { gone, known });
    }
    if let Some((odd, known)) = lost(&|listed| usd(listed).is_some()) {
        return Err(Absurd::HalfUnpriced { odd, known });
    }
    if !listing.values().any(|listed| usd(listed).is_some()) {
        return Err(Absurd::Free);
    }
    Ok(())
}

/// Whether an endpoint names a price, be it one that cannot be read.
fn has_lines(listed: &Listed) -> bool {
    let mut lines = listed.offer.iter().flat_map(|offer| &offer.lines);
    lines.any(|line| !line.usd.is_empty())
}

/// What a picture of 1K is billed; `None` without a price that can be read.
pub(super) fn billed(listed: &Listed) -> Option<Decimal> {
    reading::read(listed).pricing?.billed_at(Resolution::R1K)
}

//! Who may do the same thing at a time, draw or have references fetched: so many in all, so many of
//! one organization, and a share that only those can take who have less than their part, so that
//! nobody who floods the gateway keeps the others out (`reliability.md` rows 77, 78).

use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::ids::OrganizationId;
use crate::domain::tally::Tally;

/// Of so many places one is kept for organizations that have less than their part; of fewer, but for
/// a single one, one all the same.
const ONE_KEPT_OF: usize = 8;

/// The places of a gateway.
#[derive(Debug)]
pub(super) struct Places {
    /// In all.
    most: usize,
    /// Of one organization.
    most_each: usize,
    /// For those who have less than their part.
    kept: usize,
    /// Of organizations; never more of these than places.
    taken: Mutex<Tally<OrganizationId>>,
}

/// A place; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    organization: OrganizationId,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// The gateway is full, or nearly so and the organization has more than its part.
    Crowded,
    /// The organization has as many as it may.
    Enough {
        /// As many.
        most: usize,
    },
}

// === impl Places ===

impl Places {
    pub(super) fn new(most: usize, most_each: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            most,
            most_each: most_each.unwrap_or(usize::MAX),
            kept: kept(most, most_each),
            taken: Mutex::default(),
        })
    }

    /// A place for one thing that an organization does.
    pub(super) fn take(self: &Arc<Self>, organization: &OrganizationId) -> Result<Place, NoPlace> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let has = taken.of(organization);
        if has >= self.most_each {
            let most = self.most_each;
            return Err(NoPlace::Enough { most });
        }
        let others = taken.parties() - usize::from(has > 0);
        if taken.all() >= self.open_to(has, others) {
            return Err(NoPlace::Crowded);
        }
        taken.add(organization, 1);
        Ok(Place {
            places: Arc::clone(self),
            organization: organization.clone(),
        })
    }

    /// So many places at once, or none.
    pub(super) fn take_all(
        self: &Arc<Self>,
        organization: &OrganizationId,
        places: usize,
    ) -> Result<Vec<Place>, NoPlace> {
        (0..places).map(|_| self.take(organization)).collect()
    }

    /// How many places may be taken before one who has so many beside so many others is refused.
    /// A part is what everybody would have if one more came.
    const fn open_to(&self, has: usize, others: usize) -> usize {
        // Whoever has none has less than its part, however many share few places.
        let part = self.most / (others + 2);
        if has == 0 || has < part {
            self.most
        } else {
            self.most - self.kept
        }
    }

    fn give_back(&self, organization: &OrganizationId) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.remove(organization, 1);
    }
}

/// How many of so many places are kept. None if the operator has said that one organization may have
/// all of them, and none of a single one: nobody could draw.
fn kept(most: usize, most_each: Option<usize>) -> usize {
    if most < 2 || most_each.is_some_and(|each| each >= most) {
        0
    } else {
        (most / ONE_KEPT_OF).max(1)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.give_back(&self.organization);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn organization(name: &str) -> OrganizationId {
        OrganizationId::parse(name).expect("a name")
    }

    /// As many places as the organization can get.
    fn flood(places: &Arc<Places>, name: &str) -> (Vec<Place>, NoPlace) {
        let organization = organization(name);
        let mut got = Vec::new();
        loop {
            match places.take(&organization) {
                Ok(place) => got.push(place),
                Err(why) => return (got, why),
            }
        }
    }

    #[test]
    fn whoever_floods_leaves_room_for_others() {
        let places = Places::new(64, None);
        let (flood_has, why) = flood(&places, "loud");
        assert_eq!((flood_has.len(), why), (56, NoPlace::Crowded));
        let (quiet_has, why) = flood(&places, "quiet");
        assert_eq!((quiet_has.len(), why), (8, NoPlace::Crowded));
        // What the loud one gives back is the others' until they have their part.
        drop(flood_has.into_iter().take(20).collect::<Vec<_>>());
        assert_eq!(flood(&places, "loud").1, NoPlace::Crowded);
        drop(quiet_has);
        let taken = places.taken.lock().expect("a look");
        assert_eq!((taken.all(), taken.parties()), (0, 0));
    }

    #[test]
    fn parts_even_out_as_places_are_given_back() {
        let places = Places::new(80, None);
        let loud = organization("loud");
        let (mut loud_has, _) = flood(&places, "loud");
        let (mut quiet_has, _) = flood(&places, "quiet");
        for _ in 0..200 {
            loud_has.pop();
            loud_has.extend(places.take(&loud));
            quiet_has.extend(places.take(&organization("quiet")));
        }
        assert!(quiet_has.len() >= 80 / 3, "{}", quiet_has.len());
        assert!(loud_has.len() >= 80 / 3, "{}", loud_has.len());
    }

    #[test]
    fn an_organization_has_no_more_than_it_may() {
        let places = Places::new(64, Some(3));
        let (has, why) = flood(&places, "acme");
        assert_eq!((has.len(), why), (3, NoPlace::Enough { most: 3 }));
    }

    #[test]
    fn several_places_are_taken_together_or_not_at_all() {
        let places = Places::new(8, None);
        let acme = organization("acme");
        let has = places.take_all(&acme, 4).expect("room");
        assert_eq!(places.take_all(&acme, 4).err(), Some(NoPlace::Crowded));
        let more = places.take_all(&acme, 3).expect("what is left");
        assert_eq!((has.len(), more.len()), (4, 3));
        drop((has, more));
        assert_eq!(places.taken.lock().expect("a look").all(), 0);
    }

    #[test]
    fn of_few_places_one_is_left_for_others_and_it_can_be_taken() {
        for most in 2..16 {
            let places = Places::new(most, None);
            let (has, why) = flood(&places, "loud");
            assert_eq!((has.len(), why), (most - 1, NoPlace::Crowded));
            let (quiet_has, _) = flood(&places, "quiet");
            assert_eq!(quiet_has.len(), 1);
            // However many have come: whoever has none takes what one of them has given back.
            drop(quiet_has);
            assert_eq!(flood(&places, "third").0.len(), 1);
        }
    }

    #[test]
    fn nothing_is_kept_of_a_single_place_or_if_one_organization_may_have_all() {
        for (most, most_each) in [(1, None), (4, Some(4)), (64, Some(100))] {
            let (has, _) = flood(&Places::new(most, most_each), "acme");
            assert_eq!(has.len(), most);
        }
    }
}

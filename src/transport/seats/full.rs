//! Whose connection goes in a house that is full of connections with calls: one of whoever has most
//! of them, so that however many parties fill it together, whoever has few keeps them, and a newcomer
//! finds a seat. Of those the one that came last: whoever has more than others and comes again only
//! takes its own seats. What runs on it goes on, and can be taken up (`domain.md` C18).

use std::collections::HashMap;
use std::sync::Arc;

use super::{Seat, Whose};

/// The connections of one party.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Largest {
    /// With a call, so many.
    pub(super) has: usize,
    /// The number of the last that came.
    pub(super) newest: u64,
}

/// Who has most of these. Strangers are one party, and those whose keys are not looked up yet another:
/// a crowd without keys takes no seat of a caller that has just come.
pub(super) fn largest<'a>(seats: impl Iterator<Item = &'a Arc<Seat>>) -> Largest {
    let mut parties: HashMap<Whose, Largest> = HashMap::new();
    for seat in seats.filter(|seat| seat.presence().open > 0) {
        let party = parties.entry(seat.whose().clone()).or_default();
        party.has += 1;
        party.newest = party.newest.max(seat.number);
    }
    let largest = parties
        .into_values()
        .max_by_key(|party| (party.has, party.newest));
    largest.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use crate::transport::seats::{OpenCall, Seated, Seats};

    /// A connection with a call: of one who is known, of one who is not yet (without a name), or of a
    /// stranger.
    struct Guest {
        seated: Seated,
        _call: OpenCall,
    }

    fn comes(seats: &std::sync::Arc<Seats>, whose: Option<&str>) -> Option<Guest> {
        let seated = seats.arrive().sit()?;
        let call = seated.seat().open_call(whose.is_some());
        if let Some(whose) = whose.filter(|whose| !whose.is_empty()) {
            call.introduction().is_of(whose.into());
        }
        Some(Guest {
            seated,
            _call: call,
        })
    }

    fn come(seats: &std::sync::Arc<Seats>, whose: Option<&str>, many: usize) -> Vec<Guest> {
        let guests = (0..many).map(|_| comes(seats, whose).expect("a seat"));
        guests.collect()
    }

    fn is_out(seated: &Seated) -> bool {
        seated.seat.put_out.is_cancelled()
    }

    /// How many have lost their seats.
    fn gone(guests: &[Guest]) -> usize {
        guests.iter().filter(|guest| is_out(&guest.seated)).count()
    }

    #[tokio::test]
    async fn whoever_has_most_loses_the_last_that_came_and_whoever_has_few_keeps_them() {
        let seats = Seats::new(8, 40);
        let pending = come(&seats, Some(""), 1);
        let (few, many) = (come(&seats, Some("few"), 3), come(&seats, Some("many"), 20));
        let more = come(&seats, Some("more"), 16);
        let quiet = come(&seats, Some("quiet"), 2);
        assert_eq!((gone(&many[..18]), gone(&many[18..])), (0, 2));
        // As many as the others have by then.
        let crowd: Vec<_> = (0..100)
            .filter_map(|_| comes(&seats, Some("crowd")))
            .collect();
        let there = crowd.len() - gone(&crowd);
        assert!((10..=14).contains(&there), "{there}");
        let parties = [&many, &more].map(|guests| guests.len() - gone(guests));
        assert!(
            parties.iter().all(|has| has.abs_diff(there) <= 1),
            "{parties:?}"
        );
        assert_eq!(gone(&pending) + gone(&few) + gone(&quiet), 0);
    }

    #[tokio::test]
    async fn however_many_fill_the_house_together_a_newcomer_finds_a_seat() {
        let seats = Seats::new(8, 64);
        let names: Vec<_> = (0..16).map(|number| number.to_string()).collect();
        let crowds: Vec<_> = names
            .iter()
            .map(|name| come(&seats, Some(name), 4))
            .collect();
        let newcomers = come(&seats, Some("new"), 2);
        assert_eq!(crowds.iter().map(|crowd| gone(crowd)).sum::<usize>(), 2);
        assert_eq!(gone(&newcomers), 0);
        drop(crowds);
        let each: Vec<_> = (0..62)
            .map(|number| comes(&seats, Some(&number.to_string())))
            .collect();
        assert!(each.iter().all(Option::is_some));
        assert!(comes(&seats, Some("last")).is_none(), "all have few");
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_goes_before_a_caller_that_is_idle_and_after_a_stranger_that_is() {
        let seats = Seats::new(8, 8);
        let sit = || seats.arrive().sit().expect("a seat");
        let (caller, stranger) = (sit(), sit());
        caller.seat.open_call(true).served();
        let crowd = come(&seats, Some("loud"), 6);
        tokio::time::advance(super::super::NEW).await;
        let newcomer = sit();
        assert!(is_out(&stranger) && !is_out(&caller) && gone(&crowd) == 0);
        let _call = newcomer.seat.open_call(true);
        let names = ["one", "two", "three", "four"];
        let next: Vec<_> = names.iter().map(|name| comes(&seats, Some(name))).collect();
        assert!(next.iter().all(Option::is_some));
        assert_eq!((gone(&crowd), is_out(&caller)), (4, false));
        assert!(comes(&seats, Some("five")).is_some());
        assert_eq!(
            (gone(&crowd), is_out(&caller)),
            (4, true),
            "no crowd any more"
        );
    }

    #[tokio::test]
    async fn a_crowd_without_keys_takes_no_seat_of_whoever_has_just_come() {
        let seats = Seats::new(8, 16);
        let crowd = come(&seats, None, 15);
        let newcomer = comes(&seats, Some("")).expect("a seat");
        let more = come(&seats, None, 20);
        assert!(!is_out(&newcomer.seated));
        assert_eq!(gone(&crowd) + gone(&more), 20);
    }
}

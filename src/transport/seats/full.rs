//! Whose seat is taken of connections with calls. Whoever only takes room goes first: calls that have
//! stalled for a second; then those of strangers; then connections of one who has most of the house.
//! All these go before callers that are idle, and last one of whoever has far more than others. Among
//! each whoever has most seats loses one, so that however many do so together, whoever has few keeps
//! them, and a newcomer finds one.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Seat, Whose};

/// How long a call may stall where room is missing: a piece of an answer has 64 KiB, and backends,
/// whom this is for, read one within milliseconds.
const PATIENCE: Duration = Duration::from_secs(1);

/// Who has more than such a part of the seats, and calls on all of them, may lose one though its calls
/// move. Backends have a few connections each.
const LARGE_PART: usize = 8;

/// Who has more than such a part of them goes before callers that are idle.
const CROWD_PART: usize = 4;

/// Nobody is large who has no more, however few seats there are.
const LARGE_LEAST: usize = 2;

/// Why a connection with calls can go; the first is missed least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Why {
    /// Something on it has not moved for long.
    Stalled,
    /// Nobody knows whose its call is, which is not new.
    Nameless,
    /// It is one of very many, of one party or of strangers.
    Crowd,
    /// It is one of many.
    Large,
}

/// Which goes first: by why, by how many its party has, by since when, by number.
type Rank = (Why, Reverse<usize>, Instant, u64);

/// The first so many that can go of all these, for such a reason or one before it.
pub(super) fn first<'a>(
    seats: impl Iterator<Item = &'a Arc<Seat>>,
    seats_max: usize,
    why: Why,
    most: usize,
) -> Vec<u64> {
    let mut ranked = ranked(seats, seats_max);
    ranked.retain(|(last, ..)| *last <= why);
    ranked.sort_unstable();
    let first = ranked.into_iter().take(most);
    first.map(|(.., number)| number).collect()
}

fn ranked<'a>(seats: impl Iterator<Item = &'a Arc<Seat>>, seats_max: usize) -> Vec<Rank> {
    let large = LARGE_LEAST.max(seats_max / LARGE_PART);
    let crowd = LARGE_LEAST.max(seats_max / CROWD_PART);
    let busy = seats.filter_map(|seat| {
        let presence = *seat.presence();
        let whose = seat.whose().clone();
        (presence.open > 0).then_some((seat, whose, presence.busy_since))
    });
    let busy: Vec<_> = busy.collect();
    let mut held: HashMap<&Whose, usize> = HashMap::new();
    for (_, whose, _) in &busy {
        *held.entry(whose).or_default() += 1;
    }
    let ranked = busy.iter().filter_map(|(seat, whose, busy_since)| {
        let has = held.get(whose).copied().unwrap_or(0);
        let stalls = seat.stalls.since().filter(is_old);
        let (why, since) = match (stalls, whose) {
            (Some(since), _) => (Why::Stalled, since),
            (None, None) if is_old(busy_since) => (Why::Nameless, *busy_since),
            // Whose calls have just begun is not known either; of these the oldest goes first.
            (None, None) if has > large => (Why::Crowd, *busy_since),
            (None, Some(_)) if has > crowd => (Why::Crowd, *busy_since),
            (None, Some(_)) if has > large => (Why::Large, *busy_since),
            _ => return None,
        };
        Some((why, Reverse(has), since, seat.number))
    });
    ranked.collect()
}

fn is_old(since: &Instant) -> bool {
    since.elapsed() >= PATIENCE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::seats::{OpenCall, Seated, Seats};
    use crate::transport::stalls::Flow;

    /// A little more than a third of what is waited for.
    const MOMENT: Duration = Duration::from_millis(334);

    /// A connection with a call of one who is known, if it is.
    struct Guest {
        seated: Seated,
        _call: OpenCall,
        reads: Flow,
    }

    fn comes(seats: &Arc<Seats>, whose: Option<&str>) -> Option<Guest> {
        let seated = seats.arrive().sit()?;
        let call = seated.seat().open_call();
        if let Some(whose) = whose {
            call.is_of(&whose.into());
        }
        let reads = seated.seat().stalls().call().1;
        Some(Guest {
            seated,
            _call: call,
            reads,
        })
    }

    fn come(seats: &Arc<Seats>, whose: Option<&str>, many: usize) -> Vec<Guest> {
        let guests = (0..many).map(|_| comes(seats, whose).expect("a seat"));
        guests.collect()
    }

    /// How many have lost their seats.
    fn gone(guests: &[Guest]) -> usize {
        let gone = guests
            .iter()
            .filter(|guest| guest.seated.seat.put_out.is_cancelled());
        gone.count()
    }

    #[tokio::test(start_paused = true)]
    async fn of_those_who_stall_whoever_has_most_seats_loses_one_and_whoever_reads_stays() {
        let seats = Seats::new(8, 40);
        let few = come(&seats, Some("few"), 1);
        few[0].reads.waits();
        tokio::time::advance(MOMENT).await;
        let many = come(&seats, Some("many"), 5);
        let more = come(&seats, Some("more"), 4);
        many.iter()
            .chain(&more)
            .for_each(|guest| guest.reads.waits());
        let reading = (0..29).filter_map(|number| comes(&seats, Some(&number.to_string())));
        let reading: Vec<_> = reading.collect();
        let asking = come(&seats, None, 1);
        assert_eq!(seats.lock().seats.len(), 40);
        assert!(comes(&seats, None).is_none(), "nobody has stalled for long");
        tokio::time::advance(2 * MOMENT).await;
        assert!(comes(&seats, None).is_some());
        assert_eq!(gone(&few), 1, "nobody else has stalled for long");
        tokio::time::advance(MOMENT).await;
        let newcomers = come(&seats, Some("new"), 6);
        assert_eq!((gone(&many), gone(&more)), (3, 2));
        assert_eq!(gone(&reading) + gone(&asking) + gone(&newcomers), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_go_before_callers_and_of_these_who_has_far_more_than_others() {
        let seats = Seats::new(8, 16);
        let callers = come(&seats, Some("large"), 13);
        let others = come(&seats, Some("small"), 2);
        let stranger = come(&seats, None, 1);
        tokio::time::advance(5 * MOMENT).await;
        let newcomers = come(&seats, Some("new"), 2);
        assert_eq!((gone(&stranger), gone(&callers)), (1, 1));
        assert_eq!(gone(&others) + gone(&newcomers), 0);
        drop(callers);
        let many = (0..12).map(|number| comes(&seats, Some(&number.to_string())));
        let many: Vec<_> = many.flatten().collect();
        assert_eq!(many.len(), 12);
        assert!(comes(&seats, Some("last")).is_none(), "all have few");
        drop(many);
        let crowd = come(&seats, None, 12);
        assert!(comes(&seats, Some("last")).is_some());
        assert_eq!(
            gone(&crowd[..1]),
            1,
            "of those who have just come the first"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_stalls_goes_before_a_caller_that_is_idle_and_after_a_stranger_that_is() {
        let seats = Seats::new(8, 3);
        let sit = || seats.arrive().sit().expect("a seat");
        let (caller, stranger) = (sit(), sit());
        caller.seat.open_call().served();
        let stalled = come(&seats, Some("loud"), 1);
        stalled[0].reads.waits();
        tokio::time::advance(3 * MOMENT).await;
        let is_out = |seated: &Seated| seated.seat.put_out.is_cancelled();
        let first = sit();
        assert!(is_out(&stranger) && gone(&stalled) == 0);
        first.seat.open_call().served();
        let second = sit();
        assert!(gone(&stalled) == 1 && !is_out(&caller) && !is_out(&first));
        second.seat.open_call().served();
        let _third = sit();
        assert!(is_out(&caller));
    }

    #[tokio::test(start_paused = true)]
    async fn some_that_stall_go_together_when_room_is_missing_and_nobody_else() {
        let seats = Seats::new(8, 100);
        let stalled = come(&seats, Some("loud"), 40);
        stalled.iter().for_each(|guest| guest.reads.waits());
        let reading = come(&seats, Some("loud"), 40);
        seats.relieve();
        assert_eq!(gone(&stalled), 0);
        tokio::time::advance(3 * MOMENT).await;
        seats.relieve();
        assert_eq!((gone(&stalled), gone(&reading)), (16, 0));
    }
}

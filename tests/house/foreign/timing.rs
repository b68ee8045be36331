//! Not even the time that an answer takes tells what another organization has (`reliability.md` G20).

use std::time::{Duration, Instant};

use prost_reflect::MethodDescriptor;

use super::{Names, Pair, Place, Street, contract, places};

/// Questions about each of the two, in one round.
const TURNS: usize = 30;

/// Rounds at most: whatever else the machine does makes one round or another uneven, and what tells
/// the two apart makes all of them so.
const ROUNDS: usize = 24;

/// By so much may the slower median be above the other, in percent.
const PERCENT_MAX: u128 = 10;

/// Calls that change nothing, or nothing for a spy.
fn is_repeatable(method: &MethodDescriptor, place: &Place) -> bool {
    let changes = ["Update", "Delete", "Create", "Set"];
    let changes = changes.iter().any(|verb| method.name().starts_with(verb));
    // Whoever names another's organization is turned away; agents have names of their own in each.
    !changes || place.names == Names::Organization
}

/// How many percent longer the slower of both takes, by medians, in the evenest round.
async fn slower_by(street: &Street, method: &MethodDescriptor, place: &Place, pair: &Pair) -> u128 {
    let spy = &street.spies[1];
    let mut evenest = u128::MAX;
    for _ in 0..ROUNDS {
        let mut took = [Vec::new(), Vec::new()];
        for turn in 0..2 * TURNS {
            // Who is asked about first changes as well.
            let which = (turn + turn / 2) % 2;
            let name = [&pair.theirs, &pair.nobodys][which];
            let start = Instant::now();
            // Whether it is taken is the other test's.
            let _ = street.ask(method, (&place.path, name), spy).await;
            took[which].push(start.elapsed());
        }
        let [theirs, nobodys] = took.map(median);
        let percent = theirs.abs_diff(nobodys) * 100 / theirs.min(nobodys);
        evenest = evenest.min(percent);
        if evenest <= PERCENT_MAX {
            break;
        }
    }
    evenest
}

/// In nanoseconds.
fn median(mut all: Vec<Duration>) -> u128 {
    all.sort_unstable();
    all[all.len() / 2].as_nanos()
}

#[tokio::test]
async fn what_another_organization_has_takes_as_long_as_what_nobody_has() {
    let street = Street::open().await;
    let mut measured: Vec<(u128, String)> = Vec::new();
    for method in contract() {
        let page = street.page(&method).await;
        for place in places(&method) {
            let mut pairs = street.pairs.iter().chain(&page);
            let fitting = pairs.find(|pair| pair.names == place.names);
            let Some(pair) = fitting.filter(|_| is_repeatable(&method, &place)) else {
                continue;
            };
            let ratio = slower_by(&street, &method, &place, pair).await;
            measured.push((ratio, format!("{} {}", method.name(), place.path.join("."))));
        }
    }
    measured.sort_unstable();
    println!("{} questions; percent: {measured:?}", measured.len());
    assert!(measured.len() > 40, "{}", measured.len());
    let uneven: Vec<_> = measured
        .iter()
        .filter(|(percent, _)| *percent > PERCENT_MAX)
        .collect();
    assert!(uneven.is_empty(), "{uneven:#?}");
    street.house.close().await;
}

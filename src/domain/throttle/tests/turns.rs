//! Whose turn it is while calls are refused, and who leaves it to others.

use super::*;

#[test]
fn a_call_that_was_let_through_and_never_sent_leaves_its_turn_to_others() {
    let mut throttle = model_is_down(secs(1));
    let (poor, other) = (demand("poor acme/a"), demand("other acme/a"));
    assert_eq!(ask(&mut throttle, &poor, secs(9), HARSH), Ok(()), "a probe");
    assert!(ask(&mut throttle, &other, secs(9), HARSH).is_err());
    give_back(&mut throttle, &poor, secs(9));
    assert!(
        ask(&mut throttle, &poor, secs(10), HARSH).is_err(),
        "had its own"
    );
    assert_eq!(
        ask(&mut throttle, &other, secs(10), HARSH),
        Ok(()),
        "the next"
    );
    assert!(
        ask(&mut throttle, &poor, secs(15), HARSH).is_err(),
        "in vain"
    );
    assert_eq!(ask(&mut throttle, &other, secs(15), HARSH), Ok(()), "again");
    assert_eq!(ask(&mut throttle, &poor, secs(20), HARSH), Ok(()), "later");
}

#[test]
fn an_agent_at_its_limit_keeps_no_other_of_its_organization_from_their_turn() {
    let mut throttle = Throttle::default();
    tell(&mut throttle, "acme/a", 1000, secs(1), false);
    let down = demand("acme/a");
    let (limited, other) = (agent("limited"), agent("other"));
    assert_eq!(throttle.ask((&down, &limited), secs(9), HARSH), Ok(()));
    assert!(throttle.ask((&down, &other), secs(9), HARSH).is_err());
    throttle.give_back((&down, &limited), secs(9));
    assert!(throttle.ask((&down, &limited), secs(9), HARSH).is_err());
    assert_eq!(throttle.ask((&down, &other), secs(9), HARSH), Ok(()));
    // Nobody else has the turn that was used, nor this one before the others had theirs.
    let third = agent("third");
    assert!(throttle.ask((&down, &third), secs(10), HARSH).is_err());
    assert!(throttle.ask((&down, &limited), secs(14), HARSH).is_err());
    assert_eq!(throttle.ask((&down, &third), secs(14), HARSH), Ok(()));
    assert_eq!(throttle.ask((&down, &limited), secs(19), HARSH), Ok(()));
}

#[test]
fn where_a_model_is_down_an_agent_at_its_limit_leaves_the_next_turn_to_its_organization() {
    let mut throttle = model_is_down(secs(1));
    let acme = demand("three acme/a");
    let (limited, other) = (agent("limited"), agent("other"));
    assert_eq!(throttle.ask((&acme, &limited), secs(9), HARSH), Ok(()));
    throttle.give_back((&acme, &limited), secs(9));
    for at in 10..14 {
        assert!(throttle.ask((&acme, &other), secs(at), HARSH).is_err());
    }
    assert!(throttle.ask((&acme, &limited), secs(14), HARSH).is_err());
    assert_eq!(throttle.ask((&acme, &other), secs(14), HARSH), Ok(()));
}

#[test]
fn nobodys_turn_is_taken_by_asking_whether_there_is_one() {
    let mut throttle = model_is_down(secs(1));
    let (one, painter) = (demand("one acme/a"), agent("painter"));
    for _ in 0..3 {
        let asked = throttle.would_pass((&one, &painter), secs(9), HARSH);
        assert_eq!(asked, Ok(()));
    }
    assert_eq!(ask(&mut throttle, &one, secs(9), HARSH), Ok(()));
    let asked = throttle.would_pass((&one, &painter), secs(9), HARSH);
    assert!(asked.is_err());
}

#[test]
fn of_agents_that_ask_in_vain_only_the_latest_are_remembered() {
    let mut throttle = Throttle::default();
    tell(&mut throttle, "acme/a", 1000, secs(1), false);
    let down = demand("acme/a");
    for n in 0..100 {
        let limited = agent(&format!("limited-{n}"));
        assert_eq!(throttle.ask((&down, &limited), secs(9), HARSH), Ok(()));
        throttle.give_back((&down, &limited), secs(9));
    }
    let latest = (0..100).filter(|n| {
        let limited = agent(&format!("limited-{n}"));
        throttle
            .would_pass((&down, &limited), secs(9), HARSH)
            .is_err()
    });
    assert_eq!(latest.collect::<Vec<_>>(), Vec::from_iter(96..100));
}

#[test]
fn a_turn_that_is_given_back_takes_none_away_that_was_used_meanwhile() {
    let mut throttle = model_is_down(secs(1));
    let (poor, other) = (demand("poor acme/a"), demand("other acme/a"));
    assert_eq!(ask(&mut throttle, &poor, secs(9), HARSH), Ok(()));
    assert_eq!(
        ask(&mut throttle, &other, secs(10), MILD),
        Ok(()),
        "by chance"
    );
    give_back(&mut throttle, &poor, secs(9));
    let third = demand("third acme/a");
    assert!(ask(&mut throttle, &third, secs(11), HARSH).is_err());
}

proptest! {
    #[test]
    fn one_call_in_five_seconds_gets_through_beside_one_who_hammers_without_credits(
        step_ms in 10..1000_u64, hammer_ms in 1..50_u64,
    ) {
        let mut throttle = model_is_down(secs(100));
        let (poor, good) = (demand("poor acme/a"), demand("good acme/a"));
        throttle.let_through(&Scope::of(&good), secs(100));
        let (mut sent, mut turns) = (secs(100), Vec::new());
        for ms in 100_000..125_000_u64 {
            let at = Duration::from_millis(ms);
            if ms.is_multiple_of(hammer_ms) && ask(&mut throttle, &poor, at, HARSH).is_ok() {
                give_back(&mut throttle, &poor, at);
                turns.push(at);
            }
            if ms.is_multiple_of(step_ms) && ask(&mut throttle, &good, at, HARSH).is_ok() {
                prop_assert!(at - sent >= PROBE_EVERY, "{:?} after {:?}", at, sent);
                prop_assert!(at - sent < PROBE_EVERY + secs(1), "{:?} after {:?}", at, sent);
                throttle.tell(&good, at, at, false);
                sent = at;
            }
        }
        prop_assert!(sent > secs(119));
        prop_assert!(turns.is_sorted_by(|one, next| *next - *one >= PROBE_EVERY));
    }
}

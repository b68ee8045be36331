use std::collections::VecDeque;

use proptest::prelude::*;

use super::record::SLOT_SECS;
use super::*;

mod turns;

/// The draw that is refused first, and the one that is refused last.
const HARSH: u64 = 0;
const MILD: u64 = u64::MAX;

/// A model that the organization `one` asks for, or another if it is named before a space.
fn demand(name: &str) -> Demand {
    let (organization, model) = name.split_once(' ').unwrap_or(("one", name));
    Demand {
        organization: OrganizationId::parse(organization).expect("a name"),
        model: Slug::parse(model).expect("a slug"),
        key: KeyMode::Platform,
    }
}

/// The same with the organization's own key.
fn with_own_key(name: &str) -> Demand {
    Demand {
        key: KeyMode::Organization,
        ..demand(name)
    }
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn agent(name: &str) -> AgentId {
    AgentId::parse(name).expect("a name")
}

/// Asks for an agent of which each organization has one.
fn ask(throttle: &mut Throttle, demand: &Demand, at: Duration, draw: u64) -> Result<(), Scope> {
    throttle.ask((demand, &agent("painter")), at, draw)
}

fn give_back(throttle: &mut Throttle, demand: &Demand, at: Duration) {
    throttle.give_back((demand, &agent("painter")), at);
}

/// Calls of a model that take no time.
fn tell(throttle: &mut Throttle, name: &str, times: u32, at: Duration, accepted: bool) {
    for _ in 0..times {
        throttle.tell(&demand(name), at, at, accepted);
    }
}

/// What is refused of as many draws as wanted, spread over all that there are. A call was let
/// through just now, so that none is a probe.
fn refused(throttle: &mut Throttle, name: &str, at: Duration, draws: u64) -> u64 {
    let asked = (0..draws).filter(|n| {
        throttle.let_through(&Scope::of(&demand(name)), at);
        let draw = u64::MAX / draws * n;
        ask(throttle, &demand(name), at, draw).is_err()
    });
    u64::try_from(asked.count()).expect("few")
}

#[test]
fn the_tenth_failure_of_a_model_refuses_its_calls_and_no_others() {
    let mut throttle = Throttle::default();
    let down = demand("acme/a");
    assert_eq!(ask(&mut throttle, &down, secs(1), HARSH), Ok(()));
    tell(&mut throttle, "acme/a", 9, secs(1), false);
    assert_eq!(ask(&mut throttle, &down, secs(1), HARSH), Ok(()));
    let changes = throttle.tell(&down, secs(1), secs(1), false);
    let scope = Scope::Organization(down.clone());
    let refuses = true;
    assert_eq!(
        changes,
        [Change {
            scope: scope.clone(),
            refuses
        }]
    );
    assert_eq!(ask(&mut throttle, &down, secs(1), HARSH), Err(scope));
    assert_eq!(ask(&mut throttle, &down, secs(1), MILD), Ok(()));
    tell(&mut throttle, "acme/a", 1000, secs(1), false);
    for other in ["acme/b", "other/a"] {
        assert_eq!(ask(&mut throttle, &demand(other), secs(1), HARSH), Ok(()));
    }
}

/// What refuses a call that is no probe.
fn refuses(throttle: &mut Throttle, name: &str) -> Result<(), Scope> {
    let demand = demand(name);
    throttle.let_through(&Scope::of(&demand), secs(1));
    ask(throttle, &demand, secs(1), HARSH)
}

#[test]
fn an_organization_whose_calls_fail_keeps_nobody_else_from_the_model() {
    let mut throttle = Throttle::default();
    tell(&mut throttle, "one acme/a", 1000, secs(1), false);
    let scope = Scope::Organization(demand("one acme/a"));
    assert_eq!(refuses(&mut throttle, "one acme/a"), Err(scope));
    assert_eq!(refuses(&mut throttle, "two acme/a"), Ok(()));
    // Where the calls of others fail as well, it is the model.
    tell(&mut throttle, "two acme/a", 6, secs(1), false);
    let scope = Scope::Model(demand("acme/a").model);
    assert_eq!(refuses(&mut throttle, "two acme/a"), Err(scope.clone()));
    assert_eq!(refuses(&mut throttle, "three acme/a"), Err(scope));
    assert_eq!(refuses(&mut throttle, "three acme/b"), Ok(()));
}

#[test]
fn two_models_speak_for_their_author_and_more_for_all() {
    let mut throttle = Throttle::default();
    let fail = |throttle: &mut Throttle, model: &str| {
        for organization in ["one", "two", "three"] {
            tell(
                throttle,
                &format!("{organization} {model}"),
                50,
                secs(1),
                false,
            );
        }
    };
    fail(&mut throttle, "acme/a");
    assert_eq!(refuses(&mut throttle, "acme/c"), Ok(()));
    fail(&mut throttle, "acme/b");
    let scope = Scope::Author("acme".to_owned());
    assert_eq!(refuses(&mut throttle, "acme/c"), Err(scope));
    assert_eq!(refuses(&mut throttle, "other/a"), Ok(()));
    fail(&mut throttle, "other/a");
    assert_eq!(refuses(&mut throttle, "fourth/a"), Ok(()));
    fail(&mut throttle, "third/a");
    assert_eq!(refuses(&mut throttle, "fourth/a"), Err(Scope::OpenRouter));
}

#[test]
fn a_row_that_was_sent_before_the_trouble_does_not_end_it() {
    let mut throttle = Throttle::default();
    let slow = demand("acme/a");
    tell(&mut throttle, "acme/a", 30, secs(100), false);
    for _ in 0..ROW {
        assert_eq!(throttle.tell(&slow, secs(20), secs(110), true), []);
    }
    assert!(refused(&mut throttle, "acme/a", secs(110), 100) > 50);
}

#[test]
fn a_failure_from_before_does_not_break_a_row() {
    let mut throttle = Throttle::default();
    let slow = demand("acme/a");
    tell(&mut throttle, "acme/a", 30, secs(100), false);
    for n in 1..ROW {
        assert_eq!(throttle.tell(&slow, secs(110), secs(120), true), [], "{n}");
        assert_eq!(throttle.tell(&slow, secs(99), secs(120), false), [], "{n}");
    }
    let refuses = false;
    let scope = Scope::Organization(slow.clone());
    let changes = throttle.tell(&slow, secs(110), secs(121), true);
    assert_eq!(changes, [Change { scope, refuses }]);
    // And whatever was sent before is history.
    for _ in 0..100 {
        throttle.tell(&slow, secs(120), secs(130), false);
    }
    assert_eq!(ask(&mut throttle, &slow, secs(130), HARSH), Ok(()));
}

#[test]
fn trouble_that_nobody_hears_of_any_more_is_over() {
    let mut throttle = Throttle::default();
    let down = demand("acme/a");
    tell(&mut throttle, "acme/a", 100, secs(0), false);
    let later = WINDOW + secs(SLOT_SECS);
    throttle.let_through(&Scope::of(&down), later);
    assert_eq!(ask(&mut throttle, &down, later, HARSH), Ok(()));
    let scope = Scope::Organization(down.clone());
    let refuses = false;
    let changes = throttle.tell(&down, later, later, false);
    assert_eq!(changes, [Change { scope, refuses }]);
    assert_eq!(refused(&mut throttle, "acme/a", later, 100), 0);
}

/// A throttle that refuses a model for all organizations.
fn model_is_down(at: Duration) -> Throttle {
    let mut throttle = Throttle::default();
    for name in ["one acme/a", "two acme/a"] {
        tell(&mut throttle, name, 1000, at, false);
    }
    throttle
}

#[test]
fn failures_of_the_platforms_key_keep_no_call_with_an_own_key_from_upstream() {
    let mut throttle = Throttle::default();
    for model in ["acme/a", "acme/b", "other/a", "third/a"] {
        for organization in ["one", "two"] {
            let name = format!("{organization} {model}");
            tell(&mut throttle, &name, 1000, secs(1), false);
        }
    }
    assert_eq!(refuses(&mut throttle, "new new/a"), Err(Scope::OpenRouter));
    for name in ["one acme/a", "new acme/a", "new new/a"] {
        let own = with_own_key(name);
        assert_eq!(ask(&mut throttle, &own, secs(1), HARSH), Ok(()), "{name}");
    }
}

#[test]
fn calls_with_an_own_key_close_and_reopen_nothing_for_others() {
    let mut throttle = Throttle::default();
    let own = with_own_key("one acme/a");
    for organization in ["one", "two", "three"] {
        let own = with_own_key(&format!("{organization} acme/a"));
        for _ in 0..1000 {
            throttle.tell(&own, secs(1), secs(1), false);
        }
    }
    throttle.let_through(&Scope::of(&own), secs(1));
    let scope = Scope::Organization(own.clone());
    assert_eq!(ask(&mut throttle, &own, secs(1), HARSH), Err(scope.clone()));
    for name in ["one acme/a", "four acme/a", "four acme/b", "four other/a"] {
        assert_eq!(refuses(&mut throttle, name), Ok(()), "{name}");
    }
    let mut throttle = model_is_down(secs(1));
    for _ in 0..1000 {
        assert_eq!(throttle.tell(&own, secs(2), secs(2), true), []);
    }
    let scope = Scope::Model(own.model);
    assert_eq!(refuses(&mut throttle, "four acme/a"), Err(scope));
}

#[test]
fn memory_is_bounded_whatever_is_asked_for() {
    let mut throttle = Throttle::default();
    for n in 0..5000 {
        let name = format!("author-{n}/model");
        tell(&mut throttle, &name, 1, Duration::from_millis(n), true);
    }
    assert_eq!(throttle.records.len(), SCOPES_MAX);
    for n in 0..5000 {
        tell(&mut throttle, "acme/a", 1, secs(n), n % 2 == 0);
    }
    let slots = throttle.records.values().map(|record| record.slots.len());
    let most = usize::try_from(WINDOW.as_secs() / SLOT_SECS + 1).expect("few");
    assert_eq!(slots.max(), Some(most));
}

proptest! {
    #[test]
    fn nothing_is_refused_while_half_of_the_calls_are_accepted(
        outcomes in prop::collection::vec(any::<bool>(), 0..500),
    ) {
        let mut throttle = Throttle::default();
        let (mut accepted, mut failed) = (0, 0);
        for outcome in outcomes {
            let outcome = outcome || failed == accepted;
            accepted += u32::from(outcome);
            failed += u32::from(!outcome);
            tell(&mut throttle, "acme/a", 1, secs(7), outcome);
            prop_assert_eq!(ask(&mut throttle, &demand("acme/a"), secs(7), HARSH), Ok(()));
        }
    }

    #[test]
    fn a_few_failures_refuse_nothing(failures in 0..10_u32, accepted in 0..10_u32) {
        let mut throttle = Throttle::default();
        tell(&mut throttle, "acme/a", accepted, secs(7), true);
        tell(&mut throttle, "acme/a", failures, secs(7), false);
        prop_assert_eq!(refused(&mut throttle, "acme/a", secs(7), 100), 0);
    }

    #[test]
    fn the_share_that_is_refused_is_the_one_of_the_book(
        failed in 10..2000_u32, accepted in 0..2000_u32,
    ) {
        let mut throttle = Throttle::default();
        tell(&mut throttle, "acme/a", accepted, secs(7), true);
        tell(&mut throttle, "acme/a", failed, secs(7), false);
        let refused = refused(&mut throttle, "acme/a", secs(7), 1000);
        let (failed, accepted) = (u64::from(failed), u64::from(accepted));
        let share = failed.saturating_sub(accepted) * 1000 / (failed + accepted + 1);
        prop_assert!(refused.abs_diff(share) <= 1, "{} of {}", refused, share);
    }

    #[test]
    fn one_call_in_five_seconds_gets_through_however_bad_it_is(
        failed in 10..5000_u32, step_ms in 10..1000_u64,
    ) {
        let mut throttle = Throttle::default();
        tell(&mut throttle, "acme/a", failed, secs(100), false);
        let mut last = None;
        for at in (100_000..160_000).step_by(usize::try_from(step_ms).expect("few")) {
            let at = Duration::from_millis(at);
            if ask(&mut throttle, &demand("acme/a"), at, HARSH).is_ok() {
                let since = last.map(|last| at.saturating_sub(last));
                prop_assert!(since.is_none_or(|since| since >= PROBE_EVERY));
                prop_assert!(since.is_none_or(|since| since < PROBE_EVERY + secs(1)));
                last = Some(at);
                throttle.tell(&demand("acme/a"), at, at, false);
            }
        }
        prop_assert!(last.is_some_and(|last| last > secs(154)));
    }

    #[test]
    fn an_upstream_that_works_again_is_asked_again_within_half_a_minute(
        failed in 10..5000_u32, took in 0..120_u64, step_ms in 10..1000_u64,
    ) {
        let mut throttle = Throttle::default();
        tell(&mut throttle, "acme/a", failed, secs(100), false);
        // All that is let through from now on is accepted, each call so many seconds later.
        let mut under_way = VecDeque::new();
        let again = secs(100 + 6 * PROBE_EVERY.as_secs() + took);
        let mut at = secs(100);
        while at < again {
            while let Some(sent) = under_way.pop_front_if(|sent| *sent + secs(took) <= at) {
                throttle.tell(&demand("acme/a"), sent, at, true);
            }
            if ask(&mut throttle, &demand("acme/a"), at, HARSH).is_ok() {
                under_way.push_back(at);
            }
            at += Duration::from_millis(step_ms);
        }
        prop_assert_eq!(refused(&mut throttle, "acme/a", at, 100), 0);
    }
}

//! Opening a generation: repeats, limits, races.

use super::*;
use crate::domain::quota::Quota;

#[tokio::test]
async fn a_hold_takes_what_is_available_and_no_more() {
    let books = Books::open(10).await;
    books.held(&draft("a", 600)).await;
    let outcome = books
        .sqlite
        .hold(opening(&draft("b", 401)))
        .await
        .expect("an outcome");
    let HoldOutcome::Insufficient { needed, available } = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!((needed.hundredths(), available.hundredths()), (401, 400));
    books.held(&draft("c", 400)).await;
    assert_eq!(books.balance().await, [1000, 1000, 0]);
    books.audited().await;
}

#[tokio::test]
async fn an_organization_that_is_not_there_holds_nothing() {
    let books = Books::open(10).await;
    let mut stranger = draft("a", 100);
    stranger.organization = organization("stranger");
    let error = books
        .sqlite
        .hold(opening(&stranger))
        .await
        .expect_err("a stranger");
    assert!(matches!(error, LedgerError::OrganizationNotFound));
    let error = books
        .sqlite
        .account(&organization("stranger"))
        .await
        .expect_err("a stranger");
    assert!(matches!(error, LedgerError::OrganizationNotFound));
}

#[tokio::test]
async fn a_repeat_is_answered_by_what_became_of_the_first() {
    let books = Books::open(100).await;
    let repeat = |draft: &Draft| {
        let again = Draft {
            id: GenerationId::from_uuid(Uuid::now_v7()),
            ..draft.clone()
        };
        books.sqlite.hold(opening(&again))
    };
    let first = draft("same", 500);
    let id = books.held(&first).await;
    let running =
        |outcome: &HoldOutcome| matches!(outcome, HoldOutcome::Running(found) if *found == id);
    assert!(running(&repeat(&first).await.expect("an outcome")));
    books
        .sqlite
        .dispatch(id, Timestamp::UNIX_EPOCH)
        .await
        .expect("dispatched");
    assert!(running(&repeat(&first).await.expect("an outcome")));
    books
        .sqlite
        .settle(id, settlement(id, "0.001"))
        .await
        .expect("settled");
    let outcome = repeat(&first).await.expect("an outcome");
    assert!(
        matches!(&outcome, HoldOutcome::Done(done) if done.draft.id == id && done.charge.is_some())
    );
    let other = Draft {
        fingerprint: [8; 32],
        ..first
    };
    let outcome = repeat(&other).await.expect("an outcome");
    assert!(matches!(outcome, HoldOutcome::Conflict(found) if found == id));
    books.audited().await;
}

#[tokio::test]
async fn a_final_failure_is_repeated_and_a_passing_one_tried_five_times() {
    let books = Books::open(100).await;
    let rejected = books.held(&draft("final", 100)).await;
    books
        .sqlite
        .void(rejected, voiding(Reason::ContentRejected))
        .await
        .expect("voided");
    let outcome = books
        .sqlite
        .hold(opening(&draft("final", 100)))
        .await
        .expect("an outcome");
    assert!(matches!(outcome, HoldOutcome::Done(done) if done.draft.id == rejected));
    for attempt in 1..=5 {
        let id = books.held(&draft("passing", 100)).await;
        let voided = books
            .sqlite
            .void(id, voiding(Reason::UpstreamTimeout))
            .await
            .expect("voided");
        assert_eq!(voided.attempt, attempt);
    }
    let outcome = books
        .sqlite
        .hold(opening(&draft("passing", 100)))
        .await
        .expect("an outcome");
    assert!(matches!(outcome, HoldOutcome::Exhausted(last) if last.attempt == 5));
    assert_eq!(books.balance().await, [10_000, 0, 0]);
    books.audited().await;
}

#[tokio::test]
async fn limits_count_what_is_made_and_what_is_being_made() {
    let books = Books::open(100).await;
    let limited = |request_id: &str, limits: Limits| Opening {
        limits,
        ..opening(&draft(request_id, 500))
    };
    let id = books.held(&draft("a", 500)).await;
    settled(&books, id, "0.001").await;
    books.held(&draft("b", 500)).await;
    let failed = books.held(&draft("c", 500)).await;
    books
        .sqlite
        .void(failed, voiding(Reason::NoImageReturned))
        .await
        .expect("voided");
    let daily = |images| Limits {
        daily_images: Some(images),
        ..Limits::default()
    };
    let outcome = books
        .sqlite
        .hold(limited("d", daily(2)))
        .await
        .expect("an outcome");
    assert!(
        matches!(outcome, HoldOutcome::DailyLimit(Quota { used: 2, .. })),
        "{outcome:?}"
    );
    // 3.00 charged, 5.00 held, 5.00 asked for.
    let monthly = |hundredths| Limits {
        monthly_credits: Some(Credits::from_hundredths(hundredths)),
        ..Limits::default()
    };
    let outcome = books
        .sqlite
        .hold(limited("d", monthly(1299)))
        .await
        .expect("an outcome");
    assert!(
        matches!(outcome, HoldOutcome::MonthlyLimit(quota) if quota.used.hundredths() == 800),
        "{outcome:?}"
    );
    let later = |limits| Opening {
        day_start: "2026-11-24T00:00:00Z".parse().expect("a time"),
        ..limited("d", limits)
    };
    let outcome = books.sqlite.hold(later(daily(1))).await;
    assert!(
        matches!(outcome, Ok(HoldOutcome::DailyLimit(Quota { used: 1, .. }))),
        "what is under way since yesterday may come today: {outcome:?}"
    );
    let outcome = books.sqlite.hold(later(daily(2))).await;
    assert!(
        matches!(outcome, Ok(HoldOutcome::Held(_))),
        "what ended yesterday does not count: {outcome:?}"
    );
    books.audited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_that_race_for_the_last_credits_get_exactly_those() {
    for round in 0..20 {
        let books = Books::open(10).await;
        let drafts: Vec<Draft> = (0..64)
            .map(|n| draft(&format!("{round}-{n}"), 130))
            .collect();
        let before = books.sqlite.commits();
        let holds = drafts.iter().map(|draft| books.sqlite.hold(opening(draft)));
        let outcomes = futures_util::future::join_all(holds).await;
        let held = outcomes
            .iter()
            .filter(|outcome| matches!(outcome, Ok(HoldOutcome::Held(_))));
        assert_eq!(held.count(), 7, "1000 / 130");
        assert!(
            books.sqlite.commits() - before <= 32,
            "what waits together is committed together"
        );
        books.audited().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_that_race_hold_once() {
    let books = Books::open(100).await;
    let drafts: Vec<Draft> = (0..32).map(|_| draft("same", 100)).collect();
    let holds = drafts.iter().map(|draft| books.sqlite.hold(opening(draft)));
    let outcomes = futures_util::future::join_all(holds).await;
    let held = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Ok(HoldOutcome::Held(_))));
    assert_eq!(held.count(), 1);
    assert_eq!(books.balance().await, [10_000, 100, 0]);
    books.audited().await;
}

#[tokio::test]
async fn limits_are_those_of_one_agent_and_a_repeat_is_answered_before_them() {
    let books = Books::open(100).await;
    let first = draft("a", 500);
    let id = books.held(&first).await;
    let none_left = Limits {
        daily_images: Some(1),
        monthly_credits: Some(Credits::from_hundredths(500)),
    };
    let limited = |draft: &Draft| Opening {
        limits: none_left,
        ..opening(draft)
    };
    let repeat = Draft {
        id: GenerationId::from_uuid(Uuid::now_v7()),
        ..first
    };
    let outcome = books.sqlite.hold(limited(&repeat)).await;
    assert!(matches!(outcome, Ok(HoldOutcome::Running(found)) if found == id));
    let colleague = Draft {
        agent: AgentId::parse("sculptor").expect("an agent"),
        ..draft("b", 500)
    };
    let outcome = books.sqlite.hold(limited(&colleague)).await;
    assert!(matches!(outcome, Ok(HoldOutcome::Held(_))), "{outcome:?}");
    // The same request id is the organization's, whichever agent used it first.
    let borrowed = Draft {
        agent: colleague.agent.clone(),
        fingerprint: [8; 32],
        ..repeat
    };
    let outcome = books.sqlite.hold(limited(&borrowed)).await;
    assert!(matches!(outcome, Ok(HoldOutcome::Conflict(found)) if found == id));
    books.organization("other").await;
    books.buy("other", 500, "r").await.expect("bought");
    let elsewhere = Draft {
        organization: organization("other"),
        ..draft("a", 500)
    };
    let outcome = books.sqlite.hold(limited(&elsewhere)).await;
    assert!(matches!(outcome, Ok(HoldOutcome::Held(_))), "{outcome:?}");
    books.audited().await;
}

#[tokio::test]
async fn another_body_is_a_conflict_with_whatever_became_of_the_first() {
    let books = Books::open(100).await;
    let other_body = |name: &str| Draft {
        fingerprint: [8; 32],
        ..draft(name, 100)
    };
    let sqlite = &books.sqlite;
    let running = books.held(&draft("running", 100)).await;
    let mut firsts = vec![("running", running)];
    for (name, reason) in [
        ("final", Reason::ContentRejected),
        ("passing", Reason::UpstreamTimeout),
    ] {
        let id = books.held(&draft(name, 100)).await;
        sqlite.void(id, voiding(reason)).await.expect("voided");
        firsts.push((name, id));
    }
    for (name, first) in firsts {
        let outcome = sqlite.hold(opening(&other_body(name))).await;
        assert!(
            matches!(outcome, Ok(HoldOutcome::Conflict(found)) if found == first),
            "{name}: {outcome:?}"
        );
    }
    assert_eq!(books.balance().await, [10_000, 100, 0]);
    books.audited().await;
}

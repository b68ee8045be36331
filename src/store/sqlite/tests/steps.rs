//! From hold to end.

use super::*;
use crate::ports::Which;

#[tokio::test]
async fn a_settled_generation_reads_back_as_it_was_written() {
    let books = Books::open(100).await;
    let draft = draft("a", 2900);
    let id = books.held(&draft).await;
    let written = settled(&books, id, "0.014").await;
    assert_eq!(written.draft, draft);
    let expected = settlement(id, "0.014");
    assert_eq!(written.images, expected.delivery.images);
    assert_eq!(written.text, expected.delivery.text);
    assert_eq!(written.adjustments, expected.delivery.adjustments);
    assert_eq!(written.charge, Some(expected.charge));
    assert_eq!(written.finished, Some(expected.delivery.now));
    assert_eq!(written.balance_after.map(Credits::hundredths), Some(7100));
    assert_eq!(written.upstream_ids, ["gen-1"]);
    let acme = organization("acme");
    for which in [Which::Id(id), Which::Request(draft.request_id.clone())] {
        let found = books
            .sqlite
            .generation(&acme, &which)
            .await
            .expect("a look");
        assert_eq!(found.as_ref(), Some(&written));
    }
    books.organization("other").await;
    let elsewhere = books
        .sqlite
        .generation(&organization("other"), &Which::Id(id))
        .await;
    assert_eq!(elsewhere.expect("a look"), None);
    assert_eq!(books.balance().await, [7100, 0, 0]);
    let again = Sqlite::open(books.dir.path()).expect("the same database");
    let kept = again
        .generation(&acme, &Which::Id(id))
        .await
        .expect("a look");
    assert_eq!(kept, Some(written));
    books.audited().await;
}

#[tokio::test]
async fn a_voided_generation_keeps_its_failure_and_costs_nothing() {
    let books = Books::open(100).await;
    let id = books.held(&draft("a", 500)).await;
    let ending = voiding(Reason::ContentRejected);
    let voided = books.sqlite.void(id, ending.clone()).await.expect("voided");
    let failure = voided.failure.expect("a failure");
    assert_eq!(failure, ending.failure);
    assert_eq!((voided.stage, voided.charge), (Stage::Voided, None));
    assert_eq!(books.balance().await, [10_000, 0, 0]);
    books.audited().await;
}

#[tokio::test]
async fn no_step_can_be_taken_twice_skipped_or_taken_back() {
    let books = Books::open(100).await;
    let now = Timestamp::UNIX_EPOCH;
    let sqlite = &books.sqlite;
    let id = books.held(&draft("a", 500)).await;
    let refused = |error: LedgerError| matches!(error, LedgerError::IllegalStep { .. });
    assert!(refused(
        sqlite
            .settle(id, settlement(id, "0.001"))
            .await
            .expect_err("not dispatched")
    ));
    assert!(refused(
        sqlite
            .stream(id, 0, None, now)
            .await
            .expect_err("not dispatched")
    ));
    sqlite.dispatch(id, now).await.expect("dispatched");
    assert!(refused(sqlite.dispatch(id, now).await.expect_err("twice")));
    sqlite
        .stream(id, 0, Some("gen-1".to_owned()), now)
        .await
        .expect("streaming");
    sqlite
        .stream(id, 1, Some("gen-2".to_owned()), now)
        .await
        .expect("a second answer");
    sqlite
        .stream(id, 0, None, now)
        .await
        .expect("a third without a name");
    let settled = sqlite
        .settle(id, settlement(id, "0.001"))
        .await
        .expect("settled");
    assert_eq!(settled.upstream_ids, ["gen-1", "gen-2"]);
    assert!(refused(
        sqlite
            .settle(id, settlement(id, "0.001"))
            .await
            .expect_err("twice")
    ));
    assert!(refused(
        sqlite
            .void(id, voiding(Reason::Internal))
            .await
            .expect_err("settled")
    ));
    assert!(refused(
        sqlite
            .stream(id, 0, Some("late".to_owned()), now)
            .await
            .expect_err("settled")
    ));
    let nobody = GenerationId::from_uuid(Uuid::nil());
    let error = sqlite.dispatch(nobody, now).await.expect_err("nobody");
    assert!(matches!(error, LedgerError::IllegalStep { from: None, .. }));
    assert_eq!(books.balance().await, [9700, 0, 0]);
    books.audited().await;
}

#[tokio::test]
async fn an_overrun_becomes_debt_and_the_next_purchase_repays_it() {
    let books = Books::open(10).await;
    let id = books.held(&draft("a", 900)).await;
    settled(&books, id, "0.01").await;
    assert_eq!(books.balance().await, [0, 0, 1100]);
    let outcome = books
        .sqlite
        .hold(opening(&draft("b", 1)))
        .await
        .expect("an outcome");
    assert!(matches!(outcome, HoldOutcome::Insufficient { .. }));
    books.buy("acme", 1500, "second").await.expect("bought");
    assert_eq!(books.balance().await, [400, 0, 0]);
    books.audited().await;
}

#[tokio::test]
async fn a_purchase_is_booked_once_per_reference() {
    let books = Books::open(0).await;
    assert!(!books.buy("acme", 500, "r").await.expect("booked"));
    assert!(books.buy("acme", 500, "r").await.expect("booked before"));
    let error = books
        .buy("acme", 501, "r")
        .await
        .expect_err("another amount");
    assert!(matches!(error, LedgerError::ReferenceConflict));
    for amount in [0, -1, i64::MAX] {
        let error = books
            .buy("acme", amount, "odd")
            .await
            .expect_err("out of range");
        assert!(matches!(error, LedgerError::OutOfRange));
    }
    books.organization("other").await;
    assert!(
        !books
            .buy("other", 700, "r")
            .await
            .expect("another organization")
    );
    assert_eq!(books.balance().await, [500, 0, 0]);
    books.audited().await;
}

#[tokio::test]
async fn an_odd_upstream_id_never_stands_in_the_way_of_a_picture() {
    let books = Books::open(10).await;
    let id = books.held(&draft("a", 900)).await;
    let now = Timestamp::UNIX_EPOCH;
    books.sqlite.dispatch(id, now).await.expect("dispatched");
    let odd = [
        String::new(),
        "x".repeat(129),
        "\0gen".to_owned(),
        "gen\0".to_owned(),
        "gen\n1".to_owned(),
    ];
    for odd in odd {
        books
            .sqlite
            .stream(id, 0, Some(odd), now)
            .await
            .expect("passed over");
    }
    let longest = "☃".repeat(128);
    books
        .sqlite
        .stream(id, 0, Some(longest.clone()), now)
        .await
        .expect("kept");
    let settled = books
        .sqlite
        .settle(id, settlement(id, "0.001"))
        .await
        .expect("settled");
    assert_eq!(settled.upstream_ids, [longest]);
    books.audited().await;
}

#[tokio::test]
async fn answers_of_one_generation_that_race_are_all_noted() {
    let books = Books::open(10).await;
    let id = books.held(&draft("a", 900)).await;
    let now = Timestamp::UNIX_EPOCH;
    books.sqlite.dispatch(id, now).await.expect("dispatched");
    let answers = (0..8).map(|n| books.sqlite.stream(id, n, Some(format!("gen-{n}")), now));
    for noted in futures_util::future::join_all(answers).await {
        noted.expect("noted");
    }
    let voided = books.sqlite.void(id, voiding(Reason::Internal)).await;
    assert_eq!(voided.expect("voided").upstream_ids.len(), 8);
    let late = books
        .sqlite
        .stream(id, 0, Some("late".to_owned()), now)
        .await;
    assert!(matches!(
        late,
        Err(LedgerError::IllegalStep {
            from: Some(Stage::Voided),
            ..
        })
    ));
    books.audited().await;
}

#[test]
fn a_database_of_a_newer_program_is_left_alone() {
    let dir = tempfile::tempdir().expect("a folder");
    drop(Sqlite::open(dir.path()).expect("a database"));
    raw(dir.path())
        .pragma_update(None, "user_version", 99)
        .expect("a pragma");
    let error = Sqlite::open(dir.path()).expect_err("newer");
    assert!(matches!(
        error,
        super::super::OpenError::Newer { found: 99, .. }
    ));
}

#[tokio::test]
async fn a_clock_that_is_set_back_takes_neither_ledger_nor_history_with_it() {
    let books = Books::open(100).await;
    let id = books.held(&draft("a", 29)).await;
    settled(&books, id, "0.014").await;
    // Bought in 1970, after a charge of 2026.
    books.buy("acme", 500, "later").await.expect("credits");
    let raw = books.raw();
    let backwards =
        |sql: &str| -> i64 { raw.query_row(sql, [], |row| row.get(0)).expect("a count") };
    let of_the_ledger = "
      SELECT count(*) FROM ledger l JOIN ledger p ON p.organization = l.organization AND p.seq = l.seq - 1
       WHERE l.at_us < p.at_us";
    assert_eq!(backwards(of_the_ledger), 0);
    let of_the_history = "
      SELECT count(*) FROM generation_event e JOIN generation_event p
          ON p.generation = e.generation AND p.version = e.version - 1 WHERE e.at_us < p.at_us";
    assert_eq!(backwards(of_the_history), 0);
    drop(raw);
    books.audited().await;
}

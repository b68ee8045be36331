//! What upstream tells late: corrections, losses, and answers that come twice.

use super::*;
use crate::domain::books::EntryKind;
use crate::domain::recovery::Question as Asked;
use crate::ports::{Answer, Asking, Upkeep};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn usd(text: &str) -> UsdCost {
    UsdCost::from_json(text).expect("a cost")
}

/// A call that can be asked about and told nothing.
fn untold(images: Vec<u32>) -> CallRecord {
    CallRecord {
        upstream_id: Some("gen-1".to_owned()),
        images,
        ..CallRecord::default()
    }
}

/// A generation that was charged 0.04 USD because nobody told its cost.
async fn computed(books: &Books, request_id: &str, hundredths: i64) -> GenerationId {
    let id = books.held(&draft(request_id, hundredths)).await;
    books.sqlite.dispatch(id, NOW).await.expect("dispatched");
    let mut settlement = settlement(id, "0.04");
    settlement.charge.cost_source = CostSource::Computed;
    settlement.delivery.calls = vec![untold(vec![0])];
    books.sqlite.settle(id, settlement).await.expect("settled");
    id
}

/// A generation whose answer broke off.
async fn doubted(books: &Books, request_id: &str) -> GenerationId {
    let id = books.held(&draft(request_id, 500)).await;
    books.sqlite.dispatch(id, NOW).await.expect("dispatched");
    let ending = Voiding {
        calls: vec![untold(Vec::new())],
        ..voiding(Reason::UpstreamTimeout)
    };
    let doubted = books.sqlite.doubt(id, ending).await.expect("in doubt");
    assert_eq!((doubted.stage, doubted.finished), (Stage::InDoubt, None));
    assert_eq!(
        doubted.failure.expect("why").reason,
        Reason::UpstreamTimeout
    );
    id
}

async fn only_question(books: &Books) -> Asking {
    let due = books.sqlite.questions(Timestamp::MAX, 9).await;
    let mut due = due.expect("a look");
    assert_eq!(due.len(), 1, "{due:?}");
    due.remove(0)
}

fn absorbed(books: &Books) -> Vec<(i64, String)> {
    let raw = books.raw();
    let mut statement = raw
        .prepare("SELECT cost_pd, why FROM absorption")
        .expect("a statement");
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    rows.expect("rows")
        .collect::<Result<_, _>>()
        .expect("values")
}

#[tokio::test]
async fn a_lower_cost_told_later_comes_back_once() {
    let books = Books::open(100).await;
    let id = computed(&books, "a", 9000).await;
    assert_eq!(books.balance().await, [1900, 0, 0]);
    let asking = only_question(&books).await;
    assert_eq!((asking.generation, asking.asked), (id, 0));
    for _ in 0..2 {
        let told = Answer::Told(usd("0.03"));
        let noted = books.sqlite.answer(&asking, told, NOW).await;
        noted.expect("noted, or too late");
    }
    assert_eq!(books.balance().await, [3900, 0, 0]);
    let case = books.sqlite.case(id).await.expect("a look").expect("there");
    assert_eq!(case.calls[0].question, Asked::Answered);
    let charge = case.generation.charge.expect("a charge");
    assert_eq!(charge.credits.to_string(), "81.00");
    assert_eq!(charge.refunded.to_string(), "20.00");
    assert_eq!(absorbed(&books), []);
    books.audited().await;
}

#[tokio::test]
async fn a_refund_repays_debt_first() {
    let books = Books::open(50).await;
    computed(&books, "a", 5000).await;
    assert_eq!(books.balance().await, [0, 0, 3100]);
    let asking = only_question(&books).await;
    let told = Answer::Told(usd("0.02"));
    books
        .sqlite
        .answer(&asking, told, NOW)
        .await
        .expect("noted");
    assert_eq!(books.balance().await, [900, 0, 0]);
    let kinds: Vec<String> = {
        let raw = books.raw();
        let mut statement = raw
            .prepare("SELECT kind FROM ledger ORDER BY seq DESC LIMIT 2")
            .expect("a statement");
        let kinds = statement.query_map([], |row| row.get(0)).expect("rows");
        kinds.collect::<Result<_, _>>().expect("words")
    };
    assert_eq!(
        kinds,
        [EntryKind::DebtRepaid.as_str(), EntryKind::Refund.as_str()]
    );
    books.audited().await;
}

#[tokio::test]
async fn a_higher_cost_told_later_is_the_platforms_loss() {
    let books = Books::open(100).await;
    computed(&books, "a", 9000).await;
    let asking = only_question(&books).await;
    let told = Answer::Told(usd("0.05"));
    books
        .sqlite
        .answer(&asking, told, NOW)
        .await
        .expect("noted");
    assert_eq!(books.balance().await, [1900, 0, 0]);
    let above = (10_000_000_000, "above_charge".to_owned());
    assert_eq!(absorbed(&books), [above]);
    books.audited().await;
}

#[tokio::test]
async fn what_was_billed_without_a_picture_is_absorbed_when_it_is_told() {
    let books = Books::open(100).await;
    let id = doubted(&books, "a").await;
    assert_eq!(books.balance().await, [10_000, 500, 0]);
    let asking = only_question(&books).await;
    let told = Answer::Told(usd("0.04"));
    books
        .sqlite
        .answer(&asking, told, NOW)
        .await
        .expect("noted");
    // The hold is the recovery's to end; nothing else has changed.
    assert_eq!(books.balance().await, [10_000, 500, 0]);
    let case = books.sqlite.case(id).await.expect("a look").expect("there");
    let ending = Voiding {
        calls: case.calls.into_iter().map(|call| call.record).collect(),
        ..voiding(Reason::UpstreamTimeout)
    };
    books.sqlite.void(id, ending).await.expect("voided");
    assert_eq!(books.balance().await, [10_000, 0, 0]);
    let lost = (40_000_000_000, "no_image".to_owned());
    assert_eq!(absorbed(&books), [lost]);
    books.audited().await;
}

#[tokio::test]
async fn a_bill_that_comes_after_the_release_changes_only_the_platforms_books() {
    let books = Books::open(100).await;
    let id = doubted(&books, "a").await;
    let ending = Voiding {
        calls: Vec::new(),
        ..voiding(Reason::UpstreamTimeout)
    };
    books.sqlite.void(id, ending).await.expect("voided");
    let asking = only_question(&books).await;
    let told = Answer::Told(usd("0.04"));
    books
        .sqlite
        .answer(&asking, told, NOW)
        .await
        .expect("noted");
    assert_eq!(books.balance().await, [10_000, 0, 0]);
    assert_eq!(absorbed(&books).len(), 1);
    books.audited().await;
}

#[tokio::test]
async fn a_question_is_asked_for_a_day_and_then_given_up() {
    let books = Books::open(100).await;
    let id = doubted(&books, "a").await;
    let mut times = 0;
    loop {
        let due = books.sqlite.questions(Timestamp::MAX, 9).await;
        let Some(asking) = due.expect("a look").pop() else {
            break;
        };
        assert_eq!(asking.asked, times);
        times += 1;
        let noted = books.sqlite.answer(&asking, Answer::Nothing, NOW).await;
        noted.expect("noted");
    }
    assert_eq!(times, 10);
    let case = books.sqlite.case(id).await.expect("a look").expect("there");
    assert_eq!(case.calls[0].question, Asked::GivenUp);
}

#[tokio::test]
async fn a_contradiction_is_reviewed_and_the_hold_released_all_the_same() {
    let books = Books::open(100).await;
    let id = doubted(&books, "a").await;
    let asking = only_question(&books).await;
    let noted = books.sqlite.answer(&asking, Answer::Contradiction, NOW);
    noted.await.expect("noted");
    books.sqlite.review(id, NOW).await.expect("in review");
    let voided = books.sqlite.void(id, voiding(Reason::UpstreamTimeout));
    assert_eq!(voided.await.expect("voided").stage, Stage::Voided);
    assert_eq!(books.balance().await, [10_000, 0, 0]);
    books.audited().await;
}

#[tokio::test]
async fn only_what_was_not_dispatched_is_cancelled() {
    let books = Books::open(100).await;
    let held = books.held(&draft("held", 500)).await;
    let ending = voiding(Reason::GenerationCancelled);
    let cancelled = books.sqlite.cancel(held, ending.clone()).await;
    assert_eq!(cancelled.expect("cancelled").stage, Stage::Voided);
    let sent = books.held(&draft("sent", 500)).await;
    books.sqlite.dispatch(sent, NOW).await.expect("dispatched");
    let goes_on = books.sqlite.cancel(sent, ending.clone()).await;
    assert_eq!(goes_on.expect("as it stands").stage, Stage::Dispatched);
    let again = books.sqlite.cancel(held, ending).await;
    assert_eq!(again.expect("as it stands").stage, Stage::Voided);
    assert_eq!(books.balance().await, [10_000, 500, 0]);
}

#[tokio::test]
async fn stored_pictures_keep_their_hold_until_they_are_charged() {
    let books = Books::open(100).await;
    let id = books.held(&draft("a", 9000)).await;
    books.sqlite.dispatch(id, NOW).await.expect("dispatched");
    let mut late = settlement(id, "0.04");
    late.delivery.calls = vec![untold(vec![0])];
    let stored = books.sqlite.store(id, late.delivery.clone()).await;
    let stored = stored.expect("stored");
    assert_eq!((stored.stage, stored.charge), (Stage::Stored, None));
    assert_eq!(stored.images, late.delivery.images);
    assert_eq!(books.balance().await, [10_000, 9000, 0]);
    let twice = books.sqlite.store(id, late.delivery.clone()).await;
    assert!(matches!(twice, Err(LedgerError::IllegalStep { .. })));
    let void = books.sqlite.void(id, voiding(Reason::Internal)).await;
    assert!(matches!(void, Err(LedgerError::IllegalStep { .. })));
    let settled = books.sqlite.settle(id, late).await.expect("settled");
    assert_eq!(settled.images, stored.images);
    assert_eq!(books.balance().await, [1900, 0, 0]);
    books.audited().await;
}

#[tokio::test]
async fn pictures_whose_time_is_up_are_listed_until_they_are_marked() {
    let books = Books::open(100).await;
    let id = books.held(&draft("a", 500)).await;
    settled(&books, id, "0.001").await;
    let before = "2026-11-23T12:00:30Z".parse().expect("a time");
    let none = books.sqlite.expired(before, 9).await.expect("a look");
    assert_eq!(none, []);
    let after = "2026-11-23T12:00:31Z".parse().expect("a time");
    let due = books.sqlite.expired(after, 9).await.expect("a look");
    assert_eq!(due.len(), 1);
    assert_eq!(due[0].object_names, [format!("{id}/0.webp")]);
    for _ in 0..2 {
        books.sqlite.expire(id, after).await.expect("marked");
    }
    let none = books.sqlite.expired(after, 9).await.expect("a look");
    assert_eq!(none, []);
    books.audited().await;
}

#[tokio::test]
async fn an_id_that_two_calls_were_given_names_the_first_alone() {
    let books = Books::open(100).await;
    let id = books.held(&draft("a", 9000)).await;
    books.sqlite.dispatch(id, NOW).await.expect("dispatched");
    for (call, named) in [(0, true), (1, false), (0, true)] {
        let name = Some("gen-1".to_owned());
        let told = books.sqlite.stream(id, call, name, NOW).await;
        assert_eq!(told.expect("streaming"), named, "call {call}");
    }
    let second = CallRecord {
        call: 1,
        ..untold(vec![1])
    };
    let mut settlement = settlement(id, "0.04");
    settlement.delivery.images.push(image(id, 1));
    settlement.delivery.calls = vec![untold(vec![0]), second];
    let stored = books.sqlite.store(id, settlement.delivery).await;
    assert_eq!(stored.expect("stored").upstream_ids, ["gen-1"]);
    // One bill, asked for once: both calls would have been told the whole of it.
    assert_eq!(only_question(&books).await.call, 0);
    books.audited().await;
}

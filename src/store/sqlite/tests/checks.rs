//! Costs that are asked for a second time: the walk, and what follows from it.

use super::usage::plan;
use super::*;
use crate::ports::{Answer, Disagreement, ToldCall, Unchecked, Upkeep};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

/// Later than everything here has ended.
fn later() -> Timestamp {
    "2026-11-23T12:10:00Z".parse().expect("a time")
}

fn usd(text: &str) -> UsdCost {
    UsdCost::from_json(text).expect("a cost")
}

fn told(call: u32, images: Vec<u32>, cost: &str) -> CallRecord {
    CallRecord {
        call,
        upstream_id: Some(format!("gen-{}-{call}", Uuid::now_v7())),
        images,
        cost: Some((usd(cost), CostSource::Usage)),
        ..CallRecord::default()
    }
}

/// A generation that was charged what these calls cost, which brought a picture each.
async fn charged(books: &Books, request_id: &str, costs: &[&str]) -> GenerationId {
    let calls = (0..).zip(costs);
    let calls = calls.map(|(call, cost)| told(call, vec![call], cost));
    let total = costs.iter().fold(UsdCost::ZERO, |sum, cost| {
        sum.checked_add(usd(cost)).expect("a sum")
    });
    with_calls(books, request_id, calls.collect(), total).await
}

async fn with_calls(
    books: &Books,
    request_id: &str,
    calls: Vec<CallRecord>,
    cost: UsdCost,
) -> GenerationId {
    let images = u32::try_from(calls.len()).expect("few");
    let mut draft = draft(request_id, 9000);
    draft.requested = images;
    let id = books.held(&draft).await;
    books.sqlite.dispatch(id, NOW).await.expect("dispatched");
    let mut settlement = settlement(id, "0");
    settlement.delivery.calls = calls;
    settlement.delivery.images = (0..images).map(|index| image(id, index)).collect();
    settlement.charge = Charge {
        credits: platform_charge(cost, images),
        images,
        cost,
        cost_source: CostSource::Usage,
        ..settlement.charge
    };
    books.sqlite.settle(id, settlement).await.expect("settled");
    id
}

async fn next(books: &Books, limit: u32) -> Option<Unchecked> {
    let now = later();
    let before = now - SignedDuration::from_mins(5);
    let next = books.sqlite.unchecked(before, now, limit).await;
    next.expect("a look")
}

/// What the records say of the first calls of a generation.
async fn pass(books: &Books, id: GenerationId, records: &[&str]) {
    let records = (0..).zip(records);
    let found = records.map(|(call, cost)| Disagreement {
        generation: id,
        call,
        cost: usd(cost),
    });
    let passed = books.sqlite.checked(id, found.collect(), later()).await;
    passed.expect("passed");
}

fn ids(calls: &[ToldCall]) -> Vec<GenerationId> {
    calls.iter().map(|call| call.generation).collect()
}

#[tokio::test]
async fn the_walk_goes_on_where_it_was_and_stops_at_what_has_not_ended() {
    let books = Books::open(1000).await;
    assert_eq!(next(&books, 9).await, None);
    let first = charged(&books, "a", &["0.01", "0.02"]).await;
    let second = charged(&books, "b", &["0.01"]).await;
    let open = books.held(&draft("open", 500)).await;
    charged(&books, "c", &["0.01"]).await;
    let page = next(&books, 9).await.expect("a page");
    assert_eq!(ids(&page.calls), [first, first, second]);
    assert_eq!(page.calls[1].cost, usd("0.02"));
    assert_eq!(page.through, second);
    let one = next(&books, 1).await.expect("a page");
    assert_eq!((ids(&one.calls), one.through), (vec![first, first], first));
    pass(&books, first, &[]).await;
    assert_eq!(next(&books, 9).await.expect("a page").through, second);
    pass(&books, second, &[]).await;
    assert_eq!(next(&books, 9).await, None, "it has not ended");
    // What is passed again changes nothing.
    pass(&books, first, &[]).await;
    assert_eq!(next(&books, 9).await, None);
    let ending = voiding(Reason::UpstreamTimeout);
    books.sqlite.void(open, ending).await.expect("voided");
    let rest = next(&books, 9).await.expect("a page");
    assert_eq!(rest.calls.len(), 1, "one without a charge is passed");
    books.audited().await;
}

#[tokio::test]
async fn what_ended_just_now_waits_and_what_ended_in_the_future_does_not() {
    let books = Books::open(1000).await;
    let id = charged(&books, "a", &["0.01"]).await;
    let ended: Timestamp = "2026-11-23T12:00:30.000001Z".parse().expect("a time");
    let second = SignedDuration::from_secs(1);
    let look = async |before: Timestamp, now: Timestamp| {
        let page = books.sqlite.unchecked(before, now, 9).await;
        page.expect("a look").map(|page| page.through)
    };
    assert_eq!(look(ended - second, ended + second).await, None);
    assert_eq!(look(ended, ended + second).await, Some(id));
    assert_eq!(
        look(ended - second - second, ended - second).await,
        Some(id)
    );
}

#[tokio::test]
async fn only_charges_by_what_an_answer_told_are_asked_about() {
    let books = Books::open(1000).await;
    let mut unnamed = told(0, vec![0], "0.01");
    unnamed.upstream_id = None;
    with_calls(&books, "unnamed", vec![unnamed], usd("0.01")).await;
    let mut looked_up = told(0, vec![0], "0.01");
    looked_up.cost = Some((usd("0.01"), CostSource::Lookup));
    with_calls(&books, "looked up", vec![looked_up], usd("0.01")).await;
    let last = charged(&books, "told", &["0.01"]).await;
    let page = next(&books, 9).await.expect("a page");
    assert_eq!((ids(&page.calls), page.through), (vec![last], last));
    assert_eq!(page.calls[0].own_key, None, "the platform's");
}

/// A generation with the organization's own key, whose answers told these costs.
async fn by_own_key(books: &Books, request_id: &str, costs: &[&str]) -> GenerationId {
    let images = u32::try_from(costs.len()).expect("few");
    let mut own = draft(request_id, 500);
    (own.key_mode, own.requested) = (KeyMode::Organization, images);
    let own = books.held(&own).await;
    books.sqlite.dispatch(own, NOW).await.expect("dispatched");
    let mut settlement = settlement(own, "0");
    let total = costs.iter().fold(UsdCost::ZERO, |sum, cost| {
        sum.checked_add(usd(cost)).expect("a sum")
    });
    settlement.charge = Charge {
        key_mode: KeyMode::Organization,
        credits: Credits::from_hundredths(100 * i64::from(images)),
        images,
        cost: total,
        cost_source: CostSource::Usage,
        ..settlement.charge
    };
    settlement.delivery.images = (0..images).map(|index| image(own, index)).collect();
    let calls = (0..).zip(costs);
    let calls = calls.map(|(call, cost)| told(call, vec![call], cost));
    settlement.delivery.calls = calls.collect();
    books.sqlite.settle(own, settlement).await.expect("settled");
    own
}

#[tokio::test]
async fn what_an_organizations_own_key_paid_is_corrected_both_ways_and_its_credits_never() {
    let books = Books::open(1000).await;
    let raw = books.raw();
    for (request_id, record) in [("less", "0.004"), ("more", "7")] {
        let id = by_own_key(&books, request_id, &["0.01"]).await;
        let page = next(&books, 9).await.expect("a page");
        let key = page.calls[0].own_key.as_ref().expect("its own");
        assert_eq!(key.organization, organization("acme"));
        assert_eq!(key.fingerprint, draft(request_id, 500).upstream_key);
        pass(&books, id, &[record]).await;
        let sql = "SELECT cost_pd, refund_cc FROM correction WHERE generation = ?1";
        let corrected = raw.query_row(sql, [id.uuid().as_bytes().as_slice()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        });
        assert_eq!(corrected.expect("a correction"), (usd(record).pico(), 0));
    }
    let absorbed: i64 = raw
        .query_row("SELECT count(*) FROM absorption", [], |row| row.get(0))
        .expect("a count");
    assert_eq!(absorbed, 0, "the platform has paid nothing");
    assert_eq!(books.balance().await, [99_800, 0, 0]);
    books.audited().await;
}

#[tokio::test]
async fn what_the_records_say_less_comes_back_once() {
    let books = Books::open(1000).await;
    let id = charged(&books, "a", &["0.04", "0.03"]).await;
    assert_eq!(books.balance().await, [85_800, 0, 0]);
    for records in [["0.035", "0.02"], ["0.035", "0.02"], ["0.001", "0.001"]] {
        pass(&books, id, &records).await;
        assert_eq!(books.balance().await, [88_800, 0, 0]);
    }
    let case = books.sqlite.case(id).await.expect("a look").expect("there");
    let charge = case.generation.charge.expect("a charge");
    assert_eq!(charge.refunded.to_string(), "30.00");
    assert_eq!(charge.cost_source, CostSource::Usage);
    books.audited().await;
}

#[tokio::test]
async fn what_the_records_say_more_is_absorbed_and_what_is_beyond_belief_is_not_booked() {
    let books = Books::open(1000).await;
    let dear = charged(&books, "dear", &["0.04"]).await;
    let absurd = charged(&books, "absurd", &["0.04"]).await;
    pass(&books, dear, &["0.05"]).await;
    pass(&books, dear, &["0.01"]).await;
    pass(&books, absurd, &["500"]).await;
    assert_eq!(books.balance().await, [83_800, 0, 0]);
    let absorbed: Vec<(i64, String)> = {
        let raw = books.raw();
        let mut rows = raw
            .prepare("SELECT cost_pd, why FROM absorption")
            .expect("a statement");
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        rows.expect("rows")
            .collect::<Result<_, _>>()
            .expect("values")
    };
    assert_eq!(absorbed, [(10_000_000_000, "above_charge".to_owned())]);
    books.audited().await;
}

#[tokio::test]
async fn a_charge_with_an_open_question_is_corrected_when_that_is_answered() {
    let books = Books::open(1000).await;
    let mut untold = told(1, vec![1], "0");
    untold.cost = None;
    let calls = vec![told(0, vec![0], "0.04"), untold];
    let id = with_calls(&books, "a", calls, usd("0.07")).await;
    pass(&books, id, &["0.02"]).await;
    assert_eq!(books.balance().await, [85_800, 0, 0], "not yet");
    let due = books.sqlite.questions(Timestamp::MAX, 9).await;
    let asking = due.expect("a look").remove(0);
    let answer = Answer::Told(usd("0.03"));
    let noted = books.sqlite.answer(&asking, answer, later()).await;
    noted.expect("noted");
    assert_eq!(books.balance().await, [89_800, 0, 0]);
    books.audited().await;
}

#[tokio::test]
async fn a_disagreement_is_kept_and_the_audit_asks_what_followed_from_it() {
    let books = Books::open(1000).await;
    let id = charged(&books, "a", &["0.04"]).await;
    pass(&books, id, &["0.03"]).await;
    let raw = books.raw();
    for sql in [
        "DELETE FROM disagreement",
        "UPDATE disagreement SET cost_pd = 1",
        "INSERT INTO disagreement SELECT generation, 7, 1, 1 FROM disagreement",
        "INSERT INTO cost_check VALUES (2, randomblob(16))",
    ] {
        assert!(raw.execute_batch(sql).is_err(), "{sql}");
    }
    let doctored = "DROP TRIGGER disagreement_fixed; UPDATE disagreement SET cost_pd = cost_pd * 2";
    raw.execute_batch(doctored).expect("doctored");
    let breaks = books.sqlite.audit().await.expect("an audit");
    for question in ["I12: the calls cost", "I13: what the calls"] {
        let is_asked = breaks.iter().any(|one| one.starts_with(question));
        assert!(is_asked, "{question} in {breaks:#?}");
    }
}

#[tokio::test]
async fn a_page_of_the_walk_reads_that_page_and_what_is_open() {
    let books = Books::open(0).await;
    let sql = super::super::checks::PAGE;
    let bounds: [&dyn rusqlite::ToSql; 4] = [&[0u8; 16], &0, &0, &9];
    let steps = plan(&books, sql, bounds.into_iter());
    assert!(
        steps.iter().all(|step| !step.starts_with("SCAN")) && steps.len() >= 2,
        "{steps:#?}"
    );
}

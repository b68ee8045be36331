//! Limits count what usage counts, in the same day and month, and beside it what is under way.

use proptest::prelude::*;

use super::histories::{live, one};
use super::*;
use crate::domain::quota::Quota;
use crate::store::sqlite::hold::{CREDITS_USED, IMAGES_USED};

/// What a call of the agent at this time would find used, in images and in hundredths of a credit. Both
/// limits are zero, so that nothing is held.
async fn used(books: &Books, agent: &str, now: Timestamp) -> (u32, i64) {
    let ask = async |limits: Limits| {
        let mut asking = draft("asking", 1);
        asking.agent = AgentId::parse(agent).expect("an agent");
        let start = |length: usize, rest: &str| -> Timestamp {
            let text = format!("{}{rest}", &now.to_string()[..length]);
            text.parse().expect("a time")
        };
        let opening = Opening {
            limits,
            day_start: start(10, "T00:00:00Z"),
            month_start: start(7, "-01T00:00:00Z"),
            ..opening(&asking)
        };
        books.sqlite.hold(opening).await.expect("an outcome")
    };
    let none = Credits::from_hundredths(i64::MIN / 2);
    let daily = Limits {
        daily_images: Some(0),
        ..Limits::default()
    };
    let monthly = Limits {
        monthly_credits: Some(none),
        ..Limits::default()
    };
    match (ask(daily).await, ask(monthly).await) {
        (
            HoldOutcome::DailyLimit(Quota { used: images, .. }),
            HoldOutcome::MonthlyLimit(Quota { used: credits, .. }),
        ) => (images, credits.hundredths()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_leaves_images_and_credits_on_one_day() {
    let books = Books::open(1000).await;
    let first = held_at(&books, "first", "2026-11-30T23:50:00Z").await;
    let next = held_at(&books, "next", "2026-11-30T23:50:00Z").await;
    let failed = held_at(&books, "failed", "2026-12-01T00:05:00Z").await;
    settled_at(&books, first, "2026-12-01T00:01:00Z").await;
    // The ledger is at home in December already; the clock is not.
    settled_at(&books, next, "2026-11-30T23:59:00Z").await;
    let ending = Voiding {
        now: time("2026-11-30T23:59:30Z"),
        ..voiding(Reason::Internal)
    };
    let voided = books.sqlite.void(failed, ending).await.expect("voided");
    assert_eq!(voided.finished, Some(time("2026-12-01T00:05:00Z")));
    let by_day = usage(&books, UsageQuery::default()).await;
    let days = by_day.rows.iter().map(|row| {
        let counted = (row.generations, row.images, row.failed);
        (row.key.as_str(), counted, row.credits.hundredths())
    });
    assert_eq!(days.collect::<Vec<_>>(), [("2026-12-01", (2, 2, 1), 600)]);
    let today = used(&books, "painter", time("2026-12-01T00:10:00Z")).await;
    assert_eq!(today, (2, 600));
    assert_eq!(since(&books, "2026-12-01T00:00:00Z").await, (2, 600));
    books.audited_but_for(is_of_made_up_calls).await;
}

fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// A hold of 5.00 credits at `begun` by the agent `painter`.
async fn held_at(books: &Books, request_id: &str, begun: &str) -> GenerationId {
    let created = time(begun);
    let draft = Draft {
        created,
        deadline: created + SignedDuration::from_secs(300),
        ..draft(request_id, 500)
    };
    let id = books.held(&draft).await;
    books
        .sqlite
        .dispatch(id, created)
        .await
        .expect("dispatched");
    id
}

async fn settled_at(books: &Books, id: GenerationId, ended: &str) {
    // 0.001 USD: 3.00 credits.
    let mut ending = settlement(id, "0.001");
    ending.delivery.now = time(ended);
    books.sqlite.settle(id, ending).await.expect("settled");
}

/// The sums of the agent `painter` since this instant.
async fn since(books: &Books, from: &str) -> (u64, i64) {
    let query = UsageQuery {
        period: Period {
            from: Some(time(from)),
            before: None,
        },
        agent: AgentId::parse("painter").ok(),
        ..UsageQuery::default()
    };
    let total = usage(books, query).await.total;
    (total.images, total.credits.hundredths())
}

#[tokio::test]
async fn what_runs_past_midnight_belongs_to_the_day_and_month_in_which_it_is_settled() {
    let books = Books::open(1000).await;
    let id = held_at(&books, "late", "2026-11-30T23:59:30Z").await;
    let (before, after) = (
        time("2026-11-30T23:59:59.999999Z"),
        time("2026-12-01T00:00:00Z"),
    );
    for now in [before, after] {
        let found = used(&books, "painter", now).await;
        assert_eq!(found, (1, 500), "under way, it may end today: {now}");
    }
    settled_at(&books, id, "2026-12-01T00:00:00Z").await;
    assert_eq!(used(&books, "painter", after).await, (1, 300));
    assert_eq!(since(&books, "2026-12-01T00:00:00Z").await, (1, 300));
    let by_day = usage(&books, UsageQuery::default()).await;
    let days: Vec<_> = by_day.rows.iter().map(|row| row.key.as_str()).collect();
    assert_eq!(days, ["2026-12-01"]);
    let next_day = time("2026-12-02T00:00:00Z");
    assert_eq!(used(&books, "painter", next_day).await, (0, 300));
    let next_month = time("2027-01-01T00:00:00Z");
    assert_eq!(used(&books, "painter", next_month).await, (0, 0));
}

#[tokio::test]
async fn what_ends_in_the_last_instant_of_a_month_takes_nothing_of_the_next() {
    let books = Books::open(1000).await;
    let id = held_at(&books, "in time", "2026-11-30T23:59:30Z").await;
    settled_at(&books, id, "2026-11-30T23:59:59.999999Z").await;
    let last = time("2026-11-30T23:59:59.999999Z");
    assert_eq!(used(&books, "painter", last).await, (1, 300));
    let first = time("2026-12-01T00:00:00Z");
    assert_eq!(used(&books, "painter", first).await, (0, 0));
    assert_eq!(since(&books, "2026-12-01T00:00:00Z").await, (0, 0));
}

#[tokio::test]
async fn what_is_taken_back_or_fails_leaves_the_limit_as_it_was() {
    let books = Books::open(1000).await;
    let id = held_at(&books, "fails", "2026-11-30T23:59:30Z").await;
    let now = time("2026-12-01T00:00:10Z");
    assert_eq!(used(&books, "painter", now).await, (1, 500));
    let ending = Voiding {
        now,
        ..voiding(Reason::ContentRejected)
    };
    books.sqlite.void(id, ending).await.expect("voided");
    assert_eq!(used(&books, "painter", now).await, (0, 0));
}

#[tokio::test]
async fn a_hold_reads_no_more_than_its_agents_period() {
    let books = Books::open(0).await;
    let values = ["acme".to_owned(), "painter".to_owned(), "0".to_owned()];
    for (sql, step) in [
        (
            IMAGES_USED,
            "(organization=? AND agent=? AND finished_us>?)",
        ),
        (
            IMAGES_USED,
            "(organization=? AND agent=? AND finished_us=?)",
        ),
        (
            CREDITS_USED,
            "(organization=? AND agent=? AND finished_us>?)",
        ),
        (
            CREDITS_USED,
            "(organization=? AND agent=? AND finished_us=?)",
        ),
        (
            CREDITS_USED,
            "INDEX ledger_refund (organization=? AND at_us>?)",
        ),
    ] {
        let values = values.iter().map(|value| value as &dyn rusqlite::ToSql);
        let plan = plan(&books, sql, values);
        assert!(
            plan.iter().any(|line| line.contains(step)),
            "{step}: {plan:#?}"
        );
        let whole = |line: &&String| line.starts_with("SCAN") && !line.contains("subquery");
        assert_eq!(plan.iter().find(whole), None, "{plan:#?}");
    }
}

async fn agree(all: &[One]) {
    let books = Books::open(100_000).await;
    live(&books, all).await;
    // Each midnight of the days that anything happens in; the last four are of the next month.
    for day in 0..7 {
        let now = at(1440 * day);
        for agent in 0..3u8 {
            let name = format!("agent-{agent}");
            let of = async |from: &str| {
                let query = UsageQuery {
                    period: Period {
                        from: Some(time(from)),
                        before: None,
                    },
                    agent: AgentId::parse(&name).ok(),
                    ..UsageQuery::default()
                };
                usage(&books, query).await.total
            };
            let under_way = all.iter().filter(|one| one.agent == agent);
            let under_way = under_way.filter(|one| matches!(one.end, End::Open));
            let under_way = i64::try_from(under_way.count()).expect("few");
            let text = now.to_string();
            let day = of(&format!("{}T00:00:00Z", &text[..10])).await;
            let month = of(&format!("{}-01T00:00:00Z", &text[..7])).await;
            let images = i64::try_from(day.images).expect("few") + under_way;
            let credits = month.credits.hundredths() + 300 * under_way;
            let found = used(&books, &name, now).await;
            assert_eq!(
                (i64::from(found.0), found.1),
                (images, credits),
                "{name} {now}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_limit_finds_used_what_usage_tells_and_what_is_under_way(
        all in proptest::collection::vec(one(), 1..16),
    ) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(agree(&all));
    }
}

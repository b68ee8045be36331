//! Sums: they are the ledger's, at one instant, however much there is.

use futures_util::future::join_all;
use rust_decimal::Decimal;

use super::*;
use crate::domain::books::EntryKind;
use crate::ports::{
    EntryFilter, GROUPS_MAX, LedgerEntry, Period, Records, Usage, UsageBy, UsageQuery, UsageRow,
};
use crate::store::sqlite::usage::{conditions, sql};

use histories::{End, One, live};

mod histories;
mod limits;

fn at(minute: i64) -> Timestamp {
    let start: Timestamp = "2026-11-28T00:00:00Z".parse().expect("a time");
    start + SignedDuration::from_mins(minute)
}

async fn usage(books: &Books, query: UsageQuery) -> Usage {
    let sums = books.sqlite.usage(&organization("acme"), query).await;
    sums.expect("sums")
}

async fn ledger(books: &Books, booked: Period) -> Vec<LedgerEntry> {
    let filter = EntryFilter {
        booked,
        ..EntryFilter::default()
    };
    let acme = organization("acme");
    let rows = books.sqlite.entries(&acme, filter, None, 1000).await;
    rows.expect("rows")
}

#[tokio::test]
async fn a_refund_counts_on_its_own_day_against_the_agent_that_was_charged() {
    let books = Books::open(1000).await;
    let one = One {
        agent: 0,
        model: 0,
        channel: 0,
        user: 0,
        minute: 1,
        later: 1440,
        own_key: false,
        end: End::Corrected {
            pico: 40_000_000_000,
            told: 30_000_000_000,
        },
    };
    live(&books, &[one]).await;
    let kinds: Vec<_> = ledger(&books, Period::default()).await;
    assert!(kinds.iter().any(|row| row.kind == EntryKind::Refund));
    let by_day = usage(&books, UsageQuery::default()).await;
    let shown: Vec<_> = by_day
        .rows
        .iter()
        .map(|row| {
            let credits = row.credits.to_string();
            (
                row.key.as_str(),
                credits,
                row.usd_cost.to_string(),
                row.generations,
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("2026-11-28", "81.00".to_owned(), "0.04".to_owned(), 1),
            ("2026-11-29", "-20.00".to_owned(), "-0.01".to_owned(), 0),
        ]
    );
    assert_eq!(by_day.total.credits.to_string(), "61.00");
}

/// Many generations, each of a user and a day of its own. They are held at once, so that commits are
/// shared, and end in the order of their days: no row of a ledger is earlier than the one before.
async fn crowd(books: &Books, count: usize) {
    for start in (0..count).step_by(100) {
        let places = start..count.min(start + 100);
        let begun = join_all(places.clone().map(|place| async move {
            let mut draft = draft(&format!("r-{place}"), 100);
            draft.context.user_id = format!("user-{place:04}");
            let id = books.held(&draft).await;
            let dispatched = books.sqlite.dispatch(id, at(0)).await;
            dispatched.expect("dispatched");
            id
        }));
        let begun = begun.await;
        for (place, id) in places.zip(begun) {
            let day = i64::try_from(place).expect("few");
            let mut ending = settlement(id, "0.001");
            ending.charge.credits = Credits::from_hundredths(100 + day);
            ending.delivery.now = at(1440 * day);
            books.sqlite.settle(id, ending).await.expect("settled");
        }
    }
}

#[tokio::test]
async fn beyond_a_thousand_groups_the_least_and_the_oldest_are_told_together() {
    let books = Books::open(100_000).await;
    crowd(&books, GROUPS_MAX + 3).await;
    let by_user = usage(
        &books,
        UsageQuery {
            by: UsageBy::User,
            ..UsageQuery::default()
        },
    )
    .await;
    assert_eq!(by_user.rows.len(), GROUPS_MAX);
    assert_eq!(by_user.rows[0].key, "user-1002");
    let other = by_user.other.expect("the rest");
    assert_eq!((other.key.as_str(), other.generations), ("", 3));
    // user-0000 to user-0002: 1.00, 1.01 and 1.02.
    assert_eq!(other.credits.to_string(), "3.03");
    assert_eq!(other.usd_cost.to_string(), "0.003");
    let by_day = usage(&books, UsageQuery::default()).await;
    assert_eq!(by_day.rows.len(), GROUPS_MAX);
    assert!(by_day.rows.is_sorted_by_key(|row| &row.key));
    let last = at(1440 * 1002).to_string();
    assert_eq!(by_day.rows[GROUPS_MAX - 1].key, last[..10]);
    assert_eq!(by_day.other.expect("the days before").generations, 3);
    assert_eq!(by_day.total, by_user.total);
}

#[tokio::test]
async fn sums_are_of_one_instant_while_charges_come_in() {
    let books = Books::open(100_000).await;
    let coming = crowd(&books, 300);
    let looking = async {
        let mut seen = 0;
        while seen < 300 {
            let found = usage(&books, UsageQuery::default()).await;
            let sum = found.rows.iter().fold(Credits::ZERO, |sum, row| {
                sum.checked_add(row.credits).expect("fits")
            });
            assert_eq!(sum, found.total.credits);
            let rows: u64 = found.rows.iter().map(|row| row.generations).sum();
            assert_eq!(rows, found.total.generations);
            assert!(rows >= seen);
            seen = rows;
        }
    };
    futures_util::future::join(coming, looking).await;
}

#[tokio::test]
async fn costs_beyond_nine_million_dollars_are_summed() {
    let books = Books::open(1).await;
    let raw = books.raw();
    // The charges that would go with such costs do not fit a test; the sums ask the ends alone.
    let rows = "
      PRAGMA foreign_keys = OFF;
      WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 25)
      INSERT INTO generation SELECT randomblob(16), 'acme', n, 1, zeroblob(32), 'a', 'm', 'hub', 'live', '', 'platform',
             1, 'k', 1, 2, '{}' FROM n;
      INSERT INTO generation_state (generation, organization, request_id, agent, version, state, delivered, charged_images,
             cost_pd, cost_source, charge_cc, finished_us)
      SELECT id, organization, request_id, agent, 5, 'settled', 1, 1, 999999999999999999, 'usage', 1, 1 FROM generation;";
    raw.execute_batch(rows).expect("rows");
    let total = usage(&books, UsageQuery::default()).await.total;
    let dear: Decimal = "24999999.999999999975".parse().expect("a cost");
    assert_eq!((total.generations, total.usd_cost), (25, dear));
}

#[tokio::test]
async fn a_sum_over_a_period_reads_that_period_of_one_organization() {
    let books = Books::open(0).await;
    let query = UsageQuery {
        period: Period {
            from: Some(at(0)),
            before: Some(at(1)),
        },
        by: UsageBy::Agent,
        agent: AgentId::parse("painter").ok(),
        ..UsageQuery::default()
    };
    let conditions = conditions(&organization("acme"), &query);
    let plan = plan(&books, &sql(query.by, &conditions), conditions.values());
    for step in [
        "SEARCH l USING INDEX ledger_by_time (organization=? AND at_us>? AND at_us<?)",
        "SEARCH s USING INDEX generation_by_end (organization=? AND finished_us>? AND finished_us<?)",
    ] {
        assert!(plan.iter().any(|line| line == step), "{plan:#?}");
    }
    // Sums and corrections are the only things that are read whole.
    let whole = |line: &&String| {
        let known = ["SCAN e", "SCAN c", "SCAN sums", "SCAN (subquery"];
        line.starts_with("SCAN") && !known.iter().any(|known| line.starts_with(known))
    };
    assert_eq!(plan.iter().find(whole), None, "{plan:#?}");
}

/// How SQLite would answer, step by step.
pub(super) fn plan<'a>(
    books: &Books,
    sql: &str,
    values: impl Iterator<Item = &'a dyn rusqlite::ToSql>,
) -> Vec<String> {
    let raw = books.raw();
    let mut statement = raw
        .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
        .expect("a statement");
    let steps = statement.query_map(rusqlite::params_from_iter(values), |row| row.get(3));
    steps
        .expect("steps")
        .collect::<Result<_, _>>()
        .expect("steps")
}

//! Pages: nothing twice, nothing left out, nothing of another organization.

use super::*;
use crate::ports::{EntryFilter, GenerationFilter, Period, Records, Seen, UsageQuery};
use crate::store::sqlite::records::of_generations;

fn seen(generation: &Generation) -> Seen {
    Seen {
        accepted: generation.draft.created,
        id: generation.draft.id,
    }
}

/// A generation accepted at this second.
async fn accepted(books: &Books, name: &str, second: i64) {
    let mut draft = draft(name, 100);
    draft.created = Timestamp::from_second(second).expect("a time");
    draft.deadline = draft.created + SignedDuration::from_secs(300);
    books.held(&draft).await;
}

async fn page(
    books: &Books,
    filter: GenerationFilter,
    after: Option<Seen>,
    limit: u32,
) -> Vec<Generation> {
    let acme = organization("acme");
    let page = books.sqlite.generations(&acme, filter, after, limit).await;
    page.expect("a page")
}

fn names(page: &[Generation]) -> Vec<&str> {
    page.iter()
        .map(|one| one.draft.request_id.as_str())
        .collect()
}

#[tokio::test]
async fn the_last_accepted_comes_first_whatever_its_id_and_none_of_the_same_time_is_lost() {
    let books = Books::open(100).await;
    for (name, second) in [("a", 50), ("b", 10), ("c", 30), ("d", 30), ("e", 30)] {
        accepted(&books, name, second).await;
    }
    let all = page(&books, GenerationFilter::default(), None, 9).await;
    assert_eq!(names(&all), ["a", "e", "d", "c", "b"]);
    let mut one_by_one = Vec::new();
    let mut after = None;
    loop {
        let next = page(&books, GenerationFilter::default(), after, 1).await;
        let Some(next) = next.into_iter().next() else {
            break;
        };
        after = Some(seen(&next));
        // Newer ones move nothing.
        let newer = i64::try_from(100 + one_by_one.len()).expect("few");
        accepted(&books, &format!("new-{newer}"), newer).await;
        one_by_one.push(next);
    }
    assert_eq!(one_by_one, all);
}

#[tokio::test]
async fn a_period_is_half_open() {
    let books = Books::open(100).await;
    for second in 1..=4 {
        accepted(&books, &second.to_string(), second).await;
    }
    let filter = GenerationFilter {
        accepted: Period {
            from: Timestamp::from_second(2).ok(),
            before: Timestamp::from_second(4).ok(),
        },
        ..GenerationFilter::default()
    };
    assert_eq!(names(&page(&books, filter, None, 9).await), ["3", "2"]);
    // Finer than the books keep: what was accepted at 2 s is before, what was at 3 s too.
    let nanosecond = SignedDuration::from_nanos(1);
    let finer = GenerationFilter {
        accepted: Period {
            from: Timestamp::from_second(2).ok().map(|at| at + nanosecond),
            before: Timestamp::from_second(3).ok().map(|at| at + nanosecond),
        },
        ..GenerationFilter::default()
    };
    assert_eq!(names(&page(&books, finer, None, 9).await), ["3"]);
}

#[tokio::test]
async fn another_organizations_generation_and_one_that_is_not_there_are_the_same_nothing() {
    let books = Books::open(100).await;
    books.organization("other").await;
    let id = books.held(&draft("a", 300)).await;
    settled(&books, id, "0.001").await;
    let other = organization("other");
    let sqlite = &books.sqlite;
    let page = sqlite.generations(&other, GenerationFilter::default(), None, 9);
    assert_eq!(page.await.expect("a page"), []);
    for generation in [id, GenerationId::from_uuid(Uuid::now_v7())] {
        let filter = EntryFilter {
            generation: Some(generation),
            ..EntryFilter::default()
        };
        let rows = sqlite.entries(&other, filter, None, 9).await;
        assert_eq!(rows.expect("rows"), []);
    }
    let sums = sqlite.usage(&other, UsageQuery::default()).await;
    assert_eq!(sums.expect("sums"), crate::ports::Usage::default());
    let nowhere = organization("nowhere");
    let absent = sqlite.usage(&nowhere, UsageQuery::default()).await;
    assert!(matches!(absent, Err(LedgerError::OrganizationNotFound)));
}

#[tokio::test]
async fn a_page_is_found_without_sorting_all_generations() {
    let books = Books::open(0).await;
    let at = |second| Timestamp::from_second(second).ok();
    let after = Some(Seen {
        accepted: at(9).expect("a time"),
        id: GenerationId::from_uuid(Uuid::nil()),
    });
    let agent = AgentId::parse("painter").ok();
    for (agent, index) in [(None, "generation_by_time"), (agent, "generation_by_agent")] {
        let filter = GenerationFilter {
            agent,
            accepted: Period {
                from: at(1),
                before: at(20),
            },
            ..GenerationFilter::default()
        };
        let conditions = of_generations(&organization("acme"), &filter, after);
        let sql = crate::store::sqlite::records::sql(&conditions, 50);
        let plan = super::usage::plan(&books, &sql, conditions.values());
        assert!(plan[0].contains(index), "{plan:#?}");
        assert!(plan.iter().all(|step| !step.contains("SCAN")), "{plan:#?}");
        assert!(
            plan.iter().all(|step| !step.contains("TEMP B-TREE")),
            "{plan:#?}"
        );
    }
}

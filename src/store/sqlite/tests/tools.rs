//! Tools as rows: pages of them, who draws with what, and two hands at one tool.

use super::usage::plan;
use super::*;
use crate::domain::tool::Tool;
use crate::ports::{Agents, StatusFilter, ToolFilter};
use crate::store::sqlite::tools;

fn agent(name: &str) -> AgentId {
    AgentId::parse(name).expect("an agent")
}

fn slug(text: &str) -> Slug {
    Slug::parse(text).expect("a slug")
}

fn at_1k(models: &[&str]) -> Vec<(Slug, Resolution)> {
    let models = models.iter();
    models.map(|model| (slug(model), Resolution::R1K)).collect()
}

fn tool(name: &str, enabled: bool, model: Option<&str>) -> Tool {
    Tool {
        enabled,
        model: model.map(slug),
        ..Tool::new(agent(name), Timestamp::UNIX_EPOCH)
    }
}

/// Agents of every kind, as `name` sorts them.
async fn busy() -> Books {
    let books = Books::open(0).await;
    books.organization("other").await;
    for (owner, tool) in [
        ("acme", tool("d", true, Some("acme/good"))),
        ("acme", tool("a", true, Some("acme/good"))),
        ("acme", tool("b", true, Some("acme/gone"))),
        ("acme", tool("c", false, Some("acme/good"))),
        ("acme", tool("e", true, None)),
        ("acme", tool("Z", false, None)),
        ("acme", tool("é", true, Some("acme/fine"))),
        ("other", tool("a2", true, Some("acme/good"))),
    ] {
        let owner = organization(owner);
        let saved = books.sqlite.save_tool(&owner, None, tool, operator()).await;
        assert!(saved.expect("saved"));
    }
    books
}

async fn found(books: &Books, filter: &ToolFilter, after: Option<&str>, limit: u32) -> Vec<String> {
    let (acme, after) = (organization("acme"), after.map(agent));
    let page = books.sqlite.tools(&acme, filter.clone(), after, limit);
    let page = page.await.expect("a page");
    page.iter().map(|tool| tool.agent.to_string()).collect()
}

#[tokio::test]
async fn tools_are_found_by_agent_and_narrowed_by_model_and_status() {
    let books = busy().await;
    let usable = at_1k(&["acme/good", "acme/fine"]);
    let all = ToolFilter::default();
    let everybody = ["Z", "a", "b", "c", "d", "e", "é"];
    assert_eq!(found(&books, &all, None, 100).await, everybody);
    assert_eq!(found(&books, &all, Some("b"), 2).await, ["c", "d"]);
    assert!(found(&books, &all, Some("é"), 2).await.is_empty());
    let good = ToolFilter {
        model: Some(slug("acme/good")),
        ..ToolFilter::default()
    };
    assert_eq!(found(&books, &good, None, 100).await, ["a", "c", "d"]);
    let of = |status| ToolFilter {
        status: Some(status),
        ..ToolFilter::default()
    };
    let ready = of(StatusFilter::Ready(usable.clone()));
    assert_eq!(found(&books, &ready, None, 100).await, ["a", "d", "é"]);
    let in_need = of(StatusFilter::NeedsConfiguration(usable.clone()));
    assert_eq!(found(&books, &in_need, None, 100).await, ["b", "e"]);
    let off = of(StatusFilter::Disabled);
    assert_eq!(found(&books, &off, None, 100).await, ["Z", "c"]);
    let nothing_usable = of(StatusFilter::NeedsConfiguration(Vec::new()));
    let enabled = ["a", "b", "d", "e", "é"];
    assert_eq!(found(&books, &nothing_usable, None, 100).await, enabled);
    let both = ToolFilter {
        model: Some(slug("acme/good")),
        status: Some(StatusFilter::Ready(usable)),
        sizes: Some(vec![Resolution::R1K, Resolution::R4K]),
    };
    assert_eq!(found(&books, &both, Some("a"), 100).await, ["d"]);
    let larger = ToolFilter {
        sizes: Some(vec![Resolution::R2K]),
        ..both
    };
    assert!(found(&books, &larger, None, 100).await.is_empty());
    let only_larger = vec![(slug("acme/good"), Resolution::R2K)];
    let none = of(StatusFilter::Ready(only_larger.clone()));
    assert!(found(&books, &none, None, 100).await.is_empty());
    let all = of(StatusFilter::NeedsConfiguration(only_larger));
    assert_eq!(found(&books, &all, None, 100).await, enabled);
}

#[tokio::test]
async fn who_draws_with_a_model_is_named_up_to_a_limit_and_counted_beyond_it() {
    let books = busy().await;
    let model = slug("acme/good");
    let acme = organization("acme");
    let both = vec![agent("a"), agent("d")];
    for (limit, first) in [(0, vec![]), (1, vec![agent("a")]), (9, both)] {
        let of = (&model, &[Resolution::R512, Resolution::R1K][..]);
        let found = books.sqlite.agents_enabled_with(&acme, of, limit).await;
        assert_eq!(found.expect("a look"), Agents { first, count: 2 });
    }
    let unused = slug("acme/unused");
    for of in [
        (&unused, &[Resolution::R1K][..]),
        (&model, &[Resolution::R2K][..]),
    ] {
        let none = books.sqlite.agents_enabled_with(&acme, of, 9).await;
        assert_eq!(none.expect("a look"), Agents::default());
    }
}

#[tokio::test]
async fn a_page_stops_where_it_is_full_instead_of_sorting_everything() {
    let books = busy().await;
    let usable = at_1k(&["acme/good"]);
    for (model, status) in [
        (None, None),
        (Some(slug("acme/good")), None),
        (None, Some(StatusFilter::Disabled)),
        (None, Some(StatusFilter::Ready(usable.clone()))),
        (None, Some(StatusFilter::NeedsConfiguration(usable.clone()))),
        (Some(slug("acme/good")), Some(StatusFilter::Ready(usable))),
    ] {
        let filter = ToolFilter {
            model,
            status,
            sizes: Some(vec![Resolution::R1K]),
        };
        let after = agent("a");
        let (sql, page) = tools::page_sql(&organization("acme"), &filter, Some(&after), 50);
        let steps = plan(&books, &sql, page.values());
        let index = match filter.model {
            Some(_) => "USING INDEX tool_by_model (organization=? AND model=? AND agent>?)",
            None => "USING PRIMARY KEY (organization=? AND agent>?)",
        };
        assert!(steps[0].contains(index), "{steps:#?}");
        let sorts = steps.iter().any(|step| step.contains("TEMP B-TREE"));
        assert!(!sorts, "{steps:#?}");
    }
}

#[tokio::test]
async fn a_tool_is_deleted_once_and_only_where_it_belongs() {
    let books = busy().await;
    let sqlite = &books.sqlite;
    let (acme, other) = (organization("acme"), organization("other"));
    let gone = sqlite.delete_tool(&other, &agent("a"), operator()).await;
    assert!(!gone.expect("a look"));
    // Another's agent of the same name keeps its tool.
    let same = tool("a", true, None);
    let saved = sqlite.save_tool(&other, None, same.clone(), operator());
    assert!(saved.await.expect("saved"));
    for there in [true, false] {
        let gone = sqlite.delete_tool(&acme, &agent("a"), operator()).await;
        assert_eq!(gone.expect("a look"), there);
    }
    assert_eq!(sqlite.tool(&acme, &agent("a")).await.expect("a look"), None);
    let kept = sqlite.tool(&other, &agent("a")).await.expect("a look");
    assert_eq!(kept, Some(same));
}

#[tokio::test]
async fn a_change_that_was_thought_out_for_another_tool_is_not_made() {
    let books = busy().await;
    let (sqlite, acme) = (&books.sqlite, organization("acme"));
    let before = sqlite.tool(&acme, &agent("a")).await.expect("a look");
    let first = tool("a", true, Some("acme/fine"));
    let second = tool("a", false, Some("acme/good"));
    let save = |before: Option<&Tool>, after: &Tool| {
        sqlite.save_tool(&acme, before.cloned(), after.clone(), operator())
    };
    assert!(save(before.as_ref(), &first).await.expect("saved"));
    assert!(!save(before.as_ref(), &second).await.expect("too late"));
    assert!(!save(None, &second).await.expect("it is there"));
    let kept = sqlite.tool(&acme, &agent("a")).await.expect("a look");
    assert_eq!(kept.as_ref(), Some(&first));
    assert!(
        sqlite
            .delete_tool(&acme, &agent("a"), operator())
            .await
            .expect("gone")
    );
    assert!(!save(Some(&first), &second).await.expect("it is gone"));
    assert!(save(None, &second).await.expect("saved"));
}

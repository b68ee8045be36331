//! Lists of tools: every filter, every page, nothing of anybody else.

use futures_util::{StreamExt, stream};
use image_gateway::proto;
use prost::Message;
use proto::ToolStatus;

use super::{Tool, agents, get, list, switch, tool};
use crate::helpers::{AGENT, GPT, House, KLEIN, NANO, reason};

type Asked = proto::ListGenerateImageToolsRequest;

/// Longer than one page, and than one message that every client reads.
const MANY: usize = 1_100;

/// What a client reads unless it is told otherwise.
const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Saves tools, many at a time.
pub(super) async fn save_all(house: &House, tools: impl IntoIterator<Item = Tool>) {
    let saved = stream::iter(tools).map(|tool| house.save_tool(tool));
    let saved: Vec<_> = saved.buffer_unordered(50).collect().await;
    for one in saved {
        one.expect("saved");
    }
}

/// An enabled tool.
pub(super) fn enabled(agent: &str, model: &str) -> Tool {
    Tool {
        enabled: true,
        model: model.to_owned(),
        ..tool(agent)
    }
}

/// Agents of every status, `painter` among them, and one of another organization.
async fn busy() -> House {
    let house = House::open().await;
    let off = Tool {
        enabled: false,
        ..enabled("off", KLEIN)
    };
    let tools = [
        off,
        tool("empty"),
        enabled("Zed", KLEIN),
        enabled("ünal", GPT),
        enabled("nan", NANO),
    ];
    save_all(&house, tools).await;
    switch(&house, NANO, false, false).await.expect("off");
    house.add_organization("other").await;
    let theirs = proto::UpdateGenerateImageToolRequest {
        generate_image_tool: Some(enabled("stranger", KLEIN)),
        ..Default::default()
    };
    let stranger = house.key("other", proto::Role::Admin).await;
    let mut tools = house.tools(&stranger);
    let made = tools.update_generate_image_tool(theirs).await;
    made.expect("theirs");
    house
}

#[tokio::test]
async fn tools_are_listed_by_agent_as_each_is_shown_and_narrowed_by_every_filter() {
    let house = busy().await;
    let all = list(&house, Asked::default()).await.expect("a page");
    assert_eq!(all.next_page_token, "");
    let all = all.generate_image_tools;
    let names: Vec<&str> = all.iter().map(|tool| tool.agent_id.as_str()).collect();
    assert_eq!(names, ["Zed", "empty", "nan", "off", AGENT, "ünal"]);
    for shown in &all {
        let alone = get(&house, &shown.agent_id).await.expect("found");
        assert_eq!(*shown, alone);
    }
    for (status, expected) in [
        (ToolStatus::Ready, &["Zed", AGENT, "ünal"][..]),
        (ToolStatus::NeedsConfiguration, &["nan"]),
        (ToolStatus::Disabled, &["empty", "off"]),
    ] {
        let asked = Asked {
            status: status.into(),
            ..Asked::default()
        };
        let page = list(&house, asked.clone()).await.expect("a page");
        let tools = page.generate_image_tools;
        assert!(tools.iter().all(|tool| tool.status() == status));
        assert_eq!(agents(&house, asked).await, expected, "{status:?}");
    }
    let of = |model: &str, status: ToolStatus| Asked {
        model: model.to_owned(),
        status: status.into(),
        ..Asked::default()
    };
    let klein = of(KLEIN, ToolStatus::Unspecified);
    assert_eq!(agents(&house, klein).await, ["Zed", "off", AGENT]);
    let ready = of(KLEIN, ToolStatus::Ready);
    assert_eq!(agents(&house, ready).await, ["Zed", AGENT]);
    let unknown = of("acme/none", ToolStatus::Unspecified);
    assert!(agents(&house, unknown).await.is_empty());
    house.close().await;
}

#[tokio::test]
async fn pages_neither_repeat_nor_skip_while_tools_come_and_go() {
    let house = busy().await;
    let asked = |page_token: &str| Asked {
        page_size: 2,
        page_token: page_token.to_owned(),
        ..Asked::default()
    };
    let first = list(&house, asked("")).await.expect("a page");
    assert_eq!(first.generate_image_tools[1].agent_id, "empty");
    // The place of the token goes, and others come before and behind it.
    let gone = proto::DeleteGenerateImageToolRequest {
        agent_id: "empty".to_owned(),
    };
    let mut tools = house.tools(&house.admin);
    let deleted = tools.delete_generate_image_tool(gone).await;
    deleted.expect("deleted");
    save_all(&house, [tool("Abe"), tool("mia")]).await;
    let rest = agents(&house, asked(&first.next_page_token)).await;
    assert_eq!(rest, ["mia", "nan", "off", AGENT, "ünal"]);
    house.close().await;
}

#[tokio::test]
async fn a_page_of_the_longest_texts_can_be_read_and_holds_as_many_as_it_may() {
    let house = House::open().await;
    let long = (0..MANY).map(|n| Tool {
        when_to_use: "🦊".repeat(4_000),
        ..enabled(&format!("agent-{n:04}"), KLEIN)
    });
    save_all(&house, long).await;
    let asked = |page_size, page_token: String| Asked {
        page_size,
        page_token,
        ..Asked::default()
    };
    let page = list(&house, asked(0, String::new())).await.expect("a page");
    assert_eq!(page.generate_image_tools.len(), 50);
    let (mut seen, mut pages, mut token) = (Vec::new(), 0, String::new());
    loop {
        // The client has the limit that every client has.
        let page = list(&house, asked(2_000, token)).await;
        let page = page.expect("a page that can be read");
        assert!(page.encoded_len() < MESSAGE_BYTES_MAX);
        pages += 1;
        let tools = page.generate_image_tools.into_iter();
        seen.extend(tools.map(|tool| tool.agent_id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let mut expected: Vec<_> = (0..MANY).map(|n| format!("agent-{n:04}")).collect();
    expected.push(AGENT.to_owned());
    assert_eq!(seen, expected);
    assert!((5..8).contains(&pages), "{pages} pages");
    house.close().await;
}

#[tokio::test]
async fn a_page_has_a_thousand_tools_at_most() {
    let house = House::open().await;
    let many = (0..MANY).map(|n| tool(&format!("agent-{n:04}")));
    save_all(&house, many).await;
    for (page_size, expected) in [(1_000, 1_000), (i32::MAX, 1_000), (999, 999)] {
        let asked = Asked {
            page_size,
            ..Asked::default()
        };
        let page = list(&house, asked).await.expect("a page");
        assert_eq!(page.generate_image_tools.len(), expected);
        assert_ne!(page.next_page_token, "");
    }
    house.close().await;
}

#[tokio::test]
async fn a_token_is_good_for_its_question_in_its_organization_alone() {
    let house = busy().await;
    let first = Asked {
        page_size: 1,
        ..Asked::default()
    };
    let token = list(&house, first).await.expect("a page").next_page_token;
    let asked = Asked {
        page_token: token.clone(),
        ..Asked::default()
    };
    let change = proto::AvailabilityChange {
        slug: KLEIN.to_owned(),
        available: false,
    };
    for other in [
        Asked {
            model: KLEIN.to_owned(),
            ..asked.clone()
        },
        Asked {
            status: ToolStatus::Ready.into(),
            ..asked.clone()
        },
        Asked {
            affected_by: Some(change),
            ..asked.clone()
        },
        Asked {
            page_token: format!("{token}00"),
            ..Asked::default()
        },
        Asked {
            page_token: "Zed".to_owned(),
            ..Asked::default()
        },
        Asked {
            page_size: -1,
            ..Asked::default()
        },
        Asked {
            status: 9,
            ..Asked::default()
        },
        Asked {
            model: "not a slug".to_owned(),
            ..Asked::default()
        },
    ] {
        let refused = list(&house, other.clone()).await.expect_err("refused");
        assert_eq!(reason(&refused), "INVALID_REQUEST", "{other:?}");
    }
    let stranger = house.key("other", proto::Role::Owner).await;
    let mut theirs = house.tools(&stranger);
    let refused = theirs.list_generate_image_tools(asked.clone()).await;
    assert_eq!(reason(&refused.expect_err("ours")), "INVALID_REQUEST");
    let page = theirs.list_generate_image_tools(Asked::default()).await;
    let page = page.expect("a page").into_inner().generate_image_tools;
    let names: Vec<&str> = page.iter().map(|tool| tool.agent_id.as_str()).collect();
    assert_eq!(names, ["stranger"]);
    let mut owner = house.tools(&house.owner);
    let next = owner.list_generate_image_tools(asked).await;
    let next = next.expect("a page").into_inner().generate_image_tools;
    assert_eq!(next[0].agent_id, "empty");
    house.close().await;
}

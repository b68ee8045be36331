//! Tools and models as their administrators see them.

use image_gateway::proto;
use prost_types::FieldMask;
use tonic::Status;

use crate::helpers::{AGENT, GPT, House, KLEIN, OPERATOR_KEY, detail, reason, request};

mod affected;
mod deleting;
mod listing;
mod trying;
mod unusable;

type Tool = proto::GenerateImageTool;

async fn update(
    house: &House,
    tool: Tool,
    paths: &[&str],
    validate_only: bool,
) -> Result<Tool, Status> {
    let request = proto::UpdateGenerateImageToolRequest {
        generate_image_tool: Some(tool),
        update_mask: Some(FieldMask {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        }),
        validate_only,
    };
    house
        .tools(&house.admin)
        .update_generate_image_tool(request)
        .await
        .map(tonic::Response::into_inner)
}

/// The tool of an agent.
async fn get(house: &House, agent: &str) -> Result<Tool, Status> {
    let asked = proto::GetGenerateImageToolRequest {
        agent_id: agent.to_owned(),
    };
    let mut tools = house.tools(&house.runtime);
    Ok(tools.get_generate_image_tool(asked).await?.into_inner())
}

/// A page of tools.
async fn list(
    house: &House,
    asked: proto::ListGenerateImageToolsRequest,
) -> Result<proto::ListGenerateImageToolsResponse, Status> {
    let mut tools = house.tools(&house.runtime);
    Ok(tools.list_generate_image_tools(asked).await?.into_inner())
}

/// The agents of all pages.
async fn agents(house: &House, mut asked: proto::ListGenerateImageToolsRequest) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let page = list(house, asked.clone()).await.expect("a page");
        let tools = page.generate_image_tools.into_iter();
        all.extend(tools.map(|tool| tool.agent_id));
        asked.page_token = page.next_page_token;
        if asked.page_token.is_empty() {
            return all;
        }
    }
}

/// Switches a model on or off, or only asks what that would do.
async fn switch(
    house: &House,
    slug: &str,
    available: bool,
    validate_only: bool,
) -> Result<proto::UpdateModelAvailabilityResponse, Status> {
    let asked = proto::UpdateModelAvailabilityRequest {
        slug: slug.to_owned(),
        available,
        validate_only,
    };
    let mut models = house.models(&house.admin);
    Ok(models.update_model_availability(asked).await?.into_inner())
}

fn tool(agent: &str) -> Tool {
    Tool {
        agent_id: agent.to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_new_tool_has_the_defaults_of_the_published_page() {
    let house = House::open().await;
    let made = update(
        &house,
        Tool {
            enabled: true,
            model: GPT.to_owned(),
            ..tool("new")
        },
        &[],
        false,
    )
    .await
    .expect("made");
    let shown = [
        made.default_aspect_ratio.as_str(),
        &made.default_resolution,
        &made.max_resolution,
    ];
    assert_eq!(shown, ["1:1", "1K", "1K"]);
    assert_eq!(
        (made.max_images_per_call, made.status()),
        (1, proto::ToolStatus::Ready)
    );
    assert_eq!(made.estimate.as_ref().expect("an estimate").display, "~27");
    let read = proto::GetGenerateImageToolRequest {
        agent_id: "new".to_owned(),
    };
    let read = house
        .tools(&house.runtime)
        .get_generate_image_tool(read)
        .await
        .expect("found")
        .into_inner();
    assert_eq!(read, made);
    house.close().await;
}

#[tokio::test]
async fn only_the_named_fields_change() {
    let house = House::open().await;
    let both = Tool {
        when_to_use: "always".to_owned(),
        max_images_per_call: 2,
        ..tool(AGENT)
    };
    let changed = update(&house, both, &["when_to_use"], false)
        .await
        .expect("changed");
    assert_eq!(
        (changed.when_to_use.as_str(), changed.max_images_per_call),
        ("always", 4)
    );
    let cleared = update(&house, tool(AGENT), &["enabled"], false)
        .await
        .expect("changed");
    assert_eq!((cleared.enabled, cleared.model.as_str()), (false, KLEIN));
    assert_eq!(cleared.status(), proto::ToolStatus::Disabled);
    house.close().await;
}

#[tokio::test]
async fn what_cannot_be_saved_says_which_field_and_changes_nothing() {
    let house = House::open().await;
    let cases: Vec<(&str, Tool, &[&str])> = vec![
        ("agent_id", tool(""), &["enabled"]),
        (
            "model",
            Tool {
                enabled: true,
                ..tool("empty")
            },
            &["enabled"],
        ),
        (
            "default_resolution",
            Tool {
                default_resolution: "9K".to_owned(),
                ..tool(AGENT)
            },
            &["default_resolution"],
        ),
        (
            "default_resolution",
            Tool {
                max_resolution: "512".to_owned(),
                ..tool(AGENT)
            },
            &["max_resolution"],
        ),
        (
            "default_aspect_ratio",
            Tool {
                default_aspect_ratio: "wide".to_owned(),
                ..tool(AGENT)
            },
            &["default_aspect_ratio"],
        ),
        (
            "default_aspect_ratio",
            Tool {
                allowed_aspect_ratios: vec!["16:9".to_owned()],
                ..tool(AGENT)
            },
            &["allowed_aspect_ratios"],
        ),
        (
            "max_images_per_call",
            Tool {
                max_images_per_call: 5,
                ..tool(AGENT)
            },
            &["max_images_per_call"],
        ),
        (
            "max_images_per_call",
            Tool {
                max_images_per_call: -1,
                ..tool(AGENT)
            },
            &["max_images_per_call"],
        ),
        (
            "daily_image_limit",
            Tool {
                daily_image_limit: -1,
                ..tool(AGENT)
            },
            &["daily_image_limit"],
        ),
        (
            "monthly_credit_limit",
            Tool {
                monthly_credit_limit: "-1".to_owned(),
                ..tool(AGENT)
            },
            &["monthly_credit_limit"],
        ),
        (
            "quality",
            Tool {
                quality: "best".to_owned(),
                ..tool(AGENT)
            },
            &["quality"],
        ),
        (
            "when_to_use",
            Tool {
                when_to_use: "x".repeat(4001),
                ..tool(AGENT)
            },
            &["when_to_use"],
        ),
        ("update_mask", tool(AGENT), &["status"]),
        ("update_mask", tool(AGENT), &["nonsense"]),
    ];
    for (field, wanted, paths) in cases {
        let status = update(&house, wanted, paths, false).await.expect_err(field);
        assert_eq!(
            (reason(&status).as_str(), detail(&status, "field").as_str()),
            ("INVALID_REQUEST", field)
        );
    }
    let missing = update(
        &house,
        Tool {
            model: "acme/none".to_owned(),
            ..tool(AGENT)
        },
        &["model"],
        false,
    )
    .await;
    assert_eq!(reason(&missing.expect_err("unknown")), "MODEL_NOT_FOUND");
    house
        .generate(request("r"))
        .await
        .expect("the tool is as it was");
    house.close().await;
}

#[tokio::test]
async fn an_unknown_field_is_refused_readably_however_long_its_name_is() {
    let house = House::open().await;
    for letter in ["x", "€", "\n"] {
        let name = letter.repeat(20_000);
        let refused = update(&house, tool(AGENT), &[&name], false).await;
        let status = refused.expect_err("there is no such field");
        assert_eq!(reason(&status), "INVALID_REQUEST");
        assert_eq!(detail(&status, "field"), "update_mask");
        let words = "…, which cannot be changed; it takes enabled, model,";
        assert!(status.message().contains(words), "{status:?}");
    }
    house.close().await;
}

#[tokio::test]
async fn the_model_list_is_the_published_page() {
    let house = House::open().await;
    let list = |request| async {
        house
            .models(&house.runtime)
            .list_models(request)
            .await
            .map(tonic::Response::into_inner)
    };
    let all = list(proto::ListModelsRequest::default())
        .await
        .expect("models");
    let shown: Vec<String> = all
        .models
        .iter()
        .map(|m| m.estimate.as_ref().expect("an estimate").display.clone())
        .collect();
    assert_eq!(
        shown,
        [
            "~6", "~9", "~27", "29", "~32", "~40", "41", "61", "81", "121", "141", "301"
        ]
    );
    let klein = all
        .models
        .iter()
        .find(|model| model.slug == KLEIN)
        .expect("klein");
    assert_eq!(
        (klein.agents_using, klein.available, klein.tier()),
        (1, Some(true), proto::Tier::Draft)
    );
    assert_eq!(klein.estimates_by_resolution["2K"].expected, "35.00");

    let mut paged = Vec::new();
    let mut page_token = String::new();
    loop {
        let page = list(proto::ListModelsRequest {
            page_size: 5,
            page_token,
            ..Default::default()
        })
        .await
        .expect("a page");
        paged.extend(page.models);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(paged, all.models);
    let finals = list(proto::ListModelsRequest {
        tier: proto::Tier::Final.into(),
        ..Default::default()
    })
    .await
    .expect("models");
    assert_eq!(finals.models.len(), 3);
    for bad in [
        proto::ListModelsRequest {
            page_size: -1,
            ..Default::default()
        },
        proto::ListModelsRequest {
            page_token: "x".to_owned(),
            ..Default::default()
        },
        proto::ListModelsRequest {
            tier: 9,
            ..Default::default()
        },
    ] {
        assert_eq!(
            reason(&list(bad).await.expect_err("bad")),
            "INVALID_REQUEST"
        );
    }
    let platform = house
        .models(OPERATOR_KEY)
        .get_model(proto::GetModelRequest {
            slug: KLEIN.to_owned(),
        })
        .await;
    assert_eq!(platform.expect("a model").into_inner().available, None);
    house.close().await;
}

//! Changes that are only tried, and changes that meet.

use image_gateway::proto;
use prost_types::FieldMask;
use proto::ToolStatus;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::listing::enabled;
use super::{Tool, agents, get, switch, tool, update};
use crate::helpers::{AGENT, GPT, House, KLEIN, NANO, SEEDREAM, reason, request};

/// A tool without the times, which are those of the moment.
fn timeless(tool: Tool) -> Tool {
    Tool {
        create_time: None,
        update_time: None,
        ..tool
    }
}

/// What a refusal tells.
fn told(status: &Status) -> (Code, String, Vec<(String, String)>) {
    let details = status.get_error_details();
    let info = details.error_info().expect("an ErrorInfo").clone();
    let mut metadata: Vec<_> = info.metadata.into_iter().collect();
    metadata.sort();
    (status.code(), info.reason, metadata)
}

#[tokio::test]
async fn a_tried_change_answers_as_the_real_one_would_and_writes_nothing() {
    let house = House::open().await;
    let cases: [(Tool, &[&str], ToolStatus, &str); 4] = [
        (enabled(AGENT, GPT), &["model"], ToolStatus::Ready, "~27"),
        (
            Tool {
                default_resolution: "2K".to_owned(),
                ..enabled(AGENT, KLEIN)
            },
            &["default_resolution", "model"],
            ToolStatus::Ready,
            "35",
        ),
        (tool(AGENT), &["enabled"], ToolStatus::Disabled, "35"),
        (enabled(AGENT, SEEDREAM), &[], ToolStatus::Ready, "81"),
    ];
    for (wanted, paths, status, display) in cases {
        let before = get(&house, AGENT).await.expect("found");
        let tried = update(&house, wanted.clone(), paths, true).await;
        let tried = tried.expect("tried");
        assert_eq!(tried.status(), status);
        let estimate = tried.estimate.as_ref().expect("an estimate");
        assert_eq!(estimate.display, display);
        assert_eq!(get(&house, AGENT).await.expect("found"), before);
        let done = update(&house, wanted, paths, false).await.expect("done");
        assert_eq!(timeless(done), timeless(tried));
    }
    house.close().await;
}

#[tokio::test]
async fn a_new_tool_is_tried_without_being_made() {
    let house = House::open().await;
    let off = Tool {
        model: KLEIN.to_owned(),
        ..tool("new")
    };
    for (wanted, status) in [
        (off, ToolStatus::Disabled),
        (enabled("new", KLEIN), ToolStatus::Ready),
    ] {
        let tried = update(&house, wanted, &[], true).await.expect("tried");
        assert_eq!(tried.status(), status);
        assert_eq!(tried.estimate.as_ref().expect("an estimate").display, "29");
        assert_eq!(tried.max_images_per_call, 1);
        let absent = get(&house, "new").await.expect_err("not made");
        assert_eq!(reason(&absent), "AGENT_NOT_FOUND");
        let all = proto::ListGenerateImageToolsRequest::default();
        assert_eq!(agents(&house, all).await, [AGENT]);
    }
    let mut asked = request("r");
    asked.agent_id = "new".to_owned();
    let refused = house.generate(asked).await.expect_err("not made");
    assert_eq!(reason(&refused), "AGENT_NOT_FOUND");
    let wanted = enabled("new", KLEIN);
    let tried = update(&house, wanted.clone(), &[], true)
        .await
        .expect("tried");
    let made = update(&house, wanted, &[], false).await.expect("made");
    assert_eq!(timeless(made), timeless(tried));
    house.close().await;
}

#[tokio::test]
async fn what_would_be_refused_is_refused_when_it_is_tried_in_the_same_words() {
    let house = House::open().await;
    switch(&house, NANO, false, false).await.expect("off");
    let before = get(&house, AGENT).await.expect("found");
    for agent in [AGENT, "new"] {
        let cases: [(Tool, &[&str], &str); 7] = [
            (enabled(agent, NANO), &[], "MODEL_UNAVAILABLE"),
            (enabled(agent, "acme/none"), &[], "MODEL_NOT_FOUND"),
            (enabled(agent, ""), &["enabled", "model"], "INVALID_REQUEST"),
            (
                Tool {
                    max_images_per_call: 5,
                    ..tool(agent)
                },
                &[],
                "INVALID_REQUEST",
            ),
            (
                Tool {
                    default_resolution: "4K".to_owned(),
                    max_resolution: "2K".to_owned(),
                    ..tool(agent)
                },
                &[],
                "INVALID_REQUEST",
            ),
            (
                Tool {
                    monthly_credit_limit: "1.234".to_owned(),
                    ..tool(agent)
                },
                &[],
                "INVALID_REQUEST",
            ),
            (tool(agent), &["status"], "INVALID_REQUEST"),
        ];
        for (wanted, paths, expected) in cases {
            let tried = update(&house, wanted.clone(), paths, true).await;
            let tried = tried.expect_err("refused");
            let real = update(&house, wanted, paths, false).await;
            let real = real.expect_err("refused");
            assert_eq!(told(&tried), told(&real));
            assert_eq!(tried.message(), real.message());
            assert_eq!(reason(&tried), expected);
        }
    }
    assert_eq!(get(&house, AGENT).await.expect("found"), before);
    let all = proto::ListGenerateImageToolsRequest::default();
    assert_eq!(agents(&house, all).await, [AGENT]);
    let nothing = proto::UpdateGenerateImageToolRequest {
        validate_only: true,
        ..Default::default()
    };
    let mut tools = house.tools(&house.admin);
    let refused = tools.update_generate_image_tool(nothing).await;
    assert_eq!(reason(&refused.expect_err("no tool")), "INVALID_REQUEST");
    house.close().await;
}

#[tokio::test]
async fn changes_of_different_fields_that_meet_are_all_made() {
    let house = House::open().await;
    for round in 1..=20 {
        let text = format!("round {round}");
        let wanted = Tool {
            when_to_use: text.clone(),
            daily_image_limit: round,
            monthly_credit_limit: format!("{round}.00"),
            quality: if round % 2 == 0 { "low" } else { "high" }.to_owned(),
            ..tool("busy")
        };
        let one = |path: &'static str| {
            let request = proto::UpdateGenerateImageToolRequest {
                generate_image_tool: Some(wanted.clone()),
                update_mask: Some(FieldMask {
                    paths: vec![path.to_owned()],
                }),
                validate_only: false,
            };
            let mut tools = house.tools(&house.admin);
            async move { tools.update_generate_image_tool(request).await }
        };
        let all = tokio::join!(
            one("when_to_use"),
            one("daily_image_limit"),
            one("monthly_credit_limit"),
            one("quality")
        );
        for done in [all.0, all.1, all.2, all.3] {
            done.expect("made");
        }
        let kept = get(&house, "busy").await.expect("found");
        assert_eq!(kept.when_to_use, text);
        assert_eq!(kept.daily_image_limit, round);
        assert_eq!(kept.monthly_credit_limit, wanted.monthly_credit_limit);
        assert_eq!(kept.quality, wanted.quality);
    }
    house.close().await;
}

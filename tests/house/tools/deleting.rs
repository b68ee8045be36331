//! A tool that is deleted: what ends with it, and what does not.

use image_gateway::mock::Script;
use image_gateway::proto;
use proto::ToolStatus;
use tonic::{Code, Status};

use super::listing::enabled;
use super::{agents, get, tool, update};
use crate::calendar::away_from_midnight;
use crate::helpers::{AGENT, House, KLEIN, Story, detail, reason, request};

async fn delete(house: &House, key: &str, agent: &str) -> Result<(), Status> {
    let asked = proto::DeleteGenerateImageToolRequest {
        agent_id: agent.to_owned(),
    };
    let mut tools = house.tools(key);
    let deleted = tools.delete_generate_image_tool(asked).await;
    deleted.map(tonic::Response::into_inner)
}

/// All that is kept of what agents have done: usage, generations and the ledger.
#[derive(Debug, PartialEq)]
struct Past {
    usage: proto::QueryUsageResponse,
    generations: proto::ListGenerationsResponse,
    entries: proto::ListLedgerEntriesResponse,
    balance: proto::Balance,
}

async fn past(house: &House) -> Past {
    let usage = proto::QueryUsageRequest {
        group_by: proto::UsageGroup::Agent.into(),
        ..Default::default()
    };
    let of_agent = proto::ListGenerationsRequest {
        agent_id: AGENT.to_owned(),
        ..Default::default()
    };
    let entries = proto::ListLedgerEntriesRequest::default();
    let mut billing = house.billing(&house.admin);
    let usage = billing.query_usage(usage).await.expect("sums");
    let entries = billing.list_ledger_entries(entries).await.expect("a page");
    let mut images = house.images(&house.runtime);
    let generations = images.list_generations(of_agent).await.expect("a page");
    Past {
        usage: usage.into_inner(),
        generations: generations.into_inner(),
        entries: entries.into_inner(),
        balance: house.balance().await,
    }
}

#[tokio::test]
async fn what_an_agent_has_done_stays_as_it_is_when_its_tool_is_deleted() {
    let house = House::open().await;
    house.generate(request("first")).await.expect("a picture");
    house.mock.script(Script::sample("err-403-moderation"));
    house.generate(request("bad")).await.expect_err("rejected");
    let before = past(&house).await;
    assert_eq!(before.usage.rows[0].key, AGENT);
    assert_eq!(before.generations.generations.len(), 2);
    delete(&house, &house.admin, AGENT).await.expect("deleted");
    assert_eq!(past(&house).await, before);
    // A repeated call is still answered by what was made.
    let again = house.generate(request("first")).await.expect("a replay");
    assert!(again.completed.replayed);
    assert_eq!(again.charge().credits, "29.00");
    assert_eq!(past(&house).await, before);
    house.tool(|_| {}).await;
    assert_eq!(past(&house).await, before);
    house.close().await;
}

#[tokio::test]
async fn an_agent_without_its_tool_is_not_found_by_any_call() {
    let house = House::open().await;
    delete(&house, &house.admin, AGENT).await.expect("deleted");
    let estimate = proto::EstimateImageRequest {
        subject: Some(proto::estimate_image_request::Subject::AgentId(
            AGENT.to_owned(),
        )),
        ..Default::default()
    };
    let mut images = house.images(&house.runtime);
    for status in [
        get(&house, AGENT).await.expect_err("gone"),
        house.generate(request("r")).await.expect_err("gone"),
        images.estimate_image(estimate).await.expect_err("gone"),
        delete(&house, &house.admin, AGENT).await.expect_err("gone"),
        delete(&house, &house.owner, "never").await.expect_err("no"),
    ] {
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::NotFound, "AGENT_NOT_FOUND")
        );
        assert!(!detail(&status, "agent_id").is_empty());
    }
    let all = proto::ListGenerateImageToolsRequest::default();
    assert!(agents(&house, all).await.is_empty());
    let nobody = delete(&house, &house.admin, "").await.expect_err("nobody");
    assert_eq!(detail(&nobody, "field"), "agent_id");
    house.assert_untouched().await;
    house.close().await;
}

#[tokio::test]
async fn a_generation_that_runs_goes_on_without_its_tool_and_is_charged() {
    let house = House::open().await;
    house.mock.script(Script::gated("slow"));
    let mut images = house.images(&house.runtime);
    let running = images.generate_image(request("running")).await;
    let running = running.expect("taken").into_inner();
    house.mock.wait_at_gate("slow").await;
    delete(&house, &house.admin, AGENT).await.expect("deleted");
    assert_eq!(house.balance().await.held, "29.00");
    house.mock.open_gate("slow");
    let story = Story::read(running).await.expect("a picture");
    assert_eq!(story.charge().credits, "29.00");
    assert_eq!(house.balance().await.credits, "9971.00");
    let usage = past(&house).await.usage;
    assert_eq!(
        (usage.rows[0].key.as_str(), usage.rows[0].credits.as_str()),
        (AGENT, "29.00")
    );
    house.close().await;
}

#[tokio::test]
async fn a_tool_that_is_made_anew_begins_with_the_defaults() {
    let house = House::open().await;
    let first = get(&house, AGENT).await.expect("found");
    assert_eq!(first.max_images_per_call, 4);
    delete(&house, &house.admin, AGENT).await.expect("deleted");
    let made = update(&house, tool(AGENT), &["when_to_use"], false).await;
    let made = made.expect("made");
    assert_eq!((made.enabled, made.model.as_str()), (false, ""));
    assert_eq!(made.status(), ToolStatus::Disabled);
    assert_eq!(
        (made.max_images_per_call, made.max_resolution.as_str()),
        (1, "1K")
    );
    assert!(!made.allow_reference_images);
    let nanos = |at: Option<prost_types::Timestamp>| at.map(|at| (at.seconds, at.nanos));
    assert!(nanos(made.create_time) > nanos(first.update_time));
    house.close().await;
}

#[tokio::test]
async fn deleting_a_tool_is_no_way_around_its_limits() {
    away_from_midnight().await;
    let house = House::open().await;
    house.generate(request("first")).await.expect("a picture");
    for (limit, daily, monthly) in [
        ("daily_image_limit", 1, ""),
        ("monthly_credit_limit", 0, "57.99"),
    ] {
        delete(&house, &house.admin, AGENT).await.expect("deleted");
        let limited = |tool: &mut proto::GenerateImageTool| {
            tool.daily_image_limit = daily;
            tool.monthly_credit_limit = monthly.to_owned();
        };
        house.tool(limited).await;
        let refused = house.generate(request("second")).await;
        let refused = refused.expect_err("beyond the limit");
        assert_eq!(reason(&refused), "LIMIT_REACHED");
        assert_eq!(detail(&refused, "limit"), limit);
    }
    // Another agent's limit is its own.
    let other = proto::GenerateImageTool {
        daily_image_limit: 1,
        ..enabled("other", KLEIN)
    };
    house.save_tool(other).await.expect("saved");
    let mut asked = request("third");
    asked.agent_id = "other".to_owned();
    house.generate(asked).await.expect("within its limit");
    house.close().await;
}

#[tokio::test]
async fn a_generation_that_still_runs_counts_for_the_tool_made_after_it() {
    away_from_midnight().await;
    let house = House::open().await;
    house.mock.script(Script::gated("slow"));
    let mut images = house.images(&house.runtime);
    let running = images.generate_image(request("running")).await;
    let running = running.expect("taken").into_inner();
    house.mock.wait_at_gate("slow").await;
    delete(&house, &house.admin, AGENT).await.expect("deleted");
    house.tool(|tool| tool.daily_image_limit = 1).await;
    let refused = house.generate(request("second")).await;
    let refused = refused.expect_err("beyond the limit");
    assert_eq!(detail(&refused, "limit"), "daily_image_limit");
    house.mock.open_gate("slow");
    Story::read(running).await.expect("a picture");
    house.close().await;
}

#[tokio::test]
async fn a_tool_of_another_organization_is_not_found_and_stays() {
    let house = House::open().await;
    house.add_organization("other").await;
    let stranger = house.key("other", proto::Role::Owner).await;
    let refused = delete(&house, &stranger, AGENT)
        .await
        .expect_err("not theirs");
    assert_eq!(reason(&refused), "AGENT_NOT_FOUND");
    house.generate(request("r")).await.expect("it is there");
    house.close().await;
}

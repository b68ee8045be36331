//! Lists and sums.

use std::collections::BTreeMap;

use image_gateway::mock::Script;
use image_gateway::proto;
use proto::{GenerationState, LedgerEntryKind, UsageGroup};
use rust_decimal::Decimal;
use tonic::{Code, Status};

use crate::helpers::{AGENT, House, NANO, OPERATOR_KEY, reason, request};

async fn list(
    house: &House,
    request: proto::ListGenerationsRequest,
) -> Result<proto::ListGenerationsResponse, Status> {
    let mut images = house.images(&house.runtime);
    Ok(images.list_generations(request).await?.into_inner())
}

async fn listed(house: &House, request: proto::ListGenerationsRequest) -> Vec<String> {
    let page = list(house, request).await.expect("a page");
    page.generations
        .into_iter()
        .map(|generation| generation.request_id)
        .collect()
}

async fn ledger(house: &House) -> Vec<proto::LedgerEntry> {
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = proto::ListLedgerEntriesRequest {
            page_size: 3,
            page_token,
            ..Default::default()
        };
        let mut billing = house.billing(&house.admin);
        let page = billing.list_ledger_entries(request).await.expect("a page");
        let page = page.into_inner();
        all.extend(page.entries);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return all;
        }
    }
}

async fn usage(
    house: &House,
    request: proto::QueryUsageRequest,
) -> Result<proto::QueryUsageResponse, Status> {
    let mut billing = house.billing(&house.admin);
    Ok(billing.query_usage(request).await?.into_inner())
}

fn credits(text: &str) -> Decimal {
    text.parse().expect("credits")
}

/// Pictures of two agents, two models, two channels and two users; one that failed.
async fn busy() -> House {
    let house = House::open().await;
    house
        .tool(|tool| {
            tool.agent_id = "other".to_owned();
            tool.model = NANO.to_owned();
        })
        .await;
    for (id, agent, user, channel) in [
        ("a", AGENT, "ann", proto::Channel::Hub),
        ("b", AGENT, "bob", proto::Channel::Hub),
        ("c", "other", "ann", proto::Channel::Whatsapp),
        ("d", "other", "", proto::Channel::Unspecified),
    ] {
        let mut asked = request(id);
        asked.agent_id = agent.to_owned();
        asked.user_id = user.to_owned();
        asked.channel = channel.into();
        house.generate(asked).await.expect("a picture");
    }
    house.mock.script(Script::sample("err-403-moderation"));
    house.generate(request("bad")).await.expect_err("rejected");
    house
}

#[tokio::test]
async fn generations_are_listed_newest_first_and_narrowed_by_every_filter() {
    let house = busy().await;
    let all = proto::ListGenerationsRequest::default;
    assert_eq!(listed(&house, all()).await, ["bad", "d", "c", "b", "a"]);
    let of_agent = proto::ListGenerationsRequest {
        agent_id: "other".to_owned(),
        ..all()
    };
    assert_eq!(listed(&house, of_agent).await, ["d", "c"]);
    let by_model = proto::ListGenerationsRequest {
        model: NANO.to_owned(),
        ..all()
    };
    assert_eq!(listed(&house, by_model).await, ["d", "c"]);
    let from_channel = proto::ListGenerationsRequest {
        channel: proto::Channel::Hub.into(),
        ..all()
    };
    assert_eq!(listed(&house, from_channel).await, ["b", "a"]);
    for (state, expected) in [
        (GenerationState::Succeeded, &["d", "c", "b", "a"][..]),
        (GenerationState::Failed, &["bad"]),
        (GenerationState::Cancelled, &[]),
        (GenerationState::Pending, &[]),
        (GenerationState::Running, &[]),
    ] {
        let in_state = proto::ListGenerationsRequest {
            state: state.into(),
            ..all()
        };
        assert_eq!(listed(&house, in_state).await, expected, "{state:?}");
    }
    let c = house.generation("c").await.create_time;
    let since = proto::ListGenerationsRequest {
        start_time: c,
        ..all()
    };
    assert_eq!(listed(&house, since).await, ["bad", "d", "c"]);
    let until = proto::ListGenerationsRequest {
        end_time: c,
        ..all()
    };
    assert_eq!(listed(&house, until).await, ["b", "a"]);
    house.close().await;
}

#[tokio::test]
async fn pages_neither_repeat_nor_skip_while_new_generations_come() {
    let house = busy().await;
    let mut seen = Vec::new();
    let mut page_token = String::new();
    loop {
        let asked = proto::ListGenerationsRequest {
            page_size: 2,
            page_token,
            ..Default::default()
        };
        let page = list(&house, asked).await.expect("a page");
        assert!(page.generations.len() <= 2);
        seen.extend(page.generations.into_iter().map(|one| one.request_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
        let new = format!("new-{}", seen.len());
        house.generate(request(&new)).await.expect("a picture");
    }
    assert_eq!(seen, ["bad", "d", "c", "b", "a"]);
    house.close().await;
}

#[tokio::test]
async fn a_token_of_another_question_and_a_negative_size_are_refused() {
    let house = busy().await;
    let first = proto::ListGenerationsRequest {
        page_size: 1,
        ..Default::default()
    };
    let token = list(&house, first).await.expect("a page").next_page_token;
    for asked in [
        proto::ListGenerationsRequest {
            agent_id: AGENT.to_owned(),
            page_token: token.clone(),
            ..Default::default()
        },
        proto::ListGenerationsRequest {
            page_token: format!("{token}00"),
            ..Default::default()
        },
        proto::ListGenerationsRequest {
            page_token: "after-1".to_owned(),
            ..Default::default()
        },
        proto::ListGenerationsRequest {
            page_size: -1,
            ..Default::default()
        },
        proto::ListGenerationsRequest {
            state: 99,
            ..Default::default()
        },
    ] {
        let status = list(&house, asked.clone()).await.expect_err("refused");
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::InvalidArgument, "INVALID_REQUEST"),
            "{asked:?}"
        );
    }
    house.close().await;
}

#[tokio::test]
async fn the_ledger_is_listed_whole_and_each_row_continues_the_one_before() {
    let house = busy().await;
    let rows = ledger(&house).await;
    assert_eq!(rows.len(), 5);
    let sequences: Vec<i64> = rows.iter().map(|row| row.sequence).collect();
    assert_eq!(sequences, [5, 4, 3, 2, 1]);
    for pair in rows.windows(2) {
        let opening = credits(&pair[1].balance_after);
        assert_eq!(
            opening + credits(&pair[0].credits),
            credits(&pair[0].balance_after)
        );
    }
    let bought = proto::ListLedgerEntriesRequest {
        kind: LedgerEntryKind::Purchase.into(),
        ..Default::default()
    };
    let mut billing = house.billing(&house.admin);
    let bought = billing.list_ledger_entries(bought).await.expect("a page");
    assert_eq!(bought.into_inner().entries.len(), 1);
    let generation = house.generation("c").await.id;
    let of_one = proto::ListLedgerEntriesRequest {
        generation_id: generation.clone(),
        ..Default::default()
    };
    let of_one = billing.list_ledger_entries(of_one).await.expect("a page");
    let of_one = of_one.into_inner().entries;
    assert_eq!(of_one.len(), 1);
    assert_eq!(of_one[0].generation_id, generation);
    house.close().await;
}

#[tokio::test]
async fn every_way_to_sum_gives_what_the_ledger_says_to_the_hundredth() {
    let house = busy().await;
    let charged: Decimal = ledger(&house)
        .await
        .iter()
        .filter(|row| !row.generation_id.is_empty())
        .map(|row| -credits(&row.credits))
        .sum();
    let mut keys = BTreeMap::new();
    for by in [
        UsageGroup::Day,
        UsageGroup::Agent,
        UsageGroup::Model,
        UsageGroup::Channel,
        UsageGroup::User,
    ] {
        let asked = proto::QueryUsageRequest {
            group_by: by.into(),
            ..Default::default()
        };
        let answer = usage(&house, asked).await.expect("sums");
        let total = answer.total.expect("a total");
        let sum: Decimal = answer.rows.iter().map(|row| credits(&row.credits)).sum();
        assert_eq!((sum, credits(&total.credits)), (charged, charged), "{by:?}");
        assert_eq!((total.generations, total.images, total.failed), (4, 4, 1));
        let failed: i64 = answer.rows.iter().map(|row| row.failed).sum();
        assert_eq!(failed, 1);
        assert_eq!(answer.other, None);
        let names = answer.rows.into_iter().map(|row| row.key);
        keys.insert(by as i32, names.collect::<Vec<_>>());
    }
    assert_eq!(keys[&(UsageGroup::Agent as i32)], ["other", AGENT]);
    let channels = &keys[&(UsageGroup::Channel as i32)];
    assert_eq!(channels.len(), 3, "{channels:?}");
    let narrowed = proto::QueryUsageRequest {
        group_by: UsageGroup::User.into(),
        agent_id: "other".to_owned(),
        channel: "whatsapp".to_owned(),
        user_id: "ann".to_owned(),
        model: NANO.to_owned(),
        ..Default::default()
    };
    let narrowed = usage(&house, narrowed).await.expect("sums");
    assert_eq!(narrowed.rows.len(), 1);
    assert_eq!(narrowed.rows[0].key, "ann");
    assert_eq!(narrowed.rows[0].images, 1);
    house.close().await;
}

#[tokio::test]
async fn a_period_is_half_open_and_nonsense_is_refused() {
    let house = busy().await;
    let end = house.generation("b").await.finish_time;
    let before = proto::QueryUsageRequest {
        end_time: end,
        ..Default::default()
    };
    let total = usage(&house, before).await.expect("sums").total;
    assert_eq!(total.expect("a total").generations, 1);
    let from = proto::QueryUsageRequest {
        start_time: end,
        ..Default::default()
    };
    let total = usage(&house, from).await.expect("sums").total;
    assert_eq!(total.expect("a total").generations, 3);
    for asked in [
        proto::QueryUsageRequest {
            group_by: 77,
            ..Default::default()
        },
        proto::QueryUsageRequest {
            channel: "pigeon".to_owned(),
            ..Default::default()
        },
        proto::QueryUsageRequest {
            start_time: end,
            end_time: Some(prost_types::Timestamp::default()),
            ..Default::default()
        },
        proto::QueryUsageRequest {
            start_time: Some(prost_types::Timestamp {
                seconds: i64::MAX,
                nanos: 0,
            }),
            ..Default::default()
        },
    ] {
        let status = usage(&house, asked.clone()).await.expect_err("refused");
        assert_eq!(reason(&status), "INVALID_REQUEST", "{asked:?}");
    }
    house.close().await;
}

#[tokio::test]
async fn consumption_is_for_administrators_and_stays_inside_the_organization() {
    let house = busy().await;
    let asked = proto::QueryUsageRequest::default;
    let mut runtime = house.billing(&house.runtime);
    let status = runtime.query_usage(asked()).await.expect_err("refused");
    assert_eq!(reason(&status), "PERMISSION_DENIED");
    for organization_id in ["elsewhere", "nowhere"] {
        let foreign = proto::QueryUsageRequest {
            organization_id: organization_id.to_owned(),
            ..asked()
        };
        let status = usage(&house, foreign).await.expect_err("refused");
        assert_eq!(reason(&status), "PERMISSION_DENIED");
    }
    let mut operator = house.billing(OPERATOR_KEY);
    let absent = proto::ListLedgerEntriesRequest {
        organization_id: "nowhere".to_owned(),
        ..Default::default()
    };
    let status = operator.list_ledger_entries(absent).await.expect_err("no");
    assert_eq!(reason(&status), "ORGANIZATION_NOT_FOUND");
    let mine = proto::QueryUsageRequest {
        organization_id: "acme".to_owned(),
        ..asked()
    };
    let sums = operator.query_usage(mine).await.expect("sums").into_inner();
    assert_eq!(sums.total.expect("a total").images, 4);
    house.close().await;
}

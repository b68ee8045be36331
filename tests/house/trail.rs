//! The audit trail: who changed what.

use image_gateway::proto;
use image_gateway::proto::AuditAction;
use tonic::Status;

use crate::helpers::{AGENT, House, KLEIN, OPERATOR_KEY, reason, request};

mod platform;

impl House {
    async fn trail(
        &self,
        asked: proto::ListAuditEntriesRequest,
    ) -> Result<proto::ListAuditEntriesResponse, Status> {
        let read = self
            .organizations(&self.admin)
            .list_audit_entries(asked)
            .await;
        read.map(tonic::Response::into_inner)
    }

    async fn whole_trail(&self) -> Vec<proto::AuditEntry> {
        let all = proto::ListAuditEntriesRequest {
            page_size: 1000,
            ..Default::default()
        };
        self.trail(all).await.expect("a trail").entries
    }

    /// What was written since, the oldest first.
    async fn since(&self, seen: usize) -> Vec<proto::AuditEntry> {
        let mut entries = self.whole_trail().await;
        entries.reverse();
        entries.split_off(seen)
    }

    async fn switch(&self, available: bool, validate_only: bool) {
        let request = proto::UpdateModelAvailabilityRequest {
            slug: KLEIN.to_owned(),
            available,
            validate_only,
        };
        let mut models = self.models(&self.admin);
        let switched = models.update_model_availability(request).await;
        switched.expect("switched");
    }
}

/// An entry in short: what, by whom, to what, and which fields from what to what.
fn short(entry: &proto::AuditEntry) -> (AuditAction, &str, &str, Vec<(&str, &str, &str)>) {
    let value = |value: &Option<String>| value.as_deref().unwrap_or("–").to_owned();
    let changes = entry.changes.iter().map(|change| {
        let (old, new) = (value(&change.old_value), value(&change.new_value));
        (
            change.field.as_str(),
            old.leak() as &str,
            new.leak() as &str,
        )
    });
    (
        entry.action(),
        entry.actor.as_str(),
        entry.subject.as_str(),
        changes.collect(),
    )
}

fn prefix(secret: &str) -> &str {
    &secret[..16]
}

#[tokio::test]
async fn every_change_tells_who_made_it_and_what_is_different() {
    let house = House::open().await;
    let before = house.whole_trail().await.len();
    let (key, secret) = house.fresh(proto::Role::Admin).await;
    house.switch(false, false).await;
    house.switch(false, false).await;
    house.switch(true, false).await;
    house.tool(|tool| tool.daily_image_limit = 7).await;
    house.tool(|tool| tool.daily_image_limit = 7).await;
    house.top_up("acme", "12.5", "invoice-7").await;
    house.top_up("acme", "12.5", "invoice-7").await;
    house.revoke(&secret, &key.id).await.expect("ended");
    house.revoke(&house.owner, &key.id).await.expect("again");
    house.generate(request("r")).await.expect("no change");
    let gone = proto::DeleteGenerateImageToolRequest {
        agent_id: AGENT.to_owned(),
    };
    let mut tools = house.tools(&house.admin);
    tools.delete_generate_image_tool(gone).await.expect("gone");

    let entries = house.since(before).await;
    let admin = &entries[1].actor;
    assert_eq!(entries[1].actor_prefix, prefix(&house.admin));
    assert_eq!(entries[5].actor_prefix, key.prefix);
    let told: Vec<_> = entries.iter().map(short).collect();
    let role = vec![
        ("name", "–", "fresh"),
        ("prefix", "–", key.prefix.as_str()),
        ("role", "–", "admin"),
    ];
    let limit = vec![("daily_image_limit", "0", "7")];
    assert_eq!(
        told[..5],
        [
            (
                AuditAction::ApiKeyCreated,
                "operator",
                key.id.as_str(),
                role
            ),
            (
                AuditAction::ModelAvailabilityChanged,
                admin,
                KLEIN,
                vec![("available", "true", "false")]
            ),
            (
                AuditAction::ModelAvailabilityChanged,
                admin,
                KLEIN,
                vec![("available", "false", "true")]
            ),
            (AuditAction::ToolUpdated, admin, AGENT, limit),
            (
                AuditAction::CreditsAdded,
                "operator",
                "invoice-7",
                vec![("credits", "–", "12.50")]
            ),
        ]
    );
    let (action, actor, subject, changes) = &told[5];
    assert_eq!(
        (*action, *actor, *subject),
        (AuditAction::ApiKeyRevoked, key.id.as_str(), key.id.as_str())
    );
    assert_eq!(changes[0].0, "revoke_time");
    let (action, actor, subject, _) = &told[6];
    assert_eq!(
        (*action, *actor, *subject),
        (AuditAction::ToolDeleted, admin.as_str(), AGENT)
    );
    assert_eq!(told.len(), 7, "{told:#?}");
    assert!(
        entries
            .windows(2)
            .all(|two| two[0].sequence + 1 == two[1].sequence)
    );
    let shown = format!("{entries:?}");
    for secret in [
        &secret,
        &house.admin,
        &house.owner,
        &OPERATOR_KEY.to_owned(),
    ] {
        let random = secret.rsplit('_').next().expect("a part");
        assert!(!shown.contains(random), "a secret is in the trail");
    }
    house.close().await;
}

#[tokio::test]
async fn a_trail_begins_with_its_organization_and_a_fresh_tool_tells_all_it_is() {
    let house = House::open().await;
    let entries = house.since(0).await;
    let told: Vec<_> = entries.iter().map(short).collect();
    assert_eq!(
        told[0],
        (
            AuditAction::OrganizationCreated,
            "operator",
            "acme",
            vec![("name", "–", "Acme")]
        )
    );
    let made: Vec<_> = told.iter().map(|entry| entry.0).collect();
    assert_eq!(
        made[1..],
        [
            AuditAction::CreditsAdded,
            AuditAction::ApiKeyCreated,
            AuditAction::ApiKeyCreated,
            AuditAction::ApiKeyCreated,
            AuditAction::ToolCreated,
        ]
    );
    let tool = &told[5].3;
    for expected in [
        ("enabled", "–", "true"),
        ("model", "–", KLEIN),
        ("max_resolution", "–", "4K"),
    ] {
        assert!(tool.contains(&expected), "{tool:?}");
    }
    house.close().await;
}

#[tokio::test]
async fn what_is_only_tried_or_refused_leaves_no_entry() {
    let house = House::open().await;
    let before = house.whole_trail().await;
    house.switch(false, true).await;
    let mut tools = house.tools(&house.admin);
    let tried = proto::UpdateGenerateImageToolRequest {
        generate_image_tool: Some(proto::GenerateImageTool {
            agent_id: "another".to_owned(),
            when_to_use: "never".to_owned(),
            ..Default::default()
        }),
        validate_only: true,
        ..Default::default()
    };
    tools
        .update_generate_image_tool(tried)
        .await
        .expect("valid");
    let bad = proto::GenerateImageTool {
        agent_id: AGENT.to_owned(),
        max_images_per_call: 99,
        ..Default::default()
    };
    house.save_tool(bad).await.expect_err("too many");
    let (absent, runtime) = (uuid::Uuid::now_v7().to_string(), house.runtime.clone());
    house
        .revoke(&house.owner, &absent)
        .await
        .expect_err("absent");
    house.revoke(&runtime, &absent).await.expect_err("denied");
    let add = proto::AddCreditsRequest {
        organization_id: "acme".to_owned(),
        credits: "1".to_owned(),
        reference: "first".to_owned(),
        description: String::new(),
    };
    let refused = house.billing(OPERATOR_KEY).add_credits(add).await;
    assert_eq!(reason(&refused.expect_err("taken")), "IDEMPOTENCY_CONFLICT");
    assert_eq!(house.whole_trail().await, before);
    house.close().await;
}

#[tokio::test]
async fn a_trail_is_read_in_pages_and_by_what_by_whom_and_when() {
    let house = House::open().await;
    for _ in 0..3 {
        house.switch(false, false).await;
        house.switch(true, false).await;
    }
    let all = house.whole_trail().await;
    let ask = |page_size, page_token: &str| proto::ListAuditEntriesRequest {
        page_size,
        page_token: page_token.to_owned(),
        ..Default::default()
    };
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let page = house.trail(ask(5, &token)).await.expect("a page");
        seen.extend(page.entries);
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
        // What is added meanwhile moves nothing.
        house.switch(seen.len() % 2 == 0, false).await;
    }
    assert_eq!(seen, all);
    let by_action = proto::ListAuditEntriesRequest {
        action: AuditAction::ApiKeyCreated.into(),
        ..Default::default()
    };
    let found = house.trail(by_action.clone()).await.expect("a page");
    assert_eq!(found.entries.len(), 3);
    let actor = all[0].actor.clone();
    for (actor, count) in [("operator", 5), (actor.as_str(), all.len() - 5)] {
        let by_actor = proto::ListAuditEntriesRequest {
            actor: actor.to_owned(),
            end_time: all[0].create_time.map(|at| prost_types::Timestamp {
                seconds: at.seconds + 1,
                ..at
            }),
            ..Default::default()
        };
        let found = house.trail(by_actor).await.expect("a page").entries;
        assert!(found.iter().all(|entry| entry.actor == actor));
        assert!(found.len() >= count, "{actor}");
    }
    let before_all = proto::ListAuditEntriesRequest {
        end_time: all.last().expect("the first").create_time,
        ..Default::default()
    };
    assert_eq!(house.trail(before_all).await.expect("a page").entries, []);
    let first = house.trail(ask(1, "")).await.expect("a page");
    for bad in [
        proto::ListAuditEntriesRequest {
            page_token: first.next_page_token.clone(),
            ..by_action
        },
        ask(1, "00"),
        ask(-1, ""),
        proto::ListAuditEntriesRequest {
            actor: "somebody".to_owned(),
            ..Default::default()
        },
        proto::ListAuditEntriesRequest {
            action: 99,
            ..Default::default()
        },
    ] {
        let refused = house.trail(bad).await.expect_err("refused");
        assert_eq!(reason(&refused), "INVALID_REQUEST");
    }
    house.close().await;
}

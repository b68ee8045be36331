//! The platform's audit trail: what is done for all, by whom, and nothing of what changed nothing.

use std::time::Duration;

use image_gateway::domain::catalog::Catalog;
use image_gateway::mock::Script;
use serde_json::json;

use super::*;
use crate::helpers::Setup;
use crate::prices::{reprice, sync};

impl House {
    /// The platform's trail, the oldest first.
    pub(crate) async fn platform_trail(&self) -> Vec<proto::AuditEntry> {
        let all = proto::ListAuditEntriesRequest {
            page_size: 1000,
            ..Default::default()
        };
        self.platform_entries(all).await
    }

    async fn platform_entries(
        &self,
        asked: proto::ListAuditEntriesRequest,
    ) -> Vec<proto::AuditEntry> {
        let mut organizations = self.organizations(OPERATOR_KEY);
        let read = organizations.list_audit_entries(asked).await;
        let mut entries = read.expect("the platform's trail").into_inner().entries;
        entries.reverse();
        entries
    }

    /// Waits until so many lists have been read after each other.
    async fn reads_lists(&self, count: usize) {
        let reading = async {
            let (mut seen, mut last) = (0, None);
            while seen < count {
                tokio::time::sleep(Duration::from_millis(50)).await;
                let mut models = self.models(&self.runtime);
                let listed = models.list_models(proto::ListModelsRequest::default());
                let read = listed.await.expect("models").into_inner().last_sync;
                seen += usize::from(read != last);
                last = read;
            }
        };
        let read = tokio::time::timeout(Duration::from_secs(30), reading).await;
        read.expect("lists are read");
    }

    async fn confirm(&self, slug: &str) {
        let request = proto::ConfirmPriceRequest {
            slug: slug.to_owned(),
        };
        let mut models = self.models(OPERATOR_KEY);
        models.confirm_price(request).await.expect("a model");
    }
}

#[tokio::test]
async fn the_operator_reads_the_platforms_trail_and_a_key_its_organizations() {
    let house = House::open().await;
    sync(&house).await.expect("a list");
    let platform = house.platform_trail().await;
    let made = vec![("name", "–", "Acme")];
    assert_eq!(
        short(&platform[1]),
        (AuditAction::OrganizationCreated, "operator", "acme", made)
    );
    let sequences: Vec<_> = platform.iter().map(|entry| entry.sequence).collect();
    assert_eq!(sequences, [0, 1, 2]);
    // With a key of an organization the same request reads that one's.
    let own = house.since(0).await;
    let of_all = [AuditAction::ModelsSynced, AuditAction::PriceConfirmed];
    assert!(own.iter().all(|entry| !of_all.contains(&entry.action())));
    assert_eq!(own.len(), 6);
    let by = |actor: &str| proto::ListAuditEntriesRequest {
        actor: actor.to_owned(),
        ..Default::default()
    };
    let found = house.platform_entries(by("operator")).await;
    assert_eq!(found, platform[1..]);
    // The first that the gateway did was to note whose key it obeys.
    let found = house.platform_entries(by("gateway")).await;
    assert_eq!(found, platform[..1]);
    assert_eq!(found[0].action(), AuditAction::OperatorKeyChanged);
    // A page of one trail does not go on in another.
    let first = proto::ListAuditEntriesRequest {
        page_size: 1,
        ..Default::default()
    };
    let mut operator = house.organizations(OPERATOR_KEY);
    let page = operator.list_audit_entries(first.clone()).await;
    let token = page.expect("a page").into_inner().next_page_token;
    let elsewhere = proto::ListAuditEntriesRequest {
        organization_id: "acme".to_owned(),
        page_token: token.clone(),
        ..first.clone()
    };
    let refused = operator.list_audit_entries(elsewhere).await;
    assert_eq!(reason(&refused.expect_err("foreign")), "INVALID_REQUEST");
    let next = proto::ListAuditEntriesRequest {
        page_token: token,
        ..first
    };
    let page = operator.list_audit_entries(next).await;
    let page = page.expect("the next page").into_inner();
    assert_eq!(page.entries, platform[1..2]);
    house.close().await;
}

#[tokio::test]
async fn another_operators_key_is_told_when_the_gateway_starts_with_it() {
    let mut house = House::open().await;
    let keys = async |house: &House| -> Vec<_> {
        let trail = house.platform_trail().await.into_iter();
        let keys = trail.filter(|entry| entry.action() == AuditAction::OperatorKeyChanged);
        keys.map(|entry| {
            let [change] = &entry.changes[..] else {
                panic!("{entry:?}");
            };
            assert_eq!(
                (entry.actor.as_str(), entry.subject.as_str()),
                ("gateway", "operator-key")
            );
            (change.old_value.clone(), change.new_value.clone())
        })
        .collect()
    };
    let first = keys(&house).await;
    let [(None, Some(name))] = &first[..] else {
        panic!("{first:?}");
    };
    assert!(!name.is_empty() && !OPERATOR_KEY.contains(name.as_str()));
    house.restart(Catalog::built_in()).await;
    assert_eq!(keys(&house).await, first, "the same key is nothing new");
    house.restart_with(&without_operator()).await;
    house.restart(Catalog::built_in()).await;
    let gone_and_back = keys(&house).await;
    assert_eq!(
        gone_and_back,
        [
            (None, Some(name.clone())),
            (Some(name.clone()), None),
            (None, Some(name.clone()))
        ]
    );
    house.close().await;
}

/// Settings without an operator.
fn without_operator() -> Setup {
    Setup {
        operator: false,
        ..Setup::default()
    }
}

#[tokio::test]
async fn what_the_operator_does_about_prices_is_told_once_with_what_it_changed() {
    let house = House::open().await;
    let before = house.platform_trail().await.len();
    sync(&house).await.expect("a list");
    // The same list again, and one that cannot be had, change nothing.
    sync(&house).await.expect("a list");
    let down = Script::error(503, json!({}));
    house.mock.script(down.for_path("/models").times(u32::MAX));
    sync(&house).await.expect_err("no list");
    house.confirm(KLEIN).await;
    reprice(&house, json!("1.4e-4")).await;
    sync(&house).await.expect("a list");
    let klein = proto::GetModelRequest {
        slug: KLEIN.to_owned(),
    };
    let klein = house.models(&house.runtime).get_model(klein).await;
    let doubted = klein.expect("klein").into_inner().price_unconfirmed_since;
    // The second time there is nothing left to confirm.
    house.confirm(KLEIN).await;
    house.confirm(KLEIN).await;
    let trail = house.platform_trail().await.split_off(before);
    let mut told: Vec<_> = trail.iter().map(short).collect();
    // The hash of the rows that ListPriceChanges shows.
    let hash = told[1].3.pop().expect("a change");
    assert_eq!((hash.0, hash.2.len()), ("prices_sha256", 64));
    let first = vec![("models_changed", "–", "16"), ("models_added", "–", "16")];
    let leap = vec![
        ("models_changed", "–", "1"),
        ("prices_changed", "–", "3"),
        ("prices_flagged", "–", "3"),
    ];
    let synced = AuditAction::ModelsSynced;
    assert_eq!(
        told[..2],
        [
            (synced, "operator", "models", first),
            (synced, "operator", "models", leap)
        ]
    );
    let (action, actor, subject, changes) = &told[2];
    assert_eq!(
        (*action, *actor, *subject),
        (AuditAction::PriceConfirmed, "operator", KLEIN)
    );
    assert_eq!(changes.len(), 1);
    let (field, since, now) = changes[0];
    assert_eq!((field, now), ("price_unconfirmed_since", "–"));
    let since: jiff::Timestamp = since.parse().expect("a time");
    assert_eq!(Some(since.as_second()), doubted.map(|at| at.seconds));
    assert_eq!(told.len(), 3, "{told:#?}");
    house.close().await;
}

#[tokio::test]
async fn what_the_gateway_reads_by_itself_is_told_only_when_something_has_changed() {
    let house = House::with(Setup {
        sync_interval: Some("1s"),
        ..Setup::default()
    })
    .await;
    house.reads_lists(3).await;
    reprice(&house, json!("0.02")).await;
    house.reads_lists(3).await;
    let by_itself = proto::ListAuditEntriesRequest {
        actor: "gateway".to_owned(),
        ..Default::default()
    };
    let trail = house.platform_entries(by_itself).await.split_off(1);
    let told: Vec<_> = trail.iter().map(short).collect();
    assert_eq!(told.len(), 2, "{told:#?}");
    for entry in &told {
        let (action, actor, subject, _) = entry;
        assert_eq!(
            (*action, *actor, *subject),
            (AuditAction::ModelsSynced, "gateway", "models")
        );
    }
    assert_eq!(told[0].3[1], ("models_added", "–", "16"));
    assert_eq!(told[1].3[0], ("models_changed", "–", "1"));
    assert_eq!(told[1].3[1].0, "prices_changed");
    house.close().await;
}

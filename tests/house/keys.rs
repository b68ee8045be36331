//! Keys: made, listed, used and ended, by whoever may.

use image_gateway::proto;
use tonic::{Code, Status};

use crate::helpers::{House, OPERATOR_KEY, reason};

impl House {
    /// A fresh key of `acme`: as it is listed, and its secret.
    pub(crate) async fn fresh(&self, role: proto::Role) -> (proto::ApiKey, String) {
        let request = proto::CreateApiKeyRequest {
            organization_id: "acme".to_owned(),
            name: "fresh".to_owned(),
            role: role.into(),
            expire_time: None,
        };
        let mut organizations = self.organizations(OPERATOR_KEY);
        let made = organizations.create_api_key(request).await;
        let made = made.expect("a key").into_inner();
        (made.api_key.expect("a key"), made.secret)
    }

    /// Ends a key with another one.
    pub(crate) async fn revoke(&self, key: &str, id: &str) -> Result<proto::ApiKey, Status> {
        let request = proto::RevokeApiKeyRequest {
            api_key_id: id.to_owned(),
            ..Default::default()
        };
        let ended = self.organizations(key).revoke_api_key(request).await;
        ended.map(tonic::Response::into_inner)
    }

    async fn keys(&self, page_size: i32, page_token: &str) -> proto::ListApiKeysResponse {
        let request = proto::ListApiKeysRequest {
            page_size,
            page_token: page_token.to_owned(),
            ..Default::default()
        };
        let listed = self.organizations(&self.admin).list_api_keys(request).await;
        listed.expect("keys").into_inner()
    }

    /// A key as it is listed.
    pub(crate) async fn listed(&self, id: &str) -> proto::ApiKey {
        let all = self.keys(0, "").await.api_keys;
        all.into_iter().find(|key| key.id == id).expect("the key")
    }

    /// Asks with a key, whatever it may do.
    pub(crate) async fn ask(&self, key: &str) -> Result<(), Status> {
        let list = proto::ListModelsRequest::default();
        self.models(key).list_models(list).await.map(drop)
    }
}

fn words(status: &Status) -> (Code, String, String) {
    (status.code(), reason(status), status.message().to_owned())
}

#[tokio::test]
async fn each_role_may_see_and_end_keys_and_see_the_trail_as_the_ladder_says() {
    let house = House::open().await;
    let (runtime, admin) = (house.runtime.clone(), house.admin.clone());
    let owner = house.owner.clone();
    for (key, sees, ends) in [
        (&runtime, false, [false; 3]),
        (&admin, true, [true, true, false]),
        (&owner, true, [true; 3]),
    ] {
        let list = proto::ListApiKeysRequest::default();
        let listed = house.organizations(key).list_api_keys(list).await;
        let trail = proto::ListAuditEntriesRequest::default();
        let read = house.organizations(key).list_audit_entries(trail).await;
        for outcome in [listed.map(drop), read.map(drop)] {
            assert_eq!(outcome.is_ok(), sees);
            if let Err(status) = outcome {
                assert_eq!(reason(&status), "PERMISSION_DENIED");
            }
        }
        let roles = [proto::Role::Runtime, proto::Role::Admin, proto::Role::Owner];
        for (role, may) in roles.into_iter().zip(ends) {
            let (fresh, secret) = house.fresh(role).await;
            let ended = house.revoke(key, &fresh.id).await;
            assert_eq!(ended.is_ok(), may, "{role:?}: {ended:?}");
            if let Err(status) = ended {
                assert_eq!(reason(&status), "PERMISSION_DENIED");
            }
            assert_eq!(house.ask(&secret).await.is_err(), may);
        }
    }
    house.close().await;
}

#[tokio::test]
async fn the_operator_names_the_organization_and_may_do_everything() {
    let house = House::open().await;
    let mut operator = house.organizations(OPERATOR_KEY);
    let (fresh, secret) = house.fresh(proto::Role::Owner).await;
    let revoke = |organization_id: &str| proto::RevokeApiKeyRequest {
        organization_id: organization_id.to_owned(),
        api_key_id: fresh.id.clone(),
    };
    let list = |organization_id: &str| proto::ListApiKeysRequest {
        organization_id: organization_id.to_owned(),
        ..Default::default()
    };
    let trail = |organization_id: &str| proto::ListAuditEntriesRequest {
        organization_id: organization_id.to_owned(),
        ..Default::default()
    };
    for (id, expected) in [
        ("", "INVALID_REQUEST"),
        ("absent", "ORGANIZATION_NOT_FOUND"),
    ] {
        for refused in [
            operator.revoke_api_key(revoke(id)).await.map(drop),
            operator.list_api_keys(list(id)).await.map(drop),
        ] {
            assert_eq!(reason(&refused.expect_err(id)), expected);
        }
    }
    let absent = operator.list_audit_entries(trail("absent")).await;
    assert_eq!(
        reason(&absent.expect_err("absent")),
        "ORGANIZATION_NOT_FOUND"
    );
    house.ask(&secret).await.expect("still good");
    let keys = operator.list_api_keys(list("acme")).await.expect("keys");
    assert_eq!(keys.into_inner().api_keys.len(), 4);
    operator
        .list_audit_entries(trail("acme"))
        .await
        .expect("a trail");
    operator
        .revoke_api_key(revoke("acme"))
        .await
        .expect("ended");
    assert_eq!(
        reason(&house.ask(&secret).await.expect_err("ended")),
        "UNAUTHENTICATED"
    );
    house.close().await;
}

#[tokio::test]
async fn a_key_of_another_organization_is_as_absent_as_one_that_never_was() {
    let house = House::open().await;
    house.add_organization("other").await;
    let spy = house.key("other", proto::Role::Owner).await;
    let (mine, secret) = house.fresh(proto::Role::Runtime).await;
    let absent = uuid::Uuid::now_v7().to_string();
    let mut told = Vec::new();
    for id in [&mine.id, &absent] {
        told.push(words(
            &house.revoke(&spy, id).await.expect_err("not theirs"),
        ));
    }
    told.dedup();
    let [(code, reason, _)] = &told[..] else {
        panic!("they can be told apart: {told:?}");
    };
    assert_eq!(
        (*code, reason.as_str()),
        (Code::NotFound, "API_KEY_NOT_FOUND")
    );
    // Naming the organization gives nothing away either.
    let mut told = Vec::new();
    for organization in ["acme", "absent"] {
        let list = proto::ListApiKeysRequest {
            organization_id: organization.to_owned(),
            ..Default::default()
        };
        let refused = house.organizations(&spy).list_api_keys(list).await;
        told.push(words(&refused.expect_err("not theirs")));
        let trail = proto::ListAuditEntriesRequest {
            organization_id: organization.to_owned(),
            ..Default::default()
        };
        let refused = house.organizations(&spy).list_audit_entries(trail).await;
        told.push(words(&refused.expect_err("not theirs")));
        let revoke = proto::RevokeApiKeyRequest {
            organization_id: organization.to_owned(),
            api_key_id: mine.id.clone(),
        };
        let refused = house.organizations(&spy).revoke_api_key(revoke).await;
        told.push(words(&refused.expect_err("not theirs")));
    }
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
    let nonsense = house.revoke(&house.owner, "nonsense").await;
    assert_eq!(words(&nonsense.expect_err("no id")).1, "INVALID_REQUEST");
    house.ask(&secret).await.expect("nobody has ended it");
    house.close().await;
}

#[tokio::test]
async fn a_key_ends_once_and_for_good_and_is_still_listed() {
    let mut house = House::open().await;
    let (key, secret) = house.fresh(proto::Role::Admin).await;
    house.ask(&secret).await.expect("good");
    // By itself: no key is needed to end one's own.
    let ended = house.revoke(&secret, &key.id).await.expect("ended");
    assert!(ended.revoke_time.is_some());
    let refused = house.ask(&secret).await.expect_err("ended");
    let unknown = house.ask(&format!("{secret}x")).await.expect_err("unknown");
    assert_eq!(words(&refused), words(&unknown));
    let again = house.revoke(&house.admin, &key.id).await.expect("again");
    assert_eq!(again.revoke_time, ended.revoke_time);
    assert_eq!(house.listed(&key.id).await.revoke_time, ended.revoke_time);
    house
        .restart(image_gateway::domain::catalog::Catalog::built_in())
        .await;
    house.ask(&secret).await.expect_err("still ended");
    house.close().await;
}

#[tokio::test]
async fn keys_are_listed_without_their_secrets_the_newest_first_in_pages() {
    let house = House::open().await;
    let mut made = Vec::new();
    for _ in 0..4 {
        made.push(house.fresh(proto::Role::Runtime).await);
    }
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let page = house.keys(3, &token).await;
        assert!(page.api_keys.len() <= 3);
        seen.extend(page.api_keys);
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen.len(), 7);
    let newest: Vec<_> = made.iter().rev().map(|(key, _)| &key.id).collect();
    assert_eq!(
        seen.iter().take(4).map(|key| &key.id).collect::<Vec<_>>(),
        newest
    );
    let shown = format!("{seen:?}");
    for (_, secret) in &made {
        let random = secret.rsplit('_').next().expect("a part");
        assert!(!shown.contains(random));
    }
    let forged = proto::ListApiKeysRequest {
        page_token: "00".repeat(24),
        ..Default::default()
    };
    let refused = house
        .organizations(&house.admin)
        .list_api_keys(forged)
        .await;
    assert_eq!(reason(&refused.expect_err("forged")), "INVALID_REQUEST");
    house.close().await;
}

#[tokio::test]
async fn the_last_use_of_a_key_is_told_and_outlives_the_process() {
    let mut house = House::open().await;
    let (unused, _) = house.fresh(proto::Role::Runtime).await;
    let (key, secret) = house.fresh(proto::Role::Runtime).await;
    assert_eq!(key.last_used_time, None);
    house.ask(&secret).await.expect("used");
    // The end of the process writes what was noted.
    house
        .restart(image_gateway::domain::catalog::Catalog::built_in())
        .await;
    let used = house.listed(&key.id).await.last_used_time;
    let made = key.create_time.expect("a time");
    assert!(used.is_some_and(|at| (at.seconds, at.nanos) >= (made.seconds, made.nanos)));
    house.ask(&secret).await.expect("used again");
    let (_, other) = house.fresh(proto::Role::Runtime).await;
    house.ask(&other).await.expect("used");
    house
        .restart(image_gateway::domain::catalog::Catalog::built_in())
        .await;
    assert_eq!(
        house.listed(&key.id).await.last_used_time,
        used,
        "not again so soon"
    );
    assert_eq!(house.listed(&unused.id).await.last_used_time, None);
    house.close().await;
}

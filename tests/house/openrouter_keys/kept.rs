//! What is checked before a key is kept, who may set it, and what is seen of it.

use image_gateway::keys;
use secrecy::ExposeSecret;

use super::*;

#[tokio::test]
async fn a_key_is_kept_only_if_openrouter_takes_it_and_nobody_sees_it_again() {
    let house = House::open().await;
    house
        .set_openrouter_key(&house.admin, OTHER)
        .await
        .expect("set");
    let kept = house.organization().await;
    let answer = |status, body| Script::error(status, body).for_path("/key");
    let manager = serde_json::json!({ "data": { "is_management_key": true } });
    let used_up = serde_json::json!({ "data": { "limit": 5, "limit_remaining": 0 } });
    let budget = serde_json::json!({ "data": { "effective_budget": { "remaining_usd": -0.01 } } });
    let expired = serde_json::json!({ "data": { "expires_at": "2026-01-01T00:00:00Z" } });
    let cases = [
        (
            Some(Script::bad_key(OWN).times(1)),
            "OPENROUTER_KEY_INVALID",
        ),
        (Some(answer(200, manager)), "INVALID_REQUEST"),
        (Some(answer(200, used_up)), "OPENROUTER_KEY_OUT_OF_CREDIT"),
        (Some(answer(200, budget)), "OPENROUTER_KEY_OUT_OF_CREDIT"),
        (Some(answer(200, expired)), "OPENROUTER_KEY_INVALID"),
        (
            Some(Script::sample("err-402-insufficient-credits").for_path("/key")),
            "OPENROUTER_KEY_OUT_OF_CREDIT",
        ),
        (
            Some(Script::sample("err-429-platform").for_path("/key")),
            "UPSTREAM_RATE_LIMITED",
        ),
        (
            Some(Script::sample("err-502").for_path("/key")),
            "UPSTREAM_UNAVAILABLE",
        ),
        (
            Some(answer(200, serde_json::json!({ "nothing": 1 }))),
            "UPSTREAM_UNAVAILABLE",
        ),
    ];
    for (script, expected) in cases {
        house.mock.clear_scripts();
        script
            .into_iter()
            .for_each(|script| house.mock.script(script));
        let refused = house.set_openrouter_key(&house.admin, OWN).await;
        let refused = refused.expect_err(expected);
        assert_eq!(reason(&refused), expected, "{refused:?}");
        assert!(!format!("{refused:?}").contains(OWN));
        assert_eq!(house.organization().await, kept, "{expected}");
    }
    house.mock.clear_scripts();
    let long = "k".repeat(513);
    for odd in ["", "short", "sk-or-v1-with a space in the middle", &long] {
        let refused = house.set_openrouter_key(&house.admin, odd).await;
        let refused = refused.expect_err("no key");
        assert_eq!(
            (reason(&refused), refused.code()),
            ("INVALID_REQUEST".to_owned(), Code::InvalidArgument)
        );
        assert_eq!(detail(&refused, "field"), "key");
    }
    assert_eq!(house.organization().await, kept);
    for secret in [OWN, OTHER] {
        assert!(!house.keeps(secret), "in a file");
    }
    house.close().await;
}

#[tokio::test]
async fn the_platforms_own_key_cannot_be_an_organizations() {
    let house = House::open().await;
    let refused = house.set_openrouter_key(&house.admin, PLATFORM_KEY).await;
    let refused = refused.expect_err("the platform's");
    assert_eq!(reason(&refused), "INVALID_REQUEST");
    assert!(house.mock.requests().is_empty(), "nobody was asked");
    house.close().await;
}

#[tokio::test]
async fn a_key_of_this_gateway_is_never_sent_to_openrouter() {
    let house = House::open().await;
    let made = keys::mint_operator().expect("a key");
    let unknown = format!("GATEWAY_KEY={}", &house.runtime[..30]);
    let ours = [
        &house.admin,
        &house.runtime,
        OPERATOR_KEY,
        made.expose_secret(),
        &unknown,
    ];
    for key in ours {
        let refused = house.set_openrouter_key(&house.admin, key).await;
        let refused = refused.expect_err("it is ours");
        assert_eq!(reason(&refused), "INVALID_REQUEST");
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
        assert_eq!(detail(&refused, "field"), "key");
        let told = format!("{refused:?}");
        assert!(told.contains("is a key of this gateway"), "{told}");
        assert!(!told.contains(key), "it is said back");
    }
    assert!(house.mock.requests().is_empty(), "nobody was asked");
    house.close().await;
}

#[tokio::test]
async fn whoever_sets_or_deletes_a_key_stands_in_the_audit_trail_and_the_key_does_not() {
    let house = House::open().await;
    for key in [&house.runtime, ""] {
        let refused = house.set_openrouter_key(key, OWN).await;
        let refused = reason(&refused.expect_err("not its to set"));
        assert!(["PERMISSION_DENIED", "UNAUTHENTICATED"].contains(&refused.as_str()));
    }
    house
        .set_openrouter_key(&house.admin, OWN)
        .await
        .expect("set");
    house
        .set_openrouter_key(OPERATOR_KEY, OTHER)
        .await
        .expect("set");
    house
        .delete_openrouter_key(&house.owner)
        .await
        .expect("gone");
    house
        .delete_openrouter_key(&house.owner)
        .await
        .expect("nothing to do");
    let trail = proto::ListAuditEntriesRequest::default();
    let trail = house
        .organizations(&house.admin)
        .list_audit_entries(trail)
        .await;
    let entries = trail.expect("the trail").into_inner().entries;
    let told: Vec<_> = entries
        .iter()
        .map(|entry| (entry.action(), entry.actor == "operator"))
        .take_while(|(action, _)| {
            use proto::AuditAction::{OpenrouterKeyDeleted, OpenrouterKeySet};
            [OpenrouterKeySet, OpenrouterKeyDeleted].contains(action)
        })
        .collect();
    use proto::AuditAction::{OpenrouterKeyDeleted, OpenrouterKeySet};
    assert_eq!(
        told,
        [
            (OpenrouterKeyDeleted, false),
            (OpenrouterKeySet, true),
            (OpenrouterKeySet, false)
        ]
    );
    let shown = format!("{entries:?}");
    assert!(shown.contains("…c0de") && shown.contains("…beef"));
    assert!(!shown.contains(OWN) && !shown.contains(OTHER));
    assert_eq!(house.painter().await.model, KLEIN);
    house.close().await;
}

#[tokio::test]
async fn a_key_with_a_limit_and_a_last_day_is_kept_as_long_as_it_can_pay() {
    let house = House::open().await;
    let good = serde_json::json!({ "data": {
        "limit": 5, "limit_remaining": 0.01, "expires_at": "2999-01-01T00:00:00Z",
    } });
    house.mock.script(Script::error(200, good).for_path("/key"));
    let set = house.set_openrouter_key(&house.admin, OWN).await;
    assert_eq!(
        set.expect("set").openrouter_key_status(),
        proto::OpenRouterKeyStatus::Active
    );
    house.close().await;
}

#[tokio::test]
async fn a_key_is_known_in_the_books_by_nothing_that_can_be_computed_from_it_alone() {
    use sha2::{Digest, Sha256};

    let house = House::open().await;
    for _ in 0..2 {
        let set = house.set_openrouter_key(&house.admin, OWN).await;
        set.expect("set");
    }
    house.generate(request("own")).await.expect("a picture");
    let books = rusqlite::Connection::open(house.database()).expect("the books");
    let names = |sql: &str| -> Vec<String> {
        let mut statement = books.prepare(sql).expect("a statement");
        let names = statement.query_map([], |row| row.get(0)).expect("rows");
        names.collect::<Result<_, _>>().expect("names")
    };
    let known = names("SELECT DISTINCT fingerprint FROM openrouter_key");
    assert_eq!(known.len(), 1, "the same key, the same words: {known:?}");
    let paid = names("SELECT upstream_key FROM generation");
    assert_eq!(paid, known);
    let bare = Sha256::digest(OWN.as_bytes());
    let bare: String = bare.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(!bare.contains(&known[0]), "it is a bare hash");
    house.close().await;
}

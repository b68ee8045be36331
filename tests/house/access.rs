//! Who may call what: every call with every kind of key.

use std::time::{Duration, SystemTime};

use image_gateway::keys::Presented;
use image_gateway::proto;
use tonic::{Code, Status};

use crate::canary;
use crate::helpers::{House, OPERATOR_KEY, PLATFORM_KEY, reason, request};
use crate::limits::forged;
use crate::reflection::{contract, invoke};

/// Makes each call of the contract once with a key; what comes back, by the call's name. Messages
/// are empty, so that a call that is let through is refused for what it lacks, and changes nothing.
async fn all_calls(house: &House, key: &str) -> Vec<(String, Result<(), Status>)> {
    let mut outcomes = Vec::new();
    for method in contract() {
        let json = match method.name() {
            // Which role a key may make depends on the role that is asked for.
            "CreateApiKey" => r#"{"name": "k", "role": "ROLE_OWNER"}"#,
            _ => "{}",
        };
        let outcome = invoke(house, &method, json, key).await.map(drop);
        outcomes.push((method.name().to_owned(), outcome));
    }
    outcomes
}

/// Refused for who it is, rather than for what it asks.
fn denied(outcome: &Result<(), Status>) -> bool {
    outcome
        .as_ref()
        .is_err_and(|status| status.code() == Code::PermissionDenied)
}

#[tokio::test]
async fn each_role_may_do_what_the_ladder_says_and_no_more() {
    let house = House::open().await;
    let runtime = [
        "GenerateImage",
        "StartGeneration",
        "WatchGeneration",
        "CancelGeneration",
        "GetGeneration",
        "ListGenerations",
        "ReadImage",
        "EstimateImage",
        "GetGenerateImageTool",
        "ListGenerateImageTools",
    ];
    // Of the platform too.
    let looks = ["ListModels", "GetModel", "ListPriceChanges"];
    let admin = [
        "UpdateGenerateImageTool",
        "DeleteGenerateImageTool",
        "UpdateModelAvailability",
    ];
    let books = [
        "GetBalance",
        "ListLedgerEntries",
        "QueryUsage",
        "GetOrganization",
        "ListApiKeys",
        "RevokeApiKey",
        "SetOpenRouterKey",
        "DeleteOpenRouterKey",
        "ListAuditEntries",
    ];
    let owner = ["CreateApiKey"];
    let platform = [
        "AddCredits",
        "CreateOrganization",
        "SyncModels",
        "ConfirmPrice",
    ];
    let of_runtime = [&runtime[..], &looks].concat();
    let of_admin = [&of_runtime[..], &admin, &books].concat();
    let of_owner = [&of_admin[..], &owner].concat();
    let of_operator = [&platform[..], &looks, &books, &owner].concat();
    let keys = [
        (house.runtime.clone(), of_runtime),
        (house.admin.clone(), of_admin),
        (house.owner.clone(), of_owner),
        (OPERATOR_KEY.to_owned(), of_operator),
    ];
    for (key, allowed) in keys {
        for (call, outcome) in all_calls(&house, &key).await {
            assert_eq!(
                !denied(&outcome),
                allowed.contains(&call.as_str()),
                "{call}: {outcome:?}"
            );
            if let Err(status) = outcome {
                assert!(!reason(&status).is_empty());
            }
        }
    }
    // The lowest role makes no keys, not even of its own.
    let same = proto::CreateApiKeyRequest {
        name: "another".to_owned(),
        role: proto::Role::Runtime.into(),
        ..Default::default()
    };
    let mut organizations = house.organizations(&house.runtime);
    let made = organizations.create_api_key(same).await;
    assert!(denied(&made.map(drop)));
    house.close().await;
}

#[tokio::test]
async fn every_bad_key_gets_the_same_words() {
    let house = House::open().await;
    let good = house.runtime.clone();
    let mut typo = good.clone();
    typo.replace_range(20..21, if &good[20..21] == "x" { "y" } else { "x" });
    let elsewhere = House::open().await;
    let foreign = elsewhere.runtime.clone();
    elsewhere.close().await;
    let mut messages = Vec::new();
    for key in [
        "",
        "nonsense",
        &typo,
        &foreign,
        &OPERATOR_KEY[1..],
        &good.to_uppercase(),
    ] {
        for (call, outcome) in all_calls(&house, key).await {
            let status = outcome.expect_err(&call);
            assert_eq!(
                (status.code(), reason(&status).as_str()),
                (Code::Unauthenticated, "UNAUTHENTICATED")
            );
            messages.push(status.message().to_owned());
        }
    }
    messages.dedup();
    assert_eq!(messages.len(), 1, "{messages:?}");
    house.assert_untouched().await;
    house.close().await;
}

#[tokio::test]
async fn a_key_with_another_secret_opens_nothing_and_is_answered_as_nonsense_is() {
    let house = House::open().await;
    let forged = forged(&house.owner);
    assert!(Presented::read(&forged).is_some(), "it is well formed");
    let mut answers = Vec::new();
    for key in [&forged, "nonsense"] {
        for (call, outcome) in all_calls(&house, key).await {
            let status = outcome.expect_err(&call);
            let words = (status.code(), reason(&status), status.message().to_owned());
            answers.push(words);
        }
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(answers[0].0, Code::Unauthenticated);
    house.assert_untouched().await;
    house.close().await;
}

#[tokio::test]
async fn a_key_stops_working_when_it_expires() {
    let house = House::open().await;
    // Long enough to use it twice.
    let soon = SystemTime::now() + Duration::from_secs(5);
    let create = |expire_time| proto::CreateApiKeyRequest {
        name: "short".to_owned(),
        role: proto::Role::Runtime.into(),
        expire_time,
        ..Default::default()
    };
    let mut organizations = house.organizations(&house.admin);
    let past = prost_types::Timestamp {
        seconds: 1,
        nanos: 0,
    };
    let status = organizations
        .create_api_key(create(Some(past)))
        .await
        .expect_err("in the past");
    assert_eq!(reason(&status), "INVALID_REQUEST");
    let key = organizations
        .create_api_key(create(Some(soon.into())))
        .await
        .expect("a key")
        .into_inner()
        .secret;
    let list = || async {
        house
            .models(&key)
            .list_models(proto::ListModelsRequest::default())
            .await
    };
    list().await.expect("still good");
    let left = soon.duration_since(SystemTime::now()).unwrap_or_default();
    tokio::time::sleep(left + Duration::from_millis(100)).await;
    assert_eq!(
        reason(&list().await.expect_err("expired")),
        "UNAUTHENTICATED"
    );
    house.close().await;
}

#[tokio::test]
async fn a_key_may_expire_at_any_time_that_a_timestamp_can_tell() {
    let house = House::open().await;
    let mut organizations = house.organizations(&house.admin);
    let last = "9999-12-30T22:00:00Z";
    let (beyond, none) = (
        "is no time between the years 1 and 9999",
        "must be in the future",
    );
    for (time, expected) in [
        (
            (253_370_764_800, 123_456_789),
            Ok("9999-01-01T00:00:00.123456Z"),
        ),
        // The last days of the year 9999, as many write for never: no clock here goes so far.
        ((253_402_207_200, 1_000), Ok(last)),
        ((253_402_214_400, 0), Ok(last)),
        ((253_402_300_799, 999_999_999), Ok(last)),
        ((253_402_300_800, 0), Err(beyond)),
        ((i64::MAX, 0), Err(beyond)),
        ((253_370_764_800, -1), Err(beyond)),
        ((253_370_764_800, 1_000_000_000), Err(beyond)),
        ((0, 0), Err(none)),
    ] {
        let (seconds, nanos) = time;
        let request = proto::CreateApiKeyRequest {
            name: "late".to_owned(),
            role: proto::Role::Runtime.into(),
            expire_time: Some(prost_types::Timestamp { seconds, nanos }),
            ..Default::default()
        };
        let made = organizations.create_api_key(request).await;
        match (made, expected) {
            (Ok(made), Ok(expected)) => {
                let made = made.into_inner();
                canary::plant(&made.secret);
                let key = made.api_key.expect("a key");
                let shown = key.expire_time.expect("a time").to_string();
                assert_eq!(shown, expected);
                house.ask(&made.secret).await.expect("a good key");
                // As it was told, so it is kept.
                let list = proto::ListApiKeysRequest {
                    page_size: 1,
                    ..Default::default()
                };
                let kept = organizations.list_api_keys(list).await.expect("keys");
                assert_eq!(kept.get_ref().api_keys[0].expire_time, key.expire_time);
            }
            (Err(status), Err(expected)) => {
                assert_eq!(reason(&status), "INVALID_REQUEST");
                let message = status.message();
                assert_eq!(message, format!("expire_time {expected}."), "{time:?}");
            }
            (made, expected) => panic!("{time:?}: {made:?}, not {expected:?}"),
        }
    }
    house.close().await;
}

#[tokio::test]
async fn nothing_of_another_organization_can_be_seen_or_named() {
    let house = House::open().await;
    let story = house.generate(request("mine")).await.expect("a picture");
    house.add_organization("other").await;
    let spy = house.key("other", proto::Role::Owner).await;
    for which in [
        proto::get_generation_request::Which::GenerationId(story.completed.id.clone()),
        proto::get_generation_request::Which::RequestId("mine".to_owned()),
    ] {
        let asked = proto::GetGenerationRequest { which: Some(which) };
        let status = house
            .images(&spy)
            .get_generation(asked)
            .await
            .expect_err("not theirs");
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::NotFound, "GENERATION_NOT_FOUND")
        );
    }
    let mut words = Vec::new();
    for organization_id in ["acme", "absent", "!"] {
        let asked = proto::GetBalanceRequest {
            organization_id: organization_id.to_owned(),
        };
        let status = house
            .billing(&spy)
            .get_balance(asked)
            .await
            .expect_err("not theirs");
        assert_eq!(status.code(), Code::PermissionDenied);
        words.push(status.message().to_owned());
    }
    words.dedup();
    assert_eq!(
        words.len(),
        1,
        "whether it exists cannot be told: {words:?}"
    );
    let absent = proto::GetBalanceRequest {
        organization_id: "absent".to_owned(),
    };
    let status = house
        .billing(OPERATOR_KEY)
        .get_balance(absent)
        .await
        .expect_err("absent");
    assert_eq!(reason(&status), "ORGANIZATION_NOT_FOUND");
    house.close().await;
}

#[tokio::test]
async fn an_organization_is_made_once() {
    let house = House::open().await;
    let make = |id: &str, name: &str| proto::CreateOrganizationRequest {
        id: id.to_owned(),
        name: name.to_owned(),
    };
    let mut organizations = house.organizations(OPERATOR_KEY);
    let status = organizations
        .create_organization(make("acme", "Again"))
        .await
        .expect_err("taken");
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::AlreadyExists, "ORGANIZATION_EXISTS")
    );
    for (id, name) in [
        ("a b", "x"),
        (&"x".repeat(65), "x"),
        ("ok", ""),
        ("ok", &"x".repeat(201)),
    ] {
        let status = organizations
            .create_organization(make(id, name))
            .await
            .expect_err(id);
        assert_eq!(reason(&status), "INVALID_REQUEST");
    }
    let made = organizations
        .create_organization(make("", "No id"))
        .await
        .expect("made")
        .into_inner();
    assert!(made.id.starts_with("org-"));
    let found = house
        .organizations(&house.admin)
        .get_organization(proto::GetOrganizationRequest::default())
        .await;
    assert_eq!(found.expect("found").into_inner().name, "Acme");
    house.close().await;
}

#[tokio::test]
async fn no_secret_is_kept_in_the_open() {
    let house = House::open().await;
    house.generate(request("r")).await.expect("a picture");
    let (runtime, data) = (house.runtime.clone(), house.dir.path().to_owned());
    let random_part = runtime.rsplit('_').next().expect("a part").to_owned();
    house.mock.stop().await;
    for entry in std::fs::read_dir(&data).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            let bytes = std::fs::read(&path).expect("a file");
            for secret in [random_part.as_str(), OPERATOR_KEY, PLATFORM_KEY] {
                let found = memchr::memmem::find(&bytes, secret.as_bytes());
                assert!(found.is_none(), "a secret stands in {}", path.display());
            }
        }
    }
    house.close().await;
}

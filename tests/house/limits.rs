//! How much an organization may ask for, and that nobody pays for another's flood.

use std::time::Duration;

use futures_util::future::join_all;
use image_gateway::mock::Script;
use image_gateway::proto;
use tokio::time::Instant;
use tonic::{Code, Streaming};
use tonic_types::StatusExt;

use crate::helpers::{House, Setup, Story, detail, reason, request};

/// A house in which an organization has a single place, and a generation has it until the gate `slow`
/// is opened.
async fn with_its_only_place_taken() -> (House, Streaming<proto::GenerationEvent>) {
    let house = House::with(Setup {
        max_concurrent_each: Some("1"),
        ..Setup::default()
    })
    .await;
    house.mock.script(Script::gated("slow"));
    let mut images = house.images(&house.runtime);
    let first = images.generate_image(request("first")).await;
    let first = first.expect("taken").into_inner();
    house.mock.wait_at_gate("slow").await;
    (house, first)
}

#[tokio::test]
async fn an_organization_makes_as_many_generations_at_a_time_as_it_may() {
    let (house, first) = with_its_only_place_taken().await;
    let status = house.generate(request("second")).await;
    let status = status.expect_err("one too many");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(reason(&status), "LIMIT_REACHED");
    assert_eq!(detail(&status, "limit"), "concurrent_generations");
    let details = status.get_error_details();
    assert!(details.quota_failure().is_some() && details.retry_info().is_some());
    assert_eq!(house.balance().await.held, "29.00", "only the first holds");
    // A duplicate of the running one is not another generation.
    let duplicate = house.generate(request("first"));
    let both = async {
        house.mock.open_gate("slow");
        Story::read(first).await
    };
    let (duplicate, first) = tokio::join!(duplicate, both);
    assert_eq!(
        duplicate.expect("attached").completed.id,
        first.expect("a picture").completed.id
    );
    let second = house.generate(request("second")).await;
    second.expect("a place is free again");
    house.close().await;
}

#[tokio::test]
async fn an_organization_that_calls_too_often_is_told_when_to_come_back() {
    let house = House::with(Setup {
        max_calls_per_second: Some("5"),
        ..Setup::default()
    })
    .await;
    let list = async || {
        let mut models = house.models(&house.runtime);
        let answer = models.list_models(proto::ListModelsRequest::default());
        answer.await.map(drop)
    };
    let calls = (0..100).map(|_| list());
    let answers = join_all(calls).await;
    let refused = answers.into_iter().find_map(Result::err);
    let status = refused.expect("100 calls at once are more than 5 a second");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(reason(&status), "LIMIT_REACHED");
    assert_eq!(detail(&status, "limit"), "calls_per_second");
    let details = status.get_error_details();
    assert!(details.quota_failure().is_some());
    let wait = details.retry_info().and_then(|info| info.retry_delay);
    let wait = wait.expect("a time");
    // The operator has no organization, and nobody else's calls count.
    house.top_up("acme", "1", "meanwhile").await;
    tokio::time::sleep(wait).await;
    list().await.expect("as it was told");
    tokio::time::sleep(Duration::from_secs(2)).await;
    house.close().await;
}

#[tokio::test]
async fn whoever_has_no_place_is_refused_before_its_tool_is_looked_up() {
    let (house, first) = with_its_only_place_taken().await;
    let books = rusqlite::Connection::open(house.database()).unwrap();
    let hide = "ALTER TABLE tool RENAME TO tool_away";
    books.execute_batch(hide).unwrap();
    let refused = house.generate(request("second")).await;
    let back = "ALTER TABLE tool_away RENAME TO tool";
    books.execute_batch(back).unwrap();
    assert_eq!(reason(&refused.expect_err("no place")), "LIMIT_REACHED");
    house.mock.open_gate("slow");
    Story::read(first).await.expect("a picture");
    house.close().await;
}

/// A key of the same public beginning with another secret, and with check digits that are right.
pub(crate) fn forged(key: &str) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let (body, _) = key.split_at(key.len() - 6);
    let (rest, last) = body.split_at(body.len() - 1);
    let body = format!("{rest}{}", if last == "a" { "b" } else { "a" });
    let mut value = crc32fast::hash(body.as_bytes());
    let mut digits = [b'0'; 6];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[usize::try_from(value % 62).unwrap()];
        value /= 62;
    }
    body + std::str::from_utf8(&digits).unwrap()
}

/// Calls until there is no call left; told is until when there surely is none.
async fn until_there_is_a_call(house: &House) -> Instant {
    let mut models = house.models(&house.runtime);
    loop {
        let begun = Instant::now();
        let answer = models.list_models(proto::ListModelsRequest::default());
        if let Err(status) = answer.await {
            assert_eq!(reason(&status), "LIMIT_REACHED");
            let details = status.get_error_details();
            let wait = details.retry_info().and_then(|info| info.retry_delay);
            return begun + wait.expect("a time");
        }
    }
}

#[tokio::test]
async fn a_call_too_many_is_refused_without_a_look_at_the_database_and_nobody_is_let_in_so() {
    let house = House::with(Setup {
        max_calls_per_second: Some("1"),
        ..Setup::default()
    })
    .await;
    let ask = async |key: &str| {
        let mut models = house.models(key);
        let answer = models.list_models(proto::ListModelsRequest::default());
        answer.await.map(drop).map_err(|status| reason(&status))
    };
    let books = rusqlite::Connection::open(house.database()).unwrap();
    let hide = || books.execute_batch("ALTER TABLE api_key RENAME TO api_key_away");
    let bring_back = || books.execute_batch("ALTER TABLE api_key_away RENAME TO api_key");
    let away = || Err("STORAGE_UNAVAILABLE".to_owned());
    let mut turned_away = false;
    // After a second there is a call again; so on a machine that is slow just now, it is tried again.
    for _ in 0..20 {
        let until = until_there_is_a_call(&house).await;
        hide().unwrap();
        let told = ask(&house.runtime).await;
        if Instant::now() < until {
            assert_eq!(told, Err("LIMIT_REACHED".to_owned()));
            turned_away = true;
            break;
        }
        bring_back().unwrap();
    }
    assert!(turned_away, "never within a second");
    // A key of the same beginning is looked up, and so is one that has not been too much.
    assert_eq!(ask(&forged(&house.runtime)).await, away());
    assert_eq!(ask(&house.admin).await, away());
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(ask(&house.runtime).await, away(), "there is a call again");
    bring_back().unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    house.close().await;
}

#[tokio::test]
async fn a_caller_that_is_refused_again_and_again_keeps_its_connection() {
    let house = House::with(Setup {
        max_calls_per_second: Some("1"),
        ..Setup::default()
    })
    .await;
    let insist = async || {
        let mut models = house.models(&house.runtime);
        let mut refused = 0;
        for _ in 0..400 {
            let answer = models.list_models(proto::ListModelsRequest::default());
            if let Err(status) = answer.await {
                assert_eq!(reason(&status), "LIMIT_REACHED", "{status:?}");
                refused += 1;
            }
        }
        refused
    };
    let refused = join_all((0..16).map(|_| insist())).await;
    assert!(refused.iter().sum::<u32>() > 6000, "{refused:?}");
    // Whoever else speaks on it goes on.
    house.top_up("acme", "1", "meanwhile").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    house.close().await;
}

#[tokio::test]
async fn a_revoked_key_of_a_loud_organization_is_told_that_it_is_none() {
    let house = House::with(Setup {
        max_calls_per_second: Some("1"),
        ..Setup::default()
    })
    .await;
    let ask = async || {
        let mut models = house.models(&house.runtime);
        let answer = models.list_models(proto::ListModelsRequest::default());
        answer.await.map(drop).map_err(|status| reason(&status))
    };
    while ask().await != Err("LIMIT_REACHED".to_owned()) {}
    let mut operator = house.organizations(crate::helpers::OPERATOR_KEY);
    let listed = proto::ListApiKeysRequest {
        organization_id: "acme".to_owned(),
        ..proto::ListApiKeysRequest::default()
    };
    let keys = operator.list_api_keys(listed).await.unwrap().into_inner();
    let runtime = keys.api_keys.iter().find(|key| key.name == "Runtime");
    let revoked = proto::RevokeApiKeyRequest {
        organization_id: "acme".to_owned(),
        api_key_id: runtime.unwrap().id.clone(),
    };
    operator.revoke_api_key(revoked).await.unwrap();
    assert_eq!(ask().await, Err("UNAUTHENTICATED".to_owned()));
    tokio::time::sleep(Duration::from_secs(2)).await;
    house.close().await;
}

#[tokio::test]
async fn an_expired_key_of_a_loud_organization_is_told_that_it_is_none() {
    let house = House::with(Setup {
        max_calls_per_second: Some("1"),
        ..Setup::default()
    })
    .await;
    let expires = std::time::SystemTime::now() + std::time::Duration::from_millis(2500);
    let short = proto::CreateApiKeyRequest {
        organization_id: "acme".to_owned(),
        name: "short".to_owned(),
        role: proto::Role::Runtime.into(),
        expire_time: Some(expires.into()),
    };
    let mut operator = house.organizations(crate::helpers::OPERATOR_KEY);
    let made = operator.create_api_key(short).await.unwrap().into_inner();
    let until = async |before_ms: u64| {
        let when = expires - std::time::Duration::from_millis(before_ms);
        let left = when.duration_since(std::time::SystemTime::now());
        tokio::time::sleep(left.unwrap_or_default()).await;
    };
    let ask = async || {
        house
            .ask(&made.secret)
            .await
            .map_err(|status| reason(&status))
    };
    until(400).await;
    while ask().await.is_ok() {}
    until(0).await;
    assert_eq!(ask().await, Err("UNAUTHENTICATED".to_owned()));
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    house.close().await;
}

#[tokio::test]
async fn an_organization_that_floods_the_gateway_leaves_places_for_others() {
    let house = House::with(Setup {
        max_concurrent: 16,
        ..Setup::default()
    })
    .await;
    house.add_organization("other").await;
    house.top_up("other", "1000", "first").await;
    let admin = house.key("other", proto::Role::Admin).await;
    let tool = proto::GenerateImageTool {
        agent_id: "painter".to_owned(),
        enabled: true,
        model: crate::helpers::KLEIN.to_owned(),
        ..proto::GenerateImageTool::default()
    };
    let saved = proto::UpdateGenerateImageToolRequest {
        generate_image_tool: Some(tool),
        ..proto::UpdateGenerateImageToolRequest::default()
    };
    let mut tools = house.tools(&admin);
    let saved = tools.update_generate_image_tool(saved).await;
    saved.expect("a tool");
    house.mock.script(Script::gated("slow").times(100));
    let mut loud = Vec::new();
    let mut refused = 0;
    for number in 0..32 {
        let mut images = house.images(&house.runtime);
        let asked = request(&format!("loud-{number}"));
        match images.generate_image(asked).await {
            Ok(events) => loud.push(events.into_inner()),
            Err(status) => {
                assert_eq!(reason(&status), "OVERLOADED");
                let details = status.get_error_details();
                assert!(details.quota_failure().is_some() && details.retry_info().is_some());
                refused += 1;
            }
        }
    }
    assert_eq!((loud.len(), refused), (14, 18), "two of sixteen are kept");
    let mut images = house.images(&admin);
    let quiet = images.generate_image(request("quiet")).await;
    let quiet = quiet.expect("a place").into_inner();
    house.mock.open_gate("slow");
    Story::read(quiet).await.expect("a picture");
    for events in loud {
        Story::read(events).await.expect("a picture");
    }
    house.close().await;
}

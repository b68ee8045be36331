//! Organizations, keys, tools and availability.

use super::*;
use crate::domain::ids::ApiKeyId;
use crate::domain::shape::Quality;
use crate::domain::tool::Tool;
use crate::ports::{ApiKey, KeyHash, Role, SettingsError};

const HASH: KeyHash = KeyHash {
    pepper: [2; 8],
    mac: [3; 32],
};

fn agent(name: &str) -> AgentId {
    AgentId::parse(name).expect("an agent")
}

#[tokio::test]
async fn a_tool_reads_back_as_it_was_saved_and_belongs_to_one_organization() {
    let books = Books::open(0).await;
    books.organization("other").await;
    let now: Timestamp = "2026-11-23T12:00:00.123456Z".parse().expect("a time");
    let tool = Tool {
        enabled: true,
        model: Slug::parse("acme/model").ok(),
        default_aspect_ratio: AspectRatio::parse("9:19.5").expect("a ratio"),
        default_resolution: Resolution::R512,
        max_resolution: Resolution::R4K,
        allowed_aspect_ratios: vec![AspectRatio::SQUARE, AspectRatio::whole(16, 9)],
        quality: Some(Quality::High),
        max_images_per_call: 3,
        daily_image_limit: 7,
        monthly_credit_limit: Some(Credits::from_hundredths(12_345)),
        allow_reference_images: true,
        when_to_use: "when asked\u{0} ☃".to_owned(),
        ..Tool::new(agent("painter"), now)
    };
    let (acme, other) = (organization("acme"), organization("other"));
    let mut before = None;
    for saved in [Tool::new(agent("painter"), now), tool.clone()] {
        let done = books
            .sqlite
            .save_tool(&acme, before, saved.clone(), operator())
            .await;
        assert!(done.expect("saved"));
        let found = books
            .sqlite
            .tool(&acme, &agent("painter"))
            .await
            .expect("a look");
        assert_eq!(found.as_ref(), Some(&saved));
        before = found;
    }
    assert_eq!(
        books
            .sqlite
            .tool(&other, &agent("painter"))
            .await
            .expect("a look"),
        None
    );
    let error = books
        .sqlite
        .save_tool(&organization("none"), None, tool, operator())
        .await
        .expect_err("nobody's");
    assert!(matches!(error, SettingsError::NoOrganization));
}

#[tokio::test]
async fn a_model_is_available_until_it_is_switched_off() {
    let books = Books::open(0).await;
    books.organization("other").await;
    let (acme, other) = (organization("acme"), organization("other"));
    let model = Slug::parse("acme/model").expect("a slug");
    let sqlite = &books.sqlite;
    for agent_name in ["b", "a"] {
        let tool = Tool {
            model: Some(model.clone()),
            ..Tool::new(agent(agent_name), Timestamp::UNIX_EPOCH)
        };
        let saved = sqlite.save_tool(&acme, None, tool, operator()).await;
        assert!(saved.expect("saved"));
    }
    for changes in [true, false] {
        let off = sqlite.set_available(&acme, &model, false, operator()).await;
        assert_eq!(off.expect("off"), changes);
    }
    assert!(!sqlite.is_available(&acme, &model).await.expect("a look"));
    assert!(sqlite.is_available(&other, &model).await.expect("a look"));
    assert_eq!(
        sqlite.unavailable_models(&acme).await.expect("a look"),
        std::slice::from_ref(&model)
    );
    assert_eq!(
        sqlite.agents_by_model(&acme).await.expect("a look"),
        [(model.clone(), 2)]
    );
    assert!(
        sqlite
            .agents_by_model(&other)
            .await
            .expect("a look")
            .is_empty()
    );
    let none = sqlite.unavailable_models(&other).await.expect("a look");
    assert!(none.is_empty(), "{none:?}");
    let off = sqlite.set_available(&other, &model, false, operator());
    assert!(off.await.expect("off"));
    for changes in [true, false] {
        let on = sqlite.set_available(&acme, &model, true, operator()).await;
        assert_eq!(on.expect("on"), changes);
    }
    assert!(sqlite.is_available(&acme, &model).await.expect("a look"));
    assert!(!sqlite.is_available(&other, &model).await.expect("a look"));
}

#[tokio::test]
async fn a_key_is_found_by_its_prefix_and_an_organization_made_once() {
    let books = Books::open(0).await;
    let key = ApiKey {
        id: ApiKeyId::from_uuid(Uuid::now_v7()),
        organization: organization("acme"),
        name: "key".to_owned(),
        prefix: "sq_live_12345678".to_owned(),
        role: Role::Admin,
        created: Timestamp::UNIX_EPOCH,
        expires: Some("2030-01-01T00:00:00Z".parse().expect("a time")),
        last_used: None,
        revoked: None,
    };
    books
        .sqlite
        .create_api_key(key.clone(), HASH, operator())
        .await
        .expect("made");
    let found = books
        .sqlite
        .api_key("sq_live_12345678")
        .await
        .expect("a look");
    assert_eq!(found, Some((key, HASH)));
    assert_eq!(
        books
            .sqlite
            .api_key("sq_live_00000000")
            .await
            .expect("a look"),
        None
    );
    let again = Organization {
        id: organization("acme"),
        name: "x".to_owned(),
        created: Timestamp::UNIX_EPOCH,
    };
    let error = books
        .sqlite
        .create_organization(again, operator())
        .await
        .expect_err("taken");
    assert!(matches!(error, SettingsError::Exists));
    let kept = books
        .sqlite
        .organization(&organization("acme"))
        .await
        .expect("a look")
        .expect("there");
    assert_eq!(kept.name, "acme");
}

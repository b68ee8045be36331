//! Catalogs, the key and generation records.

use serde_json::Value;

use super::*;
use crate::mock::{GenerationLookup, Script};

#[tokio::test]
async fn the_image_catalog_lists_the_twelve_and_needs_no_key() {
    let mock = start().await;
    let url = format!("{}/images/models", mock.base_url());
    let response = client().get(url).send().await.expect("an answer");
    assert_eq!(response.status(), 200);
    let body = json_of(response).await;
    let models = body["data"].as_array().expect("a list");
    assert_eq!(models.len(), 12);
    for model in models {
        let id = model["id"].as_str().expect("a slug");
        let body = json_of(get(&mock, &format!("/images/models/{id}/endpoints")).await).await;
        assert_eq!(body["id"], id);
        assert!(
            body["endpoints"][0]["pricing"][0]["cost_usd"].is_number(),
            "{id}"
        );
    }
}

#[tokio::test]
async fn endpoints_of_a_model_that_images_does_not_know_are_refused_as_recorded() {
    let mock = start().await;
    let response = get(&mock, "/images/models/anthropic/claude-sonnet-5/endpoints").await;
    assert_eq!(response.status(), 404);
    assert_eq!(json_of(response).await, sample("err-404-no-image-model"));
    let response = get(&mock, "/images/models/example/chat-only-image/endpoints").await;
    assert_eq!(response.status(), 404);
}

#[tokio::test]
async fn models_are_text_models_unless_asked_otherwise() {
    let mock = start().await;
    let body = json_of(get(&mock, "/models").await).await;
    let writes = |model: &Value| model["architecture"]["output_modalities"].to_string();
    let models = body["data"].as_array().expect("a list");
    assert!(models.iter().all(|model| writes(model).contains("text")));
    let body = json_of(get(&mock, "/models?output_modalities=image").await).await;
    let models = body["data"].as_array().expect("a list");
    assert_eq!(models.len(), 14);
    assert!(models.iter().all(|model| writes(model).contains("image")));
    assert!(
        models
            .iter()
            .all(|model| model["pricing"]["prompt"].is_string())
    );
}

#[tokio::test]
async fn models_come_in_pages() {
    let mock = start().await;
    let mut path = "/models?output_modalities=image&limit=5".to_owned();
    let mut found = Vec::new();
    for _ in 0..10 {
        let body = json_of(get(&mock, &path).await).await;
        assert_eq!(body["total_count"], 14);
        found.extend(
            body["data"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|m| m["id"].to_string()),
        );
        let Some(next) = body["links"]["next"].as_str() else {
            break;
        };
        path = next.strip_prefix("/api/v1").expect("a path").to_owned();
    }
    found.sort();
    found.dedup();
    assert_eq!(found.len(), 14);
    assert_eq!(get(&mock, "/models?limit=x").await.status(), 400);
}

#[tokio::test]
async fn the_generation_record_tells_what_was_billed() {
    let mock = start().await;
    let response = post(&mock, "/images", &minimal(SEEDREAM)).await;
    let id = generation_id(&response);
    response.bytes().await.expect("a whole body");
    let body = json_of(get(&mock, &format!("/generation?id={id}")).await).await;
    let template: Value =
        serde_json::from_str(include_str!("../data/generation.json")).expect("JSON");
    assert_has_keys_of(&body["data"], &template);
    assert_eq!(body["data"]["id"], id.as_str());
    assert_eq!(body["data"]["api_type"], "image");
    assert_eq!(body["data"]["total_cost"].to_string(), "0.04");
    assert_eq!(body["data"]["native_tokens_completion_images"], 4175);
    let unknown = get(&mock, "/generation?id=gen-1-unknown").await;
    assert_eq!(unknown.status(), 404);
    assert_eq!(json_of(unknown).await, sample("generation-404-not-yet"));
}

#[tokio::test]
async fn a_generation_record_can_say_another_cost_and_the_bill_goes_by_it() {
    let mock = start().await;
    let lookups = [
        GenerationLookup::Cost("0.0123".to_owned()),
        GenerationLookup::Broken,
    ];
    let mut seen = Vec::new();
    for lookup in lookups {
        mock.script(Script {
            generation_lookup: Some(lookup),
            ..Script::usage_cost("0.04")
        });
        let response = post(&mock, "/images", &minimal(SEEDREAM)).await;
        let path = format!("/generation?id={}", generation_id(&response));
        assert_eq!(json_of(response).await["usage"]["cost"], 0.04);
        let record = get(&mock, &path).await;
        let status = record.status().as_u16();
        seen.push((
            status,
            json_of(record).await["data"]["total_cost"].to_string(),
        ));
    }
    let expected = [(200, "0.0123"), (500, "null")];
    assert_eq!(
        seen,
        expected.map(|(status, cost)| (status, cost.to_owned()))
    );
    assert_eq!(mock.total_billed().to_string(), "0.0523");
}

#[tokio::test]
async fn a_generation_record_can_come_late_or_never() {
    let mock = start().await;
    let late = GenerationLookup::MissingFirst(2);
    mock.script(Script {
        generation_lookup: Some(late),
        ..Script::default()
    });
    let never = GenerationLookup::Never;
    mock.script(Script {
        generation_lookup: Some(never),
        ..Script::default()
    });
    let mut paths = Vec::new();
    for _ in 0..2 {
        let response = post(&mock, "/images", &minimal(SEEDREAM)).await;
        paths.push(format!("/generation?id={}", generation_id(&response)));
        response.bytes().await.expect("a whole body");
    }
    let mut seen = Vec::new();
    for path in [&paths[0], &paths[0], &paths[0], &paths[1]] {
        seen.push(get(&mock, path).await.status().as_u16());
    }
    assert_eq!(seen, [404, 404, 200, 404]);
}

#[tokio::test]
async fn the_key_tells_what_it_has_spent() {
    let mock = start().await;
    post(&mock, "/images", &minimal(SEEDREAM))
        .await
        .bytes()
        .await
        .expect("a whole body");
    let body = json_of(get(&mock, "/key").await).await;
    let template: Value = serde_json::from_str(include_str!("../data/key.json")).expect("JSON");
    for name in template.as_object().expect("an object").keys() {
        assert!(body["data"].get(name).is_some(), "{name}");
    }
    assert_eq!(body["data"]["usage"].to_string(), "0.04");
    assert_eq!(body["data"]["limit_remaining"].to_string(), "999999.96");
    let other = client()
        .get(format!("{}/key", mock.base_url()))
        .bearer_auth("sk-other");
    let other = json_of(other.send().await.expect("an answer")).await;
    assert_eq!(other["data"]["usage"].to_string(), "0");
}

#[tokio::test]
async fn paths_and_methods_that_openrouter_lacks_are_refused() {
    let mock = start().await;
    let response = post(&mock, "/images/generations", &minimal(SEEDREAM)).await;
    assert_eq!(response.status(), 404);
    assert_eq!(get(&mock, "/images").await.status(), 405);
}

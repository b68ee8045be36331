//! What is recorded is listed, word for word.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::value::RawValue;

use super::super::{fixture, sample};
use super::*;
use crate::domain::ids::Slug;
use crate::domain::listing::{ListedPrices, Offer};
use crate::mock::{Mock, Options};

/// Endpoints as they were recorded, by slug; some with a remark around them.
#[derive(serde::Deserialize)]
struct Recorded {
    records: BTreeMap<String, Box<RawValue>>,
}

/// A server that gives the recorded answers.
async fn recorded(models: &str, endpoints: &'static str) -> Upstream {
    let models = String::from_utf8(sample(models).wire()).expect("UTF-8");
    let image_models = String::from_utf8(sample("images-models-200.json").wire()).expect("UTF-8");
    let Recorded { records } = serde_json::from_str(&fixture(endpoints)).expect("records");
    Upstream::but(move |asked| {
        let body = match asked.path.as_str() {
            "models" => models.clone(),
            "images/models" => image_models.clone(),
            path => {
                let slug = path.strip_prefix("images/models/")?;
                let record = records.get(slug.strip_suffix("/endpoints")?)?;
                #[derive(serde::Deserialize)]
                struct Remarked {
                    body: Box<RawValue>,
                }
                let body = serde_json::from_str(record.get());
                let body = body.map(|Remarked { body }| body);
                body.unwrap_or_else(|_| record.clone()).get().to_owned()
            }
        };
        Some(json(&body))
    })
    .await
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn line([provider, billable, unit, variant, usd]: [&str; 5]) -> PriceLine {
    PriceLine {
        provider: provider.to_owned(),
        billable: billable.to_owned(),
        unit: unit.to_owned(),
        variant: variant.to_owned(),
        usd: usd.to_owned(),
        last_good: String::new(),
    }
}

fn riverflow() -> Listed {
    let provider = "sourceful";
    Listed {
        slug: Slug::parse("sourceful/riverflow-v2-fast").expect("a slug"),
        name: "Sourceful: Riverflow V2 Fast".to_owned(),
        inputs: words(&["text", "image"]),
        outputs: words(&["image"]),
        context_tokens: Some(8192),
        prices: ListedPrices {
            prompt: "0".to_owned(),
            completion: "0".to_owned(),
            image_output: "0.00000479041916167665".to_owned(),
        },
        last_good: ListedPrices::default(),
        offer: Some(Offer {
            aspect_ratios: words(&[
                "1:1", "4:3", "3:4", "3:2", "2:3", "16:9", "9:16", "21:9", "auto",
            ]),
            resolutions: words(&["1K", "2K"]),
            images_per_call: Some(1),
            references: Some(10),
            lines: vec![
                line([provider, "output_image", "image", "", "0.02"]),
                line([provider, "output_image", "image", "2k", "0.04"]),
                line([provider, "input_font", "image", "", "0.03"]),
                line([provider, "input_reference", "image", "", "0.2"]),
            ],
            ..Offer::default()
        }),
    }
}

#[tokio::test]
async fn the_recorded_lists_become_one_list() {
    let endpoints = "images-model-endpoints-twelve.json";
    let upstream = recorded("models-200-output-image.json", endpoints).await;
    let list = upstream.list().await.expect("a list");
    assert_eq!(list.len(), 12);
    assert_eq!(*find(&list, "sourceful/riverflow-v2-fast"), riverflow());
    let gemini = "google/gemini-3-pro-image-preview";
    let expected = ["google-vertex/global", "google-ai-studio"].map(|provider| {
        [
            line([provider, "input_image", "token", "", "2e-06"]),
            line([provider, "output_image", "token", "", "0.00012"]),
        ]
    });
    assert_eq!(lines(&list, gemini), expected.as_flattened());
    let flux = find(&list, "black-forest-labs/flux.2-flex");
    let offer = flux.offer.as_ref().expect("an offer");
    assert!(offer.seed);
    assert_eq!(offer.output_formats, ["png", "jpeg"]);
    assert_eq!(flux.context_tokens, Some(67344));
    let gpt = find(&list, "openai/gpt-5-image-mini");
    assert_eq!(gpt.inputs, ["file", "image", "text"]);
    assert_eq!(gpt.prices.image_output, "0.000008");
    let offer = gpt.offer.as_ref().expect("an offer");
    assert!(!offer.seed);
    assert_eq!(offer.qualities, ["auto", "low", "medium", "high"]);
    assert_eq!(offer.backgrounds, ["auto", "opaque"]);
    assert_eq!(
        (offer.images_per_call, offer.references),
        (Some(10), Some(16))
    );
}

#[tokio::test]
async fn endpoints_as_they_were_told_in_october_are_read_to_the_letter() {
    let endpoints = "images-model-endpoints-2026-10-08.json";
    let upstream = recorded("models-200-spec-example.json", endpoints).await;
    let list = upstream.list().await.expect("a list");
    let seedream = lines(&list, "bytedance-seed/seedream-4.5");
    assert_eq!(
        seedream,
        [
            line(["seed", "output_image", "image", "", "0.04"]),
            line(["seed", "input_image", "image", "", "0"]),
        ]
    );
    // The other ten had no record then.
    assert_eq!(lines(&list, "sourceful/riverflow-v2-pro"), []);
    let klein = lines(&list, "black-forest-labs/flux.2-klein-4b");
    assert_eq!(klein.len(), 1);
    assert_eq!((&*klein[0].unit, &*klein[0].usd), ("megapixel", "0.014"));
    let gpt = find(&list, "openai/gpt-4");
    assert_eq!((&*gpt.name, gpt.context_tokens), ("GPT-4", Some(8192)));
    assert_eq!(gpt.prices.completion, "0.00006");
    assert_eq!((&gpt.prices.image_output[..], &gpt.offer), ("", &None));
}

#[tokio::test]
async fn the_mock_is_listed_with_text_models_and_models_of_chat_alone() {
    let any = (Ipv4Addr::LOCALHOST, 0).into();
    let mock = Mock::start(any, Options::default()).await.expect("a port");
    let lists = Lists::new(config(&mock.base_url())).expect("an address");
    let list = lists.list().await.expect("a list");
    let offered = list.iter().filter(|listed| listed.offer.is_some());
    assert_eq!(offered.clone().count(), 12);
    for listed in offered {
        let offer = listed.offer.as_ref().expect("an offer");
        assert!(!offer.lines.is_empty(), "{listed:?}");
        assert!(offer.lines.iter().all(|line| !line.usd.is_empty()));
    }
    let chat = find(&list, "example/chat-only-image");
    assert_eq!((&chat.offer, chat.outputs.is_empty()), (&None, false));
    let texts = list.iter().filter(|listed| listed.outputs == ["text"]);
    assert_eq!(texts.count(), 2);
    let requests = mock.requests();
    assert_eq!(requests.len(), 14);
    for request in requests {
        assert_eq!(request.headers.get("authorization"), None, "{request:?}");
        assert!(request.headers["user-agent"].starts_with("image-gateway/"));
    }
}

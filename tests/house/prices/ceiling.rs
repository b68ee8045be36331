//! No estimate is below the bill: every model, size, shape, quality and number of references that
//! the mock offers, before a sync and after it.

use base64_simd::STANDARD;
use image_gateway::domain::money::{UsdCost, platform_charge};
use image_gateway::domain::shape::{AspectRatio, Resolution};
use rust_decimal::Decimal;
use serde_json::json;

use super::*;

/// Letters of the prompt: what every estimate allows for, by the mock's measure.
const PROMPT_CHARS: usize = 1_000;

/// A question, and the request that the gateway would send for it.
struct Case {
    asked: proto::EstimateImageRequest,
    body: Value,
}

/// Everything that can be asked of a model with so many references.
fn cases(model: &proto::Model, references: i32) -> Vec<Case> {
    let mut cases = Vec::new();
    let shapes = model.aspect_ratios.iter().map(String::as_str).chain([""]);
    for shape in shapes {
        for resolution in &model.resolutions {
            for quality in ["", "low", "medium", "high"] {
                cases.push(case(model, (shape, resolution, quality), references));
            }
        }
    }
    cases
}

fn case(model: &proto::Model, wish: (&str, &str, &str), references: i32) -> Case {
    let (shape, resolution, quality) = wish;
    let asked = proto::EstimateImageRequest {
        subject: Some(proto::estimate_image_request::Subject::Model(
            model.slug.clone(),
        )),
        resolution: resolution.to_owned(),
        aspect_ratio: shape.to_owned(),
        quality: quality.to_owned(),
        reference_image_count: references,
        ..proto::EstimateImageRequest::default()
    };
    let mut body = json!({"model": model.slug, "prompt": "x".repeat(PROMPT_CHARS)});
    // FLUX.2 takes no size class and is told pixels; the GPT family takes none at all.
    if model.slug.starts_with("black-forest-labs/") {
        let shape = AspectRatio::parse(if shape.is_empty() { "1:1" } else { shape });
        let class = Resolution::parse(resolution).expect("a size class");
        let size = shape.expect("a shape").pixels(class);
        body["size"] = json!(format!("{}x{}", size.width, size.height));
    } else {
        if !shape.is_empty() {
            body["aspect_ratio"] = json!(shape);
        }
        if !model.slug.starts_with("openai/") {
            body["resolution"] = json!(resolution);
        }
    }
    if !quality.is_empty() {
        body["quality"] = json!(quality);
    }
    if references > 0 {
        let url = format!(
            "data:image/png;base64,{}",
            STANDARD.encode_to_string(picture())
        );
        let one = json!({"image_url": {"url": url}});
        body["input_references"] = json!(vec![one; usize::try_from(references).expect("few")]);
    }
    Case { asked, body }
}

/// The beginning of a PNG of one megapixel.
fn picture() -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    bytes.extend(1024_u32.to_be_bytes());
    bytes.extend(1024_u32.to_be_bytes());
    bytes.extend([8, 2, 0, 0, 0, 0, 0, 0, 0]);
    bytes
}

async fn check(house: &House) -> usize {
    let mut checked = 0;
    let mut images = house.images(&house.runtime);
    for model in list(house).await.models {
        let most = model.max_reference_images.min(3);
        let cases = [0, most].map(|references| cases(&model, references));
        for Case { asked, body } in cases.into_iter().flatten() {
            let Some(usd) = house.mock.quote(&body) else {
                continue;
            };
            let estimate = images.estimate_image(asked.clone()).await;
            let estimate = estimate.expect("an estimate").into_inner();
            let high: Decimal = estimate.high.parse().expect("credits");
            let bill = UsdCost::from_decimal(usd).expect("a cost");
            let bill: Decimal = platform_charge(bill, 1)
                .to_string()
                .parse()
                .expect("credits");
            assert!(high >= bill, "{asked:?}: {high} is below {bill}");
            checked += 1;
        }
    }
    checked
}

#[tokio::test]
async fn no_bill_is_above_the_high_estimate_of_whatever_can_be_asked() {
    let house = House::open().await;
    let built_in = check(&house).await;
    sync(&house).await.expect("a list");
    let synced = check(&house).await;
    assert!(
        built_in > 1_000 && synced >= built_in,
        "{built_in} and {synced}"
    );
    house.close().await;
}

//! What cannot be done as asked is done as nearly as can be, never dearer, and told.

use image_gateway::proto;

use crate::helpers::{GPT, House, KLEIN, NANO, request};

fn told(generation: &proto::Generation) -> Vec<(&str, &str, &str)> {
    let adjustments = generation.adjustments.iter();
    adjustments
        .map(|a| (a.field.as_str(), a.requested.as_str(), a.used.as_str()))
        .collect()
}

#[tokio::test]
async fn an_unsupported_shape_and_size_become_the_nearest_that_are_no_dearer() {
    let house = House::open().await;
    house.tool(|tool| tool.model = GPT.to_owned()).await;
    let asked = proto::GenerateImageRequest {
        aspect_ratio: "16:9".to_owned(),
        resolution: "4K".to_owned(),
        ..request("r")
    };
    let story = house.generate(asked).await.expect("a picture");
    assert_eq!(
        told(&story.completed),
        [("resolution", "4K", "1K"), ("aspect_ratio", "16:9", "3:2")]
    );
    let sent = house.mock.requests().pop().expect("a request");
    assert_eq!(sent.body["aspect_ratio"], "3:2");
    assert!(sent.body.get("resolution").is_none() && sent.body.get("size").is_none());
    house.close().await;
}

#[tokio::test]
async fn the_tools_ceiling_and_shapes_are_kept() {
    let house = House::open().await;
    house
        .tool(|tool| {
            tool.model = NANO.to_owned();
            tool.max_resolution = "2K".to_owned();
            tool.allowed_aspect_ratios = vec!["1:1".to_owned(), "4:3".to_owned()];
        })
        .await;
    let asked = proto::GenerateImageRequest {
        aspect_ratio: "16:9".to_owned(),
        resolution: "4K".to_owned(),
        ..request("r")
    };
    let story = house.generate(asked).await.expect("a picture");
    assert_eq!(
        told(&story.completed),
        [("resolution", "4K", "2K"), ("aspect_ratio", "16:9", "4:3")]
    );
    let image = &story.completed.images[0];
    assert!(image.width > 2000 && image.width > image.height);
    house.close().await;
}

#[tokio::test]
async fn flux_is_asked_for_pixels_and_charged_by_area() {
    let house = House::open().await;
    let asked = proto::GenerateImageRequest {
        resolution: "2K".to_owned(),
        ..request("r")
    };
    let story = house.generate(asked).await.expect("a picture");
    assert_eq!(house.mock.requests()[0].body["size"], "2048x2048");
    assert_eq!(
        (
            story.completed.images[0].width,
            story.charge().credits.as_str()
        ),
        (2048, "35.00")
    );
    assert_eq!(told(&story.completed), []);
    house.close().await;
}

#[tokio::test]
async fn what_the_model_cannot_be_told_is_reported_not_sent() {
    let house = House::open().await;
    house.tool(|tool| tool.model = NANO.to_owned()).await;
    let asked = proto::GenerateImageRequest {
        seed: Some(7),
        output_format: "webp".to_owned(),
        background: "transparent".to_owned(),
        ..request("r")
    };
    let story = house.generate(asked).await.expect("a picture");
    let fields: Vec<&str> = story
        .completed
        .adjustments
        .iter()
        .map(|a| a.field.as_str())
        .collect();
    assert_eq!(fields, ["output_format", "background", "seed"]);
    let sent = house.mock.requests().pop().expect("a request");
    for field in ["seed", "output_format", "background", "n"] {
        assert!(sent.body.get(field).is_none(), "{field} was sent");
    }
    house.close().await;
}

#[tokio::test]
async fn a_picture_of_another_shape_than_asked_is_reported() {
    let mut house = House::open().await;
    let square = include_str!("../fixtures/openrouter/images-200-tiny-cost-exponent.json");
    let body: serde_json::Value = serde_json::from_str(square).expect("a sample");
    let body = body["body"].as_str().expect("a raw body");
    house.mock.script(image_gateway::mock::Script::raw_body(
        "application/json",
        body,
    ));
    let wide = proto::GenerateImageRequest {
        aspect_ratio: "16:9".to_owned(),
        ..request("r")
    };
    let story = house.generate(wide).await.expect("a picture");
    assert_eq!(told(&story.completed), [("aspect_ratio", "16:9", "16x16")]);
    // The sample tells its own cost, which this upstream has not billed.
    let cost: rust_decimal::Decimal = story.charge().usd_cost.parse().expect("a cost");
    house.absorbed = -cost;
    house.close().await;
}

#[tokio::test]
async fn an_estimate_tells_the_bounds_and_has_no_effect() {
    let house = House::open().await;
    let ask = |subject, resolution: &str, count| proto::EstimateImageRequest {
        subject: Some(subject),
        resolution: resolution.to_owned(),
        count,
        ..Default::default()
    };
    use proto::estimate_image_request::Subject;
    let mut images = house.images(&house.runtime);
    let agent = Subject::AgentId(crate::helpers::AGENT.to_owned());
    let estimate = images
        .estimate_image(ask(agent, "", 0))
        .await
        .expect("an estimate")
        .into_inner();
    let shown = [
        estimate.low.as_str(),
        &estimate.expected,
        &estimate.high,
        &estimate.display,
    ];
    assert_eq!(shown, ["29.00", "29.00", "29.00", "29"]);
    let klein = Subject::Model(KLEIN.to_owned());
    let estimate = images
        .estimate_image(ask(klein, "4K", 2))
        .await
        .expect("an estimate")
        .into_inner();
    assert_eq!(
        (estimate.expected.as_str(), estimate.high.as_str()),
        ("118.00", "898.00")
    );
    let gpt = Subject::Model(GPT.to_owned());
    let estimate = images
        .estimate_image(ask(gpt, "", 1))
        .await
        .expect("an estimate")
        .into_inner();
    assert_eq!(estimate.display, "~27");
    let absent = Subject::Model("acme/none".to_owned());
    let status = images
        .estimate_image(ask(absent, "", 1))
        .await
        .expect_err("absent");
    assert_eq!(crate::helpers::reason(&status), "MODEL_NOT_FOUND");
    house.assert_untouched().await;
    house.close().await;
}

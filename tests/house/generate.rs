//! The whole way of a picture, when everything goes well.

use sha2::{Digest, Sha256};

use crate::helpers::{GPT, House, KLEIN, NANO, SEEDREAM, request};
use image_gateway::proto;

#[tokio::test]
async fn a_picture_comes_with_its_exact_charge() {
    let house = House::open().await;
    let story = house.generate(request("call-1")).await.expect("a picture");

    assert_eq!(story.accepted.model, KLEIN);
    assert_eq!(story.accepted.request_id, "call-1");
    assert_eq!(story.accepted.hold, "29.00");
    assert_eq!(story.accepted.balance, "9971.00");
    let charge = story.charge();
    assert_eq!(charge.credits, "29.00");
    assert_eq!(charge.usd_cost, "0.014");
    assert_eq!(charge.explanation, "0.014 × 2000 + 1 = 29.00");
    assert_eq!(charge.balance_after, "9971.00");
    assert_eq!(charge.cost_source(), proto::CostSource::Usage);

    let completed = &story.completed;
    assert_eq!(completed.state(), proto::GenerationState::Succeeded);
    assert_eq!(completed.stage(), proto::Stage::Settled);
    assert_eq!((completed.requested, completed.delivered), (1, 1));
    assert!(!completed.replayed);
    assert_eq!(completed.upstream_generation_ids.len(), 1);
    let image = &story.finished[0];
    assert_eq!((image.width, image.height), (1024, 1024));
    assert_eq!(image.media_type, "image/png");
    let digest: String = Sha256::digest(&story.images[&0])
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    assert_eq!(image.sha256, digest);
    let kept =
        std::fs::read(house.dir.path().join("images").join(&image.object_name)).expect("kept");
    assert_eq!(kept, story.images[&0]);
    assert_eq!(
        house.generation("call-1").await,
        proto::Generation {
            replayed: false,
            ..completed.clone()
        }
    );
    house.close().await;
}

#[tokio::test]
async fn upstream_is_told_our_id_and_never_the_organization() {
    let house = House::open().await;
    let story = house.generate(request("call-1")).await.expect("a picture");
    let sent = &house.mock.requests()[0];
    assert_eq!(sent.path, "/api/v1/images");
    assert_eq!(sent.body["session_id"], story.completed.id.as_str());
    assert_eq!(sent.body["trace"]["trace_id"], story.completed.id.as_str());
    let user = sent.body["user"].as_str().expect("a tag");
    assert!(!user.is_empty() && !sent.body.to_string().contains("acme"));
    assert_eq!(
        house.mock.bill()[0].generation_id,
        story.completed.upstream_generation_ids[0]
    );
    house.close().await;
}

#[tokio::test]
async fn a_model_that_makes_one_image_per_call_is_called_once_per_image() {
    let house = House::open().await;
    house.tool(|tool| tool.model = NANO.to_owned()).await;
    let four = proto::GenerateImageRequest {
        count: 4,
        ..request("four")
    };
    let story = house.generate(four).await.expect("pictures");
    assert_eq!(house.sent(), 4);
    assert_eq!(story.finished.len(), 4);
    let indexes: Vec<i32> = story
        .completed
        .images
        .iter()
        .map(|image| image.index)
        .collect();
    assert_eq!(indexes, [0, 1, 2, 3]);
    assert_eq!(story.charge().images, 4);
    assert_eq!(story.completed.upstream_generation_ids.len(), 4);
    house.close().await;
}

#[tokio::test]
async fn a_model_that_makes_several_is_called_once() {
    let house = House::open().await;
    house.tool(|tool| tool.model = SEEDREAM.to_owned()).await;
    let four = proto::GenerateImageRequest {
        count: 4,
        ..request("four")
    };
    let story = house.generate(four).await.expect("pictures");
    assert_eq!(house.sent(), 1);
    assert_eq!(house.mock.requests()[0].body["n"], 4);
    assert_eq!(story.charge().credits, "324.00");
    assert_eq!(story.charge().explanation, "0.16 × 2000 + 4 = 324.00");
    house.close().await;
}

#[tokio::test]
async fn a_token_model_is_held_high_and_charged_by_its_bill() {
    let house = House::open().await;
    house.tool(|tool| tool.model = GPT.to_owned()).await;
    let story = house.generate(request("gpt")).await.expect("a picture");
    let cost: rust_decimal::Decimal = story.charge().usd_cost.parse().expect("a cost");
    assert_eq!(cost, house.mock.total_billed());
    let number = |text: &str| text.parse::<rust_decimal::Decimal>().expect("credits");
    assert!(number(&story.charge().credits) <= number(&story.accepted.hold));
    house.close().await;
}

#[tokio::test]
async fn what_the_caller_says_about_itself_is_echoed() {
    let house = House::open().await;
    let asked = proto::GenerateImageRequest {
        conversation_id: "conversation".to_owned(),
        message_id: "message".to_owned(),
        user_id: "user".to_owned(),
        channel: proto::Channel::Whatsapp.into(),
        origin: proto::Origin::Test.into(),
        metadata: [("colour".to_owned(), "rot".to_owned())].into(),
        ..request("")
    };
    let completed = house.generate(asked).await.expect("a picture").completed;
    assert!(!completed.request_id.is_empty());
    assert_eq!(completed.conversation_id, "conversation");
    assert_eq!(completed.message_id, "message");
    assert_eq!(completed.user_id, "user");
    assert_eq!(completed.channel(), proto::Channel::Whatsapp);
    assert_eq!(completed.origin(), proto::Origin::Test);
    assert_eq!(completed.metadata["colour"], "rot");
    house.close().await;
}

#[tokio::test]
async fn every_published_model_draws_and_is_charged_as_the_upstream_billed() {
    let house = House::open().await;
    for model in image_gateway::domain::catalog::Catalog::built_in().models() {
        house.tool(|tool| tool.model = model.slug.to_string()).await;
        let story = house
            .generate(request(&format!("draw-{}", model.slug)))
            .await
            .expect("a picture");
        let number = |text: &str| text.parse::<rust_decimal::Decimal>().expect("credits");
        let (charged, held) = (
            number(&story.charge().credits),
            number(&story.accepted.hold),
        );
        assert!(
            charged <= held,
            "{}: charged {charged}, held {held}",
            model.slug
        );
    }
    assert_eq!(house.mock.bill().len(), 12);
    house.close().await;
}

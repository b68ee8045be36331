//! Callers that do not read.

use image_gateway::mock;
use image_gateway::proto;

use crate::helpers::{House, Setup, Story, request};

#[tokio::test]
async fn a_caller_that_does_not_read_delays_nobody_and_finds_everything_later() {
    let options = mock::Options {
        size_bytes: Some(8 << 20),
        ..mock::Options::default()
    };
    let house = House::with(Setup {
        mock: options,
        ..Setup::default()
    })
    .await;
    let mut images = house.images(&house.runtime);
    let events = images.generate_image(request("slow")).await.expect("taken");
    // More than the windows of its stream and its connection take is waiting for it now.
    let generation = house.ended("slow").await;
    assert_eq!(generation.stage(), proto::Stage::Settled);
    let other = house.generate(request("fast")).await.expect("a picture");
    let story = Story::read(events.into_inner()).await.expect("a picture");
    assert_eq!(story.images[&0].len(), other.images[&0].len());
    assert_eq!(story.completed.charge, generation.charge);
    house.close().await;
}

//! Bytes while they arrive.

use image_gateway::mock::Script;
use image_gateway::proto::generation_event::Event;

use crate::helpers::{House, Setup, Story, request};

#[tokio::test]
async fn the_first_bytes_of_a_picture_come_long_before_its_last() {
    let options = image_gateway::mock::Options {
        size_bytes: Some(1_500_000),
        ..Default::default()
    };
    let house = House::with(Setup {
        mock: options,
        ..Setup::default()
    })
    .await;
    // A tenth of the body of two million bytes, and then silence until the caller has seen some.
    house.mock.script(Script::gated_at("tenth", 200_000));
    let mut events = house
        .images(&house.runtime)
        .generate_image(request("r"))
        .await
        .expect("taken")
        .into_inner();
    let mut bytes = 0;
    while bytes < 64 * 1024 {
        match events
            .message()
            .await
            .expect("an event")
            .expect("more")
            .event
            .expect("an event")
        {
            Event::ImageChunk(chunk) => bytes += chunk.data.len(),
            Event::Accepted(_) | Event::ImageStarted(_) | Event::Progress(_) => {}
            Event::ImageFinished(_) | Event::Completed(_) => {
                panic!("finished behind a closed gate")
            }
        }
    }
    house.mock.open_gate("tenth");
    while let Some(event) = events.message().await.expect("an event") {
        if let Some(Event::Completed(last)) = event.event {
            assert!(last.images[0].size_bytes >= 1_500_000);
        }
    }
    house.close().await;
}

#[tokio::test]
async fn large_pictures_arrive_whole_for_many_callers_at_once() {
    let options = image_gateway::mock::Options {
        size_bytes: Some(2_000_000),
        ..Default::default()
    };
    let house = House::with(Setup {
        mock: options,
        ..Setup::default()
    })
    .await;
    let calls = (0..16).map(|n| house.generate(request(&format!("large-{n}"))));
    let stories = futures_util::future::join_all(calls).await;
    let stories: Vec<Story> = stories
        .into_iter()
        .map(|story| story.expect("a picture"))
        .collect();
    assert!(
        stories
            .iter()
            .all(|story| story.images[&0].len() >= 2_000_000)
    );
    house.close().await;
}

#[tokio::test]
async fn a_long_silence_is_filled_with_signs_of_life() {
    let house = House::open().await;
    house.mock.script(Script::gated("silent"));
    let mut events = house
        .images(&house.runtime)
        .generate_image(request("r"))
        .await
        .expect("taken")
        .into_inner();
    loop {
        let event = events
            .message()
            .await
            .expect("an event")
            .expect("more")
            .event
            .expect("an event");
        if let Event::Progress(progress) = event {
            assert!(progress.elapsed.expect("a time").seconds >= 4);
            break;
        }
    }
    house.mock.open_gate("silent");
    while events.message().await.expect("an event").is_some() {}
    house.close().await;
}

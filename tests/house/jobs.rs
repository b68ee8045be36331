//! The job form: begin without waiting, look later, take up again, take back.

use image_gateway::mock::Script;
use image_gateway::proto;
use image_gateway::proto::generation_event::Event;
use proto::watch_generation_request::Which;
use tonic::{Code, Status};

use crate::helpers::{House, Setup, Story, detail, reason, request};

mod resuming;

/// All of a generation, from what the caller lacks.
async fn watch(
    house: &House,
    request_id: &str,
    resume: &[(i32, i64)],
) -> Result<Vec<Event>, Status> {
    let resume = resume
        .iter()
        .map(|(index, offset)| proto::ImageOffset {
            index: *index,
            offset: *offset,
        })
        .collect();
    let request = proto::WatchGenerationRequest {
        which: Some(Which::RequestId(request_id.to_owned())),
        resume,
    };
    let mut images = house.images(&house.runtime);
    let mut stream = images.watch_generation(request).await?.into_inner();
    let mut events = Vec::new();
    while let Some(event) = stream.message().await? {
        events.push(event.event.expect("an event"));
    }
    Ok(events)
}

async fn watched(house: &House, request_id: &str) -> Story {
    let request = proto::WatchGenerationRequest {
        which: Some(Which::RequestId(request_id.to_owned())),
        resume: Vec::new(),
    };
    let events = house
        .images(&house.runtime)
        .watch_generation(request)
        .await
        .expect("seen");
    Story::read(events.into_inner()).await.expect("a picture")
}

async fn start(house: &House, request_id: &str) -> Result<proto::Generation, Status> {
    let mut images = house.images(&house.runtime);
    let started = images.start_generation(request(request_id)).await?;
    Ok(started.into_inner())
}

async fn cancel(house: &House, request_id: &str) -> Result<proto::Generation, Status> {
    use proto::cancel_generation_request::Which;
    let request = proto::CancelGenerationRequest {
        which: Some(Which::RequestId(request_id.to_owned())),
    };
    let mut images = house.images(&house.runtime);
    Ok(images.cancel_generation(request).await?.into_inner())
}

fn bytes(events: &[Event]) -> Vec<u8> {
    let chunk = |event: &Event| match event {
        Event::ImageChunk(chunk) => chunk.data.to_vec(),
        _ => Vec::new(),
    };
    events.iter().flat_map(chunk).collect()
}

#[tokio::test]
async fn a_generation_that_was_only_started_is_made_watched_and_charged_once() {
    let house = House::open().await;
    house.mock.script(Script::gated("slow"));
    let started = start(&house, "job").await.expect("started");
    assert!(!started.id.is_empty() && !started.replayed);
    assert_eq!(started.charge, None);
    let again = start(&house, "job").await.expect("the same");
    assert_eq!(again.id, started.id);
    house.mock.open_gate("slow");
    let story = watched(&house, "job").await;
    assert_eq!(story.completed.id, started.id);
    assert_eq!(story.charge().credits, "29.00");
    let done = start(&house, "job").await.expect("done");
    assert_eq!(done.state(), proto::GenerationState::Succeeded);
    assert!(done.replayed);
    assert_eq!(house.sent(), 1);
    house.close().await;
}

#[tokio::test]
async fn a_start_without_an_id_tells_the_one_that_was_made() {
    let house = House::open().await;
    let started = start(&house, "").await.expect("started");
    assert!(!started.request_id.is_empty());
    let story = watched(&house, &started.request_id).await;
    assert_eq!(story.completed.id, started.id);
    house.close().await;
}

#[tokio::test]
async fn whoever_watches_late_sees_everything_from_the_beginning_and_then_live() {
    let house = House::with(Setup {
        mock: image_gateway::mock::Options {
            size_bytes: Some(400_000),
            ..Default::default()
        },
        ..Setup::default()
    })
    .await;
    house.mock.script(Script::gated_at("half", 300_000));
    start(&house, "late").await.expect("started");
    house.mock.wait_at_gate("half").await;
    let request = proto::WatchGenerationRequest {
        which: Some(Which::RequestId("late".to_owned())),
        resume: Vec::new(),
    };
    let mut images = house.images(&house.runtime);
    let mut events = images
        .watch_generation(request)
        .await
        .expect("seen")
        .into_inner();
    let mut seen = 0;
    while seen < 200_000 {
        let event = events.message().await.expect("an event").expect("more");
        if let Some(Event::ImageChunk(chunk)) = event.event {
            seen += chunk.data.len();
        }
    }
    house.mock.open_gate("half");
    let mut completed = None;
    while let Some(event) = events.message().await.expect("an event") {
        match event.event {
            Some(Event::ImageChunk(chunk)) => seen += chunk.data.len(),
            Some(Event::Completed(last)) => completed = Some(last),
            _ => {}
        }
    }
    let completed = completed.expect("completed");
    assert_eq!(seen as i64, completed.images[0].size_bytes);
    house.close().await;
}

#[tokio::test]
async fn a_client_that_lost_its_stream_gets_only_what_it_lacks() {
    let house = House::open().await;
    let whole = house.generate(request("r")).await.expect("a picture");
    let picture = &whole.images[&0];
    let size = picture.len() as i64;
    for offset in [0, 1, 65_535, 65_536, size - 1, size] {
        let events = watch(&house, "r", &[(0, offset)]).await.expect("seen");
        let rest = &picture[usize::try_from(offset).unwrap()..];
        assert_eq!(bytes(&events), rest, "from {offset}");
        let begun = events
            .iter()
            .any(|event| matches!(event, Event::ImageStarted(_)));
        assert!(!begun, "an image is begun again");
        let finished = events
            .iter()
            .any(|event| matches!(event, Event::ImageFinished(_)));
        assert!(finished, "its hash is told from {offset}");
        assert!(matches!(events.last(), Some(Event::Completed(_))));
    }
    house.close().await;
}

#[tokio::test]
async fn a_running_picture_is_taken_up_where_its_stream_was_lost() {
    let house = House::with(Setup {
        mock: image_gateway::mock::Options {
            size_bytes: Some(400_000),
            ..Default::default()
        },
        ..Setup::default()
    })
    .await;
    house.mock.script(Script::gated_at("half", 300_000));
    let mut first = house
        .images(&house.runtime)
        .generate_image(request("r"))
        .await
        .expect("taken")
        .into_inner();
    let mut had = Vec::new();
    while had.len() < 150_000 {
        let event = first.message().await.expect("an event").expect("more");
        if let Some(Event::ImageChunk(chunk)) = event.event {
            had.extend(chunk.data);
        }
    }
    drop(first);
    let offset = had.len() as i64;
    let lacking = [(0, offset)];
    let again = watch(&house, "r", &lacking);
    let open = async {
        house.mock.wait_at_gate("half").await;
        house.mock.open_gate("half");
    };
    let (events, ()) = tokio::join!(again, open);
    had.extend(bytes(&events.expect("the rest")));
    let replayed = watched(&house, "r").await;
    assert_eq!(had, replayed.images[&0]);
    assert_eq!(house.sent(), 1);
    house.close().await;
}

#[tokio::test]
async fn a_failed_generation_gives_its_error_to_those_who_watch() {
    let house = House::open().await;
    house.mock.script(Script::sample("err-403-moderation"));
    start(&house, "bad").await.expect("started");
    house.ended("bad").await;
    let status = watch(&house, "bad", &[]).await.expect_err("rejected");
    assert_eq!(reason(&status), "CONTENT_REJECTED");
    let status = start(&house, "bad").await.expect_err("rejected for good");
    assert_eq!(reason(&status), "CONTENT_REJECTED");
    house.close().await;
}

#[tokio::test]
async fn what_was_sent_cannot_be_taken_back_and_the_answer_says_so() {
    let house = House::open().await;
    house.mock.script(Script::gated("slow"));
    start(&house, "sent").await.expect("started");
    house.mock.wait_at_gate("slow").await;
    let answer = cancel(&house, "sent").await.expect("an answer");
    assert_eq!(answer.state(), proto::GenerationState::Running);
    assert!(answer.note.contains("charged"), "{}", answer.note);
    house.mock.open_gate("slow");
    let story = watched(&house, "sent").await;
    assert_eq!(story.charge().credits, "29.00");
    let late = cancel(&house, "sent").await.expect("an answer");
    assert_eq!(late.state(), proto::GenerationState::Succeeded);
    assert!(late.note.contains("before it could"), "{}", late.note);
    house.close().await;
}

#[tokio::test]
async fn a_cancel_that_races_with_the_dispatch_ends_one_way_or_the_other() {
    let house = House::open().await;
    let mut cancelled = 0;
    for round in 0..40 {
        let id = format!("race-{round}");
        start(&house, &id).await.expect("started");
        cancel(&house, &id).await.expect("an answer");
        let ended = house.ended(&id).await;
        match ended.state() {
            proto::GenerationState::Cancelled => {
                cancelled += 1;
                assert_eq!(ended.charge, None);
                let error = ended.error.expect("a reason");
                assert_eq!(error.reason, "GENERATION_CANCELLED");
                let status = watch(&house, &id, &[]).await.expect_err("cancelled");
                assert_eq!(status.code(), Code::Cancelled);
            }
            proto::GenerationState::Succeeded => {
                assert_eq!(ended.charge.expect("a charge").credits, "29.00");
            }
            other => panic!("{other:?}"),
        }
    }
    let paid = house.sent();
    assert_eq!(paid + cancelled, 40);
    house.close().await;
}

#[tokio::test]
async fn while_a_bill_is_in_doubt_the_same_request_waits_for_its_end() {
    let house = House::open().await;
    house.mock.script(Script::cut_at(3000));
    // The records tell when they are let.
    let records = Script::gated("records").for_path("/generation");
    house.mock.script(records.times(u32::MAX));
    let status = house.generate(request("r")).await.expect_err("cut off");
    assert_eq!(reason(&status), "UPSTREAM_UNAVAILABLE");
    assert_eq!(house.generation("r").await.stage(), proto::Stage::InDoubt);
    // It does not buy the picture twice: it waits until the records have told.
    let tell = async {
        house.mock.wait_at_gate("records").await;
        house.mock.open_gate("records");
    };
    let (waited, ()) = tokio::join!(house.generate(request("r")), tell);
    let waited = waited.expect_err("the end");
    assert_eq!(reason(&waited), "UPSTREAM_UNAVAILABLE");
    assert_eq!(house.sent(), 1);
    let ended = house.generation("r").await;
    assert_eq!(ended.stage(), proto::Stage::Voided);
    let story = house.generate(request("r")).await.expect("another attempt");
    assert_eq!(story.charge().credits, "29.00");
    house.close().await;
}

#[tokio::test]
async fn a_cost_that_is_late_is_pending_and_the_books_settle_by_themselves() {
    use image_gateway::mock::GenerationLookup;
    let house = House::open().await;
    house.mock.script(Script {
        generation_lookup: Some(GenerationLookup::MissingFirst(5)),
        ..Script::without_usage()
    });
    let story = house.generate(request("r")).await.expect("a picture");
    let charge = story.charge();
    assert!(charge.pending && charge.usd_cost.is_empty(), "{charge:?}");
    assert_eq!(charge.credits, story.accepted.hold);
    assert_eq!(story.completed.stage(), proto::Stage::Stored);
    assert_eq!(story.completed.state(), proto::GenerationState::Succeeded);
    let settled = house.ended("r").await.charge.expect("a charge");
    assert!(!settled.pending);
    assert_eq!(
        (settled.credits.as_str(), settled.cost_source()),
        ("29.00", proto::CostSource::Lookup)
    );
    let replayed = watched(&house, "r").await;
    assert_eq!(replayed.charge().credits, "29.00");
    house.close().await;
}

#[tokio::test]
async fn images_whose_time_is_up_are_gone_and_their_record_and_charge_stay() {
    let mut house = House::open().await;
    house.generate(request("old")).await.expect("a picture");
    house
        .restart_with(&Setup {
            image_retention: Some("1s"),
            ..Setup::default()
        })
        .await;
    let images = house.dir.path().join("images");
    // The recovery looks once a minute, and at the start.
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    house
        .restart_with(&Setup {
            image_retention: Some("1s"),
            ..Setup::default()
        })
        .await;
    let end = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    while files(&images) > 0 && tokio::time::Instant::now() < end {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(files(&images), 0);
    let status = house.generate(request("old")).await.expect_err("expired");
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::FailedPrecondition, "RESULT_EXPIRED")
    );
    assert!(!detail(&status, "generation_id").is_empty());
    let kept = house.generation("old").await;
    assert_eq!(kept.charge.expect("its charge").credits, "29.00");
    assert_eq!(kept.images.len(), 1);
    assert_eq!(house.sent(), 1);
    house.close().await;
}

/// Files below a folder.
fn files(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let count = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.expect("an entry").path();
        if path.is_dir() { files(&path) } else { 1 }
    };
    entries.map(count).sum()
}

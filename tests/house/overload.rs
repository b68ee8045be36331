//! More is asked for than can be done. How it fares when it is released is measured by
//! `cargo bench --bench overload`; here a build without optimization shares the machine with other
//! tests, so times are held against what is far from them.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use image_gateway::mock::Script;
use image_gateway::proto;
use image_gateway::proto::image_service_client::ImageServiceClient;
use tokio::task::JoinSet;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::helpers::{Authorized, House, KLEIN, Setup, Story, reason, request};

/// Far above what a refusal takes (5 ms when it is released), also where the machine stands still for
/// some seconds, and far below what whoever waits for a place would wait here.
const SOON: Duration = Duration::from_secs(15);

/// How long a picture takes in the last of these tests.
const SLOW: Duration = Duration::from_secs(4);

/// A machine that does next to nothing in one of them does more in the next.
const ROUNDS: usize = 10;

/// How many generations ever held credits.
fn holds(house: &House) -> i64 {
    let books = rusqlite::Connection::open(house.database()).unwrap();
    let count = "SELECT count(*) FROM hold";
    books.query_row(count, [], |row| row.get(0)).unwrap()
}

/// Another organization that can draw; told is its key.
async fn another(house: &House, id: &str) -> String {
    house.add_organization(id).await;
    house.top_up(id, "10000", "first").await;
    let admin = house.key(id, proto::Role::Admin).await;
    let tool = proto::GenerateImageTool {
        agent_id: "painter".to_owned(),
        enabled: true,
        model: KLEIN.to_owned(),
        ..proto::GenerateImageTool::default()
    };
    let saved = proto::UpdateGenerateImageToolRequest {
        generate_image_tool: Some(tool),
        ..proto::UpdateGenerateImageToolRequest::default()
    };
    let mut tools = house.tools(&admin);
    tools.update_generate_image_tool(saved).await.unwrap();
    admin
}

/// One picture from the request to its end, or the refusal, and how long it took.
async fn picture(
    mut images: ImageServiceClient<Authorized>,
    name: String,
) -> (Result<Story, Status>, Duration) {
    let begun = Instant::now();
    let story = match images.generate_image(request(&name)).await {
        Ok(events) => Story::read(events.into_inner()).await,
        Err(status) => Err(status),
    };
    (story, begun.elapsed())
}

/// So many requests a second, however long the answers take.
async fn shout(
    house: &House,
    key: &str,
    (per_second, time): (u32, Duration),
) -> Vec<(Result<Story, Status>, Duration)> {
    let begun = Instant::now();
    let mut running = JoinSet::new();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second);
    while begun.elapsed() < time {
        ticks.tick().await;
        let name = uuid::Uuid::now_v7().to_string();
        running.spawn(picture(house.images(key), name));
    }
    running.join_all().await
}

#[tokio::test]
async fn ten_times_too_much_is_refused_at_once_and_never_held() {
    let house = House::with(Setup {
        max_concurrent: 4,
        max_concurrent_each: Some("100"),
        ..Setup::default()
    })
    .await;
    house.mock.script(Script::gated("slow").times(100));
    let mut running = Vec::new();
    for number in 0..4 {
        let mut images = house.images(&house.runtime);
        let begun = images.generate_image(request(&format!("taken-{number}")));
        running.push(begun.await.unwrap().into_inner());
    }
    let more =
        (0..40).map(|number| picture(house.images(&house.runtime), format!("more-{number}")));
    for (story, took) in join_all(more).await {
        let status = story.map(drop).unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(reason(&status), "OVERLOADED");
        assert!(status.get_error_details().retry_info().is_some());
        assert!(took < SOON, "{took:?}");
    }
    assert_eq!(holds(&house), 4, "only what is drawn is held");
    house.mock.open_gate("slow");
    for events in running {
        Story::read(events).await.unwrap();
    }
    assert_eq!(house.sent(), 4);
    house.close().await;
}

#[tokio::test]
async fn pictures_come_as_ever_while_ten_times_too_much_is_asked_for() {
    let house = House::with(Setup {
        max_concurrent: 4,
        max_concurrent_each: Some("100"),
        ..Setup::default()
    })
    .await;
    // Four at a time, each of half a second: eight a second.
    let mut script = Script::default().times(1000);
    script.latency_ms = Some(500);
    house.mock.script(script);
    let mut done = 0;
    for _ in 0..ROUNDS {
        let answers = shout(&house, &house.runtime, (80, Duration::from_secs(3))).await;
        for (story, took) in answers {
            match story {
                Ok(_) => done += 1,
                Err(status) => {
                    assert_eq!(reason(&status), "OVERLOADED");
                    assert!(took < SOON, "{took:?}");
                }
            }
        }
        if done >= 2 * 4 {
            break;
        }
    }
    assert!(done >= 2 * 4, "{done} pictures");
    assert_eq!(
        holds(&house),
        done,
        "one for each picture, none for a refusal"
    );
    house.close().await;
}

#[tokio::test]
async fn an_organization_that_asks_a_hundred_times_its_part_makes_nobody_wait() {
    let house = House::with(Setup {
        max_concurrent: 8,
        max_calls_per_second: Some("50"),
        ..Setup::default()
    })
    .await;
    let quiet = another(&house, "quiet").await;
    // Eight at a time, each of four seconds: two a second, one for each organization.
    let mut script = Script::default().times(1000);
    script.latency_ms = Some(u64::try_from(SLOW.as_millis()).unwrap());
    house.mock.script(script);
    let (alone, took_alone) = picture(house.images(&quiet), "alone".to_owned()).await;
    alone.unwrap();
    let begun = Instant::now();
    let shouting = shout(&house, &house.runtime, (100, SLOW));
    let beside = async {
        // By then the loud one has taken all that it can.
        tokio::time::sleep(Duration::from_secs(1)).await;
        picture(house.images(&quiet), "beside".to_owned()).await
    };
    let (shouted, (beside, took_beside)) = tokio::join!(shouting, beside);
    beside.unwrap();
    let most = took_alone + SOON;
    assert!(
        took_beside < most,
        "{took_beside:?} instead of {took_alone:?}"
    );
    let done = shouted.iter().filter(|(story, _)| story.is_ok()).count();
    let refused = shouted.len() - done;
    // Seven places are the most it may have, and each draws so many pictures in the time.
    let each = begun.elapsed().as_millis() / SLOW.as_millis() + 1;
    let most = 7 * usize::try_from(each).unwrap();
    assert!(
        (1..=most).contains(&done) && refused > 4 * done,
        "{done} done, {refused} refused"
    );
    for (story, _) in shouted {
        if let Err(status) = story {
            let reason = reason(&status);
            assert!(
                reason == "OVERLOADED" || reason == "LIMIT_REACHED",
                "{reason}"
            );
        }
    }
    house.close().await;
}

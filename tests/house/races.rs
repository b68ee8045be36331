//! Many callers at once: credit for a few, and answers that get lost.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::iter;
use image_gateway::proto;
use rust_decimal::Decimal;
use tonic::transport::Channel;

use crate::helpers::{House, OPERATOR_KEY, Setup, Story, bearer, reason, request};

/// Rounds of the race.
const ROUNDS: usize = 20;
/// Callers in each.
const CALLERS: usize = 500;
/// Requests that are each sent several times.
const REQUESTS: usize = 300;

/// A generation that is only started: what is raced for is the hold.
async fn start(
    channel: &Channel,
    key: &str,
    request_id: String,
) -> Result<proto::Generation, tonic::Status> {
    use proto::image_service_client::ImageServiceClient;
    let mut images = ImageServiceClient::with_interceptor(channel.clone(), bearer(key));
    let started = images.start_generation(request(&request_id)).await?;
    Ok(started.into_inner())
}

/// Several connections, as several runtimes have them.
async fn channels(house: &House, count: usize) -> Vec<Channel> {
    let app = house.app.as_ref().expect("open");
    let url = format!("http://{}", app.grpc_address());
    let connect = || async {
        let endpoint = Channel::from_shared(url.clone()).expect("a url");
        endpoint.connect().await.expect("a connection")
    };
    join_all((0..count).map(|_| connect())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn credit_for_a_few_is_given_to_exactly_so_many_of_five_hundred() {
    let house = House::with(Setup {
        credits: "0",
        max_concurrent: 1000,
        ..Setup::default()
    })
    .await;
    let channels = channels(&house, 8).await;
    for round in 0..ROUNDS {
        let few = 1 + round % 7;
        let credits = (29 * few).to_string();
        house
            .top_up("acme", &credits, &format!("round-{round}"))
            .await;
        let race = (0..CALLERS).map(|caller| {
            let id = format!("{round}-{caller}");
            start(&channels[caller % channels.len()], &house.runtime, id)
        });
        let outcomes = join_all(race).await;
        let won: Vec<_> = outcomes
            .iter()
            .filter_map(|one| one.as_ref().ok())
            .collect();
        assert_eq!(won.len(), few, "round {round}");
        for lost in outcomes.iter().filter_map(|one| one.as_ref().err()) {
            assert_eq!(reason(lost), "INSUFFICIENT_CREDITS", "{lost:?}");
        }
        for winner in won {
            let ended = house.ended(&winner.request_id).await;
            assert_eq!(ended.charge.expect("a charge").credits, "29.00");
        }
        let balance = house.balance().await;
        assert_eq!(
            (balance.credits.as_str(), balance.held.as_str()),
            ("0.00", "0.00"),
            "round {round}"
        );
    }
    house.close().await;
}

/// Asks, and hangs up after so many events as if the answer were lost; the story, if it is whole.
async fn ask(house: &House, request_id: &str, patience: usize) -> Option<Story> {
    let mut images = house.images(&house.runtime);
    let call = images.generate_image(request(request_id)).await.ok()?;
    let mut events = call.into_inner();
    if patience < 6 {
        for _ in 0..patience {
            events.message().await.ok()??;
        }
        return None;
    }
    Story::read(events).await.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_is_charged_once_however_often_its_answer_was_lost() {
    let house = House::with(Setup {
        credits: "100000",
        max_concurrent: 1000,
        ..Setup::default()
    })
    .await;
    // Which tries hang up, and when: the same in every run, and different for every request.
    let tries = |number: usize| (0..2 + number % 4).map(move |n| (number * 7 + n * 5) % 9);
    let sends = (0..REQUESTS).flat_map(|number| tries(number).map(move |n| (number, n)));
    let stories: Vec<Option<Story>> = iter(sends)
        .map(|(number, patience)| {
            let id = format!("call-{number}");
            let house = &house;
            async move { ask(house, &id, patience).await }
        })
        .buffer_unordered(48)
        .collect()
        .await;
    let mut seen: BTreeMap<String, Story> = BTreeMap::new();
    let mut repeated = 0;
    for story in stories.into_iter().flatten() {
        let id = story.completed.request_id.clone();
        match seen.get(&id) {
            None => {
                seen.insert(id, story);
            }
            Some(first) => {
                repeated += 1;
                assert_eq!(first.images, story.images, "{id}");
                assert_eq!(first.completed.charge, story.completed.charge, "{id}");
            }
        }
    }
    assert!(
        repeated > REQUESTS / 10,
        "{repeated} is too few to mean much"
    );
    for number in 0..REQUESTS {
        let last = house.generate(request(&format!("call-{number}"))).await;
        let last = last.expect("the picture");
        if let Some(first) = seen.get(&last.completed.request_id) {
            assert_eq!(first.images, last.images);
            assert_eq!(first.completed.charge, last.completed.charge);
        }
    }
    let paid = house
        .mock
        .bill()
        .iter()
        .filter(|entry| entry.billed)
        .count();
    assert_eq!(paid, REQUESTS);
    let left = Decimal::from(100_000) - Decimal::from(29 * REQUESTS);
    let balance: Decimal = house.balance().await.credits.parse().expect("credits");
    assert_eq!(balance, left);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_top_up_is_booked_once_however_often_and_from_wherever_it_is_sent() {
    let house = House::with(Setup {
        credits: "0",
        ..Setup::default()
    })
    .await;
    let send = |number: usize| {
        let house = &house;
        async move {
            let request = proto::AddCreditsRequest {
                organization_id: "acme".to_owned(),
                credits: "1.01".to_owned(),
                reference: format!("order-{}", number % 100),
                description: String::new(),
            };
            let mut billing = house.billing(OPERATOR_KEY);
            let booked = billing.add_credits(request).await.expect("booked");
            booked.into_inner()
        }
    };
    let booked: Vec<proto::AddCreditsResponse> =
        iter(0..400).map(send).buffer_unordered(64).collect().await;
    let new = booked.iter().filter(|answer| !answer.replayed).count();
    assert_eq!(new, 100);
    assert_eq!(house.balance().await.credits, "101.00");
    house.close().await;
}

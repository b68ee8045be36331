//! What upstream says about the cost, in every odd way there is.

use image_gateway::mock::{Script, UsageScript};
use image_gateway::proto::CostSource;
use rust_decimal::Decimal;
use serde_json::json;

use super::proxy::{Fault, find};
use super::{behind_a_proxy, close, rehearse};
use crate::helpers::{House, Setup, Story, request};

/// What upstream has billed, less what its answers said.
fn difference(house: &House, told: &[Story]) -> Decimal {
    let said: Decimal = told
        .iter()
        .map(|story| story.charge().usd_cost.parse::<Decimal>().expect("a cost"))
        .sum();
    house.mock.total_billed() - said
}

#[tokio::test]
async fn a_cost_is_read_from_its_digits_or_asked_for_and_never_guessed() {
    use CostSource::{Lookup, Usage};
    let (mut house, proxy) = behind_a_proxy(Setup::default()).await;
    let mut told = vec![house.generate(request("first")).await.expect("no fault")];
    let forty_digits = "0.01400000000000000000000000000000000000001";
    let forty_nines = "9".repeat(40);
    let cost = |text: &str| (r#""cost":0.014,"#, format!(r#""cost":{text},"#));
    let mut asked = Vec::new();
    let usage = |text: &str| (r#""usage":{"#, format!(r#""usage":{text}"#));
    for (name, (from, to), credits, source) in [
        ("none", (r#""cost":0.014,"#, String::new()), "29.00", Lookup),
        ("a text of a number", cost(r#""0.04""#), "81.00", Usage),
        ("forty digits", cost(forty_digits), "29.01", Usage),
        ("forty nines", cost(&forty_nines), "29.00", Lookup),
        ("an object", cost("{}"), "29.00", Lookup),
        ("a list", cost("[0.02]"), "29.00", Lookup),
        ("NaN", cost("NaN"), "29.00", Lookup),
        ("-Infinity", cost("-Infinity"), "29.00", Lookup),
        ("a plus", cost("+0.02"), "29.00", Lookup),
        ("another base", cost("0x1"), "29.00", Lookup),
        ("said twice", cost(r#"0.02,"cost":0.03"#), "29.00", Lookup),
        (
            "usage said twice",
            usage(r#"{"cost":0.02},"usage":{"#),
            "29.00",
            Lookup,
        ),
        (
            "usage is no object",
            usage(r#"0.02,"other":{"#),
            "29.00",
            Lookup,
        ),
    ] {
        proxy.next(Fault::Says(vec![(from.to_owned(), to)]));
        let mut images = house.images(&house.runtime);
        let events = images.generate_image(request(name)).await.expect(name);
        // Costs are asked for side by side, but each answer is another.
        asked.push((name, credits, source, events.into_inner()));
        proxy.wait_for_paid_calls(1 + asked.len()).await;
    }
    for (name, credits, source, events) in asked {
        let story = Story::read(events).await.expect(name);
        let charge = story.charge();
        assert_eq!(
            (charge.credits.as_str(), charge.cost_source()),
            (credits, source),
            "{name}"
        );
        told.push(story);
    }
    house.absorbed = difference(&house, &told);
    house.close().await;
}

#[tokio::test]
async fn a_cost_that_is_no_json_loses_no_picture_and_is_asked_for() {
    let mut house = House::open().await;
    let mut told = Vec::new();
    for cost in ["NaN", "00.014"] {
        house.mock.script(Script::usage_cost(cost));
        let story = house.generate(request(cost)).await.expect(cost);
        let charge = story.charge();
        assert_eq!(
            (charge.credits.as_str(), charge.cost_source()),
            ("29.00", CostSource::Lookup),
            "{cost}"
        );
        told.push(story);
    }
    house.absorbed = difference(&house, &told);
    house.close().await;
}

#[tokio::test]
async fn usage_that_comes_twice_in_a_stream_is_charged_once() {
    let (mut house, proxy) = behind_a_proxy(Setup::default()).await;
    let picture = rehearse(&house, &proxy)
        .await
        .picture_of(&proxy.last_answer());
    let mut told = vec![
        house
            .generate(request("rehearsal"))
            .await
            .expect("replayed"),
    ];
    let image = format!(r#"{{"type":"image_generation.completed","b64_json":"{picture}""#);
    for (name, events, credits) in [
        (
            "the same",
            [r#","usage":{"cost":0.014}}"#, r#"{"usage":{"cost":0.014}}"#],
            "29.00",
        ),
        (
            "a later one",
            [r#","usage":{"cost":0.014}}"#, r#"{"usage":{"cost":0.02}}"#],
            "41.00",
        ),
        (
            "a later one without",
            [r#","usage":{"cost":0.014}}"#, r#"{"usage":{}}"#],
            "29.00",
        ),
    ] {
        let body = format!(
            "data: {image}{}\n\ndata: {}\n\ndata: [DONE]\n\n",
            events[0], events[1]
        );
        house
            .mock
            .script(Script::raw_body("text/event-stream", &body));
        let story = house.generate(request(name)).await.expect(name);
        assert_eq!(story.charge().credits, credits, "{name}");
        assert_eq!(story.charge().cost_source(), CostSource::Usage, "{name}");
        told.push(story);
    }
    house.absorbed = difference(&house, &told);
    house.close().await;
}

#[tokio::test]
async fn under_a_provider_key_of_the_platform_the_provider_is_paid_too() {
    let mut house = House::open().await;
    let mut told = Vec::new();
    for (name, cost, provider) in [("no fee", "0", "0.014"), ("a fee", "0.001", "0.013")] {
        let number = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
        let details = json!({ "upstream_inference_cost": number(provider) });
        let usage = json!({"cost": number(cost), "is_byok": true, "cost_details": details});
        house.mock.script(Script {
            usage: Some(UsageScript::Raw(usage)),
            ..Script::default()
        });
        let story = house.generate(request(name)).await.expect(name);
        assert_eq!(story.charge().credits, "29.00", "{name}");
        assert_eq!(story.charge().cost_source(), CostSource::Usage, "{name}");
        told.push(story);
    }
    house.absorbed = difference(&house, &told);
    house.close().await;
}

#[tokio::test]
async fn an_id_that_is_repeated_does_not_stand_in_the_way_of_a_picture() {
    let (house, proxy) = behind_a_proxy(Setup::default()).await;
    rehearse(&house, &proxy).await;
    proxy.next(repeats_the_id(&proxy.last_answer()));
    let story = house
        .generate(request("repeated"))
        .await
        .expect("a picture");
    assert_eq!(story.charge().cost_source(), CostSource::Usage);
    close(house, 2).await;
}

#[tokio::test]
async fn an_id_that_is_repeated_is_not_believed_when_the_cost_is_asked_for() {
    let (mut house, proxy) = behind_a_proxy(Setup::default()).await;
    house.mock.script(Script::usage_cost("0.05"));
    let dear = house.generate(request("dear")).await.expect("a picture");
    assert_eq!(dear.charge().credits, "101.00");
    proxy.next(repeats_the_id(&proxy.last_answer()));
    house.mock.script(Script::without_usage());
    let story = house
        .generate(request("repeated"))
        .await
        .expect("a picture");
    let charge = story.charge();
    assert_eq!(
        (charge.credits.as_str(), charge.cost_source()),
        ("29.00", CostSource::Computed)
    );
    house.absorbed = difference(&house, &[dear, story]);
    house.close().await;
}

/// Says the id of this earlier answer in the place of its own.
fn repeats_the_id(answer: &[u8]) -> Fault {
    let name = "x-generation-id: ";
    let start = find(answer, name.as_bytes()).expect("an id") + name.len();
    let end = start + find(&answer[start..], b"\r\n").expect("a line");
    let id = std::str::from_utf8(&answer[start..end]).expect("text");
    let lines = format!("{name}{id}\r\nx-own-id: ");
    Fault::Says(vec![(name.to_owned(), lines)])
}

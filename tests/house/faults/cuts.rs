//! Answers that are cut off or bent at any byte: a picture is delivered and charged once, or nothing
//! is charged.

use futures_util::StreamExt;
use image_gateway::mock::{Billing, Script};
use image_gateway::proto;
use image_gateway::proto::CostSource;
use tonic::Code;

use super::proxy::{End, Fault};
use super::{PRICE, Places, behind_a_proxy, close, fails, is_voided, rehearse};
use crate::helpers::{House, Setup, Story, request};

#[tokio::test]
async fn an_answer_cut_before_its_picture_is_whole_costs_nothing() {
    let (house, proxy) = behind_a_proxy(Setup::default()).await;
    let places = rehearse(&house, &proxy).await;
    let Places {
        body,
        picture,
        quote,
        ..
    } = places;
    let cuts = [
        ("between head and body", body),
        ("in the JSON before the picture", body + 5),
        ("at the first character", picture),
        ("after one character", picture + 1),
        ("in the picture", (picture + quote) / 2),
        ("before its last character", quote - 1),
        ("before the quotation mark", quote),
    ];
    for (name, at) in cuts {
        proxy.next(Fault::Ends(at, End::Close));
        fails(&house, name, Code::Unavailable, "UPSTREAM_UNAVAILABLE").await;
    }
    assert_eq!(proxy.paid_calls(), 1 + cuts.len(), "nothing is sent again");
    for (name, _) in cuts {
        is_voided(&house, name, "UPSTREAM_UNAVAILABLE").await;
        let story = house.generate(request(name)).await.expect("a picture");
        assert!(!story.completed.replayed);
    }
    close(house, 1 + 7).await;
}

#[tokio::test]
async fn a_whole_picture_is_kept_wherever_the_rest_of_its_answer_is_cut() {
    let (house, proxy) = behind_a_proxy(Setup::default()).await;
    let Places {
        quote, usage, end, ..
    } = rehearse(&house, &proxy).await;
    let cuts = [
        ("behind the quotation mark", quote + 1),
        ("before usage", usage),
        ("in usage", usage + 30),
        ("before the last byte", end - 1),
    ];
    let rehearsed = house
        .generate(request("rehearsal"))
        .await
        .expect("replayed");
    for (name, at) in cuts {
        proxy.next(Fault::Ends(at, End::Close));
        let story = house.generate(request(name)).await.expect(name);
        assert!(story.images == rehearsed.images, "{name}: another picture");
        let charge = story.charge();
        assert_eq!(
            (charge.credits.as_str(), charge.cost_source()),
            ("29.00", CostSource::Lookup),
            "{name}"
        );
    }
    assert_eq!(proxy.paid_calls(), 1 + cuts.len());
    close(house, 1 + 4).await;
}

#[tokio::test]
async fn sixty_cuts_spread_over_an_answer_never_charge_twice_and_never_for_nothing() {
    let (house, proxy) = behind_a_proxy(Setup::default()).await;
    let places = rehearse(&house, &proxy).await;
    go_well(&house).await;
    for (cut, at) in places.spread(40, 20).enumerate() {
        let how = [End::Close, End::Reset][cut % 2];
        proxy.next(Fault::Ends(at, how));
    }
    let first = sixty_tries(&house).await;
    let kept = first.iter().flatten().count();
    assert!((2..30).contains(&kept), "{kept} are kept");
    assert_eq!(proxy.paid_calls(), 1 + 60 + 60, "nothing is sent again");
    are_whole_or_free(&house, &first).await;
    assert_eq!(proxy.paid_calls(), 1 + 60 + 60 + (60 - kept));
    close(house, 1 + 60 + 60).await;
}

#[tokio::test]
async fn sixty_bends_spread_over_an_answer_never_charge_twice_and_never_for_nothing() {
    let (house, proxy) = behind_a_proxy(Setup::default()).await;
    let places = rehearse(&house, &proxy).await;
    go_well(&house).await;
    // None of it is JSON, and none of it is base64.
    let garbage = b"\xff~!".to_vec();
    for at in places.spread(12, 8) {
        proxy.next(Fault::Overwrites(at, garbage.clone()));
        proxy.next(Fault::Inserts(at, garbage.clone()));
        proxy.next(Fault::Repeats(at - 7, 7));
    }
    let first = sixty_tries(&house).await;
    let kept = first.iter().flatten().count();
    assert_eq!(proxy.paid_calls(), 1 + 60 + 60, "nothing is sent again");
    are_whole_or_free(&house, &first).await;
    assert_eq!(proxy.paid_calls(), 1 + 60 + 60 + (60 - kept));
    close(house, 1 + 60 + 60).await;
}

/// Sixty calls without any fault, so that sixty with one are not too many of them.
async fn go_well(house: &House) {
    let calls = (0..60).map(async |number| {
        let story = house.generate(request(&format!("well-{number}"))).await;
        story.expect("a picture");
    });
    let calls = futures_util::stream::iter(calls).buffered(12);
    calls.collect::<Vec<()>>().await;
}

/// What comes of sixty calls, some side by side: each meets another of the planned faults.
async fn sixty_tries(house: &House) -> Vec<Option<Story>> {
    let tries = (0..60).map(async |number| {
        let story = house.generate(request(&format!("try-{number}"))).await;
        story.ok()
    });
    futures_util::stream::iter(tries)
        .buffered(12)
        .collect()
        .await
}

/// Each first try was delivered and charged, and is replayed; or it was not charged, and the next
/// one is.
async fn are_whole_or_free(house: &House, first: &[Option<Story>]) {
    let second = first.iter().enumerate().map(async |(number, story)| {
        let id = format!("try-{number}");
        let stage = house.ended(&id).await.stage();
        let again = house.generate(request(&id)).await.expect("a picture");
        assert_eq!(again.charge().credits, "29.00", "{id}");
        assert_eq!(again.completed.replayed, story.is_some(), "{id}");
        if let Some(story) = story {
            assert_eq!(stage, proto::Stage::Settled, "{id}");
            assert!(again.images == story.images, "{id}: another picture");
            assert_eq!(again.completed.charge, story.completed.charge, "{id}");
        } else {
            assert_eq!(stage, proto::Stage::Voided, "{id}");
        }
    });
    let second = futures_util::stream::iter(second).buffered(12);
    second.collect::<Vec<()>>().await;
}

#[tokio::test]
async fn a_stream_without_its_last_line_is_whole() {
    let (house, proxy) = behind_a_proxy(Setup::default()).await;
    let picture = rehearse(&house, &proxy)
        .await
        .picture_of(&proxy.last_answer());
    let event = format!(
        r#"data: {{"type":"image_generation.completed","b64_json":"{picture}","usage":{{"cost":{PRICE}}}}}"#
    );
    for (name, ending) in [
        ("no [DONE]", "\n\n"),
        ("no empty line", "\n"),
        ("no end of the line", ""),
    ] {
        house.mock.script(Script {
            billing: Some(Billing::Always),
            ..Script::raw_body("text/event-stream", &format!("{event}{ending}"))
        });
        let story = house.generate(request(name)).await.expect(name);
        assert_eq!(story.charge().cost_source(), CostSource::Usage, "{name}");
    }
    close(house, 1 + 3).await;
}

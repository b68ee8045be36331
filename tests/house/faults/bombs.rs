//! Answers that are slow, endless, packed, or say that they failed.

use std::time::Duration;

use futures_util::future::join_all;
use image_gateway::mock::Script;
use image_gateway::proto;
use tonic::Code;

use super::proxy::{End, Fault};
use super::{behind_a_proxy, close, fails, is_voided, rehearse};
use crate::helpers::{House, Setup, reason, request};

/// Nothing in between.
const AT_ONCE: Duration = Duration::ZERO;

#[tokio::test]
async fn an_answer_that_takes_its_time_is_delivered_and_one_that_takes_too_long_is_not_charged() {
    let (house, proxy) = behind_a_proxy(Setup {
        upstream_timeout: "6s",
        ..Setup::default()
    })
    .await;
    let places = rehearse(&house, &proxy).await;
    let tick = Duration::from_millis(10);
    proxy.next(Fault::Slow(places.body, 16 << 10, tick));
    house.generate(request("slow")).await.expect("in time");
    proxy.next(Fault::Late(Duration::from_millis(500)));
    house.generate(request("late")).await.expect("in time");
    for fault in [
        Fault::Slow(places.body, 1, tick),
        Fault::Ends(places.picture + 1000, End::Silence),
        Fault::Ends(places.body, End::Silence),
        endless("application/json", "", " ", tick),
        endless("text/event-stream", "", ": wait\n\n", tick),
    ] {
        proxy.next(fault);
    }
    let calls = (0..5).map(|n| house.generate(request(&format!("never-{n}"))));
    for outcome in join_all(calls).await {
        let status = outcome.expect_err("too late");
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::DeadlineExceeded, "UPSTREAM_TIMEOUT")
        );
    }
    for n in 0..5 {
        is_voided(&house, &format!("never-{n}"), "UPSTREAM_TIMEOUT").await;
    }
    close(house, 3).await;
}

#[tokio::test]
async fn an_answer_without_bounds_is_refused_at_its_cap_and_leaves_nothing_on_the_disk() {
    let (house, proxy) = behind_a_proxy(Setup::default()).await;
    let places = rehearse(&house, &proxy).await;
    let picture = places.picture_of(&proxy.last_answer());
    // The beginning of a real picture, and then more of it than any has.
    let beginning = format!(r#"{{"data":[{{"b64_json":"{}"#, &picture[..4000]);
    for (name, fault) in [
        (
            "white space",
            endless("application/json", "", &" ".repeat(1 << 20), AT_ONCE),
        ),
        (
            "a picture",
            endless(
                "application/json",
                &beginning,
                &"A".repeat(1 << 20),
                AT_ONCE,
            ),
        ),
    ] {
        proxy.next(fault);
        fails(&house, name, Code::Aborted, "IMAGE_INVALID").await;
        is_voided(&house, name, "IMAGE_INVALID").await;
    }
    assert_eq!(drafts(&house), 0, "drafts are left");
    close(house, 1).await;
}

#[tokio::test]
async fn an_answer_with_a_long_text_beside_its_picture_is_refused() {
    let (house, proxy) = behind_a_proxy(Setup::default()).await;
    rehearse(&house, &proxy).await;
    // A key without end: the skeleton of an answer has a cap of its own.
    proxy.next(endless(
        "application/json",
        "{\"",
        &"x".repeat(1 << 16),
        AT_ONCE,
    ));
    fails(&house, "key", Code::Unavailable, "UPSTREAM_UNAVAILABLE").await;
    is_voided(&house, "key", "UPSTREAM_UNAVAILABLE").await;
    close(house, 1).await;
}

#[tokio::test]
async fn a_packed_answer_is_never_unpacked() {
    let (house, proxy) = behind_a_proxy(Setup::default()).await;
    rehearse(&house, &proxy).await;
    for encoding in ["gzip", "br", "deflate, gzip"] {
        let told = format!("content-encoding: {encoding}\r\ncontent-type: ");
        proxy.next(Fault::Says(vec![("content-type: ".to_owned(), told)]));
        fails(&house, encoding, Code::Unavailable, "UPSTREAM_UNAVAILABLE").await;
        is_voided(&house, encoding, "UPSTREAM_UNAVAILABLE").await;
    }
    close(house, 1).await;
}

#[tokio::test]
async fn an_error_in_an_answer_of_status_200_is_told_by_its_code_and_costs_nothing() {
    let house = House::open().await;
    let event = |json: &str| Script::raw_body("text/event-stream", &format!("data: {json}\n\n"));
    for (name, script, code, expected) in [
        (
            "an error as the first event",
            event(r#"{"error":{"code":429,"message":"busy"}}"#),
            Code::Unavailable,
            "UPSTREAM_RATE_LIMITED",
        ),
        (
            "a moderation as the first event",
            event(r#"{"error":{"code":403,"message":"Your input was flagged"}}"#),
            Code::FailedPrecondition,
            "CONTENT_REJECTED",
        ),
        (
            "a finish reason",
            event(r#"{"choices":[{"finish_reason":"error","delta":{}}]}"#),
            Code::Unavailable,
            "UPSTREAM_UNAVAILABLE",
        ),
        (
            "an error in a choice",
            Script::sample("chat-200-error-in-choice"),
            Code::Unavailable,
            "UPSTREAM_UNAVAILABLE",
        ),
        (
            "an error in the place of choices",
            Script::sample("chat-200-error-top-level"),
            Code::DeadlineExceeded,
            "UPSTREAM_TIMEOUT",
        ),
    ] {
        house.mock.script(script);
        fails(&house, name, code, expected).await;
        let generation = house.generation(name).await;
        assert_eq!(generation.stage(), proto::Stage::Voided, "{name}: at once");
    }
    close(house, 0).await;
}

fn endless(content_type: &'static str, beginning: &str, piece: &str, every: Duration) -> Fault {
    let (beginning, piece) = (beginning.into(), piece.into());
    Fault::Endless(content_type, beginning, piece, every)
}

/// How many pictures are being written.
fn drafts(house: &House) -> usize {
    let spool = house.dir.path().join("images/spool");
    std::fs::read_dir(spool).expect("a folder").count()
}

//! Upstream at its worst: each kind of failure with its reason, the hold released, nothing charged.

use image_gateway::mock::Script;
use image_gateway::proto;
use rust_decimal::Decimal;
use serde_json::json;
use tonic::Code;

use crate::helpers::{House, SEEDREAM, Setup, detail, reason, request};

/// A script that makes the next call fail, and what the caller sees.
async fn fails(house: &House, script: Script, code: Code, expected: &str) {
    let id = format!("fails-{}", uuid::Uuid::new_v4());
    let name = format!("{script:?}");
    // A failure that is tried again fails again.
    house.mock.script(script.times(10));
    let status = house.generate(request(&id)).await.expect_err(&name);
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (code, expected),
        "{name}: {status:?}"
    );
    house.mock.clear_scripts();
    let generation = house.ended(&id).await;
    assert_eq!(generation.stage(), proto::Stage::Voided, "{name}");
    assert_eq!(
        generation.error.expect("an error").reason,
        expected,
        "{name}"
    );
    assert_eq!(generation.charge, None);
    let balance = house.balance().await;
    assert_eq!(
        (balance.credits.as_str(), balance.held.as_str()),
        ("10000.00", "0.00"),
        "{name}"
    );
}

#[tokio::test]
async fn every_recorded_error_is_told_in_our_words() {
    use Code::{Aborted, DeadlineExceeded, FailedPrecondition, InvalidArgument, Unavailable};
    let house = House::open().await;
    for (sample, code, expected) in [
        (
            "err-400-invalid-request",
            InvalidArgument,
            "INVALID_REQUEST",
        ),
        (
            "err-400-content-moderation-images",
            FailedPrecondition,
            "CONTENT_REJECTED",
        ),
        (
            "err-400-model-not-found-availability",
            FailedPrecondition,
            "MODEL_UNAVAILABLE",
        ),
        ("err-401-missing-key", Unavailable, "UPSTREAM_UNAVAILABLE"),
        (
            "err-401-relayed-from-provider",
            Unavailable,
            "UPSTREAM_UNAVAILABLE",
        ),
        (
            "err-402-insufficient-credits",
            Unavailable,
            "UPSTREAM_UNAVAILABLE",
        ),
        ("err-403-moderation", FailedPrecondition, "CONTENT_REJECTED"),
        ("err-403-guardrail", FailedPrecondition, "CONTENT_REJECTED"),
        ("err-403-key-limit", Unavailable, "UPSTREAM_UNAVAILABLE"),
        (
            "err-404-modalities",
            FailedPrecondition,
            "MODEL_UNAVAILABLE",
        ),
        (
            "err-404-privacy-restricted",
            FailedPrecondition,
            "MODEL_UNAVAILABLE",
        ),
        ("err-408-timeout", DeadlineExceeded, "UPSTREAM_TIMEOUT"),
        (
            "err-413-payload",
            InvalidArgument,
            "REFERENCE_IMAGE_TOO_LARGE",
        ),
        ("err-422-unprocessable", InvalidArgument, "INVALID_REQUEST"),
        (
            "err-429-upstream-pool",
            Unavailable,
            "UPSTREAM_RATE_LIMITED",
        ),
        ("err-500", Unavailable, "UPSTREAM_UNAVAILABLE"),
        ("err-502", Unavailable, "UPSTREAM_UNAVAILABLE"),
        ("err-503", Unavailable, "UPSTREAM_UNAVAILABLE"),
        ("err-504", DeadlineExceeded, "UPSTREAM_TIMEOUT"),
        ("err-524", DeadlineExceeded, "UPSTREAM_TIMEOUT"),
        (
            "err-524-cloudflare-html",
            DeadlineExceeded,
            "UPSTREAM_TIMEOUT",
        ),
        ("err-529", Unavailable, "UPSTREAM_UNAVAILABLE"),
        ("images-200-error-body", Unavailable, "UPSTREAM_UNAVAILABLE"),
        ("images-200-empty-data", Aborted, "NO_IMAGE_RETURNED"),
    ] {
        fails(&house, Script::sample(sample), code, expected).await;
    }
    house.close().await;
}

#[tokio::test]
async fn an_answer_that_is_no_picture_is_refused() {
    let house = House::open().await;
    let answer = |body: serde_json::Value| Script::raw_body("application/json", &body.to_string());
    let image = |data: &str| answer(json!({"created": 1, "data": [{"b64_json": data}]}));
    for script in [
        image("!!!! not base64 !!!!"),
        image("PGh0bWw+PGJvZHk+bm90IGEgcGljdHVyZTwvYm9keT48L2h0bWw+"),
        image("PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciLz4="),
        image("iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAIAAACQkWg2"),
        image("iVBORw0KGgo"),
    ] {
        fails(&house, script, Code::Aborted, "IMAGE_INVALID").await;
    }
    fails(&house, image(""), Code::Aborted, "NO_IMAGE_RETURNED").await;
    fails(
        &house,
        Script::raw_body("text/html", "<html>"),
        Code::Unavailable,
        "UPSTREAM_UNAVAILABLE",
    )
    .await;
    fails(
        &house,
        Script::raw_body("application/json", "{\"data\":[{"),
        Code::Unavailable,
        "UPSTREAM_UNAVAILABLE",
    )
    .await;
    house.close().await;
}

#[tokio::test]
async fn a_connection_that_breaks_inside_the_picture_is_not_charged() {
    let house = House::open().await;
    for byte in [0, 1, 100, 10_000] {
        fails(
            &house,
            Script::cut_at(byte),
            Code::Unavailable,
            "UPSTREAM_UNAVAILABLE",
        )
        .await;
    }
    house.close().await;
}

#[tokio::test]
async fn an_upstream_that_is_silent_for_too_long_leaves_the_hold_in_doubt() {
    let mut house = House::with(Setup {
        upstream_timeout: "4s",
        ..Setup::default()
    })
    .await;
    house.mock.script(Script::gated("never"));
    let late = house.generate(request("late")).await.expect_err("too late");
    assert_eq!(
        (late.code(), reason(&late).as_str()),
        (Code::DeadlineExceeded, "UPSTREAM_TIMEOUT")
    );
    // Without a name of the call nobody can be asked: the hold is released at its time.
    let generation = house.generation("late").await;
    assert_eq!(generation.stage(), proto::Stage::InDoubt);
    assert_eq!(generation.state(), proto::GenerationState::Running);
    assert_eq!(generation.error, None);
    assert_ne!(house.balance().await.held, "0.00");
    house.mock.open_gate("never");
    house.in_doubt = 1;
    house.absorbed = house.mock.total_billed();
    house.close().await;
}

#[tokio::test]
async fn what_was_surely_not_billed_is_tried_again() {
    let house = House::open().await;
    house.mock.script(Script::sample("err-503"));
    house.mock.script(Script::hang_up().for_path("/none"));
    let story = house
        .generate(request("again"))
        .await
        .expect("a picture at the second try");
    assert_eq!(house.sent(), 2);
    assert_eq!(story.charge().credits, "29.00");
    house.mock.clear_scripts();
    house.close().await;
}

#[tokio::test]
async fn what_may_have_been_billed_is_never_tried_again() {
    let mut house = House::open().await;
    for (count, script) in [
        (1, Script::sample("err-502")),
        (2, Script::hang_up()),
        (3, Script::cut_at(500)),
    ] {
        house.mock.script(script);
        house
            .generate(request(&format!("once-{count}")))
            .await
            .expect_err("a failure");
        assert_eq!(house.sent(), count);
    }
    // The one that hung up had no name to ask by.
    house.in_doubt = 1;
    house.close().await;
}

#[tokio::test]
async fn a_rejected_prompt_says_its_stage_and_stays_rejected() {
    let house = House::open().await;
    house.mock.script(Script::sample("err-403-moderation"));
    let status = house.generate(request("bad")).await.expect_err("rejected");
    assert_eq!(
        (
            detail(&status, "stage").as_str(),
            detail(&status, "charged").as_str()
        ),
        ("prompt", "0.00")
    );
    let again = house
        .generate(request("bad"))
        .await
        .expect_err("still rejected");
    assert_eq!(reason(&again), "CONTENT_REJECTED");
    assert_eq!(
        house.sent(),
        1,
        "a final refusal is repeated without a call"
    );
    house.close().await;
}

#[tokio::test]
async fn fewer_images_are_a_success_that_says_so() {
    let house = House::open().await;
    house.tool(|tool| tool.model = SEEDREAM.to_owned()).await;
    house.mock.script(Script::images(3));
    let four = proto::GenerateImageRequest {
        count: 4,
        ..request("four")
    };
    let story = house.generate(four).await.expect("three pictures");
    assert_eq!(
        (story.completed.requested, story.completed.delivered),
        (4, 3)
    );
    assert_eq!(story.charge().images, 3);
    assert_eq!(story.charge().credits, "243.00");
    house.mock.script(Script::images(2));
    let story = house.generate(request("one")).await.expect("two pictures");
    assert_eq!(
        (story.completed.requested, story.completed.delivered),
        (1, 2)
    );
    assert_eq!(
        (story.charge().images, story.charge().credits.as_str()),
        (1, "161.00")
    );
    house.close().await;
}

#[tokio::test]
async fn every_image_that_is_paid_for_is_delivered_and_only_those_asked_for_count() {
    let house = House::open().await;
    house.mock.script(Script::images(4).times(3));
    let three = proto::GenerateImageRequest {
        count: 3,
        ..request("three")
    };
    let story = house.generate(three).await.expect("twelve pictures");
    assert_eq!(house.sent(), 3);
    assert_eq!(
        (story.completed.requested, story.completed.delivered),
        (3, 12)
    );
    assert_eq!(story.images.len(), 12);
    let charge = story.charge();
    assert_eq!(charge.images, 3);
    let billed = house.mock.total_billed();
    let due = billed * Decimal::from(2000) + Decimal::from(3);
    assert_eq!(charge.credits.parse::<Decimal>(), Ok(due));
    house.close().await;
}

#[tokio::test]
async fn a_part_of_several_calls_is_a_success() {
    let house = House::open().await;
    house.mock.script(Script::sample("err-502"));
    let two = proto::GenerateImageRequest {
        count: 2,
        ..request("two")
    };
    let story = house.generate(two).await.expect("one picture");
    assert_eq!(
        (story.completed.requested, story.completed.delivered),
        (2, 1)
    );
    assert_eq!(story.charge().credits, "29.00");
    house.close().await;
}

#[tokio::test]
async fn a_model_without_the_image_endpoint_is_asked_by_chat() {
    let house = chat_only().await;
    for (model, modalities) in [
        (SEEDREAM, json!(["image"])),
        (crate::helpers::NANO, json!(["image", "text"])),
    ] {
        house.tool(|tool| tool.model = model.to_owned()).await;
        let story = house.generate(request(model)).await.expect("a picture");
        let sent = house.mock.requests().pop().expect("a request");
        assert_eq!(
            (sent.path.as_str(), &sent.body["modalities"]),
            ("/api/v1/chat/completions", &modalities)
        );
        assert_eq!(story.finished.len(), 1);
    }
    house.close().await;
}

#[tokio::test]
async fn a_refusal_that_upstream_bills_is_the_platforms_loss() {
    let mut house = chat_only().await;
    let script = Script::sample("chat-200-refusal-text-google");
    fails(&house, script, Code::Aborted, "NO_IMAGE_RETURNED").await;
    // The sample tells a cost that this upstream has not billed.
    let database = rusqlite::Connection::open(house.database()).expect("the database");
    let sum = "SELECT sum(cost_pd) FROM absorption";
    let absorbed: i64 = database
        .query_row(sum, [], |row| row.get(0))
        .expect("a sum");
    assert!(absorbed > 0, "the cost that the answer told is kept");
    house.absorbed = -rust_decimal::Decimal::from_i128_with_scale(absorbed.into(), 12);
    house.close().await;
}

/// A house in whose catalog every model is reached by chat.
async fn chat_only() -> House {
    use image_gateway::domain::catalog::{Catalog, Door, Model};
    let built_in = Catalog::built_in();
    let chat = built_in.models().iter().map(|model| Model {
        door: Door::Chat,
        ..Model::clone(model)
    });
    let catalog = Catalog::new(chat.collect(), built_in.as_of);
    House::with(Setup {
        catalog,
        ..Setup::default()
    })
    .await
}

//! Every recorded answer, through a real connection, against what it must come to.

use std::collections::BTreeSet;

use super::server::{Reply, Server};
use super::*;
use crate::ports::Billed::{No, Perhaps};
use crate::ports::DrawCause::{
    ImageInvalid, InvalidRequest, KeyOutOfCredit, KeyRateLimited, KeyRefused, ModelUnavailable,
    NoImage, PromptRejected, RateLimited, ReferenceTooLarge, Timeout, Unavailable,
};
use crate::ports::{Bill, Billed, DrawCause, UpstreamKey};

/// What must come of a sample.
#[derive(Debug)]
enum Expected {
    /// So many pictures and this receipt: cost, prompt, completion and image tokens, id in the
    /// body.
    Pictures(usize, Said),
    /// No picture.
    Refused(DrawCause, Billed),
    /// No picture; so many tries; so many seconds of `retry_after`.
    Limited(DrawCause, usize, Option<u64>),
    /// `GET /generation`.
    Cost(Option<&'static str>),
    /// The error of a call that this room does not make.
    ForeignError(DrawCause),
    /// Compared in `requests.rs`.
    Request,
    /// Not read by this room: why.
    NotHere(&'static str),
}

#[derive(Debug)]
struct Said {
    cost: Option<&'static str>,
    tokens: [Option<u64>; 3],
    id: Option<&'static str>,
    text: &'static str,
}

const fn said(cost: &'static str, tokens: [Option<u64>; 3]) -> Said {
    Said {
        cost: Some(cost),
        tokens,
        id: None,
        text: "",
    }
}

const NOTHING: Said = Said {
    cost: None,
    tokens: [None; 3],
    id: None,
    text: "",
};

const CATALOG: Expected = Expected::NotHere("compared in lists/recorded.rs");
const OPERATOR: Expected = Expected::NotHere("for an operator with a management key");

fn expectations() -> Vec<(&'static str, Expected)> {
    let mut all = chat_answers();
    all.extend(images_answers());
    all.extend(refusals());
    all.extend(others());
    all
}

fn chat_answers() -> Vec<(&'static str, Expected)> {
    use Expected::{Limited, Pictures, Refused};
    let silent = Said {
        cost: Some("0.000112"),
        tokens: [Some(14), Some(0), None],
        id: Some("gen-1795392002-aBcDeFgHiJkLmNoPqRsT"),
        text: "",
    };
    let gemini = Said {
        cost: Some("0.0387371"),
        tokens: [Some(7), Some(1304), Some(1290)],
        id: Some("gen-1777274549-ggCU4VodGLK3d1SNKnBJ"),
        text: "Here is a simple red circle on a white background for you: ",
    };
    let two = Said {
        cost: Some("0.1344045"),
        tokens: [Some(9), Some(2240), Some(2240)],
        id: Some("gen-1795392000-aBcDeFgHiJkLmNoPqRsT"),
        text: "",
    };
    let streamed = Said {
        cost: Some("0.0387371"),
        tokens: [Some(7), Some(1304), Some(1290)],
        id: Some("gen-1756821634-QsRNWEcsHUOpb6vX3v2V"),
        text: " a minimalist ceramic coffee",
    };
    vec![
        (
            "chat-200-error-in-choice.json",
            Refused(Unavailable, Perhaps),
        ),
        ("chat-200-error-top-level.json", Refused(Timeout, Perhaps)),
        ("chat-200-gemini-image.json", Pictures(1, gemini)),
        ("chat-200-refusal-silent-openai.json", Pictures(0, silent)),
        (
            "chat-200-refusal-text-google.json",
            Refused(NoImage, Perhaps),
        ),
        ("chat-200-two-images-url-forms.json", Pictures(2, two)),
        ("chat-stream-image.sse", Pictures(1, streamed)),
        // The wait that began with 200 is never repeated.
        (
            "chat-stream-midstream-error.sse",
            Limited(RateLimited, 1, None),
        ),
    ]
}

fn images_answers() -> Vec<(&'static str, Expected)> {
    use Expected::{Pictures, Refused};
    vec![
        (
            "images-200-byok.json",
            Pictures(1, said("0.0406378", [Some(9), Some(1290), Some(1290)])),
        ),
        ("images-200-empty-data.json", Pictures(0, NOTHING)),
        ("images-200-error-body.json", Refused(Unavailable, Perhaps)),
        (
            "images-200-fewer-than-n.json",
            Pictures(3, said("0.12", [Some(0), Some(12_525), None])),
        ),
        (
            "images-200-jpeg-n2.json",
            Pictures(2, said("0.08", [Some(0), Some(8350), Some(8350)])),
        ),
        (
            "images-200-no-media-type-no-usage.json",
            Pictures(1, NOTHING),
        ),
        (
            "images-200-png-with-reference.json",
            Pictures(1, said("0.043", [Some(484), Some(4175), Some(4175)])),
        ),
        (
            "images-200-spec-example.json",
            Refused(ImageInvalid, Perhaps),
        ),
        (
            "images-200-tiny-cost-exponent.json",
            Pictures(1, said("0.0000066", [Some(12), Some(1), None])),
        ),
        ("images-stream-error.sse", Refused(Unavailable, Perhaps)),
        (
            "images-stream-openai.sse",
            Pictures(1, said("0.011", [Some(16), Some(272), None])),
        ),
    ]
}

fn refusals() -> Vec<(&'static str, Expected)> {
    use Expected::{Limited, Refused};
    vec![
        (
            "err-400-content-moderation-images.json",
            Refused(PromptRejected, No),
        ),
        (
            "err-400-content-moderation-meta.json",
            Refused(PromptRejected, No),
        ),
        ("err-400-invalid-request.json", Refused(InvalidRequest, No)),
        (
            "err-400-model-not-found-availability.json",
            Refused(ModelUnavailable, No),
        ),
        ("err-400-provider-raw.json", Refused(InvalidRequest, No)),
        ("err-401-missing-key.json", Refused(KeyRefused, No)),
        ("err-401-no-credentials.json", Refused(KeyRefused, No)),
        (
            "err-401-relayed-from-provider.json",
            Refused(Unavailable, No),
        ),
        ("err-402-can-only-afford.json", Refused(KeyOutOfCredit, No)),
        (
            "err-402-insufficient-credits.json",
            Refused(KeyOutOfCredit, No),
        ),
        ("err-403-guardrail.json", Refused(PromptRejected, No)),
        ("err-403-key-limit.json", Refused(KeyOutOfCredit, No)),
        (
            "err-403-moderation-full-metadata.json",
            Refused(PromptRejected, No),
        ),
        ("err-403-moderation.json", Refused(PromptRejected, No)),
        ("err-404-modalities.json", Refused(ModelUnavailable, No)),
        (
            "err-404-model-deprecated.json",
            Refused(ModelUnavailable, No),
        ),
        (
            "err-404-privacy-restricted.json",
            Refused(ModelUnavailable, No),
        ),
        ("err-408-timeout.json", Refused(Timeout, Perhaps)),
        ("err-413-image-too-big.json", Refused(ReferenceTooLarge, No)),
        ("err-413-payload.json", Refused(ReferenceTooLarge, No)),
        ("err-422-unprocessable.json", Refused(InvalidRequest, No)),
        (
            "err-429-capacity-exhausted.json",
            Limited(RateLimited, 1, Some(40)),
        ),
        ("err-429-platform.json", Limited(KeyRateLimited, 3, None)),
        ("err-429-typed.json", Limited(RateLimited, 1, Some(60))),
        ("err-429-upstream-pool.json", Limited(RateLimited, 3, None)),
        ("err-500.json", Refused(Unavailable, Perhaps)),
        ("err-502.json", Refused(Unavailable, Perhaps)),
        ("err-503.json", Limited(Unavailable, 3, None)),
        ("err-504.json", Refused(Timeout, Perhaps)),
        ("err-524-cloudflare-html.json", Refused(Timeout, Perhaps)),
        ("err-524.json", Refused(Timeout, Perhaps)),
        ("err-529.json", Refused(Unavailable, Perhaps)),
    ]
}

fn others() -> Vec<(&'static str, Expected)> {
    use Expected::{Cost, ForeignError, Request};
    vec![
        ("analytics-query-200-by-generation.json", OPERATOR),
        ("credits-200.json", OPERATOR),
        ("credits-403.json", ForeignError(KeyRefused)),
        (
            "err-404-no-image-model.json",
            ForeignError(ModelUnavailable),
        ),
        ("generation-200-gemini-image.json", Cost(Some("0.0387371"))),
        ("generation-200-image-api.json", Cost(Some("0.04"))),
        ("generation-200-spec-example.json", Cost(Some("0.0015"))),
        ("generation-404-not-yet.json", Cost(None)),
        ("images-model-endpoints-2026-10-08.json", CATALOG),
        ("images-model-endpoints-twelve.json", CATALOG),
        ("images-models-200.json", CATALOG),
        (
            "key-200.json",
            Expected::NotHere("used by the readiness check"),
        ),
        ("models-200-output-image.json", CATALOG),
        ("models-200-spec-example.json", CATALOG),
        ("req-chat-image.json", Request),
        ("req-images-full.json", Request),
        ("req-images-minimal.json", Request),
    ]
}

#[test]
fn every_sample_has_an_expectation_and_every_expectation_a_sample() {
    let folder = format!("{}/tests/fixtures/openrouter", env!("CARGO_MANIFEST_DIR"));
    let present: BTreeSet<String> = std::fs::read_dir(folder)
        .expect("the folder")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .collect();
    let expected = expectations();
    let named: BTreeSet<String> = expected
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    assert_eq!(named.len(), expected.len(), "no sample is named twice");
    assert_eq!(present, named);
}

#[test]
fn samples_that_are_not_read_here_are_at_least_json() {
    for (name, expected) in expectations() {
        if matches!(expected, Expected::NotHere(_)) && name.ends_with(".json") {
            let _: serde_json::Value = serde_json::from_str(&fixture(name)).expect(name);
        }
    }
}

#[tokio::test]
async fn every_sample_comes_to_what_is_expected() {
    for (name, expected) in expectations() {
        match expected {
            Expected::Request => {}
            Expected::NotHere(why) => assert!(!why.is_empty(), "{name}"),
            Expected::Cost(cost) => check_cost(name, cost).await,
            Expected::ForeignError(cause) => {
                let (_, outcome) = play(name).await;
                assert_eq!(outcome.ending.expect_err(name).cause, cause, "{name}");
            }
            Expected::Pictures(count, said) => check_pictures(name, count, &said).await,
            Expected::Refused(cause, billed) => {
                let (tries, outcome) = play(name).await;
                let error = outcome.ending.expect_err(name);
                assert_eq!(
                    (error.cause, error.billed),
                    (cause, billed),
                    "{name}: {error}"
                );
                assert_eq!(tries, 1, "{name}");
                check_detail(name, &error);
            }
            Expected::Limited(cause, tries, wait) => {
                let (tried, outcome) = play(name).await;
                let error = outcome.ending.expect_err(name);
                assert_eq!((error.cause, tried), (cause, tries), "{name}: {error}");
                assert_eq!(error.retry_after.map(|wait| wait.as_secs()), wait, "{name}");
                check_detail(name, &error);
            }
        }
    }
}

async fn check_pictures(name: &str, count: usize, said: &Said) {
    let (tries, outcome) = play(name).await;
    let receipt = outcome.ending.expect(name);
    assert_eq!(tries, 1, "{name}");
    assert_eq!(outcome.pictures.len(), count, "{name}");
    for picture in &outcome.pictures {
        let size = imagesize::blob_size(picture).expect(name);
        assert_eq!((size.width, size.height), (16, 16), "{name}");
    }
    let cost = receipt.cost.map(|cost| cost.to_string());
    assert_eq!(cost.as_deref(), said.cost, "{name}");
    let tokens = [
        receipt.prompt_tokens,
        receipt.completion_tokens,
        receipt.image_tokens,
    ];
    assert_eq!(tokens, said.tokens, "{name}");
    assert_eq!(receipt.upstream_id.as_deref(), said.id, "{name}");
    assert_eq!(receipt.text, said.text, "{name}");
}

/// What an administrator reads: something, not too much, and nothing the user wrote.
fn check_detail(name: &str, error: &DrawError) {
    let detail = &error.detail;
    assert!(
        !detail.is_empty() && detail.chars().count() <= 500,
        "{name}: {detail}"
    );
    for private in ["food delivery", "very long prompt", "sk-", "user_", "<html"] {
        assert!(!detail.contains(private), "{name}: {detail}");
    }
}

async fn check_cost(name: &str, cost: Option<&str>) {
    let sample = sample(name);
    let server = Server::replying(vec![reply(&sample)]).await;
    let (_, id) = sample.http.path.split_once("id=").expect("an id");
    let found = client(&server.url)
        .bill_of(id, &UpstreamKey::Platform)
        .await
        .expect(name);
    let told = match found {
        Bill::Cost(told) => Some(told.to_string()),
        Bill::NotFiled => None,
        Bill::NoCost => panic!("{name}: a record without a cost"),
        Bill::OfAnother => panic!("{name}: a record of another call"),
    };
    assert_eq!(told.as_deref(), cost, "{name}");
    let line = format!("{} {} HTTP/1.1", sample.http.method, sample.http.path);
    assert_eq!(server.requests()[0].line, line);
}

fn reply(sample: &Sample) -> Reply {
    let headers = sample.http.headers.iter();
    let headers: Vec<_> = headers
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let status = sample.http.status.expect("an answer");
    Reply::new(status, &headers, &sample.wire())
}

/// Plays the sample to a client; says how often it was asked for.
async fn play(name: &str) -> (usize, Outcome) {
    let (reply, order) = if name.ends_with(".sse") {
        (Reply::events(fixture(name).as_bytes()), images_order())
    } else {
        let sample = sample(name);
        let door = if sample.http.path.contains("chat") {
            Door::Chat
        } else {
            Door::Images
        };
        (reply(&sample), order("openai/gpt-5-image", door))
    };
    let server = Server::replying(vec![reply]).await;
    let outcome = outcome(&client(&server.url), &order).await;
    (server.requests().len(), outcome)
}

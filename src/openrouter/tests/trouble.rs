//! Answers that break off, drag on, swell, lead elsewhere or try to be told secrets.

use super::server::{Reply, Server};
use super::*;
use crate::openrouter::base64::encode;
use crate::ports::{Billed, DrawCause};

const PICTURE: &[u8] = br#"{"data":[{"b64_json":"RE9ORQ=="}],"usage":{"cost":0.04}}"#;
const JSON: (&str, &str) = ("content-type", "application/json");

async fn refused(config: Config, order: &Order) -> DrawError {
    let client = Client::new(config).expect("a client");
    outcome(&client, order)
        .await
        .ending
        .expect_err("no picture")
}

#[tokio::test]
async fn an_answer_cut_anywhere_keeps_what_is_whole() {
    let picture_ends = PICTURE
        .windows(2)
        .position(|pair| pair == b"\"}")
        .expect("its end")
        + 1;
    for at in 0..PICTURE.len() {
        let server = Server::replying(vec![Reply::cut(PICTURE, at)]).await;
        let outcome = outcome(&client(&server.url), &images_order()).await;
        if at >= picture_ends {
            assert_eq!(outcome.pictures, [b"DONE"], "at {at}");
            assert_eq!(outcome.ending.expect("kept"), Receipt::default(), "at {at}");
        } else {
            let error = outcome.ending.expect_err("cut off");
            assert_eq!(error.cause, DrawCause::Unavailable, "at {at}: {error}");
            assert_eq!(error.billed, Billed::Unanswered);
            assert_eq!(error.upstream_id.as_deref(), Some("gen-1-cut"));
        }
        assert_eq!(server.requests().len(), 1, "at {at}");
    }
}

#[tokio::test]
async fn a_picture_cut_off_after_a_whole_one_is_an_error() {
    let body = br#"{"data":[{"b64_json":"RE9ORQ=="},{"b64_json":"RE9ORQ=="}]}"#;
    let server = Server::replying(vec![Reply::cut(body, body.len() - 8)]).await;
    let outcome = outcome(&client(&server.url), &images_order()).await;
    assert_eq!(outcome.pictures, [b"DONE"]);
    assert_eq!(
        outcome.ending.expect_err("cut off").cause,
        DrawCause::Unavailable
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::replying(vec![Reply::json(PICTURE)]).await;
    for status in [301, 302, 307, 308] {
        let location = ("location", elsewhere.url.as_str());
        let server = Server::replying(vec![Reply::new(status, &[location], b"")]).await;
        let error = refused(config(&server.url), &images_order()).await;
        assert_eq!(
            (error.cause, error.billed),
            (DrawCause::OursToMend, Billed::No)
        );
    }
    assert!(elsewhere.requests().is_empty());
}

/// A key of another form than OpenRouter's, as the contract allows it.
const ODD_KEY: &str = "weirdprovider.key/with+chars=0123456789";

#[tokio::test]
async fn what_a_refusal_an_answer_and_a_record_quote_of_an_odd_key_or_a_prompt_is_withheld() {
    let order = Order {
        prompt: "Portrait of JANE Quux-Public, with a sign: “overthrow”".into(),
        key: UpstreamKey::Organization(ODD_KEY.into()),
        ..images_order()
    };
    for said in [
        ODD_KEY,
        "weirdprovider.key%2Fwith%2Bchars%3D0123456789",
        "PORTRAIT  OF  JANE  QUUX",
        "overthrow",
    ] {
        let error = format!(r#"{{"error":{{"code":400,"message":"no: {said}"}}}}"#);
        let within = format!(r#"{{"data":[],"error":{{"code":502,"message":"no: {said}"}}}}"#);
        let text = format!(r#"{{"choices":[{{"message":{{"content":"no: {said}"}}}}]}}"#);
        let server = Server::replying(vec![
            Reply::new(400, &[JSON], error.as_bytes()),
            Reply::json(within.as_bytes()),
            Reply::json(text.as_bytes()),
            Reply::new(500, &[JSON], error.as_bytes()),
        ])
        .await;
        let client = client(&server.url);
        for _ in 0..3 {
            let ending = outcome(&client, &order).await.ending;
            let error = ending.expect_err("no picture");
            assert!(
                error.detail.contains("(withheld: it quotes the "),
                "{error}"
            );
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains(said), "{shown}");
        }
        let record = client.bill_of("gen-1", &order.key).await;
        assert_eq!(record.expect_err("no record").detail, "HTTP 500");
    }
}

#[tokio::test]
async fn a_key_that_is_asked_about_is_in_no_answer_of_ours() {
    for status in [400, 401, 403, 500] {
        for told in [
            format!(r#"{{"error":{{"code":{status},"message":"boom {ODD_KEY}"}}}}"#),
            format!("boom {ODD_KEY}"),
        ] {
            let reply = Reply::new(status, &[JSON], told.as_bytes());
            let server = Server::replying(vec![reply]).await;
            let key = UpstreamKey::Organization(ODD_KEY.into());
            let checked = client(&server.url).check_key(&key).await;
            let error = checked.expect_err("it is not taken");
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("weird"), "{shown}");
            let begin = format!("HTTP {status}: (withheld: it quotes the key");
            assert!(error.detail.starts_with(&begin), "{shown}");
        }
    }
}

#[tokio::test]
async fn what_is_told_beside_a_picture_and_in_heads_gives_no_key_away() {
    // One that an id could be.
    const PLAIN_KEY: &str = "weirdprovider-key_0123456789";
    let order = Order {
        key: UpstreamKey::Organization(PLAIN_KEY.into()),
        ..images_order()
    };
    let told = format!(
        r#"data: {{"id":"{PLAIN_KEY}","choices":[{{"delta":{{"content":"called with {PLAIN_KEY}"}}}}]}}"#
    );
    let picture =
        r#"data: {"choices":[{"delta":{"images":[{"image_url":{"url":"data:;base64,RE9ORQ"}}]}}]}"#;
    let body = format!("{told}\n\n{picture}\n\n");
    let (events, id) = (
        ("content-type", "text/event-stream"),
        ("x-generation-id", PLAIN_KEY),
    );
    let broken_off = Reply::headers_only(&[events, id], body.len() + 9).then(body.as_bytes());
    for reply in [Reply::new(200, &[events, id], body.as_bytes()), broken_off] {
        let server = Server::replying(vec![reply]).await;
        let drawing = client(&server.url).draw(&order).await.expect("an answer");
        assert_eq!(drawing.upstream_id(), None);
        let outcome = collect(drawing).await;
        assert_eq!(outcome.pictures, [b"DONE"]);
        let receipt = outcome.ending.expect("kept");
        assert!(receipt.text.starts_with("(withheld: it quotes the key"));
        assert_eq!(receipt.upstream_id, None);
    }
    let refusal = Reply::new(400, &[JSON, id], b"{}");
    let server = Server::replying(vec![refusal]).await;
    let error = refused(config(&server.url), &order).await;
    assert_eq!(error.upstream_id, None);
}

#[tokio::test]
async fn of_a_refusal_that_is_too_long_nothing_is_read() {
    for (bytes, is_read) in [(64 << 10, true), ((64 << 10) + 1, false)] {
        let said = format!("sorry{}", " ".repeat(bytes - 5));
        let server = Server::replying(vec![Reply::new(400, &[], said.as_bytes())]).await;
        let error = refused(config(&server.url), &images_order()).await;
        assert_eq!(error.detail.contains("sorry"), is_read, "{error}");
    }
}

#[tokio::test]
async fn the_key_is_in_one_header_and_nowhere_else() {
    let told = format!(r#"{{"error":{{"code":401,"message":"bad key {KEY} / {KEY}"}}}}"#);
    let server = Server::replying(vec![Reply::new(401, &[JSON], told.as_bytes())]).await;
    let client = client(&server.url);
    let error = outcome(&client, &images_order())
        .await
        .ending
        .expect_err("refused");
    let gone = refused(config("http://127.0.0.1:1"), &images_order()).await;
    let no_key = Client::new(Config::new("http://x", format!("{KEY}\n").into())).expect_err("no");
    let secret = &KEY["sk-or-v1-".len()..];
    for shown in [
        format!("{client:?}"),
        format!("{error} {error:?}"),
        format!("{gone} {gone:?}"),
        format!("{no_key} {no_key:?}"),
    ] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert!(error.detail.contains("[redacted]"));
    let seen = server.requests().remove(0);
    let carrying = seen.headers.iter().filter(|(_, value)| value.contains(KEY));
    assert_eq!(
        carrying.map(|(name, _)| name).collect::<Vec<_>>(),
        ["authorization"]
    );
    assert!(!String::from_utf8_lossy(&seen.body).contains(secret));
}

#[test]
fn an_address_that_is_none_is_found_out_at_once() {
    assert!(Client::new(Config::new("not a url", KEY.into())).is_err());
}

#[tokio::test]
async fn an_answer_that_pauses_too_long_once_begun_is_given_up() {
    let reply = Reply::headers_only(&[JSON], PICTURE.len())
        .then(&PICTURE[..25])
        .hang();
    let server = Server::replying(vec![reply]).await;
    let config = Config {
        idle_timeout: Duration::from_millis(30),
        ..config(&server.url)
    };
    let error = refused(config, &images_order()).await;
    assert_eq!(
        (error.cause, error.billed),
        (DrawCause::Timeout, Billed::Unanswered)
    );
}

#[tokio::test]
async fn a_provider_may_think_longer_than_an_answer_may_pause() {
    let pause = Duration::from_millis(120);
    let reply = Reply::headers_only(&[JSON], PICTURE.len() + 2)
        .pause(pause)
        .then(b" \n")
        .pause(pause)
        .then(PICTURE);
    let stream = "data: {\"choices\":[],\"usage\":{\"cost\":0.04}}\n\n";
    let events = Reply::headers_only(&[("content-type", "text/event-stream")], stream.len() + 10)
        .then(b": WORKING\n")
        .pause(pause)
        .then(stream.as_bytes());
    for reply in [reply, events] {
        let server = Server::replying(vec![reply]).await;
        let config = Config {
            idle_timeout: Duration::from_millis(40),
            ..config(&server.url)
        };
        let client = Client::new(config).expect("a client");
        let receipt = outcome(&client, &images_order())
            .await
            .ending
            .expect("in time");
        assert_eq!(receipt.cost.expect("a cost").to_string(), "0.04");
    }
}

#[tokio::test]
async fn the_total_ends_everything() {
    let silent = Reply::headers_only(&[JSON], 10).hang();
    let dripping = (0..1000).fold(Reply::headers_only(&[JSON], 1000), |reply, _| {
        reply.then(b" ").pause(Duration::from_millis(20))
    });
    for reply in [Reply::nothing().hang(), silent, dripping] {
        let server = Server::replying(vec![reply]).await;
        let config = Config {
            // As long as it may take until the request is sent.
            total_timeout: Duration::from_secs(2),
            ..config(&server.url)
        };
        let error = refused(config, &images_order()).await;
        assert_eq!(
            (error.cause, error.billed),
            (DrawCause::Timeout, Billed::Unanswered)
        );
    }
}

#[tokio::test]
async fn a_body_over_its_cap_is_not_read_to_its_end() {
    let picture = encode(&[7; 60_000]);
    let body = format!(r#"{{"data":[{{"b64_json":"{picture}"}}]}}"#);
    let server = Server::replying(vec![Reply::json(body.as_bytes())]).await;
    let small_body = Config {
        body_cap_bytes: 20_000,
        ..config(&server.url)
    };
    let error = refused(small_body, &images_order()).await;
    assert_eq!(error.cause, DrawCause::ImageInvalid);
    let small_image = Config {
        image_cap_bytes: 59_999,
        ..config(&server.url)
    };
    let error = refused(small_image, &images_order()).await;
    assert_eq!(error.cause, DrawCause::ImageInvalid);
    let enough = Config {
        image_cap_bytes: 60_000,
        ..config(&server.url)
    };
    let client = Client::new(enough).expect("a client");
    assert_eq!(
        outcome(&client, &images_order()).await.pictures,
        [[7; 60_000]]
    );
}

#[tokio::test]
async fn a_compressed_answer_is_refused_because_it_may_be_a_bomb() {
    let server = Server::replying(vec![Reply::new(
        200,
        &[("content-encoding", "gzip")],
        PICTURE,
    )]);
    let error = refused(config(&server.await.url), &images_order()).await;
    assert_eq!(error.cause, DrawCause::Unavailable);
}

#[tokio::test]
async fn a_reference_that_is_gone_stops_the_request_and_costs_nothing() {
    #[derive(Debug)]
    struct Gone;

    #[async_trait]
    impl ImageSource for Gone {
        async fn read(&self, offset: u64, limit: usize) -> Result<Bytes, GalleryError> {
            if offset == 0 {
                Ok(Bytes::from(vec![1; limit]))
            } else {
                Err(GalleryError::Gone)
            }
        }
    }

    let server = Server::replying(vec![Reply::json(PICTURE)]).await;
    let mut shrunk = reference(&[1; 1000]);
    shrunk.size_bytes = 200_000;
    let gone = ReferenceImage {
        source: Arc::new(Gone),
        ..shrunk.clone()
    };
    for broken in [shrunk, gone] {
        let order = Order {
            references: vec![broken],
            ..images_order()
        };
        let error = refused(config(&server.url), &order).await;
        assert_eq!(
            (error.cause, error.billed),
            (DrawCause::ReferenceInvalid, Billed::No)
        );
    }
}

#[tokio::test]
async fn a_reference_that_has_grown_is_sent_as_long_as_it_was() {
    let server = Server::replying(vec![Reply::json(PICTURE)]).await;
    let mut grown = reference(&[1; 90_000]);
    grown.size_bytes = 60_000;
    let order = Order {
        references: vec![grown],
        ..images_order()
    };
    let outcome = outcome(&client(&server.url), &order).await;
    assert_eq!(outcome.pictures, [b"DONE"]);
    let body = server.requests().remove(0).body;
    let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    let url = body["input_references"][0]["image_url"]["url"].as_str();
    assert_eq!(
        url.expect("a URL").len(),
        "data:image/png;base64,".len() + 80_000
    );
}

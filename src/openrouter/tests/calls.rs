//! Calls that go well, or go well in the end: ids, retries, waits.

use tokio::sync::Notify;

use super::server::{Reply, Server};
use super::*;
use crate::domain::money::UsdCost;
use crate::ports::Billed::{Perhaps, Unanswered};
use crate::ports::{Bill, Billed, DrawCause, UpstreamKey};

const PICTURE: &[u8] = br#"{"data":[{"b64_json":"RE9ORQ=="}],"usage":{"cost":0.04}}"#;
const JSON: (&str, &str) = ("content-type", "application/json");

fn busy(headers: &[(&str, &str)]) -> Reply {
    Reply::new(429, headers, br#"{"error":{"code":429,"message":"busy"}}"#)
}

#[tokio::test]
async fn the_id_of_a_call_is_known_before_its_body() {
    let body_wanted = Arc::new(Notify::new());
    let headers = [JSON, ("X-Generation-Id", "gen-1795392000-aB")];
    let reply = Reply::headers_only(&headers, PICTURE.len())
        .hold(&body_wanted)
        .then(PICTURE);
    let server = Server::replying(vec![reply]).await;
    let drawing = client(&server.url)
        .draw(&images_order())
        .await
        .expect("begun");
    assert_eq!(drawing.upstream_id(), Some("gen-1795392000-aB"));
    body_wanted.notify_one();
    let outcome = collect(drawing).await;
    assert_eq!(outcome.pictures, [b"DONE"]);
    assert!(outcome.ending.expect("a receipt").cost.is_some());
}

#[tokio::test]
async fn an_id_that_is_none_is_not_believed() {
    for id in ["", "a b", "gen-1'; DROP", &"g".repeat(129)] {
        let server = Server::replying(vec![Reply::new(200, &[("x-generation-id", id)], PICTURE)]);
        let server = server.await;
        let drawing = client(&server.url)
            .draw(&images_order())
            .await
            .expect("begun");
        assert_eq!(drawing.upstream_id(), None, "{id}");
    }
}

#[tokio::test]
async fn what_was_refused_for_want_of_room_is_sent_again_unchanged() {
    let picture: Vec<u8> = (0..100_000u32).map(|i| i.to_le_bytes()[1]).collect();
    let overloaded = Reply::new(503, &[("retry-after", "0")], b"");
    let replies = vec![
        busy(&[("retry-after", "0")]),
        overloaded,
        Reply::json(PICTURE),
    ];
    let server = Server::replying(replies).await;
    let order = Order {
        references: vec![reference(&picture)],
        ..images_order()
    };
    let outcome = outcome(&client(&server.url), &order).await;
    assert_eq!(outcome.pictures, [b"DONE"]);
    let seen = server.requests();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|request| request.body == seen[0].body));
    assert!(seen[0].body.len() > 130_000);
}

#[tokio::test]
async fn after_two_more_tries_it_is_given_up() {
    let server = Server::replying(vec![busy(&[])]).await;
    let error = outcome(&client(&server.url), &images_order())
        .await
        .ending
        .expect_err("busy");
    assert_eq!(
        (error.cause, error.billed),
        (DrawCause::RateLimited, Billed::No)
    );
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn a_connection_that_cannot_be_made_is_tried_again() {
    // A server that does not speak TLS: every handshake fails.
    let server = Server::replying(vec![Reply::nothing()]).await;
    let error = outcome(&client(&server.https()), &images_order())
        .await
        .ending
        .expect_err("no TLS");
    assert_eq!(
        (error.cause, error.billed),
        (DrawCause::Unavailable, Billed::No)
    );
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn what_may_have_been_billed_is_never_sent_again() {
    let failing = |status| Reply::new(status, &[], b"{}");
    let late = br#"{"error":{"code":429,"message":"late"}}"#;
    for (reply, cause, billed) in [
        (Reply::nothing(), DrawCause::Unavailable, Unanswered),
        (failing(500), DrawCause::Unavailable, Perhaps),
        (failing(502), DrawCause::Unavailable, Perhaps),
        (failing(529), DrawCause::Unavailable, Perhaps),
        (failing(504), DrawCause::Timeout, Perhaps),
        (Reply::json(b""), DrawCause::Unavailable, Perhaps),
        (Reply::json(late), DrawCause::RateLimited, Perhaps),
    ] {
        let server = Server::replying(vec![reply]).await;
        let outcome = outcome(&client(&server.url), &images_order()).await;
        let error = outcome.ending.expect_err("no picture");
        assert_eq!((error.cause, error.billed), (cause, billed), "{error}");
        assert_eq!(server.requests().len(), 1, "{error}");
    }
}

#[tokio::test]
async fn a_long_wait_is_for_the_caller_to_decide() {
    for (header, least, most) in [
        ("11", 11, 11),
        ("99999999999", 86_400, 86_400),
        ("Fri, 31 Dec 2199 23:59:59 GMT", 86_400, 86_400),
    ] {
        let server = Server::replying(vec![busy(&[("retry-after", header)])]).await;
        let outcome = outcome(&client(&server.url), &images_order()).await;
        let wait = outcome
            .ending
            .expect_err("busy")
            .retry_after
            .expect("a wait")
            .as_secs();
        assert!((least..=most).contains(&wait), "{header}: {wait}");
        assert_eq!(server.requests().len(), 1, "{header}");
    }
}

#[tokio::test]
async fn nothing_is_tried_again_when_the_time_for_it_is_over() {
    let server = Server::replying(vec![busy(&[("retry-after", "9")])]).await;
    let client = client(&server.url);
    let soon = Instant::now() + Duration::from_secs(8);
    let nearly_over = Order {
        deadline: soon,
        ..images_order()
    };
    let caller_gone = Order {
        retry_until: soon,
        ..images_order()
    };
    for order in [nearly_over, caller_gone] {
        let error = outcome(&client, &order).await.ending.expect_err("busy");
        assert_eq!(error.retry_after, Some(Duration::from_secs(9)));
    }
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn an_order_that_is_too_late_is_not_sent() {
    let server = Server::replying(vec![Reply::json(PICTURE)]).await;
    let order = Order {
        deadline: Instant::now(),
        ..images_order()
    };
    let error = outcome(&client(&server.url), &order)
        .await
        .ending
        .expect_err("too late");
    assert_eq!(
        (error.cause, error.billed),
        (DrawCause::Timeout, Billed::No)
    );
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn retries_stop_when_everybody_is_refused() {
    let server = Server::replying(vec![busy(&[])]).await;
    let client = client(&server.url);
    for _ in 0..40 {
        let refused = outcome(&client, &images_order()).await;
        assert!(refused.ending.is_err());
    }
    // 40 calls, the ten retries saved and 15 % of what the calls paid in.
    let sent = server.requests().len();
    assert!((50..=57).contains(&sent), "{sent}");
}

#[tokio::test]
async fn money_in_flight_is_room_that_comes_back() {
    let body = br#"{"error":{"code":402,"message":"Too much in flight",
        "metadata":{"limit_source":"openrouter_in_flight_budget"}}}"#;
    let limited = Reply::new(402, &[("retry-after", "0")], body);
    let server = Server::replying(vec![limited, Reply::json(PICTURE)]).await;
    let outcome = outcome(&client(&server.url), &images_order()).await;
    assert_eq!(outcome.pictures, [b"DONE"]);
}

#[tokio::test]
async fn a_cost_that_is_not_said_is_told_from_a_call_that_is_not_filed() {
    let reply = |status, body: &[u8]| Reply::new(status, &[JSON], body);
    let cost = async |reply| {
        let server = Server::replying(vec![reply]).await;
        client(&server.url)
            .bill_of("gen-1 &x", &UpstreamKey::Platform)
            .await
            .map_err(|error| error.cause)
    };
    let own_key = br#"{"data":{"total_cost":0.002,"is_byok":true,"upstream_inference_cost":0.04}}"#;
    let told = UsdCost::from_json("0.042").expect("a cost");
    assert_eq!(cost(reply(200, own_key)).await, Ok(Bill::Cost(told)));
    let of_another = br#"{"data":{"id":"gen-2","total_cost":0.002}}"#;
    assert_eq!(cost(reply(200, of_another)).await, Ok(Bill::OfAnother));
    assert_eq!(cost(reply(404, b"")).await, Ok(Bill::NotFiled));
    assert_eq!(
        cost(reply(404, b"<html>")).await,
        Err(DrawCause::Unavailable)
    );
    assert_eq!(cost(reply(401, b"{}")).await, Err(DrawCause::KeyRefused));
    for without in [r#"{"data":{}}"#, r#"{"data":{"total_cost":-1}}"#] {
        assert_eq!(cost(reply(200, without.as_bytes())).await, Ok(Bill::NoCost));
    }
    assert_eq!(
        cost(reply(200, &[b' '; 70_000])).await,
        Err(DrawCause::Unavailable)
    );
    assert_eq!(cost(Reply::nothing()).await, Err(DrawCause::Unavailable));
}

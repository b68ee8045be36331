//! When an answer goes out, seen from a real client.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::*;
use crate::mock::{Drip, Script};

#[tokio::test]
async fn a_cut_body_breaks_at_the_client_after_exactly_so_many_bytes() {
    let mock = start().await;
    for byte in [0, 1, 40, 5000, 70_000] {
        mock.script(Script::cut_at(byte));
        let mut response = post(&mock, "/images", &minimal(SEEDREAM)).await;
        assert_eq!(response.status(), 200);
        let mut received = 0;
        let ended = loop {
            match response.chunk().await {
                Ok(Some(part)) => received += part.len(),
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        assert!(!ended && received == byte, "{received} instead of {byte}");
    }
    mock.wait_for_bill(5).await;
    assert!(
        mock.bill()
            .iter()
            .all(|entry| entry.cancelled && !entry.billed)
    );
    assert!(mock.total_billed().is_zero());
}

#[tokio::test]
async fn a_hung_up_call_gets_no_answer() {
    let mock = start().await;
    mock.script(Script::hang_up());
    let request = client()
        .post(format!("{}/images", mock.base_url()))
        .bearer_auth("sk-test");
    let error = request.body(minimal(SEEDREAM).to_string()).send().await;
    assert!(error.is_err_and(|error| error.is_request()));
    mock.wait_for_bill(1).await;
    assert!(!mock.bill()[0].billed);
}

#[tokio::test]
async fn a_caller_that_leaves_is_not_billed_for_images_but_for_chat() {
    let mock = start().await;
    mock.script(Script::gated("images"));
    mock.script(Script::gated("chat"));
    for (count, path, gate, body) in [
        (1, "/images", "images", minimal(SEEDREAM)),
        (2, "/chat/completions", "chat", chat(SEEDREAM, &["image"])),
    ] {
        tokio::select! {
            _ = post(&mock, path, &body) => panic!("the gate is closed"),
            () = mock.wait_at_gate(gate) => {}
        }
        mock.wait_for_bill(count).await;
    }
    let bill = mock.bill();
    assert_eq!(
        bill.iter()
            .map(|e| (e.cancelled, e.billed))
            .collect::<Vec<_>>(),
        [(true, false), (true, true)]
    );
}

#[tokio::test]
async fn a_gate_inside_the_body_holds_the_rest_until_it_is_opened() {
    let mock = start().await;
    mock.script(Script::gated_at("middle", 100));
    let mut response = post(&mock, "/images", &minimal(SEEDREAM)).await;
    mock.wait_at_gate("middle").await;
    let first = response.chunk().await.expect("a part").expect("a part");
    assert_eq!(first.len(), 100);
    assert!(mock.bill().is_empty());
    mock.open_gate("middle");
    let rest = response.bytes().await.expect("the rest");
    let whole: Value = serde_json::from_slice(&[first, rest].concat()).expect("JSON");
    assert_eq!(whole["data"].as_array().map(Vec::len), Some(1));
    assert!(mock.bill()[0].billed);
}

#[tokio::test]
async fn arrivals_can_be_awaited_while_the_answer_is_held() {
    let mock = start().await;
    mock.script(Script::gated("held").times(3));
    let wish = minimal(SEEDREAM);
    let calls =
        async { tokio::join!(post(&mock, "/images", &wish), post(&mock, "/images", &wish)) };
    let opening = async {
        mock.wait_for_requests(2).await;
        assert!(mock.bill().is_empty());
        mock.open_gate("held");
    };
    let ((first, second), ()) = tokio::join!(calls, opening);
    assert_eq!(
        (first.status(), second.status()),
        (200.try_into().unwrap(), 200.try_into().unwrap())
    );
}

#[tokio::test]
async fn waits_come_before_the_headers_between_and_inside_the_body() {
    let mock = start().await;
    let wait_ms = 60;
    let drip = Some(Drip::Total { total_ms: wait_ms });
    for script in [
        Script::latency(wait_ms),
        Script {
            body_delay_ms: Some(wait_ms),
            ..Script::default()
        },
        Script {
            drip,
            ..Script::default()
        },
    ] {
        mock.script(script);
        let begin = Instant::now();
        let body = json_of(post(&mock, "/images", &minimal(SEEDREAM)).await).await;
        assert!(begin.elapsed() >= Duration::from_millis(wait_ms));
        assert!(body["usage"].is_object());
    }
}

#[tokio::test]
async fn a_stalled_body_ends_when_the_mock_stops() {
    let mock = start().await;
    mock.script(Script::stall_at(10));
    let mut response = post(&mock, "/images", &minimal(SEEDREAM)).await;
    assert_eq!(
        response
            .chunk()
            .await
            .expect("a part")
            .map(|part| part.len()),
        Some(10)
    );
    mock.stop().await;
    assert!(response.chunk().await.is_err());
    assert!(mock.bill()[0].cancelled);
}

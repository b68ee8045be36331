//! Each script against a real client.

use serde_json::{Value, json};

use super::*;
use crate::mock::{Billing, ImageScript, MediaType, Script, UsageScript};

#[tokio::test]
async fn every_sample_is_answered_as_it_was_recorded() {
    let mock = start().await;
    let errors: Value = serde_json::from_str(include_str!("../data/errors.json")).expect("JSON");
    for (name, recorded) in errors.as_object().expect("an object") {
        mock.script(Script::sample(name));
        let response = post(&mock, "/images", &minimal(SEEDREAM)).await;
        assert_eq!(
            json!(response.status().as_u16()),
            recorded["status"],
            "{name}"
        );
        for (header, value) in recorded["headers"].as_object().expect("an object") {
            assert_eq!(
                response.headers()[header.as_str()],
                value.as_str().expect("text")
            );
        }
        let text = response.text().await.expect("a whole body");
        match recorded["body"].as_str() {
            Some(raw) => assert_eq!(text, raw),
            None => assert_eq!(
                serde_json::from_str::<Value>(&text).expect("JSON"),
                recorded["body"]
            ),
        }
    }
    assert!(mock.bill().is_empty());
}

#[tokio::test]
async fn scripts_are_taken_in_order_and_only_by_calls_that_fit() {
    let mock = start().await;
    mock.script(Script::sample("err-503").for_model("openai/gpt-5-image"));
    mock.script(Script::sample("err-502").times(2));
    mock.script(Script::sample("err-500").for_path("/images/models*"));
    let mut seen = Vec::new();
    for model in [SEEDREAM, "openai/gpt-5-image", SEEDREAM, SEEDREAM] {
        seen.push(
            post(&mock, "/images", &minimal(model))
                .await
                .status()
                .as_u16(),
        );
    }
    assert_eq!(seen, [502, 503, 502, 200]);
    assert_eq!(mock.scripts_left(), 1);
    assert_eq!(get(&mock, "/models").await.status(), 200);
    assert_eq!(get(&mock, "/images/models").await.status(), 500);
    assert_eq!(mock.scripts_left(), 0);
}

#[tokio::test]
async fn a_key_can_be_refused_alone() {
    let mock = start().await;
    mock.script(Script::bad_key("sk-test"));
    assert_eq!(
        post(&mock, "/images", &minimal(SEEDREAM)).await.status(),
        401
    );
    assert_eq!(get(&mock, "/key").await.status(), 401);
    let other = client()
        .get(format!("{}/key", mock.base_url()))
        .bearer_auth("sk-good");
    assert_eq!(other.send().await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn usage_can_be_left_out_or_made_up_to_the_letter() {
    let mock = start().await;
    mock.script(Script::without_usage());
    mock.script(Script::usage_cost("1e-7"));
    let raw = json!({ "cost": 0.5, "odd": true });
    mock.script(Script {
        usage: Some(UsageScript::Raw(raw)),
        ..Script::default()
    });
    let mut texts = Vec::new();
    for _ in 0..3 {
        let response = post(&mock, "/images", &minimal(SEEDREAM)).await;
        texts.push(response.text().await.expect("a whole body"));
    }
    assert!(!texts[0].contains("\"usage\""));
    assert!(texts[1].contains("\"cost\":1e-7,"));
    assert!(texts[2].ends_with("\"usage\":{\"cost\":0.5,\"odd\":true}}"));
    let costs: Vec<String> = mock
        .bill()
        .iter()
        .map(|entry| entry.cost.to_string())
        .collect();
    assert_eq!(costs, ["0.04", "0.0000001", "0.5"]);
}

#[tokio::test]
async fn pictures_can_be_fewer_replaced_or_garbage() {
    let mock = start().await;
    mock.script(Script::images(1));
    mock.script(Script::images(0));
    let image = ImageScript::Base64("AAAA".to_owned());
    let media_type = Some(MediaType::Override("image/webp".to_owned()));
    mock.script(Script {
        image: Some(image),
        media_type,
        ..Script::default()
    });
    let image = Some(ImageScript::NotBase64);
    mock.script(Script {
        image,
        media_type: Some(MediaType::Omit),
        ..Script::default()
    });
    let mut wish = minimal(SEEDREAM);
    wish["n"] = json!(2);
    let mut bodies = Vec::new();
    for _ in 0..4 {
        bodies.push(json_of(post(&mock, "/images", &wish).await).await);
    }
    assert_eq!(bodies[0]["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(bodies[1]["data"], json!([]));
    assert_eq!(
        bodies[2]["data"][0],
        json!({ "b64_json": "AAAA", "media_type": "image/webp" })
    );
    let garbage = bodies[3]["data"][0]["b64_json"].as_str().expect("text");
    assert!(STANDARD.decode_to_vec(garbage).is_err());
    assert!(bodies[3]["data"][0].get("media_type").is_none());
    let images: Vec<usize> = mock.bill().iter().map(|entry| entry.images).collect();
    assert_eq!(images, [1, 0, 2, 2]);
}

#[tokio::test]
async fn a_body_can_be_replaced_as_a_whole_and_the_id_left_out() {
    let mock = start().await;
    let raw = Script::raw_body("text/html", "<html>sorry</html>");
    mock.script(Script {
        omit_generation_id: true,
        ..raw
    });
    let response = post(&mock, "/images", &minimal(SEEDREAM)).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/html");
    assert!(response.headers().get("x-generation-id").is_none());
    assert_eq!(response.text().await.expect("a body"), "<html>sorry</html>");
    assert!(mock.bill().is_empty());
}

#[tokio::test]
async fn a_failed_call_can_be_billed_all_the_same() {
    let mock = start().await;
    mock.script(Script {
        billing: Some(Billing::Always),
        ..Script::sample("err-524")
    });
    mock.script(Script {
        billing: Some(Billing::Always),
        ..Script::cut_at(50)
    });
    mock.script(Script {
        billing: Some(Billing::Never),
        ..Script::default()
    });
    let response = post(&mock, "/images", &minimal(SEEDREAM)).await;
    assert_eq!(response.status(), 524);
    let id = generation_id(&response);
    response.bytes().await.expect("a whole body");
    assert!(
        post(&mock, "/images", &minimal(SEEDREAM))
            .await
            .bytes()
            .await
            .is_err()
    );
    post(&mock, "/images", &minimal(SEEDREAM))
        .await
        .bytes()
        .await
        .expect("a whole body");
    mock.wait_for_bill(3).await;
    let bill = mock.bill();
    assert_eq!(
        bill.iter().map(|e| e.billed).collect::<Vec<_>>(),
        [true, true, false]
    );
    assert_eq!(mock.total_billed().to_string(), "0.08");
    let record = json_of(get(&mock, &format!("/generation?id={id}")).await).await;
    assert_eq!(record["data"]["total_cost"].to_string(), "0.04");
}

#[tokio::test]
async fn pictures_can_be_made_large_for_all_calls_or_one() {
    let mock = start_with(Options {
        size_bytes: Some(400_000),
        ..Options::default()
    })
    .await;
    mock.script(Script {
        size_bytes: Some(900_000),
        ..Script::default()
    });
    for size in [900_000, 400_000] {
        let body = json_of(post(&mock, "/images", &minimal(SEEDREAM)).await).await;
        let base64 = body["data"][0]["b64_json"].as_str().expect("text");
        assert_eq!(STANDARD.decode_to_vec(base64).expect("base64").len(), size);
        assert_eq!(decoded_size(base64), (1024, 1024));
    }
}

#[tokio::test]
async fn another_process_can_script_and_read_the_mock() {
    let mock = start().await;
    let url = |path: &str| format!("http://{}/mock/{path}", mock.address());
    let script = |body: Value| client().post(url("script")).body(body.to_string()).send();
    let scripts = json!([
        { "sample": "err-429-platform", "model": SEEDREAM },
        { "usage": { "cost": "2.1e-06" }, "drip": { "chunk_bytes": 100_000, "interval_ms": 1 } },
    ]);
    assert_eq!(script(scripts).await.expect("an answer").status(), 200);
    assert_eq!(
        script(json!({ "latency_ms": 1 }))
            .await
            .expect("an answer")
            .status(),
        200
    );
    for wrong in [
        json!({ "sample": "err-nothing" }),
        json!({ "latency": 5 }),
        json!(7),
    ] {
        assert_eq!(script(wrong).await.expect("an answer").status(), 400);
    }
    assert_eq!(
        post(&mock, "/images", &minimal(SEEDREAM)).await.status(),
        429
    );
    post(&mock, "/images", &minimal(SEEDREAM))
        .await
        .bytes()
        .await
        .expect("a whole body");
    let bill = json_of(client().get(url("bill")).send().await.expect("an answer")).await;
    assert_eq!(bill["total_billed"], "0.0000021");
    assert_eq!(bill["entries"][0]["cost"], "0.0000021");
    let requests = json_of(
        client()
            .get(url("requests"))
            .send()
            .await
            .expect("an answer"),
    )
    .await;
    assert_eq!(requests.as_array().map(Vec::len), Some(2));
    assert_eq!(requests[0]["path"], "/api/v1/images");
    assert!(!requests.to_string().contains("sk-test"));
    assert_eq!(mock.scripts_left(), 1);
    client()
        .delete(url("script"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(mock.scripts_left(), 0);
}

//! What a process writes while it works: neither keys nor prompts, however much it is told to log.

use image_gateway::mock::Script;
use image_gateway::proto;
use serde_json::json;

use super::{OPENROUTER_KEY, Served};
use crate::helpers::{House, OPERATOR_KEY, request};

const PROMPT: &str = "a heron of canary yellow";
/// An organization's own.
const OWN_KEY: &str = "sk-or-v1-canary-of-acme-0123456789abcdef";
const MASTER_KEY: &str = "c0ffee00c0ffee01c0ffee02c0ffee03c0ffee04c0ffee05c0ffee06c0ffee07";
/// Of the form of a key, but nobody's.
const UNKNOWN_KEY: &str = "sq_live_AAAAAAAA_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn order(request_id: &str) -> proto::GenerateImageRequest {
    proto::GenerateImageRequest {
        prompt: PROMPT.to_owned(),
        ..request(request_id)
    }
}

/// One call of each kind: good, refused here, refused upstream with the key and the prompt in the refusal, and
/// by strangers.
async fn work(house: &House) {
    house.generate(order("good")).await.expect("a picture");
    let dear = proto::GenerateImageRequest {
        max_credits: "1.00".to_owned(),
        ..order("dear")
    };
    house.generate(dear).await.expect_err("too dear");
    let echo = format!("cannot draw {PROMPT} with the key {OPENROUTER_KEY}");
    let body = json!({ "error": { "code": 400, "message": echo } });
    house.mock.script(Script::error(400, body));
    house.generate(order("echo")).await.expect_err("refused");
    house.mock.script(Script::bad_key(OPENROUTER_KEY));
    house.generate(order("key")).await.expect_err("refused");
    house.mock.clear_scripts();
    let set = house.set_openrouter_key(OPERATOR_KEY, OWN_KEY).await;
    set.expect("set");
    house.generate(order("own")).await.expect("a picture");
    let echo = format!("the key {OWN_KEY} is unknown");
    let body = json!({ "error": { "code": 401, "message": echo } });
    house.mock.script(Script::error(401, body).times(2));
    house.generate(order("own key")).await.expect_err("refused");
    house.mock.script(Script::bad_key(OWN_KEY));
    let set = house.set_openrouter_key(OPERATOR_KEY, OWN_KEY).await;
    set.expect_err("refused");
    for key in [UNKNOWN_KEY, "sq_live_short", "Basic"] {
        let mut images = house.images(key);
        let refused = images.generate_image(order("stranger")).await;
        refused.expect_err("unknown");
    }
}

#[tokio::test]
async fn neither_keys_nor_prompts_are_logged() {
    let settings = [("RUST_LOG", "debug"), ("KEY_ENCRYPTION_KEY", MASTER_KEY)];
    let served = Served::start(&settings).await;
    work(&served.house).await;
    let keys = [served.house.runtime.clone(), served.house.admin.clone()];
    let (_, ended) = served.stop().await;
    assert_eq!(ended.status, Some(0), "{ended:#?}");
    assert!(ended.stderr.contains("DEBUG"), "{ended:#?}");
    let written = ended.stdout + &ended.stderr;
    let secrets = [
        PROMPT,
        OPENROUTER_KEY,
        OPERATOR_KEY,
        MASTER_KEY,
        OWN_KEY,
        UNKNOWN_KEY,
        &keys[0],
        &keys[1],
    ];
    for secret in secrets {
        assert!(!written.contains(secret), "{secret} is in\n{written}");
    }
}

//! What a process logs of upstream's words when these repeat what nobody may read: a prompt, in
//! whatever form, or a key that does not look like one.

use image_gateway::mock::Script;
use image_gateway::proto;
use serde_json::json;

use super::Served;
use crate::helpers::{OPERATOR_KEY, request};

const PROMPT: &str =
    "Portrait of JANE Quux-Public, born 1980, holding a sign that says “overthrow”";
/// What tells the prompt, in lower case.
const TELLING: [&str; 6] = ["portrait", "jane", "quux", "1980", "holding", "overthrow"];
/// An organization's own key, as another server than OpenRouter may give out.
const ODD_KEY: &str = "weirdprovider.key/with+chars=0123456789";
const ESCAPED_KEY: &str = "weirdprovider.key%2Fwith%2Bchars%3D0123456789";

#[tokio::test]
async fn what_upstream_repeats_of_a_prompt_or_of_an_odd_key_is_in_no_log_and_no_refusal() {
    let served = Served::start(&[("RUST_LOG", "info,image_gateway=trace")]).await;
    let house = &served.house;
    let set = house.set_openrouter_key(OPERATOR_KEY, ODD_KEY).await;
    set.expect("set");
    let mut told = String::new();
    let quoting = [
        PROMPT.to_uppercase(),
        PROMPT.replace(' ', "  "),
        PROMPT.replace(' ', "|"),
        PROMPT.replace(' ', "+"),
        "flagged word(s): \"overthrow\"".to_owned(),
        format!("unknown key {ODD_KEY}"),
        format!("unknown key {ESCAPED_KEY}"),
    ];
    for (n, said) in quoting.iter().enumerate() {
        // The second kind is tried again, and each try is logged.
        for status in [400, 429, 500] {
            let body = json!({ "error": { "code": status, "message": said } });
            house.mock.script(Script::error(status, body).times(3));
            let asked = proto::GenerateImageRequest {
                prompt: PROMPT.to_owned(),
                ..request(&format!("{n}-{status}"))
            };
            let refused = house.generate(asked).await.expect_err("refused");
            told.push_str(&format!("{refused:?}\n"));
            house.mock.clear_scripts();
        }
    }
    let body = json!(format!("boom {ODD_KEY}"));
    house.mock.script(Script::error(500, body).for_path("/key"));
    let unchecked = house.set_openrouter_key(OPERATOR_KEY, ODD_KEY).await;
    told.push_str(&format!("{:?}\n", unchecked.expect_err("not checked")));
    house.mock.clear_scripts();
    let ended = served.close().await;
    let logged = format!("{}{}", ended.stdout, ended.stderr);
    assert!(logged.contains("it quotes the prompt"), "{logged}");
    assert!(logged.contains("it quotes the key"), "{logged}");
    assert!(logged.contains("trying again"), "{logged}");
    assert!(logged.contains("a key could not be checked"), "{logged}");
    for text in [logged, told] {
        let text = text.to_lowercase();
        for word in TELLING.iter().chain(&["weirdprovider", "0123456789"]) {
            let line = text.lines().find(|line| line.contains(word));
            assert!(line.is_none(), "{word} is in {line:?}");
        }
    }
}

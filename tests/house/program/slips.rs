//! Keys that are given where something else belongs: a command says what is wrong, and not with what.

use std::fs;

use super::{Ended, Served, finish, program};
use crate::certificates::Authority;
use crate::helpers::OPERATOR_KEY;

/// A key of each form, none of which opens anything.
const KEYS: [&str; 5] = [
    "sq_live_cAnArY00_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "sk-or-v1-canary0123456789abcdef0123456789abcdef0123456789abcdef",
    "sq_operator_cAnArYAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "c0ffee00c0ffee01c0ffee02c0ffee03c0ffee04c0ffee05c0ffee06c0ffee07",
    "cAnArY+SNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFY=",
];

/// A key without a form: what protects stored keys, or the operator's own words.
const FORMLESS: [&str; 2] = [
    "c0ffee00c0ffee01c0ffee02c0ffee03c0ffee04c0ffee05c0ffee06c0ffee07",
    "canary words of an operator, thirty-two characters and more",
];

/// Where a key can slip to: `{}` is the key, `@` where a gateway is.
const SLIPS: [&[&str]; 22] = [
    &["keys", "list", "{}"],
    &["keys", "list", "--no-such-flag={}"],
    &["keys", "list", "--key-file", "{}", "--json"],
    &["keys", "list", "--address", "{}"],
    &["keys", "list", "--address", "http://{}@nowhere.invalid"],
    &["keys", "list", "--ca-file", "{}", "--address", "https://@"],
    &[
        "keys",
        "list",
        "--gateway-key",
        "{}",
        "--address",
        "@",
        "--json",
    ],
    &["keys", "create", "--role", "{}", "--name", "x"],
    &[
        "keys",
        "create",
        "--role",
        "owner",
        "--name",
        "x",
        "--expires",
        "{}",
    ],
    &["keys", "revoke", "{}", "--address", "@", "--json"],
    &["keys", "set-openrouter", "{}", "--address", "@"],
    &["keys", "set-openrouter", "{}", "--address", "@", "--json"],
    &["keys", "replace-encryption", "{}"],
    &["keys", "{}"],
    &["{}"],
    &["usage", "--from", "{}"],
    &["usage", "--by", "{}"],
    &["models", "--resolution", "{}", "--address", "@"],
    &["audit", "--data-dir", "{}", "--json"],
    &["audit", "--generation", "{}", "--json"],
    &["reconcile", "--bill", "{}", "--json"],
    &["serve", "--listen-addr", "{}"],
];

/// Runs the program with a key in one of its arguments.
async fn slip(arguments: &[&str], key: &str, gateway: &str) -> Ended {
    let filled: Vec<String> = arguments
        .iter()
        .map(|argument| match *argument {
            "@" => gateway.to_owned(),
            "https://@" => format!("https://{gateway}"),
            argument => argument.replace("{}", key),
        })
        .collect();
    let filled: Vec<&str> = filled.iter().map(String::as_str).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = program(&filled);
    command
        .current_dir(folder.path())
        .env("GATEWAY_KEY", OPERATOR_KEY)
        .env("OPENROUTER_BASE_URL", "http://127.0.0.1:1")
        .env("OPENROUTER_API_KEY", KEYS[1]);
    finish(&mut command).await
}

fn assert_kept(ended: &Ended, arguments: &[&str], key: &str) {
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert!(!said.contains(key), "{arguments:?} says {said}");
    assert!(!said.contains(OPERATOR_KEY), "{arguments:?} says {said}");
    assert!(!said.contains("panicked"), "{arguments:?} says {said}");
}

#[tokio::test]
async fn a_key_that_slips_to_where_something_else_belongs_is_not_said_back() {
    let served = Served::start(&[]).await;
    let gateway = served.grpc.to_string();
    for key in KEYS {
        for arguments in SLIPS {
            let ended = slip(arguments, key, &gateway).await;
            assert_ne!(ended.status, Some(0), "{arguments:?} {ended:#?}");
            assert!(ended.stderr.contains("error: "), "{arguments:?} {ended:#?}");
            assert_kept(&ended, arguments, key);
        }
    }
    served.close().await;
}

#[tokio::test]
async fn a_secret_of_the_settings_that_slips_into_another_is_not_said_back() {
    let folder = tempfile::tempdir().expect("a folder");
    for secret in FORMLESS.iter().chain(&KEYS) {
        for other in ["LISTEN_ADDR", "HTTP_ADDR", "UPSTREAM_TIMEOUT"] {
            let mut command = program(&["serve"]);
            command
                .current_dir(folder.path())
                .env("OPENROUTER_API_KEY", "sk-or-v1-0123456789")
                .env("OPERATOR_KEY", secret)
                .env(other, format!("{secret}/=,"));
            let ended = finish(&mut command).await;
            ended.assert_failed(2);
            assert!(ended.stderr.contains(other), "{ended:#?}");
            assert_kept(&ended, &[other], secret);
        }
    }
}

#[tokio::test]
async fn a_secret_in_the_place_of_its_file_is_not_said_back() {
    for key in FORMLESS.iter().chain(&KEYS) {
        for arguments in [
            &["keys", "list", "--key-file", "{}"][..],
            &["keys", "set-openrouter", "{}"],
            &["reconcile", "--openrouter-api-key-file", "{}"],
            &["serve", "--operator-key-file", "{}"],
            &["serve", "--key-encryption-key-file", "{}"],
            &["serve", "--openrouter-api-key-file", "{}"],
        ] {
            let ended = slip(arguments, key, "127.0.0.1:1").await;
            assert_ne!(ended.status, Some(0), "{arguments:?} {ended:#?}");
            assert_kept(&ended, arguments, key);
        }
    }
}

#[tokio::test]
async fn a_certificates_key_in_the_place_of_its_file_is_not_said_back() {
    let pair = Authority::new().sign();
    let body = pair.key.lines().nth(1).expect("a line of the key");
    for arguments in [
        &[
            "serve",
            "--tls-cert-file",
            "cert.pem",
            "--tls-key-file",
            "{}",
        ][..],
        &[
            "serve",
            "--tls-cert-file",
            "{}",
            "--tls-key-file",
            "key.pem",
        ],
        &["serve", "--data-dir", "{}/in", "--listen-addr", "{}"],
        &[
            "keys",
            "list",
            "--address",
            "https://127.0.0.1:1",
            "--client-cert-file",
            "{}",
            "--client-key-file",
            "{}",
        ],
        &["keys", "list", "--key-file", "{}"],
        &["keys", "{}"],
    ] {
        let ended = slip(arguments, &pair.key, "127.0.0.1:1").await;
        assert_ne!(ended.status, Some(0), "{arguments:?} {ended:#?}");
        assert_kept(&ended, arguments, body);
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_or_has_no_key_is_named_without_what_is_in_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    // Two keys on two lines fit into no header, and bytes are no text.
    let two = format!("{}\n{}\n", KEYS[0], KEYS[2]);
    fs::write(place("two"), &two).expect("a file");
    fs::write(place("bytes"), [KEYS[0].as_bytes(), &[0xff, 0xfe]].concat()).expect("a file");
    fs::write(place("empty"), "\n").expect("a file");
    fs::create_dir(place("folder")).expect("a folder");
    for name in ["two", "bytes", "empty", "folder", "absent"] {
        let path = place(name);
        let arguments = ["keys", "list", "--key-file", &path, "--json"];
        let ended = slip(&arguments, "", "127.0.0.1:1").await;
        ended.assert_failed(if name == "empty" { 2 } else { 1 });
        for key in [KEYS[0], KEYS[2]] {
            assert_kept(&ended, &arguments, key);
        }
    }
}

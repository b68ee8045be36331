//! `keys` as its users meet it.

use image_gateway::proto;
use serde_json::Value;

use super::{Served, finish, program};
use crate::helpers::OPERATOR_KEY;

#[tokio::test]
async fn an_operators_key_is_printed_alone_and_said_what_to_do_with() {
    let made = finish(&mut program(&["keys", "create-operator"])).await;
    assert_eq!(made.status, Some(0), "{made:#?}");
    let key = made.stdout.trim_end();
    assert_eq!(made.stdout.lines().count(), 1);
    assert!((32..=256).contains(&key.len()) && key.chars().all(|c| c.is_ascii_graphic()));
    assert!(made.stderr.contains("OPERATOR_KEY_FILE") && !made.stderr.contains(key));
    made.assert_plain();

    let json = finish(&mut program(&["keys", "create-operator", "--json"])).await;
    assert_eq!((json.status, json.stderr.as_str()), (Some(0), ""));
    let json: Value = serde_json::from_str(&json.stdout).expect("JSON");
    let other = json["operator_key"].as_str().expect("a key");
    assert!(other != key && other.len() == key.len());
}

#[tokio::test]
async fn keys_are_made_shown_and_ended_at_a_running_gateway() {
    let served = Served::start(&[]).await;
    let address = served.grpc.to_string();
    let keys = |key: &str, arguments: &[&str]| {
        let (command, rest) = arguments.split_first().expect("a command");
        let mut all = vec!["keys", *command, "--address", address.as_str()];
        all.extend(rest);
        let mut command = program(&all);
        command.env("GATEWAY_KEY", key);
        command
    };
    let made = [
        "create",
        "--organization",
        "acme",
        "--role",
        "owner",
        "--name",
        "boss",
    ];
    let made = finish(&mut keys(OPERATOR_KEY, &made)).await;
    assert_eq!(made.status, Some(0), "{made:#?}");
    let owner = made.stdout.trim_end().to_owned();
    assert!(owner.starts_with("sq_live_") && made.stdout.lines().count() == 1);
    assert!(made.stderr.contains("acme") && !made.stderr.contains(&owner));

    let made = [
        "create",
        "--role",
        "runtime",
        "--name",
        "agents",
        "--expires",
        "2999-12-31",
        "--json",
    ];
    let made = finish(&mut keys(&owner, &made)).await;
    let made: Value = serde_json::from_str(&made.stdout).expect("JSON");
    assert_eq!(made["apiKey"]["role"], "ROLE_RUNTIME");
    assert_eq!(made["apiKey"]["expireTime"], "3000-01-01T00:00:00Z");
    let (id, secret) = (made["apiKey"]["id"].as_str(), made["secret"].as_str());
    let (id, secret) = (id.expect("an id"), secret.expect("a secret"));
    served.house.ask(secret).await.expect("it opens");

    let table = finish(&mut keys(&owner, &["list"])).await;
    assert_eq!((table.status, table.stderr.as_str()), (Some(0), ""));
    table.assert_plain();
    let lines: Vec<&str> = table.stdout.lines().collect();
    assert_eq!(lines.len(), 5, "{lines:#?}");
    let state = lines[0].find("State").expect("a column");
    assert!(
        lines[1].starts_with(id) && lines[1].contains("agents"),
        "{lines:#?}"
    );
    assert!(
        lines[1]
            .chars()
            .skip(state)
            .collect::<String>()
            .starts_with("good until 3000-01-01")
    );
    assert!(
        !table
            .stdout
            .contains(secret.rsplit('_').next().expect("a part"))
    );

    let gone = finish(&mut keys(&owner, &["revoke", id])).await;
    assert_eq!((gone.status, gone.stderr.as_str()), (Some(0), ""));
    assert!(gone.stdout.contains("opens nothing since"), "{gone:#?}");
    served
        .house
        .ask(secret)
        .await
        .expect_err("it opens nothing");
    let again = finish(&mut keys(
        OPERATOR_KEY,
        &["revoke", id, "--organization", "acme", "--json"],
    ))
    .await;
    let again: Value = serde_json::from_str(&again.stdout).expect("JSON");
    assert!(again["revokeTime"].is_string());
    let json = finish(&mut keys(&served.house.admin, &["list", "--json"])).await;
    let json: Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(json["apiKeys"].as_array().expect("keys").len(), 4);
    assert_eq!(json["apiKeys"][0]["revokeTime"], again["revokeTime"]);
    served.close().await;
}

#[tokio::test]
async fn keys_says_what_stands_in_its_way() {
    let served = Served::start(&[]).await;
    let address = served.grpc.to_string();
    let absent = uuid::Uuid::now_v7().to_string();
    let owners = served.house.key("acme", proto::Role::Owner).await;
    for (key, arguments, expected) in [
        (&served.house.runtime, &["list"][..], "PERMISSION_DENIED"),
        (
            &served.house.admin,
            &["revoke", &absent],
            "API_KEY_NOT_FOUND",
        ),
        (&served.house.admin, &["revoke", "x"], "INVALID_REQUEST"),
        (
            &served.house.admin,
            &["create", "--role", "owner", "--name", "x"],
            "PERMISSION_DENIED",
        ),
        (
            &owners,
            &["create", "--role", "owner", "--name", " "],
            "INVALID_REQUEST",
        ),
        (&OPERATOR_KEY.to_owned(), &["list"], "INVALID_REQUEST"),
    ] {
        let (command, rest) = arguments.split_first().expect("a command");
        let mut all = vec!["keys", *command, "--address", address.as_str()];
        all.extend(rest);
        let mut command = program(&all);
        command.env("GATEWAY_KEY", key);
        let failed = finish(&mut command).await;
        failed.assert_failed(1);
        assert!(
            failed.stderr.contains(expected),
            "{arguments:?}: {failed:#?}"
        );
    }
    for wrong in [
        &["keys"][..],
        &["keys", "create", "--role", "king", "--name", "x"],
        &["keys", "create", "--role", "admin"],
        &["keys", "revoke"],
    ] {
        assert_eq!(
            finish(&mut program(wrong)).await.status,
            Some(2),
            "{wrong:?}"
        );
    }
    served.close().await;
}

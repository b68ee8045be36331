//! `keys` as its users meet it.

use image_gateway::mock::Script;
use image_gateway::proto;
use serde_json::Value;

use super::{Served, finish, program, serve};
use crate::helpers::{AGENT, House, OPERATOR_KEY, request};

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
        (&OPERATOR_KEY.to_owned(), &["list"], "--organization"),
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

const OWN_KEY: &str = "sk-or-v1-0123456789abcdef0123456789abcdef-c0de";

#[tokio::test]
async fn an_own_openrouter_key_is_set_from_a_file_or_stdin_and_deleted_at_a_running_gateway() {
    let served = Served::start(&[]).await;
    let address = served.grpc.to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("openrouter.key");
    std::fs::write(&file, format!("{OWN_KEY}\n")).expect("a file");
    let file = file.to_str().expect("a path");
    let keys = |arguments: &[&str]| {
        let mut all = vec!["keys"];
        all.extend(arguments);
        all.extend(["--address", address.as_str()]);
        let mut command = program(&all);
        command.env("GATEWAY_KEY", &served.house.admin);
        command
    };
    let set = finish(&mut keys(&["set-openrouter", file])).await;
    assert_eq!((set.status, set.stderr.as_str()), (Some(0), ""), "{set:#?}");
    let expected = "acme draws with its own key sk-or-v1-…c0de: 1 credit per image";
    assert!(set.stdout.starts_with(expected), "{set:#?}");
    assert!(!set.stdout.contains(OWN_KEY));

    let mut piped = keys(&["set-openrouter", "-", "--json"]);
    piped.stdin(std::fs::File::open(file).expect("the file"));
    let set = finish(&mut piped).await;
    let set: Value = serde_json::from_str(&set.stdout).expect("JSON");
    assert_eq!(set["openrouterKeyMasked"], "sk-or-v1-…c0de");
    assert_eq!(set["keyMode"], "KEY_MODE_ORGANIZATION");

    served.house.mock.script(Script::bad_key(OWN_KEY).times(1));
    let refused = finish(&mut keys(&["set-openrouter", file])).await;
    refused.assert_failed(1);
    assert!(
        refused.stderr.contains("OPENROUTER_KEY_INVALID"),
        "{refused:#?}"
    );
    let absent = finish(&mut keys(&["set-openrouter", "/nowhere/key"])).await;
    absent.assert_failed(1);
    assert!(absent.stderr.contains("/nowhere/key"), "{absent:#?}");

    let gone = finish(&mut keys(&["delete-openrouter"])).await;
    assert_eq!(
        (gone.status, gone.stderr.as_str()),
        (Some(0), ""),
        "{gone:#?}"
    );
    assert!(gone.stdout.contains("the platform's key"), "{gone:#?}");
    served.close().await;
}

/// What one picture was charged with, after its organization has set a key of its own.
async fn drawn(house: &House, request_id: &str) -> i32 {
    let story = house.generate(request(request_id)).await;
    story.expect("a picture").charge().key_mode
}

#[tokio::test]
async fn the_key_encryption_key_is_replaced_and_every_key_goes_on() {
    let own = proto::KeyMode::Organization as i32;
    let served = Served::start(&[]).await;
    let set = served.house.set_openrouter_key(OPERATOR_KEY, OWN_KEY).await;
    set.expect("set");
    let folder = served.house.dir.path().to_owned();
    let data_dir = folder.to_str().expect("a path").to_owned();
    let replace = async |more: &[&str]| {
        let mut all = vec![
            "keys",
            "replace-encryption",
            "--data-dir",
            data_dir.as_str(),
        ];
        all.extend(more);
        finish(&mut program(&all)).await
    };
    let busy = replace(&[]).await;
    busy.assert_failed(1);
    assert!(busy.stderr.contains("another gateway"), "{busy:#?}");

    let (house, _) = served.stop().await;
    let key_file = folder.join("key-encryption-key");
    let before = std::fs::read_to_string(&key_file).expect("a key");
    let done = replace(&[]).await;
    assert_eq!(
        (done.status, done.stderr.as_str()),
        (Some(0), ""),
        "{done:#?}"
    );
    assert!(
        done.stdout.contains("1 OpenRouter key is encrypted anew"),
        "{done:#?}"
    );
    let now = std::fs::read_to_string(&key_file).expect("a key");
    assert!(now != before && !folder.join("key-encryption-key.next").exists());
    // A key that was made before the replacement opens, and the organization's own is read.
    let served = Served::again(house, &[]).await;
    assert_eq!(drawn(&served.house, "after one").await, own);

    // Cut short after the books were changed: the next start finishes it.
    let (house, _) = served.stop().await;
    let twice = replace(&["--json"]).await;
    let twice: Value = serde_json::from_str(&twice.stdout).expect("JSON");
    assert_eq!(
        (&twice["openrouter_keys"], &twice["peppers"]),
        (&1.into(), &2.into())
    );
    std::fs::rename(&key_file, folder.join("key-encryption-key.next")).expect("undone");
    std::fs::write(&key_file, &now).expect("the key of before");
    let served = Served::again(house, &[]).await;
    assert_eq!(drawn(&served.house, "after two").await, own);
    assert!(!folder.join("key-encryption-key.next").exists());

    // To a key of the settings; with another one nothing starts.
    let (house, _) = served.stop().await;
    let new = folder.join("new.key");
    std::fs::write(&new, "5e".repeat(32)).expect("a key");
    let new = new.to_str().expect("a path");
    let moved = replace(&["--new-key-file", new]).await;
    assert_eq!(moved.status, Some(0), "{moved:#?}");
    assert!(
        moved.stderr.contains("KEY_ENCRYPTION_KEY_FILE"),
        "{moved:#?}"
    );
    let wrong = finish(&mut serve(&house, &[])).await;
    wrong.assert_failed(1);
    assert!(
        wrong.stderr.contains("sealed with another key"),
        "{wrong:#?}"
    );
    let lost = replace(&["--key-encryption-key-file", new]).await;
    lost.assert_failed(2);
    let served = Served::again(house, &[("KEY_ENCRYPTION_KEY_FILE", new)]).await;
    assert_eq!(drawn(&served.house, "after three").await, own);
    served.close().await;
}

#[tokio::test]
async fn the_platform_never_pays_for_an_organization_whose_key_it_has_become() {
    let served = Served::start(&[]).await;
    let set = served.house.set_openrouter_key(OPERATOR_KEY, OWN_KEY).await;
    set.expect("set");
    let (house, _) = served.stop().await;
    let served = Served::again(house, &[("OPENROUTER_API_KEY", OWN_KEY)]).await;
    let refused = served.house.generate(request("whose")).await;
    let refused = refused.expect_err("it is the platform's");
    assert_eq!(crate::helpers::reason(&refused), "OPENROUTER_KEY_INVALID");
    assert_eq!(crate::helpers::detail(&refused, "cause"), "platform");
    assert!(served.house.mock.bill().is_empty());
    let status = served.house.organization().await.openrouter_key_status();
    assert_eq!(status, proto::OpenRouterKeyStatus::Invalid);
    let asked = proto::GetGenerateImageToolRequest {
        agent_id: AGENT.to_owned(),
    };
    let mut tools = served.house.tools(&served.house.admin);
    let tool = tools.get_generate_image_tool(asked).await;
    let why = tool.expect("the tool").into_inner().status_reason;
    assert!(why.contains("is not its own"), "{why}");
    assert!(!why.contains("refuses"), "{why}");
    let ended = served.close().await;
    assert!(ended.stderr.contains("is the platform's"), "{ended:#?}");
}

#[tokio::test]
async fn a_key_of_the_gateway_is_not_even_sent_to_the_gateway_as_openrouters() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("openrouter.key");
    let made = finish(&mut program(&["keys", "create-operator"]))
        .await
        .stdout;
    std::fs::write(&file, &made).expect("a file");
    let file = file.to_str().expect("a path");
    // Nobody listens there: whoever called would say so.
    let arguments = ["keys", "set-openrouter", file, "--address", "127.0.0.1:1"];
    let mut command = program(&arguments);
    let ended = finish(command.env("GATEWAY_KEY", OPERATOR_KEY)).await;
    ended.assert_failed(1);
    assert!(ended.stderr.contains("nothing was sent"), "{ended:#?}");
    assert!(!ended.stderr.contains(made.trim()), "{ended:#?}");
}

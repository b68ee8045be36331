//! Asking for help, and asking wrongly.

use super::{finish, program};

/// Every setting of `serve`, as a flag; the variable is its name in capitals.
const SETTINGS: [&str; 19] = [
    "--listen-addr",
    "--http-addr",
    "--tls-cert-file",
    "--tls-key-file",
    "--tls-client-ca-file",
    "--allow-plaintext",
    "--data-dir",
    "--openrouter-base-url",
    "--openrouter-api-key",
    "--openrouter-api-key-file",
    "--operator-key",
    "--operator-key-file",
    "--key-encryption-key",
    "--key-encryption-key-file",
    "--upstream-timeout",
    "--drain-timeout",
    "--max-concurrent-generations",
    "--image-store-quota",
    "--rust-log",
];

/// Every command.
const COMMANDS: [&str; 9] = [
    "serve",
    "demo",
    "generate",
    "usage",
    "models",
    "keys",
    "audit",
    "reconcile",
    "mock-openrouter",
];

#[tokio::test]
async fn every_command_explains_itself_with_an_example() {
    for command in COMMANDS {
        let ended = finish(&mut program(&[command, "--help"])).await;
        assert_eq!(ended.status, Some(0), "{ended:#?}");
        assert_eq!(ended.stderr, "");
        assert!(ended.stdout.contains("Example"), "{ended:#?}");
        assert!(
            ended.stdout.contains(&format!("image-gateway {command}")),
            "{ended:#?}"
        );
        ended.assert_plain();
    }
    let ended = finish(&mut program(&["--help"])).await;
    assert_eq!(ended.status, Some(0), "{ended:#?}");
    for command in COMMANDS.into_iter().chain(["Example"]) {
        assert!(ended.stdout.contains(command), "{ended:#?}");
    }
}

#[tokio::test]
async fn the_help_of_serve_names_every_setting() {
    let help = finish(&mut program(&["serve", "--help"])).await.stdout;
    for flag in SETTINGS.into_iter().chain(["--log-format"]) {
        let flag_shown = help.split_whitespace().any(|word| word == flag);
        assert!(flag_shown, "{flag} is not in\n{help}");
        let variable = flag[2..].replace('-', "_").to_uppercase();
        // Lines are broken anywhere, even in the middle of `[env: …`.
        let named = help
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .any(|word| word == variable);
        assert!(named, "{variable} is not in\n{help}");
    }
}

#[tokio::test]
async fn help_shows_no_secret_that_is_set() {
    let mut command = program(&["serve", "--help"]);
    command
        .env("OPENROUTER_API_KEY", "canary-1")
        .env("OPERATOR_KEY", "canary-2")
        .env("KEY_ENCRYPTION_KEY", "canary-3")
        .env("OPENROUTER_API_KEY_FILE", "canary-4")
        .env("OPERATOR_KEY_FILE", "canary-5")
        .env("KEY_ENCRYPTION_KEY_FILE", "canary-6")
        .env("OPENROUTER_BASE_URL", "https://user:canary-7@example.com");
    let ended = finish(&mut command).await;
    assert_eq!(ended.status, Some(0), "{ended:#?}");
    assert!(!ended.stdout.contains("canary"), "{}", ended.stdout);
}

#[tokio::test]
async fn wrong_usage_ends_with_status_2_and_says_what_was_wrong() {
    for arguments in [
        &["serve", "--no-such-flag"][..],
        &["demo", "--no-such-flag", "a fox"],
        &["mock-openrouter", "--no-such-flag"],
    ] {
        let ended = finish(&mut program(arguments)).await;
        ended.assert_failed(2);
        assert!(ended.stderr.contains("--no-such-flag"), "{ended:#?}");
    }
    finish(&mut program(&["paint"])).await.assert_failed(2);
    finish(&mut program(&["demo"])).await.assert_failed(2);
    let nothing = finish(&mut program(&[])).await;
    assert_eq!((nothing.status, nothing.stdout.as_str()), (Some(2), ""));
}

use std::fs;

use clap::{Args, Command};
use secrecy::ExposeSecret;

use super::*;

const OPERATOR: &str = "an operator's key of 32 letters.";

/// The least that `serve` needs.
fn given() -> Given {
    Given {
        openrouter_api_key: Some("sk-or-v1-platform".into()),
        ..Given::default()
    }
}

fn problems(given: Given) -> Vec<String> {
    let errors = Config::parse(given).unwrap_err();
    errors.problems.iter().map(ToString::to_string).collect()
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn everything_but_the_platforms_key_has_a_default() {
    let config = Config::parse(given()).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:50051");
    assert_eq!(config.http.to_string(), "127.0.0.1:8080");
    assert_eq!(config.data_dir, PathBuf::from("./data"));
    assert_eq!(config.openrouter_base_url, "https://openrouter.ai/api/v1");
    assert_eq!(
        config.openrouter_api_key.expose_secret(),
        "sk-or-v1-platform"
    );
    assert!(config.operator_key.is_none());
    assert!(config.key_encryption_key.is_none());
    assert_eq!(config.upstream_timeout, Duration::from_secs(300));
    assert_eq!(config.drain_timeout, Duration::from_secs(60));
    assert_eq!(config.limits.max_concurrent_generations, 256);
    assert_eq!(config.image_retention, Duration::from_secs(30 * 24 * 3600));
    let quarter = Duration::from_secs(15 * 60);
    assert_eq!(config.catalog_sync_interval, Some(quarter));
    assert_eq!(config.cost_check_after, Some(Duration::from_secs(600)));
    assert_eq!(config.reference_url_allow, []);
    assert_eq!(config.unrationed_addresses, []);
    assert_eq!(config.log.filter, "info");
    assert_eq!(config.log.format, LogFormat::Text);
}

#[test]
fn everything_wrong_is_reported_at_once_with_its_name_and_what_is_accepted() {
    let found = problems(Given {
        listen_addr: text("localhost"),
        http_addr: text("8080"),
        data_dir: text("a\0b"),
        openrouter_base_url: text("openrouter.ai"),
        openrouter_api_key: None,
        operator_key: Some("short".into()),
        key_encryption_key: Some("nonsense".into()),
        upstream_timeout: text("5"),
        drain_timeout: text("2h"),
        max_concurrent_generations: text("0"),
        image_retention: text("0s"),
        catalog_sync_interval: text("8d"),
        cost_check_after: text("999ms"),
        reference_url_allow: text("10.0.0.1/8"),
        unrationed_addresses: text("10.0.0.0/8,proxy.internal"),
        rust_log: text("image_gateway=loud"),
        log_format: text("xml"),
        ..Given::default()
    });
    let expected = [
        r#"LISTEN_ADDR must be an IP address and a port, such as 127.0.0.1:50051 or [::]:0, not "localhost""#,
        r#"UNRATIONED_ADDRESSES must be networks and addresses"#,
        r#"HTTP_ADDR must be an IP address and a port"#,
        r#"DATA_DIR must be the path of a folder"#,
        r#"OPENROUTER_BASE_URL must be an https URL"#,
        r#"OPENROUTER_API_KEY must be set, or OPENROUTER_API_KEY_FILE: the key that pays"#,
        r#"OPERATOR_KEY must be 32 to 256 printable ASCII characters"#,
        r#"KEY_ENCRYPTION_KEY must be 32 bytes as 64 hexadecimal digits or in standard base64"#,
        r#"UPSTREAM_TIMEOUT must be a duration from 1s to 14m, such as 90s or 5m, not "5""#,
        r#"DRAIN_TIMEOUT must be a duration from 0s to 1h, such as 90s or 5m, not "2h""#,
        r#"MAX_CONCURRENT_GENERATIONS must be a whole number from 1 to 100000, not "0""#,
        r#"IMAGE_RETENTION must be a duration from 1s to 3650d, such as 12h or 30d, not "0s""#,
        r#"CATALOG_SYNC_INTERVAL must be a duration from 1s to 7d, such as 15m or 1h, or 0s for never, not "8d""#,
        r#"COST_CHECK_AFTER must be a duration from 1s to 7d, such as 15m or 1h, or 0s for never, not "999ms""#,
        r#"REFERENCE_URL_ALLOW must be hosts, hosts with a port, and networks"#,
        r#"RUST_LOG must be log directives"#,
        r#"LOG_FORMAT must be text or json, not "xml""#,
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}");
    }
}

#[test]
fn plaintext_where_others_could_listen_has_to_be_asked_for() {
    let listen = |address: &str, change: fn(&mut Given)| {
        let mut given = Given {
            listen_addr: text(address),
            ..given()
        };
        change(&mut given);
        Config::parse(given).map(|config| config.tls)
    };
    for address in ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1"] {
        assert_eq!(listen(address, |_| ()), Ok(None));
    }
    for address in ["0.0.0.0:1", "[::]:1", "192.168.1.1:1"] {
        let refused = listen(address, |_| ()).unwrap_err().to_string();
        for word in [
            "LISTEN_ADDR",
            address,
            "TLS_CERT_FILE",
            "ALLOW_PLAINTEXT=true",
        ] {
            assert!(refused.contains(word), "{refused}");
        }
        let allowed = listen(address, |given| given.allow_plaintext = text("true"));
        assert_eq!(allowed, Ok(None));
        let encrypted = listen(address, |given| {
            given.tls_cert_file = text("cert.pem");
            given.tls_key_file = text("key.pem");
        });
        assert_eq!(encrypted.unwrap().unwrap().key, PathBuf::from("key.pem"));
    }
}

#[test]
fn the_files_of_tls_are_set_together_or_not_at_all() {
    let found = |cert: &str, key: &str, ca: &str| {
        problems(Given {
            tls_cert_file: text(cert),
            tls_key_file: text(key),
            tls_client_ca_file: text(ca),
            allow_plaintext: text("maybe"),
            ..given()
        })
    };
    let plaintext = r#"ALLOW_PLAINTEXT must be true or false, not "maybe""#;
    for (files, problem) in [
        (
            ("c", "", ""),
            "TLS_KEY_FILE must be set together with TLS_CERT_FILE",
        ),
        (
            ("", "k", "a"),
            "TLS_CERT_FILE must be set together with TLS_KEY_FILE",
        ),
        (
            ("", "", "a"),
            "TLS_CERT_FILE and TLS_KEY_FILE must be set together with TLS_CLIENT_CA_FILE",
        ),
    ] {
        assert_eq!(found(files.0, files.1, files.2), [plaintext, problem]);
    }
    assert_eq!(found("c", "k", "a"), [plaintext]);
}

#[test]
fn an_empty_setting_counts_as_not_set() {
    let config = Config::parse(Given {
        listen_addr: text(""),
        operator_key: Some("".into()),
        operator_key_file: text(""),
        ..given()
    })
    .unwrap();
    assert_eq!(config.listen.port(), 50051);
    assert!(config.operator_key.is_none());
    let found = problems(Given {
        openrouter_api_key: Some("".into()),
        ..Given::default()
    });
    assert!(
        found[0].starts_with("OPENROUTER_API_KEY must be set"),
        "{found:?}"
    );
}

#[test]
fn every_secret_can_come_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        Some(path.to_str().unwrap().to_owned())
    };
    let config = Config::parse(Given {
        openrouter_api_key_file: file("a", "sk-or-from-a-file\n"),
        operator_key_file: file("b", &format!("  {OPERATOR}\r\n")),
        key_encryption_key_file: file("c", &"0f".repeat(32)),
        ..Given::default()
    })
    .unwrap();
    assert_eq!(
        config.openrouter_api_key.expose_secret(),
        "sk-or-from-a-file"
    );
    assert_eq!(config.operator_key.unwrap().expose_secret(), OPERATOR);
    assert!(config.key_encryption_key.is_some());
}

#[test]
fn a_secret_file_that_is_missing_empty_or_beside_the_secret_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    fs::write(&empty, " \n").unwrap();
    let found = problems(Given {
        openrouter_api_key_file: text("/no/such/file"),
        operator_key_file: text(empty.to_str().unwrap()),
        key_encryption_key: Some("00".repeat(32).into()),
        key_encryption_key_file: text("/no/such/file"),
        ..Given::default()
    });
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found[0].contains("OPENROUTER_API_KEY_FILE must name a readable file"));
    assert!(found[0].contains("/no/such/file"));
    assert!(found[1].contains("OPERATOR_KEY_FILE") && found[1].contains("it is empty"));
    assert!(found[2].contains("KEY_ENCRYPTION_KEY must not be set together"));
}

#[test]
fn a_secret_in_the_wrong_place_is_not_shown_either() {
    let base64 = "/".repeat(43) + "=";
    let found = problems(Given {
        openrouter_base_url: text("https://user:hunter2@openrouter.ai/api/v1"),
        openrouter_api_key_file: text("sk-or-v1-hunter2"),
        operator_key_file: text("hunter2/hunter2"),
        key_encryption_key_file: text(&base64),
        ..Given::default()
    });
    assert_eq!(found.len(), 4, "{found:#?}");
    for problem in found {
        assert!(!problem.contains("hunter2"), "{problem}");
        assert!(!problem.contains(&base64), "{problem}");
    }
}

#[test]
fn secrets_are_shown_neither_in_errors_nor_when_debugged() {
    let secret = "hunter2-é-not-ascii";
    let bad = Given {
        openrouter_api_key: Some(secret.into()),
        operator_key: Some(secret.into()),
        key_encryption_key: Some(secret.into()),
        ..Given::default()
    };
    let mut shown = format!("{bad:?}");
    let errors = Config::parse(bad).unwrap_err();
    assert_eq!(errors.problems.len(), 3);
    shown.push_str(&format!("{errors} {errors:?}"));
    let good = Given {
        operator_key: Some(format!("hunter2{OPERATOR}").into()),
        openrouter_api_key: Some("hunter2".into()),
        ..Given::default()
    };
    shown.push_str(&format!("{good:?} {:?}", Config::parse(good.clone())));
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn the_operators_key_is_any_text_that_a_header_can_carry() {
    for (key, fits) in [
        (OPERATOR.to_owned(), true),
        ("x".repeat(256), true),
        ("x".repeat(31), false),
        ("x".repeat(257), false),
        ("é".repeat(32), false),
        (format!("{}\n", "x".repeat(40)), false),
        (format!(" {}", "x".repeat(40)), false),
    ] {
        let parsed = Config::parse(Given {
            operator_key: Some(key.clone().into()),
            ..given()
        });
        assert_eq!(parsed.is_ok(), fits, "{key:?}");
    }
}

#[test]
fn a_secret_that_is_also_another_is_refused_without_being_said() {
    let (hex, base64) = (
        "ab".repeat(32),
        "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=",
    );
    let same = |api_key: &str, operator: &str, stored: &str| Given {
        openrouter_api_key: Some(api_key.into()),
        operator_key: Some(operator.into()),
        key_encryption_key: Some(stored.into()),
        ..Given::default()
    };
    for (given, told) in [
        (
            same(
                OPERATOR.replace(' ', "-").as_str(),
                &OPERATOR.replace(' ', "-"),
                &hex,
            ),
            "OPERATOR_KEY must not have the value of OPENROUTER_API_KEY as well",
        ),
        (
            same("sk-or-v1-platform", base64, &hex),
            "OPERATOR_KEY must not have the value of KEY_ENCRYPTION_KEY as well",
        ),
        (
            same(&hex.to_uppercase(), OPERATOR, base64),
            "OPENROUTER_API_KEY must not have the value of KEY_ENCRYPTION_KEY as well",
        ),
    ] {
        let found = problems(given);
        assert!(found.len() == 1 && found[0].starts_with(told), "{found:?}");
        assert!(!found[0].contains(&hex[..8]) && !found[0].contains(&base64[..8]));
    }
    Config::parse(same("sk-or-v1-platform", OPERATOR, &hex)).expect("three secrets");
}

#[test]
fn help_names_every_setting_with_its_default() {
    let help = Given::augment_args(Command::new("serve"))
        .term_width(10_000)
        .render_long_help()
        .to_string();
    for (variable, default) in [
        ("LISTEN_ADDR", LISTEN_ADDR),
        ("HTTP_ADDR", HTTP_ADDR),
        ("DATA_DIR", DATA_DIR),
        ("OPENROUTER_BASE_URL", OPENROUTER_BASE_URL),
        ("UPSTREAM_TIMEOUT", UPSTREAM_TIMEOUT),
        ("DRAIN_TIMEOUT", DRAIN_TIMEOUT),
        ("MAX_CONCURRENT_GENERATIONS", MAX_CONCURRENT_GENERATIONS),
        ("IMAGE_STORE_QUOTA", IMAGE_STORE_QUOTA),
        ("IMAGE_RETENTION", IMAGE_RETENTION),
        ("CATALOG_SYNC_INTERVAL", CATALOG_SYNC_INTERVAL),
        ("COST_CHECK_AFTER", COST_CHECK_AFTER),
        ("MAX_CALLS_PER_SECOND", MAX_CALLS_PER_SECOND),
        (
            "MAX_CONCURRENT_PER_ORGANIZATION",
            MAX_CONCURRENT_PER_ORGANIZATION,
        ),
        ("RUST_LOG", RUST_LOG),
        ("LOG_FORMAT", LOG_FORMAT),
    ] {
        let flag = format!("--{}", variable.to_lowercase().replace('_', "-"));
        let entry = help.split(&flag).nth(1).unwrap_or_default();
        let entry = entry.split("\n      --").next().unwrap_or_default();
        let default = format!("[default: {default}]");
        assert!(
            entry.contains(&default),
            "{flag}: {default} is not in {entry}"
        );
        assert!(entry.contains(&format!("[env: {variable}")), "{entry}");
    }
    for variable in [
        "OPENROUTER_API_KEY",
        "OPENROUTER_API_KEY_FILE",
        "OPERATOR_KEY",
        "OPERATOR_KEY_FILE",
        "KEY_ENCRYPTION_KEY",
        "KEY_ENCRYPTION_KEY_FILE",
        "REFERENCE_URL_ALLOW",
        "UNRATIONED_ADDRESSES",
    ] {
        let flag = format!("--{} ", variable.to_lowercase().replace('_', "-"));
        assert!(help.contains(&flag), "{flag} is not in\n{help}");
    }
}

//! What a panic says that happens beside all that holds secrets, in a line of code that shows
//! everything it has.

use std::panic;

use image_gateway::config::{Config, Given};
use image_gateway::keys::{Keyring, Presented};
use image_gateway::openrouter;
use secrecy::{ExposeSecret, SecretString};

use crate::canary::{plant, tells};
use crate::helpers::{OPERATOR_KEY, PLATFORM_KEY, PROMPT};

#[test]
fn a_panic_beside_secrets_says_none_of_them() {
    let config = Config::parse(Given {
        openrouter_api_key: Some(SecretString::from(PLATFORM_KEY)),
        operator_key: Some(SecretString::from(OPERATOR_KEY)),
        key_encryption_key: Some(SecretString::from("5ec2e75ec2e75ec2".repeat(4))),
        ..Given::default()
    })
    .expect("settings");
    let operator = SecretString::from(OPERATOR_KEY);
    let keyring = Keyring::new([0x5e; 32], Some(&operator));
    let minted = keyring.mint().expect("random");
    let secret = minted.secret.expose_secret().to_owned();
    let read = Presented::read(&secret).expect("a key");
    let upstream = openrouter::Config::new(
        "https://openrouter.example".to_owned(),
        SecretString::from(PLATFORM_KEY),
    );
    plant(&secret);
    let said = panic::catch_unwind(panic::AssertUnwindSafe(|| {
        let all = format!("{config:?} {keyring:?} {minted:?} {read:?} {upstream:?}");
        panic::resume_unwind(Box::new(all));
    }));
    let said = said
        .expect_err("a panic")
        .downcast::<String>()
        .expect("a text");
    for part in ["Config", "Keyring", "Minted", "Presented", "REDACTED"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    assert!(!tells(said.as_bytes()), "a secret is in a panic");
    for form in ["5ec2e7", "[94, 94", "0x5e"] {
        assert!(!said.contains(form), "{form} is in {said}");
    }
    // One that does is told.
    assert!(tells(
        format!("at {secret}: index out of bounds").as_bytes()
    ));
    assert!(tells(format!("cannot draw {PROMPT}").as_bytes()));
}

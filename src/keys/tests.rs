//! Keys are known by every bit of their hash, and by nothing else.

use super::*;

fn keyring() -> Keyring {
    let operator = SecretString::from("operator-key-of-at-least-32-characters");
    Keyring::new([7; 32], Some(&operator))
}

fn presented(minted: &Minted) -> Presented {
    Presented::read(minted.secret.expose_secret()).expect("well formed")
}

fn kept(minted: &Minted) -> Option<(&PepperId, &[u8; 32])> {
    Some((&minted.pepper, &minted.mac))
}

#[test]
fn a_fresh_key_is_recognized_by_its_hash_alone() {
    let keyring = keyring();
    let minted = keyring.mint().expect("random");
    assert_eq!(presented(&minted).prefix, minted.prefix);
    assert!(keyring.opens(&presented(&minted), kept(&minted)));
    let other = keyring.mint().expect("random");
    assert!(!keyring.opens(&presented(&minted), kept(&other)));
    assert!(!keyring.opens(&presented(&minted), None));
    let nothing = (&minted.pepper, &NOBODY);
    assert!(!keyring.opens(&presented(&minted), Some(nothing)));
}

#[test]
fn a_key_hashed_with_another_pepper_does_not_open() {
    let minted = keyring().mint().expect("random");
    let other = Keyring::new([8; 32], None);
    assert!(!other.opens(&presented(&minted), kept(&minted)));
    let mine = other.mint().expect("random");
    assert_ne!(mine.pepper, minted.pepper);
    // The hash counts only under the name of the pepper it was made with.
    assert!(!other.opens(&presented(&mine), Some((&minted.pepper, &mine.mac))));
}

#[test]
fn a_key_opens_after_the_pepper_was_replaced_if_the_former_one_is_known() {
    let minted = keyring().mint().expect("random");
    let renewed = Keyring::new([8; 32], None).with_former([[6; 32], [7; 32]]);
    assert!(renewed.opens(&presented(&minted), kept(&minted)));
    let mine = renewed.mint().expect("random");
    assert!(renewed.opens(&presented(&mine), kept(&mine)));
    assert!(!renewed.opens(&presented(&mine), Some((&minted.pepper, &mine.mac))));
    let shown = format!("{renewed:?}");
    assert!(!shown.contains("7, 7"), "{shown}");
}

#[test]
fn an_openrouter_key_is_known_by_what_only_the_pepper_tells() {
    let key = SecretString::from("sk-or-v1-0123456789abcdef0123456789abcdef");
    let other = SecretString::from("sk-or-v1-0123456789abcdef0123456789abcdee");
    let old = keyring();
    let words = old.fingerprint(&key);
    assert_eq!(words.len(), 2 * FINGERPRINT_BYTES);
    assert_eq!(words, old.fingerprint(&key));
    assert_ne!(words, old.fingerprint(&other));
    let renewed = Keyring::new([8; 32], None);
    assert_ne!(
        words,
        renewed.fingerprint(&key),
        "without the pepper, no hash"
    );
    assert!(!renewed.is_known_by(&key, &words));
    let renewed = renewed.with_former([[6; 32], [7; 32]]);
    assert!(renewed.is_known_by(&key, &words));
    assert!(renewed.is_known_by(&key, &renewed.fingerprint(&key)));
    assert!(!renewed.is_known_by(&other, &words));
}

#[test]
fn the_operator_is_known_by_the_configured_key_only() {
    let keyring = keyring();
    let made = mint_operator().expect("random");
    assert!(Keyring::new([7; 32], Some(&made)).is_operator(made.expose_secret()));
    assert!(keyring.is_operator("operator-key-of-at-least-32-characters"));
    assert!(!keyring.is_operator("operator-key-of-at-least-32-character"));
    assert!(!Keyring::new([7; 32], None).is_operator(""));
}

#[test]
fn nothing_secret_is_shown_by_debug() {
    let minted = keyring().mint().expect("random");
    let shown = format!("{minted:?} {:?} {:?}", presented(&minted), keyring());
    assert!(!shown.contains(minted.secret.expose_secret()));
    assert!(!shown.contains("[7, 7"));
}

#[test]
fn a_hash_is_compared_to_its_last_bit() {
    let keyring = keyring();
    let minted = keyring.mint().expect("random");
    for bit in 0..256 {
        let mut other = minted.mac;
        other[bit / 8] ^= 1 << (bit % 8);
        let kept = Some((&minted.pepper, &other));
        assert!(!keyring.opens(&presented(&minted), kept), "bit {bit}");
        assert!(!is_same(&minted.mac, &other), "bit {bit}");
    }
}

#[test]
fn the_operators_key_is_compared_whole() {
    let keyring = keyring();
    let near = |n: u32| format!("operator-key-of-at-least-32-characterr{n}");
    assert!(!(0..2_000).any(|n| keyring.is_operator(&near(n))));
}

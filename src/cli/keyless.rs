//! What a command says on its way out, without keys: one that was given where something else
//! belongs is quoted in an error otherwise, and errors end up in logs and tickets.

use std::borrow::Cow;
use std::env;

/// How the keys begin that are made here and at OpenRouter.
const HEADS: [&str; 3] = ["sq_live_", "sq_operator_", "sk-or-"];

/// What follows in every one of them, and in no example.
const CHARS_LEAST: usize = 4;

/// Hexadecimal digits of a key of keys; as many or more in a row are withheld.
const HEX_DIGITS: usize = 64;

/// Characters of 32 bytes in base64, of either alphabet, without the `=` that may follow.
const BASE64_CHARS: usize = 43;

/// Variables whose value is a secret: it may have any form.
const SECRETS: [&str; 4] = [
    "OPERATOR_KEY",
    "KEY_ENCRYPTION_KEY",
    "OPENROUTER_API_KEY",
    "GATEWAY_KEY",
];

/// Shorter values of these are no secrets yet, and stand in other words.
const SECRET_CHARS_LEAST: usize = 16;

/// Where a key was.
const WITHHELD: &str = "[a key]";

/// How a private key in PEM begins and ends (RFC 7468), and what both lines say.
const PEM: (&str, &str, &str) = ("-----BEGIN ", "-----END ", "PRIVATE KEY-----");

/// A text without the keys in it, and without the secrets of this process.
pub(super) fn keyless(text: &str) -> Cow<'_, str> {
    let secrets = SECRETS.iter().filter_map(|name| {
        // Clap says what was mistyped before it has handed over what is in the environment.
        env::var_os(name)?.into_string().ok()
    });
    let secrets: Vec<String> = secrets.collect();
    without(text, &secrets)
}

fn without<'a>(text: &'a str, secrets: &[String]) -> Cow<'a, str> {
    let mut shown = Cow::Borrowed(text);
    for secret in secrets.iter().map(|secret| secret.trim()) {
        if secret.len() >= SECRET_CHARS_LEAST && shown.contains(secret) {
            shown = Cow::Owned(shown.replace(secret, WITHHELD));
        }
    }
    for step in [without_pem, without_tokens, without_raw] {
        if let Some(without) = step(&shown) {
            shown = Cow::Owned(without);
        }
    }
    shown
}

/// A text without the private keys in it, if it has any. Of one that is cut off everything behind its
/// beginning goes.
fn without_pem(text: &str) -> Option<String> {
    let (begin, end, what) = PEM;
    let (before, key) = text.split_once(begin)?;
    if !key.contains(what) {
        return None;
    }
    let last = key
        .split_once(end)
        .and_then(|(_, last)| last.split_once(what));
    let after = last.map_or("", |(_, after)| after);
    // There may be another.
    let rest = without_pem(after).unwrap_or_else(|| after.to_owned());
    Some(format!("{before}{WITHHELD}{rest}"))
}

/// A text without what begins as a key, if it has any.
fn without_tokens(text: &str) -> Option<String> {
    let mut shown = String::new();
    let (mut rest, mut withheld) = (text, false);
    while let Some(start) = head(rest) {
        let (before, from) = rest.split_at(start);
        shown.push_str(before);
        let end = from.find(|c| !is_key_char(c)).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        let known = HEADS.iter().find(|head| word.starts_with(**head));
        let is_key = known.is_some_and(|head| word.len() >= head.len() + CHARS_LEAST);
        shown.push_str(if is_key { WITHHELD } else { word });
        withheld |= is_key;
        rest = after;
    }
    shown.push_str(rest);
    // How a key begins may stand in an example.
    withheld.then_some(shown)
}

/// A text without what has the form of the key of keys, if it has any. Neither an id, a path nor the
/// name of a model has it.
fn without_raw(text: &str) -> Option<String> {
    let mut shown = String::new();
    let (mut rest, mut withheld) = (text, false);
    while let Some(start) = rest.find(is_base64_char) {
        let (before, from) = rest.split_at(start);
        shown.push_str(before);
        let end = from.find(|c| !is_base64_char(c)).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        let is_key = is_raw(word);
        shown.push_str(if is_key { WITHHELD } else { word });
        withheld |= is_key;
        rest = after;
    }
    shown.push_str(rest);
    withheld.then_some(shown)
}

/// Whether a word is a key of keys, or has one between the slashes of a path or at its end. Keys in
/// base64 may have and begin with signs that paths and flags have, too.
fn is_raw(word: &str) -> bool {
    let hex = |c: char| !c.is_ascii_hexdigit();
    let cut = word.len().checked_sub(BASE64_CHARS);
    let (before, last) = cut
        .and_then(|cut| word.split_at_checked(cut))
        .unwrap_or_default();
    let apart = before.is_empty() || before.ends_with(['/', '-']);
    word.split(hex).any(|run| run.len() >= HEX_DIGITS)
        || (apart && is_base64_key(last))
        || word.split('/').any(is_base64_key)
}

/// Whether a word is 32 bytes in base64. Random ones have digits and letters of both cases, but for
/// one in a thousand; paths rarely have all and this length.
fn is_base64_key(word: &str) -> bool {
    let has = |kind: fn(&u8) -> bool| word.as_bytes().iter().any(kind);
    let varied =
        has(u8::is_ascii_digit) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase);
    varied
        && word.len() == BASE64_CHARS
        && [base64_simd::STANDARD_NO_PAD, base64_simd::URL_SAFE_NO_PAD]
            .iter()
            .any(|alphabet| alphabet.check(word.as_bytes()).is_ok())
}

const fn is_base64_char(c: char) -> bool {
    is_key_char(c) || matches!(c, '+' | '/')
}

/// Where the first key may begin.
fn head(text: &str) -> Option<usize> {
    HEADS.iter().filter_map(|head| text.find(head)).min()
}

const fn is_key_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_withheld_wherever_they_stand() {
        for (text, shown) in [
            ("no such file", "no such file"),
            ("", ""),
            ("sq_live_AbCd0123_xyz", "[a key]"),
            (
                "at http://sq_live_AbCd0123:50051/",
                "at http://[a key]:50051/",
            ),
            ("'sk-or-v1-0123', sq_operator_abcd.", "'[a key]', [a key]."),
            (
                "set GATEWAY_KEY=sq_live_… first",
                "set GATEWAY_KEY=sq_live_… first",
            ),
            ("sq_live_ sq_live_abcdé", "sq_live_ [a key]é"),
            (
                "cannot read -----BEGIN EC PRIVATE KEY-----\nMIG\n-----END EC PRIVATE KEY-----\n: sk-or-v1-0",
                "cannot read [a key]\n: [a key]",
            ),
            ("-----BEGIN PRIVATE KEY-----\\nMIGcut off", "[a key]"),
            (
                "-----BEGIN CERTIFICATE-----\nMIG",
                "-----BEGIN CERTIFICATE-----\nMIG",
            ),
        ] {
            let told = without(text, &[]);
            assert_eq!(told, shown);
            assert_eq!(matches!(told, Cow::Borrowed(_)), text == shown, "{text}");
        }
    }

    #[test]
    fn the_key_of_keys_is_withheld_and_what_people_have_to_read_is_not() {
        let hex = "9f".repeat(32);
        let standard = "q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k=";
        let url_safe = "-83v_SNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k";
        let slashed = "/83v/SNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k=";
        for key in [&hex, &hex.to_uppercase(), standard, url_safe, slashed] {
            for text in [
                key.to_owned(),
                format!("invalid value '{key}' for '--listen-addr <ADDRESS>'"),
                format!("unexpected argument '--{key}' found"),
                format!("LISTEN_ADDR={key}"),
                format!("http://{key}:50051/"),
                format!("cannot read /run/secrets/{key}"),
                format!("{key}\n"),
            ] {
                let told = without(&text, &[]);
                assert!(!told.contains(&key[8..40]), "{told}");
                assert!(told.contains(WITHHELD), "{told}");
            }
        }
        for text in [
            "no generation 01936b0c-7d2a-7000-8000-000000000001",
            "cannot read /home/operator/Projects/image-gateway/Data2/keys",
            "black-forest-labs/flux.2-pro-Preview-2026-11-28-of-a-Kind",
            "HTTP 401 from https://openrouter.ai/api/v1",
            "0123456789abcdef0123456789abcdef is half a hash",
        ] {
            assert_eq!(without(text, &[]), text);
        }
    }

    #[test]
    fn a_secret_of_this_process_is_withheld_whatever_its_form() {
        let secrets = ["an operator's own phrase".to_owned(), "short".to_owned()];
        let told = without(
            "invalid value 'an operator's own phrase': too short",
            &secrets,
        );
        assert_eq!(told, "invalid value '[a key]': too short");
    }
}

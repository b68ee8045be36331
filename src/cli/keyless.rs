//! What a command says on its way out, without keys: one that was given where something else
//! belongs is quoted in an error otherwise, and errors end up in logs and tickets.

use std::borrow::Cow;

/// How the keys begin that are made here and at OpenRouter.
const HEADS: [&str; 3] = ["sq_live_", "sq_operator_", "sk-or-"];

/// What follows in every one of them, and in no example.
const CHARS_LEAST: usize = 4;

/// Where a key was.
const WITHHELD: &str = "[a key]";

/// How a private key in PEM begins and ends (RFC 7468), and what both lines say.
const PEM: (&str, &str, &str) = ("-----BEGIN ", "-----END ", "PRIVATE KEY-----");

/// A text without the keys in it.
pub(super) fn keyless(text: &str) -> Cow<'_, str> {
    match without_pem(text) {
        Some(without) => Cow::Owned(without_tokens(&without).into_owned()),
        None => without_tokens(text),
    }
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

fn without_tokens(text: &str) -> Cow<'_, str> {
    let mut shown = String::new();
    let mut has_any = false;
    let mut rest = text;
    while let Some(start) = head(rest) {
        let (before, from) = rest.split_at(start);
        shown.push_str(before);
        let end = from.find(|c| !is_key_char(c)).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        let known = HEADS.iter().find(|head| word.starts_with(**head));
        let is_key = known.is_some_and(|head| word.len() >= head.len() + CHARS_LEAST);
        shown.push_str(if is_key { WITHHELD } else { word });
        has_any |= is_key;
        rest = after;
    }
    if !has_any {
        return Cow::Borrowed(text);
    }
    shown.push_str(rest);
    Cow::Owned(shown)
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
            let without = keyless(text);
            assert_eq!(without, shown);
            // What is left as it is can be printed as it came, in colours.
            assert_eq!(matches!(without, Cow::Borrowed(_)), text == shown);
        }
    }
}

//! The splicer against serde_json: whatever the document, whatever the chunks, cutting pictures
//! out while they pass gives the same as reading the whole and cutting then.

use proptest::prelude::*;
use serde_json::{Map, Value};

use crate::openrouter::splice::{Gate, SpliceError, Splicer, Token};

/// Pictures and skeleton of a text that arrives in pieces.
fn splice(pieces: &[&[u8]], gate: Gate) -> Result<(Vec<String>, Vec<u8>), SpliceError> {
    let mut splicer = Splicer::new(gate);
    let mut pictures = Vec::new();
    let mut open = Vec::new();
    for piece in pieces {
        let mut input = *piece;
        while let Some(token) = splicer.next(&mut input)? {
            match token {
                Token::Run(run) => open.extend_from_slice(run),
                Token::Few(few) => open.extend_from_slice(few.as_slice()),
                Token::Ended => {
                    let text = String::from_utf8(std::mem::take(&mut open)).expect("ASCII");
                    pictures.push(text);
                }
            }
        }
        assert!(input.is_empty(), "all of a piece is taken");
    }
    splicer.finish().map(|skeleton| (pictures, skeleton))
}

fn whole(text: &str) -> Result<(Vec<String>, Value), SpliceError> {
    let (pictures, skeleton) = splice(&[text.as_bytes()], Gate::Open)?;
    Ok((pictures, serde_json::from_slice(&skeleton).expect("JSON")))
}

/// Cuts the pictures out of a document that is held whole.
fn cut_out(value: &mut Value, under_image_url: bool, pictures: &mut Vec<String>) {
    match value {
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| cut_out(item, false, pictures)),
        Value::Object(fields) => {
            for (key, field) in fields {
                let may_be_url = key == "image_url" || (key == "url" && under_image_url);
                match field {
                    Value::String(text) if key == "b64_json" => {
                        pictures.push(data_url(text).unwrap_or(text).to_owned());
                        text.clear();
                    }
                    Value::String(text) if may_be_url => {
                        if let Some(picture) = data_url(text) {
                            pictures.push(picture.to_owned());
                            text.clear();
                        }
                    }
                    other => cut_out(other, key == "image_url", pictures),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn data_url(text: &str) -> Option<&str> {
    let (head, rest) = text.split_once(',')?;
    let head = head.to_ascii_lowercase();
    (head.starts_with("data:") && head.ends_with(";base64")).then_some(rest)
}

/// Writes a document with the odd but legal spellings that `whims` choose.
fn write(value: &Value, whims: &mut impl Iterator<Item = u8>, out: &mut String) {
    out.push_str(["", " ", "\n\t", "  \r\n "][usize::from(whims.next().unwrap_or(0) % 4)]);
    match value {
        Value::String(text) => write_string(text, whims, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                write(item, whims, out);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            out.push('{');
            for (index, (key, field)) in fields.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                write_string(key, whims, out);
                out.push_str([":", " : "][usize::from(whims.next().unwrap_or(0) % 2)]);
                write(field, whims, out);
            }
            out.push('}');
        }
        plain => out.push_str(&plain.to_string()),
    }
}

fn write_string(text: &str, whims: &mut impl Iterator<Item = u8>, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match (c, whims.next().unwrap_or(0) % 8) {
            ('/', 0..4) => out.push_str("\\/"),
            ('"' | '\\', _) => out.extend(['\\', c]),
            ('\n', 0..4) => out.push_str("\\n"),
            (c, whim) if c.is_control() || whim == 0 => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            (c, _) => out.push(c),
        }
    }
    out.push('"');
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("b64_json".to_owned()),
        Just("image_url".to_owned()),
        Just("url".to_owned()),
        Just("type".to_owned()),
        "[a-zé\"\\\\{\\[]{0,12}",
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Za-z0-9+/=]{0,40}",
        "(data|DATA|dat|data:):?[a-z/+;]{0,12}(;base64|;Base64)?,?[A-Za-z0-9+/]{0,12}",
        Just("data:image/png;base64,iVBORw0KGgo=".to_owned()),
        Just("https://example.com/a.png".to_owned()),
        "[ -~]{0,20}",
    ]
}

/// Strings under `b64_json` have only characters that a picture may have (`Latin-1` at most).
fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        text().prop_map(Value::String),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            proptest::collection::vec((key(), inner), 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// A bare string that begins like a data URL and is none is refused; the reader of the whole
/// cannot know.
fn is_refused(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(is_refused),
        Value::Object(fields) => fields.iter().any(|(key, field)| match field {
            Value::String(text) if key == "b64_json" => {
                text.to_ascii_lowercase().starts_with("data:") && data_url(text).is_none()
            }
            other => is_refused(other),
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

proptest! {
    #[test]
    fn pictures_are_cut_out_as_if_the_whole_were_read(
        document in document(),
        whims in proptest::collection::vec(0u8.., 64),
        cuts in proptest::collection::vec(0usize..2000, 0..12),
    ) {
        let mut text = String::new();
        write(&document, &mut whims.iter().copied().cycle().take(5000), &mut text);
        prop_assert_eq!(&serde_json::from_str::<Value>(&text).expect("JSON"), &document);
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let pieces: Vec<_> = cuts.windows(2).map(|pair| &text.as_bytes()[pair[0]..pair[1]]).collect();
        let spliced = splice(&pieces, Gate::Open);
        if is_refused(&document) && spliced.is_err() {
            return Ok(());
        }
        let (pictures, skeleton) = spliced.expect("a picture's text has no other characters");
        let mut expected = Vec::new();
        let mut remains = document;
        cut_out(&mut remains, false, &mut expected);
        // An empty string begins no picture.
        expected.retain(|picture| !picture.is_empty());
        let pictures: Vec<_> = pictures.into_iter().filter(|picture| !picture.is_empty()).collect();
        // Both go through the keys in their order: serde_json sorts them, and so were they written.
        prop_assert_eq!(pictures, expected);
        prop_assert_eq!(serde_json::from_slice::<Value>(&skeleton).expect("JSON"), remains);
    }

    #[test]
    fn no_bytes_make_it_panic_or_depend_on_chunks(
        text in "[\\[\\]{}:,\"\\\\ubdat_json64AB/é \n]{0,60}",
        at in 0usize..80,
    ) {
        let bytes = text.as_bytes();
        let (front, back) = bytes.split_at(at.min(bytes.len()));
        let one_by_one: Vec<_> = bytes.chunks(1).collect();
        let whole = splice(&[bytes], Gate::Open);
        prop_assert_eq!(&splice(&[front, back], Gate::Open), &whole);
        prop_assert_eq!(&splice(&one_by_one, Gate::Open), &whole);
    }
}

#[test]
fn keys_are_compared_after_unescaping() {
    let (pictures, rest) = whole(r#"{"b64\u005fjson":"AA\/\u0042=="}"#).expect("spliced");
    assert_eq!(pictures, ["AA/B=="]);
    assert_eq!(rest, serde_json::json!({"b64_json": ""}));
    for other in ["b64_jso", "b64_json_", "B64_JSON", "b64_json\\u0000"] {
        let (pictures, _) = whole(&format!(r#"{{"{other}":"AAAA"}}"#)).expect("spliced");
        assert!(pictures.is_empty(), "{other}");
    }
}

#[test]
fn a_link_is_no_picture_and_stays() {
    let text = r#"{"image_url":{"url":"https://example.com/a.png"},"url":"data:a;base64,AA"}"#;
    let (pictures, rest) = whole(text).expect("spliced");
    assert!(pictures.is_empty());
    assert_eq!(rest, serde_json::from_str::<Value>(text).expect("JSON"));
}

#[test]
fn a_text_that_ends_early_is_cut_off_wherever_it_ends() {
    let text = r#"{"data":[{"b64_json":"AAAA","x":"a\"b"}],"usage":{"cost":0.04}}"#;
    for end in 1..text.len() {
        let result = splice(&[&text.as_bytes()[..end]], Gate::Open);
        assert_eq!(result, Err(SpliceError::Truncated), "{}", &text[..end]);
    }
}

#[test]
fn brackets_must_match_and_not_be_too_many() {
    for text in ["]", "{]", "[}", "{\"a\":[}"] {
        assert_eq!(whole(text).map(drop), Err(SpliceError::Malformed), "{text}");
    }
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(whole(&nested(64)).is_ok());
    assert_eq!(whole(&nested(65)).map(drop), Err(SpliceError::Malformed));
}

#[test]
fn a_character_that_no_base64_has_is_refused() {
    for text in [r"\u0100", r"\ud83d", r"\x", r"\uzzzz"] {
        let document = format!(r#"{{"b64_json":"AAAA{text}"}}"#);
        assert!(whole(&document).is_err(), "{text}");
    }
}

#[test]
fn a_bare_control_character_is_refused_even_where_it_would_be_cut_out() {
    for text in [
        "{\"image_url\":\"data:im\u{c}age/png;base64,AAAA\"}",
        "{\"image_url\":{\"url\":\"data:\n;base64,AAAA\"}}",
        "{\"b64_json\":\"\0AAA\"}",
    ] {
        assert_eq!(
            whole(text).map(drop),
            Err(SpliceError::Malformed),
            "{text:?}"
        );
    }
}

#[test]
fn long_texts_lose_their_end_and_remain_texts() {
    // Characters of several bytes and escapes, so that a careless cut would leave no JSON.
    for filling in ["é", "狐", r"\u00e9x", r"\ud83d\ude00é", "x", r#"\"y"#] {
        let long = filling.repeat((300 << 10) / filling.len());
        let text = format!(r#"{{"thought":"{long}","b64_json":"AAAA","after":1}}"#);
        let at_once = splice(&[text.as_bytes()], Gate::Open).expect("spliced");
        assert_eq!(at_once.0, ["AAAA"], "{filling}");
        assert!((64 << 10..66 << 10).contains(&at_once.1.len()), "{filling}");
        let value: Value = serde_json::from_slice(&at_once.1).expect("JSON");
        assert_eq!(value["after"], 1, "{filling}");
        for size in [1, 7, 4096] {
            let pieces: Vec<_> = text.as_bytes().chunks(size).collect();
            assert_eq!(
                splice(&pieces, Gate::Open).as_ref(),
                Ok(&at_once),
                "{filling} by {size}"
            );
        }
    }
}

#[test]
fn what_is_beside_the_pictures_has_a_cap() {
    let mut splicer = Splicer::new(Gate::Open);
    let result = (0..1000).try_for_each(|_| {
        let mut input = &[b'['; 1][..];
        let mut digits = &[b'1'; 4096][..];
        if splicer.held_bytes() == 0 {
            splicer.next(&mut input)?;
        }
        splicer.next(&mut digits).map(drop)
    });
    assert_eq!(result, Err(SpliceError::TooLarge));
    assert!(
        splicer.held_bytes() <= (1 << 20) + 4096,
        "{}",
        splicer.held_bytes()
    );
    // White space is not worth keeping, however much of it comes.
    let mut splicer = Splicer::new(Gate::Open);
    for _ in 0..1000 {
        splicer.next(&mut &[b' '; 4096][..]).expect("white space");
    }
    assert!(splicer.held_bytes() < 1024);
}

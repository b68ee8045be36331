//! The decoder alone: the same events however the bytes arrive, within bounded memory.

use bytes::Bytes;

use super::{Pictures, fixture, sample};
use crate::openrouter::base64::encode;
use crate::openrouter::decoder::{Decoder, Framing};
use crate::ports::DrawCause::{ImageInvalid, NoImage, OutputRejected, PromptRejected, Unavailable};
use crate::ports::{DrawCause, DrawEvent, Receipt};

const IMAGE_CAP_BYTES: u64 = 48 << 20;

/// What a body comes to: its pictures, and its receipt or the cause of its failure.
type Decoded = (Vec<Vec<u8>>, Result<Receipt, DrawCause>);

/// Decodes a body in pieces, as the client would; gives the most bytes held, too.
fn decode(content_type: &str, pieces: &[&[u8]]) -> (Decoded, usize) {
    let framing = Framing::of_content_type(content_type);
    let mut decoder = Decoder::new(framing, IMAGE_CAP_BYTES);
    let mut pictures = Pictures::default();
    let mut held = 0;
    let ending = (|| {
        for piece in pieces {
            decoder.feed(Bytes::copy_from_slice(piece));
            while let Some(event) = decoder.poll()? {
                held = held.max(decoder.held_bytes());
                pictures.take(event);
            }
            held = held.max(decoder.held_bytes());
        }
        decoder.finish()
    })();
    let ending = match ending {
        Ok(receipt) => Ok(receipt),
        Err(_) if decoder.is_worth_keeping() => Ok(decoder.salvage()),
        Err(error) => Err(error.cause),
    };
    ((pictures.complete, ending), held)
}

fn json(body: &str) -> Decoded {
    decode("application/json", &[body.as_bytes()]).0
}

fn stream(body: &str) -> Decoded {
    decode("text/event-stream", &[body.as_bytes()]).0
}

#[test]
fn every_sample_split_at_every_byte_comes_to_the_same() {
    let folder = format!("{}/tests/fixtures/openrouter", env!("CARGO_MANIFEST_DIR"));
    let mut checked = 0;
    for entry in std::fs::read_dir(folder).expect("the folder") {
        let name = entry
            .expect("an entry")
            .file_name()
            .into_string()
            .expect("UTF-8");
        let (content_type, body) = match name.as_str() {
            stream if stream.ends_with(".sse") => ("text/event-stream", fixture(&name).into()),
            answer if answer.starts_with("chat-200") || answer.starts_with("images-200") => {
                ("application/json", sample(&name).wire())
            }
            _ => continue,
        };
        let (whole, _) = decode(content_type, &[&body]);
        for at in 0..=body.len() {
            let (front, back) = body.split_at(at);
            assert_eq!(
                decode(content_type, &[front, back]).0,
                whole,
                "{name} at {at}"
            );
        }
        let bytes: Vec<_> = body.chunks(1).collect();
        assert_eq!(decode(content_type, &bytes).0, whole, "{name} byte by byte");
        checked += 1;
    }
    assert_eq!(checked, 19);
}

#[test]
fn ten_megabytes_pass_through_a_few_kilobytes() {
    let picture: Vec<u8> = (0..10 << 20)
        .map(|i: u32| i.to_le_bytes()[0] ^ i.to_le_bytes()[2])
        .collect();
    let text = encode(&picture);
    let unary = format!(r#"{{"data":[{{"b64_json":"{text}"}}],"usage":{{"cost":0.04}}}}"#);
    let events = format!(
        "data: {{\"type\":\"image_generation.completed\",\"b64_json\":\"{text}\",\
         \"usage\":{{\"cost\":0.04}}}}\n\ndata: [DONE]\n\n"
    );
    let chat = format!(
        "data: {{\"choices\":[{{\"delta\":{{\"images\":[{{\"image_url\":{{\"url\":\
         \"data:image/png;base64,{text}\"}}}}]}}}}],\"usage\":{{\"cost\":0.04}}}}\n\n"
    );
    for (content_type, body) in [
        ("application/json; charset=utf-8", unary),
        ("text/event-stream", events),
        ("Text/Event-Stream;x=y", chat),
    ] {
        for size in [1000, 16_384, 300_000] {
            let pieces: Vec<_> = body.as_bytes().chunks(size).collect();
            let ((pictures, ending), held) = decode(content_type, &pieces);
            assert!(pictures == [picture.as_slice()], "{content_type} by {size}");
            assert_eq!(
                ending.expect("a receipt").cost.expect("a cost").to_string(),
                "0.04"
            );
            assert!(held <= 72 << 10, "{held} bytes held");
        }
    }
}

#[test]
fn a_picture_over_the_cap_is_refused_before_it_is_whole() {
    let mut decoder = Decoder::new(Framing::Json, 30_000);
    let endless = encode(&[7; 3000]);
    decoder.feed(Bytes::from_static(br#"{"data":[{"b64_json":""#));
    assert_eq!(decoder.poll().expect("begun"), None);
    let error = (0..11).find_map(|_| {
        decoder.feed(Bytes::from(endless.clone()));
        loop {
            match decoder.poll() {
                Ok(Some(_)) => {}
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        }
    });
    assert_eq!(error.expect("over the cap").cause, ImageInvalid);
}

#[test]
fn previews_of_a_stream_are_no_pictures() {
    let preview = r#"data: {"type":"image_generation.partial_image","b64_json":"UFJF"}"#;
    let done = r#"data: {"type":"image_generation.completed","b64_json":"RE9ORQ=="}"#;
    let (pictures, ending) = stream(&format!("{preview}\n\n{done}\n\n{preview}\n\n"));
    assert_eq!(pictures, [b"DONE"]);
    assert_eq!(ending, Ok(Receipt::default()));
    let (pictures, ending) = stream(&format!("{preview}\n\ndata: [DONE]\n\n"));
    assert_eq!((pictures.len(), ending), (0, Ok(Receipt::default())));
}

#[test]
fn a_stream_may_name_the_event_before_its_data_but_not_after_its_picture() {
    let late = r#"data: {"b64_json":"RE9ORQ==","type":"image_generation.completed"}"#;
    let named = format!("event: image_generation.completed\n{late}\n\n");
    assert_eq!(stream(&named).0, [b"DONE"]);
    let (pictures, ending) = stream(&format!("{late}\n\n"));
    assert_eq!((pictures.len(), ending), (0, Err(Unavailable)));
    let escaped = r#"data: {"type":"image\u005fgeneration.completed","b64_json":"RE9ORQ=="}"#;
    assert_eq!(stream(&format!("{escaped}\n\n")).0, [b"DONE"]);
    let preview = r#"data: {"b64_json":"RE9ORQ==","type":"image_generation.partial_image"}"#;
    let (pictures, ending) = stream(&format!("{preview}\n\n"));
    assert_eq!((pictures.len(), ending), (0, Ok(Receipt::default())));
}

#[test]
fn an_answer_without_a_picture_says_why() {
    let choice = |fields: &str| format!(r#"{{"choices":[{{{fields}}}]}}"#);
    let safety = r#""finish_reason":"stop","native_finish_reason":"IMAGE_SAFETY""#;
    let filtered = r#""finish_reason":"content_filter","message":{"content":"No."}"#;
    let refusal = r#""message":{"content":null,"refusal":"I will not."}"#;
    let parts = r#""message":{"content":[{"type":"text","text":"I can't."}]}"#;
    let error = r#""finish_reason":"error""#;
    let typed = r#""error":{"code":400,"message":"x","metadata":{"error_type":"refusal"}}"#;
    let link = r#""message":{"images":[{"image_url":{"url":"https://a.example/b.png"}}]}"#;
    for (body, ending) in [
        (choice(safety), Err(OutputRejected)),
        (choice(filtered), Err(OutputRejected)),
        (choice(refusal), Err(NoImage)),
        (choice(parts), Err(NoImage)),
        (choice(error), Err(Unavailable)),
        (choice(typed), Err(PromptRejected)),
        // A link is not followed: upstream could point anywhere.
        (choice(link), Ok(Receipt::default())),
        (
            r#"{"data":[{"b64_json":""}]}"#.to_owned(),
            Ok(Receipt::default()),
        ),
        (
            r#"{"data":[{"b64_json":null}]}"#.to_owned(),
            Ok(Receipt::default()),
        ),
        (r#"{"error":"out of paint"}"#.to_owned(), Err(Unavailable)),
        ("{}".to_owned(), Err(Unavailable)),
        ("[]".to_owned(), Err(Unavailable)),
        (r#"["gen-1",null,[]]"#.to_owned(), Err(Unavailable)),
        ("null".to_owned(), Err(Unavailable)),
        ("".to_owned(), Err(Unavailable)),
        (
            "<!DOCTYPE html><title>\"{\"</title>".to_owned(),
            Err(Unavailable),
        ),
        (r#"{"data":[]} trailing"#.to_owned(), Err(Unavailable)),
        // A form feed is white space to ASCII and not to JSON, wherever it stands.
        ("\x0c{\"data\":[]}".to_owned(), Err(Unavailable)),
        ("{\"data\":\x0c[]}".to_owned(), Err(Unavailable)),
        ("{\"data\":[]}\x0c".to_owned(), Err(Unavailable)),
    ] {
        assert_eq!(json(&body), (Vec::new(), ending), "{body}");
    }
}

#[test]
fn a_picture_counts_more_than_whatever_is_said_beside_it() {
    let image = r#""images":[{"image_url":"data:image/png;base64,RE9ORQ=="}]"#;
    for fields in [
        format!(r#""message":{{"content":"sorry",{image}}},"finish_reason":"content_filter""#),
        format!(r#""message":{{{image}}},"finish_reason":"error","error":{{"code":502}}"#),
    ] {
        let (pictures, ending) = json(&format!(r#"{{"choices":[{{{fields}}}]}}"#));
        assert_eq!(pictures, [b"DONE"]);
        assert!(ending.is_ok(), "{fields}");
    }
}

#[test]
fn a_picture_is_kept_however_odd_the_cost_beside_it_is() {
    let image = r#""images":[{"image_url":{"url":"data:image/png;base64,RE9ORQ=="}}]"#;
    let completed = r#""type":"image_generation.completed","b64_json":"RE9ORQ==""#;
    for cost in [
        "NaN",
        "00.014",
        "-Infinity",
        "+0.02",
        "0x1",
        "1.",
        ".5",
        "{]",
        "tru",
    ] {
        let usage = format!(r#""usage":{{"cost":{cost}}}"#);
        let event = |fields: &str| format!("data: {{{fields},{usage}}}\n\ndata: [DONE]\n\n");
        for (content_type, body) in [
            (
                "application/json",
                format!(r#"{{"data":[{{"b64_json":"RE9ORQ=="}}],{usage}}}"#),
            ),
            (
                "application/json",
                format!(r#"{{"choices":[{{"message":{{{image}}}}}],{usage}}}"#),
            ),
            ("text/event-stream", event(completed)),
            (
                "text/event-stream",
                event(&format!(r#""choices":[{{"delta":{{{image}}}}}]"#)),
            ),
        ] {
            let whole = decode(content_type, &[body.as_bytes()]).0;
            assert_eq!(
                whole,
                (vec![b"DONE".to_vec()], Ok(Receipt::default())),
                "{body}"
            );
            for at in 0..=body.len() {
                let (front, back) = body.as_bytes().split_at(at);
                assert_eq!(
                    decode(content_type, &[front, back]).0,
                    whole,
                    "{body} at {at}"
                );
            }
        }
    }
}

#[test]
fn an_event_that_cannot_be_read_costs_no_picture_after_it() {
    let done = r#"data: {"type":"image_generation.completed","b64_json":"RE9ORQ=="}"#;
    let usage = r#"data: {"usage":{"cost":0.04}}"#;
    for odd in [
        "data: {\"usage\":{\"cost\":NaN}}",
        "data: hello",
        "data: {\"a\":\"b",
    ] {
        let (pictures, ending) = stream(&format!("{done}\n\n{odd}\n\n{done}\n\n{usage}\n\n"));
        assert_eq!(pictures, [b"DONE", b"DONE"], "{odd}");
        let cost = ending.expect("kept").cost.expect("a cost");
        assert_eq!(cost.to_string(), "0.04", "{odd}");
        let (pictures, ending) = stream(&format!("{odd}\n\n{usage}\n\n"));
        assert_eq!((pictures.len(), ending), (0, Err(Unavailable)), "{odd}");
    }
    // One that ends within a picture is the end: the next would be taken for its rest.
    let open = r#"data: {"type":"image_generation.completed","b64_json":"RE9O"#;
    let (pictures, ending) = stream(&format!("{open}\n\n{done}\n\n"));
    assert_eq!((pictures.len(), ending), (0, Err(Unavailable)));
}

#[test]
fn a_picture_that_is_no_base64_is_invalid_even_after_a_good_one() {
    for bad in [
        "A",
        "AA=A",
        "AA AA",
        "<base64>",
        "AAAA\\n",
        "\\u0100",
        "data:text/plain,AAAA",
    ] {
        let body = format!(r#"{{"data":[{{"b64_json":"RE9ORQ=="}},{{"b64_json":"{bad}"}}]}}"#);
        let (pictures, ending) = json(&body);
        assert_eq!(pictures, [b"DONE"], "{bad}");
        assert!(
            matches!(ending, Err(ImageInvalid)) || bad.starts_with("data:") && ending.is_ok(),
            "{bad}: {ending:?}"
        );
    }
}

#[test]
fn a_broken_picture_after_a_good_one_is_invalid_wherever_it_is_split() {
    let images = r#"{"image_url":"data:;base64,RE9ORQ=="},{"image_url":"data:;base64,AAAA<AAA"}"#;
    let body = format!(r#"{{"choices":[{{"message":{{"images":[{images}]}}}}]}}"#);
    for at in 0..=body.len() {
        let (front, back) = body.as_bytes().split_at(at);
        let ((pictures, ending), _) = decode("application/json", &[front, back]);
        assert_eq!(pictures, [b"DONE"], "at {at}");
        assert_eq!(ending, Err(ImageInvalid), "at {at}");
    }
}

#[test]
fn texts_of_a_stream_are_joined_and_capped() {
    let chunk = format!(
        "data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n",
        "é".repeat(500)
    );
    let image = "data: {\"choices\":[{\"delta\":{\"images\":[{\"image_url\":{\"url\":\"data:;base64,RE9ORQ\"}}]}}]}\n\n";
    let (pictures, ending) = stream(&(chunk.repeat(100) + image));
    let text = ending.expect("a receipt").text;
    assert_eq!(pictures, [b"DONE"]);
    assert!(
        text.len() <= 64 << 10 && text.len() > 63 << 10,
        "{}",
        text.len()
    );
    assert!(text.chars().all(|c| c == 'é'));
}

#[test]
fn small_pictures_are_not_parted() {
    let mut decoder = Decoder::new(Framing::Json, IMAGE_CAP_BYTES);
    decoder.feed(Bytes::from_static(br#"{"data":[{"b64_json":"RE9ORQ=="}]}"#));
    let mut events = Vec::new();
    while let Some(event) = decoder.poll().expect("good") {
        events.push(event);
    }
    let bytes = DrawEvent::ImageBytes(Bytes::from_static(b"DONE"));
    assert_eq!(
        events,
        [DrawEvent::ImageStarted, bytes, DrawEvent::ImageFinished]
    );
}

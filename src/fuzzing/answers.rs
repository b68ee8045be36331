//! Answers: pictures and costs come out as if the answer had been held whole.

use std::borrow::Cow;

use super::reading::{self, Reading};
use super::{SINGLY_MAX_BYTES, split};
use crate::openrouter::probe::{self, Decoded, Ending};
use crate::ports::{Billed, DrawError, DrawEvent, Receipt};

/// The cap on a picture of a call.
const IMAGE_CAP_BYTES: u64 = 48 << 20;

/// A cap that small inputs reach.
const LOW_IMAGE_CAP_BYTES: u64 = 100;

/// Bodies up to here cannot reach a cap of the decoder's, so nothing but their content counts.
const SMALL_BODY_BYTES: usize = 60 << 10;

/// What the decoder may hold beside the skeleton of the answer: the decoded bytes it gathers, and
/// small change.
const HELD_MAX_BYTES: usize = (64 << 10) + 2048;

/// The most bytes of a picture that are given on at once (`ports::DrawEvent`).
const PIECE_MAX_BYTES: usize = 64 << 10;

/// Stands for this many characters of base64, so that small inputs make large pictures.
const STRETCHED: u8 = b'~';
const STRETCHED_BYTES: usize = 8 << 10;
const STRETCHED_TIMES: usize = 20;

/// What came of an answer, put together.
#[derive(Debug, PartialEq)]
pub(super) struct Result {
    pub(super) pictures: Vec<Vec<u8>>,
    pub(super) complete: bool,
    /// `None` if nothing is kept.
    pub(super) receipt: Option<Receipt>,
    /// What the failure says: cause, whether billed, id.
    failure: Option<(String, Billed, Option<String>)>,
    /// In pico-dollars.
    pub(super) cost: Option<i64>,
}

pub(super) fn check(data: &[u8]) {
    let Some(([kind, sizes @ ..], body)) = data.split_first_chunk::<4>() else {
        return;
    };
    let body = &*stretched(body);
    if kind.eq_ignore_ascii_case(&b'r') {
        return check_record(body);
    }
    let cap_bytes = if kind.is_ascii_uppercase() {
        LOW_IMAGE_CAP_BYTES
    } else {
        IMAGE_CAP_BYTES
    };
    let (content_type, reading) = if kind.eq_ignore_ascii_case(&b's') {
        ("text/event-stream", Reading::of_stream(body))
    } else {
        ("application/json", Reading::of_document(body))
    };
    let run = |pieces: &[&[u8]]| assembled(probe::decode(content_type, cap_bytes, pieces), body);
    let result = run(&[body]);
    let mut splits = vec![split(body, *sizes)];
    if body.len() <= SINGLY_MAX_BYTES {
        splits.push(body.chunks(1).collect());
    }
    for pieces in splits {
        assert_eq!(run(&pieces), result, "in {} pieces", pieces.len());
    }
    compare(&result, &reading, cap_bytes, body);
}

/// Holds what came of an answer against the reading of the whole.
pub(super) fn compare(result: &Result, reading: &Reading, cap_bytes: u64, body: &[u8]) {
    let small = body.len() <= SMALL_BODY_BYTES;
    let fits = |picture: &Vec<u8>| u64::try_from(picture.len()).is_ok_and(|len| len <= cap_bytes);
    let whole = reading.pictures.iter().map_while(Option::as_ref);
    let good: Vec<_> = whole.take_while(|picture| fits(picture)).collect();
    // In a stream, pictures of events that are none of ours are dropped without a look.
    let dropped =
        reading.stream && (memchr::memmem::find(body, b"b64").is_some() || body.contains(&b'\\'));
    let all_good = good.len() == reading.pictures.len();
    if reading.readable && reading.certain {
        let common = good.len().min(result.pictures.len());
        let same = good.iter().zip(&result.pictures).all(|(a, b)| *a == b);
        assert!(same, "pictures differ");
        assert_eq!(common, result.pictures.len(), "a picture too many");
    }
    if reading.certain && reading.readable && result.complete {
        assert_eq!(result.cost, reading.cost(), "the cost");
        assert!(all_good, "a picture that is none was passed over");
        assert_eq!(result.pictures.len(), good.len(), "a picture is lost");
    }
    if reading.certain && !result.complete {
        let said = reading.costs.is_empty() || reading.costs.contains(&result.cost);
        let unknown = !reading.readable && dropped;
        assert!(
            said || unknown,
            "a cost that nobody said: {:?}",
            result.cost
        );
    }
    if !reading.readable && result.complete && small {
        assert!(dropped, "no JSON, and yet an answer");
    }
    if reading.clean && all_good && small {
        assert_eq!(result.pictures.len(), good.len(), "a picture is lost");
        assert!(result.complete || good.is_empty(), "{result:?}");
        assert_eq!(result.cost, reading.cost(), "the cost of a clean answer");
    }
}

fn check_record(body: &[u8]) {
    let cost = probe::record_cost(body).map(crate::domain::money::UsdCost::pico);
    assert!(cost.is_none_or(|pico| pico >= 0));
    if let Some(expected) = reading::record_cost(body) {
        assert_eq!(cost, expected, "the cost of a record");
    }
}

/// Puts the events together, and checks what must hold of them whatever the answer is.
pub(super) fn assembled(decoded: Decoded, body: &[u8]) -> Result {
    let held_max = HELD_MAX_BYTES + 2 * body.len();
    assert!(
        decoded.held_bytes <= held_max,
        "{} held",
        decoded.held_bytes
    );
    let mut pictures = Vec::new();
    let mut open: Option<Vec<u8>> = None;
    for event in decoded.events {
        match event {
            DrawEvent::ImageStarted => {
                let before = open.replace(Vec::new());
                assert!(before.is_none(), "a picture within a picture");
            }
            DrawEvent::ImageBytes(bytes) => {
                assert!((1..=PIECE_MAX_BYTES).contains(&bytes.len()));
                assert!(open.is_some(), "bytes outside of a picture");
                open.iter_mut()
                    .for_each(|open| open.extend_from_slice(&bytes));
            }
            DrawEvent::ImageFinished => {
                assert!(open.is_some(), "an end without a beginning");
                pictures.extend(open.take());
            }
            DrawEvent::Finished(_) => unreachable!("the call says this, not its decoder"),
        }
    }
    let mut result = Result {
        pictures,
        complete: matches!(decoded.ending, Ending::Complete(_)),
        receipt: None,
        failure: None,
        cost: None,
    };
    let cost = match decoded.ending {
        Ending::Complete(receipt) | Ending::Salvaged(receipt) => {
            assert!(result.complete || !result.pictures.is_empty());
            assert!(open.is_none(), "a picture without an end");
            check_receipt(&receipt);
            result.receipt.insert(receipt).cost
        }
        Ending::Failed(error) => {
            check_failure(&error);
            let cause = format!("{:?}", error.cause);
            result.failure = Some((cause, error.billed, error.upstream_id));
            error.cost
        }
    };
    result.cost = cost.map(crate::domain::money::UsdCost::pico);
    assert!(result.cost.is_none_or(|pico| pico >= 0), "{result:?}");
    result
}

fn check_receipt(receipt: &Receipt) {
    assert!(receipt.text.len() <= 64 << 10);
    check_id(receipt.upstream_id.as_deref());
}

/// What every failure says is fit for a log (`ports::DrawError`).
pub(super) fn check_failure(error: &DrawError) {
    let detail = &error.detail;
    assert!(detail.chars().count() <= 500, "{detail}");
    assert!(!detail.chars().any(char::is_control), "{detail:?}");
    let longest = detail
        .split(|c: char| !c.is_ascii_alphanumeric())
        .map(str::len)
        .max();
    assert!(longest.is_none_or(|longest| longest < 32), "{detail}");
    check_id(error.upstream_id.as_deref());
}

fn check_id(id: Option<&str>) {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    assert!(
        id.is_none_or(|id| (1..=128).contains(&id.len()) && id.bytes().all(plain)),
        "{id:?}"
    );
}

fn stretched(body: &[u8]) -> Cow<'_, [u8]> {
    if !body.contains(&STRETCHED) {
        return Cow::Borrowed(body);
    }
    let mut long = Vec::new();
    let mut times = 0;
    for byte in body {
        if *byte == STRETCHED && times < STRETCHED_TIMES {
            times += 1;
            long.resize(long.len() + STRETCHED_BYTES, b'A');
        } else {
            long.push(*byte);
        }
    }
    Cow::Owned(long)
}

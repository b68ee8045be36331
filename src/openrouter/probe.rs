//! The decoder as a fuzzer drives it: bytes in pieces in, all that came of them out. Nothing is
//! decided here; what must hold of it is said by whoever asks. Not part of a normal build.

use bytes::Bytes;
use jiff::Timestamp;

use super::classify::{Refusal, RefusalBody, retry_after};
use super::decoder::{Decoder, Framing};
use super::lenient::Object;
pub(crate) use super::lists::probe::{endpoints, image_models, models, whole};
use super::splice::EventKind;
use super::sse::{Lines, Part};
use super::wire::Record;
use crate::domain::money::UsdCost;
use crate::ports::{DrawError, DrawEvent, Receipt};

/// What came of an answer.
#[derive(Debug)]
pub(crate) struct Decoded {
    /// In their order.
    pub(crate) events: Vec<DrawEvent>,
    pub(crate) ending: Ending,
    /// The most bytes held between two events.
    pub(crate) held_bytes: usize,
}

/// How an answer ended.
#[derive(Debug)]
pub(crate) enum Ending {
    /// As it should.
    Complete(Receipt),
    /// Badly, after a picture that is kept.
    Salvaged(Receipt),
    /// Badly, and nothing is kept.
    Failed(DrawError),
}

/// What the frame of a stream says.
#[derive(Debug)]
pub(crate) enum Framed {
    /// A piece of an event's data.
    Data(Bytes),
    /// The event names itself: is it the one with the complete picture?
    Named { completed: bool },
    /// The event is over.
    End,
}

/// Decodes the pieces of a body as a call does.
pub(crate) fn decode(content_type: &str, image_cap_bytes: u64, pieces: &[&[u8]]) -> Decoded {
    let framing = Framing::of_content_type(content_type);
    let mut decoder = Decoder::new(framing, image_cap_bytes);
    let mut events = Vec::new();
    let mut held_bytes = 0;
    let ending = (|| {
        for piece in pieces {
            decoder.feed(Bytes::copy_from_slice(piece));
            while let Some(event) = decoder.poll()? {
                held_bytes = held_bytes.max(decoder.held_bytes());
                events.push(event);
            }
            held_bytes = held_bytes.max(decoder.held_bytes());
        }
        decoder.finish()
    })();
    let ending = match ending {
        Ok(receipt) => Ending::Complete(receipt),
        Err(_) if decoder.is_worth_keeping() => Ending::Salvaged(decoder.salvage()),
        Err(error) => Ending::Failed(error),
    };
    Decoded {
        events,
        ending,
        held_bytes,
    }
}

/// Cuts the pieces of a stream into parts of at most so many bytes.
pub(crate) fn frame(pieces: &[&[u8]], part_bytes: usize) -> Vec<Framed> {
    let mut lines = Lines::default();
    let mut parts = Vec::new();
    for piece in pieces {
        let mut wire = Bytes::copy_from_slice(piece);
        while let Some(part) = lines.next(&mut wire, part_bytes) {
            parts.push(part);
        }
    }
    parts.extend(lines.finish());
    let framed = |part| match part {
        Part::Data(bytes) => Framed::Data(bytes),
        Part::Named(kind) => Framed::Named {
            completed: kind == EventKind::Completed,
        },
        Part::End => Framed::End,
    };
    parts.into_iter().map(framed).collect()
}

/// What a refusal means, and whether the call is tried again.
pub(crate) fn refusal(
    status: u16,
    advised: Option<&str>,
    now: Timestamp,
    body: &[u8],
) -> (DrawError, bool) {
    let refusal = Refusal {
        status,
        retry_after: advised.and_then(|value| retry_after(value, now)),
        upstream_id: None,
        body: RefusalBody::read(body),
    };
    let error = refusal.to_error();
    let retryable = refusal.is_retryable(&error);
    (error, retryable)
}

/// The cost in a record of a past call.
pub(crate) fn record_cost(body: &[u8]) -> Option<UsdCost> {
    let Object::<Record>(record) = serde_json::from_slice(body).ok()?;
    record.cost()
}

//! What must hold of upstream's bytes, whatever they are. Each entry point takes an input, feeds it
//! to the real code, and panics if a promise is broken, so that libFuzzer (`fuzz/`) and a plain
//! test can both call it. Compiled for tests and with the feature `fuzzing`, otherwise not there.
//!
//! The promises are compared with readers of their own: [`amounts`] reads decimals by comparing
//! digits, [`json`] holds documents whole, [`stream`] cuts lines as the specification tells them.
//! They share nothing with the code they judge but serde's grammar and the base64 table.

pub mod amounts;
mod answers;
pub mod dose;
mod json;
mod lists;
mod pictures;
mod reading;
mod refusals;
pub mod seeds;
mod stream;

/// Bodies up to here are also given byte by byte, which is slow.
const SINGLY_MAX_BYTES: usize = 256;

/// An entry point.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name of its binary under `fuzz/fuzz_targets`.
    pub name: &'static str,
    /// Panics if the input breaks a promise.
    pub check: fn(&[u8]),
    /// In a dose, one input for so many of the others: some wait for a disk.
    pub every: u64,
}

/// All entry points.
pub const TARGETS: [Target; 6] = [
    Target {
        name: "decode",
        check: decode,
        every: 1,
    },
    Target {
        name: "cost",
        check: cost,
        every: 1,
    },
    Target {
        name: "error_body",
        check: error_body,
        every: 1,
    },
    Target {
        name: "sse",
        check: sse,
        every: 1,
    },
    Target {
        name: "picture",
        check: picture,
        every: 20,
    },
    Target {
        name: "lists",
        check: lists,
        every: 1,
    },
];

/// An answer of either door, or a record of a past call: its pictures and its cost come out as if
/// it had been held whole, however it is split, and no more is held than promised. The input: one
/// byte that says what it is (`s` a stream, `r` a record, in capitals with a low cap on pictures,
/// anything else one JSON text), three that say how it is split, and the body.
pub fn decode(data: &[u8]) {
    answers::check(data);
}

/// The text of a cost: read exactly, or refused.
pub fn cost(data: &[u8]) {
    amounts::check(data);
}

/// A refusal: a line with the status and perhaps `Retry-After`, and the body, in which the bytes 1
/// and 2 stand for a key that must never be seen and `~` for a blob. Its meaning is always
/// something that can be logged.
pub fn error_body(data: &[u8]) {
    refusals::check(data);
}

/// A stream: three bytes that say how it is split, and its lines.
pub fn sse(data: &[u8]) {
    stream::check(data);
}

/// A picture: what the gallery keeps is a picture of a possible size. The first byte `+` asks for
/// a correct checksum in a PNG's header, which no fuzzer would ever guess.
pub fn picture(data: &[u8]) {
    pictures::check(data);
}

/// An answer of which the list of models is made: one byte that says which (`m` a page of models,
/// `i` the image models, anything else the endpoints of one), and the body. What is listed is what
/// is told, in bounded texts, and can be taken over by the domain.
pub fn lists(data: &[u8]) {
    lists::check(data);
}

/// Cuts a body into pieces whose sizes follow from three bytes: small ones, or some of many
/// kilobytes.
fn split(body: &[u8], sizes: [u8; 3]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut rest = body;
    for size in sizes.into_iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let length = match usize::from(size) {
            large @ 240.. => (large - 239) << 12,
            small => small + 1,
        };
        let (piece, after) = rest.split_at(length.min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

#[cfg(test)]
mod tests;

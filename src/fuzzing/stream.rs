//! `text/event-stream`, cut as the specification tells it (HTML, 9.2.6) with the whole of it at
//! hand. A byte order mark is not taken off, and a line without a colon is passed over: both are
//! nothing that OpenRouter sends, and neither can make a picture or a cost.

use super::{SINGLY_MAX_BYTES, split};
use crate::openrouter::probe::{self, Framed};

/// The name of the event that carries the complete picture.
const COMPLETED: &[u8] = b"image_generation.completed";

/// What JSON takes as white space (RFC 8259, section 2).
pub(super) const JSON_SPACE: &[u8] = b" \t\n\r";

/// An event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// Its data, lines ended by line feeds.
    pub(super) data: Vec<u8>,
    /// Whether it names itself before its data, and if so as the one with the complete picture.
    pub(super) named: Option<bool>,
}

/// The events of a stream that have data.
pub(super) fn events(stream: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    let mut event = Event::default();
    let lines = lines(stream);
    let mut lines = lines.iter().peekable();
    while let Some(line) = lines.next() {
        if line.is_empty() && lines.peek().is_some() {
            events.push(std::mem::take(&mut event));
            continue;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => {
                event.data.extend_from_slice(value);
                event.data.push(b'\n');
            }
            b"event" if event.is_blank() => event.named = Some(value == COMPLETED),
            _ => {}
        }
    }
    events.push(event);
    events.retain(|event| !event.is_blank());
    events
}

pub(super) fn check(data: &[u8]) {
    let Some((sizes, stream)) = data.split_first_chunk() else {
        return;
    };
    let expected = normal(events(stream));
    let part_bytes = usize::from(sizes[0]) + 1;
    let mut splits = vec![
        (split(stream, *sizes), part_bytes),
        (vec![stream], usize::MAX),
    ];
    if stream.len() <= SINGLY_MAX_BYTES {
        splits.push((stream.chunks(1).collect(), part_bytes));
    }
    for (pieces, part_bytes) in splits {
        let parts = probe::frame(&pieces, part_bytes);
        for part in &parts {
            if let Framed::Data(bytes) = part {
                assert!(!bytes.is_empty(), "an empty part");
                assert!(bytes.len() <= part_bytes, "{} bytes", bytes.len());
            }
        }
        assert_eq!(
            normal(joined(parts)),
            expected,
            "in {} pieces",
            pieces.len()
        );
    }
}

/// Lines without their ends, of any of the three kinds.
fn lines(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut lines = vec![Vec::new()];
    let mut bytes = stream.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\r' | b'\n' => {
                if byte == b'\r' {
                    bytes.next_if_eq(&b'\n');
                }
                lines.push(Vec::new());
            }
            _ => {
                if let Some(line) = lines.last_mut() {
                    line.push(byte);
                }
            }
        }
    }
    lines
}

/// Puts the parts of events together.
fn joined(parts: Vec<Framed>) -> Vec<Event> {
    let mut events = Vec::new();
    let mut event = Event::default();
    for part in parts {
        match part {
            Framed::Data(bytes) => event.data.extend_from_slice(&bytes),
            Framed::Named { completed } if event.is_blank() => event.named = Some(completed),
            Framed::Named { .. } => {}
            Framed::End => events.push(std::mem::take(&mut event)),
        }
    }
    assert!(event.is_blank(), "data without an end: {event:?}");
    events.retain(|event| !event.is_blank());
    events
}

/// Whether a line feed stands at the end of the data, and whether an empty line of data counts,
/// makes no difference to JSON.
fn normal(events: Vec<Event>) -> Vec<(Vec<Vec<u8>>, Option<bool>)> {
    let lines = |data: Vec<u8>| -> Vec<Vec<u8>> {
        let lines = data.split(|byte| *byte == b'\n');
        lines
            .filter(|line| !line.is_empty())
            .map(<[u8]>::to_vec)
            .collect()
    };
    events
        .into_iter()
        .map(|event| (lines(event.data), event.named))
        .collect()
}

// === impl Event ===

impl Event {
    /// Whether it says nothing so far.
    fn is_blank(&self) -> bool {
        self.data.iter().all(|byte| JSON_SPACE.contains(byte))
    }
}

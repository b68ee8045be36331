//! The lines of `text/event-stream`, without ever holding one: a picture is a single line of
//! megabytes. Comments and unknown fields are skipped; what is data is passed on as it comes.

use bytes::{Buf, Bytes};
use memchr::memchr2;

use super::splice::EventKind;

/// The longest field name that matters (`event`), and one more to tell longer ones apart.
const NAME_CAP_BYTES: usize = 6;

/// The longest event name that matters, and one more.
const EVENT_CAP_BYTES: usize = 32;

/// Cuts a stream into lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    place: Place,
    /// The name of the field, or of the event, as far as it has come.
    scratch: Vec<u8>,
    /// The last byte was a carriage return, so that a line feed belongs to it.
    after_return: bool,
    /// Data or a name came since the last blank line.
    has_begun: bool,
}

/// What a stream is made of.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A piece of data.
    Data(Bytes),
    /// The event at hand says what it is.
    Named(EventKind),
    /// The event is complete; it may have had a name alone.
    End,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// In the name of a field, or before it.
    #[default]
    Name,
    /// After the colon of `data`, where one space does not count.
    BeforeData,
    /// In the data.
    Data,
    /// In the value of `event`.
    Event,
    /// In a comment or a field that does not matter.
    Skipped,
}

impl Lines {
    /// Takes from the front of `input` up to the next part, which has at most `limit` bytes;
    /// `None` when all of it is taken.
    pub(super) fn next(&mut self, input: &mut Bytes, limit: usize) -> Option<Part> {
        while let Some(first) = input.first().copied() {
            if std::mem::take(&mut self.after_return) && first == b'\n' {
                input.advance(1);
                continue;
            }
            if matches!(first, b'\n' | b'\r') {
                input.advance(1);
                self.after_return = first == b'\r';
                if let Some(part) = self.end_line() {
                    return Some(part);
                }
                continue;
            }
            match self.place {
                Place::Name => {
                    input.advance(1);
                    self.name_byte(first);
                }
                Place::BeforeData => {
                    self.place = Place::Data;
                    if first == b' ' {
                        input.advance(1);
                    }
                }
                Place::Data => return Some(Part::Data(take_line(input, limit))),
                Place::Event => {
                    let value = take_line(input, EVENT_CAP_BYTES);
                    let room = EVENT_CAP_BYTES.saturating_sub(self.scratch.len());
                    self.scratch
                        .extend_from_slice(&value[..value.len().min(room)]);
                }
                Place::Skipped => drop(take_line(input, usize::MAX)),
            }
        }
        None
    }

    /// Ends the stream: an event without its blank line counts as complete, as far as it came.
    pub(super) fn finish(&mut self) -> Option<Part> {
        std::mem::take(&mut self.has_begun).then_some(Part::End)
    }

    fn name_byte(&mut self, byte: u8) {
        if byte != b':' {
            if self.scratch.len() < NAME_CAP_BYTES {
                self.scratch.push(byte);
            }
            return;
        }
        self.place = match self.scratch.as_slice() {
            b"data" => Place::BeforeData,
            b"event" => Place::Event,
            _ => Place::Skipped,
        };
        self.has_begun |= self.place != Place::Skipped;
        self.scratch.clear();
    }

    fn end_line(&mut self) -> Option<Part> {
        let blank = self.place == Place::Name && self.scratch.is_empty();
        let part = match self.place {
            Place::Name if blank => self.finish(),
            // Lines of one event are joined by a line feed.
            Place::Data => Some(Part::Data(Bytes::from_static(b"\n"))),
            Place::Event => {
                let name = self.scratch.strip_prefix(b" ").unwrap_or(&self.scratch);
                Some(Part::Named(EventKind::named(name)))
            }
            Place::Name | Place::BeforeData | Place::Skipped => None,
        };
        self.place = Place::Name;
        self.scratch.clear();
        part
    }
}

/// Takes at most `limit` bytes of the line at hand.
fn take_line(input: &mut Bytes, limit: usize) -> Bytes {
    let within = &input[..input.len().min(limit)];
    let length = memchr2(b'\n', b'\r', within).unwrap_or(within.len());
    input.split_to(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data of every event, joined, with its name.
    fn events(stream: &str, chunk: usize) -> Vec<(String, Option<EventKind>)> {
        let mut lines = Lines::default();
        let mut events = Vec::new();
        let mut data = Vec::new();
        let mut name = None;
        let mut take = |part| match part {
            Part::Data(bytes) => data.extend_from_slice(&bytes),
            Part::Named(kind) => name = Some(kind),
            Part::End => {
                let text = String::from_utf8(std::mem::take(&mut data)).expect("UTF-8");
                let name = name.take().filter(|_| !text.is_empty());
                events.push((text.trim_end().to_owned(), name));
            }
        };
        for piece in stream.as_bytes().chunks(chunk) {
            let mut input = Bytes::copy_from_slice(piece);
            while let Some(part) = lines.next(&mut input, 7) {
                take(part);
            }
        }
        if let Some(part) = lines.finish() {
            take(part);
        }
        events
    }

    #[test]
    fn lines_are_framed_alike_however_they_arrive() {
        let stream = ": a comment\n\ndata: {\"a\":1}\n\ndata:{\"b\":\r\ndata: 2}\r\n\r\n\
            id: 7\rdata: c\r\rdatax: no\ndat: no\n\nevent: image_generation.completed\n\
            retry: 1\ndata: d\n\nevent: other\ndata:  e\n\n\n\ndata: [DONE]";
        let whole = events(stream, stream.len());
        let expected = [
            ("{\"a\":1}", None),
            ("{\"b\":\n2}", None),
            ("c", None),
            ("d", Some(EventKind::Completed)),
            (" e", Some(EventKind::Other)),
            ("[DONE]", None),
        ];
        let shown: Vec<_> = whole
            .iter()
            .map(|(data, name)| (data.as_str(), *name))
            .collect();
        assert_eq!(shown, expected);
        for chunk in 1..stream.len() {
            assert_eq!(events(stream, chunk), whole, "in chunks of {chunk}");
        }
    }

    #[test]
    fn a_name_is_for_its_own_event_alone() {
        let name = "event: image_generation.completed";
        for (stream, expected) in [
            (
                format!("{name}\ndata: a\n\ndata: b\n\n"),
                [Some(EventKind::Completed), None].as_slice(),
            ),
            // An event without data is over, too.
            (format!("{name}\n\ndata: b\n\n"), &[None, None]),
            // One space belongs to the colon, whatever else stands there to the name.
            (
                format!("event:      {}X\ndata: b\n\n", &name[7..]),
                &[Some(EventKind::Other)],
            ),
        ] {
            let named: Vec<_> = events(&stream, 5)
                .into_iter()
                .map(|(_, kind)| kind)
                .collect();
            assert_eq!(named, expected, "{stream}");
        }
    }

    #[test]
    fn a_comment_without_end_holds_nothing() {
        let mut lines = Lines::default();
        for _ in 0..1000 {
            let mut input = Bytes::from_static(&[b':'; 4096]);
            assert_eq!(lines.next(&mut input, 4096), None);
            assert!(input.is_empty());
        }
        assert!(lines.scratch.capacity() <= 64);
    }
}

//! Cuts the pictures out of a JSON text while it passes, in pieces of any size, so that no picture
//! is ever held. What remains — the skeleton, in which a picture reads `""` — is small and goes to
//! serde_json, which alone judges grammar, numbers and UTF-8. This scanner knows only strings,
//! nesting and which key came last.
//!
//! # The walk of one answer
//!
//! `{"data":[{"b64_json":"iVBORw0K"}],"usage":{"cost":0.04}}` in one piece, `Gate::Open`:
//!
//! | what comes | state | what happens |
//! | -- | -- | -- |
//! | `{"` | `Between` | both are kept; a quote in an object that expects a key begins one |
//! | `data"` | `Key` | kept, and unescaped into `scratch`; its quote makes it `key` |
//! | `:[{"b64_json":` | `Between`, `Key` | the same again; now `key` is `B64Json` |
//! | `"` | `Between` | kept; a value of that key, so that `scratch` is empty and a `Head` begins |
//! | `i` | `Head` | no data URL begins so: the skeleton is cut back to the quote, `scratch` goes out as `Few("i")` |
//! | `VBORw0K` | `Picture` | goes out as `Run`, as it stands in the input; nothing is kept |
//! | `"` | `Picture` | kept behind its quote; `Ended` goes out |
//! | `}],"usage":{"cost":0.04}}` | `Between`, `Key` | kept |
//!
//! The skeleton is `{"data":[{"b64_json":""}],"usage":{"cost":0.04}}`. Three turns off this way:
//! a string of which `Head` cannot tell yet (`data:image/p…`) stays in the skeleton until it can; one
//! that ends before that (`"da"`) is base64 if its key is `b64_json` – then `scratch` goes out as
//! `Few`, and because one call gives one token, `Ended` waits in `Ending` for the next – and a text
//! otherwise; and a piece may end anywhere, even inside `\u002b`, which `unescape` carries over.

mod characters;
mod strings;

use characters::{Escape, Few, Key, Unescape, take_byte};

/// The most bytes that are kept of all that is not a picture.
const SKELETON_CAP_BYTES: usize = 1 << 20;

/// The most bytes that are kept of one string. Longer ones lose their end: no field of interest is
/// longer, and models send along opaque blobs (`reasoning_details`) of any length.
const TEXT_CAP_BYTES: usize = 64 << 10;

/// The deepest nesting; OpenRouter's answers need eight.
const DEPTH_CAP: usize = 64;

/// Scans one JSON text.
#[derive(Debug)]
pub(super) struct Splicer {
    state: State,
    nesting: Vec<Frame>,
    /// The key whose value comes next.
    key: Key,
    skeleton: Vec<u8>,
    /// The unescaped beginning of a key, or of a string that may be a picture.
    scratch: Vec<u8>,
    unescape: Unescape,
    gate: Gate,
    passed_over: bool,
}

/// A piece of a picture's base64 text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token<'input> {
    /// Characters as they stand in the input.
    Run(&'input [u8]),
    /// A few characters that had been held back or were escaped.
    Few(Few),
    /// The string is over.
    Ended,
}

/// Which `b64_json` strings are pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// All of them: answers in one piece.
    Open,
    /// Only those of an event that has said before that its picture is the complete one. Events of
    /// `/images` streams also carry previews under the same key. An event that names its type only
    /// after the picture would have to be held whole, so its picture is passed over and the
    /// answer counted as broken; OpenRouter is never asked for such streams.
    Typed(Option<EventKind>),
}

/// What an event of an `/images` stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventKind {
    /// `image_generation.completed`.
    Completed,
    /// Anything else.
    Other,
}

/// Why a text cannot be spliced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SpliceError {
    /// It ends inside a string or a bracket.
    #[error("the answer is cut off")]
    Truncated,
    /// Brackets that do not match, or too many of them.
    #[error("the answer is no JSON")]
    Malformed,
    /// Too much that is not a picture.
    #[error("the answer has more than {SKELETON_CAP_BYTES} bytes beside its pictures")]
    TooLarge,
    /// A picture with characters that base64 does not have.
    #[error("a picture is not base64")]
    NotBase64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Outside of strings.
    Between,
    /// In a key.
    Key,
    /// In a string that is kept.
    Text(Text),
    /// In a string that may turn out to be a picture; it is kept until then.
    Head { start: usize, bare: bool },
    /// In a picture.
    Picture,
    /// At the end of a picture that was so short that it was still being looked at.
    Ending,
    /// In a string that is dropped.
    Dropped { escaped: bool },
}

/// A string that is kept, as far as it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Text {
    /// Where it begins in the skeleton.
    start: usize,
    escape: Escape,
    /// It has reached its cap; the rest is dropped.
    full: bool,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    object: bool,
    expects_key: bool,
    /// Whether this object is the value of `image_url`.
    image_url: bool,
}

// === impl Splicer ===

impl Splicer {
    pub(super) fn new(gate: Gate) -> Self {
        Self {
            state: State::Between,
            nesting: Vec::new(),
            key: Key::Other,
            skeleton: Vec::new(),
            scratch: Vec::new(),
            unescape: Unescape::Plain,
            gate,
            passed_over: false,
        }
    }

    /// Takes from the front of `input` up to the next token; `None` when all of it is taken.
    ///
    /// # Errors
    /// [`SpliceError`], after which the scanner must not be used.
    pub(super) fn next<'input>(
        &mut self,
        input: &mut &'input [u8],
    ) -> Result<Option<Token<'input>>, SpliceError> {
        if self.state == State::Ending {
            return self.end_picture().map(Some);
        }
        while !input.is_empty() {
            match self.state {
                State::Between => self.between(input)?,
                State::Key => self.key_byte(take_byte(input))?,
                State::Text(text) => self.state = self.text(input, text)?,
                State::Head { start, bare } => {
                    if let Some(token) = self.head_byte(take_byte(input), start, bare)? {
                        return Ok(Some(token));
                    }
                }
                State::Picture => {
                    if let Some(token) = self.picture(input)? {
                        return Ok(Some(token));
                    }
                }
                State::Ending => return self.end_picture().map(Some),
                State::Dropped { escaped } => self.dropped(input, escaped)?,
            }
        }
        Ok(None)
    }

    /// Whether nothing but white space has come.
    pub(super) fn is_untouched(&self) -> bool {
        self.skeleton.is_empty()
    }

    /// Whether a string was dropped because its event had not said what it is.
    pub(super) const fn passed_over(&self) -> bool {
        self.passed_over
    }

    /// Bytes held.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn held_bytes(&self) -> usize {
        self.skeleton.capacity() + self.scratch.capacity() + self.nesting.capacity() * 4
    }

    /// What remains of the text. Whether it is JSON is for serde_json to say.
    ///
    /// # Errors
    /// [`SpliceError::Truncated`].
    pub(super) fn finish(self) -> Result<Vec<u8>, SpliceError> {
        if self.state == State::Between && self.nesting.is_empty() {
            Ok(self.skeleton)
        } else {
            Err(SpliceError::Truncated)
        }
    }

    fn between(&mut self, input: &mut &[u8]) -> Result<(), SpliceError> {
        while self.state == State::Between && !input.is_empty() {
            let byte = take_byte(input);
            if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                // One is kept, because it may part two numbers; more would fill the skeleton.
                if self.skeleton.last().is_some_and(|last| *last != b' ') {
                    self.keep(b" ")?;
                }
                continue;
            }
            self.keep(&[byte])?;
            match byte {
                b'{' | b'[' => self.open(byte == b'{')?,
                b'}' | b']' => self.close(byte == b'}')?,
                b',' => self.expect_key(true),
                b':' => self.expect_key(false),
                b'"' => self.begin_string(),
                _ => {}
            }
        }
        Ok(())
    }

    fn open(&mut self, object: bool) -> Result<(), SpliceError> {
        if self.nesting.len() == DEPTH_CAP {
            return Err(SpliceError::Malformed);
        }
        let named = self.in_object() && self.key == Key::ImageUrl;
        self.nesting.push(Frame {
            object,
            expects_key: object,
            image_url: object && named,
        });
        Ok(())
    }

    fn close(&mut self, object: bool) -> Result<(), SpliceError> {
        match self.nesting.pop() {
            Some(frame) if frame.object == object => Ok(()),
            Some(_) | None => Err(SpliceError::Malformed),
        }
    }

    fn in_object(&self) -> bool {
        self.nesting.last().is_some_and(|frame| frame.object)
    }

    fn expect_key(&mut self, expects: bool) {
        if let Some(frame) = self.nesting.last_mut() {
            frame.expects_key = expects && frame.object;
        }
    }

    fn begin_string(&mut self) {
        let start = self.skeleton.len();
        let kept = State::Text(Text::at(start));
        self.scratch.clear();
        let Some(frame) = self.nesting.last().filter(|frame| frame.object) else {
            self.state = kept;
            return;
        };
        self.state = if frame.expects_key {
            State::Key
        } else {
            match self.key {
                Key::B64Json => self.begin_base64(start),
                Key::ImageUrl => State::Head { start, bare: false },
                Key::Url if frame.image_url => State::Head { start, bare: false },
                Key::Url | Key::Type | Key::Other => kept,
            }
        };
    }

    fn begin_base64(&mut self, start: usize) -> State {
        match self.gate {
            Gate::Open | Gate::Typed(Some(EventKind::Completed)) => {
                State::Head { start, bare: true }
            }
            Gate::Typed(kind) => {
                self.passed_over |= kind.is_none();
                State::Dropped { escaped: false }
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), SpliceError> {
        if self.skeleton.len() + bytes.len() > SKELETON_CAP_BYTES {
            return Err(SpliceError::TooLarge);
        }
        self.skeleton.extend_from_slice(bytes);
        Ok(())
    }
}

// === impl Text ===

impl Text {
    const fn at(start: usize) -> Self {
        Self {
            start,
            escape: Escape::Closed,
            full: false,
        }
    }
}

// === impl EventKind ===

impl EventKind {
    /// The kind with this name.
    pub(super) fn named(name: &[u8]) -> Self {
        if name == b"image_generation.completed" {
            Self::Completed
        } else {
            Self::Other
        }
    }
}

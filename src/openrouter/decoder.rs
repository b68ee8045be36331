//! An answer becomes events, whatever pieces it arrives in. Pure: bytes in, events out, so that
//! every sample can be split at every byte in a test.
//!
//! Held at any time: one piece of the wire, at most 64 KiB of decoded picture, at most three
//! characters of base64, and the skeleton of one JSON text (at most 1 MiB, usually some hundred
//! bytes).

use bytes::{Buf, Bytes};

use super::base64;
use super::failures::failed;
use super::lenient::Object;
use super::splice::{EventKind, Gate, SpliceError, Splicer, Token};
use super::sse::{Lines, Part};
use super::summary::Summary;
use super::wire::Answer;
use crate::ports::{DrawCause, DrawError, DrawEvent, Receipt};

/// How much of the wire is looked at before an event is given: one such piece decodes to 12 KiB.
const PIECE_BYTES: usize = 16 << 10;

/// Decoded bytes are given on in pieces of at least this size, but for the last one; with what
/// one more piece of the wire decodes to they stay below the 64 KiB that the port promises.
const GATHERED_BYTES: usize = 48 << 10;

/// Room for what is gathered.
const GATHERED_CAPACITY: usize = 64 << 10;

/// Turns the body of one answer into events.
#[derive(Debug)]
pub(super) struct Decoder {
    framing: Framing,
    /// What has arrived and is not framed yet.
    wire: Bytes,
    /// What is framed and not spliced yet.
    piece: Bytes,
    splicer: Splicer,
    base64: base64::Decoder,
    gathered: Vec<u8>,
    picture: Picture,
    image_cap_bytes: u64,
    summary: Summary,
    /// Real data has come, not just comments or white space.
    begun: bool,
}

/// How the answer is wrapped, by its `Content-Type`; not by what was asked for, because upstream
/// answers as it likes.
#[derive(Debug)]
pub(super) enum Framing {
    /// One JSON text.
    Json,
    /// `text/event-stream`.
    Events(Lines),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Picture {
    /// Between pictures.
    None,
    /// In a picture; so many bytes of it are decoded.
    Open { size_bytes: u64 },
    /// All of it is given on; its end is not.
    Ending,
}

// === impl Framing ===

impl Framing {
    pub(super) fn of_content_type(content_type: &str) -> Self {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("text/event-stream") {
            Self::Events(Lines::default())
        } else {
            Self::Json
        }
    }

    const fn gate(&self) -> Gate {
        match self {
            Self::Json => Gate::Open,
            Self::Events(_) => Gate::Typed(None),
        }
    }
}

// === impl Decoder ===

impl Decoder {
    pub(super) fn new(framing: Framing, image_cap_bytes: u64) -> Self {
        Self {
            splicer: Splicer::new(framing.gate()),
            framing,
            wire: Bytes::new(),
            piece: Bytes::new(),
            base64: base64::Decoder::default(),
            gathered: Vec::new(),
            picture: Picture::None,
            image_cap_bytes,
            summary: Summary::default(),
            begun: false,
        }
    }

    /// Hands over what arrived. All events of the bytes before must have been taken.
    pub(super) fn feed(&mut self, bytes: Bytes) {
        debug_assert!(self.wire.is_empty() && self.piece.is_empty());
        self.wire = bytes;
    }

    /// The next event of what has arrived; `None` when more must arrive first.
    ///
    /// # Errors
    /// [`DrawError`] if the answer cannot be understood or a picture is no base64 or too large.
    pub(super) fn poll(&mut self) -> Result<Option<DrawEvent>, DrawError> {
        loop {
            if self.picture == Picture::Ending {
                self.picture = Picture::None;
                self.summary.pictures += 1;
                return Ok(Some(DrawEvent::ImageFinished));
            }
            if let Some(event) = self.splice()? {
                return Ok(Some(event));
            }
            if self.picture == Picture::Ending {
                continue;
            }
            if !self.advance()? {
                return Ok(None);
            }
        }
    }

    /// Whether data has come: more than white space and comments, which say only that somebody is
    /// still working.
    pub(super) const fn has_begun(&self) -> bool {
        self.begun
    }

    /// Whether what came is worth keeping if no more comes: at least one picture, and none begun.
    pub(super) fn is_worth_keeping(&self) -> bool {
        self.summary.pictures > 0 && self.picture == Picture::None
    }

    /// The receipt of what came before the answer broke off. Only streams say anything early.
    pub(super) fn salvage(&mut self) -> Receipt {
        std::mem::take(&mut self.summary).into_receipt()
    }

    /// Ends the answer.
    ///
    /// # Errors
    /// [`DrawError`] if it is cut off, or holds an error or a refusal instead of a picture, or a part
    /// that could not be read; [`Decoder::is_worth_keeping`] says whether there is a picture all the
    /// same.
    pub(super) fn finish(&mut self) -> Result<Receipt, DrawError> {
        let pending = match &mut self.framing {
            Framing::Json => true,
            Framing::Events(lines) => lines.finish().is_some(),
        };
        if pending {
            self.end_document()?;
        }
        if self.is_worth_keeping()
            && let Some(error) = self.summary.broken.take()
        {
            return Err(error);
        }
        std::mem::take(&mut self.summary).into_verdict()
    }

    /// Bytes held in buffers of its own.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn held_bytes(&self) -> usize {
        self.gathered.capacity() + self.splicer.held_bytes()
    }

    /// Gets the next piece to splice; `false` when all of the wire is taken.
    fn advance(&mut self) -> Result<bool, DrawError> {
        let part = match &mut self.framing {
            Framing::Json => {
                let length = self.wire.len().min(PIECE_BYTES);
                (length > 0).then(|| Part::Data(self.wire.split_to(length)))
            }
            Framing::Events(lines) => lines.next(&mut self.wire, PIECE_BYTES),
        };
        match part {
            None => return Ok(false),
            Some(Part::Data(bytes)) => {
                self.begun |= !bytes.trim_ascii().is_empty();
                self.piece = bytes;
            }
            Some(Part::Named(kind)) => self.name_event(kind),
            Some(Part::End) => self.end_event()?,
        }
        Ok(true)
    }

    /// Ends one event of a stream. One that cannot be read is passed over, but for one that ends within
    /// a picture: those after it may have more pictures, and the cost (`domain.md` C15).
    fn end_event(&mut self) -> Result<(), DrawError> {
        match self.end_document() {
            Err(error) if self.picture == Picture::None => {
                self.summary.broken.get_or_insert(error);
                Ok(())
            }
            ended => ended,
        }
    }

    /// The line `event:` comes before the data.
    fn name_event(&mut self, kind: EventKind) {
        if self.splicer.is_untouched() {
            self.splicer = Splicer::new(Gate::Typed(Some(kind)));
        }
    }

    fn splice(&mut self) -> Result<Option<DrawEvent>, DrawError> {
        let piece = std::mem::take(&mut self.piece);
        let mut rest: &[u8] = &piece;
        let mut event = None;
        while event.is_none() {
            let Some(token) = self.splicer.next(&mut rest).map_err(no_json)? else {
                break;
            };
            event = match token {
                Token::Run(run) => self.draw(run)?,
                Token::Few(few) => self.draw(few.as_slice())?,
                Token::Ended => self.end_picture()?,
            };
            if self.picture == Picture::Ending {
                break;
            }
        }
        let taken = piece.len() - rest.len();
        self.piece = piece;
        self.piece.advance(taken);
        Ok(event)
    }

    fn draw(&mut self, text: &[u8]) -> Result<Option<DrawEvent>, DrawError> {
        let started = self.picture == Picture::None;
        if started {
            // Before its first bytes are looked at: a picture that they spoil was begun, too.
            self.picture = Picture::Open { size_bytes: 0 };
        }
        if self.gathered.capacity() == 0 {
            self.gathered.reserve_exact(GATHERED_CAPACITY);
        }
        let before = self.gathered.len();
        self.base64
            .push(text, &mut self.gathered)
            .map_err(|error| image_invalid(&error.to_string()))?;
        self.grow(self.gathered.len() - before)?;
        if started {
            return Ok(Some(DrawEvent::ImageStarted));
        }
        if self.gathered.len() < GATHERED_BYTES {
            return Ok(None);
        }
        Ok(Some(self.give()))
    }

    fn grow(&mut self, more: usize) -> Result<(), DrawError> {
        let before = match self.picture {
            Picture::Open { size_bytes } => size_bytes,
            Picture::None | Picture::Ending => 0,
        };
        let size_bytes = before.saturating_add(more.try_into().unwrap_or(u64::MAX));
        if size_bytes > self.image_cap_bytes {
            let cap = self.image_cap_bytes;
            return Err(image_invalid(&format!(
                "a picture has more than {cap} bytes"
            )));
        }
        self.picture = Picture::Open { size_bytes };
        Ok(())
    }

    fn end_picture(&mut self) -> Result<Option<DrawEvent>, DrawError> {
        if self.picture == Picture::None {
            // An empty string: no picture was given.
            return Ok(None);
        }
        let before = self.gathered.len();
        self.base64
            .finish(&mut self.gathered)
            .map_err(|error| image_invalid(&error.to_string()))?;
        self.grow(self.gathered.len() - before)?;
        self.picture = Picture::Ending;
        Ok((!self.gathered.is_empty()).then(|| self.give()))
    }

    fn give(&mut self) -> DrawEvent {
        DrawEvent::ImageBytes(Bytes::from(std::mem::take(&mut self.gathered)))
    }

    /// Ends one JSON text: the answer, or one event of it.
    fn end_document(&mut self) -> Result<(), DrawError> {
        let splicer = std::mem::replace(&mut self.splicer, Splicer::new(self.framing.gate()));
        let passed_over = splicer.passed_over();
        let skeleton = splicer.finish().map_err(no_json)?;
        let text = skeleton.strip_suffix(b" ").unwrap_or(&skeleton);
        let is_stream = matches!(self.framing, Framing::Events(_));
        if is_stream && (text.is_empty() || text == b"[DONE]") {
            return Ok(());
        }
        let Object(answer): Object<Answer> =
            serde_json::from_slice(text).map_err(|error| unavailable(&error.to_string()))?;
        let completed = answer
            .kind
            .as_deref()
            .map(str::as_bytes)
            .map(EventKind::named);
        if passed_over && completed == Some(EventKind::Completed) {
            return Err(unavailable("an event named its type after its picture"));
        }
        self.summary.absorb(answer);
        Ok(())
    }
}

fn no_json(error: SpliceError) -> DrawError {
    match error {
        SpliceError::NotBase64 => image_invalid(&error.to_string()),
        SpliceError::Truncated | SpliceError::Malformed | SpliceError::TooLarge => {
            unavailable(&error.to_string())
        }
    }
}

fn image_invalid(detail: &str) -> DrawError {
    failed(DrawCause::ImageInvalid, detail)
}

fn unavailable(detail: &str) -> DrawError {
    failed(DrawCause::Unavailable, detail)
}

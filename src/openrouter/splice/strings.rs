//! The inside of strings: keys, kept texts, dropped texts, and pictures.

use super::characters::{Escape, Few, Head, Key, Unescape, take_byte, take_run};
use super::{EventKind, Gate, SpliceError, Splicer, State, TEXT_CAP_BYTES, Text, Token};

/// The longest key that matters (`image_url`), and one more to tell longer ones apart.
const KEY_CAP_BYTES: usize = 10;

impl Splicer {
    pub(super) fn key_byte(&mut self, byte: u8) -> Result<(), SpliceError> {
        self.keep(&[byte])?;
        if byte == b'"' && self.unescape == Unescape::Plain {
            self.key = Key::named(&self.scratch);
            self.state = State::Between;
            return Ok(());
        }
        let unit = self
            .unescape
            .step(byte)
            .map_err(|_| SpliceError::Malformed)?;
        if let Some(unit) = unit
            && self.scratch.len() < KEY_CAP_BYTES
        {
            // No key of interest has a character beyond ASCII, so any stand-in does.
            self.scratch.push(u8::try_from(unit).unwrap_or(0xff));
        }
        Ok(())
    }

    /// A stretch of a kept string.
    pub(super) fn text(&mut self, input: &mut &[u8], text: Text) -> Result<State, SpliceError> {
        if text.escape.is_open() {
            let byte = take_byte(input);
            self.keep_unless(text.full, byte)?;
            let escape = text.escape.after(byte);
            return Ok(State::Text(Text { escape, ..text }));
        }
        let run = take_run(input);
        let full = text.full || self.keep_text(run, text.start)?;
        let text = Text { full, ..text };
        Ok(match input.first() {
            None => State::Text(text),
            Some(b'"') => {
                take_byte(input);
                self.end_text(text.start)?;
                State::Between
            }
            Some(_) => {
                let backslash = take_byte(input);
                self.keep_unless(full, backslash)?;
                let escape = Escape::Begun;
                State::Text(Text { escape, ..text })
            }
        })
    }

    fn keep_unless(&mut self, full: bool, byte: u8) -> Result<(), SpliceError> {
        if full { Ok(()) } else { self.keep(&[byte]) }
    }

    /// Keeps what fits of a run without escapes; says whether the string is full now. The cut is
    /// made before a character, never inside one, and at the same place however the text arrives.
    fn keep_text(&mut self, run: &[u8], start: usize) -> Result<bool, SpliceError> {
        let room = TEXT_CAP_BYTES.saturating_sub(self.skeleton.len() - start);
        let continues = |byte: &u8| (0x80..0xc0).contains(byte);
        let cut = run
            .get(room..)
            .and_then(|rest| rest.iter().position(|byte| !continues(byte)))
            .map(|more| room + more);
        self.keep(&run[..cut.unwrap_or(run.len())])?;
        Ok(cut.is_some())
    }

    fn end_text(&mut self, start: usize) -> Result<(), SpliceError> {
        self.keep(b"\"")?;
        if self.key == Key::Type && self.nesting.len() == 1 && self.gate == Gate::Typed(None) {
            // With its quotes; a text that serde cannot read is no name either.
            let name: Option<String> = serde_json::from_slice(&self.skeleton[start - 1..]).ok();
            let kind = EventKind::named(name.unwrap_or_default().as_bytes());
            self.gate = Gate::Typed(Some(kind));
        }
        Ok(())
    }

    /// Looks at the beginning of a string: a data URL, or (`bare`) base64 without a head?
    pub(super) fn head_byte(
        &mut self,
        byte: u8,
        start: usize,
        bare: bool,
    ) -> Result<Option<Token<'static>>, SpliceError> {
        if byte == b'"' && self.unescape == Unescape::Plain {
            return self.end_head(start, bare);
        }
        self.keep(&[byte])?;
        let Some(unit) = self.unescape.step(byte)? else {
            return Ok(None);
        };
        self.scratch.push(u8::try_from(unit).unwrap_or(0xff));
        match Head::judge(&self.scratch) {
            Head::Unclear => {}
            Head::Picture => {
                self.skeleton.truncate(start);
                self.state = State::Picture;
            }
            Head::Other if !bare => {
                self.state = State::Text(Text::at(start));
            }
            Head::Other => {
                self.skeleton.truncate(start);
                self.state = State::Picture;
                return Few::new(&self.scratch).map(|few| Some(Token::Few(few)));
            }
        }
        Ok(None)
    }

    fn end_head(
        &mut self,
        start: usize,
        bare: bool,
    ) -> Result<Option<Token<'static>>, SpliceError> {
        if bare && !self.scratch.is_empty() {
            self.skeleton.truncate(start);
            self.state = State::Ending;
            return Few::new(&self.scratch).map(|few| Some(Token::Few(few)));
        }
        // Too short for a picture, or nothing at all.
        self.keep(b"\"")?;
        self.state = State::Between;
        Ok(None)
    }

    pub(super) fn picture<'input>(
        &mut self,
        input: &mut &'input [u8],
    ) -> Result<Option<Token<'input>>, SpliceError> {
        if self.unescape != Unescape::Plain {
            return match self.unescape.step(take_byte(input))? {
                Some(unit) => {
                    let byte = u8::try_from(unit).map_err(|_| SpliceError::NotBase64)?;
                    Few::new(&[byte]).map(|few| Some(Token::Few(few)))
                }
                None => Ok(None),
            };
        }
        let run = take_run(input);
        if !run.is_empty() {
            return Ok(Some(Token::Run(run)));
        }
        if take_byte(input) == b'"' {
            return self.end_picture().map(Some);
        }
        self.unescape = Unescape::Backslash;
        Ok(None)
    }

    pub(super) fn end_picture(&mut self) -> Result<Token<'static>, SpliceError> {
        self.keep(b"\"")?;
        self.state = State::Between;
        Ok(Token::Ended)
    }

    pub(super) fn dropped(&mut self, input: &mut &[u8], escaped: bool) -> Result<(), SpliceError> {
        if escaped {
            take_byte(input);
            self.state = State::Dropped { escaped: false };
            return Ok(());
        }
        take_run(input);
        match input.first().copied() {
            Some(b'"') => {
                take_byte(input);
                self.keep(b"\"")?;
                self.state = State::Between;
            }
            Some(_) => {
                take_byte(input);
                self.state = State::Dropped { escaped: true };
            }
            None => {}
        }
        Ok(())
    }
}

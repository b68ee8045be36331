//! Characters and the few words that decide what a string is.

use memchr::memchr2;

use super::SpliceError;

/// The longest head of a data URL that is looked for.
const HEAD_CAP_BYTES: usize = 256;

/// At most eight characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Few {
    bytes: [u8; 8],
    length: usize,
}

/// A key, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    B64Json,
    ImageUrl,
    Url,
    Type,
    Other,
}

/// How far an escape has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unescape {
    Plain,
    Backslash,
    Hex { missing: u8, unit: u16 },
}

/// How far an escape has been copied in a text that is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escape {
    /// In no escape.
    Closed,
    /// Right after the backslash.
    Begun,
    /// This many digits are missing.
    Digits(u8),
}

/// What the beginning of a string says about it.
pub(super) enum Head {
    Unclear,
    /// The head of a data URL in base64 is complete; the rest is a picture.
    Picture,
    Other,
}

pub(super) fn take_byte(input: &mut &[u8]) -> u8 {
    match input.split_first() {
        Some((first, rest)) => {
            *input = rest;
            *first
        }
        None => 0,
    }
}

/// Takes everything before the next quote or backslash.
pub(super) fn take_run<'input>(input: &mut &'input [u8]) -> &'input [u8] {
    let length = memchr2(b'"', b'\\', input).unwrap_or(input.len());
    let (run, rest) = input.split_at(length);
    *input = rest;
    run
}

// === impl Few ===

impl Few {
    pub(super) fn new(characters: &[u8]) -> Result<Self, SpliceError> {
        let mut bytes = [0; 8];
        // More than a handful only if a bare string began like the head of a data URL.
        let front = bytes
            .get_mut(..characters.len())
            .ok_or(SpliceError::NotBase64)?;
        front.copy_from_slice(characters);
        Ok(Self {
            bytes,
            length: characters.len(),
        })
    }

    pub(in super::super) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

// === impl Key ===

impl Key {
    pub(super) fn named(name: &[u8]) -> Self {
        match name {
            b"b64_json" => Self::B64Json,
            b"image_url" => Self::ImageUrl,
            b"url" => Self::Url,
            b"type" => Self::Type,
            _ => Self::Other,
        }
    }
}

// === impl Unescape ===

impl Unescape {
    /// Takes one byte of a string; gives the character (or UTF-16 unit) that is complete with it.
    pub(super) fn step(&mut self, byte: u8) -> Result<Option<u16>, SpliceError> {
        let (next, unit) = match *self {
            Self::Plain if byte == b'\\' => (Self::Backslash, None),
            // RFC 8259, section 7: only escaped. What is cut out is never seen by serde.
            Self::Plain if byte < b' ' => return Err(SpliceError::Malformed),
            Self::Plain => (Self::Plain, Some(u16::from(byte))),
            Self::Backslash if byte == b'u' => (
                Self::Hex {
                    missing: 4,
                    unit: 0,
                },
                None,
            ),
            Self::Backslash => (Self::Plain, Some(u16::from(escaped_byte(byte)?))),
            Self::Hex { missing, unit } => {
                let digit = char::from(byte).to_digit(16);
                let digit = digit.and_then(|digit| u16::try_from(digit).ok());
                let unit = unit << 4 | digit.ok_or(SpliceError::Malformed)?;
                if missing == 1 {
                    (Self::Plain, Some(unit))
                } else {
                    let missing = missing - 1;
                    (Self::Hex { missing, unit }, None)
                }
            }
        };
        *self = next;
        Ok(unit)
    }
}

fn escaped_byte(byte: u8) -> Result<u8, SpliceError> {
    Ok(match byte {
        b'"' | b'\\' | b'/' => byte,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        _ => return Err(SpliceError::Malformed),
    })
}

// === impl Escape ===

impl Escape {
    pub(super) fn is_open(self) -> bool {
        self != Self::Closed
    }

    /// What follows after one more byte of it. A `\u` must not be parted from its digits.
    pub(super) const fn after(self, byte: u8) -> Self {
        match self {
            Self::Begun if byte == b'u' => Self::Digits(4),
            Self::Digits(missing) if missing > 1 => Self::Digits(missing - 1),
            Self::Closed | Self::Begun | Self::Digits(_) => Self::Closed,
        }
    }
}

// === impl Head ===

impl Head {
    pub(super) fn judge(scratch: &[u8]) -> Self {
        const SCHEME: &[u8] = b"data:";
        let compared = scratch.len().min(SCHEME.len());
        if !scratch[..compared].eq_ignore_ascii_case(&SCHEME[..compared]) {
            return Head::Other;
        }
        let Some(head) = scratch.strip_suffix(b",") else {
            return if scratch.len() < HEAD_CAP_BYTES {
                Head::Unclear
            } else {
                Head::Other
            };
        };
        const BASE64: &[u8] = b";base64";
        let end = head.len().saturating_sub(BASE64.len());
        if head[end..].eq_ignore_ascii_case(BASE64) {
            Head::Picture
        } else {
            Head::Other
        }
    }
}

//! An answer, from its head to its last byte: nothing is taken that is not a picture, or that says
//! one thing and does another.

use bytes::Bytes;
use reqwest::header::{CONTENT_ENCODING, HeaderMap, HeaderName, TRANSFER_ENCODING};
use reqwest::{Response, StatusCode};

use super::failed::Failed;
use crate::domain::media::{self, SNIFF_BYTES};
use crate::ports::Room;

/// The most bytes of a picture (`api.md`, Limits).
pub(super) const BYTES_MAX: usize = 10 * 1024 * 1024;

/// The first room that is taken, if the length was not announced.
const FIRST_BYTES: usize = 64 * 1024;

/// The bytes of a picture as they come, and the room they have.
struct Tray<'a> {
    bytes: Vec<u8>,
    room: &'a dyn Room,
    taken: usize,
}

/// The bytes of an answer, if it is a picture as far as its beginning says.
pub(super) async fn picture(mut response: Response, room: &dyn Room) -> Result<Bytes, Failed> {
    if response.status() != StatusCode::OK {
        return Err(Failed::Status(response.status().as_u16()));
    }
    if !is_plain(response.headers()) {
        return Err(Failed::Compressed);
    }
    let announced = response.content_length().map(usize::try_from);
    let announced = announced.map(|length| length.unwrap_or(usize::MAX));
    if let Some(size_bytes) = announced.filter(|length| *length > BYTES_MAX) {
        return Err(Failed::TooLarge { size_bytes });
    }
    let mut tray = Tray {
        bytes: Vec::new(),
        room,
        taken: 0,
    };
    while let Some(piece) = response.chunk().await? {
        tray.add(&piece)?;
        if tray.bytes.len() >= SNIFF_BYTES && media::sniff(&tray.bytes).is_none() {
            return Err(Failed::NotAPicture);
        }
    }
    match media::sniff(&tray.bytes) {
        Some(_) => Ok(tray.bytes.into()),
        None => Err(Failed::NotAPicture),
    }
}

/// Whether the bytes are the picture's own: whatever unpacks them would have to be bounded too.
fn is_plain(headers: &HeaderMap) -> bool {
    let only = |name: HeaderName, word: &str| {
        let mut values = headers.get_all(name).iter();
        values.all(|value| {
            value
                .as_bytes()
                .trim_ascii()
                .eq_ignore_ascii_case(word.as_bytes())
        })
    };
    only(CONTENT_ENCODING, "identity") && only(TRANSFER_ENCODING, "chunked")
}

// === impl Tray ===

impl Tray<'_> {
    /// Takes room first and then the bytes. Room grows twofold, so that a slow sender of little
    /// holds little whatever it has announced.
    fn add(&mut self, piece: &[u8]) -> Result<(), Failed> {
        let needed = self.bytes.len() + piece.len();
        if needed > BYTES_MAX {
            return Err(Failed::TooLarge { size_bytes: needed });
        }
        if needed > self.taken {
            let wanted = needed.max(self.taken * 2).clamp(FIRST_BYTES, BYTES_MAX);
            if !self.room.take(wanted - self.taken) {
                return Err(Failed::NoRoom);
            }
            self.bytes.reserve_exact(wanted - self.bytes.len());
            self.taken = wanted;
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }
}

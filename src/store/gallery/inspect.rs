//! Is a file a whole picture? Its first bytes say the format, its header the size, its last bytes
//! whether all of it is there. Nothing is decoded, so nothing can be blown up.

use std::fs::File;
use std::io::{BufReader, Seek};
use std::os::unix::fs::FileExt;

use crate::domain::generation::MediaType;
use crate::domain::media::{self, SIDE_MAX};
use crate::domain::shape::{MEGAPIXEL, PixelSize};
use crate::ports::GalleryError;

/// The largest area of a picture, in megapixels (`reliability.md` §6).
const MEGAPIXELS_MAX: u64 = 64;

/// Bytes of the beginning that are looked at: a PNG's signature and its whole header chunk.
const HEAD_BYTES: usize = 33;

/// Bytes at the end in which a JPEG's last marker must stand: some encoders pad behind it.
const TAIL_BYTES: usize = 64;

/// The last chunk of every PNG (PNG specification, 11.2.5), without its length.
const PNG_END: &[u8] = b"IEND\xaeB`\x82";

/// The format and the size of a picture of `size_bytes`, if it is whole.
pub(super) fn inspect(
    file: &File,
    size_bytes: u64,
) -> Result<(MediaType, PixelSize), GalleryError> {
    let head = at(file, 0, HEAD_BYTES)?;
    let media_type =
        media::sniff(&head).ok_or(GalleryError::NotAnImage("not a PNG, JPEG or WebP"))?;
    let tail_start = size_bytes.saturating_sub(u64::try_from(TAIL_BYTES).unwrap_or(0));
    let tail = at(file, tail_start, TAIL_BYTES)?;
    let whole = match media_type {
        MediaType::Png => tail.ends_with(PNG_END) && has_good_header(&head),
        MediaType::Jpeg => tail.windows(2).any(|pair| pair == b"\xff\xd9"),
        MediaType::Webp => riff_length(&head) == Some(size_bytes),
        MediaType::Gif => return Err(GalleryError::NotAnImage("a GIF is not kept")),
    };
    if !whole {
        return Err(GalleryError::NotAnImage("the picture is cut off"));
    }
    Ok((media_type, pixels(file)?))
}

fn pixels(file: &File) -> Result<PixelSize, GalleryError> {
    const UNKNOWN: GalleryError = GalleryError::NotAnImage("the picture has no readable size");
    // Writing is over, and readers name their offsets: nobody relies on the handle's position.
    let mut reader = BufReader::new(file);
    reader.rewind()?;
    let size = imagesize::reader_size(reader).map_err(|_| UNKNOWN)?;
    let pixels = PixelSize {
        width: u32::try_from(size.width).map_err(|_| UNKNOWN)?,
        height: u32::try_from(size.height).map_err(|_| UNKNOWN)?,
    };
    let side = 1..=SIDE_MAX;
    let area = u64::from(pixels.width) * u64::from(pixels.height);
    let possible = side.contains(&pixels.width) && side.contains(&pixels.height);
    if !possible || area > MEGAPIXELS_MAX * MEGAPIXEL {
        return Err(GalleryError::NotAnImage(
            "the picture has an impossible size",
        ));
    }
    Ok(pixels)
}

/// The first chunk of a PNG is its header, with a correct checksum (PNG specification, 11.2.1).
fn has_good_header(head: &[u8]) -> bool {
    let (Some(chunk), Some(check)) = (head.get(12..29), head.get(29..33)) else {
        return false;
    };
    chunk.starts_with(b"IHDR") && check == crc32fast::hash(chunk).to_be_bytes()
}

/// A RIFF file says its own length, without the eight bytes before it.
fn riff_length(head: &[u8]) -> Option<u64> {
    let bytes = head.get(4..8)?.try_into().ok()?;
    Some(u64::from(u32::from_le_bytes(bytes)) + 8)
}

fn at(file: &File, offset: u64, length: usize) -> Result<Vec<u8>, GalleryError> {
    let mut bytes = vec![0; length];
    let mut read = 0;
    while read < length {
        let position = offset + u64::try_from(read).unwrap_or(0);
        match file.read_at(&mut bytes[read..], position)? {
            0 => break,
            more => read += more,
        }
    }
    bytes.truncate(read);
    Ok(bytes)
}

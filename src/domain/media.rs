//! What picture some bytes are, by the bytes alone: what anybody says about them does not count.

use super::generation::MediaType;
use super::shape::PixelSize;

/// Bytes needed to tell a format for sure: WebP names itself at byte 8.
pub const SNIFF_BYTES: usize = 12;

/// The largest side of a picture that is taken, in pixels (`reliability.md` §6).
pub const SIDE_MAX: u32 = 16_384;

/// The largest area of a picture that is taken, in megapixels (`reliability.md` §6).
pub const MEGAPIXELS_MAX: u64 = 64;

/// The format, by its first bytes; `None` if it is not one of ours.
pub fn sniff(head: &[u8]) -> Option<MediaType> {
    if head.starts_with(b"\x89PNG\r\n\x1a\n") {
        Some(MediaType::Png)
    } else if head.starts_with(b"\xff\xd8\xff") {
        Some(MediaType::Jpeg)
    } else if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP") {
        Some(MediaType::Webp)
    } else if head.starts_with(b"GIF87a") || head.starts_with(b"GIF89a") {
        Some(MediaType::Gif)
    } else {
        None
    }
}

/// Why bytes are not taken as a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// Their head is not that of a format of ours, or does not tell the size.
    Unknown,
    /// The head tells a size beyond [`SIDE_MAX`] or [`MEGAPIXELS_MAX`].
    TooManyPixels,
}

/// Format and size of a picture, as its head tells them. What follows the head is not looked at: it
/// may be damaged or missing.
///
/// # Errors
/// If it is none of ours, or too large.
pub fn inspect(bytes: &[u8]) -> Result<(MediaType, PixelSize), NotTaken> {
    let media_type = sniff(bytes).ok_or(NotTaken::Unknown)?;
    let size = imagesize::blob_size(bytes).map_err(|_| NotTaken::Unknown)?;
    let side = |pixels: usize| match u32::try_from(pixels) {
        Ok(0) => Err(NotTaken::Unknown),
        Ok(pixels) if pixels <= SIDE_MAX => Ok(pixels),
        _ => Err(NotTaken::TooManyPixels),
    };
    let pixels = PixelSize {
        width: side(size.width)?,
        height: side(size.height)?,
    };
    if pixels.megapixels() > MEGAPIXELS_MAX {
        return Err(NotTaken::TooManyPixels);
    }
    Ok((media_type, pixels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pictures_of_known_formats_are_recognized() {
        assert_eq!(
            sniff(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
            Some(MediaType::Png)
        );
        assert_eq!(sniff(b"\xff\xd8\xff\xe0\0\x10JFIF"), Some(MediaType::Jpeg));
        assert_eq!(sniff(b"RIFF\0\0\0\0WEBPVP8 "), Some(MediaType::Webp));
        assert_eq!(sniff(b"GIF89a\x01\0\x01\0"), Some(MediaType::Gif));
        for other in [
            &b""[..],
            b"<svg>",
            b"<!DOCTYPE html>",
            b"RIFF\0\0\0\0WAVE",
            b"%PDF-1.7",
        ] {
            assert_eq!(sniff(other), None);
        }
    }

    #[test]
    fn a_size_beyond_sense_is_not_taken_and_told_apart_from_no_picture() {
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        png.extend(1024u32.to_be_bytes());
        png.extend(768u32.to_be_bytes());
        png.extend([8, 2, 0, 0, 0, 0, 0, 0, 0]);
        let pixels = PixelSize {
            width: 1024,
            height: 768,
        };
        assert_eq!(inspect(&png), Ok((MediaType::Png, pixels)));
        assert_eq!(inspect(b"<svg>"), Err(NotTaken::Unknown));
        png[16..20].copy_from_slice(&60_000u32.to_be_bytes());
        assert_eq!(inspect(&png), Err(NotTaken::TooManyPixels));
        png[16..20].copy_from_slice(&0u32.to_be_bytes());
        assert_eq!(inspect(&png), Err(NotTaken::Unknown));
        png[16..20].copy_from_slice(&8192u32.to_be_bytes());
        png[20..24].copy_from_slice(&8192u32.to_be_bytes());
        assert!(inspect(&png).is_ok(), "exactly 64 megapixels");
        png[16..20].copy_from_slice(&8193u32.to_be_bytes());
        assert_eq!(inspect(&png), Err(NotTaken::TooManyPixels));
    }
}

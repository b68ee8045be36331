//! What the price of a call needs to know about the things sent along with it.

use base64_simd::STANDARD;
use serde_json::Value;

/// Enough of a picture to find its size in; a multiple of four, as base64 wants.
const HEAD_CHARACTERS: usize = 256 * 1024;
/// What a reference counts whose size cannot be seen: one megapixel.
const UNSEEN_PIXELS: u64 = 1_048_576;

/// The pixels of a reference image: read from a data URL, assumed for anything else.
pub(crate) fn pixels_of(url: &str) -> u64 {
    seen_pixels(url).unwrap_or(UNSEEN_PIXELS)
}

/// How many fonts are sent along (Sourceful's `font_inputs`).
pub(crate) fn fonts(font_inputs: Option<&Value>) -> usize {
    font_inputs.and_then(Value::as_array).map_or(0, Vec::len)
}

fn seen_pixels(url: &str) -> Option<u64> {
    let (_, payload) = url.strip_prefix("data:")?.split_once(',')?;
    let head = payload.get(..HEAD_CHARACTERS.min(payload.len()))?;
    let bytes = STANDARD.decode_to_vec(head).ok()?;
    let size = imagesize::blob_size(&bytes).ok()?;
    let side = |length: usize| u64::try_from(length).ok();
    side(size.width)?.checked_mul(side(size.height)?)
}

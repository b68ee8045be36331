//! Draws the mock's pictures: a landscape that depends only on the prompt, and the prompt on it.
//!
//! Whole numbers only. The scene is drawn on a small canvas and enlarged by a whole factor, so
//! that a 4K picture costs little more than a small one.

mod canvas;
mod lettering;
mod scenery;

use std::io::Write;

use sha2::{Digest, Sha256};

use super::size::Pixels;
use canvas::Canvas;

/// The longer side of the canvas before enlarging.
const CANVAS_SIDE: u32 = 512;

/// Only so much of a prompt can be seen on a picture.
const PROMPT_CHARACTERS_SHOWN: usize = 600;

/// What a picture depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Motif {
    model: String,
    /// The part of the prompt that can be seen.
    words: String,
    pixels: Pixels,
    seed: u64,
}

/// A small generator (SplitMix64): the same seed draws the same picture everywhere.
#[derive(Debug, Clone)]
struct Chance(u64);

impl Motif {
    /// `variation` tells the images of one call apart.
    pub(crate) fn new(model: &str, prompt: &str, pixels: Pixels, variation: usize) -> Self {
        let mut hash = Sha256::new();
        hash.update(prompt.as_bytes());
        hash.update(model.as_bytes());
        hash.update(variation.to_le_bytes());
        let digest: [u8; 32] = hash.finalize().into();
        let seed = digest
            .iter()
            .take(8)
            .fold(0, |seed, byte| (seed << 8) | u64::from(*byte));
        let words = prompt.chars().take(PROMPT_CHARACTERS_SHOWN).collect();
        Self {
            model: model.to_owned(),
            words,
            pixels,
            seed,
        }
    }

    /// Draws the picture and returns it as PNG.
    pub(crate) fn png(&self) -> Result<Vec<u8>, png::EncodingError> {
        let Pixels { width, height } = self.pixels;
        let factor = width.max(height).div_ceil(CANVAS_SIDE).max(1);
        let mut canvas = Canvas::new(width.div_ceil(factor), height.div_ceil(factor));
        scenery::paint(&mut canvas, &mut Chance(self.seed));
        let size = format!("{width} x {height}");
        lettering::write(&mut canvas, &self.words, &self.model, &size);
        self.encode(&canvas, factor)
    }

    /// Rows are enlarged one by one, so that the full picture never lies in memory.
    fn encode(&self, canvas: &Canvas, factor: u32) -> Result<Vec<u8>, png::EncodingError> {
        let Pixels { width, height } = self.pixels;
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, width, height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::Fast);
        let mut writer = encoder.write_header()?;
        let mut rows = writer.stream_writer()?;
        let row_bytes = usize::try_from(width).unwrap_or_default() * 3;
        let times = usize::try_from(factor).unwrap_or(1);
        let mut left = height;
        for row in canvas.rows() {
            let mut wide = Vec::with_capacity(row_bytes + times * 3);
            for pixel in row {
                (0..times).for_each(|_| wide.extend_from_slice(pixel));
            }
            wide.truncate(row_bytes);
            for _ in 0..factor.min(left) {
                rows.write_all(&wide)?;
            }
            left = left.saturating_sub(factor);
        }
        rows.finish()?;
        writer.finish()?;
        Ok(file)
    }
}

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from `low` on and below `high`.
    fn between(&mut self, low: i32, high: i32) -> i32 {
        let span = u64::from(high.abs_diff(low).max(1));
        low.saturating_add(i32::try_from(self.next() % span).unwrap_or_default())
    }
}

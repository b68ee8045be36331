//! A small picture in memory and the few strokes the scenery needs.

/// Red, green, blue.
pub(super) type Color = [u8; 3];

/// A picture in memory.
#[derive(Debug)]
pub(super) struct Canvas {
    pub(super) width: i32,
    pub(super) height: i32,
    pixels: Vec<Color>,
}

impl Canvas {
    pub(super) fn new(width: u32, height: u32) -> Self {
        let count = usize::try_from(u64::from(width) * u64::from(height)).unwrap_or_default();
        let side = |length: u32| i32::try_from(length).unwrap_or(i32::MAX);
        Self {
            width: side(width),
            height: side(height),
            pixels: vec![[0; 3]; count],
        }
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &[Color]> {
        self.pixels
            .chunks(usize::try_from(self.width).unwrap_or(1).max(1))
    }

    /// Lays a color over one pixel; `cover` goes from 0 (nothing) to 256 (all).
    pub(super) fn blend(&mut self, x: i32, y: i32, color: Color, cover: i32) {
        if x < 0 || y < 0 || x >= self.width || y >= self.height {
            return;
        }
        let index = usize::try_from(y * self.width + x);
        if let Some(pixel) = index.ok().and_then(|index| self.pixels.get_mut(index)) {
            *pixel = if cover < 256 {
                mix(*pixel, color, cover)
            } else {
                color
            };
        }
    }

    /// Lays a color over a rectangle with rounded corners.
    pub(super) fn panel(&mut self, [left, top, right, bottom]: [i32; 4], color: Color, cover: i32) {
        const RADIUS: i32 = 10;
        for y in top..bottom {
            for x in left..right {
                let across = (left + RADIUS - x).max(x - (right - 1 - RADIUS)).max(0);
                let down = (top + RADIUS - y).max(y - (bottom - 1 - RADIUS)).max(0);
                if across * across + down * down <= RADIUS * RADIUS {
                    self.blend(x, y, color, cover);
                }
            }
        }
    }
}

/// `from` at 0, `to` at 256.
pub(super) fn mix(from: Color, to: Color, share: i32) -> Color {
    let share = share.clamp(0, 256);
    let one = |from: u8, to: u8| {
        let sum = i32::from(from) * (256 - share) + i32::from(to) * share;
        u8::try_from((sum + 128) / 256).unwrap_or(u8::MAX)
    };
    let ([r, g, b], [to_r, to_g, to_b]) = (from, to);
    [one(r, to_r), one(g, to_g), one(b, to_b)]
}

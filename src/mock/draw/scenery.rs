//! The landscape: a sky with a sun or moon, hazy ranges of hills, firs on the nearest one.

use super::Chance;
use super::canvas::{Canvas, Color, mix};

/// Ranges of hills from the farthest to the nearest.
const RANGES: i32 = 5;
/// Noise values are fractions of this.
const ONE: i32 = 4096;

#[derive(Debug)]
struct Palette {
    zenith: Color,
    sky: Color,
    horizon: Color,
    sun: Color,
    far: Color,
    near: Color,
    stars: bool,
}

const PALETTES: [Palette; 6] = [
    Palette {
        zenith: [0x23, 0x1a, 0x4e],
        sky: [0xb0, 0x45, 0x7b],
        horizon: [0xff, 0xb3, 0x6b],
        sun: [0xff, 0xf0, 0xc2],
        far: [0x9a, 0x4a, 0x7c],
        near: [0x17, 0x0e, 0x2c],
        stars: true,
    },
    Palette {
        zenith: [0x27, 0x4b, 0x8a],
        sky: [0x7f, 0xb4, 0xdc],
        horizon: [0xff, 0xe3, 0xc2],
        sun: [0xff, 0xfb, 0xe8],
        far: [0x8a, 0xa8, 0xc8],
        near: [0x16, 0x32, 0x46],
        stars: false,
    },
    Palette {
        zenith: [0x05, 0x0b, 0x24],
        sky: [0x10, 0x3c, 0x66],
        horizon: [0x3c, 0xb8, 0xa4],
        sun: [0xe8, 0xff, 0xf6],
        far: [0x1c, 0x66, 0x78],
        near: [0x03, 0x10, 0x1a],
        stars: true,
    },
    Palette {
        zenith: [0x2c, 0x55, 0x9c],
        sky: [0xea, 0x9a, 0x5c],
        horizon: [0xff, 0xdc, 0xa6],
        sun: [0xff, 0xf3, 0xd6],
        far: [0xcf, 0x71, 0x4b],
        near: [0x3c, 0x18, 0x1a],
        stars: false,
    },
    Palette {
        zenith: [0x1c, 0x4a, 0x5e],
        sky: [0x74, 0xa8, 0xa4],
        horizon: [0xf4, 0xf1, 0xda],
        sun: [0xff, 0xff, 0xf4],
        far: [0x74, 0xa0, 0x90],
        near: [0x0c, 0x26, 0x20],
        stars: false,
    },
    Palette {
        zenith: [0x3b, 0x1e, 0x72],
        sky: [0xd8, 0x5a, 0x92],
        horizon: [0xff, 0xd0, 0xb4],
        sun: [0xff, 0xf7, 0xef],
        far: [0xb0, 0x58, 0x98],
        near: [0x25, 0x0e, 0x3c],
        stars: true,
    },
];

/// Paints a landscape over the whole canvas.
pub(super) fn paint(canvas: &mut Canvas, chance: &mut Chance) {
    let choice = usize::try_from(chance.next() % 6).unwrap_or_default();
    let [first, ..] = &PALETTES;
    let palette = PALETTES.get(choice).unwrap_or(first);
    let horizon = canvas.height * 62 / 100;
    sky(canvas, palette, horizon);
    if palette.stars {
        stars(canvas, chance, horizon);
    }
    sun(canvas, palette, chance, horizon);
    for range in 0..RANGES {
        hills(canvas, palette, chance, range);
    }
}

fn sky(canvas: &mut Canvas, palette: &Palette, horizon: i32) {
    let horizon = horizon.max(1);
    let color = |half_rows: i32| {
        let way = (half_rows * 256 / horizon).min(512);
        if way < 256 {
            mix(palette.zenith, palette.sky, way)
        } else {
            mix(palette.sky, palette.horizon, way - 256)
        }
    };
    for y in 0..canvas.height {
        // A checkerboard of half steps hides the bands of a slow gradient.
        let (even, odd) = (color(2 * y), color(2 * y + 1));
        for x in 0..canvas.width {
            canvas.blend(x, y, if (x + y) & 1 == 0 { even } else { odd }, 256);
        }
    }
}

fn stars(canvas: &mut Canvas, chance: &mut Chance, horizon: i32) {
    let count = canvas.width * canvas.height / 1600;
    for _ in 0..count {
        let (x, y) = (
            chance.between(0, canvas.width),
            chance.between(0, horizon.max(1)),
        );
        // Fewer and fainter towards the horizon.
        let light = chance.between(40, 256) * (horizon - y) / horizon.max(1);
        canvas.blend(x, y, [255, 255, 255], light);
        if light > 170 {
            for (across, down) in [(1, 0), (-1, 0), (0, 1), (0, -1)] {
                canvas.blend(x + across, y + down, [255, 255, 255], light / 4);
            }
        }
    }
}

fn sun(canvas: &mut Canvas, palette: &Palette, chance: &mut Chance, horizon: i32) {
    let short = canvas.width.min(canvas.height);
    let radius = chance
        .between(short / 14, (short / 9).max(short / 14 + 1))
        .max(3);
    let x0 = chance.between(canvas.width / 4, canvas.width * 3 / 4);
    let y0 = chance.between(horizon * 35 / 100, (horizon * 75 / 100).max(1));
    let glow = radius * 6;
    for y in (y0 - glow).max(0)..(y0 + glow).min(canvas.height) {
        for x in (x0 - glow).max(0)..(x0 + glow).min(canvas.width) {
            let square = (x - x0) * (x - x0) + (y - y0) * (y - y0);
            let fade = 256 - square * 256 / (glow * glow);
            if fade <= 0 {
                continue;
            }
            canvas.blend(x, y, palette.sun, fade * fade / 256 * 130 / 256);
            // One pixel of soft edge: distance to the rim, by the square.
            let edge = (radius * radius - square) * 128 / radius + 128;
            if edge > 0 {
                canvas.blend(x, y, palette.sun, edge.min(256));
            }
        }
    }
}

fn hills(canvas: &mut Canvas, palette: &Palette, chance: &mut Chance, range: i32) {
    let share = range * 256 / (RANGES - 1);
    let color = mix(palette.far, palette.near, share);
    let haze = mix(color, palette.horizon, 120 - share * 100 / 256);
    let base = canvas.height * (56 + range * 9) / 100;
    let swing = canvas.height * (20 - range * 2) / 100;
    let wave = (canvas.width.max(canvas.height) / (2 + range)).max(8);
    let salt = chance.next();
    let depth = (canvas.height / 5).max(1);
    let fog: Vec<Color> = (0..canvas.height)
        .map(|below| mix(color, haze, (below * 256 / depth).min(256)))
        .collect();
    for x in 0..canvas.width {
        let ridge = base - swing * ridge_height(x, wave, salt) / ONE;
        for (y, color) in (ridge.max(0)..canvas.height).zip(&fog) {
            canvas.blend(x, y, *color, 256);
        }
        let nearest = range == RANGES - 1;
        if nearest && chance.next().is_multiple_of(9) {
            let tall = chance
                .between(canvas.height / 26, (canvas.height / 12).max(2))
                .max(4);
            fir(canvas, (x, ridge + 2), tall, color);
        }
    }
}

fn fir(canvas: &mut Canvas, (x, foot): (i32, i32), tall: i32, color: Color) {
    for step in 0..tall {
        // Three tiers of branches, each wider than the one above.
        let tier = (tall / 3).max(1);
        let half = (step % tier) / 2 + (step / tier) * tier / 5;
        for across in -half..=half {
            canvas.blend(x + across, foot - tall + step, color, 256);
        }
    }
}

/// Three octaves of value noise, 0 to `ONE`.
fn ridge_height(x: i32, wave: i32, salt: u64) -> i32 {
    let rough = |part: i32| {
        noise(
            x,
            (wave / part).max(2),
            salt.wrapping_add(part.unsigned_abs().into()),
        )
    };
    (rough(1) * 8 + rough(3) * 4 + rough(9) + rough(27) / 2) * 2 / 27
}

fn noise(x: i32, wave: i32, salt: u64) -> i32 {
    let (cell, within) = (x / wave, (x % wave) * ONE / wave);
    let point = |cell: i32| {
        let value = Chance(salt ^ u64::from(cell.unsigned_abs()).wrapping_mul(0x51_7CC1)).next();
        i32::try_from(value % 4096).unwrap_or_default()
    };
    // Smoothstep: 3t^2 - 2t^3.
    let square = within * within / ONE;
    let smooth = 3 * square - 2 * (square * within / ONE);
    point(cell) + (point(cell + 1) - point(cell)) * smooth / ONE
}

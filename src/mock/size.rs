//! From what a request says about shape and resolution to pixels.

/// Width and height of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Pixels {
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// The shared list of `aspect_ratio` (OpenRouter's image schema); anything else is refused.
pub(crate) const ASPECT_RATIOS: [&str; 26] = [
    "1:1", "1:2", "1:4", "1:8", "2:1", "2:3", "2.35:1", "3:2", "3:4", "4:1", "4:3", "4:5", "5:2",
    "5:4", "5:7", "7:5", "8:1", "9:16", "16:9", "9:19.5", "19.5:9", "9:20", "20:9", "9:21", "21:9",
    "auto",
];

/// The list of `resolution` (OpenRouter's image schema) with the side of its square.
pub(crate) const RESOLUTIONS: [(&str, u32); 7] = [
    ("512", 512),
    ("0.5K", 512),
    ("768", 768),
    ("1K", 1024),
    ("1.5K", 1536),
    ("2K", 2048),
    ("4K", 4096),
];

/// Sizes at 1K that OpenRouter's image guide names.
const KNOWN_AT_1K: [(&str, u32, u32); 10] = [
    ("1:1", 1024, 1024),
    ("2:3", 832, 1248),
    ("3:2", 1248, 832),
    ("3:4", 864, 1184),
    ("4:3", 1184, 864),
    ("4:5", 896, 1152),
    ("5:4", 1152, 896),
    ("9:16", 768, 1344),
    ("16:9", 1344, 768),
    ("21:9", 1536, 672),
];

/// Image models work on blocks of this many pixels.
const BLOCK: u64 = 16;
const SMALLEST_SIDE: u32 = 64;
const LARGEST_SIDE: u32 = 8192;
const LARGEST_AREA: u64 = 4096 * 4096;

impl Pixels {
    pub(crate) fn count(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// The picture of this shape whose area is that of a square with side `tier`.
    pub(crate) fn of_shape(aspect_ratio: &str, tier: u32) -> Self {
        let known = KNOWN_AT_1K.iter().find(|(name, ..)| *name == aspect_ratio);
        if let Some((_, width, height)) = known {
            return Self {
                width: width * tier / 1024,
                height: height * tier / 1024,
            };
        }
        let (across, down) = ratio_in_hundredths(aspect_ratio).unwrap_or((10, 10));
        let area = u64::from(tier) * u64::from(tier);
        Self {
            width: blocks(area * across / down),
            height: blocks(area * down / across),
        }
    }

    /// Reads `WIDTHxHEIGHT`; nothing if it is not that or out of bounds.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (width, height) = text.split_once('x')?;
        let pixels = Self {
            width: width.parse().ok()?,
            height: height.parse().ok()?,
        };
        let sides = SMALLEST_SIDE..=LARGEST_SIDE;
        let fits = sides.contains(&pixels.width) && sides.contains(&pixels.height);
        (fits && pixels.count() <= LARGEST_AREA).then_some(pixels)
    }

    /// Whether the shape is this one, give or take three percent (sizes are whole blocks).
    pub(crate) fn has_shape(self, aspect_ratio: &str) -> bool {
        let Some((across, down)) = ratio_in_hundredths(aspect_ratio) else {
            return true;
        };
        let (left, right) = (
            u64::from(self.width) * down,
            u64::from(self.height) * across,
        );
        left.abs_diff(right) * 100 <= left.max(right) * 3
    }

    /// Whether the area lies between half and double of this tier's square.
    pub(crate) fn has_tier(self, tier: u32) -> bool {
        let area = u64::from(tier) * u64::from(tier);
        self.count() * 2 > area && self.count() < area * 2
    }

    /// The named tier that this many pixels belong to.
    pub(crate) fn tier(self) -> u32 {
        let fitting = RESOLUTIONS.iter().map(|(_, side)| *side).find(|side| {
            let area = u64::from(*side) * u64::from(*side);
            self.count() <= area
        });
        fitting.unwrap_or(4096)
    }
}

/// The side of the square of a named resolution.
pub(crate) fn tier_named(resolution: &str) -> Option<u32> {
    RESOLUTIONS
        .iter()
        .find(|(name, _)| *name == resolution)
        .map(|(_, side)| *side)
}

/// The shape among `supported` that is nearest to the asked one: providers clamp silently.
pub(crate) fn clamp_shape(asked: &str, supported: &[String]) -> String {
    if supported.is_empty() || supported.iter().any(|shape| shape == asked) {
        return asked.to_owned();
    }
    let wanted = permille(asked);
    let nearest = supported.iter().filter(|shape| *shape != "auto");
    let nearest = nearest.min_by_key(|shape| permille(shape).abs_diff(wanted));
    nearest.cloned().unwrap_or_else(|| "1:1".to_owned())
}

/// The largest supported tier that is not above the asked one, else the smallest.
pub(crate) fn clamp_tier(asked: u32, supported: &[u32]) -> u32 {
    let below = supported
        .iter()
        .copied()
        .filter(|tier| *tier <= asked)
        .max();
    below
        .or_else(|| supported.iter().copied().min())
        .unwrap_or(1024)
}

fn blocks(square_of_side: u64) -> u32 {
    let side = (square_of_side.isqrt() / BLOCK).max(1) * BLOCK;
    u32::try_from(side).unwrap_or(LARGEST_SIDE)
}

fn permille(aspect_ratio: &str) -> u64 {
    ratio_in_hundredths(aspect_ratio).map_or(1000, |(across, down)| across * 1000 / down)
}

/// `19.5:9` becomes (1950, 900): hundredths, so that 2.35 stays whole.
fn ratio_in_hundredths(aspect_ratio: &str) -> Option<(u64, u64)> {
    let (across, down) = aspect_ratio.split_once(':')?;
    Some((hundredths(across)?, hundredths(down)?))
}

fn hundredths(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let part: u64 = format!("{part:0<2}").get(..2)?.parse().ok()?;
    let sum = whole.parse::<u64>().ok()? * 100 + part;
    (sum > 0).then_some(sum)
}

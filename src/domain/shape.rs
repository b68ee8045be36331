//! The shape of a picture: how large, how wide, in which format. Pure arithmetic on integers.

use std::cmp::Ordering;
use std::fmt;

/// Pixels in one megapixel: 1024 × 1024 (`domain.md` C4).
pub const MEGAPIXEL: u64 = 1_048_576;

/// A size class. `1K` is about 1024 × 1024 whatever the aspect ratio (`domain.md` C7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resolution {
    /// 512 × 512, also called 0.5K.
    R512,
    /// 768 × 768.
    R768,
    /// 1024 × 1024: the default.
    R1K,
    /// 1536 × 1536.
    R1K5,
    /// 2048 × 2048.
    R2K,
    /// 4096 × 4096.
    R4K,
}

/// Width to height, such as `16:9` or `2.35:1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AspectRatio {
    /// Hundredths, so that `2.35` is exact.
    width: u32,
    height: u32,
}

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PixelSize {
    /// Pixels from left to right.
    pub width: u32,
    /// Pixels from top to bottom.
    pub height: u32,
}

/// The part of an upstream call that decides the picture's outline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SentShape {
    /// The shape, for models that take one.
    pub aspect_ratio: Option<AspectRatio>,
    /// The size class, for models that take one.
    pub resolution: Option<Resolution>,
    /// Explicit pixels, for models that take no size class. Excludes the other two.
    pub size: Option<PixelSize>,
}

/// Declares a closed set of words that callers, SQL and OpenRouter all spell alike.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Reads the word; `None` if it is another one.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }

            /// The word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}
pub(crate) use words;

words! {
    /// The picture formats that are taken and given (OpenRouter's `output_format` without SVG).
    OutputFormat {
        /// Portable Network Graphics.
        Png = "png",
        /// JPEG.
        Jpeg = "jpeg",
        /// WebP.
        Webp = "webp",
    }
}

words! {
    /// What is behind the subject (OpenRouter's `background`).
    Background {
        /// The model decides.
        Auto = "auto",
        /// Never see-through.
        Opaque = "opaque",
        /// With an alpha channel.
        Transparent = "transparent",
    }
}

words! {
    /// How much work the model puts in (OpenRouter's `quality`).
    Quality {
        /// The model decides.
        Auto = "auto",
        /// Fastest and cheapest.
        Low = "low",
        /// In between.
        Medium = "medium",
        /// Slow and dear.
        High = "high",
        /// Above high, where a model has it.
        Xhigh = "xhigh",
        /// The most a model can do.
        Max = "max",
    }
}

// === impl Resolution ===

impl Resolution {
    /// Every size class, smallest first.
    pub const ALL: [Self; 6] = [
        Self::R512,
        Self::R768,
        Self::R1K,
        Self::R1K5,
        Self::R2K,
        Self::R4K,
    ];

    /// Reads `512`, `0.5K`, `768`, `1K`, `1.5K`, `2K` or `4K`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "512" | "0.5K" => Self::R512,
            "768" => Self::R768,
            "1K" => Self::R1K,
            "1.5K" => Self::R1K5,
            "2K" => Self::R2K,
            "4K" => Self::R4K,
            _ => return None,
        })
    }

    /// The word OpenRouter uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::R512 => "512",
            Self::R768 => "768",
            Self::R1K => "1K",
            Self::R1K5 => "1.5K",
            Self::R2K => "2K",
            Self::R4K => "4K",
        }
    }

    /// The side of the square of this class, in pixels.
    pub const fn edge(self) -> u32 {
        match self {
            Self::R512 => 512,
            Self::R768 => 768,
            Self::R1K => 1024,
            Self::R1K5 => 1536,
            Self::R2K => 2048,
            Self::R4K => 4096,
        }
    }

    /// Billed megapixels: rounded up, at least one (`domain.md` C5).
    pub const fn megapixels(self) -> u64 {
        let pixels = self.edge() as u64 * self.edge() as u64;
        pixels.div_ceil(MEGAPIXEL)
    }
}

impl fmt::Display for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

// === impl AspectRatio ===

impl AspectRatio {
    /// As wide as high.
    pub const SQUARE: Self = Self::whole(1, 1);

    /// A ratio of two small whole numbers, for tables in the code.
    pub const fn whole(width: u32, height: u32) -> Self {
        Self {
            width: width * 100,
            height: height * 100,
        }
    }

    /// Reads `W:H`, each a positive number below 10,000 with at most two decimals. No model offers
    /// most of them; the nearest that one offers is taken (`api.md`).
    pub fn parse(text: &str) -> Option<Self> {
        let (width, height) = text.split_once(':')?;
        Some(Self {
            width: hundredths(width)?,
            height: hundredths(height)?,
        })
    }

    /// Whether both describe the same shape: `16:9` and `32:18` do.
    pub fn same_shape(self, other: Self) -> bool {
        let cross = |a: u32, b: u32| u64::from(a) * u64::from(b);
        cross(self.width, other.height) == cross(self.height, other.width)
    }

    /// The candidate closest in shape, by the factor between the two ratios; the first of equals.
    pub fn nearest(self, candidates: &[Self]) -> Option<Self> {
        candidates
            .iter()
            .copied()
            .min_by(|a, b| self.compare_distance(*a, *b))
    }

    /// Whether a picture of `size` has this shape, give or take three percent (`api.md`).
    pub fn fits(self, size: PixelSize) -> bool {
        let have = u128::from(size.width) * u128::from(self.height);
        let want = u128::from(self.width) * u128::from(size.height);
        have.abs_diff(want) * 100 <= want * 3
    }

    /// The largest size of this shape within the area of `resolution`, in steps of 16 pixels.
    pub fn pixels(self, resolution: Resolution) -> PixelSize {
        let area = u64::from(resolution.edge()) * u64::from(resolution.edge());
        let side = |long: u32, short: u32| {
            let exact = (area * u64::from(long) / u64::from(short)).isqrt();
            u32::try_from(exact / 16 * 16).unwrap_or(16).max(16)
        };
        PixelSize {
            width: side(self.width, self.height),
            height: side(self.height, self.width),
        }
    }

    fn compare_distance(self, a: Self, b: Self) -> Ordering {
        let (a_long, a_short) = self.factor(a);
        let (b_long, b_short) = self.factor(b);
        (a_long * b_short).cmp(&(b_long * a_short))
    }

    /// How far apart two shapes are, as a fraction that is at least one.
    fn factor(self, other: Self) -> (u128, u128) {
        let one = u128::from(self.width) * u128::from(other.height);
        let two = u128::from(self.height) * u128::from(other.width);
        (one.max(two), one.min(two))
    }
}

impl fmt::Display for AspectRatio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}:{}", side(self.width), side(self.height)))
    }
}

impl fmt::Display for PixelSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}x{}", self.width, self.height))
    }
}

impl PixelSize {
    /// Megapixels, rounded up, at least one.
    pub fn megapixels(self) -> u64 {
        (u64::from(self.width) * u64::from(self.height))
            .div_ceil(MEGAPIXEL)
            .max(1)
    }
}

fn hundredths(text: &str) -> Option<u32> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 4 || fraction.len() > 2 || text.ends_with('.') {
        return None;
    }
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let value: u32 = format!("{whole}{fraction:0<2}").parse().ok()?;
    (value > 0).then_some(value)
}

fn side(hundredths: u32) -> String {
    let text = format!("{}.{:02}", hundredths / 100, hundredths % 100);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(text: &str) -> AspectRatio {
        AspectRatio::parse(text).expect(text)
    }

    #[test]
    fn ratios_are_read_and_shown_as_openrouter_spells_them() {
        for text in ["1:1", "16:9", "2.35:1", "9:19.5", "21:9", "1:8"] {
            assert_eq!(ratio(text).to_string(), text);
        }
        for text in [
            "", "abc", "0:1", "1:0", "1", "1:", "1:1:1", "-1:1", "1.234:1", "1.:1", "1e1:1",
            "10000:1", "auto",
        ] {
            assert_eq!(AspectRatio::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_nearest_shape_is_found_by_factor_not_by_difference() {
        let offered = [ratio("1:1"), ratio("3:2"), ratio("2:3")];
        assert_eq!(ratio("16:9").nearest(&offered), Some(ratio("3:2")));
        assert_eq!(ratio("9:16").nearest(&offered), Some(ratio("2:3")));
        assert_eq!(ratio("5:4").nearest(&offered), Some(ratio("3:2")));
        assert_eq!(ratio("6:5").nearest(&offered), Some(ratio("1:1")));
        assert_eq!(ratio("1000:1").nearest(&offered), Some(ratio("3:2")));
        assert!(ratio("32:18").same_shape(ratio("16:9")));
    }

    #[test]
    fn sizes_keep_the_area_of_their_class() {
        assert_eq!(
            ratio("1:1").pixels(Resolution::R1K).to_string(),
            "1024x1024"
        );
        assert_eq!(
            ratio("1:1").pixels(Resolution::R4K).to_string(),
            "4096x4096"
        );
        for resolution in Resolution::ALL {
            for text in ["16:9", "9:16", "21:9", "4:3", "1:8"] {
                let size = ratio(text).pixels(resolution);
                assert!(
                    size.megapixels() <= resolution.megapixels(),
                    "{text} {resolution}"
                );
            }
        }
        assert!(ratio("16:9").fits(ratio("16:9").pixels(Resolution::R2K)));
        assert!(!ratio("16:9").fits(PixelSize {
            width: 1024,
            height: 1024
        }));
    }

    #[test]
    fn megapixels_are_rounded_up_so_that_1k_is_always_one() {
        let billed: Vec<u64> = Resolution::ALL.iter().map(|r| r.megapixels()).collect();
        assert_eq!(billed, [1, 1, 1, 3, 4, 16]);
    }
}

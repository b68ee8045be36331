//! Pages: how many, and where the last one ended. A token tells the place of the last item and is
//! good for the same question alone; one that was made up or belongs to another is refused.

use crate::domain::failure::Failure;

/// Items of a page that names no size (`api.md`, Lists).
const SIZE: u32 = 50;

/// The most items of a page.
const SIZE_MAX: u32 = 1_000;

/// Bytes of a token's check.
const CHECK_BYTES: usize = 4;

/// How many items a page has.
pub(super) fn size(asked: i32) -> Result<u32, Failure> {
    match u32::try_from(asked) {
        Ok(0) => Ok(SIZE),
        Ok(size) => Ok(size.min(SIZE_MAX)),
        Err(_) => Err(Failure::invalid("page_size", "must not be negative")),
    }
}

/// Where the page before ended; `None` for the first page. `question` is everything that was asked
/// but the page.
pub(super) fn place<const N: usize>(
    token: &str,
    question: &impl std::fmt::Debug,
) -> Result<Option<[u8; N]>, Failure> {
    if token.is_empty() {
        return Ok(None);
    }
    let place = read(token).filter(|place| self::token(place, question) == token);
    let what = "is not one that an earlier answer to this question gave";
    place
        .map(Some)
        .ok_or_else(|| Failure::invalid("page_token", what))
}

/// The token of the page after this place.
pub(super) fn token(place: &[u8], question: &impl std::fmt::Debug) -> String {
    let mut check = crc32fast::Hasher::new();
    check.update(place);
    check.update(format!("{question:?}").as_bytes());
    let check = check.finalize().to_be_bytes();
    let bytes = place.iter().chain(&check);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

fn read<const N: usize>(token: &str) -> Option<[u8; N]> {
    let digits = token.as_bytes();
    if digits.len() != (N + CHECK_BYTES) * 2 || !token.is_ascii() {
        return None;
    }
    let mut place = [0; N];
    for (byte, pair) in place.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_question_alone() {
        let made = token(&[1, 2, 3, 4], &"all");
        assert_eq!(place(&made, &"all").expect("good"), Some([1, 2, 3, 4]));
        assert!(place::<4>(&made, &"some").is_err());
        assert!(place::<8>(&made, &"all").is_err());
        for forged in [
            "x",
            "01020304",
            "0102030400000000",
            "01020304zzzzzzzz",
            "☃☃☃☃",
        ] {
            assert!(place::<4>(forged, &"all").is_err(), "{forged}");
        }
        assert_eq!(place::<4>("", &"all").expect("the first page"), None);
    }

    #[test]
    fn a_page_has_fifty_items_unless_it_is_told() {
        assert_eq!(size(0).expect("good"), 50);
        assert_eq!(size(7).expect("good"), 7);
        assert_eq!(size(5000).expect("good"), 1000);
        assert!(size(-1).is_err());
    }
}

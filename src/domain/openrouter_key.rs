//! An organization's own OpenRouter key, as far as it may be seen: what is shown of it, what is kept
//! of it, and when it counts as refused for good.

use jiff::SignedDuration;

use super::shape::words;

/// Fewer characters than these are no key that OpenRouter gives out, which have 73.
pub const KEY_CHARS_MIN: usize = 20;

/// More characters than these are refused unread.
pub const KEY_CHARS_MAX: usize = 512;

/// Refusals, each confirmed by OpenRouter's own record of the key, after which it counts as invalid
/// (`reliability.md` row 27).
pub const REFUSALS_MAX: u32 = 2;

/// Refusals that come sooner after one that was counted are the same: a moment in which OpenRouter
/// fails must not end a good key, however many pictures are asked for in it.
pub const REFUSALS_APART: SignedDuration = SignedDuration::from_secs(5);

/// How OpenRouter's keys begin; shown, because it is the same for all.
const START: &str = "sk-or-v1-";

/// Characters of the end that are shown, to tell two keys apart.
const SHOWN: usize = 4;

words! {
    /// Whether an organization's own key can be drawn with.
    KeyStatus {
        /// OpenRouter took it when it was last asked.
        Active = "active",
        /// OpenRouter refuses it: nothing is drawn until it is replaced or deleted.
        Invalid = "invalid",
        /// It has become the platform's: likewise.
        Platforms = "platforms",
        /// It cannot be opened here any more: likewise.
        Unreadable = "unreadable",
    }
}

/// A secret that only whoever has the key-encryption key can read: encrypted with a data key of its
/// own, which is encrypted with that one (`reliability.md` §6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The name of the key-encryption key.
    pub kek: [u8; 8],
    /// The data key under the key-encryption key, with its nonce.
    pub wrapped: Vec<u8>,
    /// The secret under the data key, with its nonce.
    pub sealed: Vec<u8>,
}

/// What may be shown of a key: how it begins, if that is how all begin, and its last characters.
pub fn mask(key: &str) -> String {
    let start = if key.starts_with(START) { START } else { "" };
    let count = key.chars().count();
    let end: String = key.chars().skip(count.saturating_sub(SHOWN)).collect();
    format!("{start}…{end}")
}

/// Whether a text can be a key: printable ASCII, so that it can stand in a header.
///
/// # Errors
/// What is wrong with it, to complete the sentence "`key` …".
pub fn check(key: &str) -> Result<(), String> {
    if !(KEY_CHARS_MIN..=KEY_CHARS_MAX).contains(&key.len()) {
        return Err(format!(
            "must have from {KEY_CHARS_MIN} to {KEY_CHARS_MAX} characters"
        ));
    }
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("must consist of printable ASCII characters without spaces".to_owned());
    }
    Ok(())
}

// === impl KeyStatus ===

impl KeyStatus {
    /// After so many confirmed refusals without a success between them.
    pub const fn after(refusals: u32) -> Self {
        if refusals >= REFUSALS_MAX {
            Self::Invalid
        } else {
            Self::Active
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_a_key_is_nothing_to_guess_it_from() {
        let key = "sk-or-v1-0123456789abcdef0123456789abcdef";
        assert_eq!(mask(key), "sk-or-v1-…cdef");
        assert_eq!(mask("another-providers-key-of-32-chars"), "…hars");
    }

    #[test]
    fn only_what_can_stand_in_a_header_can_be_a_key() {
        assert!(check("sk-or-v1-0123456789abcdef").is_ok());
        let long = "k".repeat(KEY_CHARS_MAX + 1);
        let odd = [
            "",
            "short",
            "sk-or-v1-with a space in it",
            "sk-or-v1-with\na-line-end",
            &long,
        ];
        for key in odd {
            assert!(check(key).is_err(), "{key}");
        }
        assert!(check("sk-or-v1-schlüssel-0123456789").is_err());
    }

    #[test]
    fn one_refusal_is_an_accident_and_two_are_an_end() {
        assert_eq!(KeyStatus::after(0), KeyStatus::Active);
        assert_eq!(KeyStatus::after(1), KeyStatus::Active);
        assert_eq!(KeyStatus::after(2), KeyStatus::Invalid);
    }
}

//! JSON values of the lists, looked at one by one where they stand, so that no second copy of a
//! long answer is ever made. A value of another type than expected is an absent one.

use std::fmt;

use serde::de::{DeserializeOwned, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer as _};
use serde_json::value::RawValue;

use super::super::lenient::Object;

/// The most characters of a modality, a unit, a provider: OpenRouter's longest have 22.
pub(super) const WORD_MAX_CHARS: usize = 64;

/// The most characters of a price; [`crate::domain::listing::price`] reads no longer one.
pub(super) const PRICE_MAX_CHARS: usize = 64;

/// The most entries of a list within a model; OpenRouter's longest have 18.
pub(super) const ENTRIES_MAX: usize = 64;

/// A value as it stands, if there is one that is not `null`.
pub(super) type Raw<'a> = Option<&'a RawValue>;

/// Shows each item of an array to somebody.
struct Each<F>(F);

/// An object of the right shape.
pub(super) fn object<'a, T: Deserialize<'a>>(raw: Raw<'a>) -> Option<T> {
    let Object(read) = serde_json::from_str(raw?.get()).ok()?;
    Some(read)
}

/// A whole number that is not too great for its type.
pub(super) fn number<T: DeserializeOwned>(raw: Raw<'_>) -> Option<T> {
    serde_json::from_str(raw?.get()).ok()
}

/// A text on one line, cut.
pub(super) fn text(raw: Raw<'_>, chars_max: usize) -> Option<String> {
    let text: String = serde_json::from_str(raw?.get()).ok()?;
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    Some(text.chars().take(chars_max).map(visible).collect())
}

/// A word, empty if it is none.
pub(super) fn word(raw: Raw<'_>) -> String {
    text(raw, WORD_MAX_CHARS).unwrap_or_default()
}

/// Those items of an array that are words.
pub(super) fn words(raw: Raw<'_>) -> Vec<String> {
    first(raw, ENTRIES_MAX, |item| text(Some(item), WORD_MAX_CHARS))
}

/// The text of a price: a string, or a number in its own digits. Empty if it is neither, or no
/// decimal could be so long.
pub(super) fn price(raw: Raw<'_>) -> String {
    let Some(written) = raw.map(RawValue::get) else {
        return String::new();
    };
    let text = match written.as_bytes().first() {
        Some(b'"') => serde_json::from_str(written).unwrap_or_default(),
        Some(b'-' | b'0'..=b'9') => written.to_owned(),
        _ => String::new(),
    };
    let readable = text.chars().count() <= PRICE_MAX_CHARS && !text.contains(char::is_control);
    if readable { text } else { String::new() }
}

/// The first items of an array that can be read; none if it is no array.
pub(super) fn first<'a, T>(
    array: Raw<'a>,
    most: usize,
    read: impl Fn(&'a RawValue) -> Option<T>,
) -> Vec<T> {
    let mut found = Vec::new();
    if let Some(array) = array {
        // The value is JSON, so it can only be no array, and then there is nothing in it.
        let _ = each(array, |item| {
            if found.len() < most {
                found.extend(read(item));
            }
        });
    }
    found
}

/// Shows every item of an array.
///
/// # Errors
/// If it is no array.
pub(super) fn each<'a>(
    array: &'a RawValue,
    take: impl FnMut(&'a RawValue),
) -> Result<(), serde_json::Error> {
    serde_json::Deserializer::from_str(array.get()).deserialize_seq(Each(take))
}

// === impl Each ===

impl<'de, F: FnMut(&'de RawValue)> Visitor<'de> for Each<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element()? {
            (self.0)(item);
        }
        Ok(())
    }
}

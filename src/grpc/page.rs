//! Pages: how many items, how many bytes, and where the last one ended. A token tells the place of
//! the last item under a seal of this gateway: it is good for the same question alone, and nobody
//! else can make one.

use std::fmt;

use prost::Message;

use crate::domain::failure::Failure;
use crate::keys::{Keyring, SEAL_BYTES};

/// Items of a page that names no size (`api.md`, Lists).
const SIZE: u32 = 50;

/// The most items of a page (`api.md`, Lists).
const SIZE_MAX: u32 = 1_000;

/// The most bytes of a page, as long as it has more than one item. Clients refuse messages above
/// 4 MiB unless they are told otherwise (gRPC's default).
const BYTES_MAX: usize = 3 * 1024 * 1024;

/// The longest place: a time and a slug.
const PLACE_BYTES_MAX: usize = 8 + 128;

/// What was asked, but for the page.
pub(super) struct Asked<'a> {
    keyring: &'a Keyring,
    asked: String,
}

/// A page while it is filled.
#[derive(Debug)]
pub(super) struct Page<T> {
    /// What fits.
    pub(super) items: Vec<T>,
    size: usize,
    bytes: usize,
}

// === impl Asked ===

impl<'a> Asked<'a> {
    /// `asked` names the call and every filter, and whose items they are.
    pub(super) fn new(keyring: &'a Keyring, asked: &impl fmt::Debug) -> Self {
        Self {
            keyring,
            asked: format!("{asked:?}"),
        }
    }

    /// Where the page before ended; `None` for the first page.
    pub(super) fn place<const N: usize>(&self, token: &str) -> Result<Option<[u8; N]>, Failure> {
        let place = self.place_of_any_length(token)?;
        let sized = |place: Vec<u8>| place.try_into().map_err(|_| foreign());
        place.map(sized).transpose()
    }

    /// The same, where places differ in length.
    pub(super) fn place_of_any_length(&self, token: &str) -> Result<Option<Vec<u8>>, Failure> {
        if token.is_empty() {
            return Ok(None);
        }
        let place = read(token).filter(|place| self.token(place) == token);
        place.map(Some).ok_or_else(foreign)
    }

    /// The token of the page after this place.
    pub(super) fn token(&self, place: &[u8]) -> String {
        let hex = |bytes: &[u8]| -> String { super::write::hex(bytes) };
        let place = hex(place);
        let seal = self.keyring.seal(&format!("{place} {}", self.asked));
        place + &hex(&seal)
    }
}

// === impl Page ===

impl<T: Message> Page<T> {
    /// An empty page for as many items as were asked for.
    pub(super) fn new(asked: i32) -> Result<Self, Failure> {
        let size = match u32::try_from(asked) {
            Ok(0) => SIZE,
            Ok(size) => size.min(SIZE_MAX),
            Err(_) => return Err(Failure::invalid("page_size", "must not be negative")),
        };
        Ok(Self {
            items: Vec::new(),
            size: usize::try_from(size).unwrap_or(usize::MAX),
            bytes: 0,
        })
    }

    /// How many items to look for: one more than fit, which tells that there is a next page.
    pub(super) fn wanted(&self) -> u32 {
        let left = self.size.saturating_sub(self.items.len());
        u32::try_from(left).unwrap_or(SIZE_MAX).saturating_add(1)
    }

    /// Takes an item if it fits.
    pub(super) fn add(&mut self, item: T) -> bool {
        let bytes = self.bytes.saturating_add(item.encoded_len());
        let fits = self.items.len() < self.size && (bytes <= BYTES_MAX || self.items.is_empty());
        if fits {
            self.bytes = bytes;
            self.items.push(item);
        }
        fits
    }
}

/// What stands before the seal.
fn read(token: &str) -> Option<Vec<u8>> {
    let digits = token.len().checked_sub(SEAL_BYTES * 2)?;
    if digits > PLACE_BYTES_MAX * 2 || digits % 2 == 1 || !token.is_ascii() {
        return None;
    }
    let pairs = token.as_bytes()[..digits].chunks_exact(2);
    let byte = |pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    pairs.map(byte).collect()
}

fn foreign() -> Failure {
    let what = "is not one that an earlier answer to this question gave";
    Failure::invalid("page_token", what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::LedgerEntry;

    #[test]
    fn a_token_is_good_for_its_question_at_its_gateway_alone() {
        let (here, elsewhere) = (Keyring::new([1; 32], None), Keyring::new([2; 32], None));
        let all = Asked::new(&here, &"all");
        let made = all.token(&[1, 2, 3, 4]);
        assert_eq!(all.place(&made).expect("good"), Some([1, 2, 3, 4]));
        assert_eq!(all.place::<4>("").expect("the first page"), None);
        assert!(all.place::<8>(&made).is_err());
        assert!(Asked::new(&here, &"some").place::<4>(&made).is_err());
        assert!(Asked::new(&elsewhere, &"all").place::<4>(&made).is_err());
        let mut moved = made.clone();
        moved.replace_range(..2, "02");
        for forged in [
            "x",
            "after-1",
            "☃☃☃☃☃☃☃☃",
            &made[..8],
            &moved,
            &made.to_uppercase(),
        ] {
            assert!(all.place::<4>(forged).is_err(), "{forged}");
        }
    }

    fn entry(bytes: usize) -> LedgerEntry {
        LedgerEntry {
            description: "x".repeat(bytes),
            ..LedgerEntry::default()
        }
    }

    #[test]
    fn a_page_has_fifty_items_unless_it_is_told() {
        for (asked, size) in [(0, 50), (7, 7), (1000, 1000), (5000, 1000)] {
            let mut page = Page::new(asked).expect("a page");
            assert_eq!(page.wanted(), size + 1);
            while page.add(entry(0)) {}
            assert_eq!((page.items.len(), page.wanted()), (size as usize, 1));
        }
        assert!(Page::<LedgerEntry>::new(-1).is_err());
    }

    #[test]
    fn a_page_ends_before_its_message_is_too_large_but_never_without_an_item() {
        let mut page = Page::new(1000).expect("a page");
        while page.add(entry(1_000_000)) {}
        assert_eq!(page.items.len(), 3);
        let mut page = Page::new(1000).expect("a page");
        assert!(page.add(entry(5_000_000)));
        assert!(!page.add(entry(0)));
    }
}

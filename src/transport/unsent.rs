//! Bytes of all answers that wait to be sent. How fast they go is up to whoever reads, so they are
//! bounded as the bytes of requests are: who they are for has a part, and leaves room for the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Whose answers they are, as these say ([`Door`](super::Door)); `None` is nobody that is known.
pub(super) type Whose = Option<Arc<str>>;

/// Bytes of all answers: three quarters of what a flood may cost (64 MiB, `reliability.md` G18). The rest
/// is for what their connections and calls take beside them.
const BYTES_MAX: usize = 48 * 1024 * 1024;

/// One may have so many times what is left for all (dynamic thresholds; Choudhury and Hahne, 1998).
/// Alone it gets two thirds, which are ten of the largest answers (pages of 3 MiB), or a piece of 64 KiB
/// for each of the 512 calls that it may have open.
const TIMES_WHAT_IS_LEFT: usize = 2;

/// Of each answer the first bytes have room always: whoever asks for a balance is told. All calls that
/// can be open (8192) take 64 MiB more with them at most, if as many organizations as that takes agree.
const FIRST_BYTES: usize = 8 * 1024;

/// What waits; only those are in it for whom something does.
#[derive(Debug, Default)]
pub(super) struct Unsent(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    each: HashMap<Whose, usize>,
}

// === impl Unsent ===

impl Unsent {
    /// Room for so many bytes of an answer of which `before` wait; `false` if there is none.
    pub(super) fn take(&self, whose: &Whose, before: usize, bytes: usize) -> bool {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = BYTES_MAX.saturating_sub(taken.all.saturating_add(bytes));
        let has = taken.each.get(whose).copied().unwrap_or(0) + bytes;
        if before + bytes > FIRST_BYTES && has > left * TIMES_WHAT_IS_LEFT {
            return false;
        }
        taken.all += bytes;
        // Looked up twice rather than cloned for each piece of an answer.
        match taken.each.get_mut(whose) {
            Some(had) => *had = has,
            None => _ = taken.each.insert(whose.clone(), has),
        }
        true
    }

    /// They are gone.
    pub(super) fn give_back(&self, whose: &Whose, bytes: usize) {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(bytes);
        if let Some(has) = taken.each.get_mut(whose) {
            *has = has.saturating_sub(bytes);
            if *has == 0 {
                taken.each.remove(whose);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    fn whose(name: &str) -> Whose {
        Some(name.into())
    }

    /// As many megabytes as one can get.
    fn flood(unsent: &Unsent, name: &str) -> usize {
        let got = (0..).take_while(|_| unsent.take(&whose(name), 0, MIB));
        got.count()
    }

    #[test]
    fn whoever_does_not_read_leaves_room_for_others_and_first_bytes_always_have_some() {
        let unsent = Unsent::default();
        assert_eq!(flood(&unsent, "loud"), 32);
        assert_eq!(flood(&unsent, "louder"), 10);
        assert_eq!(flood(&unsent, "quiet"), 4);
        let names: Vec<_> = (0..100).map(|number| number.to_string()).collect();
        let got: usize = names.iter().map(|name| flood(&unsent, name)).sum();
        assert!(got <= 3, "{got}");
        assert!(unsent.take(&whose("new"), 0, FIRST_BYTES));
        assert!(!unsent.take(&whose("new"), FIRST_BYTES, FIRST_BYTES * 512));
        unsent.give_back(&whose("loud"), 32 * MIB);
        assert!(unsent.take(&whose("new"), 0, 8 * MIB), "what is given back");
    }

    #[test]
    fn nothing_is_kept_of_whoever_has_read_everything() {
        let unsent = Unsent::default();
        for name in ["one", "other"] {
            assert!(unsent.take(&whose(name), 0, 10));
            unsent.give_back(&whose(name), 10);
        }
        let taken = unsent.0.lock().expect("a look");
        assert_eq!((taken.all, taken.each.len()), (0, 0));
    }
}

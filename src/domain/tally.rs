//! How many there are of each and of all: calls, places, bytes. Nothing is kept of whoever has none.

use std::collections::HashMap;
use std::hash::Hash;

/// So many in all, and whose they are.
#[derive(Debug)]
pub struct Tally<W> {
    all: usize,
    each: HashMap<W, usize>,
}

// === impl Tally ===

impl<W> Default for Tally<W> {
    fn default() -> Self {
        Self {
            all: 0,
            each: HashMap::new(),
        }
    }
}

impl<W: Clone + Eq + Hash> Tally<W> {
    /// In all.
    pub const fn all(&self) -> usize {
        self.all
    }

    /// Of one.
    pub fn of(&self, whose: &W) -> usize {
        self.each.get(whose).copied().unwrap_or(0)
    }

    /// How many have some.
    pub fn parties(&self) -> usize {
        self.each.len()
    }

    /// So many more of one.
    pub fn add(&mut self, whose: &W, count: usize) {
        if count == 0 {
            return;
        }
        self.all += count;
        // Looked up twice rather than cloned each time.
        match self.each.get_mut(whose) {
            Some(has) => *has += count,
            None => _ = self.each.insert(whose.clone(), count),
        }
    }

    /// So many fewer of one.
    pub fn remove(&mut self, whose: &W, count: usize) {
        self.all = self.all.saturating_sub(count);
        if let Some(has) = self.each.get_mut(whose) {
            *has = has.saturating_sub(count);
            if *has == 0 {
                self.each.remove(whose);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_and_removed_is_counted_and_nothing_is_kept_of_whoever_has_none() {
        let mut tally = Tally::default();
        tally.add(&"one", 3);
        tally.add(&"one", 2);
        tally.add(&"other", 4);
        tally.add(&"nobody", 0);
        assert_eq!((tally.all(), tally.parties()), (9, 2));
        assert_eq!(
            [tally.of(&"one"), tally.of(&"other"), tally.of(&"nobody")],
            [5, 4, 0]
        );
        tally.remove(&"one", 4);
        assert_eq!((tally.all(), tally.of(&"one")), (5, 1));
        tally.remove(&"one", 1);
        tally.remove(&"other", 4);
        assert_eq!((tally.all(), tally.parties()), (0, 0));
    }
}

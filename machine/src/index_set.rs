//! Sets of small numbers, such as the indices of CPUs.

use core::fmt;

/// A set of indices below `64 * WORDS`, a bit for each.
///
/// ```
/// use reveille_machine::IndexSet;
///
/// let mut set = IndexSet::<2>::first(4);
/// assert!(set.insert(100) && !set.insert(2) && set.remove(0));
/// assert_eq!(set.len(), 4);
/// assert!(set.iter().eq([1, 2, 3, 100]));
/// assert!(set.intersection(&IndexSet::first(2)).is_subset(&set));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct IndexSet<const WORDS: usize>([u64; WORDS]);

impl<const WORDS: usize> IndexSet<WORDS> {
    /// Indices are below this.
    pub const CAPACITY: usize = 64 * WORDS;

    /// The set of no index.
    pub const EMPTY: Self = Self([0; WORDS]);

    /// The bits: index 0 is the lowest of the first word.
    #[inline]
    pub const fn words(&self) -> &[u64; WORDS] {
        &self.0
    }

    /// The set of the first `count` indices; at most [`CAPACITY`](Self::CAPACITY).
    pub fn first(count: usize) -> Self {
        let mut set = Self::EMPTY;
        for index in 0..count.min(Self::CAPACITY) {
            set.insert(index);
        }
        set
    }

    /// Whether `index` is in the set.
    ///
    /// # Panics
    ///
    /// If `index` is not below [`CAPACITY`](Self::CAPACITY), here and in the functions below.
    #[inline]
    pub const fn contains(&self, index: usize) -> bool {
        self.0[index / 64] & (1 << (index % 64)) != 0
    }

    /// Adds `index`; says whether it was absent.
    #[inline]
    pub const fn insert(&mut self, index: usize) -> bool {
        let absent = !self.contains(index);
        self.0[index / 64] |= 1 << (index % 64);
        absent
    }

    /// Removes `index`; says whether it was present.
    #[inline]
    pub const fn remove(&mut self, index: usize) -> bool {
        let present = self.contains(index);
        self.0[index / 64] &= !(1 << (index % 64));
        present
    }

    /// The indices that are in this set, in `other`, or in both.
    pub const fn union(mut self, other: &Self) -> Self {
        let mut at = 0;
        while at < WORDS {
            self.0[at] |= other.0[at];
            at += 1;
        }
        self
    }

    /// The indices that are in both sets.
    pub const fn intersection(mut self, other: &Self) -> Self {
        let mut at = 0;
        while at < WORDS {
            self.0[at] &= other.0[at];
            at += 1;
        }
        self
    }

    /// The indices of this set that are not in `other`.
    pub const fn difference(mut self, other: &Self) -> Self {
        let mut at = 0;
        while at < WORDS {
            self.0[at] &= !other.0[at];
            at += 1;
        }
        self
    }

    /// Whether every index of this set is in `other` too.
    pub const fn is_subset(&self, other: &Self) -> bool {
        let mut at = 0;
        while at < WORDS {
            if self.0[at] & !other.0[at] != 0 {
                return false;
            }
            at += 1;
        }
        true
    }

    /// The number of indices in the set.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// The indices of the set in ascending order.
    pub fn iter(&self) -> Indices<WORDS> {
        Indices { words: self.0, at: 0 }
    }
}

impl<const WORDS: usize> Default for IndexSet<WORDS> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<const WORDS: usize> IntoIterator for &IndexSet<WORDS> {
    type Item = usize;
    type IntoIter = Indices<WORDS>;
    fn into_iter(self) -> Indices<WORDS> {
        self.iter()
    }
}

/// The indices of a set, ascending.
#[derive(Clone, Debug)]
pub struct Indices<const WORDS: usize> {
    words: [u64; WORDS],
    at: usize,
}

impl<const WORDS: usize> Iterator for Indices<WORDS> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.at < WORDS {
            let word = &mut self.words[self.at];
            if *word != 0 {
                let bit = word.trailing_zeros() as usize;
                *word &= *word - 1;
                return Some(self.at * 64 + bit);
            }
            self.at += 1;
        }
        None
    }
}

impl<const WORDS: usize> fmt::Debug for IndexSet<WORDS> {
    /// Ranges, as in `{0-3,7}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        let mut indices = self.iter().peekable();
        let mut separator = "";
        while let Some(first) = indices.next() {
            let mut last = first;
            while let Some(next) = indices.next_if_eq(&(last + 1)) {
                last = next;
            }
            if first == last {
                write!(f, "{separator}{first}")?;
            } else {
                write!(f, "{separator}{first}-{last}")?;
            }
            separator = ",";
        }
        f.write_str("}")
    }
}

impl<const WORDS: usize> fmt::Display for IndexSet<WORDS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::format;

    type Set = IndexSet<8>;

    fn set(indices: &[usize]) -> Set {
        let mut set = Set::EMPTY;
        for index in indices {
            set.insert(*index);
        }
        set
    }

    #[test]
    fn insert_and_remove_report_the_change() {
        let mut s = Set::EMPTY;
        assert!(s.is_empty());
        assert!(s.insert(511));
        assert!(!s.insert(511));
        assert!(s.contains(511));
        assert!(s.remove(511));
        assert!(!s.remove(511));
        assert_eq!(s, Set::EMPTY);
    }

    #[test]
    fn iterates_in_order_across_words() {
        let s = set(&[300, 0, 63, 64, 511]);
        let indices: std::vec::Vec<_> = s.iter().collect();
        assert_eq!(indices, [0, 63, 64, 300, 511]);
        assert_eq!(s.len(), 5);
    }

    #[test]
    fn prints_ranges() {
        assert_eq!(format!("{}", set(&[])), "{}");
        assert_eq!(format!("{}", set(&[0, 1, 2, 5, 63, 64])), "{0-2,5,63-64}");
    }

    #[test]
    fn sets_of_two_sets() {
        let (a, b) = (set(&[0, 63, 64, 511]), set(&[1, 63, 300, 511]));
        assert_eq!(a.union(&b), set(&[0, 1, 63, 64, 300, 511]));
        assert_eq!(a.intersection(&b), set(&[63, 511]));
        assert_eq!((a.difference(&b), b.difference(&a)), (set(&[0, 64]), set(&[1, 300])));
        assert!(Set::EMPTY.is_subset(&a) && a.is_subset(&a) && a.is_subset(&a.union(&b)));
        assert!(!a.is_subset(&b) && !a.is_subset(&Set::EMPTY) && a.intersection(&b).is_subset(&b));
    }

    #[test]
    fn first_counts() {
        assert_eq!(Set::first(0), Set::EMPTY);
        assert_eq!(Set::first(70).len(), 70);
        assert!(!Set::first(70).contains(70));
    }
}

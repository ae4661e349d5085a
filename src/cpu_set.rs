//! Names of CPUs, and sets of them.

use core::fmt;

/// The most CPUs that the runtime keeps track of. Those of a larger device tree are counted and left alone.
pub const MAX_CPUS: usize = 512;

const WORDS: usize = MAX_CPUS / 64;

/// A CPU of this machine: 0 is the one that booted, the others follow in the order of the device tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct CpuId(u16);

impl CpuId {
    /// The CPU that booted the image.
    pub const BOOT: Self = Self(0);

    /// The id with this index, unchecked against the machine; below [`MAX_CPUS`].
    pub(crate) const fn from_index(index: usize) -> Self {
        debug_assert!(index < MAX_CPUS);
        Self(index as u16)
    }

    /// The index, below [`MAX_CPUS`] and below the number of possible CPUs.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for CpuId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for CpuId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cpu{}", self.0)
    }
}

/// A set of CPUs.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuSet([u64; WORDS]);

impl CpuSet {
    /// The set of no CPU.
    pub const EMPTY: Self = Self([0; WORDS]);

    /// The set of the first `count` CPUs; at most [`MAX_CPUS`].
    pub(crate) fn first(count: usize) -> Self {
        (0..count.min(MAX_CPUS)).map(CpuId::from_index).collect()
    }

    /// Whether `cpu` is in the set.
    #[inline]
    pub const fn contains(&self, cpu: CpuId) -> bool {
        self.0[cpu.index() / 64] & (1 << (cpu.index() % 64)) != 0
    }

    /// Adds `cpu`; says whether it was absent.
    #[inline]
    pub const fn insert(&mut self, cpu: CpuId) -> bool {
        let absent = !self.contains(cpu);
        self.0[cpu.index() / 64] |= 1 << (cpu.index() % 64);
        absent
    }

    /// Removes `cpu`; says whether it was present.
    #[inline]
    pub const fn remove(&mut self, cpu: CpuId) -> bool {
        let present = self.contains(cpu);
        self.0[cpu.index() / 64] &= !(1 << (cpu.index() % 64));
        present
    }

    /// The set without `cpu`.
    pub const fn without(mut self, cpu: CpuId) -> Self {
        self.remove(cpu);
        self
    }

    /// The number of CPUs in the set.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// The CPUs of the set in ascending order.
    pub fn iter(&self) -> Iter {
        Iter { words: self.0, at: 0 }
    }
}

impl FromIterator<CpuId> for CpuSet {
    fn from_iter<I: IntoIterator<Item = CpuId>>(cpus: I) -> Self {
        let mut set = Self::EMPTY;
        for cpu in cpus {
            set.insert(cpu);
        }
        set
    }
}

impl IntoIterator for CpuSet {
    type Item = CpuId;
    type IntoIter = Iter;
    fn into_iter(self) -> Iter {
        self.iter()
    }
}

impl IntoIterator for &CpuSet {
    type Item = CpuId;
    type IntoIter = Iter;
    fn into_iter(self) -> Iter {
        self.iter()
    }
}

/// The CPUs of a set, ascending.
#[derive(Clone, Debug)]
pub struct Iter {
    words: [u64; WORDS],
    at: usize,
}

impl Iterator for Iter {
    type Item = CpuId;

    #[inline]
    fn next(&mut self) -> Option<CpuId> {
        while self.at < WORDS {
            let word = &mut self.words[self.at];
            if *word != 0 {
                let bit = word.trailing_zeros() as usize;
                *word &= *word - 1;
                return Some(CpuId::from_index(self.at * 64 + bit));
            }
            self.at += 1;
        }
        None
    }
}

impl fmt::Debug for CpuSet {
    /// Ranges, as in `{0-3,7}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        let mut cpus = self.iter().map(CpuId::index).peekable();
        let mut separator = "";
        while let Some(first) = cpus.next() {
            let mut last = first;
            while let Some(next) = cpus.next_if_eq(&(last + 1)) {
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

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::format;

    fn set(cpus: &[usize]) -> CpuSet {
        cpus.iter().copied().map(CpuId::from_index).collect()
    }

    #[test]
    fn insert_and_remove_report_the_change() {
        let mut s = CpuSet::EMPTY;
        assert!(s.is_empty());
        assert!(s.insert(CpuId::from_index(511)));
        assert!(!s.insert(CpuId::from_index(511)));
        assert!(s.contains(CpuId::from_index(511)));
        assert!(s.remove(CpuId::from_index(511)));
        assert!(!s.remove(CpuId::from_index(511)));
        assert_eq!(s, CpuSet::EMPTY);
    }

    #[test]
    fn iterates_in_order_across_words() {
        let s = set(&[300, 0, 63, 64, 511]);
        let ids: std::vec::Vec<_> = s.iter().map(CpuId::index).collect();
        assert_eq!(ids, [0, 63, 64, 300, 511]);
        assert_eq!(s.len(), 5);
    }

    #[test]
    fn prints_ranges() {
        assert_eq!(format!("{}", set(&[])), "{}");
        assert_eq!(format!("{}", set(&[0, 1, 2, 5, 63, 64])), "{0-2,5,63-64}");
    }

    #[test]
    fn first_counts() {
        assert_eq!(CpuSet::first(0), CpuSet::EMPTY);
        assert_eq!(CpuSet::first(70).len(), 70);
        assert!(!CpuSet::first(70).contains(CpuId::from_index(70)));
    }
}

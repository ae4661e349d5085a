//! Names of CPUs, and sets of them.
//!
//! The set itself is the crate `reveille-machine`'s. Here are the types that make it one of CPUs: no safe code outside of the
//! runtime comes to a [`CpuId`] that is not one of this machine, on which indexing by it relies.

use core::fmt;
use core::ops::{BitAnd, BitOr, Sub};
use reveille_machine::{IndexSet, Indices};

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

    /// The same in as many bits as it takes.
    pub(crate) const fn number(self) -> u16 {
        self.0
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
pub struct CpuSet(IndexSet<WORDS>);

impl CpuSet {
    /// The set of no CPU.
    pub const EMPTY: Self = Self(IndexSet::EMPTY);

    /// The set of the first `count` CPUs; at most [`MAX_CPUS`].
    pub(crate) fn first(count: usize) -> Self {
        Self(IndexSet::first(count))
    }

    /// Whether `cpu` is in the set.
    #[inline]
    pub const fn contains(&self, cpu: CpuId) -> bool {
        self.0.contains(cpu.index())
    }

    /// Adds `cpu`; says whether it was absent.
    #[inline]
    pub const fn insert(&mut self, cpu: CpuId) -> bool {
        self.0.insert(cpu.index())
    }

    /// Removes `cpu`; says whether it was present.
    #[inline]
    pub const fn remove(&mut self, cpu: CpuId) -> bool {
        self.0.remove(cpu.index())
    }

    /// The set without `cpu`.
    pub const fn without(mut self, cpu: CpuId) -> Self {
        self.remove(cpu);
        self
    }

    /// The CPUs that are in this set, in `other`, or in both.
    pub const fn union(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0))
    }

    /// The CPUs that are in both sets.
    pub const fn intersection(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0))
    }

    /// The CPUs of this set that are not in `other`.
    pub const fn difference(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0))
    }

    /// Whether every CPU of this set is in `other` too.
    pub const fn is_subset(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }

    /// The number of CPUs in the set.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The CPUs of the set in ascending order.
    pub fn iter(&self) -> Iter {
        Iter(self.0.iter())
    }

    /// Calls `f` with each CPU of the set, in ascending order, on a machine of `count` CPUs: for less than [`Self::iter`], which takes a copy.
    #[inline(always)]
    pub(crate) fn each(&self, count: usize, mut f: impl FnMut(CpuId)) {
        for (index, word) in self.0.words().iter().take(count.div_ceil(64)).enumerate() {
            let mut left = *word;
            while left != 0 {
                f(CpuId::from_index(64 * index + left.trailing_zeros() as usize));
                left &= left - 1;
            }
        }
    }
}

/// The [union](CpuSet::union).
impl BitOr for CpuSet {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        self.union(&other)
    }
}

/// The [intersection](CpuSet::intersection).
impl BitAnd for CpuSet {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        self.intersection(&other)
    }
}

/// The [difference](CpuSet::difference).
impl Sub for CpuSet {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self.difference(&other)
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
pub struct Iter(Indices<WORDS>);

impl Iterator for Iter {
    type Item = CpuId;

    #[inline]
    fn next(&mut self) -> Option<CpuId> {
        self.0.next().map(CpuId::from_index)
    }
}

impl fmt::Debug for CpuSet {
    /// Ranges, as in `{0-3,7}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

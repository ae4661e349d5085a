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
///
/// ```no_run
/// use reveille::{cpu, println};
///
/// # fn example() {
/// let own = cpu::current();
/// println!("cpu {own} of {}", cpu::possible().len());
/// # }
/// ```
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
    ///
    /// ```no_run
    /// use core::sync::atomic::{AtomicU32, Ordering};
    /// use reveille::cpu;
    ///
    /// # fn example() {
    /// static WORK: [AtomicU32; 8] = [const { AtomicU32::new(0) }; 8];
    ///
    /// // For what is not there of every CPU; `percpu!` is, of as many as there are.
    /// if let Some(work) = WORK.get(cpu::current().index()) {
    ///     work.fetch_add(1, Ordering::Relaxed);
    /// }
    /// # }
    /// ```
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
///
/// ```no_run
/// use reveille::cpu::{self, CpuSet};
///
/// # fn example() {
/// let others = cpu::online().without(cpu::current());
/// let mut chosen = CpuSet::default();
/// for cpu in others.iter().take(2) {
///     chosen.insert(cpu);
/// }
/// assert!(chosen.is_subset(&others) && chosen.len() <= 2);
/// # }
/// ```
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
    ///
    /// ```no_run
    /// use reveille::cpu;
    ///
    /// # fn example() {
    /// assert!(cpu::possible().contains(cpu::current()));
    /// # }
    /// ```
    #[inline]
    pub const fn contains(&self, cpu: CpuId) -> bool {
        self.0.contains(cpu.index())
    }

    /// Adds `cpu`; says whether it was absent.
    ///
    /// ```no_run
    /// # fn example(set: &mut reveille::cpu::CpuSet, cpu: reveille::cpu::CpuId) {
    /// let is_new = set.insert(cpu);
    /// # }
    /// ```
    #[inline]
    pub const fn insert(&mut self, cpu: CpuId) -> bool {
        self.0.insert(cpu.index())
    }

    /// Removes `cpu`; says whether it was present.
    ///
    /// ```no_run
    /// # fn example(waiting: &mut reveille::cpu::CpuSet, cpu: reveille::cpu::CpuId) {
    /// if waiting.remove(cpu) && waiting.is_empty() {
    ///     // It was the last.
    /// }
    /// # }
    /// ```
    #[inline]
    pub const fn remove(&mut self, cpu: CpuId) -> bool {
        self.0.remove(cpu.index())
    }

    /// The set without `cpu`.
    ///
    /// ```no_run
    /// use reveille::{cpu, println};
    ///
    /// # fn example() {
    /// println!("{} others", cpu::online().without(cpu::current()).len());
    /// # }
    /// ```
    pub const fn without(mut self, cpu: CpuId) -> Self {
        self.remove(cpu);
        self
    }

    /// The CPUs that are in this set, in `other`, or in both.
    ///
    /// ```no_run
    /// # fn example(a: reveille::cpu::CpuSet, b: reveille::cpu::CpuSet) {
    /// let either = a.union(&b);
    /// # }
    /// ```
    pub const fn union(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0))
    }

    /// The CPUs that are in both sets.
    ///
    /// ```no_run
    /// use reveille::cpu;
    ///
    /// # fn example(wanted: reveille::cpu::CpuSet) {
    /// let there = wanted.intersection(&cpu::online());
    /// # }
    /// ```
    pub const fn intersection(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0))
    }

    /// The CPUs of this set that are not in `other`.
    ///
    /// ```no_run
    /// use reveille::{cpu, println};
    ///
    /// # fn example() {
    /// for cpu in &cpu::possible().difference(&cpu::online()) {
    ///     println!("cpu {cpu} is not online");
    /// }
    /// # }
    /// ```
    pub const fn difference(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0))
    }

    /// Whether every CPU of this set is in `other` too.
    ///
    /// ```no_run
    /// use reveille::cpu;
    ///
    /// # fn example(needed: reveille::cpu::CpuSet) {
    /// assert!(needed.is_subset(&cpu::online()));
    /// # }
    /// ```
    pub const fn is_subset(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }

    /// The number of CPUs in the set.
    ///
    /// ```no_run
    /// use reveille::cpu;
    ///
    /// # fn example() {
    /// let share = 1000 / cpu::online().len();
    /// # }
    /// ```
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the set is empty.
    ///
    /// ```no_run
    /// use reveille::{call, cpu, println};
    ///
    /// # fn example() {
    /// let busy = call::post_each(&cpu::online(), |_| { /* .. */ }).busy;
    /// if !busy.is_empty() {
    ///     println!("not sent to {busy:?}");
    /// }
    /// # }
    /// ```
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The CPUs of the set in ascending order.
    ///
    /// ```no_run
    /// use reveille::cpu;
    ///
    /// # fn example() {
    /// let first_other = cpu::online().iter().find(|cpu| *cpu != cpu::current());
    /// # }
    /// ```
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
///
/// ```no_run
/// use reveille::cpu::{self, Iter};
///
/// # fn example() {
/// let mut cpus: Iter = cpu::online().iter();
/// let first = cpus.next();
/// # }
/// ```
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

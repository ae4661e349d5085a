//! Sets of addresses, as sorted ranges. They change where they are: a set is too large to be moved around on a stack.

use core::ops::Range;

/// At most `N` disjoint ranges `[start, end)`, sorted, none touching the next.
///
/// ```
/// use reveille_machine::Ranges;
///
/// let mut free = Ranges::<4>::EMPTY;
/// free.insert(0x1000, 0x9000).unwrap();
/// free.remove(0x3000, 0x4000).unwrap();
/// assert!(free.iter().eq([(0x1000, 0x3000), (0x4000, 0x9000)]));
/// assert!(free.gaps().eq([(0, 0x1000), (0x3000, 0x4000), (0x9000, u64::MAX)]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranges<const N: usize> {
    list: [(u64, u64); N],
    len: usize,
}

/// A set became more fragmented than it has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyRanges;

impl<const N: usize> Ranges<N> {
    /// The empty set.
    pub const EMPTY: Self = Self { list: [(0, 0); N], len: 0 };

    /// The ranges in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.list[..self.len].iter().copied()
    }

    /// What lies between them, before the first and behind the last of them, in ascending order.
    pub fn gaps(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let starts = core::iter::once(0).chain(self.iter().map(|(_, end)| end));
        let ends = self.iter().map(|(start, _)| start).chain(core::iter::once(u64::MAX));
        starts.zip(ends).filter(|(start, end)| start < end)
    }

    /// Adds `[start, end)`.
    ///
    /// # Errors
    ///
    /// [`TooManyRanges`]; the set is unchanged then.
    pub fn insert(&mut self, start: u64, end: u64) -> Result<(), TooManyRanges> {
        if start < end && self.len == N && self.touching(start, end).is_empty() {
            return Err(TooManyRanges);
        }
        self.insert_or_drop(start, end);
        Ok(())
    }

    /// Takes `[start, end)` out.
    ///
    /// # Errors
    ///
    /// [`TooManyRanges`]; the set is unchanged then.
    pub fn remove(&mut self, start: u64, end: u64) -> Result<(), TooManyRanges> {
        if start < end && self.len == N && self.iter().any(|(s, e)| s < start && e > end) {
            return Err(TooManyRanges);
        }
        self.remove_or_drop(start, end);
        Ok(())
    }

    /// Adds `[start, end)`; if there is no room for so many ranges, the smallest falls out and is returned.
    pub fn insert_or_drop(&mut self, start: u64, end: u64) -> Option<(u64, u64)> {
        if start >= end {
            return None;
        }
        let Range { start: first, end: after } = self.touching(start, end);
        if first == after {
            return self.put(first, (start, end));
        }
        // All that it touches becomes one.
        self.list[first] = (start.min(self.list[first].0), end.max(self.list[after - 1].1));
        self.cut(first + 1..after);
        None
    }

    /// Takes `[start, end)` out; if there is no room for so many ranges, the smallest falls out and is returned.
    pub fn remove_or_drop(&mut self, start: u64, end: u64) -> Option<(u64, u64)> {
        if start >= end {
            return None;
        }
        let mut at = 0;
        while at < self.len {
            let (s, e) = self.list[at];
            if s < start && e > end {
                self.list[at] = (s, start);
                return self.put(at + 1, (end, e));
            }
            if s < start {
                self.list[at] = (s, e.min(start));
                at += 1;
            } else if e > end {
                self.list[at] = (s.max(end), e);
                at += 1;
            } else {
                self.cut(at..at + 1);
            }
        }
        None
    }

    /// Which ranges `[start, end)` overlaps or touches; if none, empty, where it belongs.
    fn touching(&self, start: u64, end: u64) -> Range<usize> {
        let first = self.iter().take_while(|&(_, e)| e < start).count();
        first..first + self.iter().skip(first).take_while(|&(s, _)| s <= end).count()
    }

    /// Removes the ranges `places`.
    fn cut(&mut self, places: Range<usize>) {
        self.list.copy_within(places.end..self.len, places.start);
        self.len -= places.len();
    }

    /// Puts a range that no other touches where it belongs. If there is no room for it, the smallest of all is dropped.
    fn put(&mut self, at: usize, range: (u64, u64)) -> Option<(u64, u64)> {
        let mut last = range;
        if at < N {
            last = self.list[N - 1];
            self.list.copy_within(at..N - 1, at + 1);
            self.list[at] = range;
        }
        if self.len < N {
            self.len += 1;
            return None;
        }
        let size = |(start, end): (u64, u64)| end - start;
        let smallest = (0..N).min_by_key(|&at| size(self.list[at]));
        match smallest {
            Some(at) if size(self.list[at]) < size(last) => {
                let dropped = self.list[at];
                self.list.copy_within(at + 1.., at);
                self.list[N - 1] = last;
                Some(dropped)
            }
            _ => Some(last),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::vec::Vec;

    fn of<const N: usize>(ranges: &[(u64, u64)]) -> Ranges<N> {
        let mut set = Ranges::EMPTY;
        for (start, end) in ranges {
            set.insert(*start, *end).unwrap();
        }
        set
    }

    fn list<const N: usize>(set: &Ranges<N>) -> Vec<(u64, u64)> {
        set.iter().collect()
    }

    #[test]
    fn insert_merges_what_touches() {
        assert_eq!(list(&of::<4>(&[(10, 20), (30, 40), (20, 30)])), [(10, 40)]);
        assert_eq!(list(&of::<4>(&[(30, 40), (10, 20)])), [(10, 20), (30, 40)]);
        assert_eq!(list(&of::<4>(&[(10, 40), (15, 20)])), [(10, 40)]);
        assert_eq!(list(&of::<4>(&[(5, 5)])), []);
    }

    #[test]
    fn gaps_are_all_else() {
        assert_eq!(of::<2>(&[]).gaps().collect::<Vec<_>>(), [(0, u64::MAX)]);
        let set = of::<3>(&[(30, 40), (10, 20)]);
        assert_eq!(set.gaps().collect::<Vec<_>>(), [(0, 10), (20, 30), (40, u64::MAX)]);
        let set = of::<3>(&[(0, 10), (20, u64::MAX)]);
        assert_eq!(set.gaps().collect::<Vec<_>>(), [(10, 20)]);
    }

    #[test]
    fn remove_splits() {
        let mut set = of::<4>(&[(0, 100)]);
        set.remove(10, 20).unwrap();
        set.remove(90, 200).unwrap();
        set.remove(0, 1).unwrap();
        assert_eq!(list(&set), [(1, 10), (20, 90)]);
        set.remove(0, 1000).unwrap();
        assert_eq!(list(&set), []);
    }

    #[test]
    fn remove_outside_changes_nothing() {
        let mut set = of::<4>(&[(10, 20), (30, 40)]);
        set.remove(20, 30).unwrap();
        set.remove(0, 10).unwrap();
        set.remove(40, 50).unwrap();
        assert_eq!(list(&set), [(10, 20), (30, 40)]);
    }

    #[test]
    fn fullness_is_an_error_and_changes_nothing() {
        let mut set = of::<2>(&[(0, 10), (20, 30)]);
        assert_eq!(set.insert(40, 50), Err(TooManyRanges));
        assert_eq!(set.remove(4, 5), Err(TooManyRanges));
        assert_eq!(list(&set), [(0, 10), (20, 30)]);
    }

    #[test]
    fn the_smallest_falls_out() {
        let mut set = of::<3>(&[(0, 10), (20, 23), (40, 50)]);
        assert_eq!(set.insert_or_drop(30, 39), Some((20, 23)));
        assert_eq!(list(&set), [(0, 10), (30, 39), (40, 50)]);
        assert_eq!(set.insert_or_drop(60, 61), Some((60, 61)));
        assert_eq!(set.insert_or_drop(15, 17), Some((15, 17)));
        assert_eq!(set.insert_or_drop(9, 30), None);
        assert_eq!(list(&set), [(0, 39), (40, 50)]);
        assert_eq!(set.insert_or_drop(60, 70), None);
        assert_eq!(set.remove_or_drop(1, 2), Some((0, 1)));
        assert_eq!(list(&set), [(2, 39), (40, 50), (60, 70)]);
        assert_eq!(set.remove_or_drop(63, 64), Some((60, 63)));
        assert_eq!(set.remove_or_drop(69, 70), None);
        assert_eq!(list(&set), [(2, 39), (40, 50), (64, 69)]);
    }

    /// What is taken out is never in the set, however much falls out of it.
    #[test]
    fn agrees_with_a_bitmap_where_ranges_fall_out() {
        let mut state = 7_u64;
        let mut random = move |below: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % below
        };
        let mut set = Ranges::<5>::EMPTY;
        let mut bits = [false; 64];
        for _ in 0..20_000 {
            let (a, b) = (random(65), random(65));
            let (start, end) = (a.min(b), a.max(b));
            let add = random(3) == 0;
            let dropped = if add { set.insert_or_drop(start, end) } else { set.remove_or_drop(start, end) };
            bits[start as usize..end as usize].fill(add);
            if let Some((s, e)) = dropped {
                assert!(list(&set).iter().all(|(start, end)| end - start >= e - s));
                assert!(bits[s as usize..e as usize].iter().all(|bit| *bit));
                bits[s as usize..e as usize].fill(false);
            }
            let mut seen = [false; 64];
            for (s, e) in set.iter() {
                seen[s as usize..e as usize].fill(true);
            }
            assert_eq!(seen, bits);
        }
    }

    #[test]
    fn agrees_with_a_bitmap_on_random_operations() {
        let mut state = 1_u64;
        let mut random = move |below: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % below
        };
        let mut set = Ranges::<64>::EMPTY;
        let mut bits = [false; 64];
        for _ in 0..20_000 {
            let (a, b) = (random(65), random(65));
            let (start, end) = (a.min(b), a.max(b));
            let add = random(2) == 0;
            if add {
                set.insert(start, end).unwrap()
            } else {
                set.remove(start, end).unwrap()
            }
            bits[start as usize..end as usize].fill(add);
            let mut seen = [false; 64];
            for (s, e) in set.iter() {
                assert!(s < e);
                seen[s as usize..e as usize].fill(true);
            }
            assert_eq!(seen, bits);
            assert!(list(&set).windows(2).all(|pair| pair[0].1 < pair[1].0));
        }
    }
}

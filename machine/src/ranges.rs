//! Sets of addresses, as sorted ranges.

/// At most `N` disjoint ranges `[start, end)`, sorted, none touching the next.
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

    /// Adds `[start, end)`. On an error the set is unchanged.
    pub fn insert(&mut self, start: u64, end: u64) -> Result<(), TooManyRanges> {
        if start >= end {
            return Ok(());
        }
        let (mut start, mut end) = (start, end);
        let mut next = Self::EMPTY;
        let mut placed = false;
        for (s, e) in self.iter() {
            if e < start {
                next.push(s, e)?;
            } else if s > end {
                if !placed {
                    next.push(start, end)?;
                    placed = true;
                }
                next.push(s, e)?;
            } else {
                start = start.min(s);
                end = end.max(e);
            }
        }
        if !placed {
            next.push(start, end)?;
        }
        *self = next;
        Ok(())
    }

    /// Takes `[start, end)` out. On an error the set is unchanged.
    pub fn remove(&mut self, start: u64, end: u64) -> Result<(), TooManyRanges> {
        if start >= end {
            return Ok(());
        }
        let mut next = Self::EMPTY;
        for (s, e) in self.iter() {
            if s < start.min(e) {
                next.push(s, start.min(e))?;
            }
            if e > end.max(s) {
                next.push(end.max(s), e)?;
            }
        }
        *self = next;
        Ok(())
    }

    fn push(&mut self, start: u64, end: u64) -> Result<(), TooManyRanges> {
        *self.list.get_mut(self.len).ok_or(TooManyRanges)? = (start, end);
        self.len += 1;
        Ok(())
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

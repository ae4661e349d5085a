//! Free memory, as a list that lies in the free memory itself.

/// The beginning of a free piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Node {
    /// Bytes of the piece.
    pub size: u64,
    /// Where the next one begins, or [`Node::NONE`].
    pub next: u64,
}

impl Node {
    /// No piece: behind the last piece.
    pub const NONE: u64 = u64::MAX;
}

/// Where the nodes are kept: each at the address of its piece.
pub trait Nodes {
    /// The node at `at`, which is in the list.
    fn read(&self, at: u64) -> Node;
    /// Puts one at `at`, where the list has a piece from now on.
    fn write(&mut self, at: u64, node: Node);
}

/// How much is free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Free {
    /// Bytes in all.
    pub bytes: u64,
    /// Bytes of the largest piece.
    pub largest: u64,
    /// How many pieces there are.
    pub pieces: usize,
}

/// Free pieces in ascending order, none touching the next. Everything takes a time that grows with their number.
///
/// A piece must have room for a [`Node`], so whoever uses it takes and gives multiples of some size that has.
#[derive(Debug)]
pub struct FreeList {
    first: u64,
}

impl Default for FreeList {
    fn default() -> Self {
        Self::new()
    }
}

impl FreeList {
    /// Of nothing.
    pub const fn new() -> Self {
        Self { first: Node::NONE }
    }

    fn iter<'a>(&self, nodes: &'a impl Nodes) -> impl Iterator<Item = (u64, Node)> + 'a {
        let node = |at: u64| (at != Node::NONE).then(|| (at, nodes.read(at)));
        core::iter::successors(node(self.first), move |(_, found)| node(found.next))
    }

    /// Takes the lowest `size` bytes that are free, begin at a multiple of `align`, a power of two, and end at or below `limit`.
    pub fn take(&mut self, nodes: &mut impl Nodes, size: u64, align: u64, limit: u64) -> Option<u64> {
        let mut before = Node::NONE;
        let (at, node, start) = self.iter(nodes).find_map(|(at, node)| {
            let start = at.checked_next_multiple_of(align);
            let fits = |start: &u64| {
                let end = start.checked_add(size);
                end.is_some_and(|end| end <= limit && end - at <= node.size)
            };
            let found = start.filter(fits).map(|start| (at, node, start));
            before = if found.is_some() { before } else { at };
            found
        })?;
        self.cut(nodes, before, (at, node), (start, start + size));
        Some(start)
    }

    /// Takes `[start, end)`. `false`: not all of it is free, and nothing has changed.
    pub fn take_at(&mut self, nodes: &mut impl Nodes, start: u64, end: u64) -> bool {
        let mut before = Node::NONE;
        let last = self.iter(nodes).take_while(|(at, _)| *at <= start);
        let last = last.fold(None, |last: Option<(u64, Node)>, found| {
            before = last.map_or(Node::NONE, |(at, _)| at);
            Some(found)
        });
        let Some((at, node)) = last else { return false };
        if end <= start || end - at > node.size {
            return false;
        }
        self.cut(nodes, before, (at, node), (start, end));
        true
    }

    /// Gives back `size` bytes at `start`, none of which is free.
    pub fn give(&mut self, nodes: &mut impl Nodes, start: u64, size: u64) {
        let before = self.iter(nodes).take_while(|(at, _)| *at < start).last();
        let next = before.map_or(self.first, |(_, node)| node.next);
        let mut node = Node { size, next };
        if next == start + size {
            let joined = nodes.read(next);
            node = Node { size: size + joined.size, next: joined.next };
        }
        match before {
            Some((at, low)) if at + low.size == start => {
                nodes.write(at, Node { size: low.size + node.size, next: node.next });
            }
            _ => {
                nodes.write(start, node);
                self.link(nodes, before.map_or(Node::NONE, |(at, _)| at), start);
            }
        }
    }

    /// How much there is.
    pub fn free(&self, nodes: &impl Nodes) -> Free {
        self.iter(nodes).fold(Free::default(), |free, (_, node)| Free {
            bytes: free.bytes + node.size,
            largest: free.largest.max(node.size),
            pieces: free.pieces + 1,
        })
    }

    /// Takes `[start, end)` out of the piece `at`, which lies behind `before`.
    fn cut(
        &mut self,
        nodes: &mut impl Nodes,
        before: u64,
        (at, node): (u64, Node),
        (start, end): (u64, u64),
    ) {
        let mut after = node.next;
        if end - at < node.size {
            nodes.write(end, Node { size: at + node.size - end, next: after });
            after = end;
        }
        if at < start {
            nodes.write(at, Node { size: start - at, next: after });
        } else {
            self.link(nodes, before, after);
        }
    }

    fn link(&mut self, nodes: &mut impl Nodes, before: u64, to: u64) {
        if before == Node::NONE {
            self.first = to;
        } else {
            let size = nodes.read(before).size;
            nodes.write(before, Node { size, next: to });
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::{Free, FreeList, Node, Nodes};
    use std::collections::BTreeMap;
    use std::vec::Vec;

    #[derive(Default)]
    struct Words(BTreeMap<u64, Node>);

    impl Nodes for Words {
        fn read(&self, at: u64) -> Node {
            self.0[&at]
        }
        fn write(&mut self, at: u64, node: Node) {
            self.0.insert(at, node);
        }
    }

    /// The list's pieces, checked: ascending, none empty, none touching the next.
    fn pieces(list: &FreeList, words: &Words) -> Vec<(u64, u64)> {
        let found: Vec<_> = list.iter(words).map(|(at, node)| (at, at + node.size)).collect();
        assert!(found.iter().all(|(start, end)| start < end), "{found:x?}");
        assert!(found.windows(2).all(|two| two[0].1 < two[1].0), "{found:x?}");
        found
    }

    fn two_pieces() -> (FreeList, Words) {
        let (mut list, mut words) = (FreeList::new(), Words::default());
        list.give(&mut words, 0x8000, 0x4000);
        list.give(&mut words, 0x1000, 0x3000);
        (list, words)
    }

    #[test]
    fn the_lowest_that_fits() {
        let (mut list, mut words) = two_pieces();
        assert_eq!(list.take(&mut words, 0x4000, 0x1000, u64::MAX), Some(0x8000));
        assert_eq!(pieces(&list, &words), [(0x1000, 0x4000)]);
        assert_eq!(list.take(&mut words, 0x1000, 0x2000, u64::MAX), Some(0x2000));
        assert_eq!(pieces(&list, &words), [(0x1000, 0x2000), (0x3000, 0x4000)]);
        assert_eq!(list.take(&mut words, 0x2000, 0x1000, u64::MAX), None);
        assert_eq!(list.free(&words), Free { bytes: 0x2000, largest: 0x1000, pieces: 2 });
    }

    #[test]
    fn limits_and_ends() {
        let (mut list, mut words) = two_pieces();
        assert_eq!(list.take(&mut words, 0x3000, 0x1000, 0x3fff), None);
        assert_eq!(list.take(&mut words, 0x1000, 1 << 63, u64::MAX), None);
        assert_eq!(list.take(&mut words, u64::MAX - 0xfff, 0x1000, u64::MAX), None);
        assert_eq!(list.take(&mut words, 0x3000, 0x1000, 0x4000), Some(0x1000));
        assert_eq!(pieces(&list, &words), [(0x8000, 0xc000)]);
    }

    #[test]
    fn a_given_place() {
        let (mut list, mut words) = two_pieces();
        for (start, end) in
            [(0x0, 0x2000), (0x3000, 0x5000), (0x4000, 0x5000), (0x7000, 0x9000), (0xc000, 0xd000)]
        {
            assert!(!list.take_at(&mut words, start, end), "{start:x}");
        }
        assert!(list.take_at(&mut words, 0x9000, 0xa000));
        assert!(list.take_at(&mut words, 0x1000, 0x4000));
        assert_eq!(pieces(&list, &words), [(0x8000, 0x9000), (0xa000, 0xc000)]);
        assert!(!list.take_at(&mut words, 0x9000, 0xa000));
    }

    #[test]
    fn what_touches_becomes_one() {
        // Into a hole from below, from above, into the middle, and what touches nothing.
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let (mut list, mut words) = (FreeList::new(), Words::default());
            list.give(&mut words, 0x10_0000, 0x1000);
            for part in order {
                list.give(&mut words, 0x1000 + part * 0x1000, 0x1000);
            }
            assert_eq!(pieces(&list, &words), [(0x1000, 0x4000), (0x10_0000, 0x10_1000)]);
        }
    }

    #[test]
    fn nothing_is_had_twice() {
        let (mut list, mut words) = (FreeList::new(), Words::default());
        list.give(&mut words, 0, 0x40);
        list.give(&mut words, 0x50, 0x30);
        let all = list.free(&words);
        let mut had: Vec<(u64, u64)> = Vec::new();
        let mut random = 7_u64;
        let mut next = |below: u64| {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            (random >> 33) % below
        };
        for _ in 0..20_000 {
            if next(2) == 0 && !had.is_empty() {
                let (start, size) = had.swap_remove(next(had.len() as u64) as usize);
                list.give(&mut words, start, size);
            } else {
                let (size, align, limit) = (1 + next(12), 1 << next(5), next(0xa0));
                let free =
                    |start: u64| pieces(&list, &words).iter().any(|(s, e)| *s <= start && start + size <= *e);
                let lowest = (0..=0x80).step_by(align as usize).find(|at| at + size <= limit && free(*at));
                let got = list.take(&mut words, size, align, limit);
                assert_eq!(got, lowest);
                had.extend(got.map(|start| (start, size)));
            }
            let used: u64 = had.iter().map(|(_, size)| size).sum();
            assert_eq!(list.free(&words).bytes + used, all.bytes);
            let overlap = |(start, size): &(u64, u64)| {
                pieces(&list, &words).iter().any(|(s, e)| s < &(start + size) && start < e)
            };
            assert!(!had.iter().any(overlap));
        }
        for (start, size) in had {
            list.give(&mut words, start, size);
        }
        assert_eq!(list.free(&words), all);
    }
}

//! The node pool: where a sender gets the nodes for closures that it does not wait for.
//!
//! Each sender has its own pool, so it competes with nobody for a node: only its own CPU takes nodes out, with
//! interrupts masked, while any CPU puts back what it has run. A node is one bit. The sender has the bits of its
//! free nodes to itself; the receivers collect theirs in a second word, which the sender empties into the first
//! when that has run out. So a node costs its sender no atomic operation at all but for one swap per poolful,
//! and its receiver one.
//!
//! The receiver moves the closure out of the node and releases it *before* it runs the closure. A closure that
//! waits for its sender therefore holds no node that the sender may need.
//!
//! A pool knows its nodes by number alone. It is never reset: nodes that are out when their CPU leaves come back
//! to it all the same.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::apart::Apart;
use crate::{Arch, Word};

/// The pool of one sender.
pub struct Pool<A: Arch> {
    /// Free nodes. Touched by the sender alone.
    free: A::Word,
    /// Nodes that were put back since the sender last looked: apart, so that the sender's word stays in its cache while others put nodes back.
    returned: Apart<A::Word>,
}

impl<A: Arch> Pool<A> {
    /// How many nodes a pool has room for.
    pub const NODES: u32 = u64::BITS;
    /// The second of [`from_parts`](Self::from_parts)' words.
    pub const NONE: u64 = 0;

    /// The first of [`from_parts`](Self::from_parts)' words: a pool of `nodes` nodes, numbered from 0, all of them
    /// free.
    ///
    /// # Panics
    ///
    /// If there are more than [`Self::NODES`].
    #[must_use]
    pub const fn all(nodes: u32) -> u64 {
        assert!(nodes <= Self::NODES);
        if nodes == 0 { 0 } else { u64::MAX >> (Self::NODES - nodes) }
    }

    /// A pool around a word made by [`Self::all`] and one that holds [`Self::NONE`]. For statics.
    pub const fn from_parts(free: A::Word, returned: A::Word) -> Self {
        Self { free, returned: Apart(returned) }
    }

    /// A pool of `nodes` nodes, numbered from 0, all of them free.
    ///
    /// # Panics
    ///
    /// If there are more than [`Self::NODES`].
    #[must_use]
    pub fn new(nodes: u32) -> Self {
        Self::from_parts(A::Word::new(Self::all(nodes)), A::Word::new(Self::NONE))
    }

    /// The CPU of this pool, interrupt-masked, takes a node out. `None` if all are on their way.
    #[inline]
    #[must_use]
    pub fn acquire(&self) -> Option<u32> {
        // Relaxed: `free` is touched by this CPU alone.
        let mut free = self.free.load(Relaxed);
        if free == 0 {
            // Acquire: pairs with the Release of each `release` that is in the word. What the receivers read from
            // the nodes comes before what is now written over it.
            free = self.returned.0.swap(Self::NONE, Acquire);
            if free == 0 {
                return None;
            }
        }
        self.free.store(free & (free - 1), Relaxed);
        Some(free.trailing_zeros())
    }

    /// The CPU of this pool, interrupt-masked, puts back a node that it has not sent.
    #[inline]
    pub fn put_back(&self, node: u32) {
        // Relaxed: `free` is touched by this CPU alone.
        let free = self.free.load(Relaxed);
        debug_assert!(free & 1 << node == 0, "a node is free twice");
        self.free.store(free | 1 << node, Relaxed);
    }

    /// Whether all `nodes` are back. From elsewhere good for a report.
    #[must_use]
    pub fn is_whole(&self, nodes: u32) -> bool {
        self.free.load(Relaxed) | self.returned.0.load(Relaxed) == Self::all(nodes)
    }

    /// The receiver of a node puts it back. It does not touch the node from here on.
    #[inline]
    pub fn release(&self, node: u32) {
        // Release: pairs with the swap of `acquire`. Being a read-modify-write it keeps the releases before it.
        // The bit is clear, so adding sets it.
        let returned = self.returned.0.fetch_add(1 << node, Release);
        debug_assert!(returned & 1 << node == 0, "a node is free twice");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Host;

    #[test]
    fn every_node_comes_out_once() {
        for nodes in [0, 1, 16, 63, 64] {
            let pool = Pool::<Host>::new(nodes);
            let mut seen = 0u64;
            while let Some(node) = pool.acquire() {
                assert!(node < nodes && seen & 1 << node == 0);
                seen |= 1 << node;
            }
            assert_eq!(seen, Pool::<Host>::all(nodes));
            assert_eq!(pool.acquire(), None);
        }
    }

    #[test]
    fn what_was_put_back_comes_out_again() {
        let pool = Pool::<Host>::new(2);
        assert!(pool.is_whole(2) && !pool.is_whole(3));
        let (one, two) = (pool.acquire().unwrap(), pool.acquire().unwrap());
        assert_eq!(pool.acquire(), None);
        pool.release(two);
        assert!(!pool.is_whole(2));
        assert_eq!(pool.acquire(), Some(two));
        pool.put_back(two);
        pool.release(one);
        assert!(pool.is_whole(2));
        assert_eq!(pool.acquire(), Some(two));
        assert_eq!(pool.acquire(), Some(one));
        assert_eq!(pool.acquire(), None);
    }

    #[test]
    #[should_panic(expected = "nodes <= Self::NODES")]
    fn more_nodes_than_bits() {
        let _ = Pool::<Host>::all(65);
    }
}

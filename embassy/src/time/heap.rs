//! A heap that is made of what is in it: a leftist heap, whose nodes are linked by pointers.
//!
//! Whatever is in it, and in whatever order it came, each operation takes no more steps than twice the logarithm of how much there is: it
//! is done with interrupts masked. On each node's right there is never the longer way to the end, so to go to the right all the way is
//! short; two heaps are made one by going down both on the right.

use core::cell::Cell;
use core::ptr;

/// What is in a heap, or may be.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Node {
    /// What it is sorted by: the least comes first.
    key: Cell<u64>,
    /// What is below it, each null or not less.
    left: Cell<*const Node>,
    right: Cell<*const Node>,
    /// The one above it; null for the root.
    above: Cell<*const Node>,
    /// One more than the steps to the right until there is nothing.
    rank: Cell<u32>,
}

/// A heap of nodes.
///
/// It does not own them: whoever uses it sees to it that they stay where they are, and that nobody else touches them, while they are in it.
#[derive(Debug)]
pub(crate) struct Heap {
    root: *const Node,
}

impl Node {
    /// In no heap. As it is when it is all zeros.
    #[allow(dead_code, reason = "a task's begins as zeros")]
    pub(crate) const fn new() -> Self {
        Self {
            key: Cell::new(0),
            left: Cell::new(ptr::null()),
            right: Cell::new(ptr::null()),
            above: Cell::new(ptr::null()),
            rank: Cell::new(0),
        }
    }

    /// What it is, or was last, sorted by.
    pub(crate) fn key(&self) -> u64 {
        self.key.get()
    }
}

impl Heap {
    /// An empty one.
    pub(crate) const fn new() -> Self {
        Self { root: ptr::null() }
    }

    /// The least key.
    pub(crate) fn first(&self) -> Option<u64> {
        // SAFETY: what is in it is there (`insert`).
        unsafe { self.root.as_ref() }.map(Node::key)
    }

    /// Puts `node` in.
    ///
    /// # Safety
    ///
    /// It is in no heap; until it is taken out it stays where it is, and nobody touches it but by this heap.
    pub(crate) unsafe fn insert(&mut self, node: *const Node, key: u64) {
        // SAFETY: there (the caller's).
        let new = unsafe { &*node };
        new.key.set(key);
        // SAFETY: both are roots, of different heaps.
        self.root = unsafe { meld(self.root, alone(node)) };
    }

    /// Brings `node` forward to `key`, if that is less than what it has.
    ///
    /// # Safety
    ///
    /// It is in this heap.
    pub(crate) unsafe fn bring_forward(&mut self, node: *const Node, key: u64) {
        // SAFETY: in it (the caller's), as is all that is above and below it.
        unsafe {
            if key >= (*node).key() {
                return;
            }
            (*node).key.set(key);
            let above = (*node).above.get();
            if above.is_null() || (*above).key() <= key {
                return;
            }
            // By itself it comes in anew: what was below it takes its place.
            let rest = meld((*node).left.get(), (*node).right.get());
            if let Some(rest) = rest.as_ref() {
                rest.above.set(above);
            }
            if ptr::eq((*above).left.get(), node) {
                (*above).left.set(rest);
            } else {
                (*above).right.set(rest);
            }
            settle(above);
            self.root = meld(self.root, alone(node));
        }
    }

    /// Takes out one with the least key, if that is no more than `limit`.
    pub(crate) fn take(&mut self, limit: u64) -> Option<*const Node> {
        let first = self.root;
        // SAFETY: what is in it is there.
        let node = unsafe { first.as_ref() }?;
        if node.key() > limit {
            return None;
        }
        // SAFETY: what is below it is in the heap, in one of two.
        self.root = unsafe { meld(node.left.get(), node.right.get()) };
        Some(first)
    }
}

/// Makes a heap of `node` alone.
///
/// # Safety
///
/// It is there, and nothing that is in a heap leads to it.
unsafe fn alone(node: *const Node) -> *const Node {
    // SAFETY: the caller's.
    let own = unsafe { &*node };
    own.left.set(ptr::null());
    own.right.set(ptr::null());
    own.above.set(ptr::null());
    own.rank.set(1);
    node
}

/// The rank of what there is, or is not.
///
/// # Safety
///
/// Null, or in a heap.
#[inline(always)]
unsafe fn rank(node: *const Node) -> u32 {
    // SAFETY: the caller's.
    unsafe { node.as_ref() }.map_or(0, |node| node.rank.get())
}

/// Sees to it that `node` has the higher rank on its left, and its own rank is right. Whether that has changed.
///
/// # Safety
///
/// It is in a heap.
unsafe fn balance(node: *const Node) -> bool {
    // SAFETY: in a heap (the caller's), as is what is below it.
    unsafe {
        let node = &*node;
        if rank(node.left.get()) < rank(node.right.get()) {
            node.left.swap(&node.right);
        }
        let own = rank(node.right.get()) + 1;
        node.rank.replace(own) != own
    }
}

/// What is below `node` has changed: so may its rank, and those of what is above it. They grow by one at least from each to the next that
/// changes, so these are few.
///
/// # Safety
///
/// It is in a heap.
unsafe fn settle(mut node: *const Node) {
    // SAFETY: in a heap (the caller's), as is what is above it.
    unsafe {
        while !node.is_null() && balance(node) {
            node = (*node).above.get();
        }
    }
}

/// Makes one heap of two, each a root or what was below one, or null; of equal ones `one` is above.
///
/// # Safety
///
/// They are there, in no other heap, and not the same.
unsafe fn meld(mut one: *const Node, mut other: *const Node) -> *const Node {
    // The way down, by `above`.
    let mut last = ptr::null::<Node>();
    // SAFETY: all of them are in one of the two (the caller's).
    unsafe {
        while !one.is_null() && !other.is_null() {
            if (*other).key() < (*one).key() {
                (one, other) = (other, one);
            }
            (*one).above.set(last);
            last = one;
            one = (*last).right.get();
        }
        let mut done = if one.is_null() { other } else { one };
        if let Some(rest) = done.as_ref() {
            rest.above.set(last);
        }
        // Back up: to the right of each comes what is done, or to its left if that has the higher rank.
        let mut rank_done = rank(done);
        while let Some(node) = last.as_ref() {
            let left = node.left.get();
            let rank_left = rank(left);
            if rank_left < rank_done {
                node.left.set(done);
                node.right.set(left);
                rank_done = rank_left;
            } else {
                node.right.set(done);
            }
            rank_done += 1;
            node.rank.set(rank_done);
            done = last;
            last = node.above.get();
        }
        done
    }
}

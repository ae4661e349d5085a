//! A heap that is made of what is in it: a pairing heap, whose nodes are linked by pointers.
//!
//! To put something in, and to bring something forward, takes the same few steps whatever is in it; to take the first out takes as many as the logarithm of
//! that, on average.

use core::cell::Cell;
use core::ptr;

/// What is in a heap, or may be.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Node {
    /// What it is sorted by: the least comes first.
    key: Cell<u64>,
    /// The first of those below it.
    child: Cell<*const Node>,
    /// The next beside it.
    next: Cell<*const Node>,
    /// The one before it, or above it if it is the first there; null for the root.
    before: Cell<*const Node>,
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
            child: Cell::new(ptr::null()),
            next: Cell::new(ptr::null()),
            before: Cell::new(ptr::null()),
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
        new.child.set(ptr::null());
        new.next.set(ptr::null());
        new.before.set(ptr::null());
        // SAFETY: both are roots.
        self.root = unsafe { meld(self.root, node) };
    }

    /// Brings `node` forward to `key`, if that is less than what it has.
    ///
    /// # Safety
    ///
    /// It is in this heap.
    pub(crate) unsafe fn bring_forward(&mut self, node: *const Node, key: u64) {
        // SAFETY: in it (the caller's), as are its neighbours.
        unsafe {
            if key >= (*node).key() {
                return;
            }
            (*node).key.set(key);
            if ptr::eq(node, self.root) {
                return;
            }
            unlink(node);
            self.root = meld(self.root, node);
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
        // SAFETY: its children are in the heap, and nothing else.
        self.root = unsafe { meld_all(node.child.replace(ptr::null())) };
        Some(first)
    }
}

/// Makes one heap of two, each of them a root, or null. The lesser root, or the first of equal ones, is its root.
///
/// # Safety
///
/// They are there, in no other heap, and not the same.
unsafe fn meld(one: *const Node, other: *const Node) -> *const Node {
    if one.is_null() {
        return other;
    }
    if other.is_null() {
        return one;
    }
    // SAFETY: there (the caller's), and so is what is below them.
    unsafe {
        let (above, below) = if (*other).key() < (*one).key() { (other, one) } else { (one, other) };
        let children = (*above).child.replace(below);
        (*below).next.set(children);
        (*below).before.set(above);
        if let Some(child) = children.as_ref() {
            child.before.set(below);
        }
        above
    }
}

/// Takes `node`, which is not a root, with all that is below it out from where it is.
///
/// # Safety
///
/// It is in a heap.
unsafe fn unlink(node: *const Node) {
    // SAFETY: in a heap (the caller's), as are its neighbours; it is no root, so there is one before it.
    unsafe {
        let before = (*node).before.replace(ptr::null());
        let next = (*node).next.replace(ptr::null());
        if ptr::eq((*before).child.get(), node) {
            (*before).child.set(next);
        } else {
            (*before).next.set(next);
        }
        if let Some(next) = next.as_ref() {
            next.before.set(before);
        }
    }
}

/// Makes one heap of siblings: by pairs from the first to the last, and then of the pairs from the last to the first.
///
/// # Safety
///
/// They are there, and in no other heap.
unsafe fn meld_all(mut siblings: *const Node) -> *const Node {
    let root_of = |node: *const Node| {
        // SAFETY: one of the siblings, or what was made of two.
        if let Some(node) = unsafe { node.as_ref() } {
            node.before.set(ptr::null());
            node.next.set(ptr::null());
        }
        node
    };
    let mut pairs = ptr::null::<Node>();
    // SAFETY: siblings are linked by `next`, the last has none; each is a root once it has no neighbours, and used once.
    unsafe {
        while let Some(one) = siblings.as_ref() {
            let other = one.next.get();
            siblings = other.as_ref().map_or(ptr::null(), |other| other.next.get());
            let pair = meld(root_of(one), root_of(other));
            // The list of pairs, the last first.
            (*pair).next.set(pairs);
            pairs = pair;
        }
        let mut root = ptr::null();
        while let Some(pair) = pairs.as_ref() {
            pairs = pair.next.get();
            // The later of equal ones comes behind.
            root = meld(root_of(pair), root);
        }
        root
    }
}

//! Where a node stands in its tree.

use super::name::Name;
use super::tokens::MAX_DEPTH;
use super::tree::Tree;
use core::fmt;

/// A node's place in the tree, as [`Path`](crate::Path) shows it.
#[derive(Clone, Copy)]
pub(crate) struct NodePath<'a> {
    tree: Tree<'a>,
    index: u32,
}

impl<'a> NodePath<'a> {
    /// The place of the node that has `index` nodes before it.
    pub(super) fn new(tree: Tree<'a>, index: u32) -> Self {
        Self { tree, index }
    }
}

impl PartialEq for NodePath<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index && core::ptr::eq(self.tree.blob, other.tree.blob)
    }
}

impl Eq for NodePath<'_> {}

impl fmt::Display for NodePath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = [""; MAX_DEPTH];
        let mut tokens = self.tree.tokens();
        while let Some(node) = tokens.node() {
            if let Some(name) = names.get_mut(node.depth) {
                *name = node.name;
            }
            if node.index == self.index {
                if node.depth == 0 {
                    return f.write_str("/");
                }
                let names = names.iter().take(node.depth + 1).skip(1);
                return names.copied().map(Name::of).try_for_each(|name| write!(f, "/{name}"));
            }
        }
        f.write_str("?")
    }
}

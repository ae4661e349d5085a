//! Walking a checked tree: nodes in tree order, each with the buses above it at hand.
//!
//! Every question is answered by walks from the root, each linear in the size of the tree and reading each
//! property list once. Nothing is cached but what [`Machine`](crate::Machine) keeps.

use super::name::Name;
use super::node::{Node, Props};
use super::path::NodePath;
use super::tokens::{MAX_DEPTH, Tokens};
use super::tree::Tree;
use super::value::{cell, cells_or, string};

/// What a node means to the nodes below it.
#[derive(Clone, Copy)]
pub(super) struct Level<'a> {
    pub index: u32,
    pub address_cells: u32,
    pub size_cells: u32,
    pub ranges: Option<&'a [u8]>,
    enabled: bool,
    interrupt_parent: Option<u32>,
}

impl Level<'_> {
    const EMPTY: Self = Self {
        index: 0,
        address_cells: 2,
        size_cells: 1,
        ranges: None,
        enabled: true,
        interrupt_parent: None,
    };
}

/// Depth-first over the nodes of a tree, starting with the root.
pub(super) struct Walk<'a> {
    pub tree: Tree<'a>,
    tokens: Tokens<'a>,
    pub levels: [Level<'a>; MAX_DEPTH],
}

impl<'a> Walk<'a> {
    #[inline(never)]
    pub fn new(tree: Tree<'a>) -> Self {
        Self { tree, tokens: tree.tokens(), levels: [Level::EMPTY; MAX_DEPTH] }
    }

    /// The next node. The blob passed the checks, so damage cannot come; it would end the
    /// walk, and the tests compare the number of nodes walked with the number checked.
    #[inline(never)]
    pub fn step(&mut self) -> Option<Node<'a>> {
        let node = self.tokens.node()?;
        // The last node before damage has properties that were not checked to their end.
        if node.index >= self.tree.nodes {
            return None;
        }
        let tokens = self.tokens;
        let props = Props::read(&mut self.tokens);
        let above = match node.depth.checked_sub(1) {
            Some(above) => *self.levels.get(above)?,
            None => Level::EMPTY,
        };
        let okay = match props.status {
            Some(status) => matches!(string(status), Some("okay" | "ok")),
            None => true,
        };
        let level = Level {
            index: node.index,
            address_cells: cells_or(props.address_cells, 2),
            size_cells: cells_or(props.size_cells, 1),
            ranges: props.ranges,
            enabled: above.enabled && okay,
            interrupt_parent: cell(props.interrupt_parent).or(above.interrupt_parent),
        };
        *self.levels.get_mut(node.depth)? = level;
        Some(Node {
            tokens,
            path: NodePath::new(self.tree, node.index).into(),
            depth: node.depth,
            name: Name::of(node.name),
            props,
            enabled: level.enabled,
            interrupt_parent: level.interrupt_parent,
        })
    }

    /// On from here to the first node for which `wanted` holds.
    pub fn first(&mut self, mut wanted: impl FnMut(&Node<'a>) -> bool) -> Option<Node<'a>> {
        loop {
            let node = self.step()?;
            if wanted(&node) {
                return Some(node);
            }
        }
    }

    /// On from here, which must be the start, to the node at `path`: its components with or without unit
    /// address, where one without means the first child of that name (Devicetree Specification 2.2.3).
    pub fn find<'p>(&mut self, path: impl Iterator<Item = &'p str>) -> Option<Node<'a>> {
        let mut node = self.step()?;
        for component in path.filter(|component| !component.is_empty()) {
            let parent = node.depth;
            node = self.first(|node| {
                node.depth <= parent || node.depth == parent + 1 && node.name.answers_to(component)
            })?;
            if node.depth <= parent {
                return None;
            }
        }
        Some(node)
    }

    /// What holds for `node`, which must be the last node walked to.
    pub fn level_above(&self, node: &Node<'a>) -> Level<'a> {
        node.depth.checked_sub(1).and_then(|above| self.levels.get(above)).copied().unwrap_or(Level::EMPTY)
    }
    /// On from here, which must be the start, to the node at an absolute path or at `alias/rest` (Devicetree
    /// Specification 3.3).
    pub fn resolve(&mut self, target: &str) -> Option<Node<'a>> {
        if target.starts_with('/') {
            return self.find(target.split('/'));
        }
        let (alias, rest) = target.split_once('/').unwrap_or((target, ""));
        let base = aliased(self.tree, alias)?;
        self.find(base.split('/').chain(rest.split('/')))
    }
}

/// The absolute path that `/aliases` has for a name.
fn aliased<'a>(tree: Tree<'a>, alias: &str) -> Option<&'a str> {
    let aliases = Walk::new(tree).first(|node| node.is_at(1, "aliases"))?;
    aliases.property(alias).and_then(string).filter(|path| path.starts_with('/'))
}

//! Looking around in a tree by hand.

use core::fmt;

use super::name::{Name, put_printable};
use super::node::Node;
use super::tree::Tree;
use super::walk::Walk;
use crate::path::Path;

/// A node to look at; see [`Machine::node`](crate::Machine::node).
#[derive(Clone, Copy)]
pub struct NodeRef<'a> {
    tree: Tree<'a>,
    node: Node<'a>,
}

impl<'a> NodeRef<'a> {
    pub(super) fn new(tree: Tree<'a>, node: Node<'a>) -> Self {
        Self { tree, node }
    }

    /// Where it is.
    pub fn path(&self) -> Path<'a> {
        self.node.path
    }

    /// Its own name.
    pub fn name(&self) -> Name<'a> {
        self.node.name
    }

    /// Its properties, in tree order.
    pub fn properties(&self) -> impl Iterator<Item = Property<'a>> + use<'a> {
        self.node.properties().map(|property| Property { name: property.name, value: property.value })
    }

    /// The property of that name.
    pub fn property(&self, name: &str) -> Option<Property<'a>> {
        self.properties().find(|property| property.name == name)
    }

    /// Its children, in tree order.
    pub fn children(&self) -> impl Iterator<Item = NodeRef<'a>> + use<'a> {
        let (tree, parent) = (self.tree, self.node);
        let mut walk = Walk::new(tree);
        let mut inside = false;
        core::iter::from_fn(move || {
            loop {
                let node = walk.step()?;
                if inside && node.depth <= parent.depth {
                    return None;
                }
                if inside && node.depth == parent.depth + 1 {
                    return Some(NodeRef { tree, node });
                }
                inside |= node.path == parent.path;
            }
        })
    }
}

/// A property as it stands in the tree. [`Display`](fmt::Display) writes it much as `dtc` does:
/// `reg = <0x0 0x9000000>`, `compatible = "arm,pl011", "arm,primecell"`, `mac = [01 02 03]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Property<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its bytes: numbers are big-endian, strings end with a NUL.
    pub value: &'a [u8],
}

impl Property<'_> {
    /// The strings of a list of non-empty, printable strings, without the last NUL.
    fn text(&self) -> Option<&str> {
        let body = self.value.strip_suffix(&[0])?;
        let printable = |byte: &u8| *byte == b' ' || byte.is_ascii_graphic();
        let mut strings = body.split(|&byte| byte == 0);
        let is_text = strings.all(|string| !string.is_empty() && string.iter().all(printable));
        core::str::from_utf8(body).ok().filter(|_| is_text)
    }
}

impl fmt::Display for Property<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        put_printable(f, self.name)?;
        if self.value.is_empty() {
            return Ok(());
        }
        f.write_str(" = ")?;
        if let Some(text) = self.text() {
            for (index, string) in text.split('\0').enumerate() {
                write!(f, "{}\"{string}\"", if index == 0 { "" } else { ", " })?;
            }
            return Ok(());
        }
        let (cells, rest) = self.value.as_chunks::<4>();
        if rest.is_empty() {
            for (index, cell) in cells.iter().enumerate() {
                f.write_str(if index == 0 { "<" } else { " " })?;
                write!(f, "{:#x}", u32::from_be_bytes(*cell))?;
            }
            return f.write_str(">");
        }
        for (index, byte) in self.value.iter().enumerate() {
            f.write_str(if index == 0 { "[" } else { " " })?;
            write!(f, "{byte:02x}")?;
        }
        f.write_str("]")
    }
}

//! The structure block, token by token (Devicetree Specification 5.4): the one way through it, for the check of a blob and
//! for every walk, over a whole tree or over the sound part of a damaged one.
//!
//! The `fdt` crate gives the blocks but not their tokens: its token parser takes blocks of types that nothing outside of the
//! crate can make or come by, and its iteration over nodes does not begin in a tree without a sound end.

use super::value::be32;
use fdt::nodes::NodeProperty;

/// Levels of nesting, the root included. The deepest tree of Debian's kernels has 12.
pub(super) const MAX_DEPTH: usize = 16;

/// Long enough for every name in use (the longest in Debian's kernels has 46 characters), and short enough
/// that a strings block without terminators cannot make the check quadratic.
const MAX_NAME: usize = 255;

const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROP: u32 = 3;
const NOP: u32 = 4;
const END: u32 = 9;

/// What stands next in the structure block.
pub(super) enum Token<'a> {
    /// A node begins.
    Begin(Begin<'a>),
    /// A property of the node that has just begun.
    Property(NodeProperty<'a>),
    /// The innermost node ends.
    End,
}

/// The beginning of a node.
pub(super) struct Begin<'a> {
    /// How many nodes are before it.
    pub index: u32,
    /// How many nodes it is in.
    pub depth: usize,
    /// Its name as it stands there, empty for the root.
    pub name: &'a str,
}

/// What is wrong with the structure block.
pub(super) struct Damage {
    pub what: &'static str,
    /// In bytes from the start of the block, of the word that was read last.
    pub offset: usize,
    pub value: Option<u32>,
}

/// The tokens from the next one on.
#[derive(Clone, Copy)]
pub(super) struct Tokens<'a> {
    structs: &'a [u8],
    strings: &'a [u8],
    at: usize,
    /// Nodes that have begun and not ended.
    depth: usize,
    /// Nodes whose properties have all been read: each counts at the token that follows them.
    nodes: u32,
    /// Properties may follow.
    open: bool,
}

impl<'a> Tokens<'a> {
    /// All tokens of a structure block, whose properties have their names in `strings`.
    pub fn new(structs: &'a [u8], strings: &'a [u8]) -> Self {
        Self { structs, strings, at: 0, depth: 0, nodes: 0, open: false }
    }

    /// How many nodes have been sound so far.
    pub fn nodes(&self) -> u32 {
        self.nodes
    }

    /// The next token, or `None` at the sound end of a sound tree. After damage nothing that comes means anything.
    pub fn token(&mut self) -> Result<Option<Token<'a>>, Damage> {
        let mut word = self.word()?;
        while word == NOP {
            word = self.word()?;
        }
        if self.open && matches!(word, BEGIN_NODE | END_NODE) {
            self.nodes += 1;
        }
        match word {
            BEGIN_NODE => {
                if self.depth == 0 && self.nodes > 0 {
                    return Err(self.damage("second root node"));
                }
                if self.depth == MAX_DEPTH {
                    return Err(self.damage("nodes nested too deep"));
                }
                let name = name(self.structs, self.at).ok_or(self.damage("node name without end"))?;
                if name.is_empty() && self.depth > 0 {
                    return Err(self.damage("node without a name"));
                }
                self.take(name.len() + 1)?;
                let begin = Begin { index: self.nodes, depth: self.depth, name };
                self.depth += 1;
                self.open = true;
                Ok(Some(Token::Begin(begin)))
            }
            END_NODE => {
                self.depth =
                    self.depth.checked_sub(1).ok_or(self.damage("end of a node that never began"))?;
                self.open = false;
                Ok(Some(Token::End))
            }
            PROP => {
                if !self.open {
                    return Err(self.damage("property outside a node or after its children"));
                }
                let length = self.word()? as usize;
                let offset = self.word()? as usize;
                // Truncation takes the strings first and leaves zeros: names without a character.
                let name = name(self.strings, offset)
                    .filter(|name| !name.is_empty())
                    .ok_or(self.damage("property name is not in the strings block"))?;
                Ok(Some(Token::Property(NodeProperty::new(name, self.take(length)?))))
            }
            END if self.depth > 0 => Err(self.damage("tree ends inside a node")),
            END if self.nodes == 0 => Err(self.damage("no root node")),
            END if self.at < self.structs.len() => Err(self.damage("structure block goes on after its end")),
            END => Ok(None),
            _ => Err(Damage { value: Some(word), ..self.damage("unknown token") }),
        }
    }

    /// On to the next property, unless something else comes before it.
    pub fn property(&mut self) -> Option<NodeProperty<'a>> {
        let mut ahead = *self;
        match ahead.token() {
            Ok(Some(Token::Property(property))) => {
                *self = ahead;
                Some(property)
            }
            _ => None,
        }
    }

    /// On to what follows the name of the next node.
    pub fn node(&mut self) -> Option<Begin<'a>> {
        loop {
            if let Token::Begin(begin) = self.token().ok()?? {
                return Some(begin);
            }
        }
    }

    /// Damage at the word that was read last.
    fn damage(&self, what: &'static str) -> Damage {
        Damage { what, offset: self.at.saturating_sub(4), value: None }
    }

    fn word(&mut self) -> Result<u32, Damage> {
        let word = be32(self.structs, self.at).ok_or(self.damage("structure block ends early"))?;
        self.at += 4;
        Ok(word)
    }

    /// Bytes, and what aligns the token after them.
    fn take(&mut self, length: usize) -> Result<&'a [u8], Damage> {
        // Both are 32-bit numbers, so this cannot wrap.
        let end = self.at + length;
        let next = end.next_multiple_of(4);
        match self.structs.get(self.at..end) {
            Some(bytes) if next <= self.structs.len() => {
                self.at = next;
                Ok(bytes)
            }
            _ => Err(self.damage("property runs past the structure block")),
        }
    }
}

/// The NUL-terminated UTF-8 name at `at`.
fn name(block: &[u8], at: usize) -> Option<&str> {
    let rest = block.get(at..)?;
    let length = rest.iter().take(MAX_NAME + 1).position(|&byte| byte == 0)?;
    core::str::from_utf8(rest.get(..length)?).ok()
}

//! Additions to a flattened device tree.

/// A node, with its properties and the nodes in it.
#[derive(Clone, Debug)]
pub struct Node {
    name: String,
    properties: Vec<(&'static str, Vec<u8>)>,
    nodes: Vec<Node>,
}

impl Node {
    /// One of this name, without anything in it.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), properties: Vec::new(), nodes: Vec::new() }
    }

    /// The same with a property of strings.
    #[must_use]
    pub fn strings(mut self, name: &'static str, strings: &[&str]) -> Self {
        let bytes = strings.iter().flat_map(|text| text.bytes().chain([0])).collect();
        self.properties.push((name, bytes));
        self
    }

    /// The same with a property of cells; without any it is one that is just there.
    #[must_use]
    pub fn cells(mut self, name: &'static str, cells: &[u32]) -> Self {
        self.properties.push((name, cells.iter().flat_map(|cell| cell.to_be_bytes()).collect()));
        self
    }

    /// The same with a node in it.
    #[must_use]
    pub fn node(mut self, node: Node) -> Self {
        self.nodes.push(node);
        self
    }

    fn write_properties(&self, out: &mut Structure) {
        for (name, value) in &self.properties {
            out.property(name, value);
        }
    }

    fn write(&self, out: &mut Structure) {
        out.word(BEGIN_NODE);
        out.name(&self.name);
        self.write_properties(out);
        self.nodes.iter().for_each(|node| node.write(out));
        out.word(END_NODE);
    }
}

const MAGIC: u32 = 0xd00d_feed;
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOP: u32 = 4;

/// The numbers of the words of a header.
const TOTAL_SIZE: usize = 1;
const STRUCTURE: usize = 2;
const STRINGS: usize = 3;
const RESERVED: usize = 4;
const STRINGS_SIZE: usize = 8;
const STRUCTURE_SIZE: usize = 9;
const HEADER: usize = 10;

/// What is written: the structure, and the strings that are not in the tree yet.
struct Structure {
    bytes: Vec<u8>,
    strings: Vec<u8>,
}

impl Structure {
    fn word(&mut self, word: u32) {
        self.bytes.extend_from_slice(&word.to_be_bytes());
    }

    fn padded(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn name(&mut self, name: &str) {
        self.padded(&[name.as_bytes(), &[0]].concat());
    }

    fn property(&mut self, name: &str, value: &[u8]) {
        self.word(PROPERTY);
        self.word(value.len() as u32);
        self.word(self.strings.len() as u32);
        self.strings.extend_from_slice(name.as_bytes());
        self.strings.push(0);
        self.padded(value);
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_be_bytes)
}

/// A tree with the properties and nodes of this one added to the node of the same name below its root. Nothing if it is no tree, or has no such
/// node, or one that has such a property already.
pub fn add(tree: &[u8], node: &Node) -> Option<Vec<u8>> {
    if word(tree, 0)? != MAGIC {
        return None;
    }
    let field = |number: usize| word(tree, 4 * number).map(|value| value as usize);
    let part = |at: usize, size: usize| tree.get(at..at.checked_add(size)?);
    let structure = part(field(STRUCTURE)?, field(STRUCTURE_SIZE)?)?;
    let strings = part(field(STRINGS)?, field(STRINGS_SIZE)?)?;
    // It ends with an entry of zeros.
    let reserved = tree.get(field(RESERVED)?..)?;
    let reserved_size =
        16 * (reserved.chunks_exact(16).position(|entry| entry.iter().all(|byte| *byte == 0))? + 1);
    let Place { properties, nodes } = place(structure, strings, node)?;

    let mut out = Structure { bytes: structure[..properties].to_vec(), strings: strings.to_vec() };
    node.write_properties(&mut out);
    out.bytes.extend_from_slice(&structure[properties..nodes]);
    node.nodes.iter().for_each(|inner| inner.write(&mut out));
    out.bytes.extend_from_slice(&structure[nodes..]);

    let mut header = [0; HEADER];
    for (number, value) in header.iter_mut().enumerate() {
        *value = field(number)?;
    }
    header[RESERVED] = (4 * HEADER).next_multiple_of(8);
    header[STRUCTURE] = header[RESERVED] + reserved_size;
    header[STRUCTURE_SIZE] = out.bytes.len();
    header[STRINGS] = header[STRUCTURE] + out.bytes.len();
    header[STRINGS_SIZE] = out.strings.len();
    header[TOTAL_SIZE] = header[STRINGS] + out.strings.len();
    let mut bytes: Vec<u8> = header.iter().flat_map(|value| (*value as u32).to_be_bytes()).collect();
    bytes.resize(header[RESERVED], 0);
    bytes.extend_from_slice(&reserved[..reserved_size]);
    bytes.append(&mut out.bytes);
    bytes.append(&mut out.strings);
    Some(bytes)
}

/// Where in the structure more properties go, and more nodes.
struct Place {
    properties: usize,
    nodes: usize,
}

fn place(structure: &[u8], strings: &[u8], node: &Node) -> Option<Place> {
    let (mut at, mut depth, mut properties) = (0_usize, 0_u32, None);
    let string = |at: usize| strings.get(at..)?.split(|byte| *byte == 0).next();
    loop {
        let token = word(structure, at)?;
        let begin = at;
        at += 4;
        match token {
            BEGIN_NODE => {
                let name = structure.get(at..)?.split(|byte| *byte == 0).next()?;
                at = (at + name.len() + 1).next_multiple_of(4);
                depth += 1;
                if depth == 2 && name == node.name.as_bytes() {
                    properties = Some(at);
                }
            }
            END_NODE => {
                if depth == 2
                    && let Some(properties) = properties
                {
                    return Some(Place { properties, nodes: begin });
                }
                depth = depth.checked_sub(1)?;
            }
            PROPERTY => {
                let size = word(structure, at)? as usize;
                let name = string(word(structure, at + 4)? as usize)?;
                let is_there = node.properties.iter().any(|(added, _)| added.as_bytes() == name);
                if depth == 2 && properties.is_some() && is_there {
                    return None;
                }
                at = at.checked_add(8 + size)?.next_multiple_of(4);
            }
            NOP => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// `/ { a = <1>; other { }; chosen { b = "x"; inner { }; }; };`
    pub(crate) fn tree() -> Vec<u8> {
        let mut out = Structure { bytes: Vec::new(), strings: Vec::new() };
        let inner = Node::new("chosen").strings("b", &["x"]).node(Node::new("inner"));
        Node::new("").cells("a", &[1]).node(Node::new("other")).node(inner).write(&mut out);
        out.word(9);
        let (structure, strings) = (out.bytes.len(), out.strings.len());
        let header =
            [0xd00d_feed, 56 + structure + strings, 56, 56 + structure, 40, 17, 16, 0, strings, structure];
        let mut bytes: Vec<u8> = header.iter().flat_map(|value| (*value as u32).to_be_bytes()).collect();
        bytes.resize(56, 0);
        bytes.append(&mut out.bytes);
        bytes.append(&mut out.strings);
        bytes
    }

    #[test]
    fn properties_and_nodes_are_added() {
        let added = Node::new("chosen").cells("c", &[2, 3]).node(Node::new("new").strings("d", &["y", "z"]));
        let bytes = add(&tree(), &added).unwrap();
        assert_eq!(word(&bytes, 4), Some(bytes.len() as u32));
        let mut expected = Structure { bytes: Vec::new(), strings: Vec::new() };
        expected.word(BEGIN_NODE);
        expected.name("chosen");
        expected.strings = vec![0; 4];
        expected.property("c", &[0, 0, 0, 2, 0, 0, 0, 3]);
        let start = bytes.windows(12).position(|window| window == &expected.bytes[..12]).unwrap();
        assert_eq!(&bytes[start..start + expected.bytes.len()], expected.bytes);
        // What is added can be added to.
        let twice = add(&bytes, &Node::new("chosen").cells("e", &[])).unwrap();
        assert!(twice.ends_with(b"\0e\0"));
        assert!(add(&bytes, &Node::new("chosen").cells("c", &[])).is_none());
    }

    #[test]
    fn nothing_is_added_to_what_is_none() {
        assert!(add(&tree(), &Node::new("missing")).is_none());
        assert!(add(b"", &Node::new("chosen")).is_none());
        let whole = tree();
        for length in 0..whole.len() {
            let _ = add(&whole[..length], &Node::new("chosen"));
        }
    }
}

//! Reading the text that `dtc -O dts` writes: a way to a tree that shares nothing with the reader under test.

/// A node with everything below it.
#[derive(Debug, Default)]
pub struct Node {
    /// Name with unit address; empty for the root.
    pub name: String,
    /// Name and bytes of each property, in order.
    pub properties: Vec<(String, Vec<u8>)>,
    /// The nodes directly below, in order.
    pub children: Vec<Node>,
}

/// A whole tree.
#[derive(Debug, Default)]
pub struct Tree {
    /// Address and size of each `/memreserve/`.
    pub reservations: Vec<(u64, u64)>,
    /// The root.
    pub root: Node,
}

impl Node {
    /// The bytes of a property.
    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.properties.iter().find(|property| property.0 == name).map(|property| property.1.as_slice())
    }

    /// A property as cells.
    pub fn cells(&self, name: &str) -> Option<Vec<u32>> {
        let bytes = self.bytes(name)?;
        Some(
            bytes
                .chunks(4)
                .map(|cell| cell.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
                .collect(),
        )
    }

    /// A property as one cell.
    pub fn cell(&self, name: &str) -> Option<u32> {
        self.cells(name)?.first().copied()
    }

    /// A property as strings.
    pub fn strings(&self, name: &str) -> Vec<String> {
        let Some(bytes) = self.bytes(name) else { return Vec::new() };
        let text = String::from_utf8_lossy(bytes);
        text.split('\0').filter(|string| !string.is_empty()).map(str::to_owned).collect()
    }

    /// A property as its first string.
    pub fn text(&self, name: &str) -> Option<String> {
        self.bytes(name)?;
        Some(self.strings(name).into_iter().next().unwrap_or_default())
    }

    /// The name without unit address.
    pub fn base(&self) -> &str {
        self.name.split('@').next().unwrap_or_default()
    }

    /// A child by its full name, or by its name without unit address.
    pub fn child(&self, name: &str) -> Option<&Node> {
        let exact = self.children.iter().find(|child| child.name == name);
        exact.or_else(|| self.children.iter().find(|child| !name.contains('@') && child.base() == name))
    }
}

/// Reads `text`, line by line as `dtc` prints it.
///
/// # Panics
/// On a line that `dtc` would not have printed.
pub fn read(text: &str) -> Tree {
    let mut tree = Tree::default();
    // What is open, outermost first. The bottom stands for the file.
    let mut open = vec![Node::default()];
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line == "/dts-v1/;" {
        } else if let Some(rest) = line.strip_prefix("/memreserve/") {
            let mut numbers = rest.trim_end_matches(';').split_whitespace().map(hex64);
            tree.reservations.push((numbers.next().expect("address"), numbers.next().expect("size")));
        } else if let Some(name) = line.strip_suffix(" {") {
            let name = if open.len() == 1 { "" } else { name };
            open.push(Node { name: name.to_owned(), ..Node::default() });
        } else if line == "};" {
            let node = open.pop().expect("an open node");
            open.last_mut().expect("balanced braces").children.push(node);
        } else {
            let line = line.strip_suffix(';').unwrap_or_else(|| panic!("unexpected line: {line}"));
            let (name, value) = match line.split_once(" = ") {
                Some((name, value)) => (name, bytes(value)),
                None => (line, Vec::new()),
            };
            open.last_mut().expect("a node").properties.push((name.to_owned(), value));
        }
    }
    assert_eq!(open.len(), 1, "unbalanced braces");
    tree.root = open.pop().and_then(|file| file.children.into_iter().next()).expect("a root node");
    tree
}

fn hex64(text: &str) -> u64 {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap_or_else(|_| panic!("not a number: {text}"))
}

/// The bytes of a property value: strings, `<cells>` and `[bytes]`, with commas between them.
fn bytes(value: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = value;
    while let Some(kind) = rest.chars().next() {
        match kind {
            '"' => {
                let mut chars = rest[1..].char_indices();
                let end = loop {
                    match chars.next().unwrap_or_else(|| panic!("unterminated string: {value}")) {
                        (at, '"') => break at + 2,
                        (_, '\\') => bytes.push(match chars.next().expect("escaped character").1 {
                            // dtc writes NUL as \0 and everything else that is odd in letters or as \xNN.
                            '0' => 0,
                            'a' => 7,
                            'b' => 8,
                            't' => 9,
                            'n' => 10,
                            'v' => 11,
                            'f' => 12,
                            'r' => 13,
                            'x' => {
                                let digits: String = chars.by_ref().take(2).map(|(_, digit)| digit).collect();
                                hex64(&digits) as u8
                            }
                            other => other as u8,
                        }),
                        (_, other) => bytes.push(other as u8),
                    }
                };
                bytes.push(0);
                rest = &rest[end..];
            }
            '<' => {
                let end = rest.find('>').expect("end of cells");
                for cell in rest[1..end].split_whitespace() {
                    bytes.extend((hex64(cell) as u32).to_be_bytes());
                }
                rest = &rest[end + 1..];
            }
            '[' => {
                let end = rest.find(']').expect("end of bytes");
                bytes.extend(rest[1..end].split_whitespace().map(|byte| hex64(byte) as u8));
                rest = &rest[end + 1..];
            }
            ',' | ' ' => rest = &rest[1..],
            other => panic!("unexpected {other} in {value}"),
        }
    }
    bytes
}

//! Walking a checked tree: nodes in tree order, each with the buses above it at hand.
//!
//! Every question is answered by walks from the root, each linear in the size of the tree and reading each
//! property list once. Nothing is cached but what [`Machine`](super::Machine) keeps.
//!
//! Of the `fdt` crate only the raw iteration over nodes and properties is used. Its search by path takes a
//! grandchild for a child, and its nodes know one parent, which is not enough to translate an address. And it
//! begins only if the structure block ends as it should, and passes a node only if it has an end: so the sound part
//! of a damaged tree is iterated over by [`Tokens`].

use core::fmt;

use fdt::helpers::UnalignedFallibleNode;
use fdt::nodes::AsNode;
use fdt::nodes::root::AllNodesIter;
use fdt::parsing::{NoPanic, unaligned::UnalignedParser};

use super::blob::{self, be32};
use super::error::{Error, Fault};
use super::{Region, Regions};

type Mode<'a> = (UnalignedParser<'a>, NoPanic);
pub(super) type Fdt<'a> = fdt::Fdt<'a, Mode<'a>>;

/// Levels of nesting, the root included. The `fdt` crate keeps no more; the deepest tree of Debian's kernels
/// has 12.
pub(super) const MAX_DEPTH: usize = 16;

/// Most cells that an address or a size may have; Linux knows no more either.
const MAX_CELLS: u32 = 4;

/// Entries of one `ranges` that are looked at. Real ones have tens; the bound keeps a tree that is all `reg`
/// and `ranges` from costing the product of the two.
const MAX_RANGES: usize = 1024;

/// A blob whose header and first `nodes` nodes passed the checks of [`blob`].
#[derive(Clone, Copy)]
pub(super) struct Tree<'a> {
    pub blob: &'a [u8],
    pub nodes: u32,
    /// Everything after these nodes did too.
    pub is_whole: bool,
}

impl<'a> Tree<'a> {
    #[inline(never)]
    pub fn walk(self) -> Walk<'a> {
        let (root, tokens) = match Fdt::new_unaligned_fallible(self.blob) {
            Ok(fdt) if self.is_whole => (fdt.root().ok(), None),
            Ok(fdt) => {
                (None, Some(Tokens { structs: fdt.structs_block(), strings: fdt.strings_block(), depth: 0 }))
            }
            Err(_) => (None, None),
        };
        Walk {
            tree: self,
            root: root.map(|root| root.as_node()),
            rest: root.and_then(|root| root.all_nodes().ok()),
            tokens,
            levels: [Level::EMPTY; MAX_DEPTH],
            next: 0,
        }
    }
}

/// A node's place in the tree. [`Display`](fmt::Display) writes it in full, `/soc/serial@7e201000`, with
/// anything but printable ASCII replaced by `?`.
#[derive(Clone, Copy)]
pub struct Path<'a> {
    tree: Tree<'a>,
    index: u32,
}

impl PartialEq for Path<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index && core::ptr::eq(self.tree.blob, other.tree.blob)
    }
}

impl Eq for Path<'_> {}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = [Name { base: "", unit: None }; MAX_DEPTH];
        let mut walk = self.tree.walk();
        while let Some(node) = walk.step() {
            if let Some(name) = names.get_mut(node.depth) {
                *name = node.name;
            }
            if node.path.index == self.index {
                if node.depth == 0 {
                    return f.write_str("/");
                }
                return names.iter().take(node.depth + 1).skip(1).try_for_each(|name| write!(f, "/{name}"));
            }
        }
        f.write_str("?")
    }
}

impl fmt::Debug for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A node's own name: `serial@7e201000` (Devicetree Specification 2.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'a> {
    /// The part before the `@`; `/` for the root.
    pub base: &'a str,
    /// The part after it, as written: hexadecimal without prefix, by convention.
    pub unit: Option<&'a str>,
}

impl Name<'_> {
    /// True if a path may call the node `component`.
    fn answers_to(&self, component: &str) -> bool {
        match component.split_once('@') {
            Some((base, unit)) => self.base == base && self.unit == Some(unit),
            None => self.base == component,
        }
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        put_printable(f, self.base)?;
        match self.unit {
            Some(unit) => {
                f.write_str("@")?;
                put_printable(f, unit)
            }
            None => Ok(()),
        }
    }
}

/// Names come from the tree and may hold anything; an error report stays one line of plain text.
pub(super) fn put_printable(f: &mut impl fmt::Write, text: &str) -> fmt::Result {
    text.chars().try_for_each(|c| f.write_char(if c == ' ' || c.is_ascii_graphic() { c } else { '?' }))
}

macro_rules! props {
    ($($(#[$doc:meta])* $field:ident = $name:literal $(| $old:literal)?,)*) => {
        /// The properties that are looked at on many nodes, all found in one pass over the list.
        #[derive(Clone, Copy, Default)]
        pub(super) struct Props<'a> {
            $($(#[$doc])* pub $field: Option<&'a [u8]>,)*
        }

        impl<'a> Props<'a> {
            fn read(raw: &Raw<'a>) -> Self {
                let mut props = Self::default();
                for (name, value) in raw.properties() {
                    match name {
                        $($name $(| $old)? => { props.$field.get_or_insert(value); })*
                        _ => {}
                    }
                }
                props
            }
        }
    };
}

props! {
    address_cells = "#address-cells",
    size_cells = "#size-cells",
    interrupt_cells = "#interrupt-cells",
    compatible = "compatible",
    device_type = "device_type",
    interrupt_controller = "interrupt-controller",
    interrupt_parent = "interrupt-parent",
    phandle = "phandle" | "linux,phandle",
    ranges = "ranges",
    reg = "reg",
    status = "status",
}

/// The tokens of the sound part of a tree that is damaged after it, from the next one on.
#[derive(Clone, Copy)]
struct Tokens<'a> {
    structs: &'a [u8],
    strings: &'a [u8],
    /// Of the node that begins next, if one does.
    depth: usize,
}

impl<'a> Tokens<'a> {
    fn word(&mut self) -> Option<u32> {
        let (word, rest) = self.structs.split_first_chunk()?;
        self.structs = rest;
        Some(u32::from_be_bytes(*word))
    }

    /// Bytes, and what aligns the token after them.
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.structs.split_at_checked(length)?;
        self.structs = rest.get(length.next_multiple_of(4) - length..)?;
        Some(bytes)
    }

    /// On to the next property, unless something else comes before it.
    fn property(&mut self) -> Option<(&'a str, &'a [u8])> {
        loop {
            let mut ahead = *self;
            match ahead.word()? {
                blob::NOP => *self = ahead,
                blob::PROP => {
                    let length = ahead.word()? as usize;
                    let name = string(self.strings.get(ahead.word()? as usize..)?)?;
                    let value = ahead.take(length)?;
                    *self = ahead;
                    return Some((name, value));
                }
                _ => return None,
            }
        }
    }

    /// On to what follows the name of the next node, with its depth.
    fn node(&mut self) -> Option<(usize, Raw<'a>)> {
        loop {
            while self.property().is_some() {}
            match self.word()? {
                blob::BEGIN_NODE => {
                    let length = self.structs.iter().position(|&byte| byte == 0)?;
                    let name = string(self.take(length + 1)?)?;
                    let depth = self.depth;
                    self.depth += 1;
                    return Some((depth, Raw::Cut(name, *self)));
                }
                blob::END_NODE => self.depth = self.depth.checked_sub(1)?,
                _ => return None,
            }
        }
    }
}

/// A node before it is looked into: as the crate has it, or its name and the tokens after it.
#[derive(Clone, Copy)]
enum Raw<'a> {
    Whole(UnalignedFallibleNode<'a>),
    Cut(&'a str, Tokens<'a>),
}

impl<'a> Raw<'a> {
    fn name(&self) -> Option<Name<'a>> {
        match self {
            Self::Whole(node) => {
                node.name().ok().map(|name| Name { base: name.name, unit: name.unit_address })
            }
            Self::Cut("", _) => Some(Name { base: "/", unit: None }),
            Self::Cut(name, _) => Some(match name.split_once('@') {
                Some((base, unit)) => Name { base, unit: Some(unit) },
                None => Name { base: name, unit: None },
            }),
        }
    }

    fn properties(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        let (whole, mut cut) = match self {
            Self::Whole(node) => (node.properties().ok(), None),
            Self::Cut(_, tokens) => (None, Some(*tokens)),
        };
        let whole = whole.into_iter().flatten().flatten().map(|property| (property.name, property.value));
        whole.chain(core::iter::from_fn(move || cut.as_mut()?.property()))
    }
}

/// A node as the walk meets it.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    raw: Raw<'a>,
    pub path: Path<'a>,
    pub depth: usize,
    pub name: Name<'a>,
    pub props: Props<'a>,
    /// The node and everything above it is "okay" (Devicetree Specification 2.3.4).
    pub enabled: bool,
    /// `interrupt-parent` of the node or of the nearest node above that has one (ibid. 2.4.1).
    pub interrupt_parent: Option<u32>,
}

impl<'a> Node<'a> {
    pub fn properties(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        self.raw.properties()
    }

    /// A property that is not among [`Props`].
    pub fn property(&self, name: &str) -> Option<&'a [u8]> {
        self.properties().find(|property| property.0 == name).map(|property| property.1)
    }

    /// True at that depth for that name without unit address.
    pub fn is_at(&self, depth: usize, base: &str) -> bool {
        self.depth == depth && self.name.base == base && self.name.unit.is_none()
    }

    /// Its phandle (Devicetree Specification 2.3.3).
    pub fn phandle(&self) -> Option<u32> {
        cell(self.props.phandle)
    }

    /// A property of one cell, where absence is fine and another length is not.
    pub fn cell(&self, name: &'static str) -> Result<Option<u32>, Error<'a>> {
        let Some(value) = self.property(name) else { return Ok(None) };
        match cell(Some(value)) {
            Some(value) => Ok(Some(value)),
            None => Err(Error::property(self.path, name, "not one cell, bytes").value(value.len() as u64)),
        }
    }

    /// A number of one or two cells, where absence is fine.
    pub fn number(&self, name: &'static str) -> Result<Option<u64>, Error<'a>> {
        let Some(value) = self.property(name) else { return Ok(None) };
        match value.len() {
            4 | 8 => Ok(number(value).and_then(|number| u64::try_from(number).ok())),
            length => {
                Err(Error::property(self.path, name, "not one or two cells, bytes").value(length as u64))
            }
        }
    }

    /// A property that is a string, or the first string of a list.
    pub fn string(&self, name: &'static str) -> Result<Option<&'a str>, Error<'a>> {
        let Some(value) = self.property(name) else { return Ok(None) };
        match string(value) {
            Some(string) => Ok(Some(string)),
            None => Err(Error::property(self.path, name, "not UTF-8 text")),
        }
    }
}

/// What a node means to the nodes below it.
#[derive(Clone, Copy)]
struct Level<'a> {
    index: u32,
    address_cells: u32,
    size_cells: u32,
    ranges: Option<&'a [u8]>,
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
    tree: Tree<'a>,
    root: Option<UnalignedFallibleNode<'a>>,
    rest: Option<AllNodesIter<'a, Mode<'a>>>,
    /// In place of these two, for a tree that is not whole.
    tokens: Option<Tokens<'a>>,
    levels: [Level<'a>; MAX_DEPTH],
    next: u32,
}

impl<'a> Walk<'a> {
    /// The next node. The blob passed the checks, so an error of the crate cannot come; it would end the
    /// walk, and the tests compare the number of nodes walked with the number checked.
    #[inline(never)]
    pub fn step(&mut self) -> Option<Node<'a>> {
        if self.next == self.tree.nodes {
            return None;
        }
        let (depth, raw) = match (&mut self.tokens, self.root.take()) {
            (Some(tokens), _) => tokens.node()?,
            (None, Some(root)) => (0, Raw::Whole(root)),
            (None, None) => {
                let (depth, node) = self.rest.as_mut()?.next()?.ok()?;
                (depth, Raw::Whole(node))
            }
        };
        let index = self.next;
        self.next += 1;

        let name = raw.name()?;
        let props = Props::read(&raw);
        let above = match depth.checked_sub(1) {
            Some(above) => *self.levels.get(above)?,
            None => Level::EMPTY,
        };
        let okay = match props.status {
            Some(status) => matches!(string(status), Some("okay" | "ok")),
            None => true,
        };
        let level = Level {
            index,
            address_cells: cells_or(props.address_cells, 2),
            size_cells: cells_or(props.size_cells, 1),
            ranges: props.ranges,
            enabled: above.enabled && okay,
            interrupt_parent: cell(props.interrupt_parent).or(above.interrupt_parent),
        };
        *self.levels.get_mut(depth)? = level;
        Some(Node {
            raw,
            path: Path { tree: self.tree, index },
            depth,
            name,
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

    fn level_above(&self, node: &Node<'a>) -> Level<'a> {
        node.depth.checked_sub(1).and_then(|above| self.levels.get(above)).copied().unwrap_or(Level::EMPTY)
    }

    /// `#address-cells` that holds for the `reg` of `node`, which must be the last node walked to.
    pub fn address_cells(&self, node: &Node<'a>) -> u32 {
        self.level_above(node).address_cells
    }

    /// The entries of `reg` as they stand in the tree. `node` must be the last node walked to, here and in
    /// the functions below.
    pub fn entries(&self, node: &Node<'a>) -> Result<Entries<'a>, Error<'a>> {
        let Some(bytes) = node.props.reg else {
            return Err(Error::node_fault(Fault::Property, node.path, "no reg property"));
        };
        let above = self.level_above(node);
        let Some((address, entry)) = widths(above.address_cells, 0, above.size_cells) else {
            return Err(Error::property(node.path, "reg", "parent has an impossible number of cells"));
        };
        if !bytes.len().is_multiple_of(entry) {
            let error = Error::property(node.path, "reg", "length is not a whole number of entries");
            return Err(error.value(bytes.len() as u64));
        }
        Ok(Entries { bytes, address, entry })
    }

    /// The entries of `reg` as CPU physical regions.
    fn regions(
        &self,
        node: &Node<'a>,
    ) -> Result<impl Iterator<Item = Result<Region, Error<'a>>> + use<'_, 'a>, Error<'a>> {
        let node = *node;
        Ok(self.entries(&node)?.map(move |(base, size)| self.translate(&node, base, size)))
    }

    /// Entry `index` of `reg`, which has to be there.
    pub fn region(&self, node: &Node<'a>, index: usize) -> Result<Region, Error<'a>> {
        self.regions(node)?.nth(index).unwrap_or_else(|| {
            Err(Error::property(node.path, "reg", "too few entries, no entry").value(index as u64))
        })
    }

    /// All entries of `reg`.
    pub fn all_regions(&self, node: &Node<'a>) -> Result<Regions, Error<'a>> {
        let mut regions = Regions::EMPTY;
        for region in self.regions(node)? {
            if !regions.push(region?) {
                let error = Error::property(node.path, "reg", "more regions than there is room for");
                return Err(error.value(Regions::CAPACITY as u64));
            }
        }
        Ok(regions)
    }

    /// Takes `base` through the `ranges` of every bus above `node` (Devicetree Specification 2.3.8).
    pub fn translate(&self, node: &Node<'a>, base: u128, size: u128) -> Result<Region, Error<'a>> {
        let mut base = base;
        for depth in (1..node.depth).rev() {
            let (Some(bus), Some(above)) = (self.levels.get(depth), self.levels.get(depth - 1)) else {
                break;
            };
            let path = Path { tree: self.tree, index: bus.index };
            let Some(ranges) = bus.ranges else {
                let error = Error::address(path, "ranges", "missing, cannot translate the child address");
                return Err(error.value(base as u64));
            };
            if ranges.is_empty() {
                continue;
            }
            base = through(ranges, bus, above.address_cells, base)
                .ok_or(Error::address(path, "ranges", "no entry for the child address").value(base as u64))?;
        }
        let region = u64::try_from(base).ok().zip(u64::try_from(size).ok());
        match region.map(|(base, size)| Region { base, size }) {
            // The last byte has to be addressable; one past it need not be.
            Some(region) if region.base.checked_add(region.size.saturating_sub(1)).is_some() => Ok(region),
            _ => Err(Error::address(node.path, "reg", "beyond 64 bits, at").value(base as u64)),
        }
    }
}

/// `address` as the `ranges` of `bus` map it.
fn through(ranges: &[u8], bus: &Level<'_>, above_cells: u32, address: u128) -> Option<u128> {
    let (child, entry) = widths(bus.address_cells, above_cells, bus.size_cells)?;
    let parent = child + 4 * above_cells as usize;
    ranges.chunks_exact(entry).take(MAX_RANGES).find_map(|range| {
        let offset = address.checked_sub(number(range.get(..child)?)?)?;
        if offset >= number(range.get(parent..)?)? {
            return None;
        }
        number(range.get(child..parent)?)?.checked_add(offset)
    })
}

/// Bytes of an address and of a whole entry of `reg` or `ranges`.
fn widths(address_cells: u32, parent_cells: u32, size_cells: u32) -> Option<(usize, usize)> {
    if address_cells.max(parent_cells).max(size_cells) > MAX_CELLS {
        return None;
    }
    let entry = 4 * (address_cells + parent_cells + size_cells) as usize;
    (entry > 0).then_some((4 * address_cells as usize, entry))
}

/// See [`Walk::entries`]: base and size.
pub(super) struct Entries<'a> {
    bytes: &'a [u8],
    address: usize,
    entry: usize,
}

impl Iterator for Entries<'_> {
    type Item = (u128, u128);

    fn next(&mut self) -> Option<Self::Item> {
        let (entry, rest) = self.bytes.split_at_checked(self.entry)?;
        self.bytes = rest;
        let (base, size) = entry.split_at_checked(self.address)?;
        Some((number(base)?, number(size)?))
    }
}

/// The value of up to four cells.
pub(super) fn number(cells: &[u8]) -> Option<u128> {
    let (cells, rest) = cells.as_chunks::<4>();
    if !rest.is_empty() || cells.len() > MAX_CELLS as usize {
        return None;
    }
    Some(cells.iter().fold(0, |number, cell| number << 32 | u128::from(u32::from_be_bytes(*cell))))
}

/// The value of a property that is one cell.
pub(super) fn cell(value: Option<&[u8]>) -> Option<u32> {
    value.filter(|value| value.len() == 4).and_then(|value| be32(value, 0))
}

/// A `#...-cells` property; one that is not a cell becomes a count that nothing accepts.
fn cells_or(value: Option<&[u8]>, default: u32) -> u32 {
    match value {
        Some(value) => cell(Some(value)).unwrap_or(u32::MAX),
        None => default,
    }
}

/// True if `compatible` has a string that `known` has too. Lists of names are kept as the tree keeps them, in one
/// piece: a position-independent image pays for every pointer in a table with a relocation.
pub(super) fn any_of(compatible: Option<&[u8]>, known: &[u8]) -> bool {
    strings(compatible).any(|name| is_one_of(name, known))
}

/// True if `name` is one of the NUL-separated `known` ones.
pub(super) fn is_one_of(name: &[u8], known: &[u8]) -> bool {
    strings(Some(known)).any(|known| known == name)
}

/// A string property, or the first of a list, without its terminator.
pub(super) fn string(value: &[u8]) -> Option<&str> {
    core::str::from_utf8(value.split(|&byte| byte == 0).next()?).ok()
}

/// The strings of a list such as `compatible`.
pub(super) fn strings(value: Option<&[u8]>) -> impl Iterator<Item = &[u8]> {
    value.unwrap_or(&[]).split(|&byte| byte == 0).filter(|string| !string.is_empty())
}

//! The device tree, read into a plain description of the machine.
//!
//! [`Machine::parse`] takes the blob that firmware, a hypervisor or QEMU left in memory and answers what a
//! kernel has to know before it can do anything: the CPUs and how to start them, the memory and what of it is
//! taken, the interrupt controller, the firmware interface, the timer, the console.
//!
//! - Only a blob that cannot be read at all is an error of `parse`. Everything else is answered part by part,
//!   so that a broken GIC node can still be reported on the console that the same tree describes.
//! - Addresses are CPU physical addresses: taken through the `ranges` of every bus above.
//! - No input panics, none is read outside its slice, and every question costs at most a few walks over the
//!   tree, each linear in its size.
//!
//! References are to the Devicetree Specification, release v0.4, and to the bindings that Linux keeps in
//! `Documentation/devicetree/bindings`.

mod address;
mod blob;
mod console;
mod cpu;
mod error;
mod gic;
mod interrupt;
mod memory;
mod name;
mod node;
mod node_ref;
mod path;
mod psci;
mod timer;
mod tokens;
mod tree;
mod value;
mod walk;

use core::fmt;
use core::ops::Deref;

pub use blob::{HEADER_SIZE, MAX_BLOB_SIZE, blob_size};
pub use console::{Console, ConsoleKind};
pub use cpu::{Cpu, CpuStatus, Cpus, EnableMethod, MPIDR_AFFINITY};
pub use error::{Error, Fault};
pub use gic::Gic;
pub use interrupt::{Interrupt, Trigger};
pub use memory::{Memory, Reservations, Reserved, ReservedBy};
pub use name::Name;
pub use node_ref::{NodeRef, Property};
pub use path::Path;
pub use psci::{Conduit, Psci, PsciVersion};
pub use timer::Timer;

use console::Found;
use node::Node;
use tree::Tree;
use value::{any_of, string, strings};
use walk::Walk;

/// A range of CPU physical addresses. Its last byte is addressable: `base + (size - 1)` does not wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Region {
    /// First byte.
    pub base: u64,
    /// Length in bytes.
    pub size: u64,
}

/// A few regions, kept in place. Dereferences to a slice.
#[derive(Clone, Copy)]
pub struct Regions {
    list: [Region; Self::CAPACITY],
    length: usize,
}

impl Regions {
    /// The most regions that fit. No tree of Debian's kernels has more than 4 redistributor regions.
    pub const CAPACITY: usize = 32;

    const EMPTY: Self = Self { list: [Region { base: 0, size: 0 }; Self::CAPACITY], length: 0 };

    /// False if there was no room.
    fn push(&mut self, region: Region) -> bool {
        let Some(slot) = self.list.get_mut(self.length) else { return false };
        *slot = region;
        self.length += 1;
        true
    }
}

impl Deref for Regions {
    type Target = [Region];

    fn deref(&self) -> &[Region] {
        self.list.get(..self.length).unwrap_or(&[])
    }
}

impl fmt::Debug for Regions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The machine that a device tree describes.
///
/// Each part is a `Result` of its own. [`Error::is_absent`] tells a part that the tree does not have from one
/// that it describes wrongly; either prints as one line.
#[derive(Clone, Copy, Debug)]
pub struct Machine<'a> {
    tree: Tree<'a>,
    cpu_count: usize,
    /// `model` of the root, else its first `compatible`, else empty (Devicetree Specification 3.2).
    pub model: &'a str,
    /// `bootargs` in `/chosen`, empty if there are none (ibid. 3.6).
    pub bootargs: Result<&'a str, Error<'a>>,
    /// The GIC that the root's `interrupt-parent` names, else the first one that is enabled.
    pub gic: Result<Gic<'a>, Error<'a>>,
    /// The PSCI node at `/psci`, else at `/firmware/psci`, else the first one anywhere.
    pub psci: Result<Psci<'a>, Error<'a>>,
    /// The generic timer.
    pub timer: Result<Timer, Error<'a>>,
    /// The console that `/chosen` names by `stdout-path`, else the first enabled UART with a driver.
    pub console: Result<Console<'a>, Error<'a>>,
    /// Why the console is not the one that `/chosen` names; see [`Console::is_chosen`].
    pub console_note: Option<Error<'a>>,
}

impl<'a> Machine<'a> {
    /// Checks `blob` and reads it. See [`blob_size`] for how long a slice to pass; a longer one is cut.
    ///
    /// # Errors
    /// [`Fault::Header`] or [`Fault::Structure`]: the blob cannot be believed. [`salvage_console`] may still
    /// know where to say so.
    pub fn parse(blob: &'a [u8]) -> Result<Self, Error<'a>> {
        let (tree, verdict) = blob::check(blob)?;
        verdict?;
        Ok(Self::survey(tree))
    }

    /// One walk for everything that is a single node.
    #[inline(never)]
    fn survey(tree: Tree<'a>) -> Self {
        let mut model = "";
        let mut root_parent = None;
        let mut chosen = None;
        let mut gic = Err(Error::absent("no GIC that is known and enabled"));
        let mut is_root_gic = false;
        let mut psci = Err(Error::absent("no PSCI node"));
        let mut psci_rank = u8::MAX;
        let mut timer: Option<Node<'a>> = None;
        let mut console = None;

        let mut walk = Walk::new(tree);
        while let Some(node) = walk.step() {
            if node.depth == 0 {
                root_parent = node.interrupt_parent;
                model = node.property("model").or(node.props.compatible).and_then(string).unwrap_or("");
            }
            if node.is_at(1, "chosen") {
                chosen.get_or_insert(node);
            }
            if !node.enabled || node.props.compatible.is_none() {
                continue;
            }
            if gic::is_gic(&node) && !is_root_gic {
                is_root_gic = root_parent.is_some() && node.phandle() == root_parent;
                let is_first = matches!(&gic, Err(error) if error.is_absent());
                if is_root_gic || is_first {
                    gic = Gic::read(&walk, &node);
                }
            } else if psci::version(&node).is_some() {
                let rank = psci::rank(&node);
                if rank < psci_rank {
                    psci_rank = rank;
                    psci = Psci::read(&node);
                }
            } else if timer::is_timer(&node) {
                timer.get_or_insert(node);
            } else if console.is_none() {
                console = Console::usable(&walk, &node);
            }
        }

        let (console, console_note) = find_console(tree, chosen.as_ref(), console);
        Self {
            tree,
            cpu_count: cpu::count(tree),
            model,
            bootargs: chosen.map_or(Ok(""), |chosen| Ok(chosen.string("bootargs")?.unwrap_or(""))),
            gic,
            psci,
            timer: match timer {
                Some(node) => Timer::read(tree, &node),
                None => Err(Error::absent("no generic timer")),
            },
            console,
            console_note,
        }
    }

    /// The CPUs in tree order, which need not start with the one that boots. A CPU that is described wrongly,
    /// or has the MPIDR of an earlier one, is an error in its place; no CPU at all is a single error.
    pub fn cpus(&self) -> Cpus<'a> {
        Cpus::new(self.tree)
    }

    /// How many CPU nodes there are, of whatever status, and described rightly or not.
    pub fn cpu_count(&self) -> usize {
        self.cpu_count
    }

    /// The memory: `reg` of every enabled node below the root with device_type "memory" (Devicetree
    /// Specification 3.4). Entries of no size are left out; no memory at all is a single error.
    pub fn memory(&self) -> Memory<'a> {
        Memory::new(self.tree)
    }

    /// Memory that is taken: the reservation block, the initial RAM disk, and the children of
    /// `/reserved-memory` that have a place. The blob itself and the running image are not among them.
    pub fn reserved(&self) -> Reservations<'a> {
        Reservations::new(self.tree)
    }

    /// `compatible` of the root, most specific first, for quirks that are keyed by board.
    pub fn compatible(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let root = Walk::new(self.tree).step();
        strings(root.and_then(|root| root.props.compatible))
            .filter_map(|name| core::str::from_utf8(name).ok())
    }

    /// True if the root says it is `board`.
    pub fn is_compatible(&self, board: &str) -> bool {
        self.compatible().any(|name| name == board)
    }

    /// The registers of the first enabled node that is compatible with `with`.
    ///
    /// # Errors
    /// [`Fault::Absent`] if there is none, another if its `reg` is wrong or has more than
    /// [`Regions::CAPACITY`] entries.
    pub fn device_regions(&self, with: &str) -> Result<Regions, Error<'a>> {
        let mut walk = Walk::new(self.tree);
        match walk.first(|node| node.enabled && any_of(node.props.compatible, with.as_bytes())) {
            Some(node) => walk.all_regions(&node),
            None => Err(Error::absent("no such device")),
        }
    }

    /// Every node, parents before their children, starting with the root.
    pub fn nodes(&self) -> impl Iterator<Item = NodeRef<'a>> + use<'a> {
        let tree = self.tree;
        let mut walk = Walk::new(tree);
        core::iter::from_fn(move || Some(NodeRef::new(tree, walk.step()?)))
    }

    /// How many nodes the tree has.
    pub fn node_count(&self) -> usize {
        self.tree.nodes as usize
    }

    /// The node at an absolute path or at an alias: `/soc/serial@7e201000`, `/soc/serial`, `serial0`.
    pub fn node(&self, path: &str) -> Option<NodeRef<'a>> {
        let node = Walk::new(self.tree).resolve(path)?;
        Some(NodeRef::new(self.tree, node))
    }
}

impl fmt::Debug for Tree<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} nodes in {} bytes", self.nodes, self.blob.len())
    }
}

/// The console of a tree that [`Machine::parse`] refuses, from the part before the damage: somewhere to say
/// what is wrong with it. `None` if even that cannot be told.
pub fn salvage_console(blob: &[u8]) -> Option<Console<'_>> {
    let (tree, _) = blob::check(blob).ok()?;
    let mut chosen = None;
    let mut console = None;
    let mut walk = Walk::new(tree);
    while let Some(node) = walk.step() {
        if node.is_at(1, "chosen") {
            chosen.get_or_insert(node);
        }
        if console.is_none() {
            console = Console::usable(&walk, &node);
        }
    }
    find_console(tree, chosen.as_ref(), console).0.ok()
}

/// The chosen console, else `first`; and why it is not the chosen one.
#[inline(never)]
fn find_console<'a>(
    tree: Tree<'a>,
    chosen: Option<&Node<'a>>,
    first: Option<Found<'a>>,
) -> (Result<Console<'a>, Error<'a>>, Option<Error<'a>>) {
    let by_path = match chosen {
        Some(chosen) => Console::chosen(tree, chosen),
        None => Err(Error::absent("no /chosen node")),
    };
    match (by_path, first) {
        (Ok(found), _) => (Ok(console::with_interrupt(tree, found)), None),
        (Err(note), Some(found)) => (Ok(console::with_interrupt(tree, found)), Some(note)),
        (Err(error), None) => (Err(error), Some(error)),
    }
}

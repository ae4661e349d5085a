//! What the machine is described by. The one place that tells one kind of description from another, for everything that a
//! [`Machine`](crate::Machine) does not keep but looks up when it is asked.

use crate::acpi::{self, Tables};
use crate::cpu::Cpu;
use crate::dt::tree::Tree;
use crate::dt::{cpu, device, memory};
use crate::error::Error;
use crate::memory::Reserved;
use crate::region::{Region, Regions};
use crate::uefi::{self, MemoryMap};

/// A description that was checked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    Tree(Tree<'a>),
    Acpi(Tables<'a>),
}

impl<'a> Source<'a> {
    /// The device tree, if it is one.
    pub(crate) fn tree(self) -> Option<Tree<'a>> {
        match self {
            Self::Tree(tree) => Some(tree),
            Self::Acpi(_) => None,
        }
    }

    pub(crate) fn cpus(self) -> Cpus<'a> {
        match self {
            Self::Tree(tree) => Cpus(Items::Tree(cpu::Cpus::new(tree))),
            Self::Acpi(tables) => Cpus(Items::Acpi(acpi::cpu::Cpus::new(tables))),
        }
    }

    pub(crate) fn compatible(self) -> impl Iterator<Item = &'a str> + use<'a> {
        match self {
            Self::Tree(tree) => Items::Tree(device::compatible(tree)),
            Self::Acpi(tables) => Items::Acpi(tables.names().into_iter()),
        }
    }

    pub(crate) fn device_regions(self, with: &str) -> Result<Regions, Error<'a>> {
        match self {
            Self::Tree(tree) => device::regions(tree, with),
            Self::Acpi(_) => Err(acpi::no_devices()),
        }
    }
}

/// What is iterated over, for each kind of description.
enum Items<T, A> {
    Tree(T),
    Acpi(A),
}

impl<T: Iterator, A: Iterator<Item = T::Item>> Iterator for Items<T, A> {
    type Item = T::Item;

    fn next(&mut self) -> Option<T::Item> {
        match self {
            Self::Tree(tree) => tree.next(),
            Self::Acpi(tables) => tables.next(),
        }
    }
}

/// See [`Machine::cpus`](crate::Machine::cpus).
pub struct Cpus<'a>(Items<cpu::Cpus<'a>, acpi::cpu::Cpus<'a>>);

impl<'a> Iterator for Cpus<'a> {
    type Item = Result<Cpu<'a>, Error<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

/// See [`Machine::memory`](crate::Machine::memory).
pub struct Memory<'a>(MemoryItems<'a>);

/// Who says what memory there is.
#[allow(clippy::large_enum_variant, reason = "without allocation there is no box to put a walk into")]
enum MemoryItems<'a> {
    Map(uefi::Memory<'a>),
    Tree(memory::Memory<'a>),
    /// Tables do not: one error.
    Nobody(bool),
}

impl<'a> Memory<'a> {
    pub(crate) fn new(source: Source<'a>, map: Option<MemoryMap<'a>>) -> Self {
        Self(match (map, source) {
            (Some(map), _) => MemoryItems::Map(uefi::Memory::new(map)),
            (None, Source::Tree(tree)) => MemoryItems::Tree(memory::Memory::new(tree)),
            (None, Source::Acpi(_)) => MemoryItems::Nobody(false),
        })
    }
}

impl<'a> Iterator for Memory<'a> {
    type Item = Result<Region, Error<'a>>;

    #[inline(never)]
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            MemoryItems::Map(map) => map.next(),
            MemoryItems::Tree(tree) => tree.next(),
            MemoryItems::Nobody(said) => (!core::mem::replace(said, true)).then(|| Err(acpi::no_memory())),
        }
    }
}

/// See [`Machine::reserved`](crate::Machine::reserved).
pub struct Reservations<'a> {
    map: Option<uefi::Taken<'a>>,
    source: Option<memory::Reservations<'a>>,
}

impl<'a> Reservations<'a> {
    pub(crate) fn new(source: Source<'a>, map: Option<MemoryMap<'a>>) -> Self {
        Self { map: map.map(uefi::Taken::new), source: source.tree().map(memory::Reservations::new) }
    }
}

impl<'a> Iterator for Reservations<'a> {
    type Item = Result<Reserved, Error<'a>>;

    #[inline(never)]
    fn next(&mut self) -> Option<Self::Item> {
        if let Some(taken) = self.map.as_mut().and_then(Iterator::next) {
            return Some(Ok(taken));
        }
        self.source.as_mut()?.next()
    }
}

//! What firmware left: the one place that knows by which ways the image is started, and what each of them hands over.

use crate::dt::{Error, Machine, Region};
use crate::memory::{self, Blob, MemoryMap};
use crate::uefi;
use core::fmt;
use reveille_machine::acpi;
use reveille_machine::uefi::{
    ACPI_1, ACPI_2, Handover, LISTED, LISTED_HEADER, Listed, MAX_MAP_SIZE, SYSTEM_TABLE_SIZE, SystemTable,
    TABLE_SIZE, find_table, listed,
};

/// What is handed over, whichever way.
///
/// | started by | tree | RSDP | memory map | arguments |
/// |---|---|---|---|---|
/// | the arm64 boot protocol | x0, or the start of RAM | - | - | - |
/// | that, by a Linux that UEFI firmware had started (kexec) | the same | `/chosen` | `/chosen` | - |
/// | UEFI firmware | its configuration tables | the same | as boot services ended | load options |
#[derive(Default)]
pub(super) struct Left {
    /// What the image was entered with, if it was by a boot loader.
    x0: Option<u64>,
    /// The device tree.
    pub(super) tree: Option<Blob>,
    /// Where the RSDP of ACPI lies, physical.
    pub(super) rsdp: Option<u64>,
    /// Firmware's memory map.
    pub(super) map: Option<reveille_machine::uefi::MemoryMap<'static>>,
    /// The command line, if it is not that of the tree.
    pub(super) arguments: Option<&'static str>,
    /// What is read for ever of what may lie in memory that is free otherwise, beside the tree.
    kept: [Region; KEPT],
    /// How many of them there are.
    kept_count: usize,
    /// Where the last table of ACPI that was looked at lies.
    looked_at: u64,
    /// The nodes of Linux's list of reserved memory.
    lists: [(Region, &'static [u8]); MOST_LISTS],
    /// What was wrong with it, and can be lived with.
    note: Option<Note>,
    /// Why it is not known what memory is free.
    fault: Option<Note>,
}

/// The memory map, the command line, the RSDP twice, the list of ACPI tables and five of these, and two more.
const KEPT: usize = 12;

/// A list of reserved memory that has more nodes than this is taken for garbage. Linux has 255 regions in each, and one or two of them for a CPU.
const MOST_LISTS: usize = 16;

/// What is wrong with what was handed over.
pub(super) enum Note {
    /// What is said to be there cannot be read.
    Unreadable(&'static str, u64),
    /// It makes no sense.
    Wrong(Error<'static>),
    /// There is no end to the list of reserved memory.
    Endless,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(what, at) => {
                write!(f, "UEFI: {what} at {at:#x}: nothing there that can be read")
            }
            Self::Wrong(error) => error.fmt(f),
            Self::Endless => f.write_str("UEFI: list of reserved memory: no end to it"),
        }
    }
}

/// Why nothing is known of the machine.
pub(super) enum Undescribed {
    /// There is nothing that describes one. What the image was entered with; `None`: by UEFI firmware.
    Nothing(Option<u64>),
    /// There is a tree, and nothing in it.
    Tree,
    /// There are ACPI tables that cannot be read.
    Tables(Error<'static>),
    /// What firmware left cannot be made out, and so it is not known what memory is free.
    Firmware(Note),
}

impl fmt::Display for Undescribed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing(None) => f.write_str("UEFI: firmware has neither a device tree nor ACPI tables"),
            Self::Nothing(Some(x0)) => {
                write!(
                    f,
                    "no device tree: none where x0 says ({x0:#x}), none at the start of RAM; nor ACPI tables"
                )
            }
            Self::Tree => {
                f.write_str("the device tree describes no machine, and there is nothing else that does")
            }
            Self::Tables(error) => error.fmt(f),
            Self::Firmware(note) => note.fmt(f),
        }
    }
}

impl From<Error<'static>> for Note {
    fn from(error: Error<'static>) -> Self {
        Self::Wrong(error)
    }
}

impl Left {
    /// What is there without a look at the tree. `x0` is what the image was entered with.
    ///
    /// On the boot stack, alone, masked, once.
    #[inline(never)]
    pub(super) fn find(x0: u64) -> Self {
        let mut left = Self::default();
        let Some(handed) = uefi::Left::read() else {
            left.x0 = Some(x0);
            left.tree = find_blob(x0, memory::tree_at);
            return left;
        };
        left.rsdp = Some(handed.rsdp).filter(|at| *at != 0);
        if handed.tree != 0 {
            left.tree = memory::tree_at(handed.tree);
        }
        left.fault = left.take_map(&handed.map).err();
        left.note = left.take_arguments(&handed).err();
        left
    }

    /// The command line, of what firmware said to the image itself.
    fn take_arguments(&mut self, handed: &uefi::Left) -> Result<(), Note> {
        if handed.arguments_size != 0 {
            let region = Region { base: handed.arguments, size: handed.arguments_size };
            let unreadable = Note::Unreadable("command line", region.base);
            // SAFETY: memory that firmware has given the image for it, and nobody writes to any more; kept by `keep`.
            let bytes = unsafe { self.kept_bytes(region) }.ok_or(unreadable)?;
            self.arguments = core::str::from_utf8(bytes).ok();
        }
        Ok(())
    }

    fn take_map(&mut self, handover: &Handover) -> Result<(), Note> {
        let region = Region { base: handover.map, size: handover.map_size };
        let unreadable = Note::Unreadable("memory map", region.base);
        if region.size > MAX_MAP_SIZE as u64 {
            return Err(unreadable);
        }
        // SAFETY: memory that firmware or a boot loader has allocated for it and left alone since; an address that is none answers with an abort.
        let bytes = unsafe { self.kept_bytes(region) }.ok_or(unreadable)?;
        self.map = Some(reveille_machine::uefi::MemoryMap::new(bytes, handover.stride, handover.version)?);
        Ok(())
    }

    /// The bytes of `region`, if they are memory by the map.
    #[inline(never)]
    fn bytes(&self, what: &'static str, region: Region) -> Result<&'static [u8], Note> {
        let is_memory = self.map.is_some_and(|map| map.has(region));
        // SAFETY: RAM, as firmware's memory map says; of firmware's, which nobody has called since, or kept by `keep`.
        let bytes = if is_memory { unsafe { memory::bytes_at(region) } } else { None };
        bytes.ok_or(Note::Unreadable(what, region.base))
    }

    /// What the tree, read as `machine`, says of firmware that a boot loader was started by. With all else as in [`find`](Self::find).
    #[inline(never)]
    pub(super) fn follow(&mut self, machine: &Machine<'static>) {
        if self.map.is_none() && self.fault.is_none() {
            self.fault = self.follow_tree(machine).err();
        }
    }

    fn follow_tree(&mut self, machine: &Machine<'static>) -> Result<(), Note> {
        let Some(handover) = machine.uefi()? else { return Ok(()) };
        self.take_map(&handover)?;
        let at = Region { base: handover.system_table, size: SYSTEM_TABLE_SIZE as u64 };
        let Some(table) = self.bytes("system table", at)?.first_chunk() else { return Ok(()) };
        let table = SystemTable::read(table)?;
        if table.count != 0 {
            // Virtual, if Linux has given firmware its addresses.
            let base = self.map.map_or(table.tables, |map| map.to_physical(table.tables));
            let tables = Region { base, size: (table.count * TABLE_SIZE) as u64 };
            let tables = self.bytes("configuration tables", tables)?;
            self.rsdp = find_table(tables, &ACPI_2).or_else(|| find_table(tables, &ACPI_1));
            self.follow_lists(find_table(tables, &LISTED))?;
        }
        Ok(())
    }

    /// The nodes of Linux's list of reserved memory, the first of which is at `first`.
    fn follow_lists(&mut self, first: Option<u64>) -> Result<(), Note> {
        const WHAT: &str = "list of reserved memory";
        let (mut next, mut count) = (first.unwrap_or(0), 0);
        while next != 0 {
            if count == MOST_LISTS {
                return Err(Note::Endless);
            }
            let header = Region { base: next, size: LISTED_HEADER as u64 };
            let Some(header) = self.bytes(WHAT, header)?.first_chunk() else { break };
            let node = Listed::read(header)?;
            let region = Region { base: next, size: node.length as u64 };
            let bytes = self.bytes(WHAT, region)?;
            self.lists[count] = (region, bytes.get(..node.used).unwrap_or(bytes));
            (next, count) = (node.next, count + 1);
        }
        Ok(())
    }

    /// The bytes of `region`, which is kept. `None` if they cannot be read, or no more can be kept.
    ///
    /// # Safety
    ///
    /// As for [`memory::bytes_at`].
    #[inline(never)]
    unsafe fn kept_bytes(&mut self, region: Region) -> Option<&'static [u8]> {
        let slot = self.kept.get_mut(self.kept_count)?;
        // SAFETY: the caller's; it is kept from here on.
        let bytes = unsafe { memory::bytes_at(region) }?;
        *slot = region;
        self.kept_count += 1;
        Some(bytes)
    }

    /// The command line; `tree` is what the device tree describes, which may be no machine.
    pub(super) fn command_line(&self, tree: Option<&Machine<'static>>) -> &'static str {
        self.arguments.or(tree.and_then(|tree| tree.bootargs.ok())).unwrap_or("")
    }

    /// The machine that `tree` describes, else the one of ACPI, with what firmware says besides. Of a machine that both describe the tree
    /// says more.
    #[inline(never)]
    pub(super) fn machine(
        &mut self,
        tree: Option<Machine<'static>>,
    ) -> Result<Machine<'static>, Undescribed> {
        if let Some(fault) = self.fault.take() {
            return Err(Undescribed::Firmware(fault));
        }
        let arguments = self.command_line(tree.as_ref());
        let mut machine = match (tree, self.rsdp) {
            (Some(tree), _) if tree.is_described() => tree,
            (tree, Some(rsdp)) => {
                let found = Machine::from_acpi(rsdp, arguments, &mut |at, length| self.table(at, length));
                let mut machine = found.map_err(Undescribed::Tables)?;
                machine.bootargs = tree.map_or(Ok(arguments), |tree| tree.bootargs);
                tree.map_or(machine, |tree| machine.with_usable_memory_of(&tree))
            }
            (Some(_), None) => return Err(Undescribed::Tree),
            (None, None) => return Err(Undescribed::Nothing(self.x0)),
        };
        if self.arguments.is_some() {
            machine.bootargs = Ok(arguments);
        }
        Ok(match self.map {
            Some(map) => machine.with_memory_map(map),
            None => machine,
        })
    }

    /// The bytes of a table of ACPI. What is longer than a header is kept: it is read again. So is one of that length, of which the header
    /// has been looked at.
    fn table(&mut self, at: u64, length: usize) -> Option<&'static [u8]> {
        let region = Region { base: at, size: length as u64 };
        if self.map.is_some_and(|map| !map.has(region)) {
            return None;
        }
        let again = core::mem::replace(&mut self.looked_at, at) == at;
        // SAFETY: RAM, as firmware's memory map says; without one, where firmware says that a table is. It is firmware's, which nobody has called
        // since, or kept by `keep`; or it is a header, which is read now and not again.
        unsafe {
            if length > acpi::HEADER || again && length == acpi::HEADER {
                self.kept_bytes(region)
            } else {
                memory::bytes_at(region)
            }
        }
    }

    /// Says what of it is not as it should be and can be lived with.
    pub(super) fn report(&self) {
        if let Some(note) = &self.note {
            log::error!("{note}");
        }
    }

    /// Keeps what is read for ever out of the free memory of `machine`, and what nothing that describes that machine reserves.
    pub(super) fn keep(&self, memory: &mut MemoryMap, machine: &Machine<'_>) {
        let nodes = self.lists.iter().map(|(node, _)| *node);
        memory.keep_all(&mut self.kept.into_iter().chain(nodes));
        memory.keep_all(&mut self.lists.iter().flat_map(|(_, bytes)| listed(bytes)));
        // A tree that describes no machine may still say where the boot loader has put something.
        let tree = self.tree.filter(|_| machine.is_from_tables());
        let tree = tree.and_then(|blob| Machine::parse(blob.bytes).ok());
        for reserved in tree.iter().flat_map(Machine::reserved).flatten() {
            memory.keep(reserved.region);
        }
    }

    /// Where the tree lies; empty if there is none.
    pub(super) fn tree_region(&self) -> Region {
        self.tree.map_or(Region::default(), |blob| blob.region)
    }
}

/// How many places are looked at for a device tree that nobody handed over.
const PLACES: usize = 64;

/// The device tree: where firmware says, or where QEMU leaves it for an ELF, which it starts with x0 = 0: at the start of
/// RAM, which is a multiple of 1 GiB on its machines, at or below the one under the image.
#[inline(never)]
pub(super) fn find_blob(x0: u64, tree_at: impl FnMut(u64) -> Option<Blob>) -> Option<Blob> {
    let (image, _) = memory::image();
    // 0 in x0 means that there is none.
    let handed_over = (x0 != 0).then_some(x0);
    let places = (0..=image >> 30).rev().take(PLACES).map(|gib| gib << 30);
    handed_over.into_iter().chain(places).find_map(tree_at)
}

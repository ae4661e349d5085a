//! Page tables: 4 KiB granule, 48-bit addresses, one set for all CPUs.
//!
//! RAM, image and devices are mapped where they are, below [`WINDOWS`]; what is mapped a second time has a window above:
//! stacks, far from each other, with an unmapped page on either side of each. Nothing is both writable and executable, and
//! `SCTLR.WXN` would take the execute right away if it were (Arm ARM D8.4.3).

use super::regs::{at_el2, e2h, read_el};
use super::shared::Regime;
use core::arch::asm;
use core::fmt;

/// Page size, bytes.
pub(crate) const PAGE: usize = 4096;
const ENTRIES: usize = 512;

/// From here on nothing is mapped where it is, whatever the CPU can address: the windows in which the runtime maps a second
/// time what it needs elsewhere.
pub(crate) const WINDOWS: u64 = STACK_WINDOW;
/// The stacks of all CPUs, and the unmapped pages between them.
pub(crate) const STACK_WINDOW: u64 = 0x0000_f000_0000_0000;
/// The application's stacks: 4 TiB, a page for each of free RAM.
pub(crate) const OWN_STACKS: u64 = 0x0000_f400_0000_0000;
/// A page of the text while it is patched.
pub(crate) const PATCH_WINDOW: u64 = 0x0000_f800_0000_0000;
/// The device tree, which may lie at address 0, to which no reference can point.
pub(crate) const TREE_WINDOW: u64 = 0x0000_f900_0000_0000;
/// What else firmware left somewhere, one piece after the other.
pub(crate) const FIRMWARE_WINDOW: u64 = TREE_WINDOW + (1 << 30);
/// Bytes of it.
pub(crate) const FIRMWARE_WINDOW_SIZE: u64 = 4 << 20;
/// What the application maps, each physical address at its own distance from here.
pub(crate) const MAP_WINDOW: u64 = 0x0000_fa00_0000_0000;
/// Bytes of it: physical addresses from here on cannot be mapped there.
pub(crate) const MAP_WINDOW_SIZE: u64 = 1 << 42;

/// `MAIR`: 0 Normal write-back, 1 Device-nGnRE, 2 Normal non-cacheable.
pub(crate) const MAIR: u64 = 0x44_04_ff;
/// `TCR` without what differs by level: T0SZ = 16, walks write-back and inner shareable, 4 KiB granule.
pub(crate) const TCR_COMMON: u64 = 0x3510;
/// `SCTLR_EL1`: RES1, WXN, I, SA0, SA, C, M.
pub(crate) const SCTLR_EL1: u64 = 0x30d8_181d;
/// `SCTLR_EL2`: RES1, WXN, I, SA, C, M.
pub(crate) const SCTLR_EL2: u64 = 0x30cd_183d;

/// What a mapping may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Executable, read-only.
    Text,
    /// Read-only.
    Constants,
    /// Readable and writable RAM.
    Data,
    /// Device registers: Device-nGnRE.
    Device,
    /// Readable and writable RAM past the caches.
    Uncached,
    /// The same, read-only.
    UncachedConstants,
}

/// Why a mapping was refused.
///
/// ```no_run
/// use reveille::println;
///
/// # fn example(system: &reveille::System) {
/// match system.map_device(0x1000_0000, 0x1000) {
///     Ok(registers) => println!("mapped at {registers:p}"),
///     Err(error) => println!("not mapped: {error}"),
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MapError {
    /// No memory left for page tables.
    NoTables,
    /// The address range is empty, wraps, or reaches beyond the physical address size of the CPU or beyond
    /// 0xf000_0000_0000, from where on addresses are the runtime's own.
    BadRange {
        /// First byte.
        start: u64,
        /// Bytes.
        len: u64,
    },
    /// Something else is mapped there with other attributes, or it belongs to the image or the device tree.
    Conflict {
        /// The first address in conflict.
        at: u64,
    },
    /// The caller is at NMI level ([`nmi::on_each`](crate::nmi::on_each)), and may have interrupted what maps something.
    Nmi,
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NoTables => write!(f, "no memory left for page tables"),
            Self::BadRange { start, len } => {
                write!(f, "cannot map {len:#x} bytes at {start:#x}: not a range of physical addresses")
            }
            Self::Conflict { at } => write!(f, "{at:#x} is in use, or mapped otherwise"),
            Self::Nmi => f.write_str("a mapping asked for at NMI level"),
        }
    }
}

/// One table.
#[repr(C, align(4096))]
pub(crate) struct Table([u64; ENTRIES]);

const VALID: u64 = 1;
const TABLE: u64 = 0b11;
const BLOCK: u64 = 0b01;
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;
/// `AttrIndx`: which field of `MAIR`.
const ATTRIBUTE_INDEX: u64 = 7 << 2;

fn attributes(usage: Use) -> u64 {
    const AF: u64 = 1 << 10;
    const INNER: u64 = 3 << 8;
    const READ_ONLY: u64 = 1 << 7;
    let el2 = at_el2() && e2h() == 0;
    // EL1, and EL2 with E2H: UXN (54) and PXN (53). EL2: XN (54), and AP[1] (6) is RES1.
    let never = if el2 { 1 << 54 } else { 3 << 53 };
    let base = AF | if el2 { 1 << 6 } else { 0 };
    base | match usage {
        Use::Text => INNER | READ_ONLY | if el2 { 0 } else { 1 << 54 },
        Use::Constants => INNER | READ_ONLY | never,
        Use::Data => INNER | never,
        Use::Device => (1 << 2) | never,
        Use::Uncached => (2 << 2) | INNER | never,
        Use::UncachedConstants => (2 << 2) | INNER | READ_ONLY | never,
    }
}

/// What an entry holds, for something that is to be mapped.
enum Found {
    /// Nothing, and this is what is to stand there.
    Room(u64),
    /// The same mapping, for so many bytes.
    Same(u64),
    /// Nothing, and a table has to be made, because the entry is for more.
    Nothing,
    /// This table.
    Table(*mut Table),
    /// Another mapping.
    Other,
}

/// What an entry gets beside the address.
#[derive(Clone, Copy)]
struct How {
    attributes: u64,
    /// The first level at which it may stand: 1, for the largest block that fits, or 3, for pages alone.
    top: usize,
}

/// What `current`, the entry of `level` for `virtual_`, means to who maps `left` bytes of `physical` there.
#[inline(always)]
fn judge(current: u64, level: usize, virtual_: u64, physical: u64, left: u64, how: How) -> Found {
    let size = 1_u64 << (39 - 9 * level);
    let leaf = if level == 3 { TABLE } else { BLOCK };
    let How { attributes, top } = how;
    let fits = level >= top && (virtual_ | physical) & (size - 1) == 0 && left >= size;
    let new = physical | attributes | leaf;
    if current & VALID == 0 {
        return if fits { Found::Room(new) } else { Found::Nothing };
    }
    if fits && current & 0b11 == leaf {
        return if current == new { Found::Same(size) } else { Found::Other };
    }
    if level < 3 && current & 0b11 == TABLE {
        return Found::Table((current & ADDRESS) as *mut Table);
    }
    // Inside a larger block: the same translation is no conflict.
    let inside = (current & ADDRESS) + (virtual_ & (size - 1));
    if inside == physical && current & !ADDRESS == attributes | BLOCK {
        return Found::Same((size - (virtual_ & (size - 1))).min(left));
    }
    Found::Other
}

/// The page tables and the memory that more of them can be made of.
pub(crate) struct Mapper {
    root: *mut Table,
    next: *mut Table,
    end: *mut Table,
    /// Physical addresses below this can be mapped, bytes.
    limit: u64,
    /// The entry of the page through which code is patched; null: its tables are not made.
    window: *mut u64,
}

// SAFETY: the tables are reached through the one mapper alone, which its owner keeps behind a lock.
unsafe impl Send for Mapper {}

impl Mapper {
    /// A mapper that builds tables out of `pool`, the first of which becomes the root.
    ///
    /// # Safety
    ///
    /// `pool` .. `pool + count` is zeroed RAM, mapped where it is, and belongs to the mapper from now on.
    pub(crate) unsafe fn new(pool: *mut Table, count: usize) -> Self {
        // PARange (Arm ARM D24.2.84), at most the 48 bits that the tables reach, without the windows.
        let bits =
            match aarch64_cpu::registers::Readable::get(&aarch64_cpu::registers::ID_AA64MMFR0_EL1) & 0xf {
                0 => 32,
                1 => 36,
                2 => 40,
                3 => 42,
                4 => 44,
                _ => 48,
            };
        // SAFETY: within the pool, or one past it.
        let (next, end) = unsafe { (pool.add(1), pool.add(count)) };
        Self { root: pool, next, end, limit: WINDOWS.min(1 << bits), window: core::ptr::null_mut() }
    }

    /// Takes `count` more tables at `pool`; what was left of the old pool is given up.
    ///
    /// # Safety
    ///
    /// As for [`Mapper::new`].
    pub(crate) unsafe fn refill(&mut self, pool: *mut Table, count: usize) {
        self.next = pool;
        // SAFETY: one past the pool.
        self.end = unsafe { pool.add(count) };
    }

    /// Physical addresses from here on cannot be mapped.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// The root, for `TTBR0`.
    pub(crate) fn root(&self) -> u64 {
        self.root as u64
    }

    /// Maps `len` bytes at `physical` to `virtual_`; both and `len` are multiples of the page size.
    ///
    /// Only invalid entries are written, so that no CPU can hold a stale translation and no
    /// break-before-make is needed (Arm ARM D8.17.1). What is mapped identically already is left alone.
    /// On an error part of the range may be mapped, with the attributes asked for, unless [`Mapper::check`] has said `Ok`:
    /// then there is none.
    pub(crate) fn map(&mut self, virtual_: u64, physical: u64, len: u64, usage: Use) -> Result<(), MapError> {
        self.map_as(virtual_, physical, len, How { attributes: attributes(usage), top: 1 })
    }

    /// The same for the image, at `start`, where it is: by pages alone, as it is mapped already by the early tables, from which
    /// every CPU moves to these. A page that became part of a block would have to be unmapped in between: two sizes of
    /// one translation in a TLB are a conflict (Arm ARM D8.17.1, "break-before-make").
    pub(crate) fn map_image(&mut self, start: u64, len: u64, usage: Use) -> Result<(), MapError> {
        self.map_as(start, start, len, How { attributes: attributes(usage), top: 3 })
    }

    /// Whether there is no memory left for tables.
    pub(crate) fn is_out_of_tables(&self) -> bool {
        self.next == self.end
    }

    fn map_as(&mut self, virtual_: u64, physical: u64, len: u64, how: How) -> Result<(), MapError> {
        let bad = MapError::BadRange { start: physical, len };
        let physical_end = physical.checked_add(len).ok_or(bad)?;
        let virtual_end = virtual_.checked_add(len).ok_or(bad)?;
        let aligned = (virtual_ | physical | len) & (PAGE as u64 - 1) == 0;
        if len == 0 || !aligned || physical_end > self.limit || virtual_end > 1 << 48 {
            return Err(bad);
        }
        let mut done = 0;
        while done < len {
            done += self.map_one(virtual_ + done, physical + done, len - done, how)?;
        }
        // Partner of every CPU's walker: the entries are observable before the mapping is used, and this
        // CPU's own fetch of them is not ahead of that.
        super::dsb_ishst();
        super::isb();
        Ok(())
    }

    /// Maps the largest block that fits and returns its size.
    fn map_one(&mut self, virtual_: u64, physical: u64, left: u64, how: How) -> Result<u64, MapError> {
        let mut table = self.root;
        for level in 0..4 {
            let shift = 39 - 9 * level;
            let size = 1_u64 << shift;
            let index = (virtual_ >> shift) as usize & (ENTRIES - 1);
            // SAFETY: `table` is the root or comes from a table entry, both of which `table()` and `new` made
            // point to tables of ours, mapped where they are; `index` is below 512.
            let entry = unsafe { &raw mut (*table).0[index] };
            // SAFETY: as above; only this mapper, behind its lock, writes the tables.
            let current = unsafe { entry.read() };
            match judge(current, level, virtual_, physical, left, how) {
                Found::Room(new) => {
                    // SAFETY: as above. One 64-bit store, so a walker sees the old or the new entry.
                    unsafe { entry.write(new) };
                    return Ok(size);
                }
                Found::Same(bytes) => return Ok(bytes),
                Found::Nothing => {
                    let below = self.table()?;
                    // The empty table is observable before the entry that leads to it.
                    super::dsb_ishst();
                    // SAFETY: as above.
                    unsafe { entry.write(below as u64 | TABLE) };
                    table = below;
                }
                Found::Table(below) => table = below,
                Found::Other => break,
            }
        }
        Err(MapError::Conflict { at: virtual_ })
    }

    /// Whether [`Mapper::map`] would map `len` bytes at `at` where they are, and come to the end. Changes nothing.
    pub(crate) fn check(&self, at: u64, len: u64, usage: Use) -> Result<(), MapError> {
        let bad = MapError::BadRange { start: at, len };
        let end = at.checked_add(len).filter(|end| *end <= self.limit).ok_or(bad)?;
        if len == 0 || (at | len) & (PAGE as u64 - 1) != 0 {
            return Err(bad);
        }
        let how = How { attributes: attributes(usage), top: 1 };
        let mut room = (self.end as usize - self.next as usize) / PAGE;
        // For which entry of each level a table was counted last: the walk goes upwards.
        let mut counted = [u64::MAX; 4];
        let mut address = at;
        'next: while address < end {
            // `None`: one that is still to be made, and will be empty.
            let mut table = Some(self.root);
            for (level, counted) in counted.iter_mut().enumerate() {
                let shift = 39 - 9 * level;
                let index = (address >> shift) as usize & (ENTRIES - 1);
                // SAFETY: as in `map_one`; nobody writes meanwhile, as the mapper is borrowed.
                let current = table.map_or(0, |table| unsafe { (&raw const (*table).0[index]).read() });
                match judge(current, level, address, address, end - address, how) {
                    Found::Room(_) => {
                        address += 1 << shift;
                        continue 'next;
                    }
                    Found::Same(bytes) => {
                        address += bytes;
                        continue 'next;
                    }
                    Found::Nothing => {
                        if *counted != address >> shift {
                            *counted = address >> shift;
                            room = room.checked_sub(1).ok_or(MapError::NoTables)?;
                        }
                        table = None;
                    }
                    Found::Table(below) => table = Some(below),
                    Found::Other => break,
                }
            }
            return Err(MapError::Conflict { at: address });
        }
        Ok(())
    }

    /// As [`Mapper::map`], by pages alone, each of which can be unmapped by itself; and only where nothing is mapped. On an error nothing is.
    pub(crate) fn map_new(
        &mut self,
        virtual_: u64,
        physical: u64,
        len: u64,
        usage: Use,
    ) -> Result<(), MapError> {
        if let Some(at) =
            (virtual_..virtual_.saturating_add(len)).step_by(PAGE).find(|page| self.leaf(*page).is_some())
        {
            return Err(MapError::Conflict { at: physical + (at - virtual_) });
        }
        let mapped = self.map_as(virtual_, physical, len, How { attributes: attributes(usage), top: 3 });
        if let Err(MapError::NoTables) = mapped {
            self.remove_pages(virtual_, len);
            invalidate_pages(virtual_, len);
        }
        mapped
    }

    /// Whether something other than device registers is mapped at `virtual_`.
    pub(crate) fn is_memory(&self, virtual_: u64) -> bool {
        let device = attributes(Use::Device) & ATTRIBUTE_INDEX;
        self.leaf(virtual_).is_some_and(|entry| entry & ATTRIBUTE_INDEX != device)
    }

    /// The entry that maps `virtual_`, at whatever level.
    fn leaf(&self, virtual_: u64) -> Option<u64> {
        let mut table = self.root.cast_const();
        for level in 0..4 {
            let index = (virtual_ >> (39 - 9 * level)) as usize & (ENTRIES - 1);
            // SAFETY: as in `map_one`; nobody writes meanwhile, as the mapper is borrowed.
            let current = unsafe { (&raw const (*table).0[index]).read() };
            if current & VALID == 0 {
                return None;
            }
            if level == 3 || current & 0b11 == BLOCK {
                return Some(current);
            }
            table = (current & ADDRESS) as *const Table;
        }
        None
    }

    /// Removes the page at `virtual_`, which is mapped as a page, from the tables and from every CPU's TLB.
    pub(crate) fn unmap_page(&mut self, virtual_: u64) {
        if self.remove(virtual_) {
            // Twice for the reason of `invalidate_pages`.
            forget(virtual_);
            forget(virtual_);
        }
    }

    /// The page at `virtual_`, which is mapped as one, is what code is patched through from now on. It is unmapped.
    pub(crate) fn keep_window(&mut self, virtual_: u64) {
        self.window = self.page(virtual_).unwrap_or(core::ptr::null_mut());
        self.unmap_page(virtual_);
    }

    /// Maps the page `physical` there, writable and not executable. `false`: there is no such page.
    #[unsafe(link_section = ".never_patch")]
    pub(crate) fn open_window(&mut self, physical: u64) -> bool {
        if self.window.is_null() {
            return false;
        }
        // SAFETY: the entry of a page, in a table that stays one for ever; invalid until now.
        unsafe { self.window.write(physical | attributes(Use::Data) | TABLE) };
        // As in `map_as`.
        super::dsb_ishst();
        super::isb();
        true
    }

    /// Takes it away again: `virtual_` is where it is.
    #[unsafe(link_section = ".never_patch")]
    pub(crate) fn close_window(&mut self, virtual_: u64) {
        // SAFETY: as in `open_window`, which has said that it is there.
        unsafe { self.window.write(0) };
        forget(virtual_);
    }

    /// Removes all pages of `[virtual_, virtual_ + len)`, as far as it is mapped, as pages, from the tables: [`invalidate_pages`] is to follow
    /// before anyone relies on it.
    pub(crate) fn remove_pages(&mut self, virtual_: u64, len: u64) {
        for page in (virtual_..virtual_ + len).step_by(PAGE) {
            self.remove(page);
        }
    }

    /// Clears the entry of the page at `virtual_`. `false`: it has none.
    #[inline(always)]
    fn remove(&mut self, virtual_: u64) -> bool {
        let Some(entry) = self.page(virtual_) else { return false };
        // SAFETY: as in `map_one`.
        unsafe { entry.write(0) };
        true
    }

    /// The entry of the page at `virtual_`, if it is mapped as one.
    #[inline(always)]
    fn page(&self, virtual_: u64) -> Option<*mut u64> {
        let mut table = self.root;
        for level in 0..4 {
            let index = (virtual_ >> (39 - 9 * level)) as usize & (ENTRIES - 1);
            // SAFETY: as in `map_one`.
            let entry = unsafe { &raw mut (*table).0[index] };
            // SAFETY: as in `map_one`.
            let current = unsafe { entry.read() };
            if current & 0b11 != TABLE {
                return None;
            }
            if level == 3 {
                return Some(entry);
            }
            table = (current & ADDRESS) as *mut Table;
        }
        None
    }

    fn table(&mut self) -> Result<*mut Table, MapError> {
        if self.next == self.end {
            return Err(MapError::NoTables);
        }
        let table = self.next;
        // SAFETY: not past the end, just compared.
        self.next = unsafe { self.next.add(1) };
        Ok(table)
    }
}

/// Drops what any TLB holds of the page at `virtual_`, which the tables no longer have.
#[inline(always)]
fn invalidate(virtual_: u64) {
    let page = virtual_ >> 12;
    if at_el2() {
        // SAFETY: drops a translation that the tables no longer have.
        unsafe { asm!("tlbi vae2is, {}", in(reg) page, options(nostack, preserves_flags)) };
    } else {
        // SAFETY: as above, for all address spaces.
        unsafe { asm!("tlbi vaae1is, {}", in(reg) page, options(nostack, preserves_flags)) };
    }
}

/// The same for a page that this CPU has removed from the tables just now, on all CPUs when this returns.
#[inline(always)]
fn forget(virtual_: u64) {
    // The entry is gone before the TLBs are told, and they are done before anyone relies on it (Arm ARM D8.14.5).
    super::dsb_ishst();
    invalidate(virtual_);
    super::dsb_ish();
    super::isb();
}

/// Pages from which on all that the TLBs hold is dropped, which is sooner done.
const MANY: u64 = 64;

/// Drops what any TLB holds of `[virtual_, virtual_ + len)`, which this CPU has removed from the tables. Accesses of any CPU by what was there are
/// complete when this returns.
///
/// For their sake once more than the architecture asks for: many cores, from Cortex-A55 to Neoverse-V3, let the first `dsb` end before accesses of
/// other CPUs have, and none of them the second, behind whatever other `tlbi` (docs/hardware.md, section 15). On all others that is an
/// invalidation of nothing.
pub(crate) fn invalidate_pages(virtual_: u64, len: u64) {
    // As in `forget`.
    super::dsb_ishst();
    if len < MANY * PAGE as u64 {
        (virtual_..virtual_ + len).step_by(PAGE).for_each(invalidate);
    } else if at_el2() {
        // SAFETY: drops what the tables have still, or should not be used any more.
        unsafe { asm!("tlbi alle2is", options(nostack, preserves_flags)) };
    } else {
        // SAFETY: as above.
        unsafe { asm!("tlbi vmalle1is", options(nostack, preserves_flags)) };
    }
    super::dsb_ish();
    invalidate(virtual_);
    super::dsb_ish();
    super::isb();
}

/// What this CPU's MMU makes of an access to `address`, as PAR_EL1 has it (Arm ARM D24.2.131): bit 0 is set if it would fault, else there
/// are the physical page in 47:12 and the attribute, as MAIR has it, in 63:56. The answer holds for any address whatever.
///
/// The DMBs keep loads from Device memory away from the read of PAR_EL1, beside which they may deadlock Cortex-A77 up to r1p0 (erratum
/// 1508412).
#[inline(always)]
fn translate(address: u64, write: bool) -> u64 {
    macro_rules! translate {
        ($operation:literal) => {{
            let par: u64;
            // SAFETY: translates an address and accesses nothing. PAR_EL1 is as it was afterwards, so whoever this has interrupted finds its
            // own answer there.
            unsafe {
                asm!("dmb sy", "mrs {old}, par_el1", concat!("at ", $operation, ", {address}"), "isb", "dmb sy", "mrs {par}, par_el1", "dmb sy", "msr par_el1, {old}", address = in(reg) address, par = out(reg) par, old = out(reg) _, options(nostack, preserves_flags));
            }
            par
        }};
    }
    // So that no thread is moved to another CPU, and its PAR_EL1, in between.
    let daif = super::regs::daif_mask();
    let par = match (at_el2(), write) {
        (true, false) => translate!("s1e2r"),
        (true, true) => translate!("s1e2w"),
        (false, false) => translate!("s1e1r"),
        (false, true) => translate!("s1e1w"),
    };
    super::regs::daif_restore(daif);
    par
}

/// Whether `address` is mapped, on this CPU and for reading, as ordinary RAM: Normal, write-back.
pub(crate) fn is_ram(address: u64) -> bool {
    let par = translate(address, false);
    par & 1 == 0 && par >> 56 == MAIR & 0xff
}

/// Whether this CPU may read `address`, or, with `write`, write there.
#[cfg(feature = "fault-injection")]
pub(crate) fn is_accessible(address: u64, write: bool) -> bool {
    translate(address, write) & 1 == 0
}

/// The physical address of a byte that this CPU may read.
#[cfg(feature = "fault-injection")]
pub(crate) fn physical(address: u64) -> Option<u64> {
    let par = translate(address, false);
    (par & 1 == 0).then_some((par & ADDRESS) | (address & (PAGE as u64 - 1)))
}

/// Moves this CPU from the early tables to `root`, which maps the running code, data and stack just as they do,
/// and returns the regime that every other CPU shall use.
///
/// # Safety
///
/// `root` is the root of a [`Mapper`] in which the image is mapped, by [`Mapper::map_image`].
pub(crate) unsafe fn switch_to(root: u64) -> Regime {
    if at_el2() {
        // SAFETY: the translation of everything in use stays the same (the caller's promise); the TLBI drops
        // what the early tables had cached, of which only permissions differ, and not the sizes.
        unsafe {
            asm!("dsb ishst", "msr ttbr0_el2, {}", "isb", "tlbi alle2", "dsb nsh", "isb", in(reg) root, options(nostack, preserves_flags));
        }
    } else {
        // SAFETY: as above.
        unsafe {
            asm!("dsb ishst", "msr ttbr0_el1, {}", "isb", "tlbi vmalle1", "dsb nsh", "isb", in(reg) root, options(nostack, preserves_flags));
        }
    }
    Regime {
        ttbr: root,
        mair: read_el!("mair"),
        tcr: read_el!("tcr"),
        sctlr: read_el!("sctlr"),
        vbar: read_el!("vbar"),
    }
}

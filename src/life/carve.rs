//! What the boot CPU carves for all CPUs.

use super::arrival;
use super::left::Left;
use crate::arch::mmu::{MapError, PAGE};
use crate::arch::shared::{self, BootLine, Crumbs, Regime};
use crate::arch::{cache, regs};
use crate::bringup::{self, MAILBOX_SIZE, Method, RELEASE_SIZE};
use crate::dt::{self, Machine, Region};
use crate::memory::{self, MemoryError, MemoryMap, stacks};
use crate::percpu::area::{self, Area};
use crate::percpu::{self, CpuId, MAX_CPUS};
use crate::{call, panic, psci};
use core::fmt;

/// Counts the CPUs and carves what they need out of `memory`, which is empty until then.
#[inline(never)]
pub(super) fn carve<'a>(
    memory: &mut MemoryMap,
    machine: &Machine<'a>,
    left: &Left,
    regime: Regime,
    boot_entry: extern "C" fn(&'static Area) -> !,
) -> Result<(), MemoryError<'a>> {
    let blob = left.tree_region();
    memory.read(machine, blob)?;
    left.keep(memory, machine);
    for cpu in machine.cpus().flatten() {
        // Firmware reads it, whether or not the tree reserves it.
        match Method::of(&cpu) {
            Method::SpinTable(address) => memory.keep(Region { base: address, size: RELEASE_SIZE }),
            Method::Parking(address, _) => memory.keep(Region { base: address, size: MAILBOX_SIZE }),
            _ => {}
        }
    }
    let boot = regs::affinity();
    let mut ignored = 0;
    let mut wrong = 0;
    let mut others = 0;
    let mut has_boot = false;
    for cpu in machine.cpus() {
        if let Ok(dt::Cpu { note: Some(note), .. }) = &cpu {
            log::warn!("{note}");
        }
        match cpu {
            Ok(cpu) if cpu.mpidr == boot => has_boot = true,
            Ok(_) if others + 1 == MAX_CPUS => ignored += 1,
            Ok(_) => others += 1,
            Err(error) => {
                wrong += 1;
                log::error!("{error}: CPU ignored");
            }
        }
    }
    if !has_boot {
        log::error!("no CPU is described that has the mpidr {boot:#x} of the one that is running this");
    }
    if ignored != 0 {
        log::error!("{ignored} CPUs ignored: only {MAX_CPUS} are supported");
    }
    // A tree without any CPU has one that is wrong: none.
    bringup::leave_out(if machine.cpu_count() == 0 { 0 } else { ignored + wrong });
    let count = 1 + others;

    let last_words = memory.reserve_top(panic::region_size(count));
    let layout = stacks::layout();
    memory.map_ram(layout.tables(count))?;
    // As it is: at most 1 GiB, of which most is never used.
    let stack_memory = memory.take((count * layout.pages() * PAGE) as u64, false)?;
    let areas = memory.carve((count * size_of::<Area>()) as u64)?;
    // The two kinds of line that are used without caches, each alone on its writeback granules: pages are.
    const { assert!(PAGE.is_multiple_of(cache::MAX_WRITEBACK_GRANULE)) };
    let lines = memory.carve((count * size_of::<BootLine>()) as u64)?;
    let crumbs = memory.carve((count * size_of::<Crumbs>()) as u64)?;
    // Zeroed with caches on; from here on they are written without.
    cache::clean_invalidate(crumbs as usize, (count * size_of::<Crumbs>()).next_multiple_of(PAGE));

    let (template, template_end) = percpu::template_range();
    let locals_size = template_end - template;
    let locals = memory.carve(count as u64 * locals_size)?;

    let calls = call::Shared::carve(count, |bytes| memory.carve(bytes))?;
    let call_blocks = memory.carve((count * size_of::<call::Block>()) as u64)?;

    let mut index = 0;
    let mut add = |mpidr: u64,
                   method: Method,
                   start: extern "C" fn(&'static Area) -> !|
     -> Result<(), MemoryError<'a>> {
        let cpu = CpuId::from_index(index);
        let mut physical = stack_memory + (index * layout.pages() * PAGE) as u64;
        for (virtual_, pages) in layout.ranges(cpu) {
            MemoryMap::map_stack(virtual_, physical, pages)?;
            physical += (pages * PAGE) as u64;
        }
        let area = (areas as *mut Area).wrapping_add(index);
        let line = (lines as *mut BootLine).wrapping_add(index);
        // SAFETY: carved for `count` of each, and `index` is below `count`; nobody else refers to them yet.
        unsafe {
            line.write(BootLine::new(mpidr, stacks::porch_top(cpu), area as u64));
            // The template is mapped and relocated; it is copied once for each CPU and never used itself.
            let own = locals + index as u64 * locals_size;
            core::ptr::copy_nonoverlapping(template as *const u8, own as *mut u8, locals_size as usize);
            area.write(Area::new(cpu, mpidr, method, start, own));
        }
        index += 1;
        Ok(())
    };
    let method_of = |cpu: &dt::Cpu<'_>| match Method::of(cpu) {
        Method::SpinTable(address) => match check_release_address(address, blob) {
            Ok(()) => Method::SpinTable(address),
            // Entered at EL3, where an ELF finds its tree in that place and all CPUs come to the pen.
            Err(_) if psci::firmware_is_ours() => Method::None,
            Err(error) => {
                log::error!("{}: cpu-release-addr {address:#x}: {error}", cpu.path);
                Method::None
            }
        },
        Method::Parking(address, _) => match bringup::map_mailbox(address) {
            Ok(()) => Method::of(cpu),
            Err(error) => {
                log::error!("{}: mailbox at {address:#x}: {error}", cpu.path);
                Method::None
            }
        },
        Method::Psci if machine.psci.is_err() => Method::None,
        method => method,
    };
    let boot_method =
        machine.cpus().flatten().find(|cpu| cpu.mpidr == boot).map_or(Method::None, |cpu| method_of(&cpu));
    add(boot, boot_method, boot_entry)?;
    for cpu in machine.cpus().flatten().filter(|cpu| cpu.mpidr != boot).take(others) {
        let method = method_of(&cpu);
        add(cpu.mpidr, method, arrival::secondary)?;
    }
    // SAFETY: `count` lines and areas, all written just now, and as many breadcrumbs, for which zeros will do.
    let (lines, areas, crumb_lines) = unsafe {
        (
            core::slice::from_raw_parts_mut(lines as *mut BootLine, count),
            core::slice::from_raw_parts_mut(areas as *mut Area, count),
            core::slice::from_raw_parts(crumbs as *const Crumbs, count),
        )
    };
    // Arriving CPUs search by halves.
    sort(lines);
    let lines: &'static [BootLine] = lines;
    for area in areas.iter_mut() {
        if let Ok(index) = lines.binary_search_by_key(&area.mpidr, BootLine::mpidr) {
            area.set_lines(&lines[index], &crumb_lines[index]);
            if area.id == CpuId::BOOT {
                lines[index].mark_booted();
            }
        }
    }
    #[cfg(feature = "trace")]
    {
        const SIZE: u64 = crate::arch::RING_SIZE as u64;
        let rings = memory.carve((count as u64 + 1) * SIZE)?.next_multiple_of(SIZE);
        for (area, slots) in areas.iter_mut().zip((rings..).step_by(SIZE as usize)) {
            // SAFETY: carved for `count` CPUs, and for one more because of the alignment.
            unsafe { area.set_trace(slots) };
        }
    }
    // SAFETY: carved for `count` CPUs, whose areas these are, in order; and room for a block each, which is more than enough.
    unsafe { call::set_up(&calls, areas.iter_mut().map(Area::call_mut), call_blocks) };
    area::publish(areas);
    shared::publish(lines, crumbs as usize, regime);
    panic::remember(last_words, panic::region_size(count));
    Ok(())
}

/// Sorts `lines` by MPIDR: Shellsort, with the gaps of Knuth. It is done once, mostly to what is in order, and is a tenth of the code of the
/// standard library's.
#[inline(never)]
fn sort(lines: &mut [BootLine]) {
    let mut gap = 1;
    while gap < lines.len() / 3 {
        gap = 3 * gap + 1;
    }
    while gap != 0 {
        for end in gap..lines.len() {
            let mut at = end;
            while at >= gap && lines[at - gap].mpidr() > lines[at].mpidr() {
                lines.swap(at - gap, at);
                at -= gap;
            }
        }
        gap /= 3;
    }
}

/// Maps the release address of a CPU, unless a store there would hit what is not firmware's.
fn check_release_address(address: u64, blob: Region) -> Result<(), ReleaseError> {
    let end = address.saturating_add(RELEASE_SIZE);
    let (image, image_end) = memory::image();
    for (start, stop, what) in
        [(image, image_end, "this image"), (blob.base, blob.base + blob.size, "the device tree")]
    {
        if address < stop && start < end {
            return Err(ReleaseError::Taken(what));
        }
    }
    bringup::map_release_address(address).map_err(ReleaseError::Map)
}

/// Why a release address is not used.
enum ReleaseError {
    Taken(&'static str),
    Map(MapError),
}

impl fmt::Display for ReleaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken(what) => write!(f, "inside {what}"),
            Self::Map(error) => error.fmt(f),
        }
    }
}

//! The boot CPU's way from the entry code to `main`, in order.

use super::memory::{self, Blob, MemoryError, MemoryMap};
use super::{EXITS_TO_HOST, FIRMWARE_IS_OURS, SYSTEM, System};
use crate::arch::mmu::{MapError, PAGE};
use crate::arch::shared::{self, BootLine, Crumbs, Regime};
use crate::arch::{self, cache, entry, regs};
use crate::bringup::{self, RELEASE_SIZE, arrival, psci};
use crate::cpu::area::{self, Area, Method};
use crate::cpu::lifecycle::Lifecycle;
use crate::cpu::{CpuId, MAX_CPUS, local};
use crate::power::{self, ExitCode};
use crate::time::Deadline;
use crate::{call, console, gic, panic, patch, platform, stop, time, watchdog};
use core::fmt;
use core::sync::atomic::Ordering;
use reveille_machine::{BootArgs, Cpu, Machine, Region, dt};

/// The first Rust code of the image: on the boot stack, MMU on with the early tables, alone.
///
/// `blob` is what firmware left in x0: the device tree, if it keeps to the arm64 boot protocol.
pub(crate) extern "C" fn boot(blob: u64, entry_el: u64) -> ! {
    // SAFETY: the entry code calls this function once, on one CPU, and nothing before it.
    unsafe { area::enter_early() };
    // The image does not fit its own tables: a build error, with no console to tell.
    let Ok(regime) = memory::init() else { arch::park() };
    FIRMWARE_IS_OURS.store(entry_el == 3, Ordering::Relaxed);

    // SAFETY: the first word of the image, mapped; alone, masked, on the boot stack. The word answers, so what comes instead
    // has been waiting.
    let stale_serror = unsafe { arch::probe(memory::image().0) }.is_none();
    let Some(blob) = find_blob(blob) else { arch::park() };
    let machine = match Machine::parse(blob.bytes) {
        Ok(machine) => machine,
        Err(error) => {
            if let Some(console) = dt::salvage_console(blob.bytes) {
                let _ = console::init(&console);
            }
            give_up(error)
        }
    };
    if let Ok(console) = &machine.console {
        // Without it there is nowhere to say so; the machine works on.
        let _ = console::init(console);
    }
    let args = BootArgs(machine.bootargs.unwrap_or(""));
    if args.get("reveille.exit") == Some("semihosting") {
        power::use_semihosting();
        EXITS_TO_HOST.store(true, Ordering::Relaxed);
    }
    console::init_log(args.get("log").and_then(|level| level.parse().ok()));
    if let Err(error) = time::init(machine.timer.as_ref().ok()) {
        give_up(error);
    }
    report_notes(&machine, args);
    if stale_serror {
        log::warn!("an SError from before this image was pending when it was entered");
    }
    platform::init(&machine);
    time::init_look_around(args);
    call::init(args);
    stop::init(args);
    gic::choose_masking(args);
    psci::choose_off(args);
    panic::init(args);
    let memory = match carve(&machine, blob.region, regime) {
        Ok(memory) => memory,
        Err(error) => give_up(error),
    };
    let deadline = bringup::default_deadline(args);
    let entry_el = entry_el as u8;
    SYSTEM.call_once(|| System { machine, args, memory, deadline, entry_el });
    // SAFETY: CPU 0's own area; nothing on the boot stack is needed any more, all that outlives it is in `SYSTEM`.
    unsafe { entry::enter_stacks(area::of(CpuId::BOOT)) }
}

/// The rest, on the boot CPU's own stacks.
extern "C" fn boot_on_own_stacks(area: &'static Area) -> ! {
    regs::set_thread_pointer(core::ptr::from_ref(area) as u64);
    regs::serror_open();
    area.slot.0.adopt_boot();
    area.set_entry(arrival::secondary);
    area.holds.set_main(true);
    area.record.0.boot();
    arrival::record_features();
    let system = SYSTEM.get().expect("set before the stacks were changed");
    let ours = super::firmware_is_ours();
    if ours {
        bringup::expect_uninvited();
    } else if let Ok(psci) = &system.machine.psci {
        psci::init(psci);
    }
    match &system.machine.gic {
        Err(error) => give_up(error),
        Ok(found) => {
            if let Err(error) = gic::init(found, ours) {
                give_up(format_args!("interrupt controller at {:#x}: {error}", found.distributor().base));
            }
        }
    }
    gic::find_cpu_parts();
    if let Err(error) = gic::init_cpu(ours) {
        give_up(format_args!("interrupt controller: {error}"));
    }
    time::init_interrupt();
    time::init_cpu();
    watchdog::apply();
    gic::discard_pending();
    area.launch.open();
    call::open(area);
    // SAFETY: vectors, interrupt controller and stacks are in place.
    unsafe { regs::daif_open() };
    patch::use_lse();
    if let Ok(lock) = Lifecycle::lock(Deadline::after(system.deadline)) {
        patch::settle(&lock);
    }
    power::exit(super::reveille_main(system))
}

/// How many places are looked at for a device tree that nobody handed over.
const PLACES: usize = 64;

/// The device tree: where firmware says, or where QEMU leaves it for an ELF, which it starts with x0 = 0: at the start of
/// RAM, which is a multiple of 1 GiB on its machines, at or below the one under the image.
#[inline(never)]
fn find_blob(x0: u64) -> Option<Blob> {
    let (image, _) = memory::image();
    // 0 in x0 means that there is none.
    let handed_over = (x0 != 0).then_some(x0);
    let places = (0..=image >> 30).rev().take(PLACES).map(|gib| gib << 30);
    handed_over.into_iter().chain(places).find_map(memory::tree_at)
}

/// Says what in the device tree is not as it should be and can be lived with.
#[inline(never)]
fn report_notes(machine: &Machine<'_>, args: BootArgs<'_>) {
    if let Some(level) = args.get("log").filter(|level| level.parse::<log::LevelFilter>().is_err()) {
        log::error!("bootargs: log={level}: not one of off, error, warn, info, debug, trace");
    }
    if let Some(exit) = args.get("reveille.exit").filter(|exit| *exit != "semihosting") {
        log::error!("bootargs: reveille.exit={exit}: only \"semihosting\" is known");
    }
    for error in [
        machine.bootargs.err(),
        machine.psci.err().filter(|error| !error.is_absent()),
        machine.timer.err(),
        machine.console_note.filter(|error| !error.is_absent()),
    ]
    .into_iter()
    .flatten()
    {
        log::warn!("{error}");
    }
    if cfg!(feature = "el2") && !regs::at_el2() {
        log::warn!("built to stay at EL2, but entered at EL1: running at EL1");
    }
}

/// Counts the CPUs and carves what they need.
#[inline(never)]
fn carve<'a>(machine: &Machine<'a>, blob: Region, regime: Regime) -> Result<MemoryMap, MemoryError<'a>> {
    let mut memory = MemoryMap::read(machine, blob)?;
    for cpu in machine.cpus().flatten() {
        // Firmware reads it, whether or not the tree reserves it.
        if let Method::SpinTable(address) = Method::of(&cpu) {
            memory.keep(Region { base: address, size: RELEASE_SIZE })?;
        }
    }
    let boot = regs::affinity();
    let mut ignored = 0;
    let mut others = 0;
    let mut has_boot = false;
    for cpu in machine.cpus() {
        match cpu {
            Ok(cpu) if cpu.mpidr == boot => has_boot = true,
            Ok(_) if others + 1 == MAX_CPUS => ignored += 1,
            Ok(_) => others += 1,
            Err(error) => log::error!("{error}: CPU ignored"),
        }
    }
    if !has_boot {
        log::error!("device tree: no CPU node has the mpidr {boot:#x} of the CPU that is running this");
    }
    if ignored != 0 {
        log::error!("device tree: {ignored} CPUs ignored: only {MAX_CPUS} are supported");
    }
    let count = 1 + others;

    let last_words = memory.reserve_top(panic::region_size(count));
    memory.map_ram(count.div_ceil(area::CPUS_PER_TABLE) + 4)?;
    let stacks = memory.carve((count * area::STACK_PAGES * PAGE) as u64)?;
    let areas = memory.carve((count * size_of::<Area>()) as u64)?;
    // The two kinds of line that are used without caches, each alone on its writeback granules: pages are.
    const { assert!(PAGE.is_multiple_of(cache::MAX_WRITEBACK_GRANULE)) };
    let lines = memory.carve((count * size_of::<BootLine>()) as u64)?;
    let crumbs = memory.carve((count * size_of::<Crumbs>()) as u64)?;
    // Zeroed with caches on; from here on they are written without.
    cache::clean_invalidate(crumbs as usize, (count * size_of::<Crumbs>()).next_multiple_of(PAGE));

    let (template, template_end) = local::template_range();
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
        let mut physical = stacks + (index * area::STACK_PAGES * PAGE) as u64;
        for (virtual_, pages) in area::stack_ranges(cpu) {
            MemoryMap::map_stack(virtual_, physical, pages)?;
            physical += (pages * PAGE) as u64;
        }
        let area = (areas as *mut Area).wrapping_add(index);
        let line = (lines as *mut BootLine).wrapping_add(index);
        // SAFETY: carved for `count` of each, and `index` is below `count`; nobody else refers to them yet.
        unsafe {
            line.write(BootLine::new(mpidr, area::porch_top(cpu), area as u64));
            // The template is mapped and relocated; it is copied once for each CPU and never used itself.
            let own = locals + index as u64 * locals_size;
            core::ptr::copy_nonoverlapping(template as *const u8, own as *mut u8, locals_size as usize);
            area.write(Area::new(cpu, mpidr, method, start, own));
        }
        index += 1;
        Ok(())
    };
    let method_of = |cpu: &Cpu<'_>| match Method::of(cpu) {
        Method::SpinTable(address) => match check_release_address(address, blob) {
            Ok(()) => Method::SpinTable(address),
            // Entered at EL3, where an ELF finds its tree in that place and all CPUs come to the pen.
            Err(_) if super::firmware_is_ours() => Method::None,
            Err(error) => {
                log::error!("{}: cpu-release-addr {address:#x}: {error}", cpu.path);
                Method::None
            }
        },
        Method::Psci if machine.psci.is_err() => Method::None,
        method => method,
    };
    let boot_method =
        machine.cpus().flatten().find(|cpu| cpu.mpidr == boot).map_or(Method::None, |cpu| method_of(&cpu));
    add(boot, boot_method, boot_on_own_stacks)?;
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
    lines.sort_unstable_by_key(BootLine::mpidr);
    let lines: &'static [BootLine] = lines;
    for area in areas.iter_mut() {
        if let Ok(index) = lines.binary_search_by_key(&area.mpidr, BootLine::mpidr) {
            area.line = Some(&lines[index]);
            area.crumbs = Some(&crumb_lines[index]);
            if area.id == CpuId::BOOT {
                lines[index].mark_booted();
            }
        }
    }
    call::set_up(&calls, areas, call_blocks);
    area::publish(areas);
    shared::publish(lines, crumbs as usize, regime);
    panic::remember(last_words, panic::region_size(count));
    Ok(memory)
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

/// The machine cannot be started: one line, and the end.
fn give_up(error: impl fmt::Display) -> ! {
    console::print_raw(format_args!("reveille: cannot start: {error}\n"));
    console::flush();
    if super::exits_to_host() {
        power::exit(ExitCode::FAILURE);
    }
    arch::park()
}

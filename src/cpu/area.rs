//! The per-CPU area: one for each CPU of the machine, carved from RAM at boot and never given back.

use super::{CpuId, launch};
use crate::arch::entry::{EMERGENCY_PAGES, EXCEPTION_PAGES, PORCH_PAGES, THREAD_PAGES};
use crate::arch::mmu::{PAGE, STACK_WINDOW as WINDOW};
use crate::arch::shared::{BootLine, Crumbs};
use crate::arch::{Hw, HwSlot, HwWord, regs};
use crate::bringup::Record;
use crate::dt::{CpuStatus, EnableMethod};
use crate::{call, gic, hotplug, irq, nmi, panic, stop, sync, time, watchdog};
use core::fmt;
use core::mem::offset_of;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use reveille_protocol::{LeaveRequest, Wakes};

/// Keeps its content alone on its cache lines: 128 bytes is a line pair on the CPUs that fetch in pairs.
#[repr(C, align(128))]
pub(crate) struct Line<T>(pub(crate) T);

/// Everything the runtime keeps for one CPU.
#[repr(C, align(128))]
pub(crate) struct Area {
    // Read by assembly.
    exception_top: u64,
    /// Where its thread stack begins: on the CPU that booted the image, once `main` is over, below the frames of that.
    thread_top: AtomicU64,
    emergency_top: u64,
    /// What it runs on its own stacks: a `fn(&'static Area) -> !`.
    entry: AtomicU64,

    pub(crate) id: CpuId,
    /// Affinity, as in the device tree.
    pub(crate) mpidr: u64,
    /// How it is started.
    pub(crate) method: Method,
    pub(crate) line: Option<&'static BootLine>,
    pub(crate) crumbs: Option<&'static Crumbs>,
    pub(crate) gic: gic::CpuPart,
    /// What holds its interrupts back.
    pub(crate) masking: gic::Masking,
    /// Its instances of per-CPU variables.
    pub(crate) locals: u64,

    /// Calls, its own and those to it. Near the beginning, within reach of short loads.
    pub(crate) call: call::Part,
    /// Its state; the word every other CPU may race on.
    pub(crate) slot: Line<HwSlot>,
    /// What the last attempt to bring it up came to.
    pub(crate) record: Line<Record>,
    /// How it was stopped, once it was.
    pub(crate) parked: panic::ParkMark,
    /// The lock for which it waits.
    pub(crate) waiter: sync::Waiter,
    /// What it is asked for that nothing holds back.
    pub(crate) nmi: nmi::Part,
    /// Closures for its thread context.
    pub(crate) launch: launch::Mailbox,
    /// Callbacks under way in thread context; those in interrupt context show in the stack pointer.
    pub(crate) interrupt_depth: AtomicU32,
    /// Interrupts that it has handled, but for calls, which their queues count, and what [`idle`](super::idle()) has seen of both.
    pub(crate) wakes: Wakes<Hw>,
    /// How it is asked to leave.
    pub(crate) leave: LeaveRequest<Hw>,
    /// What keeps it from leaving.
    pub(crate) holds: hotplug::Holds,
    /// Rounds of stop-machine.
    pub(crate) stop: stop::Part,
    /// Time spent waiting in idle, ticks; written by its CPU alone.
    pub(crate) idle_ticks: AtomicU64,
    /// Since when it waits; 0: it does not.
    pub(crate) idle_since: AtomicU64,
    /// Its own timers.
    pub(crate) timers: time::Timers,
    /// Whether it is alive.
    pub(crate) watchdog: watchdog::Part,
    /// Which news it has applied of what every CPU does for itself.
    pub(crate) applied: irq::Applied,
}

impl fmt::Debug for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.id)
    }
}

/// How a CPU is started, read once from the device tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// `CPU_ON`.
    Psci,
    /// A store to this address and a SEV.
    SpinTable(u64),
    /// The tree names no method that we know, or leaves out what it needs.
    None,
    /// `status` says that it is not to be used.
    Disabled,
}

impl Method {
    pub(crate) fn of(cpu: &crate::dt::Cpu<'_>) -> Self {
        match (cpu.status == CpuStatus::Okay, cpu.method) {
            (false, _) => Self::Disabled,
            (true, EnableMethod::Psci) => Self::Psci,
            (true, EnableMethod::SpinTable { release_addr: Some(address) }) => Self::SpinTable(address),
            (true, _) => Self::None,
        }
    }
}

pub(crate) const EXCEPTION_TOP: usize = offset_of!(Area, exception_top);
pub(crate) const THREAD_TOP: usize = offset_of!(Area, thread_top);
pub(crate) const EMERGENCY_TOP: usize = offset_of!(Area, emergency_top);
pub(crate) const ENTRY: usize = offset_of!(Area, entry);

/// Address space of one CPU's stacks, bytes: the pages between them can stay unmapped without a byte of RAM being lost.
const WINDOW_STRIDE: u64 = 0x1_0000;
/// CPUs whose stacks one table of pages maps.
pub(crate) const CPUS_PER_TABLE: usize = 512 * PAGE / WINDOW_STRIDE as usize;

/// The stacks of one CPU in its part of the window: (first page, pages, name). Page 0 and the page below each
/// stack are never mapped.
const STACKS: [(usize, usize, &str); 4] = [
    (1, THREAD_PAGES, "thread stack"),
    (1 + THREAD_PAGES + 1, EXCEPTION_PAGES, "exception stack"),
    (1 + THREAD_PAGES + 1 + EXCEPTION_PAGES + 1, EMERGENCY_PAGES, "emergency stack"),
    (1 + THREAD_PAGES + 1 + EXCEPTION_PAGES + 1 + EMERGENCY_PAGES + 1, PORCH_PAGES, "porch"),
];
const _: () = assert!(STACKS[3].0 + STACKS[3].1 < WINDOW_STRIDE as usize / PAGE);

/// Pages of RAM under the stacks of one CPU.
pub(crate) const STACK_PAGES: usize = THREAD_PAGES + EXCEPTION_PAGES + EMERGENCY_PAGES + PORCH_PAGES;

/// Where the stacks of `cpu` are mapped: (address, pages), in the order of their RAM.
pub(crate) fn stack_ranges(cpu: CpuId) -> impl Iterator<Item = (u64, usize)> {
    let base = WINDOW + cpu.index() as u64 * WINDOW_STRIDE;
    STACKS.iter().map(move |(first, pages, _)| (base + (first * PAGE) as u64, *pages))
}

fn stack_top(cpu: CpuId, stack: usize) -> u64 {
    let (first, pages, _) = STACKS[stack];
    WINDOW + cpu.index() as u64 * WINDOW_STRIDE + ((first + pages) * PAGE) as u64
}

/// Top of the porch of `cpu`: the stack on which it decides whether it may run.
pub(crate) fn porch_top(cpu: CpuId) -> u64 {
    stack_top(cpu, 3)
}

/// A guard page, for a report.
pub(crate) struct GuardName {
    cpu: usize,
    stack: &'static str,
}

impl core::fmt::Display for GuardName {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "the {} of cpu {}", self.stack, self.cpu)
    }
}

/// Whose guard page `address` lies in.
pub(crate) fn guard_name(address: u64) -> Option<GuardName> {
    let boot = crate::arch::entry::BOOT_STACKS.base() as u64;
    for (offset, stack) in crate::arch::entry::BOOT_GUARDS {
        if (boot + offset as u64..boot + (offset + PAGE) as u64).contains(&address) {
            return Some(GuardName { cpu: 0, stack });
        }
    }
    let offset = address.checked_sub(WINDOW)?;
    let cpu = (offset / WINDOW_STRIDE) as usize;
    let page = (offset % WINDOW_STRIDE) as usize / PAGE;
    let stack = STACKS.iter().find(|(first, ..)| page + 1 == *first)?.2;
    (cpu < areas().len()).then_some(GuardName { cpu, stack })
}

impl Area {
    /// The area of `cpu`.
    pub(crate) fn new(
        cpu: CpuId,
        mpidr: u64,
        method: Method,
        entry: extern "C" fn(&'static Area) -> !,
        locals: u64,
    ) -> Self {
        Self {
            exception_top: stack_top(cpu, 1),
            thread_top: AtomicU64::new(stack_top(cpu, 0)),
            emergency_top: stack_top(cpu, 2),
            entry: AtomicU64::new(entry as usize as u64),
            id: cpu,
            mpidr,
            method,
            locals,
            gic: gic::CpuPart::new(mpidr),
            call: call::Part::new(cpu),
            ..Self::blank()
        }
    }

    const fn blank() -> Self {
        Self {
            exception_top: 0,
            thread_top: AtomicU64::new(0),
            emergency_top: 0,
            entry: AtomicU64::new(0),
            id: CpuId::BOOT,
            mpidr: 0,
            method: Method::None,
            line: None,
            crumbs: None,
            gic: gic::CpuPart::new(0),
            masking: gic::Masking::new(),
            locals: 0,
            slot: Line(HwSlot::from_parts(crate::arch::HwWord::with(0))),
            record: Line(Record::new()),
            parked: panic::ParkMark::new(),
            waiter: sync::not_waiting(),
            nmi: nmi::Part::new(),
            launch: launch::Mailbox::new(),
            call: call::Part::new(CpuId::BOOT),
            interrupt_depth: AtomicU32::new(0),
            wakes: Wakes::from_parts(HwWord::with(Wakes::<Hw>::NONE), HwWord::with(Wakes::<Hw>::NONE)),
            leave: LeaveRequest::from_parts(
                HwWord::with(LeaveRequest::<Hw>::IDLE),
                HwWord::with(LeaveRequest::<Hw>::IDLE),
            ),
            holds: hotplug::Holds::new(),
            stop: stop::part(),
            idle_ticks: AtomicU64::new(0),
            idle_since: AtomicU64::new(0),
            timers: time::Timers::new(),
            watchdog: watchdog::part(),
            applied: irq::applied(),
        }
    }

    /// Upper end of its emergency stack; 0 before there is one.
    pub(crate) fn emergency_top(&self) -> u64 {
        self.emergency_top
    }

    /// Whether the stack pointer `sp` is on its emergency stack.
    pub(crate) fn is_on_emergency_stack(&self, sp: u64) -> bool {
        self.emergency_top.wrapping_sub(sp) < (EMERGENCY_PAGES * PAGE) as u64
    }

    /// Whether the CPU is a member of the system and runs. One that was parked keeps its place in the slot, but never runs again.
    pub(crate) fn is_online(&self) -> bool {
        self.slot.0.is_online() && !self.parked.is_set()
    }

    /// From its next life on this CPU, which is the calling one, uses its thread stack below `sp` alone: what lies above is
    /// never given up.
    pub(crate) fn begin_below(&self, sp: u64) {
        // Relaxed: read by this CPU itself, when it comes back, and ordered by the start that brings it.
        self.thread_top.store(sp & !0xf, Ordering::Relaxed);
    }

    /// From now on this CPU begins with `entry`: once it has booted the image it comes back like any other.
    pub(crate) fn set_entry(&self, entry: extern "C" fn(&'static Area) -> !) {
        // Relaxed: read by this CPU itself, when it comes back, and ordered by the start that brings it.
        self.entry.store(entry as usize as u64, Ordering::Relaxed);
    }
}

/// The boot CPU's area until the real ones are carved: a panic needs its emergency stack.
struct EarlyArea(core::cell::UnsafeCell<Area>);
// SAFETY: written once by `enter_early`, before anything else refers to it.
unsafe impl Sync for EarlyArea {}
static EARLY: EarlyArea = EarlyArea(core::cell::UnsafeCell::new(Area::blank()));

/// Gives the boot CPU an area to panic in.
///
/// # Safety
///
/// Called once, first thing, by the boot CPU.
pub(crate) unsafe fn enter_early() {
    // SAFETY: alone and first (the caller's).
    let area = unsafe { &mut *EARLY.0.get() };
    area.emergency_top = crate::arch::entry::BOOT_STACKS.emergency_top() as u64;
    area.mpidr = regs::affinity();
    regs::set_thread_pointer(core::ptr::from_ref(area) as u64);
}

/// First area and number of areas. Relaxed throughout: set by the boot CPU before any other runs, which `kick` and
/// `arrive` order.
static FIRST: AtomicPtr<Area> = AtomicPtr::new(core::ptr::null_mut());
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Makes the areas known. Called once, by the boot CPU.
pub(crate) fn publish(areas: &'static [Area]) {
    FIRST.store(areas.as_ptr().cast_mut(), Ordering::Relaxed);
    COUNT.store(areas.len(), Ordering::Relaxed);
}

/// The areas of all CPUs in id order; none before they are carved.
#[inline(always)]
pub(crate) fn areas() -> &'static [Area] {
    let count = COUNT.load(Ordering::Relaxed);
    if count == 0 {
        return &[];
    }
    // SAFETY: `publish` stored the parts of one slice, the count last, on the only CPU that ran.
    unsafe { core::slice::from_raw_parts(FIRST.load(Ordering::Relaxed), count) }
}

/// The area of `cpu`.
#[inline(always)]
pub(crate) fn of(cpu: CpuId) -> &'static Area {
    // SAFETY: a `CpuId` is below the number of areas: the runtime makes them from areas, and `cpu::get` checks; and
    // nobody has one before the areas are published.
    unsafe { &*FIRST.load(Ordering::Relaxed).add(cpu.index()) }
}

/// This CPU's area; `None` on a CPU that has not won its slot.
#[inline(always)]
pub(crate) fn try_current() -> Option<&'static Area> {
    let pointer = regs::thread_pointer() as *const Area;
    // SAFETY: the thread pointer is 0 or was set to an area, and areas are never freed or moved.
    unsafe { pointer.as_ref() }
}

/// This CPU's area, for one that may have lost everything: the thread pointer is believed if it leads to the area with
/// this CPU's affinity, else the area is looked for.
pub(crate) fn find_current() -> Option<&'static Area> {
    let own = regs::affinity();
    let pointer = regs::thread_pointer() as *const Area;
    if areas().is_empty() {
        // The boot CPU, before the areas are carved.
        return core::ptr::eq(pointer, EARLY.0.get()).then(|| {
            // SAFETY: `enter_early`, which alone sets the thread pointer to it, has written it for good.
            unsafe { &*EARLY.0.get() }
        });
    }
    let offset = (pointer as usize).wrapping_sub(areas().as_ptr() as usize);
    match areas().get(offset / size_of::<Area>()) {
        Some(area) if area.mpidr == own && core::ptr::eq(area, pointer) => Some(area),
        _ => find(own).map(of),
    }
}

/// This CPU's area.
#[inline(always)]
pub(crate) fn current() -> &'static Area {
    // SAFETY: as above; and Rust code other than `arrive` runs only on CPUs whose thread pointer is set.
    unsafe { &*(regs::thread_pointer() as *const Area) }
}

/// The id of the CPU with this affinity.
pub(crate) fn find(mpidr: u64) -> Option<CpuId> {
    areas().iter().find(|area| area.mpidr == mpidr).map(|area| area.id)
}

/// Bytes of RAM that each CPU takes: stacks and their share of a page table, area, boot line, breadcrumbs, call queue and
/// nodes, its part of the last words. Per-CPU variables of the application come on top, and 64 bytes for each 48 CPUs of the
/// machine beyond the first 48.
pub const BYTES_PER_CPU: usize = STACK_PAGES * PAGE
    + PAGE / CPUS_PER_TABLE
    + size_of::<Area>()
    + size_of::<BootLine>()
    + size_of::<Crumbs>()
    + call::BYTES_PER_CPU
    + panic::BYTES_PER_CPU;
const _: () = assert!(BYTES_PER_CPU <= 40 * 1024, "a CPU may take at most 40 KiB of RAM");

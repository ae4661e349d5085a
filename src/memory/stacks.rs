//! Where stacks lie, each above a page that stays unmapped.

use crate::arch::exception::FRAMES;
use crate::arch::mmu::{PAGE, STACK_WINDOW as WINDOW};
use crate::percpu::CpuId;
use crate::percpu::area::{self, Area};
use core::cell::UnsafeCell;
use core::mem::offset_of;

/// Pages of a thread stack, an exception stack, an emergency stack and a porch.
pub(crate) const THREAD_PAGES: usize = 3 * FRAMES;
pub(crate) const EXCEPTION_PAGES: usize = 2 * FRAMES;
pub(crate) const EMERGENCY_PAGES: usize = 2 * FRAMES;
pub(crate) const PORCH_PAGES: usize = FRAMES;

/// Pages of the stack that the boot CPU starts on: reading the device tree takes more than a thread should.
const BOOT_PAGES: usize = 8 * FRAMES;

/// The stacks of the boot CPU until per-CPU areas exist, each above a page that stays unmapped.
#[repr(C, align(4096))]
pub(crate) struct BootStacks {
    guard_thread: [u8; PAGE],
    thread: [u8; BOOT_PAGES * PAGE],
    guard_exception: [u8; PAGE],
    exception: [u8; EXCEPTION_PAGES * PAGE],
    guard_emergency: [u8; PAGE],
    emergency: [u8; EMERGENCY_PAGES * PAGE],
}

/// Wrapper that makes the boot stacks a static.
#[repr(transparent)]
pub(crate) struct BootStacksCell(UnsafeCell<BootStacks>);
// SAFETY: only the boot CPU's stack pointer ever points into it.
unsafe impl Sync for BootStacksCell {}

pub(crate) static BOOT_STACKS: BootStacksCell = BootStacksCell(UnsafeCell::new(BootStacks {
    guard_thread: [0; PAGE],
    thread: [0; BOOT_PAGES * PAGE],
    guard_exception: [0; PAGE],
    exception: [0; EXCEPTION_PAGES * PAGE],
    guard_emergency: [0; PAGE],
    emergency: [0; EMERGENCY_PAGES * PAGE],
}));

impl BootStacksCell {
    /// Where they lie.
    pub(crate) fn base(&self) -> usize {
        self.0.get() as usize
    }

    /// Top of the emergency stack.
    pub(crate) fn emergency_top(&self) -> usize {
        self.base() + size_of::<BootStacks>()
    }
}

/// Offsets of the guard pages in the boot stacks, and whose they are.
pub(crate) const BOOT_GUARDS: [(usize, &str); 3] = [
    (offset_of!(BootStacks, guard_thread), "thread stack"),
    (offset_of!(BootStacks, guard_exception), "exception stack"),
    (offset_of!(BootStacks, guard_emergency), "emergency stack"),
];

/// Where the two stacks that the boot CPU begins on end, from the beginning of the boot stacks.
pub(crate) const BOOT_EXCEPTION_TOP: usize = offset_of!(BootStacks, guard_emergency);
pub(crate) const BOOT_THREAD_TOP: usize = offset_of!(BootStacks, guard_exception);

/// Address space of one CPU's stacks, bytes: the pages between them can stay unmapped without a byte of RAM being lost.
const WINDOW_STRIDE: u64 = 0x1_0000 * FRAMES as u64;
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

/// Tops of the thread stack, the exception stack and the emergency stack of `cpu`.
pub(crate) fn tops(cpu: CpuId) -> [u64; 3] {
    [0, 1, 2].map(|stack| stack_top(cpu, stack))
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
    let boot = BOOT_STACKS.base() as u64;
    for (offset, stack) in BOOT_GUARDS {
        if (boot + offset as u64..boot + (offset + PAGE) as u64).contains(&address) {
            return Some(GuardName { cpu: 0, stack });
        }
    }
    let offset = address.checked_sub(WINDOW)?;
    let cpu = (offset / WINDOW_STRIDE) as usize;
    let page = (offset % WINDOW_STRIDE) as usize / PAGE;
    let stack = STACKS.iter().find(|(first, ..)| page + 1 == *first)?.2;
    (cpu < area::areas().len()).then_some(GuardName { cpu, stack })
}

/// Whether the stack pointer `sp` is on the emergency stack of the CPU of `area`.
pub(crate) fn is_emergency(area: &Area, sp: u64) -> bool {
    area.emergency_top().wrapping_sub(sp) < (EMERGENCY_PAGES * PAGE) as u64
}

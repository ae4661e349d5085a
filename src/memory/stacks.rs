//! Where stacks lie, each above a page that stays unmapped.

use super::stack_list;
use crate::arch::exception::{FRAME_SIZE, FRAMES};
use crate::arch::mmu::{PAGE, STACK_WINDOW as WINDOW};
use crate::percpu::CpuId;
use crate::percpu::area::{self, Area};
use core::cell::UnsafeCell;
use core::mem::offset_of;

/// Pages of an exception stack of those that the boot CPU starts on, of an emergency stack and of a porch.
const BOOT_EXCEPTION_PAGES: usize = 2 * FRAMES;
pub(crate) const EMERGENCY_PAGES: usize = 2 * FRAMES;
const PORCH_PAGES: usize = FRAMES;

/// As [`FRAMES`] where the compiler does not optimise.
const UNOPTIMISED_FRAMES: usize = 4;
const _: () = assert!(FRAMES == 1 || FRAMES == UNOPTIMISED_FRAMES);

/// Sizes in bytes of the two stacks of each CPU on which code of the application runs. For the key `stacks` of [`entry!`](crate::entry).
///
/// Each is 8 KiB ([`Stacks::LEAST`]) to 1 MiB ([`Stacks::MOST`]), in whole pages of 4 KiB: other values do not compile. Below each
/// lies a page that is never mapped: an overflow is reported as one, with the name of the stack.
///
/// ```no_run
/// use reveille::cpu::Stacks;
/// use reveille::{ExitCode, System};
///
/// reveille::entry!(main, stacks = Stacks { thread: 64 * 1024, exception: 16 * 1024 });
///
/// fn main(system: &'static System) -> ExitCode {
///     system.bring_up_all(system.deadline()).is_complete().into()
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stacks {
    /// Of the thread context: `main`, what secondaries run, launched closures.
    pub thread: usize,
    /// Of interrupts and what runs in them: handlers, calls, posts, timers.
    pub exception: usize,
}

impl Stacks {
    /// What images have that choose nothing: 12 KiB and 8 KiB; four times as much where the compiler does not optimise.
    pub const DEFAULT: Self = Self { thread: 3 * FRAMES * PAGE, exception: 2 * FRAMES * PAGE };
    /// The same where the application alone is not optimised, and the runtime is.
    const UNOPTIMISED: Self =
        Self { thread: 3 * UNOPTIMISED_FRAMES * PAGE, exception: 2 * UNOPTIMISED_FRAMES * PAGE };
    /// The smallest of either, bytes. Where the compiler does not optimise, a stack is at least as large as that of
    /// [`Stacks::DEFAULT`], whatever was chosen.
    pub const LEAST: usize = 8 * 1024;
    /// The largest of either, bytes.
    pub const MOST: usize = 1024 * 1024;

    /// Neither smaller than in `least`.
    pub(crate) const fn at_least(self, least: Self) -> Self {
        const fn larger(one: usize, other: usize) -> usize {
            if one < other { other } else { one }
        }
        Self { thread: larger(self.thread, least.thread), exception: larger(self.exception, least.exception) }
    }

    /// Checked, when the image is compiled.
    pub(crate) const fn checked(self) -> Self {
        const fn is_size(bytes: usize) -> bool {
            Stacks::LEAST <= bytes && bytes <= Stacks::MOST && bytes.is_multiple_of(PAGE)
        }
        assert!(
            is_size(self.thread),
            "entry!: `stacks`: a thread stack has 8 KiB to 1 MiB, in whole pages of 4 KiB"
        );
        assert!(
            is_size(self.exception),
            "entry!: `stacks`: an exception stack has 8 KiB to 1 MiB, in whole pages of 4 KiB"
        );
        self
    }
}

unsafe extern "Rust" {
    /// The layout of this image: a constant that `entry!` makes of what the application has chosen.
    safe fn reveille_stacks() -> &'static Layout;
}

/// Pages of the stack that the boot CPU starts on: reading what describes the machine takes more than a thread should, and more than half of this if it is
/// compiled for speed.
const BOOT_PAGES: usize = 16 * FRAMES;

/// The stacks of the boot CPU until per-CPU areas exist, each above a page that stays unmapped.
#[repr(C, align(4096))]
pub(crate) struct BootStacks {
    guard_thread: [u8; PAGE],
    thread: [u8; BOOT_PAGES * PAGE],
    guard_exception: [u8; PAGE],
    exception: [u8; BOOT_EXCEPTION_PAGES * PAGE],
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
    exception: [0; BOOT_EXCEPTION_PAGES * PAGE],
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

/// The stacks of a CPU, in this order.
const NAMES: [&str; 4] = ["thread stack", "exception stack", "emergency stack", "porch"];
const EXCEPTION: usize = 1;
const EMERGENCY: usize = 2;
const PORCH: usize = 3;

/// The part of one CPU in the window. Page 0 and the page below each stack are never mapped.
#[doc(hidden)]
#[derive(Debug)]
pub struct Layout {
    /// First page and pages of each stack.
    stacks: [(usize, usize); NAMES.len()],
    /// Bytes that a handler of the application's finds on the stack of exceptions at least.
    handler_room: usize,
    /// Pages of address space: those between the stacks can stay unmapped without a byte of RAM being lost.
    stride: usize,
}

impl Layout {
    /// With stacks of these sizes, for an application that is optimised as the runtime is.
    pub const fn of(sizes: Stacks) -> Self {
        Self::with_frames(if FRAMES > 1 { sizes.at_least(Stacks::DEFAULT) } else { sizes }, FRAMES)
    }

    /// The same for an application that is not optimised, whatever the runtime is: neither small, and room for its handlers, and for what it
    /// prints as it panics.
    pub(crate) const fn unoptimised(sizes: Stacks) -> Self {
        Self::with_frames(sizes.at_least(Stacks::UNOPTIMISED), UNOPTIMISED_FRAMES)
    }

    const fn with_frames(sizes: Stacks, frames: usize) -> Self {
        let (thread, exception) = (sizes.thread / PAGE, sizes.exception / PAGE);
        let exception_at = 1 + thread + 1;
        let emergency_at = exception_at + exception + 1;
        let emergency = 2 * frames;
        let porch_at = emergency_at + emergency + 1;
        Self {
            stacks: [
                (1, thread),
                (exception_at, exception),
                (emergency_at, emergency),
                (porch_at, PORCH_PAGES),
            ],
            handler_room: 3072 * frames,
            stride: (porch_at + PORCH_PAGES + 1).next_power_of_two(),
        }
    }

    /// Pages of RAM under the stacks of one CPU.
    pub(crate) const fn pages(&self) -> usize {
        let [(_, thread), (_, exception), (_, emergency), (_, porch)] = self.stacks;
        thread + exception + emergency + porch
    }

    /// Page tables by which the stacks of `count` CPUs are mapped: those of pages, and those that lead there.
    pub(crate) const fn tables(&self, count: usize) -> usize {
        let leaves = (count * self.stride).div_ceil(PAGE / 8);
        leaves + leaves.div_ceil(PAGE / 8) + 1
    }

    /// Bytes of RAM that a CPU takes for its stacks, and for their share of a page table.
    pub(crate) const fn bytes(&self) -> usize {
        self.pages() * PAGE + self.stride * 8
    }

    /// Where its stacks are mapped: (address, pages), in the order of their RAM.
    pub(crate) fn ranges(&self, cpu: CpuId) -> impl Iterator<Item = (u64, usize)> + use<'_> {
        let base = self.base(cpu);
        self.stacks.iter().map(move |(first, pages)| (base + (first * PAGE) as u64, *pages))
    }

    fn base(&self, cpu: CpuId) -> u64 {
        WINDOW + (cpu.index() * self.stride * PAGE) as u64
    }

    fn bottom(&self, cpu: CpuId, stack: usize) -> u64 {
        self.base(cpu) + (self.stacks[stack].0 * PAGE) as u64
    }

    fn top(&self, cpu: CpuId, stack: usize) -> u64 {
        let (first, pages) = self.stacks[stack];
        self.base(cpu) + ((first + pages) * PAGE) as u64
    }
}

/// The layout of this image.
#[inline(always)]
pub(crate) fn layout() -> &'static Layout {
    reveille_stacks()
}

/// Tops of the thread stack, the exception stack and the emergency stack of `cpu`.
pub(crate) fn tops(cpu: CpuId) -> [u64; 3] {
    [0, 1, 2].map(|stack| layout().top(cpu, stack))
}

/// The lowest stack pointer of `cpu` with which it can take an exception for the application.
pub(crate) fn exception_floor(cpu: CpuId) -> u64 {
    layout().bottom(cpu, EXCEPTION) + (FRAME_SIZE + layout().handler_room) as u64
}

/// Top of the porch of `cpu`: the stack on which it decides whether it may run.
pub(crate) fn porch_top(cpu: CpuId) -> u64 {
    layout().top(cpu, PORCH)
}

/// A guard page, for a report.
pub(crate) enum GuardName {
    /// Of one of the stacks that a CPU has.
    Cpu { cpu: usize, stack: &'static str },
    /// Of the application's stack of this name.
    Own(&'static str),
}

impl core::fmt::Display for GuardName {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Cpu { cpu, stack } => write!(f, "the {stack} of cpu {cpu}"),
            Self::Own(name) => write!(f, "the stack of {name}"),
        }
    }
}

/// Whose guard page `address` lies in.
pub(crate) fn guard_name(address: u64) -> Option<GuardName> {
    let boot = BOOT_STACKS.base() as u64;
    for (offset, stack) in BOOT_GUARDS {
        if (boot + offset as u64..boot + (offset + PAGE) as u64).contains(&address) {
            return Some(GuardName::Cpu { cpu: 0, stack });
        }
    }
    if let Some(own) = stack_list::in_use().find(|own| (own.guard..own.bottom).contains(&address)) {
        return Some(GuardName::Own(own.name));
    }
    let Layout { stacks, stride, .. } = *layout();
    let page = address.checked_sub(WINDOW)? as usize / PAGE;
    let (cpu, page) = (page / stride, page % stride);
    let stack = stacks.iter().position(|(first, _)| page + 1 == *first)?;
    (cpu < area::areas().len()).then_some(GuardName::Cpu { cpu, stack: NAMES[stack] })
}

/// Whether the stack pointer `sp` is on the emergency stack of the CPU of `area`.
pub(crate) fn is_emergency(area: &Area, sp: u64) -> bool {
    // The one that the boot CPU begins on may be smaller; what lies below that is no stack that anybody is on.
    area.emergency_top().wrapping_sub(sp) < (layout().stacks[EMERGENCY].1 * PAGE) as u64
}

//! The way from firmware to Rust, in assembly, and the memory it needs before any other is known.

use super::mmu::{self, Table};
use super::shared::{self, offsets};
use crate::cpu::area::{self, Area};
use core::arch::global_asm;
use core::cell::UnsafeCell;

/// Pages of a thread stack, an exception stack, an emergency stack and a porch.
pub(crate) const THREAD_PAGES: usize = 3;
pub(crate) const EXCEPTION_PAGES: usize = 2;
pub(crate) const EMERGENCY_PAGES: usize = 2;
pub(crate) const PORCH_PAGES: usize = 1;

/// Pages of the stack that the boot CPU starts on: reading the device tree takes more than a thread should.
const BOOT_PAGES: usize = 8;

/// The page tables of the first instructions: level 0, level 1, two of level 2, three of level 3.
const EARLY_TABLES: usize = 7;

#[unsafe(link_section = ".early_tables")]
#[unsafe(export_name = "reveille_early")]
static EARLY: EarlyTables = EarlyTables(UnsafeCell::new([Table::EMPTY; EARLY_TABLES]));

#[repr(transparent)]
struct EarlyTables(UnsafeCell<[Table; EARLY_TABLES]>);
// SAFETY: written by the entry code alone, each CPU the same values; Rust never looks at it.
unsafe impl Sync for EarlyTables {}

/// 0 until a CPU has been elected to boot. In `.data`: it is decided before `.bss` is cleared.
#[unsafe(link_section = ".data.reveille_election")]
#[unsafe(export_name = "reveille_election")]
static ELECTION: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(0);

/// The stacks of the boot CPU until per-CPU areas exist, each above a page that stays unmapped.
#[repr(C, align(4096))]
pub(crate) struct BootStacks {
    guard_thread: [u8; mmu::PAGE],
    thread: [u8; BOOT_PAGES * mmu::PAGE],
    guard_exception: [u8; mmu::PAGE],
    exception: [u8; EXCEPTION_PAGES * mmu::PAGE],
    guard_emergency: [u8; mmu::PAGE],
    emergency: [u8; EMERGENCY_PAGES * mmu::PAGE],
}

/// Wrapper that makes the boot stacks a static.
#[repr(transparent)]
pub(crate) struct BootStacksCell(UnsafeCell<BootStacks>);
// SAFETY: only the boot CPU's stack pointer ever points into it.
unsafe impl Sync for BootStacksCell {}

pub(crate) static BOOT_STACKS: BootStacksCell = BootStacksCell(UnsafeCell::new(BootStacks {
    guard_thread: [0; mmu::PAGE],
    thread: [0; BOOT_PAGES * mmu::PAGE],
    guard_exception: [0; mmu::PAGE],
    exception: [0; EXCEPTION_PAGES * mmu::PAGE],
    guard_emergency: [0; mmu::PAGE],
    emergency: [0; EMERGENCY_PAGES * mmu::PAGE],
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
    (core::mem::offset_of!(BootStacks, guard_thread), "thread stack"),
    (core::mem::offset_of!(BootStacks, guard_exception), "exception stack"),
    (core::mem::offset_of!(BootStacks, guard_emergency), "emergency stack"),
];

const BOOT_EXCEPTION_TOP: usize = core::mem::offset_of!(BootStacks, guard_emergency);
const BOOT_THREAD_TOP: usize = core::mem::offset_of!(BootStacks, guard_exception);

/// The SMC function of our own EL3 stub, for machines that we enter at EL3: a 32-bit store to a Secure
/// physical address. In the range that SMCCC leaves to OEM services.
pub(crate) const SECURE_WRITE: u32 = 0xc300_5e00;

/// Upper half of the context id with which a CPU is started.
const TOKEN_TAG: u64 = reveille_protocol::Token::encode(0) >> 32;

global_asm!(
    include_str!("asm/el.s"),
    include_str!("asm/head.s"),
    include_str!("asm/secondary.s"),
    include_str!("asm/vectors.s"),
    KEEP_EL2 = const cfg!(feature = "el2") as u32,
    HAVE_SIMD = const cfg!(target_feature = "neon") as u32,
    SECURE_WRITE = const SECURE_WRITE & 0xffff,
    SECURE_WRITE_HI = const SECURE_WRITE >> 16,
    BOOT_STACKS = sym BOOT_STACKS,
    BOOT_EXCEPTION_TOP = const BOOT_EXCEPTION_TOP,
    BOOT_THREAD_TOP = const BOOT_THREAD_TOP,
    BOOT = sym crate::system::boot::boot,
    EARLY_L1 = const mmu::PAGE,
    EARLY_L2 = const 2 * mmu::PAGE,
    EARLY_L3 = const 4 * mmu::PAGE,
    EARLY_SIZE = const EARLY_TABLES * mmu::PAGE,
    MAIR = const mmu::MAIR & 0xffff,
    MAIR_HI = const mmu::MAIR >> 16,
    TCR_COMMON = const mmu::TCR_COMMON,
    SCTLR_EL1 = const mmu::SCTLR_EL1 & 0xffff,
    SCTLR_EL1_HI = const mmu::SCTLR_EL1 >> 16,
    SCTLR_EL2 = const mmu::SCTLR_EL2 & 0xffff,
    SCTLR_EL2_HI = const mmu::SCTLR_EL2 >> 16,
    TOKEN_TAG = const TOKEN_TAG & 0xffff,
    TOKEN_TAG_HI = const TOKEN_TAG >> 16,
    STAGE_ENTERED = const shared::STAGE_ENTERED,
    STAGE_TABLES = const shared::STAGE_TABLES,
    SHARED_LINES = const offsets::SHARED_LINES,
    SHARED_COUNT = const offsets::SHARED_COUNT,
    SHARED_CRUMBS = const offsets::SHARED_CRUMBS,
    SHARED_TTBR = const offsets::SHARED_TTBR,
    SHARED_MAIR = const offsets::SHARED_MAIR,
    SHARED_TCR = const offsets::SHARED_TCR,
    SHARED_SCTLR = const offsets::SHARED_SCTLR,
    SHARED_VBAR = const offsets::SHARED_VBAR,
    SHARED_EL = const offsets::SHARED_EL,
    LINE_MPIDR = const offsets::LINE_MPIDR,
    LINE_GENERATION = const offsets::LINE_GENERATION,
    LINE_PORCH = const offsets::LINE_PORCH,
    LINE_PERCPU = const offsets::LINE_PERCPU,
    LINE_SHIFT = const offsets::LINE_SHIFT,
    CRUMB_STAGE = const offsets::CRUMB_STAGE,
    CRUMB_PEN = const offsets::CRUMB_PEN,
    CRUMB_CONTEXT = const offsets::CRUMB_CONTEXT,
    CRUMB_EL = const offsets::CRUMB_EL,
    CRUMB_SHIFT = const offsets::CRUMB_SHIFT,
    ARRIVE = sym crate::bringup::arrival::arrive,
    PERCPU_EXCEPTION_TOP = const area::EXCEPTION_TOP,
    PERCPU_THREAD_TOP = const area::THREAD_TOP,
    PERCPU_EMERGENCY_TOP = const area::EMERGENCY_TOP,
    PERCPU_ENTRY = const area::ENTRY,
    EMERGENCY_SIZE = const EMERGENCY_PAGES * mmu::PAGE,
    IRQ_FRAME = const super::exception::IRQ_FRAME_SIZE,
    IRQ = sym crate::irq::entry::interrupt,
    FATAL_FRAME = const super::exception::FATAL_FRAME_SIZE,
    EMERGENCY_ROOM = const super::exception::EMERGENCY_ROOM,
    STOPPED = const super::exception::STOPPED,
    REGISTERS = const size_of::<super::exception::Registers>(),
    FATAL = sym super::exception::fatal,
);

unsafe extern "C" {
    fn reveille_enter_stacks(area: u64) -> !;
    fn reveille_secondary();
}

/// Where firmware is to send a CPU.
pub(crate) fn secondary_entry() -> u64 {
    reveille_secondary as *const () as u64
}

/// Leaves the stack this CPU is on for the fresh stacks of its area, and calls the area's entry function.
///
/// # Safety
///
/// `area` is this CPU's own, its stacks are mapped and nothing on them is in use; whatever the old stack
/// held is never needed again.
pub(crate) unsafe fn enter_stacks(area: &'static Area) -> ! {
    // SAFETY: the caller's.
    unsafe { reveille_enter_stacks(core::ptr::from_ref(area) as u64) }
}

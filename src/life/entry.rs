//! The way from firmware to Rust, in assembly, and the word it needs before any other memory is known.

use crate::arch::exception;
use crate::arch::mmu;
use crate::arch::needs;
use crate::arch::shared::{self, offsets};
use crate::arch::{SECURE_WRITE, SET_OFFSET};
use crate::console::BUILT_IN;
use crate::context;
use crate::exception::Kind;
use crate::memory::stacks::{BOOT_EXCEPTION_TOP, BOOT_STACKS, BOOT_THREAD_TOP, EMERGENCY_PAGES};
use crate::percpu::area;
use core::arch::global_asm;
use core::mem::offset_of;
use reveille_machine::Polled;

/// 0 until a CPU has been elected to boot. In `.data`: it is decided before `.bss` is cleared.
#[unsafe(link_section = ".data.reveille_election")]
#[unsafe(export_name = "reveille_election")]
static ELECTION: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(0);

/// How a byte is sent to the UART that the image was built to know. Among the code, so that it is within reach wherever the image lies.
#[cfg(earlycon)]
#[used]
#[unsafe(link_section = ".never_patch.earlycon")]
#[unsafe(export_name = "reveille_earlycon")]
static EARLYCON: Polled = match &BUILT_IN {
    Some(console) => Polled::new(console),
    None => unreachable!(),
};

/// The widths of its registers, and of the one that takes a byte.
const EARLYCON_WIDTHS: [u32; 2] = match &BUILT_IN {
    Some(console) => Polled::new(console).widths,
    None => [0; 2],
};

/// Upper half of the context id with which a CPU is started.
const TOKEN_TAG: u64 = reveille_protocol::Token::encode(0) >> 32;

global_asm!(
    include_str!("asm/el.s"),
    include_str!("asm/word.s"),
    include_str!("asm/head.s"),
    include_str!("asm/secondary.s"),
    include_str!("asm/vectors.s"),
    EARLYCON = const BUILT_IN.is_some() as u32,
    EARLYCON_WIDTH = const EARLYCON_WIDTHS[0],
    EARLYCON_DATA_WIDTH = const EARLYCON_WIDTHS[1],
    EARLYCON_SEND = const offset_of!(Polled, send),
    EARLYCON_ROOM = const offset_of!(Polled, room),
    EARLYCON_IS_ON = const offset_of!(Polled, is_on),
    EARLYCON_BEGIN = const offset_of!(Polled, begin),
    EARLYCON_END = const offset_of!(Polled, end),
    EARLYCON_SWITCH_ON = const offset_of!(Polled, switch_on),
    KEEP_EL2 = const cfg!(feature = "el2") as u32,
    STUCK_E2H = const cfg!(stuck_e2h) as u32,
    HAVE_SIMD = const cfg!(target_feature = "neon") as u32,
    SECURE_WRITE = const SECURE_WRITE & 0xffff,
    SECURE_WRITE_HI = const SECURE_WRITE >> 16,
    SET_OFFSET = const SET_OFFSET & 0xffff,
    SET_OFFSET_HI = const SET_OFFSET >> 16,
    BOOT_STACKS = sym BOOT_STACKS,
    BOOT_EXCEPTION_TOP = const BOOT_EXCEPTION_TOP,
    BOOT_THREAD_TOP = const BOOT_THREAD_TOP,
    BOOT = sym super::boot::boot,
    EFI = sym crate::uefi::enter,
    UNFIT = sym super::unfit::unfit,
    SIGNED_PFR0 = const needs::SIGNED_PFR0,
    EARLY_L1 = const mmu::PAGE,
    EARLY_L2 = const 2 * mmu::PAGE,
    EARLY_L3 = const 4 * mmu::PAGE,
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
    STAGE_UNFIT = const shared::STAGE_UNFIT,
    SHARED_LINES = const offsets::SHARED_LINES,
    SHARED_COUNT = const offsets::SHARED_COUNT,
    SHARED_CRUMBS = const offsets::SHARED_CRUMBS,
    SHARED_TTBR = const offsets::SHARED_TTBR,
    SHARED_MAIR = const offsets::SHARED_MAIR,
    SHARED_TCR = const offsets::SHARED_TCR,
    SHARED_SCTLR = const offsets::SHARED_SCTLR,
    SHARED_VBAR = const offsets::SHARED_VBAR,
    SHARED_EL = const offsets::SHARED_EL,
    SHARED_NEEDED = const offsets::SHARED_NEEDED,
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
    ARRIVE = sym super::arrival::arrive,
    PERCPU_EXCEPTION_TOP = const area::EXCEPTION_TOP,
    PERCPU_THREAD_TOP = const area::THREAD_TOP,
    PERCPU_EMERGENCY_TOP = const area::EMERGENCY_TOP,
    PERCPU_ENTRY = const area::ENTRY,
    EMERGENCY_SIZE = const EMERGENCY_PAGES * mmu::PAGE,
    IRQ_FRAME = const exception::IRQ_FRAME_SIZE,
    IRQ = sym super::interrupt::interrupt,
    FATAL_FRAME = const exception::FATAL_FRAME_SIZE,
    EMERGENCY_ROOM = const exception::EMERGENCY_ROOM,
    STOPPED = const exception::STOPPED,
    REGISTERS = const size_of::<exception::Registers>(),
    FATAL = sym super::fatal::fatal,
    FRAME = const exception::FRAME_SIZE,
    FRAME_SIMD = const exception::FRAME_SIMD,
    BELOW = const Kind::LowerIrq as u64,
    EXCEPTION = sym super::exception::exception,
    PERCPU_EXCEPTION_FLOOR = const area::EXCEPTION_FLOOR,
    PERCPU_CONTEXT = const area::CONTEXT,
    PERCPU_BELOW = const area::BELOW,
    CALLEE = const exception::CALLEE_SIZE,
    CONTEXT_SIMD = const context::SIMD,
    PREEMPTED = sym context::preempted,
);

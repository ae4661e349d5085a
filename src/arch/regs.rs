//! System registers whose name depends on the exception level, and what masks exceptions.

use aarch64_cpu::registers::{CurrentEL, HCR_EL2, MIDR_EL1, MPIDR_EL1, Readable, TPIDRRO_EL0};
use core::arch::asm;
use core::sync::atomic::{AtomicBool, Ordering};

/// The affinity fields of `MPIDR_EL1` (Arm ARM D24.2.118): Aff3 at 39:32, Aff2..Aff0 at 23:0.
pub(crate) const AFFINITY: u64 = 0xff_00ff_ffff;

/// Whether this CPU runs at EL2. Without the feature `el2` the answer is known at compile time.
#[inline(always)]
pub(crate) fn at_el2() -> bool {
    cfg!(feature = "el2") && CurrentEL.read(CurrentEL::EL) == 2
}

/// `HCR_EL2.E2H` where it is set, at EL2, and 0 anywhere else. The entry code clears it; where it is 1 all the same (CPUs without
/// FEAT_E2H0), translation tables, TCR_EL2 and CNTHCTL_EL2 of EL2 look as those of EL1 do (Arm ARM D8.1.3).
#[inline(always)]
pub(crate) fn e2h() -> u64 {
    if at_el2() { HCR_EL2.get() & HCR_EL2::E2H.mask << HCR_EL2::E2H.shift } else { 0 }
}

/// The affinity of this CPU, as the device tree writes it.
#[inline(always)]
pub(crate) fn affinity() -> u64 {
    MPIDR_EL1.get() & AFFINITY
}

/// Which CPU this is: implementer, part, revision (Arm ARM D24.2.122).
pub(crate) fn midr() -> u64 {
    MIDR_EL1.get()
}

/// `TPIDRRO_EL0`: scratch of exceptions of this level, and else that of what runs below.
#[inline(always)]
pub(crate) fn scratch() -> u64 {
    TPIDRRO_EL0.get()
}

/// Reads a register that has an `_EL1` and an `_EL2` form: the one of the level we run at.
macro_rules! read_el {
    ($name:literal) => {{
        let value: u64;
        if $crate::arch::regs::at_el2() {
            // SAFETY: reading this register has no side effect, and it exists at EL2.
            unsafe { core::arch::asm!(concat!("mrs {}, ", $name, "_el2"), out(reg) value, options(nomem, nostack, preserves_flags)) }
        } else {
            // SAFETY: reading this register has no side effect, and it exists at EL1.
            unsafe { core::arch::asm!(concat!("mrs {}, ", $name, "_el1"), out(reg) value, options(nomem, nostack, preserves_flags)) }
        }
        value
    }};
}
pub(crate) use read_el;

/// This CPU's thread pointer: the address of its per-CPU area, 0 before it has one.
#[inline(always)]
pub(crate) fn thread_pointer() -> u64 {
    read_el!("tpidr")
}

/// Sets this CPU's thread pointer.
pub(crate) fn set_thread_pointer(value: u64) {
    if at_el2() {
        // SAFETY: TPIDR_EL2 is software's own; only the runtime uses it.
        unsafe { asm!("msr tpidr_el2, {}", in(reg) value, options(nomem, nostack, preserves_flags)) }
    } else {
        // SAFETY: TPIDR_EL1 is software's own; only the runtime uses it.
        unsafe { asm!("msr tpidr_el1, {}", in(reg) value, options(nomem, nostack, preserves_flags)) }
    }
}

/// Where the function into which this is inlined, or one that it was inlined into, has its frame record (AAPCS64 6.4.6).
#[inline(always)]
pub(crate) fn frame_pointer() -> u64 {
    let record: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, x29", out(reg) record, options(nomem, nostack, preserves_flags)) };
    record
}

/// Whether an IRQ is pending that `DAIF.I` holds back, and nothing else (Arm ARM D24.2.93, ISR_EL1.I).
pub(crate) fn irq_is_pending() -> bool {
    let pending: u64;
    // SAFETY: reads ISR_EL1.
    unsafe { asm!("mrs {}, isr_el1", out(reg) pending, options(nomem, nostack, preserves_flags)) };
    pending & 1 << 7 != 0
}

/// Masks IRQ and FIQ exceptions (`DAIF.I`, `DAIF.F`) and returns what `DAIF` was.
#[inline(always)]
pub(crate) fn daif_mask() -> u64 {
    let daif: u64;
    // SAFETY: masking exceptions is always permitted; not `nomem`, so that nothing moves out of the section.
    unsafe { asm!("mrs {}, daif", "msr daifset, #3", out(reg) daif, options(nostack, preserves_flags)) }
    daif
}

/// Masks IRQ and FIQ exceptions, those of FEAT_NMI included: nothing may come between the end of a handler and its
/// `eret`.
#[inline(always)]
pub(crate) fn daif_close() {
    daif_set();
    allint_mask();
}

/// Lets SErrors through: an asynchronous external abort is reported when it happens. Once on each CPU, when its vectors
/// and its emergency stack are in place; exceptions mask them, and bring them back as they return.
pub(crate) fn serror_open() {
    // SAFETY: an SError is fatal, and its vector needs nothing but what is in place (the callers').
    unsafe { asm!("msr daifclr, #4", options(nostack, preserves_flags)) }
}

/// Masks IRQ and FIQ exceptions.
#[inline(always)]
pub(crate) fn daif_set() {
    // SAFETY: masking exceptions is always permitted; not `nomem`, so that nothing moves out of the section.
    unsafe { asm!("msr daifset, #3", options(nostack, preserves_flags)) }
}

/// Puts `DAIF` back.
#[inline(always)]
pub(crate) fn daif_restore(daif: u64) {
    // SAFETY: `daif` came from `daif_mask`, so this only returns to what the caller ran with.
    unsafe { asm!("msr daif, {}", in(reg) daif, options(nostack, preserves_flags)) }
}

/// Whether this runs on the stack of exceptions (`SPSel.SP`), not on a thread's.
#[inline(always)]
pub(crate) fn on_exception_stack() -> bool {
    let spsel: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mrs {}, spsel", out(reg) spsel, options(nomem, nostack, preserves_flags)) }
    spsel & 1 != 0
}

/// The stack pointer of the thread. Only on the stack of exceptions: on the thread's own the register is not accessible
/// by this name.
#[inline(always)]
pub(crate) fn thread_stack_pointer() -> u64 {
    let sp: u64;
    // SAFETY: reads a register, which is accessible where the caller promises to be.
    unsafe { asm!("mrs {}, sp_el0", out(reg) sp, options(nomem, nostack, preserves_flags)) }
    sp
}

/// `DAIF.I`: interrupts are masked.
pub(crate) const DAIF_I: u64 = 1 << 7;
/// `DAIF.F`: fast interrupts are.
pub(crate) const DAIF_F: u64 = 1 << 6;

/// The exception masks as they are.
#[inline(always)]
pub(crate) fn daif() -> u64 {
    let daif: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mrs {}, daif", out(reg) daif, options(nostack, preserves_flags)) }
    daif
}

/// Opens IRQ and FIQ exceptions, those of FEAT_NMI included.
///
/// # Safety
///
/// The vectors are set, and this CPU is in no section that relies on being masked by `DAIF`.
#[inline(always)]
pub(crate) unsafe fn daif_open() {
    allint_open();
    // SAFETY: the caller's.
    unsafe { daif_clear() }
}

/// The same without those of FEAT_NMI.
///
/// # Safety
///
/// As for [`daif_open`].
#[inline(always)]
pub(crate) unsafe fn daif_clear() {
    // SAFETY: the caller's.
    unsafe { asm!("msr daifclr, #3", options(nostack, preserves_flags)) }
}

/// Masks everything that can be masked, debug exceptions and SErrors too: nothing comes between any more.
#[inline(always)]
pub(crate) fn mask_all() {
    // SAFETY: as for `daif_mask`.
    unsafe { asm!("msr daifset, #15", options(nostack, preserves_flags)) }
    allint_mask();
}

/// The same but for interrupts with superpriority.
#[inline(always)]
pub(crate) fn daif_set_all() {
    // SAFETY: as for `daif_mask`.
    unsafe { asm!("msr daifset, #15", options(nostack, preserves_flags)) }
}

/// The same for a while: says what `DAIF` was. In a thread that holds nothing back.
#[inline(always)]
pub(crate) fn mask_everything() -> u64 {
    let daif = daif();
    mask_all();
    daif
}

/// The end of it.
#[inline(always)]
pub(crate) fn let_in_again(daif: u64) {
    allint_open();
    daif_restore(daif);
}

/// FEAT_NMI is in use: `PSTATE.ALLINT` exists, and an interrupt with superpriority comes through `DAIF.I`.
///
/// Assemblers that know no FEAT_NMI take `MSR ALLINT, #imm` (Arm ARM C6.2.230) by its encoding: `S0_1_C4_Cm_0` with the
/// immediate for `m`.
static ALLINT: AtomicBool = AtomicBool::new(false);

/// `SCTLR_ELx.NMI`: superpriority counts. With SPINTMASK (bit 62) clear the hardware sets ALLINT on every exception
/// entry (Arm ARM D1.3.5).
const SCTLR_NMI: u64 = 1 << 61;
const SCTLR_SPINTMASK: u64 = 1 << 62;

/// Whether interrupts with superpriority come through `DAIF.I`.
#[inline(always)]
pub(crate) fn has_allint() -> bool {
    // Relaxed: set by the boot CPU before any other runs, which `kick` and `arrive` order.
    ALLINT.load(Ordering::Relaxed)
}

/// Lets interrupts with superpriority through, whatever `DAIF` says.
#[inline(always)]
pub(crate) fn allint_open() {
    if has_allint() {
        // SAFETY: the register exists (`enable_nmi` has looked). The handler of such an interrupt keeps to what is safe
        // at any point at which the runtime opens this. Not `nomem`: nothing moves across.
        unsafe { asm!("msr S0_1_C4_C0_0, xzr", options(nostack, preserves_flags)) }
    }
}

/// Holds back interrupts with superpriority too.
#[inline(always)]
pub(crate) fn allint_mask() {
    if has_allint() {
        // SAFETY: the register exists, and masking is always permitted.
        unsafe { asm!("msr S0_1_C4_C1_0, xzr", options(nostack, preserves_flags)) }
    }
}

/// Whether this CPU has FEAT_NMI: `ID_AA64PFR1_EL1.NMI`, bits 39:36.
pub(crate) fn has_feat_nmi() -> bool {
    let features: u64;
    // SAFETY: reads an identification register.
    unsafe { asm!("mrs {}, id_aa64pfr1_el1", out(reg) features, options(nomem, nostack, preserves_flags)) }
    (features >> 36) & 0xf != 0
}

/// Changes `SCTLR_ELx` of this CPU, of which only the masking of interrupts may differ.
fn change_sctlr(clear: u64, set: u64) {
    let sctlr = (read_el!("sctlr") & !clear) | set;
    if at_el2() {
        // SAFETY: the caller's: interrupts are masked, and nothing else changes.
        unsafe { asm!("msr sctlr_el2, {}", "isb", in(reg) sctlr, options(nostack, preserves_flags)) }
    } else {
        // SAFETY: as above.
        unsafe { asm!("msr sctlr_el1, {}", "isb", in(reg) sctlr, options(nostack, preserves_flags)) }
    }
}

/// Turns FEAT_NMI on for this CPU, which has it, with `PSTATE.ALLINT` set: interrupts with superpriority stay out
/// until [`daif_open`].
pub(crate) fn enable_nmi() {
    // What every CPU reads is not written for nothing.
    if !ALLINT.load(Ordering::Relaxed) {
        ALLINT.store(true, Ordering::Relaxed);
    }
    allint_mask();
    change_sctlr(SCTLR_SPINTMASK, SCTLR_NMI);
}

/// Undoes [`enable_nmi`] on a CPU that leaves: where it goes there are no stacks to take an interrupt on. `DAIF` is
/// masked already.
pub(crate) fn disable_nmi() {
    if has_allint() && has_feat_nmi() {
        allint_mask();
        change_sctlr(SCTLR_NMI, 0);
    }
}

/// The debug communications channel of this CPU (Arm ARM H4.3): 0 is `MDCCSR_EL0`, 1 `DBGDTRRX_EL0`.
pub(crate) fn debug_channel_read(register: u32) -> u32 {
    let value: u64;
    match register {
        // SAFETY: a status register, which AArch64 has at every level. Not `nomem`: it is read again and again.
        0 => unsafe { asm!("mrs {}, mdccsr_el0", out(reg) value, options(nostack, preserves_flags)) },
        // SAFETY: takes a word that a debugger has left, which is for whoever reads the channel. In order with the status.
        _ => unsafe { asm!("mrs {}, dbgdtrrx_el0", out(reg) value, options(nostack, preserves_flags)) },
    }
    value as u32
}

/// Leaves a word in `DBGDTRTX_EL0` for the debugger.
pub(crate) fn debug_channel_write(value: u32) {
    // SAFETY: nothing but the debugger sees it.
    unsafe { asm!("msr dbgdtrtx_el0, {}", in(reg) u64::from(value), options(nostack, preserves_flags)) }
}

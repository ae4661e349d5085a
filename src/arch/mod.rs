//! AArch64 and nothing else: entry, exception levels, MMU, caches, vectors, MMIO.
//!
//! No protocol lives here. Assembly is in `asm/`; everything that must not be patched under a running CPU -
//! entry, pen, park, vectors - is in the section `.never_patch`.

pub(crate) mod cache;
pub(crate) mod entry;
pub(crate) mod exception;
mod hw;
pub(crate) mod mmio;
pub(crate) mod mmu;
pub(crate) mod regs;
pub(crate) mod shared;

pub(crate) use hw::{Hw, HwWord};

/// The bring-up slot of a real CPU.
pub(crate) type HwSlot = reveille_protocol::Slot<Hw>;
/// The panic gate of the real machine.
pub(crate) type HwGate = reveille_protocol::Gate<Hw>;

use core::arch::asm;

/// `sev`: wakes every CPU from WFE. The caller orders its stores before it.
#[inline(always)]
pub(crate) fn sev() {
    // SAFETY: SEV sets event registers and touches nothing else.
    unsafe { asm!("sev", options(nomem, nostack, preserves_flags)) }
}

/// Waits for an event: a SEV, the event stream, or nothing at all.
#[inline(always)]
pub(crate) fn wfe() {
    // SAFETY: WFE may only suspend this CPU until an event; with the event stream on that is bounded.
    unsafe { asm!("wfe", options(nomem, nostack, preserves_flags)) }
}

/// The body of a short wait: lets the other hardware threads of this core, or the emulator, go first.
#[inline(always)]
pub(crate) fn yield_now() {
    // SAFETY: YIELD is a hint.
    unsafe { asm!("yield", options(nomem, nostack, preserves_flags)) }
}

/// Waits for an interrupt to become pending, masked by `DAIF` or not.
#[inline(always)]
pub(crate) fn wfi() {
    // SAFETY: WFI may only suspend this CPU. Not `nomem`: what the waker wrote must be read afresh after it.
    unsafe { asm!("dsb sy", "wfi", options(nostack, preserves_flags)) }
}

/// `isb`: what follows is fetched and executed after every context change before it (Arm ARM B2.3.12).
#[inline(always)]
pub(crate) fn isb() {
    // SAFETY: an ISB changes no state that Rust can see.
    unsafe { asm!("isb", options(nostack, preserves_flags)) }
}

/// `dmb ld`: loads before it, from devices too, are done before accesses after it.
#[inline(always)]
pub(crate) fn dmb_ld() {
    // SAFETY: a DMB changes no state that Rust can see.
    unsafe { asm!("dmb ld", options(nostack, preserves_flags)) }
}

/// `dsb ishst`: stores before it are observable by every CPU before anything after it happens.
#[inline(always)]
pub(crate) fn dsb_ishst() {
    // SAFETY: a DSB changes no state that Rust can see.
    unsafe { asm!("dsb ishst", options(nostack, preserves_flags)) }
}

/// `dsb ish`: accesses and cache maintenance before it are complete for every CPU.
#[inline(always)]
pub(crate) fn dsb_ish() {
    // SAFETY: a DSB changes no state that Rust can see.
    unsafe { asm!("dsb ish", options(nostack, preserves_flags)) }
}

/// `dsb sy`: every access before it, device and cache maintenance included, is complete.
#[inline(always)]
pub(crate) fn dsb_sy() {
    // SAFETY: a DSB changes no state that Rust can see.
    unsafe { asm!("dsb sy", options(nostack, preserves_flags)) }
}

/// The stack pointer.
#[inline(always)]
pub(crate) fn stack_pointer() -> u64 {
    let sp: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, sp", out(reg) sp, options(nomem, nostack, preserves_flags)) };
    sp
}

/// Leaves the current stack for good and continues with `f(argument)` on the stack of exceptions, moved to `top`.
///
/// # Safety
///
/// `top` is the upper end, a multiple of 16, of a mapped stack that nothing else uses; `argument` is what `f` wants.
pub(crate) unsafe fn continue_on<T>(top: u64, f: extern "C" fn(*const T) -> !, argument: *const T) -> ! {
    // SAFETY: the caller's. The frame pointer is cleared: the chain ends here.
    unsafe {
        asm!("msr spsel, #1", "mov sp, {top}", "mov x29, xzr", "mov x30, xzr", "br {f}",
            top = in(reg) top, f = in(reg) f, in("x0") argument, options(noreturn))
    }
}

/// What [`probe`] found; x0 and x1 of the assembly.
#[repr(C)]
struct Probed {
    value: u64,
    answered: u64,
}

unsafe extern "C" {
    fn reveille_park() -> !;
    fn reveille_probe(address: u64) -> Probed;
}

/// Reads 8 bytes at `address`; `None` if nothing answers there, which is an abort anywhere else.
///
/// # Safety
///
/// `address` is a multiple of 8 and mapped, and to read it does no harm. The caller is the only CPU that runs, in
/// thread context, with all exceptions masked.
pub(crate) unsafe fn probe(address: u64) -> Option<u64> {
    // SAFETY: the caller's. For the time of one load it moves the vectors to where an abort is caught.
    let Probed { value, answered } = unsafe { reveille_probe(address) };
    (answered != 0).then_some(value)
}

/// Stops this CPU for good, in code that no patch touches: everything masked, nothing short of reset wakes it.
pub(crate) fn park() -> ! {
    // SAFETY: `reveille_park` masks all exceptions and loops over WFI; it needs no stack and no state.
    unsafe { reveille_park() }
}

//! What takes control away from compiled code: changes of stack, loads that may abort, the end.

use core::arch::asm;
use core::ffi::{CStr, c_char};

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

/// The SMC function of our own EL3 stub, for machines that we enter at EL3: a 32-bit store to a Secure
/// physical address. In the range that SMCCC leaves to OEM services.
pub(crate) const SECURE_WRITE: u32 = 0xc300_5e00;

/// The function by which EL1 asks the stub that it has left at EL2 for another offset of the virtual counter, CNTVOFF_EL2. In the
/// same range.
pub(crate) const SET_OFFSET: u32 = 0xc300_5e01;

/// What [`probe`] found; x0 and x1 of the assembly.
#[repr(C)]
struct Probed {
    value: u64,
    answered: u64,
}

unsafe extern "C" {
    fn reveille_park() -> !;
    fn reveille_last_word(text: *const c_char) -> !;
    fn reveille_probe(address: u64, width: u64) -> Probed;
    fn reveille_probe_counter() -> u64;
}

/// Whether this CPU may read the physical counter, which a hypervisor can forbid.
///
/// # Safety
///
/// As for [`probe`]; at EL1.
pub(crate) unsafe fn may_read_physical_counter() -> bool {
    // SAFETY: the caller's. For the time of one read it moves the vectors to where an undefined instruction is caught.
    unsafe { reveille_probe_counter() != 0 }
}

/// Reads 8 bytes at `address`; `None` if nothing answers there, which is an abort anywhere else.
///
/// # Safety
///
/// `address` is a multiple of 8 and mapped, and to read it does no harm. The caller is the only CPU that runs, in
/// thread context, with all exceptions masked.
pub(crate) unsafe fn probe(address: u64) -> Option<u64> {
    // SAFETY: the caller's.
    unsafe { probe_register(address, 8) }
}

/// The same for a device's register of `width` bytes, which is 1, 2, 4 or 8.
///
/// # Safety
///
/// As for [`probe`], and `address` is a multiple of `width`.
pub(crate) unsafe fn probe_register(address: u64, width: u8) -> Option<u64> {
    // SAFETY: the caller's. For the time of one load it moves the vectors to where an abort is caught.
    let Probed { value, answered } = unsafe { reveille_probe(address, width.into()) };
    (answered != 0).then_some(value)
}

/// Stops this CPU for good, in code that no patch touches: everything masked, nothing short of reset wakes it.
pub(crate) fn park() -> ! {
    // SAFETY: `reveille_park` masks all exceptions and loops over WFI; it needs no stack and no state.
    unsafe { reveille_park() }
}

/// As [`park`], but where the image was built with a UART to know (`REVEILLE_EARLYCON`), `reveille: ` and `text` go there first.
///
/// For when there is nothing else to say it with: the MMU of this CPU is off from here on.
pub(crate) fn last_word(text: &CStr) -> ! {
    // SAFETY: text of the image, which is mapped where it is; the routine masks all exceptions, needs no stack, and never returns.
    unsafe { reveille_last_word(text.as_ptr()) }
}

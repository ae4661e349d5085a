//! UARTs that are named by hand: when the image is built, or by a bootarg.

use super::uart::{self, Uart};
use crate::arch;
use crate::dt;
use reveille_machine::VirtioMemory;
use spin::Once;

/// The UART that the image was built to know (`REVEILLE_EARLYCON` in the environment of cargo).
pub(crate) const BUILT_IN: Option<dt::Console<'static>> = match option_env!("REVEILLE_EARLYCON") {
    None => None,
    Some(text) if text.is_empty() => None,
    Some(text) => match dt::Console::by_hand(text) {
        Ok(console) => Some(console),
        Err(_) => panic!(
            "REVEILLE_EARLYCON: not MODEL,ADDRESS of a UART that is known, as the bootarg earlycon has it"
        ),
    },
};

/// It, until there is another.
static EARLY: Once<Uart> = Once::new();
/// What it has of memory: the console may be another one.
static MEMORY: VirtioMemory = VirtioMemory::new();

/// The console until there is one that is this machine's.
#[inline(always)]
pub(super) fn early() -> Option<&'static Uart> {
    if BUILT_IN.is_some() { EARLY.get() } else { None }
}

/// Starts using the UART that the image was built to know, if something answers there.
///
/// # Safety
///
/// As for [`answers`].
pub(crate) unsafe fn init_early() {
    if let Some(console) = &BUILT_IN {
        // SAFETY: the caller's.
        if unsafe { answers(console) }.is_ok()
            && let Ok(uart) = Uart::new(console, &MEMORY)
        {
            EARLY.call_once(|| uart);
        }
    }
}

/// Maps the registers of `console`, which is named by hand or may be none, and sees whether something answers there.
///
/// # Safety
///
/// By the boot CPU before any other runs, in thread context, with all exceptions masked.
pub(crate) unsafe fn answers(console: &dt::Console<'_>) -> Result<(), &'static str> {
    if !console.kind.is_in_memory() {
        return Ok(());
    }
    let base = console.registers.base;
    if !base.is_multiple_of(4) {
        return Err("its registers are not at a multiple of 4");
    }
    uart::map(console)?;
    let (offset, width) = console.kind.state_register();
    // SAFETY: mapped just now; alone and masked (the caller's). The base is a multiple of 4 (above), and what is read is a register that a console
    // reads all the time, or, if whoever named it is wrong, nothing that anybody else has.
    match unsafe { arch::probe_register(base + u64::from(offset), width) } {
        Some(_) => Ok(()),
        None => Err("nothing answers there"),
    }
}

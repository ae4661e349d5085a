//! Raspberry Pi 4: reset and power off by the watchdog of the BCM2711, whose firmware (the stock `armstub`) offers no PSCI.
//!
//! The block is the one of all Raspberry Pis so far (BCM2835 power management): a write counts only with the password in
//! its upper byte, and a reset is a watchdog that is about to run out.

use super::power::PowerDevice;
use crate::arch::{self, mmio};
use crate::clock::HardwareLimit;
use core::time::Duration;

/// The power management block, in its role as watchdog.
pub(super) const POWER: PowerDevice = PowerDevice { compatible: "brcm,bcm2835-pm-wdt", reset, off };

/// Reset control: what the watchdog does in bits 5:4.
const RSTC: usize = 0x1c;
/// Reset status: what the boot ROM finds after the reset.
const RSTS: usize = 0x20;
/// Ticks left, at 65536 Hz, in bits 19:0.
const WDOG: usize = 0x24;

const PASSWORD: u32 = 0x5a00_0000;
const RSTC_ACTION: u32 = 3 << 4;
const RSTC_FULL_RESET: u32 = 2 << 4;
/// The partition to boot from next, spread over the even bits; 63 tells the boot ROM to halt instead.
const RSTS_HALT: u32 = 0x555;

/// About 150 us.
const TICKS: u32 = 10;

/// Far longer than the watchdog takes.
const PATIENCE: Duration = Duration::from_millis(100);

/// # Safety
///
/// `base` is the address of the block's registers, mapped.
unsafe fn reset(base: usize) {
    // What was written last, such as a crash record, has left for memory.
    arch::dsb_sy();
    // SAFETY: registers of the block (the caller's); this is how it is told to reset the machine.
    unsafe {
        mmio::write(base + WDOG, PASSWORD | TICKS);
        let control: u32 = mmio::read(base + RSTC);
        mmio::write(base + RSTC, PASSWORD | (control & !RSTC_ACTION) | RSTC_FULL_RESET);
    }
    HardwareLimit::after(PATIENCE).until(|| false);
}

/// # Safety
///
/// As for [`reset`].
unsafe fn off(base: usize) {
    // SAFETY: as above.
    unsafe {
        let status: u32 = mmio::read(base + RSTS);
        mmio::write(base + RSTS, PASSWORD | status | RSTS_HALT);
        reset(base);
    }
}

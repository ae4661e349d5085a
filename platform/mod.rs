//! What differs per board and its device tree can only name: quirks, keyed by `compatible`.
//!
//! A board that has any keeps them in its own folder beside this file, which `README.md` there explains. Here is the list.

mod raspi4;

use crate::system::memory;
use reveille_machine::Machine;
use spin::Once;

/// A device that resets the machine, or turns it off, where firmware does not.
pub(crate) struct PowerDevice {
    /// What its node is compatible with.
    compatible: &'static str,
    /// Resets the machine. Returns, after a bounded wait, if that did not happen. The caller passes the address of the
    /// device's registers, mapped.
    reset: unsafe fn(usize),
    /// Turns the machine off, likewise.
    off: unsafe fn(usize),
}

/// Every such device that is known.
static POWER_DEVICES: [PowerDevice; 1] = [raspi4::POWER];

/// The one that this machine has, and its registers.
static POWER: Once<(&PowerDevice, usize)> = Once::new();

/// Looks for what the tree names. By the boot CPU, once.
pub(crate) fn init(machine: &Machine<'_>) {
    for device in &POWER_DEVICES {
        let Ok(regions) = machine.device_regions(device.compatible) else { continue };
        let Some(registers) = regions.first() else { continue };
        match memory::map_device(registers.base, registers.size.max(1)) {
            Ok(()) => _ = POWER.call_once(|| (device, registers.base as usize)),
            Err(error) => log::warn!("{} at {:#x}: {error}", device.compatible, registers.base),
        }
    }
}

/// Resets the machine. Returns if nothing here can.
pub(crate) fn reset() {
    if let Some((device, base)) = POWER.get() {
        // SAFETY: `init` has mapped the registers of this device, for ever.
        unsafe { (device.reset)(*base) }
    }
}

/// Turns the machine off. Returns if nothing here can.
pub(crate) fn off() {
    if let Some((device, base)) = POWER.get() {
        // SAFETY: as above.
        unsafe { (device.off)(*base) }
    }
}

//! What differs per board and its device tree can only name: quirks, keyed by `compatible`.
//!
//! A board that has any keeps them in its own folder beside this file, which `README.md` there explains. Here is the list.

mod power;
mod raspi4;
mod raspi5;

use crate::dt::Machine;
use crate::memory;
use power::PowerDevice;
use spin::Once;

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

/// Every board whose firmware turns a CPU off for good.
const STAY_OFF: [&str; 1] = [raspi5::STAYS_OFF];

/// What the machine is compatible with, if its firmware does not start a CPU again that it has turned off.
pub(crate) fn stays_off(machine: &Machine<'_>) -> Option<&'static str> {
    STAY_OFF.into_iter().find(|board| machine.is_compatible(board))
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

//! Raspberry Pi 5: its firmware (TF-A, in the EEPROM) turns a CPU off, and does not start it again (raspberrypi/linux issue 7291).

/// What such boards are compatible with.
pub(super) const STAYS_OFF: &str = "brcm,bcm2712";

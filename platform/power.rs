//! What resets a machine, or turns it off.

/// A device that resets the machine, or turns it off, where firmware does not.
pub(crate) struct PowerDevice {
    /// What its node is compatible with.
    pub(super) compatible: &'static str,
    /// Resets the machine. Returns, after a bounded wait, if that did not happen. The caller passes the address of the
    /// device's registers, mapped.
    pub(super) reset: unsafe fn(usize),
    /// Turns the machine off, likewise.
    pub(super) off: unsafe fn(usize),
}

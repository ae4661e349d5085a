//! What can end a run: a host, firmware, a device.

use crate::{platform, psci};
use core::sync::atomic::{AtomicBool, Ordering};

/// What `main` returns: the machine's exit code.
///
/// It reaches the host through semihosting if the bootargs say `reveille.exit=semihosting`; otherwise the machine
/// is simply turned off.
///
/// ```no_run
/// use reveille::{ExitCode, System};
///
/// reveille::entry!(main);
///
/// fn main(system: &'static System) -> ExitCode {
///     let all_are_there: bool = system.bring_up_all(system.deadline()).is_complete();
///     all_are_there.into()
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitCode(u8);

impl ExitCode {
    /// All went well: 0.
    pub const SUCCESS: Self = Self(0);
    /// Something did not: 1.
    pub const FAILURE: Self = Self(1);

    /// The code as a number.
    ///
    /// ```no_run
    /// use reveille::ExitCode;
    ///
    /// # fn example() {
    /// assert_eq!(ExitCode::SUCCESS.get(), 0);
    /// # }
    /// ```
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl From<u8> for ExitCode {
    fn from(code: u8) -> Self {
        Self(code)
    }
}

impl From<bool> for ExitCode {
    /// `true` is success.
    fn from(good: bool) -> Self {
        if good { Self::SUCCESS } else { Self::FAILURE }
    }
}

/// Whether there is a host to exit to.
static SEMIHOSTING: AtomicBool = AtomicBool::new(false);

/// Says that the bootargs promise a semihosting host.
pub(crate) fn use_semihosting() {
    SEMIHOSTING.store(true, Ordering::Relaxed);
}

/// Whether there is one.
pub(crate) fn exits_to_host() -> bool {
    SEMIHOSTING.load(Ordering::Relaxed)
}

/// Turns the machine off, or returns if nothing can.
pub(crate) fn try_off() {
    psci::system_off();
    platform::off();
}

/// Resets the machine, or returns if nothing can.
pub(crate) fn try_reset() {
    psci::system_reset();
    platform::reset();
}

/// Ends the run with `code`, or returns if nothing can: through semihosting if there is a host, else by turning the machine off.
pub(crate) fn try_exit(code: ExitCode) {
    if exits_to_host() {
        semihosting::process::exit(i32::from(code.0));
    }
    try_off();
}

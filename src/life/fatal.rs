//! The end: an exception that nothing handles, a CPU that was stopped, a wait that ends because the machine stops, and one that does not end.

use crate::arch::exception::FatalFrame;
use crate::sync::{Long, Report};
use crate::{gate, panic, slow_lock};

/// The end of the fatal path: an unhandled exception is a panic of this CPU; one that was stopped parks. Called by the vectors, on the
/// emergency stack.
#[unsafe(link_section = ".never_patch")]
pub(super) extern "C" fn fatal(frame: &mut FatalFrame) -> ! {
    if frame.is_stop() {
        panic::stopped(frame)
    }
    panic::exception(frame)
}

impl gate::Stop for gate::Machine {
    #[inline(always)]
    fn noticed() {
        panic::stop_noticed();
    }
}

impl Report for gate::Machine {
    fn after() -> u64 {
        slow_lock::after()
    }

    fn tell(long: &Long) -> bool {
        slow_lock::tell(long)
    }
}

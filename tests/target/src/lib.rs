//! What the on-target tests share.

#![no_std]

#[cfg(target_os = "none")]
mod checks {
    use core::time::Duration;
    use reveille::cpu;
    use reveille::time::Deadline;

    /// Launches `f` on every other CPU.
    pub fn on_all_others<F: FnOnce() + Copy + Send + 'static>(f: F) {
        for cpu in cpu::online().without(cpu::current()) {
            eventually("an idle CPU takes a closure", || cpu::launch(cpu, f).is_ok());
        }
    }

    /// Panics with `what` unless it holds.
    #[track_caller]
    pub fn check(holds: bool, what: &str) {
        assert!(holds, "not so: {what}");
    }

    /// Waits until `done`, at most half a minute.
    ///
    /// # Panics
    ///
    /// With `what` if it takes longer.
    #[track_caller]
    pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
        let deadline = Deadline::after(Duration::from_secs(30));
        while !done() {
            assert!(!deadline.has_passed(), "not in time: {what}");
            core::hint::spin_loop();
        }
    }
}

#[cfg(target_os = "none")]
pub use checks::{check, eventually, on_all_others};

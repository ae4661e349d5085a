//! What follows the report.

use super::fate::StopReport;
use super::{last_words, report, stop};
use crate::arch;
use crate::clock::Instant;
use crate::ending::{self, ExitCode};
use crate::percpu::{CpuId, area};
use crate::{gate, gic, memory};
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use reveille_machine::BootArgs;
use reveille_protocol::Phase;

/// What the machine does once a panic has been reported.
///
/// ```no_run
/// use reveille::ExitCode;
/// use reveille::panic::{self, Action};
///
/// # fn example() {
/// // In a test: the run ends, with this code.
/// panic::set_action(Action::Exit(ExitCode::FAILURE));
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Action {
    /// The reporter parks like all others. This is the default where there is no host to exit to.
    Park,
    /// Warm reset, as by [`power::reset`](crate::power::reset). The next boot finds the [last words](super::last_words()).
    Reset,
    /// Power off, as by [`power::off`](crate::power::off).
    PowerOff,
    /// The run ends with this code: through semihosting if the bootargs say that there is a host, else by powering
    /// off. With 101 this is the default where there is a host.
    Exit(ExitCode),
    /// This function, on the reporter: everything else is stopped, all exceptions are masked, and it has 6 KiB of the
    /// emergency stack. A panic in it writes one line and parks. What crash dumpers want.
    Hook(fn(&CrashReport) -> !),
}

/// Exit code of a run that panicked, where there is a host to tell.
const PANIC_EXIT: u8 = 101;

/// The action: kind in bits 7:0, exit code in 15:8, hook as an offset in the image in 63:32. One word, so that a panic
/// at any moment finds the old one or the new one. 0: the default.
static ACTION: AtomicU64 = AtomicU64::new(0);
const PARK: u64 = 1;
const RESET: u64 = 2;
const OFF: u64 = 3;
const EXIT: u64 = 4;
const HOOK: u64 = 5;

/// Chooses what follows a panic from now on, in place of what the bootarg `reveille.panic` or the default say.
///
/// ```no_run
/// use reveille::panic::{self, Action};
/// use reveille::power;
///
/// # fn example() {
/// panic::set_action(Action::Hook(|report| {
///     // All others stand; the report has been printed.
///     let _ = report.cpu();
///     power::reset()
/// }));
/// # }
/// ```
pub fn set_action(action: Action) {
    let word = match action {
        Action::Park => PARK,
        Action::Reset => RESET,
        Action::PowerOff => OFF,
        Action::Exit(code) => EXIT | u64::from(code.get()) << 8,
        Action::Hook(hook) => HOOK | (hook as usize as u64).wrapping_sub(memory::image().0) << 32,
    };
    // Release: pairs with `chosen`. What the hook's owner has set up is there when it runs.
    ACTION.store(word, Ordering::Release);
}

fn chosen() -> Action {
    // Acquire: pairs with `set_action`.
    let word = ACTION.load(Ordering::Acquire);
    match word & 0xff {
        PARK => Action::Park,
        RESET => Action::Reset,
        OFF => Action::PowerOff,
        EXIT => Action::Exit(ExitCode::from((word >> 8) as u8)),
        HOOK => {
            let address = memory::image().0 + (word >> 32);
            // SAFETY: only `set_action` makes this kind, from a function of this type, which lies in the image and so less
            // than 4 GiB from its start.
            Action::Hook(unsafe {
                core::mem::transmute::<*const (), fn(&CrashReport) -> !>(address as *const ())
            })
        }
        _ if ending::exits_to_host() => Action::Exit(ExitCode::from(PANIC_EXIT)),
        _ => Action::Park,
    }
}

/// Reads the bootarg `reveille.panic`: `park`, `reset`, `off` or `exit:N`. By the boot CPU, once there is a console to complain to.
pub(crate) fn init(args: BootArgs<'_>) {
    let Some(value) = args.get("reveille.panic") else { return };
    match (value, value.strip_prefix("exit:").map(str::parse::<u8>)) {
        ("park", _) => set_action(Action::Park),
        ("reset", _) => set_action(Action::Reset),
        ("off", _) => set_action(Action::PowerOff),
        (_, Some(Ok(code))) => set_action(Action::Exit(ExitCode::from(code))),
        _ => {
            log::error!("bootargs: reveille.panic={value}: none of park, reset, off, exit:N with N up to 255")
        }
    }
}

/// A panic that has been reported, for the hook of the application.
///
/// ```no_run
/// use reveille::panic::CrashReport;
/// use reveille::power;
///
/// fn hook(report: &CrashReport) -> ! {
///     if report.stop().is_complete() {
///         power::reset();
///     }
///     power::off()
/// }
/// ```
#[derive(Debug)]
pub struct CrashReport {
    stop: StopReport,
}

impl CrashReport {
    /// The CPU that reported: this one. `None` if the device tree does not have it, or before it was read.
    ///
    /// ```no_run
    /// use reveille::println;
    ///
    /// # fn example(report: &reveille::panic::CrashReport) {
    /// if let Some(cpu) = report.cpu() {
    ///     println!("it was cpu {cpu}");
    /// }
    /// # }
    /// ```
    pub fn cpu(&self) -> Option<CpuId> {
        area::find(arch::regs::affinity())
    }

    /// Time since the counter started.
    ///
    /// ```no_run
    /// use reveille::println;
    ///
    /// # fn example(report: &reveille::panic::CrashReport) {
    /// println!("after {:?}", report.uptime());
    /// # }
    /// ```
    pub fn uptime(&self) -> Duration {
        Instant::now().uptime()
    }

    /// The report, word for word. Cut off at the end if the record had no room for it; empty if the machine panicked
    /// before there was one.
    ///
    /// ```no_run
    /// # fn example(report: &reveille::panic::CrashReport, send: fn(&[u8])) {
    /// send(report.text().as_bytes());
    /// # }
    /// ```
    pub fn text(&self) -> &str {
        last_words::text_so_far()
    }

    /// What became of the other CPUs.
    ///
    /// ```no_run
    /// use reveille::println;
    ///
    /// # fn example(report: &reveille::panic::CrashReport) {
    /// for cpu in &report.stop().left() {
    ///     println!("cpu {cpu} could not be stopped");
    /// }
    /// # }
    /// ```
    pub fn stop(&self) -> &StopReport {
        &self.stop
    }
}

/// What comes next, for the last line of the report.
pub(super) fn name() -> &'static str {
    match chosen() {
        Action::Park => "park",
        Action::Reset => "reset",
        Action::PowerOff => "power off",
        Action::Exit(_) => "exit",
        Action::Hook(_) => "hook",
    }
}

/// Does it. The report is written, and its record sealed.
pub(super) fn act() -> ! {
    gate::word().set_phase(gate::me(), Phase::Acting);
    match chosen() {
        Action::Park => {}
        Action::Reset => {
            ending::try_reset();
            report::raw_line(format_args!("nothing here can reset the machine: parked"));
        }
        Action::PowerOff => {
            ending::try_off();
            report::raw_line(format_args!("nothing here can turn the machine off: parked"));
        }
        Action::Exit(code) => ending::try_exit(code),
        Action::Hook(hook) => {
            // It may send, and is told that nobody is there.
            stop::condemn_parked();
            hook(&CrashReport { stop: StopReport::now() })
        }
    }
    gic::silence();
    arch::park()
}

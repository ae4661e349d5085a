//! Locks that are waited for for long, and what is said of them: who waits for which, since when, and where, and who has it and where that is.
//!
//! Like what is said of calls that take long: after a while, and each time that this has doubled. It is said by the CPU that waits, between two looks
//! at the lock, so it needs no other lock than the console's, and that for a bounded time: what it waits for may be just that one.

use crate::arch::regs;
use crate::backtrace::{self, Backtrace};
use crate::clock::{Deadline, to_duration, to_ticks};
use crate::nmi::{self, Noted};
use crate::percpu::CpuId;
use crate::percpu::area;
use crate::sync::Long;
use crate::{console, gate};
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use reveille_machine::BootArgs;

/// After this long a lock that is waited for is reported, if the bootarg `lock_report_ms` does not say otherwise.
const REPORT: Duration = Duration::from_secs(2);
/// How long the console is waited for.
const CONSOLE: Duration = Duration::from_millis(200);

/// The time to the first report, in ticks.
static REPORT_TICKS: AtomicU64 = AtomicU64::new(u64::MAX);
/// A wait that is reported is a panic (bootarg `lock_report=panic`).
static PANICS: AtomicBool = AtomicBool::new(false);
/// A CPU makes a report. The others, which may wait for the same lock, come after it.
static BUSY: AtomicBool = AtomicBool::new(false);

/// Reads the bootargs. By the boot CPU, once the counter's frequency is known.
pub(crate) fn init(args: BootArgs<'_>) {
    let report = args.milliseconds("lock_report_ms", REPORT);
    REPORT_TICKS.store(to_ticks(report), Ordering::Relaxed);
    PANICS.store(args.chooses("lock_report", "log", "panic"), Ordering::Relaxed);
}

/// The time to the first report, in ticks.
pub(crate) fn after() -> u64 {
    REPORT_TICKS.load(Ordering::Relaxed)
}

/// The report.
struct Report<'a> {
    long: &'a Long,
    own: CpuId,
    /// Where the CPU that waits has its frame record.
    frame: u64,
    holder: Option<CpuId>,
    noted: Option<Noted>,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (age, turn) = (to_duration(self.long.age), to_duration(self.long.turn));
        write!(
            f,
            "cpu {} waits for the lock at {:#x} for {}.{:03} s",
            self.own,
            self.long.lock,
            age.as_secs(),
            age.subsec_millis()
        )?;
        if let Some(holder) = self.holder {
            write!(
                f,
                ", taken on cpu {holder} {}.{:03} s ago or before",
                turn.as_secs(),
                turn.subsec_millis()
            )?;
        }
        f.write_str("\n  backtrace:")?;
        backtrace::write(f, Backtrace::of_record(self.frame))?;
        match (self.holder, &self.noted) {
            (Some(holder), Some(noted)) => write!(f, "\ncpu {holder} is here:\n{noted}"),
            (Some(holder), None) if holder != self.own => write!(f, "\ncpu {holder} does not answer"),
            _ => Ok(()),
        }
    }
}

/// Says that the calling CPU waits for long. `false`: not now, as another one is about to say such a thing.
pub(crate) fn tell(long: &Long) -> bool {
    // Relaxed, here and below: nothing is handed over, and whoever comes in between prints in between.
    if gate::is_stopping() || BUSY.swap(true, Ordering::Relaxed) {
        return false;
    }
    let own = area::here(|own| own.id);
    let holder = long.holder.map(|holder| CpuId::from_index(holder.cpu().into()));
    // A thread that waits on the CPU on which another one took the lock is where it is.
    let noted = holder.filter(|holder| *holder != own).and_then(nmi::note);
    let report = Report { long, own, frame: regs::frame_pointer(), holder, noted };
    console::print_before(Deadline::after(CONSOLE), format_args!("{report}\n"));
    BUSY.store(false, Ordering::Relaxed);
    assert!(
        !PANICS.load(Ordering::Relaxed),
        "cpu {own} has waited too long for the lock at {:#x}",
        long.lock
    );
    true
}

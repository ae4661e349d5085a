//! Locks that are waited for for long, and what is said of them: who waits for which, since when, and where, and who has it and where that is.
//!
//! Like what is said of calls that take long: after a while, and each time that this has doubled. It is said by the CPU that waits, between two looks
//! at the lock, so it needs no other lock than the console's, and that for a bounded time: what it waits for may be just that one.

use crate::arch::regs;
use crate::backtrace::{self, Backtrace};
use crate::clock::{Deadline, Reports, Seconds};
use crate::nmi::{self, Noted};
use crate::percpu::CpuId;
use crate::percpu::area;
use crate::sync::Long;
use crate::{console, masking};
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use reveille_machine::BootArgs;

/// How long the console is waited for.
const CONSOLE: Duration = Duration::from_millis(200);

/// When a lock that does not come is reported.
static REPORTS: Reports = Reports::new();
/// A CPU makes a report. The others, which may wait for the same lock, come after it.
static BUSY: AtomicBool = AtomicBool::new(false);

/// Reads the bootargs. By the boot CPU, once the counter's frequency is known.
pub(crate) fn init(args: BootArgs<'_>) {
    REPORTS.init(args, "lock_report_ms", "lock_report");
}

/// The time to the first report, in ticks.
pub(crate) fn after() -> u64 {
    REPORTS.after()
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
        let Self { long, own, frame, holder, ref noted } = *self;
        write!(f, "cpu {own} waits for the lock at {:#x} for {}", long.lock, Seconds(long.age))?;
        if let Some(holder) = holder {
            write!(f, ", taken on cpu {holder} {} ago or before", Seconds(long.turn))?;
        }
        f.write_str("\n  backtrace:")?;
        backtrace::write(f, &mut Backtrace::of_record(frame))?;
        match (holder, noted) {
            (Some(holder), Some(noted)) => write!(f, "\ncpu {holder} is here:\n{noted}\n"),
            (Some(holder), None) if holder != own => write!(f, "\ncpu {holder} does not answer\n"),
            _ => f.write_str("\n"),
        }
    }
}

/// Says that the calling CPU waits for long. `false`: not now, as another one is about to say such a thing.
pub(crate) fn tell(long: &Long) -> bool {
    // A thread that is preempted here would keep all others from saying anything.
    let _masked = masking::mask_rarely();
    // Relaxed, here and below: nothing is handed over, and whoever comes in between prints in between.
    if BUSY.swap(true, Ordering::Relaxed) {
        return false;
    }
    let own = area::here(|own| own.id);
    // A word that something has written over may have any number.
    let holder = long.holder.map(|holder| usize::from(holder.cpu()));
    let holder = holder.filter(|holder| *holder < area::areas().len()).map(CpuId::from_index);
    // A thread that waits on the CPU on which another one took the lock is where it is.
    let noted = holder.filter(|holder| *holder != own).and_then(nmi::note);
    let report = Report { long, own, frame: regs::frame_pointer(), holder, noted };
    console::print_before(Deadline::after(CONSOLE), format_args!("{report}"));
    BUSY.store(false, Ordering::Relaxed);
    assert!(!REPORTS.are_panics(), "a lock is waited for too long");
    true
}

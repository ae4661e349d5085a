//! The generic timer: the system counter, its errata, and the timer of each CPU.

use super::regs::{at_el2, e2h};
use aarch64_cpu::registers::{CNTFRQ_EL0, CNTHCTL_EL2, CNTKCTL_EL1, Readable, Writeable};
use core::arch::asm;
use core::sync::atomic::{AtomicU8, Ordering};
use reveille_machine::CounterErrata;

/// The errata of the system counter that are worked around, as bits; 0 on most machines.
///
/// For all CPUs together, although a machine may have CPUs of several kinds: each CPU adds its own before its first reading
/// ([`know_cpu`]), and its own store is what it finds here from then on. The others need not know in time, as theirs
/// read right without; and once they do, a workaround costs them time and changes no value. So no CPU has to wait for another, or for
/// code to be patched, before it may look at the clock, and what is in code that is never patched reads right as well. A machine
/// without errata pays a load of a word that nobody writes, and a branch, beside an ISB.
static ERRATA: AtomicU8 = AtomicU8::new(CounterErrata::NONE.bits());

/// These errata are worked around from now on, on this CPU at once.
pub(crate) fn work_around(errata: CounterErrata) {
    // Not written without need: a CPU whose start was called off changes nothing. Relaxed: see `ERRATA`; those of the counter itself are
    // here before another CPU is started, which `kick` and `arrive` order.
    if !errata.is_within(worked_around()) {
        ERRATA.fetch_or(errata.bits(), Ordering::Relaxed);
    }
}

/// The errata that are worked around.
pub(crate) fn worked_around() -> CounterErrata {
    CounterErrata::from_bits(ERRATA.load(Ordering::Relaxed))
}

/// This CPU, which is one with this MIDR_EL1, is about to read the counter for the first time.
pub(crate) fn know_cpu(midr: u64) {
    work_around(CounterErrata::of_cpu(midr));
}

/// The counters that a reading can be of.
#[derive(Clone, Copy)]
enum View {
    Physical,
    Virtual,
}

impl View {
    /// The one that this level's timers compare with, and that it may always read.
    #[inline(always)]
    fn own() -> Self {
        if at_el2() { Self::Physical } else { Self::Virtual }
    }

    /// One reading, which may be wrong.
    #[inline(always)]
    fn reading(self) -> u64 {
        let ticks: u64;
        match self {
            // SAFETY: reads a counter. Not `nomem`: nothing moves across.
            Self::Physical => unsafe {
                asm!("mrs {}, cntpct_el0", out(reg) ticks, options(nostack, preserves_flags))
            },
            // SAFETY: as above.
            Self::Virtual => unsafe {
                asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nostack, preserves_flags))
            },
        }
        #[cfg(feature = "fault-injection")]
        let ticks = spoilt(ticks);
        ticks
    }

    /// A value that is right.
    #[inline(always)]
    fn value(self) -> u64 {
        super::isb();
        if ERRATA.load(Ordering::Relaxed) == 0 { self.reading() } else { self.right_value() }
    }

    /// The same on a machine with errata. The readings have no ISB between them: in which order the CPU makes them is no matter to
    /// their comparison, and they have to be as close together as can be.
    #[cold]
    #[inline(never)]
    fn right_value(self) -> u64 {
        worked_around().read(|| self.reading())
    }
}

#[cfg(feature = "fault-injection")]
static SPOILT: AtomicU8 = AtomicU8::new(0);

/// From now on readings are as wrong as the errata of the tree make them, or worse.
#[cfg(feature = "fault-injection")]
pub(crate) fn spoil() {
    SPOILT.store(worked_around().bits(), Ordering::Relaxed);
}

/// The CPU whose counter stands, by its affinity, or `u64::MAX`.
#[cfg(feature = "fault-injection")]
static STANDS: core::sync::atomic::AtomicU64 = core::sync::atomic::AtomicU64::new(u64::MAX);

/// From now on, or no longer, the counter of the calling CPU does not count: it stays at this value.
#[cfg(feature = "fault-injection")]
pub(crate) fn stop(stands: bool) {
    STANDS.store(if stands { super::regs::affinity() } else { u64::MAX }, Ordering::Relaxed);
}

#[cfg(feature = "fault-injection")]
fn spoilt(ticks: u64) -> u64 {
    if STANDS.load(Ordering::Relaxed) == super::regs::affinity() {
        return 305_419_896;
    }
    static READINGS: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(0);
    let errata = CounterErrata::from_bits(SPOILT.load(Ordering::Relaxed));
    if errata == CounterErrata::NONE {
        return ticks;
    }
    let number = READINGS.fetch_add(1, Ordering::Relaxed);
    // No two are wrong by the same, though other CPUs read in between.
    let wrong = u64::from(number) << 12;
    match errata {
        // For longer than it would be.
        CounterErrata::UNKNOWN1 if ticks & 0x3f0 == 0 => ticks | 0x3ff,
        // Moves in steps: else it is too fast for a CPU in QEMU to read twice the same.
        CounterErrata::A008585 if number.is_multiple_of(3) => ticks & !0xf ^ wrong,
        CounterErrata::A008585 => ticks & !0xf,
        CounterErrata::HISILICON_161010101 if number.is_multiple_of(7) => ticks + wrong,
        _ => ticks,
    }
}

/// The system counter, in ticks.
///
/// At EL1 the virtual one: a hypervisor may offset the physical counter against it, so only one of the two
/// may be used, and this is the one that always can be. At EL2 the physical one, which is what the EL2
/// timer compares with; the virtual view belongs to guests there. The ISB keeps the read from being
/// executed early (Arm ARM D12.2.2).
#[inline(always)]
pub(crate) fn counter() -> u64 {
    View::own().value()
}

/// The physical counter. At EL1 where nobody forbids it: where its timer is the one to use, or `may_read_physical_counter` says so.
pub(crate) fn physical_counter() -> u64 {
    View::Physical.value()
}

/// One reading of what [`counter`] reads, right or not: to see whether it changes at all.
pub(crate) fn counter_reading() -> u64 {
    super::isb();
    View::own().reading()
}

/// One reading of what [`counter`] reads, for a record: it may have been made a few instructions early, and may be wrong where the counter
/// has errata.
#[cfg(feature = "trace")]
#[inline(always)]
pub(crate) fn counter_roughly() -> u64 {
    View::own().reading()
}

/// Counter frequency as firmware programmed it, Hz; 0 if it did not.
pub(crate) fn counter_frequency() -> u64 {
    CNTFRQ_EL0.get() & 0xffff_ffff
}

/// A view of the generic timer that the runtime can use (Arm ARM D12.2.4).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimerView {
    /// CNTV, at EL1: compares with what [`counter`] reads there.
    Virtual,
    /// CNTP, at EL1 or EL2: compares with the physical counter.
    Physical,
    /// CNTHP, at EL2 alone.
    Hyp,
}

/// Programs this CPU's timer: fires when [`counter`] reaches `deadline`; `None` turns it off.
///
/// By the compare value. The other way, CNTx_TVAL, is relative to what the hardware itself reads of the counter as it is written, and
/// with the errata of the counter that is not to be believed, nor what it reads as.
pub(crate) fn set_timer(view: TimerView, deadline: Option<u64>) {
    let (mut compare, control) = match deadline {
        Some(at) => (at, 1_u64),
        None => (u64::MAX, 0),
    };
    match view {
        // SAFETY: CNTHP is the EL2 physical timer, used by nobody else. The ISB makes the new state hold
        // before whatever the caller does next, such as returning from the timer's interrupt.
        TimerView::Hyp => unsafe {
            asm!("msr cnthp_cval_el2, {}", "msr cnthp_ctl_el2, {}", "isb", in(reg) compare, in(reg) control, options(nostack, preserves_flags))
        },
        // SAFETY: as above, for the virtual timer at EL1.
        TimerView::Virtual => unsafe {
            asm!("msr cntv_cval_el0, {}", "msr cntv_ctl_el0, {}", "isb", in(reg) compare, in(reg) control, options(nostack, preserves_flags))
        },
        TimerView::Physical => {
            if deadline.is_some() && !at_el2() {
                // The two counters run at one rate, but a hypervisor may have set them apart.
                compare = physical_counter().saturating_add(compare.saturating_sub(counter()));
            }
            if e2h() != 0 {
                // SAFETY: as below, by the names that it has beside E2H: CNTP_CVAL_EL02 and CNTP_CTL_EL02.
                unsafe {
                    asm!("msr S3_5_C14_C2_2, {}", "msr S3_5_C14_C2_1, {}", "isb", in(reg) compare, in(reg) control, options(nostack, preserves_flags))
                }
                return;
            }
            // SAFETY: as above, for the physical timer of EL1, which a machine offers that lists its interrupt and not the other.
            unsafe {
                asm!("msr cntp_cval_el0, {}", "msr cntp_ctl_el0, {}", "isb", in(reg) compare, in(reg) control, options(nostack, preserves_flags))
            }
        }
    }
}

/// Turns on this CPU's event stream: an event about every 100 us, which bounds every WFE
/// (Arm ARM D12.2.4, EVNTI selects the counter bit whose rising edge is the event).
pub(crate) fn enable_event_stream(frequency: u64) {
    // Bit n rises every 2^(n+1) ticks.
    let period = (frequency / 10_000).max(2);
    let bit = u64::from(period.ilog2() - 1).min(15);
    if at_el2() {
        // EL1PCTEN and EL1PCEN, which E2H has elsewhere.
        let below = if e2h() == 0 { 0b11 } else { 0b11 << 10 };
        CNTHCTL_EL2.set((bit << 4) | (1 << 2) | below);
    } else {
        CNTKCTL_EL1.set((bit << 4) | (1 << 2) | 0b11);
    }
    super::isb();
}

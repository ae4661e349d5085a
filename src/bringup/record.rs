//! What is known of each CPU's starts.

use crate::arch::Hw;
use crate::clock::Instant;
use crate::dt::{Cpu, CpuStatus, EnableMethod};
use crate::percpu::area::{Area, Line, Part as _};
use core::cell::RefCell;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use reveille_protocol::{Booter, Outcome, Refusal, Verdict};

/// How a CPU is started, read once from the description of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// `CPU_ON`.
    Psci,
    /// A store to this address and a SEV.
    SpinTable(u64),
    /// A name in the mailbox at this address, and an SGI: the parking protocol.
    Parking(u64, u32),
    /// There is no method that we know, or what it needs is left out.
    None,
    /// It is said not to be used.
    Disabled,
}

impl Method {
    pub(crate) fn of(cpu: &Cpu<'_>) -> Self {
        match (cpu.status == CpuStatus::Okay, cpu.method) {
            (false, _) => Self::Disabled,
            (true, EnableMethod::Psci) => Self::Psci,
            (true, EnableMethod::SpinTable { release_addr: Some(address) }) => Self::SpinTable(address),
            (true, EnableMethod::Parking { address, id, .. }) => Self::Parking(address, id),
            (true, _) => Self::None,
        }
    }
}

/// One CPU's part: how it is started, and what came of it.
pub(crate) struct Part(Line<Record>);

impl Part {
    /// Of a CPU that is started like this, and never was.
    pub(crate) const fn new(method: Method) -> Self {
        Self(Line(Record::new(method)))
    }
}

/// What the last attempt to bring the CPU of `area` up came to.
pub(crate) fn record(area: &Area) -> &Record {
    &Part::of(area).0.0
}

/// One start under way, kept in the area of the CPU that is started. On lines of its own, which that CPU does not write.
#[repr(align(64))]
pub(crate) struct Start {
    /// Only the holder of the lifecycle lock looks.
    pub(super) state: RefCell<Option<Pending>>,
}

// SAFETY: `state` is reached with the lifecycle lock held alone, by functions that take a `&Lifecycle`.
unsafe impl Sync for Start {}

pub(super) struct Pending {
    pub(super) booter: Booter<'static, Hw>,
    /// Firmware asked for patience: ask again then.
    pub(super) retry_at: Option<u64>,
}

impl Start {
    const fn new() -> Self {
        Self { state: RefCell::new(None) }
    }
}

/// What became of the last attempt to bring a CPU up, and the attempt itself while it lasts.
///
/// Written by the holder of the lifecycle lock alone. Relaxed throughout: whoever reads a record on another CPU
/// gets some recent attempt, field by field, which is all that a roll call of a living system can say.
pub(crate) struct Record {
    pub(super) method: Method,
    /// Verdict in 47:32 (0: none yet), its code in 31:0.
    verdict: AtomicU64,
    pub(super) generation: AtomicU32,
    /// From kick to verdict.
    pub(super) ticks: AtomicU64,
    /// What the CPU's own counter showed shortly before it came online. Relaxed: its own CPU stores it, and `go_online`
    /// orders it before what tells others that it is online.
    counter: AtomicU64,
    /// What the booter's showed before that, the last time that it looked whether the CPU has come, as the CPU found it. Relaxed: as above.
    before: AtomicU64,
    /// What the booter's showed the last time that it looked.
    looked: AtomicU64,
    pub(super) start: Start,
}

impl Record {
    const fn new(method: Method) -> Self {
        Self {
            method,
            verdict: AtomicU64::new(0),
            generation: AtomicU32::new(0),
            ticks: AtomicU64::new(0),
            counter: AtomicU64::new(0),
            before: AtomicU64::new(0),
            looked: AtomicU64::new(0),
            start: Start::new(),
        }
    }

    fn store(&self, verdict: Verdict, generation: u32, ticks: u64) {
        let (kind, code) = match verdict {
            Verdict::Online => (1, 0),
            Verdict::Revoked => (2, 0),
            Verdict::Refused(code) => (3, code as u32),
            Verdict::Failed(reason) => (4, u32::from(reason)),
            Verdict::Wedged => (5, 0),
            Verdict::NoMethod => (6, 0),
            Verdict::Disabled => (7, 0),
            Verdict::Busy => (8, 0),
            Verdict::Exhausted => (9, 0),
            Verdict::Parked => (10, 0),
            // Whoever is refused so writes no record.
            Verdict::WouldDeadlock => (11, 0),
        };
        self.generation.store(generation, Ordering::Relaxed);
        self.ticks.store(ticks, Ordering::Relaxed);
        self.verdict.store(kind << 32 | u64::from(code), Ordering::Relaxed);
    }

    /// The last verdict, if there ever was one.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        let word = self.verdict.load(Ordering::Relaxed);
        let code = word as u32;
        Some(match word >> 32 {
            1 => Verdict::Online,
            2 => Verdict::Revoked,
            3 => Verdict::Refused(code as i32),
            4 => Verdict::Failed(code as u16),
            5 => Verdict::Wedged,
            6 => Verdict::NoMethod,
            7 => Verdict::Disabled,
            8 => Verdict::Busy,
            9 => Verdict::Exhausted,
            10 => Verdict::Parked,
            11 => Verdict::WouldDeadlock,
            _ => return None,
        })
    }

    pub(super) fn settled(&self, outcome: Outcome) {
        self.store(outcome.verdict, outcome.generation, outcome.elapsed);
    }

    /// The slot could not be claimed. Of a CPU that is online already the record of its start stays.
    pub(super) fn refused(&self, refusal: Refusal, generation: u32) {
        if !(matches!(refusal, Refusal::Online { .. }) && self.verdict() == Some(Verdict::Online)) {
            self.store(refusal.into(), generation, 0);
        }
    }

    pub(super) fn without_start(&self, verdict: Verdict) {
        self.store(verdict, 0, 0);
    }

    /// The booter, whose counter shows `now`, looks whether the CPU has come.
    pub(super) fn looks(&self, now: u64) {
        // Release: pairs with `arriving`. The counter of the booter was read before.
        self.looked.store(now, Ordering::Release);
    }

    /// This CPU, whose record it is, is about to come online.
    pub(crate) fn arriving(&self) {
        // Acquire: pairs with `looks`. The counter of this CPU is read after that of the booter.
        self.before.store(self.looked.load(Ordering::Acquire), Ordering::Relaxed);
        self.counter.store(Instant::now().ticks(), Ordering::Relaxed);
    }

    /// How far the counter of the CPU, which is online, is from that of its booter, who sees it online `now`: ticks that it is certainly
    /// ahead, or behind if negative; 0 if the two may agree.
    pub(super) fn skew(&self, now: u64) -> i128 {
        let counter = i128::from(self.counter.load(Ordering::Relaxed));
        let (before, now) = (i128::from(self.before.load(Ordering::Relaxed)), i128::from(now));
        counter - counter.clamp(before, now.max(before))
    }

    /// The CPU that booted us.
    pub(crate) fn boot(&self) {
        self.store(Verdict::Online, 0, 0);
    }
}

//! Verdicts, one for each CPU, and how they are told.

use super::{Reason, Start, Verdict};
use crate::cpu::CpuId;
use crate::cpu::area::Area;
use crate::time::to_duration;
use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use reveille_protocol::{Outcome, Refusal};

/// What became of the last attempt to bring a CPU up, and the attempt itself while it lasts.
///
/// Written by the holder of the lifecycle lock alone. Relaxed throughout: whoever reads a record on another CPU
/// gets some recent attempt, field by field, which is all that a roll call of a living system can say.
pub(crate) struct Record {
    /// Verdict in 47:32 (0: none yet), its code in 31:0.
    verdict: AtomicU64,
    generation: AtomicU32,
    /// From kick to verdict.
    ticks: AtomicU64,
    pub(super) start: Start,
}

impl Record {
    pub(crate) const fn new() -> Self {
        Self {
            verdict: AtomicU64::new(0),
            generation: AtomicU32::new(0),
            ticks: AtomicU64::new(0),
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

    /// Another CPU was busy starting CPUs for too long.
    pub(super) fn busy(&self) {
        if self.verdict() != Some(Verdict::Online) {
            self.store(Verdict::Busy, self.generation.load(Ordering::Relaxed), 0);
        }
    }

    /// The CPU that booted us.
    pub(crate) fn boot(&self) {
        self.store(Verdict::Online, 0, 0);
    }
}

/// One verdict for each CPU of the machine: what the last attempt to bring it up came to.
///
/// It is a view: a later [`cpu_up`](super::cpu_up) shows in it.
#[derive(Clone, Copy)]
pub struct RollCall {
    areas: &'static [Area],
    /// Why no CPU could be started for it: the verdict of those that are not online, whatever came of others' attempts.
    refused: Option<Verdict>,
}

/// One CPU in a [`RollCall`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The CPU.
    pub cpu: CpuId,
    /// Its affinity, as in the device tree.
    pub mpidr: u64,
    /// What became of it.
    pub verdict: Verdict,
    /// Number of the start; 0 for the boot CPU, and where there was no start.
    pub generation: u32,
    /// From the start to the verdict, whatever that is; zero for the boot CPU, and where there was no start.
    pub after: Duration,
    /// Whether it is the CPU that booted the image.
    pub boot: bool,
}

impl RollCall {
    pub(super) fn new(areas: &'static [Area]) -> Self {
        Self { areas, refused: None }
    }

    /// No CPU could be started, because of `verdict`.
    pub(super) fn refused(areas: &'static [Area], verdict: Verdict) -> Self {
        Self { areas, refused: Some(verdict) }
    }

    /// The CPUs in id order.
    pub fn iter(&self) -> impl Iterator<Item = Entry> + use<> {
        let refused = self.refused;
        self.areas.iter().map(move |area| {
            let record = &area.record.0;
            let verdict = match refused {
                // The record of one that has left is that of the start before.
                Some(_) if area.is_online() => Verdict::Online,
                Some(refused) => refused,
                // No attempt yet: somebody else is about to make one.
                None => record.verdict().unwrap_or(Verdict::Busy),
            };
            Entry {
                cpu: area.id,
                mpidr: area.mpidr,
                verdict,
                generation: record.generation.load(Ordering::Relaxed),
                after: to_duration(record.ticks.load(Ordering::Relaxed)),
                boot: area.id == CpuId::BOOT,
            }
        })
    }

    /// CPUs of the device tree, up to [`MAX_CPUS`](crate::cpu::MAX_CPUS).
    pub fn possible(&self) -> usize {
        self.areas.len()
    }

    /// CPUs that are online.
    pub fn online(&self) -> usize {
        self.iter().filter(|entry| entry.verdict == Verdict::Online).count()
    }

    /// Whether every CPU is online that the device tree does not disable.
    pub fn is_complete(&self) -> bool {
        self.iter().all(|entry| matches!(entry.verdict, Verdict::Online | Verdict::Disabled))
    }

    /// The same as one line of JSON: an object with an array `cpus` and the sums of the last line of text.
    ///
    /// Each CPU has its id as `cpu`, its `mpidr` as a number, its `verdict` as the word of the text, its `generation`, as `code` what
    /// firmware answered if it is `refused` (negative as in PSCI) and the number of the [`Reason`] if it is `failed`, else 0, and as
    /// `us` the microseconds from its start to its verdict, whatever that is: 0 for the boot CPU and for CPUs that were not started.
    pub fn json(&self) -> Json<'_> {
        Json(self)
    }

    /// In one pass, so that the parts add up even while verdicts change.
    fn counts(&self) -> [(&'static str, usize); 7] {
        let mut counts =
            ["possible", "online", "revoked", "refused", "failed", "wedged", "other"].map(|name| (name, 0));
        for entry in self.iter() {
            let place = match entry.verdict {
                Verdict::Online => 1,
                Verdict::Revoked => 2,
                Verdict::Refused(_) => 3,
                Verdict::Failed(_) => 4,
                Verdict::Wedged => 5,
                Verdict::NoMethod
                | Verdict::Disabled
                | Verdict::Busy
                | Verdict::Exhausted
                | Verdict::Parked
                | Verdict::WouldDeadlock => 6,
            };
            counts[place].1 += 1;
            counts[0].1 += 1;
        }
        counts
    }
}

/// The word for a verdict.
fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Online => "online",
        Verdict::Revoked => "revoked",
        Verdict::Refused(_) => "refused",
        Verdict::Failed(_) => "failed",
        Verdict::Wedged => "wedged",
        Verdict::NoMethod => "no-method",
        Verdict::Disabled => "disabled",
        Verdict::Busy => "busy",
        Verdict::Exhausted => "exhausted",
        Verdict::Parked => "parked",
        Verdict::WouldDeadlock => "would-deadlock",
    }
}

impl fmt::Display for Entry {
    /// One line, without its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cpu {} mpidr {:#012x} {}", self.cpu, self.mpidr, word(self.verdict))?;
        match self.verdict {
            Verdict::Refused(code) => write!(f, " {code}")?,
            Verdict::Failed(code) => match Reason::from_code(code) {
                Some(reason) => write!(f, " {reason}")?,
                None => write!(f, " reason-{code}")?,
            },
            _ => {}
        }
        match self.verdict {
            Verdict::Online if self.boot && self.generation == 0 => write!(f, " generation 0 boot"),
            Verdict::Online => {
                write!(f, " generation {} after {} us", self.generation, self.after.as_micros())
            }
            Verdict::Revoked | Verdict::Refused(_) | Verdict::Failed(_) | Verdict::Wedged => {
                write!(f, " generation {}", self.generation)
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for RollCall {
    /// A line for each CPU, and one that sums up, without its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for entry in self.iter() {
            writeln!(f, "{entry}")?;
        }
        f.write_str("roll call:")?;
        for (index, (name, count)) in self.counts().iter().enumerate() {
            write!(f, "{} {count} {name}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// A [`RollCall`] that displays as JSON.
#[derive(Clone, Copy)]
pub struct Json<'a>(&'a RollCall);

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{\"cpus\":[")?;
        for (index, entry) in self.0.iter().enumerate() {
            let code = match entry.verdict {
                Verdict::Refused(code) => code,
                Verdict::Failed(code) => i32::from(code),
                _ => 0,
            };
            write!(
                f,
                "{}{{\"cpu\":{},\"mpidr\":{},\"verdict\":\"{}\",\"code\":{code},\"generation\":{},\"us\":{}}}",
                if index == 0 { "" } else { "," },
                entry.cpu,
                entry.mpidr,
                word(entry.verdict),
                entry.generation,
                entry.after.as_micros()
            )?;
        }
        f.write_str("]")?;
        for (name, count) in self.0.counts() {
            write!(f, ",\"{name}\":{count}")?;
        }
        f.write_str("}")
    }
}

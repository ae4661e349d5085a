//! Verdicts, one for each CPU, and how they are told.

use super::Verdict;
use super::reason::Reason;
use super::record::record;
use crate::clock::{micros, to_duration};
use crate::percpu::CpuId;
use crate::percpu::area::{self, Area};
use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;

/// CPUs that the description has and the runtime does not. Relaxed: stored by the boot CPU before any other runs.
static LEFT_OUT: AtomicUsize = AtomicUsize::new(0);

/// `count` CPUs of the description are not among those that can be brought up. By the boot CPU, once.
pub(crate) fn leave_out(count: usize) {
    LEFT_OUT.store(count, Ordering::Relaxed);
}

/// One verdict for each CPU of the machine: what the last attempt to bring it up came to.
///
/// It is a view: a later [`cpu_up`](super::cpu_up()) shows in it.
///
/// ```no_run
/// use reveille::println;
///
/// # fn example(system: &reveille::System) {
/// let roll_call = system.bring_up_all(system.deadline());
/// if !roll_call.is_complete() {
///     println!("{} of {} CPUs", roll_call.online(), roll_call.possible());
/// }
/// // All of it, a line for each CPU.
/// println!("{roll_call}");
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct RollCall {
    areas: &'static [Area],
    /// Why no CPU could be started for it: the verdict of those that are not online, whatever came of others' attempts.
    refused: Option<Verdict>,
}

/// One CPU in a [`RollCall`].
///
/// ```no_run
/// use reveille::bringup::Verdict;
/// use reveille::println;
///
/// # fn example(roll_call: &reveille::bringup::RollCall) {
/// for entry in roll_call.iter().filter(|entry| entry.verdict != Verdict::Online) {
///     println!("{entry}, tried for {} ms", entry.after.as_millis());
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The CPU.
    pub cpu: CpuId,
    /// Its affinity, as it is described.
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
    ///
    /// ```no_run
    /// use reveille::println;
    ///
    /// # fn example(roll_call: &reveille::bringup::RollCall) {
    /// // Who took longest?
    /// if let Some(entry) = roll_call.iter().max_by_key(|entry| entry.after) {
    ///     println!("cpu {} after {} us", entry.cpu, entry.after.as_micros());
    /// }
    /// # }
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = Entry> + use<> {
        let refused = self.refused;
        self.areas.iter().map(move |area| {
            let record = record(area);
            let verdict = match refused {
                // The record of one that has left is that of the start before.
                Some(_) if area::is_online(area) => Verdict::Online,
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

    /// CPUs that are described, up to [`MAX_CPUS`](crate::cpu::MAX_CPUS).
    ///
    /// ```no_run
    /// # fn example(roll_call: &reveille::bringup::RollCall) {
    /// let missing = roll_call.possible() - roll_call.online();
    /// # }
    /// ```
    pub fn possible(&self) -> usize {
        self.areas.len()
    }

    /// CPUs that are online.
    ///
    /// ```no_run
    /// # fn example(roll_call: &reveille::bringup::RollCall) {
    /// assert!(roll_call.online() >= 2, "this takes two CPUs");
    /// # }
    /// ```
    pub fn online(&self) -> usize {
        self.iter().filter(|entry| entry.verdict == Verdict::Online).count()
    }

    /// CPUs that are described and are not among the possible ones: described wrongly, or too many. Each was told of at boot.
    ///
    /// ```no_run
    /// use reveille::println;
    ///
    /// # fn example(roll_call: &reveille::bringup::RollCall) {
    /// match roll_call.left_out() {
    ///     0 => {}
    ///     more => println!("{more} CPUs more than the image has room for"),
    /// }
    /// # }
    /// ```
    pub fn left_out(&self) -> usize {
        LEFT_OUT.load(Ordering::Relaxed)
    }

    /// Whether every CPU is online that is not described as disabled, and none was left out.
    ///
    /// ```no_run
    /// # fn example(system: &reveille::System) -> reveille::ExitCode {
    /// // The image's exit code says whether every CPU came.
    /// system.bring_up_all(system.deadline()).is_complete().into()
    /// # }
    /// ```
    pub fn is_complete(&self) -> bool {
        self.left_out() == 0
            && self.iter().all(|entry| matches!(entry.verdict, Verdict::Online | Verdict::Disabled))
    }

    /// The same as one line of JSON: an object with an array `cpus` and the sums of the last line of text.
    ///
    /// Each CPU has its id as `cpu`, its `mpidr` as a number, its `verdict` as the word of the text, its `generation`, as `code` what
    /// firmware answered if it is `refused` (negative as in PSCI) and the number of the [`Reason`] if it is `failed`, else 0, and as
    /// `us` the microseconds from its start to its verdict, whatever that is: 0 for the boot CPU and for CPUs that were not started.
    ///
    /// ```no_run
    /// use reveille::println;
    ///
    /// # fn example(roll_call: &reveille::bringup::RollCall) {
    /// println!("{}", roll_call.json());
    /// # }
    /// ```
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
                write!(f, " generation {} after {} us", self.generation, micros(self.after))
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
        if self.left_out() != 0 {
            write!(f, ", {} left out", self.left_out())?;
        }
        Ok(())
    }
}

/// A [`RollCall`] that displays as JSON.
///
/// ```no_run
/// use reveille::{bringup::Json, println};
///
/// # fn example(roll_call: &reveille::bringup::RollCall) {
/// let line: Json<'_> = roll_call.json();
/// println!("{line}");
/// # }
/// ```
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
                micros(entry.after)
            )?;
        }
        f.write_str("]")?;
        for (name, count) in self.0.counts() {
            write!(f, ",\"{name}\":{count}")?;
        }
        write!(f, ",\"left_out\":{}", self.0.left_out())?;
        f.write_str("}")
    }
}

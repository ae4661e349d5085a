//! What is done and what goes wrong, with names, weights, and counters.
//!
//! `scripts/torture` reads the names and weights off this file.

use crate::guests;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use reveille::cpu;

macro_rules! names {
    ($(#[$attribute:meta])* $list:ident of $name:ident { $($(#[$comment:meta])* $variant:ident $word:literal $weight:literal,)* }) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$comment])* $variant,)* }

        /// All of them, each with its name and its weight.
        pub const $list: &[($name, &str, u32)] = &[$(($name::$variant, $word, $weight),)*];
    };
}

names! {
    /// An operation. The weights are shares of each other.
    KINDS of Kind {
        /// A call of one CPU that waits.
        Call "call" 200,
        /// The same, of the caller itself.
        CallSelf "call_self" 30,
        /// A call of some CPUs that waits.
        CallEach "call_each" 40,
        /// A call with a deadline, which may pass.
        CallDeadline "call_deadline" 80,
        /// A post.
        Post "post" 200,
        /// A post to some CPUs.
        PostEach "post_each" 50,
        /// A post that is answered by a post.
        Answer "answer" 35,
        /// A post by a callback.
        Callback "callback" 70,
        /// A post by an interrupt handler.
        Handler "handler" 45,
        /// A timer, which posts.
        Timer "timer" 40,
        /// A stretch with interrupts masked, and posts in it.
        Masked "masked" 40,
        /// A closure for the thread context of another CPU.
        Launch "launch" 35,
        /// Both kinds of locks.
        Lock "lock" 90,
        /// Per-CPU data.
        Local "local" 50,
        /// Looks at static keys, and at the states of CPUs.
        Look "look" 120,
        /// Ends a WFI.
        Wake "wake" 35,
        /// A function at NMI level.
        Nmi "nmi" 24,
        /// A static key is toggled.
        Key "key" 24,
        /// Two at once.
        Batch "batch" 24,
        /// Stop-machine.
        Stop "stop" 24,
        /// Stop-machine, with a job for each CPU.
        StopEach "stop_each" 24,
        /// One of the two, with a deadline that is likely to pass.
        StopLate "stop_late" 24,
        /// Another CPU is taken down.
        Down "down" 30,
        /// The CPU takes itself down.
        Leave "leave" 24,
        /// A CPU is brought up.
        Up "up" 120,
        /// A CPU is brought up by a deadline that is shorter than its way.
        UpShort "up_short" 120,
        /// The last CPU online, the locks in their form for one.
        Alone "alone" 25,
        /// The watchdog is given another period, or is stopped and started.
        Watchdog "watchdog" 24,
        /// A doorbell is rung, at one CPU or some, in some context.
        Bell "bell" 36,
        /// An alarm is set, moved or taken away.
        Alarm "alarm" 36,
        /// A context is made, which does a few operations wherever it runs.
        Context "context" 24,
        /// The CPU is given up to another context.
        Switch "switch" 24,
        /// Pages are mapped, used by other CPUs, unmapped.
        Map "map" 24,
        /// Something runs at EL1, where the runtime lives at EL2.
        Guest "guest" 24,
    }
}

names! {
    /// A fault. The weights are out of 100 000 operations.
    FAULTS of Fault {
        /// A CPU stands still for a while, wherever it is, and is let go.
        Freeze "freeze" 30,
        /// An SGI does not arrive.
        LostSgi "lost_sgi" 60,
        /// A CPU takes long from its arrival to being online.
        SlowStart "slow_start" 40,
        /// Firmware refuses to start a CPU.
        Refuse "refuse" 40,
        /// Firmware starts a CPU late.
        Delay "delay" 40,
        /// Firmware says what is not so, or passes on what it was not given.
        Lie "lie" 40,
        /// Firmware starts a CPU that nobody asked for, just before somebody does.
        DoubleStart "double_start" 40,
        /// Firmware does not turn a CPU off.
        OffDenied "off_denied" 40,
    }
}

impl Fault {
    /// Whether it takes the shim in the place of firmware.
    pub fn is_firmware(self) -> bool {
        !matches!(self, Self::Freeze | Self::LostSgi | Self::SlowStart)
    }
}

/// The weights as the bootargs have them.
static WEIGHTS: [AtomicU32; KINDS.len()] = [const { AtomicU32::new(0) }; KINDS.len()];
static FAULT_WEIGHTS: [AtomicU32; FAULTS.len()] = [const { AtomicU32::new(0) }; FAULTS.len()];
static TOTAL: AtomicU32 = AtomicU32::new(0);
/// Out of so many operations the weights of faults are meant.
const OUT_OF: u32 = 100_000;

/// Sets the weights: the default ones, and in their place those of `mix`, `name=weight` separated by commas. `all` is
/// every operation, `faults` every fault. What cannot be here is not, whatever `mix` says.
///
/// # Errors
///
/// The part of `mix` that makes no sense; empty if the weights of all operations are 0.
pub fn set_weights(mix: &str, firmware: bool) -> Result<(), &str> {
    let set = |weight: &AtomicU32, value| weight.store(value, Ordering::Relaxed);
    for ((_, _, weight), to) in KINDS.iter().zip(&WEIGHTS) {
        set(to, *weight);
    }
    for ((_, _, weight), to) in FAULTS.iter().zip(&FAULT_WEIGHTS) {
        set(to, *weight);
    }
    for part in mix.split(',').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').ok_or(part)?;
        let value: u32 = value.parse().ok().filter(|value| *value <= 10_000).ok_or(part)?;
        let kind = KINDS.iter().position(|(_, word, _)| *word == name);
        let fault = FAULTS.iter().position(|(_, word, _)| *word == name);
        match (name, kind, fault) {
            ("all", _, _) => WEIGHTS.iter().for_each(|weight| set(weight, value)),
            ("faults", _, _) => FAULT_WEIGHTS.iter().for_each(|weight| set(weight, value)),
            (_, Some(kind), _) => set(&WEIGHTS[kind], value),
            (_, _, Some(fault)) => set(&FAULT_WEIGHTS[fault], value),
            _ => return Err(part),
        }
    }
    if !firmware {
        for ((fault, _, _), weight) in FAULTS.iter().zip(&FAULT_WEIGHTS) {
            if fault.is_firmware() {
                set(weight, 0);
            }
        }
    }
    for ((kind, _, _), weight) in KINDS.iter().zip(&WEIGHTS) {
        if !is_here(*kind) {
            set(weight, 0);
        }
    }
    let total = WEIGHTS.iter().map(|weight| weight.load(Ordering::Relaxed)).sum();
    set(&TOTAL, total);
    if total == 0 { Err("") } else { Ok(()) }
}

fn pick(weights: &[AtomicU32], mut number: u32) -> Option<usize> {
    for (index, weight) in weights.iter().enumerate() {
        let weight = weight.load(Ordering::Relaxed);
        if number < weight {
            return Some(index);
        }
        number -= weight;
    }
    None
}

/// The operation that a random number chooses.
pub fn choose(number: u64) -> Kind {
    let number = (number >> 32) as u32 % TOTAL.load(Ordering::Relaxed).max(1);
    pick(&WEIGHTS, number).map_or(Kind::Look, |index| KINDS[index].0)
}

/// The fault that a random number chooses, mostly none.
pub fn choose_fault(number: u64) -> Option<Fault> {
    pick(&FAULT_WEIGHTS, (number >> 32) as u32 % OUT_OF).map(|index| FAULTS[index].0)
}

/// Whether there can be such operations on this machine.
pub fn is_here(kind: Kind) -> bool {
    kind != Kind::Guest || guests::are_here()
}

/// Whether this operation is part of this run.
pub fn is_in_mix(kind: Kind) -> bool {
    WEIGHTS[kind as usize].load(Ordering::Relaxed) != 0
}

/// Whether this fault may happen in this run.
pub fn is_wanted(fault: Fault) -> bool {
    FAULT_WEIGHTS[fault as usize].load(Ordering::Relaxed) != 0
}

/// The counters of one CPU. Each is written in one kind of context alone: thread context, or handlers.
struct Counts {
    kinds: [AtomicU64; KINDS.len()],
    refused: [AtomicU64; KINDS.len()],
    faults: [AtomicU64; FAULTS.len()],
    /// Ticks that it was in operations of a kind, as they were chosen; the same for faults.
    spent: [AtomicU64; KINDS.len()],
    spent_on_faults: [AtomicU64; FAULTS.len()],
}

reveille::percpu! {
    static COUNTS: Counts = Counts {
        kinds: [const { AtomicU64::new(0) }; KINDS.len()],
        refused: [const { AtomicU64::new(0) }; KINDS.len()],
        faults: [const { AtomicU64::new(0) }; FAULTS.len()],
        spent: [const { AtomicU64::new(0) }; KINDS.len()],
        spent_on_faults: [const { AtomicU64::new(0) }; FAULTS.len()],
    };
}

/// This CPU has done one; or it was refused, without effect.
pub fn count(kind: Kind, refused: bool) {
    // Atomic: a few are counted by threads and by handlers.
    COUNTS.kinds[kind as usize].fetch_add(1, Ordering::Relaxed);
    if refused {
        count_refused(kind);
    }
}

/// One that was counted was refused.
pub fn count_refused(kind: Kind) {
    COUNTS.refused[kind as usize].fetch_add(1, Ordering::Relaxed);
}

/// An operation that was chosen as one of this kind has taken so many ticks.
pub fn spent(kind: Kind, ticks: u64) {
    COUNTS.spent[kind as usize].fetch_add(ticks, Ordering::Relaxed);
}

/// The same for a fault.
pub fn spent_on_fault(fault: Fault, ticks: u64) {
    COUNTS.spent_on_faults[fault as usize].fetch_add(ticks, Ordering::Relaxed);
}

/// Ticks that all CPUs together were in operations of this kind.
pub fn time_of(kind: Kind) -> u64 {
    sum(|counts| &counts.spent[kind as usize])
}

/// The same for faults.
pub fn time_of_fault(fault: Fault) -> u64 {
    sum(|counts| &counts.spent_on_faults[fault as usize])
}

/// This CPU has brought about one.
pub fn count_fault(fault: Fault) {
    COUNTS.faults[fault as usize].fetch_add(1, Ordering::Relaxed);
}

fn sum(of: impl Fn(&'static Counts) -> &'static AtomicU64) -> u64 {
    cpu::possible().iter().map(|cpu| of(COUNTS.of(cpu)).load(Ordering::Relaxed)).sum()
}

/// How many of a kind there were, and how many of these were refused.
pub fn counted(kind: Kind) -> (u64, u64) {
    (sum(|counts| &counts.kinds[kind as usize]), sum(|counts| &counts.refused[kind as usize]))
}

/// How often a fault happened.
pub fn faults_counted(fault: Fault) -> u64 {
    match fault {
        // As many as were lost, not as many as were to be.
        Fault::LostSgi => reveille::fault::lost_sgis().into(),
        _ => sum(|counts| &counts.faults[fault as usize]),
    }
}

/// How often the rarest of the faults that may happen has happened.
pub fn least_faults() -> u64 {
    let wanted = FAULTS.iter().filter(|(fault, _, _)| is_wanted(*fault));
    wanted.map(|(fault, _, _)| faults_counted(*fault)).min().unwrap_or(u64::MAX)
}

/// All operations.
pub fn operations() -> u64 {
    KINDS.iter().map(|(kind, _, _)| counted(*kind).0).sum()
}

/// All faults.
pub fn faults() -> u64 {
    FAULTS.iter().map(|(fault, _, _)| faults_counted(*fault)).sum()
}

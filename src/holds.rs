//! What keeps a CPU from leaving.

use crate::arch::{Hw, HwWord};
use crate::percpu::area::{self, Area, Part};
use core::fmt;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use reveille_protocol::{Preemption, TurnMark};

/// Something that a CPU has to let go of before it can leave.
///
/// ```no_run
/// use core::time::Duration;
/// use reveille::hotplug::{self, Hold, HotplugError};
/// use reveille::{println, time::Deadline};
///
/// # fn example(cpu: reveille::cpu::CpuId) {
/// match hotplug::cpu_down(cpu, Deadline::after(Duration::from_millis(100))) {
///     Err(HotplugError::Held(Hold::Pinned)) => println!("somebody has pinned cpu {cpu}"),
///     Err(HotplugError::Held(hold)) => println!("what keeps cpu {cpu}: {hold}"),
///     _ => {}
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hold {
    /// It runs `main`. `main` ends its hold with [`become_secondary`](crate::cpu::become_secondary).
    Main,
    /// A launched closure runs there, or waits to.
    Closure,
    /// The application has [`pin`]ned it.
    Pinned,
    /// It has timers running: due in more than a second, or still there a second after its offline callbacks have run.
    Timer,
    /// It did not come to [`idle`](crate::cpu::idle()) or [`offline_point`](crate::cpu::offline_point).
    NotIdle,
    /// It holds a [`Mutex`](crate::sync::Mutex).
    Mutex,
    /// It was asked, or has agreed to leave, but does not come to the end of its `asked` or `offline` callbacks.
    Callback,
    /// It waits until it may itself start, stop or gather CPUs.
    Waiting,
    /// It runs a [context](crate::context) of the application's, or one is bound to it that has a lower exception level run.
    Context,
    /// It runs a secondary function of which nobody has said that its frames may be given up. It never lets go of this one:
    /// see [`entry!`](crate::entry).
    Frames,
    /// The application does not let it go yet, because of this: what an `asked` callback has said
    /// ([`register_callbacks`](crate::hotplug::register_callbacks)).
    Application(&'static str),
}

impl Hold {
    /// Its number, by which a CPU says to whoever asked it why it stays. The application says its reasons in another way, before the CPU
    /// is asked.
    pub(crate) const fn code(self) -> u16 {
        match self {
            Self::Main => 1,
            Self::Closure => 2,
            Self::Pinned => 3,
            Self::Timer => 4,
            Self::NotIdle | Self::Application(_) => 5,
            Self::Mutex => 6,
            Self::Callback => 7,
            Self::Waiting => 8,
            Self::Frames => 9,
            Self::Context => 10,
        }
    }

    /// The hold with this number.
    pub(crate) const fn from_code(code: u16) -> Self {
        match code {
            1 => Self::Main,
            2 => Self::Closure,
            3 => Self::Pinned,
            4 => Self::Timer,
            6 => Self::Mutex,
            7 => Self::Callback,
            8 => Self::Waiting,
            9 => Self::Frames,
            10 => Self::Context,
            _ => Self::NotIdle,
        }
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Main => "it runs main",
            Self::Closure => "it runs a launched closure",
            Self::Pinned => "it is pinned",
            Self::Timer => "it has timers running",
            Self::Mutex => "it holds a mutex",
            Self::NotIdle => "it does not come to an offline point",
            Self::Callback => "it does not come to the end of its callbacks",
            Self::Waiting => "it waits to start, stop or gather CPUs itself",
            Self::Context => "it runs a context of the application's, or one is bound to it",
            Self::Frames => "its secondary function has not agreed to be abandoned",
            Self::Application(reason) => reason,
        })
    }
}

/// The holds of one CPU that nothing else tells of.
pub(crate) struct Holds {
    main: AtomicBool,
    /// What it runs may not be given up.
    frames: AtomicBool,
    /// It is about to leave: its callbacks are under way. For itself alone.
    leaving: AtomicBool,
    /// 64 bits: guards can be forgotten for as long as the machine runs, and a count that came round to 0 would let the CPU go.
    pins: AtomicU64,
    mutexes: AtomicU64,
    /// It runs a context that is not its home. Like all that follows for itself alone, but for a report.
    away: AtomicBool,
    /// Contexts that are bound to it, and do not run. 64 bits, as above.
    bound: AtomicU64,
    /// Whether its thread may be preempted.
    preemption: Preemption<Hw>,
    /// Whether it waits for the right to start, stop or gather CPUs.
    turn: TurnMark<Hw>,
}

impl Holds {
    pub(crate) const fn new() -> Self {
        Self {
            main: AtomicBool::new(false),
            frames: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            pins: AtomicU64::new(0),
            mutexes: AtomicU64::new(0),
            away: AtomicBool::new(false),
            bound: AtomicU64::new(0),
            preemption: Preemption::from_parts(
                HwWord::with(Preemption::<Hw>::NOT),
                HwWord::with(Preemption::<Hw>::NOT),
            ),
            turn: TurnMark::from_parts(HwWord::with(TurnMark::<Hw>::NONE)),
        }
    }

    /// A mutex was taken on this CPU.
    pub(crate) fn add_mutex(&self) {
        // Relaxed: the CPU itself looks at it, at its offline points.
        self.mutexes.fetch_add(1, Ordering::Relaxed);
    }

    /// It was given back.
    pub(crate) fn remove_mutex(&self) {
        self.mutexes.fetch_sub(1, Ordering::Relaxed);
    }

    /// `main` begins, or has ended, on this CPU.
    pub(crate) fn set_main(&self, runs: bool) {
        self.main.store(runs, Ordering::Relaxed);
    }

    /// Whether `main` runs on this CPU. Certain there.
    pub(crate) fn is_main(&self) -> bool {
        self.main.load(Ordering::Relaxed)
    }

    /// This CPU begins to run what may not be given up, or what may.
    pub(crate) fn set_frames(&self, stay: bool) {
        // Relaxed, as above.
        self.frames.store(stay, Ordering::Relaxed);
    }

    /// This CPU begins to leave, or stays after all.
    pub(crate) fn set_leaving(&self, leaves: bool) {
        if self.leaving.swap(leaves, Ordering::Relaxed) == leaves {
            return;
        }
        // Its callbacks run in the frames that are given up.
        if leaves {
            self.preemption.stay();
        } else {
            // What is put off meanwhile comes with the next interrupt.
            let _ = self.preemption.let_go();
        }
    }

    /// Whether this CPU, the calling one, is about to leave.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// This CPU begins a life, at home. Relaxed, here and below: the CPU itself looks at it.
    pub(crate) fn reset_contexts(&self) {
        self.away.store(false, Ordering::Relaxed);
        self.preemption.reset();
    }

    /// It runs a context that is not its home, or is at home.
    #[inline(always)]
    pub(crate) fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::Relaxed);
    }

    /// Whether it runs a context that is not its home.
    #[inline(always)]
    pub(crate) fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    /// A context is bound to it.
    #[inline(always)]
    pub(crate) fn bind_context(&self) {
        self.bound.store(self.bound.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// It runs again.
    #[inline(always)]
    pub(crate) fn unbind_context(&self) {
        self.bound.store(self.bound.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
    }

    /// Whether its thread may be preempted.
    #[inline(always)]
    pub(crate) fn preemption(&self) -> &Preemption<Hw> {
        &self.preemption
    }

    /// The one of these that keeps the CPU, `has_closure` between them.
    pub(crate) fn any(&self, has_closure: impl FnOnce() -> bool) -> Option<Hold> {
        if self.is_main() {
            return Some(Hold::Main);
        }
        if self.frames.load(Ordering::Relaxed) {
            return Some(Hold::Frames);
        }
        if self.is_away() || self.bound.load(Ordering::Relaxed) != 0 {
            return Some(Hold::Context);
        }
        if has_closure() {
            return Some(Hold::Closure);
        }
        if self.pins.load(Ordering::Relaxed) != 0 {
            return Some(Hold::Pinned);
        }
        (self.mutexes.load(Ordering::Relaxed) != 0).then_some(Hold::Mutex)
    }

    /// Whether the CPU will never let go of what keeps it.
    pub(crate) fn is_for_ever(&self) -> bool {
        !self.is_main() && self.frames.load(Ordering::Relaxed)
    }

    /// How many guards keep it: pins, and mutexes.
    #[cfg(feature = "fault-injection")]
    pub(crate) fn guards(&self) -> [u64; 2] {
        [&self.pins, &self.mutexes].map(|count| count.load(Ordering::Relaxed))
    }

    /// Its mark as one that waits for the right to start, stop or gather CPUs.
    pub(crate) fn turn(&self) -> &TurnMark<Hw> {
        &self.turn
    }
}

/// Keeps the CPU that made it from leaving, until it is dropped.
///
/// ```no_run
/// use reveille::hotplug::{self, Pin};
///
/// # fn example() {
/// let pin: Pin = hotplug::pin();
/// // .. this CPU does not leave ..
/// drop(pin);
/// # }
/// ```
#[derive(Debug)]
#[must_use = "the CPU may leave again as soon as this is dropped"]
pub struct Pin {
    area: &'static Area,
    not_send: PhantomData<*mut ()>,
}

/// Keeps this CPU from leaving for as long as the guard lives.
///
/// ```no_run
/// use reveille::{cpu, hotplug};
///
/// # fn example() {
/// let _pin = hotplug::pin();
/// let own = cpu::current();
/// // For as long as the pin lives, `own` is online.
/// # }
/// ```
pub fn pin() -> Pin {
    area::here(|area| {
        // Relaxed: the CPU itself looks at it, at its offline points.
        Holds::of(area).pins.fetch_add(1, Ordering::Relaxed);
        Pin { area, not_send: PhantomData }
    })
}

impl Drop for Pin {
    fn drop(&mut self) {
        Holds::of(self.area).pins.fetch_sub(1, Ordering::Relaxed);
    }
}

//! What keeps a CPU from leaving.

use crate::arch::{Hw, HwWord};
use crate::percpu::area::{self, Area, Part};
use core::fmt;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use reveille_protocol::TurnMark;

/// Something that a CPU has to let go of before it can leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
#[non_exhaustive]
pub enum Hold {
    /// It runs `main`. `main` ends its hold with [`become_secondary`](crate::cpu::become_secondary).
    Main = 1,
    /// A launched closure runs there, or waits to.
    Closure = 2,
    /// The application has [`pin`]ned it.
    Pinned = 3,
    /// It has timers running: due in more than a second, or still there a second after its offline callbacks have run.
    Timer = 4,
    /// It did not come to [`idle`](crate::cpu::idle()) or [`offline_point`](crate::cpu::offline_point).
    NotIdle = 5,
    /// It holds a [`Mutex`](crate::sync::Mutex).
    Mutex = 6,
    /// It has agreed to leave, but does not come to the end of its offline callbacks.
    Callback = 7,
    /// It waits until it may itself start, stop or gather CPUs.
    Waiting = 8,
    /// It runs a secondary function of which nobody has said that its frames may be given up. It never lets go of this one:
    /// see [`entry!`](crate::entry).
    Frames = 9,
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
            Self::Callback => "it does not come to the end of its offline callbacks",
            Self::Waiting => "it waits to start, stop or gather CPUs itself",
            Self::Frames => "its secondary function has not agreed to be abandoned",
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
        self.leaving.store(leaves, Ordering::Relaxed);
    }

    /// Whether this CPU, the calling one, is about to leave.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// The one of these that keeps the CPU, `has_closure` between them.
    pub(crate) fn any(&self, has_closure: impl FnOnce() -> bool) -> Option<Hold> {
        if self.is_main() {
            return Some(Hold::Main);
        }
        if self.frames.load(Ordering::Relaxed) {
            return Some(Hold::Frames);
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
#[derive(Debug)]
#[must_use = "the CPU may leave again as soon as this is dropped"]
pub struct Pin {
    area: &'static Area,
    not_send: PhantomData<*mut ()>,
}

/// Keeps this CPU from leaving for as long as the guard lives.
pub fn pin() -> Pin {
    let area = area::current();
    // Relaxed: the CPU itself looks at it, at its offline points.
    Holds::of(area).pins.fetch_add(1, Ordering::Relaxed);
    Pin { area, not_send: PhantomData }
}

impl Drop for Pin {
    fn drop(&mut self) {
        Holds::of(self.area).pins.fetch_sub(1, Ordering::Relaxed);
    }
}

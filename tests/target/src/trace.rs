//! The last things that each CPU did, for the report of a test that failed.
//!
//! `scripts/lib/silent_guest.py` reads them out of the memory of a guest that says nothing any more, so the layout below is
//! known there too.

use core::arch::asm;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use reveille::cpu::{self, CpuId, MAX_CPUS};
use reveille::time::Instant;

/// Events that each CPU remembers.
pub const EVENTS: usize = 256;

/// One event: when, which, and two numbers that go with it. Written by one CPU; whoever reads is sure that it is stopped,
/// or content with a mixture.
#[repr(C)]
struct Event {
    ticks: AtomicU64,
    what: AtomicU64,
    numbers: [AtomicU64; 2],
}

#[repr(C)]
struct Ring {
    /// Events that there ever were. Each handler takes a place of its own, whatever it has interrupted.
    count: AtomicU64,
    events: [Event; EVENTS],
}

reveille::percpu! {
    static RING: Ring = Ring {
        count: AtomicU64::new(0),
        events: [const {
            Event { ticks: AtomicU64::new(0), what: AtomicU64::new(0), numbers: [const { AtomicU64::new(0) }; 2] }
        }; EVENTS],
    };
}

/// Where the rings are.
#[repr(C)]
struct Traces {
    /// [`MAGIC`], once the rest is written.
    magic: AtomicU64,
    /// [`EVENTS`].
    events: AtomicU64,
    /// Ticks in a second.
    frequency: AtomicU64,
    /// How many rings there are.
    count: AtomicU64,
    /// Their addresses.
    rings: [AtomicU64; MAX_CPUS],
}

/// `REVTRACE`.
const MAGIC: u64 = u64::from_be_bytes(*b"REVTRACE");

// SAFETY: no other symbol has this name.
#[unsafe(no_mangle)]
static REVEILLE_TRACES: Traces = Traces {
    magic: AtomicU64::new(0),
    events: AtomicU64::new(EVENTS as u64),
    frequency: AtomicU64::new(0),
    count: AtomicU64::new(0),
    rings: [const { AtomicU64::new(0) }; MAX_CPUS],
};

/// From now on the rings can be found from outside, at the symbol `REVEILLE_TRACES`.
pub fn publish() {
    let table = &REVEILLE_TRACES;
    for (place, cpu) in table.rings.iter().zip(cpu::possible()) {
        place.store((&raw const *RING.of(cpu)) as u64, Ordering::Relaxed);
    }
    let frequency: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mrs {}, cntfrq_el0", out(reg) frequency, options(nomem, nostack, preserves_flags)) };
    table.frequency.store(frequency, Ordering::Relaxed);
    table.count.store(cpu::possible().len() as u64, Ordering::Relaxed);
    // Release: pairs with nothing in the machine. Who looks from outside sees the table whole, or sees that it is not there.
    table.magic.store(MAGIC, Ordering::Release);
}

/// Where the image begins, as it was loaded.
pub fn image() -> u64 {
    unsafe extern "C" {
        static __image_start: u8;
    }
    &raw const __image_start as u64
}

/// An event happens on this CPU, in any context. What `what` means is up to the test.
pub fn note(what: u64, numbers: [u64; 2]) {
    let ring = RING.here();
    let place = ring.count.fetch_add(1, Ordering::Relaxed);
    let event = &ring.events[place as usize % EVENTS];
    event.ticks.store(Instant::now().ticks(), Ordering::Relaxed);
    event.what.store(what, Ordering::Relaxed);
    for (place, number) in event.numbers.iter().zip(numbers) {
        place.store(number, Ordering::Relaxed);
    }
}

/// An event that was noted.
#[derive(Clone, Copy, Debug)]
pub struct Noted {
    /// Which of its CPU, from 0.
    pub nth: u64,
    /// When.
    pub at: Instant,
    /// What.
    pub what: u64,
    /// The numbers that go with it.
    pub numbers: [u64; 2],
}

impl fmt::Display for Noted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uptime = self.at.uptime();
        write!(f, "{} at {}.{:06}", self.nth, uptime.as_secs(), uptime.subsec_micros())
    }
}

/// The last events of `cpu`, the oldest first.
pub fn last(cpu: CpuId) -> impl Iterator<Item = Noted> {
    let ring = RING.of(cpu);
    let count = ring.count.load(Ordering::Relaxed);
    (count.saturating_sub(EVENTS as u64)..count).map(|nth| {
        let event = &ring.events[nth as usize % EVENTS];
        let get = |word: &AtomicU64| word.load(Ordering::Relaxed);
        Noted {
            nth,
            at: Instant::from_ticks(get(&event.ticks)),
            what: get(&event.what),
            numbers: [get(&event.numbers[0]), get(&event.numbers[1])],
        }
    })
}

//! The last things that each CPU did, for the report of a test that failed.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use reveille::cpu::CpuId;
use reveille::time::Instant;

/// Events that each CPU remembers.
pub const EVENTS: usize = 256;

/// One event: when, which, and two numbers that go with it. Written by one CPU; whoever reads is sure that it is stopped,
/// or content with a mixture.
struct Event {
    ticks: AtomicU64,
    what: AtomicU64,
    numbers: [AtomicU64; 2],
}

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

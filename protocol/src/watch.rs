//! The watchdog: every CPU notes when it last took its tick, others look at that, and one of them reports it.
//!
//! A CPU that takes no ticks has a beat that grows old. Each time that it gets stuck it is reported once, by one CPU, however
//! many look at it: what is claimed is the beat after which it was found stuck, and beats grow, so a CPU that looks long after
//! its reading claims nothing that is past.
//!
//! A CPU whose beat is still the one that it was given when the watchdog was started may not have heard of that. It is told
//! again at each look, and not called stuck before it has had half a period since it was told first.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::{Arch, Word};

/// Whether the watchdog is on, and since when.
pub struct Watch<A: Arch> {
    /// Half a period, ticks of the counter.
    half: A::Word,
    /// When the period was set. A CPU whose last beat was then has not heard of it by itself.
    started: A::Word,
}

/// One CPU's part.
pub struct Heartbeat<A: Arch> {
    /// When it last took its tick.
    beat: A::Word,
    /// The beat after which it was last found stuck.
    reported: A::Word,
    /// When it was first told again that the watchdog is on.
    reminded: A::Word,
}

/// What another CPU makes of a [`Heartbeat`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "nobody else reports a CPU that is stuck"]
pub enum Look {
    /// It is well.
    Well,
    /// Its beat is old, but perhaps it has not heard that it has to beat.
    NotHeard,
    /// It is stuck, and somebody else has reported that, or does.
    Known,
    /// It is stuck, and the caller is the one to report it.
    Stuck {
        /// When it last took its tick.
        since: u64,
    },
}

impl<A: Arch> Watch<A> {
    /// Both of [`from_parts`](Self::from_parts)' words: off.
    pub const OFF: u64 = 0;

    /// Around two words that hold [`Self::OFF`]. For statics.
    pub const fn from_parts(half: A::Word, started: A::Word) -> Self {
        Self { half, started }
    }

    /// Off.
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(A::Word::new(Self::OFF), A::Word::new(Self::OFF))
    }

    /// Half a period, ticks; 0: off.
    #[inline]
    #[must_use]
    pub fn half(&self) -> u64 {
        // Acquire: pairs with `start`.
        self.half.load(Acquire)
    }

    /// On, with half a period of `half`, since `now`; `hearts` are those of all CPUs.
    pub fn start<'a>(&self, half: u64, now: u64, hearts: impl Iterator<Item = &'a Heartbeat<A>>) {
        // Relaxed: a CPU that beats at the same time says the same in other words.
        self.started.store(now, Relaxed);
        for heart in hearts {
            heart.beat(now);
        }
        // Release: pairs with `half`. Who sees it on sees no beat from before.
        self.half.store(half, Release);
    }

    /// Off.
    pub fn stop(&self) {
        // Relaxed: hands nothing over.
        self.half.store(Self::OFF, Relaxed);
    }

    /// A CPU looks at the heart of another one, at `now`, with half a period of `half`. It has taken its own ticks in time,
    /// and has read `half` before. `remind` tells the other that the watchdog is on.
    ///
    /// The last beat may have been half a period old when the CPU masked its interrupts: so it is stuck, for a period or
    /// more, when its beat is older than one and a half.
    pub fn look(&self, heart: &Heartbeat<A>, now: u64, half: u64, remind: impl FnOnce()) -> Look {
        let beat = heart.last();
        let has_heard = beat != self.started.load(Relaxed) || {
            remind();
            heart.was_reminded(beat, now, half)
        };
        if now.saturating_sub(beat) <= half.saturating_mul(3) {
            Look::Well
        } else if !has_heard {
            Look::NotHeard
        } else if heart.claim(beat) {
            Look::Stuck { since: beat }
        } else {
            Look::Known
        }
    }
}

impl<A: Arch> Default for Watch<A> {
    fn default() -> Self {
        Self::new()
    }
}

// Relaxed throughout: times, and nothing behind them. `Watch` orders what has to be.
impl<A: Arch> Heartbeat<A> {
    /// All of [`from_parts`](Self::from_parts)' words.
    pub const NEVER: u64 = 0;

    /// Around three words that hold [`Self::NEVER`]. For statics.
    pub const fn from_parts(beat: A::Word, reported: A::Word, reminded: A::Word) -> Self {
        Self { beat, reported, reminded }
    }

    /// Of a CPU that never took a tick.
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(A::Word::new(Self::NEVER), A::Word::new(Self::NEVER), A::Word::new(Self::NEVER))
    }

    /// The CPU takes its tick, at `now`; or will not take one until then, which is to be borne with.
    pub fn beat(&self, now: u64) {
        self.beat.store(now, Relaxed);
    }

    /// When it last took its tick.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.beat.load(Relaxed)
    }

    /// Whether this CPU was first told half a period ago or earlier that the watchdog is on, since it was started at `beat`.
    fn was_reminded(&self, beat: u64, now: u64, half: u64) -> bool {
        let first = self.reminded.load(Relaxed);
        if first <= beat {
            // No read-modify-write: others that tell it do so at about the same time.
            self.reminded.store(now, Relaxed);
            return false;
        }
        now.saturating_sub(first) >= half
    }

    /// Whether the caller is the one to report this CPU, stuck since `beat`.
    fn claim(&self, beat: u64) -> bool {
        let mut reported = self.reported.load(Relaxed);
        while reported < beat {
            match self.reported.compare_exchange(reported, beat, Relaxed, Relaxed) {
                Ok(_) => return true,
                // Somebody has claimed another beat; each does so once for each time that it gets stuck.
                Err(now) => reported = now,
            }
        }
        false
    }
}

impl<A: Arch> Default for Heartbeat<A> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Host;

    const HALF: u64 = 10;

    fn started(now: u64) -> (Watch<Host>, Heartbeat<Host>) {
        let (watch, heart) = (Watch::new(), Heartbeat::new());
        assert_eq!(watch.half(), 0);
        watch.start(HALF, now, [&heart].into_iter());
        assert_eq!((watch.half(), heart.last()), (HALF, now));
        (watch, heart)
    }

    #[test]
    fn stuck_is_reported_once_each_time() {
        let (watch, heart) = started(100);
        let look = |now| watch.look(&heart, now, HALF, || panic!("it has heard"));
        heart.beat(105);
        assert_eq!(look(135), Look::Well);
        assert_eq!((look(136), look(137), look(900)), (Look::Stuck { since: 105 }, Look::Known, Look::Known));
        heart.beat(901);
        assert_eq!((look(902), look(931)), (Look::Well, Look::Well));
        assert_eq!((look(932), look(933)), (Look::Stuck { since: 901 }, Look::Known));
        assert!(!heart.claim(105), "reports what is past");
        // Excused for a while.
        heart.beat(1000);
        assert_eq!((look(950), look(1030)), (Look::Well, Look::Well));
    }

    #[test]
    fn one_that_has_not_heard_is_told() {
        let (watch, heart) = started(100);
        let told = core::cell::Cell::new(0);
        let look = |now| watch.look(&heart, now, HALF, || told.set(told.get() + 1));
        assert_eq!((look(131), look(132), look(140)), (Look::NotHeard, Look::NotHeard, Look::NotHeard));
        assert_eq!((look(141), told.get()), (Look::Stuck { since: 100 }, 4));
        // Started anew: told anew.
        watch.start(HALF, 200, [&heart].into_iter());
        assert_eq!((look(210), look(220)), (Look::Well, Look::Well));
        assert_eq!(look(231), Look::Stuck { since: 200 });
        watch.start(HALF, 300, [&heart].into_iter());
        assert_eq!((look(331), look(341)), (Look::NotHeard, Look::Stuck { since: 300 }));
        watch.stop();
        assert_eq!(watch.half(), 0);
    }
}

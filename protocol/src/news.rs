//! News: what every CPU has to do for itself, such as to enable an interrupt of its own.
//!
//! Whoever wants that stores it, counts up the number of the news, and tells every CPU that is online. To be told may get
//! lost, and a CPU may come online meanwhile; so each CPU notes which news it has applied, and compares as often as it likes.
//!
//! | race | why nothing is missed |
//! |---|---|
//! | [`News::tell`] against [`Slot::go_online`](crate::Slot::go_online) | a fence on each side: the CPU is found online and told, or it finds the news as it [comes](News::apply) |
//! | [`News::tell`] against [`News::look`] | the number is read before the news are applied: what comes later has a later one |
//! | what a CPU does by old news against [`Applied::has`] | a CPU applies news when it does nothing by old ones; what it did by these is over, and seen, when it is found to have applied later ones |

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

use crate::{Arch, Word};

/// The number of the latest news. 64 bits: it never comes round.
pub struct News<A: Arch> {
    latest: A::Word,
}

/// Which news one CPU has applied. Written by that CPU alone.
pub struct Applied<A: Arch> {
    number: A::Word,
}

impl<A: Arch> News<A> {
    /// The word before there are any.
    pub const NONE: u64 = 0;

    /// Around a word that holds [`Self::NONE`]. For statics.
    pub const fn from_parts(latest: A::Word) -> Self {
        Self { latest }
    }

    /// None so far.
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(A::Word::new(Self::NONE))
    }

    /// There are some, which the caller has stored. `tell` looks who is online, and tells them. Their number comes back, for
    /// [`Applied::has`].
    pub fn tell(&self, tell: impl FnOnce()) -> u64 {
        // Release: pairs with `latest`. Who finds the number finds what was stored before. Being a read-modify-write it keeps
        // the releases of earlier news.
        let number = self.latest.fetch_add(1, Release) + 1;
        // Pairs with the one in `Slot::go_online`: store the number, look at the slots, against store `Online`, look at the
        // number. A CPU that is not found online below finds the news when it is.
        A::fence(SeqCst);
        tell();
        number
    }

    fn latest(&self) -> u64 {
        // Acquire: pairs with `tell`.
        self.latest.load(Acquire)
    }

    /// The CPU of `applied` applies all there are, by `apply`: it has told the others, or comes online, and has forgotten what
    /// it applied in a former life.
    ///
    /// An interrupt in the middle may apply later ones. Then the lower number is noted last, and they are applied once more.
    pub fn apply(&self, applied: &Applied<A>, apply: impl FnOnce()) {
        self.apply_up_to(self.latest(), applied, apply);
    }

    /// The CPU of `applied` applies what is new, if anything is.
    #[inline]
    pub fn look(&self, applied: &Applied<A>, apply: impl FnOnce()) {
        let latest = self.latest();
        // Relaxed: its own.
        if applied.number.load(Relaxed) != latest {
            self.apply_up_to(latest, applied, apply);
        }
    }

    fn apply_up_to(&self, number: u64, applied: &Applied<A>, apply: impl FnOnce()) {
        apply();
        // Release: pairs with `has`. What this CPU did by older news is done.
        applied.number.store(number, Release);
    }
}

impl<A: Arch> Default for News<A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: Arch> Applied<A> {
    /// The word of a CPU that has applied none.
    pub const NONE: u64 = 0;

    /// Around a word that holds [`Self::NONE`]. For statics.
    pub const fn from_parts(number: A::Word) -> Self {
        Self { number }
    }

    /// Of a CPU that has applied none.
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(A::Word::new(Self::NONE))
    }

    /// Whether the CPU has applied the news with this number. Then it does nothing any more by older ones, and what it did is seen.
    #[must_use]
    pub fn has(&self, number: u64) -> bool {
        // Acquire: pairs with `apply_up_to`.
        self.number.load(Acquire) >= number
    }
}

impl<A: Arch> Default for Applied<A> {
    fn default() -> Self {
        Self::new()
    }
}

/// Things that every CPU has to enable for itself, or to disable, a bit each.
pub struct Wanted<A: Arch> {
    bits: A::Word,
}

impl<A: Arch> Wanted<A> {
    /// The word of nothing.
    pub const NOTHING: u64 = 0;

    /// Around a word that holds [`Self::NOTHING`]. For statics.
    pub const fn from_parts(bits: A::Word) -> Self {
        Self { bits }
    }

    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(A::Word::new(Self::NOTHING))
    }

    /// One more, which was not in it. What it needs is there.
    ///
    /// # Panics
    ///
    /// If there is no such bit: they are below 64.
    pub fn add(&self, bit: u32) {
        assert!(bit < u64::BITS);
        // Release: pairs with `all`. A CPU may find it before its news are out. The bit is clear, so adding sets it.
        self.bits.fetch_add(1 << bit, Release);
    }

    /// One less, if it was in it. Whoever adds and removes takes turns.
    ///
    /// # Panics
    ///
    /// If there is no such bit: they are below 64.
    pub fn remove(&self, bit: u32) {
        assert!(bit < u64::BITS);
        // Relaxed: whose turn it is sees what was done in earlier ones. The news that follow order what is taken out, and being a
        // read-modify-write it passes the Release of each `add` on. The bit is set, so subtracting clears it.
        if self.bits.load(Relaxed) >> bit & 1 != 0 {
            self.bits.fetch_add((1_u64 << bit).wrapping_neg(), Relaxed);
        }
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = u32> + use<A> {
        // Acquire: pairs with `add`.
        let mut left = self.bits.load(Acquire);
        core::iter::from_fn(move || {
            let bit = left.trailing_zeros();
            left &= left.wrapping_sub(1);
            (bit < u64::BITS).then_some(bit)
        })
    }
}

impl<A: Arch> Default for Wanted<A> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;

    use super::*;
    use crate::testing::Host;

    #[test]
    fn applied_when_told_and_when_new() {
        let (news, applied) = (News::<Host>::new(), Applied::new());
        let times = Cell::new(0);
        let count = || times.set(times.get() + 1);
        news.look(&applied, || panic!("nothing is new"));
        assert!(applied.has(0) && !applied.has(1));
        assert_eq!(news.tell(count), 1);
        assert_eq!(times.get(), 1);
        assert!(!applied.has(1));
        news.look(&applied, count);
        assert_eq!(times.get(), 2);
        news.look(&applied, || panic!("nothing is new"));
        assert!(applied.has(1) && !applied.has(2));
        news.apply(&applied, count);
        assert_eq!(times.get(), 3);
    }

    #[test]
    fn an_interrupt_in_the_middle_costs_one_more_time() {
        let (news, applied) = (News::<Host>::new(), Applied::new());
        let times = Cell::new(0);
        let count = || times.set(times.get() + 1);
        news.tell(|| ());
        news.look(&applied, || {
            news.tell(|| ());
            news.look(&applied, count);
        });
        news.look(&applied, count);
        assert_eq!(times.get(), 2);
        news.look(&applied, || panic!("nothing is new"));
    }

    #[test]
    fn every_bit() {
        let wanted = Wanted::<Host>::new();
        assert_eq!(wanted.all().next(), None);
        for bit in [63, 16, 0] {
            wanted.add(bit);
        }
        assert!(wanted.all().eq([0, 16, 63]));
        wanted.remove(16);
        wanted.remove(16);
        assert!(wanted.all().eq([0, 63]));
        wanted.remove(63);
        wanted.remove(0);
        assert_eq!(wanted.all().next(), None);
    }

    #[test]
    #[should_panic(expected = "bit < u64::BITS")]
    fn more_than_there_are_bits() {
        Wanted::<Host>::new().add(64);
    }
}

//! The timers of one CPU: which are set, for when, and whose they are.
//!
//! ```text
//!   63 ....................... 2   1 .. 0
//!  +-----------------------------+--------+
//!  | serial number of the use    | state  |   free, set, or being emptied
//!  +-----------------------------+--------+
//! ```
//!
//! Its own CPU sets them and lets them run, with interrupts masked. Who knows one, on any CPU, may stop it: that, and that it runs, are
//! decided against each other by one word, and so is who has what it stands for.
//!
//! An entry is used again and again. Whoever has set a timer knows it by its entry and the serial number of that use, so that it
//! cannot stop what was set after its own has run.

use core::array;
use core::cell::Cell;
use core::iter;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::{Arch, Word};

const FREE: u64 = 0;
const SET: u64 = 1;
const EMPTIED: u64 = 2;
const STATE: u64 = 3;
/// A serial number more.
const SERIAL: u64 = 4;

/// One entry of a [`TimerTable`].
pub struct TimerEntry<A: Arch> {
    /// Serial number and state. The number tells the uses of an entry apart; of 62 bits, so it never comes round.
    word: A::Word,
    /// When it is due, ticks, if it is set. For its own CPU alone.
    due: Cell<u64>,
}

impl<A: Arch> TimerEntry<A> {
    /// Around a word that holds [`TimerTable::NONE`]. For statics.
    pub const fn from_parts(word: A::Word) -> Self {
        Self { word, due: Cell::new(0) }
    }

    /// When it is due, if it is set.
    fn due(&self) -> Option<u64> {
        // Relaxed: what it stands for is had by `take` alone.
        (self.word.load(Relaxed) & STATE == SET).then(|| self.due.get())
    }

    /// Goes from set, in this use, to another state. `false`: it is not in that any more.
    fn take(&self, set: u64, state: u64) -> bool {
        // Acquire: pairs with whatever has handed `set` over; no other access follows from it.
        self.word.compare_exchange(set, set & !STATE | state, Acquire, Relaxed).is_ok()
    }

    /// It may be used again.
    fn free(&self, word: u64) {
        // Release: pairs with `set`. What it stood for is done away with.
        self.word.store(word & !STATE | FREE, Release);
    }
}

/// The timers of one CPU, `N` at most, which is from 1 to 64.
pub struct TimerTable<A: Arch, const N: usize> {
    entries: [TimerEntry<A>; N],
    /// A bit for each entry that is set, so that nobody walks over those that are not; what others may look at. For its own CPU none is
    /// set without its bit.
    running: A::Word,
}

/// One use of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerUse {
    index: usize,
    /// The word of the entry while it is set.
    set: u64,
}

impl TimerUse {
    /// The entry.
    #[must_use]
    pub const fn index(self) -> usize {
        self.index
    }
}

impl<A: Arch, const N: usize> TimerTable<A, N> {
    /// The words of [`from_parts`](Self::from_parts).
    pub const NONE: u64 = 0;
    /// The bits of all entries.
    const ALL: u64 = {
        assert!(N >= 1 && N <= 64, "a bit for each entry");
        u64::MAX >> (64 - N)
    };

    /// Around words that hold [`Self::NONE`]. For statics.
    pub const fn from_parts(entries: [TimerEntry<A>; N], running: A::Word) -> Self {
        Self { entries, running }
    }

    /// None is set.
    #[must_use]
    pub fn new() -> Self {
        Self {
            entries: array::from_fn(|_| TimerEntry::from_parts(A::Word::new(Self::NONE))),
            running: A::Word::new(Self::NONE),
        }
    }

    /// Sets a timer for `due`. `None`: as many are set as there can be. By its own CPU; what the timer stands for is put in place before
    /// anyone hears of it.
    pub fn set(&self, due: u64) -> Option<TimerUse> {
        // Relaxed: only this CPU sets bits. While who has stopped the last use of an entry has not taken its bit away, it is not used again.
        for (index, entry) in self.at(Self::ALL & !self.running.load(Relaxed)) {
            // Acquire: pairs with `free`.
            let word = entry.word.load(Acquire);
            if word & STATE == FREE {
                let set = (word & !STATE).wrapping_add(SERIAL) | SET;
                entry.due.set(due);
                // Relaxed: who stops it has heard of it in another way. Nobody else writes an entry that is free.
                entry.word.store(set, Relaxed);
                // Relaxed: as in `are_running`. The bit was clear, so that nobody is about to take it away.
                self.running.fetch_or(1 << index, Relaxed);
                return Some(TimerUse { index, set });
            }
        }
        None
    }

    /// Sets a timer that is set for another time. `false`: it has run, is just running, or was stopped. By its own CPU.
    pub fn set_again(&self, timer: TimerUse, due: u64) -> bool {
        let entry = &self.entries[timer.index];
        // Relaxed: as in `due`.
        let is_set = entry.word.load(Relaxed) == timer.set;
        if is_set {
            entry.due.set(due);
        }
        is_set
    }

    /// Stops a timer, on any CPU. `true`: it is not going to run, `discard` has done away with what it stands for, and its entry is free;
    /// `false`: it has run, or is just running.
    pub fn cancel(&self, timer: TimerUse, discard: impl FnOnce()) -> bool {
        let entry = &self.entries[timer.index];
        if !entry.take(timer.set, EMPTIED) {
            return false;
        }
        self.unmark(timer.index);
        discard();
        entry.free(timer.set);
        true
    }

    /// Takes the timer that is due first, if that is by `now`. Its entry, whose number this is, is free: what it stands for is taken out
    /// before another is set. By its own CPU.
    pub fn take_due(&self, now: u64) -> Option<usize> {
        loop {
            let (due, index) = self.dues().min()?;
            if due > now {
                return None;
            }
            let entry = &self.entries[index];
            // It cannot be set but by this CPU. If it was stopped just now, the next one is the first.
            let set = entry.word.load(Relaxed);
            if set & STATE == SET && entry.take(set, FREE) {
                self.unmark(index);
                return Some(index);
            }
        }
    }

    /// When the first is due.
    #[must_use]
    pub fn first_due(&self) -> Option<u64> {
        self.dues().map(|(due, _)| due).min()
    }

    /// Whether any is due later than `until`.
    #[must_use]
    pub fn run_beyond(&self, until: u64) -> bool {
        self.dues().any(|(due, _)| due > until)
    }

    /// When each that is set is due, and its number. By its own CPU.
    fn dues(&self) -> impl Iterator<Item = (u64, usize)> {
        // Relaxed: this CPU's own bits, some of which others may be taking away.
        self.at(self.running.load(Relaxed)).filter_map(|(index, entry)| Some((entry.due()?, index)))
    }

    /// The entries of `bits`, with their numbers.
    fn at(&self, mut bits: u64) -> impl Iterator<Item = (usize, &TimerEntry<A>)> {
        iter::from_fn(move || {
            // 64, of which there is no entry, once none is left.
            let index = bits.trailing_zeros() as usize;
            let entry = self.entries.get(index)?;
            bits &= bits - 1;
            Some((index, entry))
        })
    }

    /// Whether any is set. Certain on its own CPU in thread context, if nobody stops one just now; from elsewhere good for a report.
    #[must_use]
    pub fn are_running(&self) -> bool {
        // Relaxed: bits, which hand over nothing.
        self.running.load(Relaxed) != 0
    }

    /// Frees all entries but those that somebody frees just now. `discard` does away with what they stood for, and finds none meanwhile that
    /// is free. By its own CPU.
    pub fn clear(&self, discard: impl Fn(usize)) {
        let taken: [Option<u64>; N] = array::from_fn(|index| {
            let entry = &self.entries[index];
            // Acquire: pairs with `free`.
            let word = entry.word.load(Acquire);
            match word & STATE {
                SET if entry.take(word, EMPTIED) => self.unmark(index),
                // Relaxed: nobody else writes an entry that is free.
                FREE => entry.word.store(word | EMPTIED, Relaxed),
                _ => return None,
            }
            Some(word)
        });
        let taken = || taken.iter().enumerate().filter_map(|(index, word)| Some((index, (*word)?)));
        taken().for_each(|(index, _)| discard(index));
        taken().for_each(|(index, word)| self.entries[index].free(word));
    }

    /// The entry is set no longer.
    fn unmark(&self, index: usize) {
        // Relaxed: as in `are_running`. It is not the bit of the next use: see `set`.
        self.running.fetch_and(!(1 << index), Relaxed);
    }
}

impl<A: Arch, const N: usize> Default for TimerTable<A, N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Host;

    type Table = TimerTable<Host, 2>;

    fn cancel(table: &Table, timer: TimerUse) -> bool {
        let discarded = Cell::new(false);
        let stopped = table.cancel(timer, || {
            assert!(!discarded.replace(true));
        });
        assert_eq!(stopped, discarded.get());
        stopped
    }

    #[test]
    fn in_the_order_in_which_they_are_due() {
        let table = Table::new();
        assert_eq!((table.first_due(), table.take_due(u64::MAX), table.are_running()), (None, None, false));
        let (late, early) = (table.set(20).unwrap(), table.set(10).unwrap());
        assert!(table.set(5).is_none(), "more than there is room for");
        assert_eq!((table.first_due(), table.take_due(9)), (Some(10), None));
        assert!(table.run_beyond(19) && !table.run_beyond(20));
        assert_eq!(table.take_due(10), Some(early.index()));
        assert!(table.are_running());
        assert_eq!((table.take_due(19), table.take_due(20)), (None, Some(late.index())));
        assert!(!table.are_running() && table.first_due().is_none());
    }

    #[test]
    fn a_timer_is_stopped_by_who_set_it() {
        let table = Table::new();
        let first = table.set(10).unwrap();
        assert!(cancel(&table, first));
        assert!(!cancel(&table, first), "stopped twice");
        assert!(!table.are_running());
        let second = table.set(10).unwrap();
        assert_eq!(second.index(), first.index());
        assert!(!cancel(&table, first), "stopped what another has set");
        assert!(table.are_running());
        assert_eq!(table.take_due(10), Some(0));
        assert!(!cancel(&table, second), "stopped after it has run");
        let third = table.set(10).unwrap();
        assert!(!cancel(&table, second) && cancel(&table, third));
    }

    #[test]
    fn all_go_at_once() {
        let table = Table::new();
        let timer = table.set(10).unwrap();
        table.clear(|_| assert!(table.set(1).is_none(), "set by what is dropped"));
        assert!(!cancel(&table, timer) && !table.are_running() && table.first_due().is_none());
        assert!(table.set(1).is_some() && table.set(2).is_some());
    }

    #[test]
    fn set_again_while_it_is_set() {
        let table = Table::new();
        let timer = table.set(10).unwrap();
        assert!(table.set_again(timer, 20));
        assert_eq!((table.first_due(), table.take_due(19)), (Some(20), None));
        assert_eq!(table.take_due(20), Some(0));
        assert!(!table.set_again(timer, 30));
        let next = table.set(40).unwrap();
        assert!(!table.set_again(timer, 30) && cancel(&table, next) && !table.set_again(next, 50));
    }
}

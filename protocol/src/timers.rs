//! The timers of one CPU: which are set, for when, and whose they are.
//!
//! For the CPU that they belong to alone, with interrupts masked; others may ask whether any is running.
//!
//! An entry is used again and again. Whoever has set a timer knows it by its entry and the serial number of that use, so that it
//! cannot stop what was set after its own has run.

use core::cell::Cell;
use core::sync::atomic::Ordering::Relaxed;

use crate::{Arch, Word};

struct Entry {
    /// When it is due, ticks; `None`: free.
    due: Cell<Option<u64>>,
    /// Tells the uses of an entry apart. 64 bits: it never comes round.
    serial: Cell<u64>,
}

/// The timers of one CPU, `N` at most.
pub struct TimerTable<A: Arch, const N: usize> {
    entries: [Entry; N],
    /// How many are set: what others may look at.
    running: A::Word,
}

/// One use of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerUse {
    index: usize,
    serial: u64,
}

impl TimerUse {
    /// The entry.
    #[must_use]
    pub const fn index(self) -> usize {
        self.index
    }
}

impl<A: Arch, const N: usize> TimerTable<A, N> {
    /// The word of [`from_parts`](Self::from_parts).
    pub const NONE: u64 = 0;

    /// Around a word that holds [`Self::NONE`]. For statics.
    pub const fn from_parts(running: A::Word) -> Self {
        Self { entries: [const { Entry { due: Cell::new(None), serial: Cell::new(0) } }; N], running }
    }

    /// None is set.
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(A::Word::new(Self::NONE))
    }

    /// Sets a timer for `due`. `None`: as many are set as there can be.
    pub fn set(&self, due: u64) -> Option<TimerUse> {
        let (index, entry) = self.entries.iter().enumerate().find(|(_, entry)| entry.due.get().is_none())?;
        let serial = entry.serial.get() + 1;
        entry.due.set(Some(due));
        entry.serial.set(serial);
        self.count(1);
        Some(TimerUse { index, serial })
    }

    /// Stops a timer. `true`: it is not going to run, and its entry is free; `false`: it has run, or is just running.
    pub fn cancel(&self, timer: TimerUse) -> bool {
        let entry = &self.entries[timer.index];
        if entry.serial.get() != timer.serial || entry.due.get().is_none() {
            return false;
        }
        entry.due.set(None);
        self.count(u64::MAX);
        true
    }

    /// Takes the timer that is due first, if that is by `now`. Its entry, whose number this is, is free.
    pub fn take_due(&self, now: u64) -> Option<usize> {
        let dues = self.entries.iter().enumerate();
        let (due, index) = dues.filter_map(|(index, entry)| Some((entry.due.get()?, index))).min()?;
        if due > now {
            return None;
        }
        self.entries[index].due.set(None);
        self.count(u64::MAX);
        Some(index)
    }

    /// When the first is due.
    #[must_use]
    pub fn first_due(&self) -> Option<u64> {
        self.dues().min()
    }

    /// Whether any is due later than `until`.
    #[must_use]
    pub fn run_beyond(&self, until: u64) -> bool {
        self.dues().any(|due| due > until)
    }

    fn dues(&self) -> impl Iterator<Item = u64> {
        self.entries.iter().filter_map(|entry| entry.due.get())
    }

    /// Whether any is set. Certain on its own CPU in thread context; from elsewhere good for a report.
    #[must_use]
    pub fn are_running(&self) -> bool {
        // Relaxed: a number, which its CPU alone writes.
        self.running.load(Relaxed) != 0
    }

    /// Frees all entries. Meanwhile `f`, which does away with what they stood for, finds none that is free.
    pub fn clear(&self, f: impl FnOnce()) {
        self.entries.iter().for_each(|entry| entry.due.set(Some(u64::MAX)));
        f();
        self.entries.iter().for_each(|entry| entry.due.set(None));
        self.running.store(0, Relaxed);
    }

    fn count(&self, more: u64) {
        // No read-modify-write: its CPU alone writes it.
        self.running.store(self.running.load(Relaxed).wrapping_add(more), Relaxed);
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
        assert!(table.cancel(first));
        assert!(!table.cancel(first), "stopped twice");
        assert!(!table.are_running());
        let second = table.set(10).unwrap();
        assert_eq!(second.index(), first.index());
        assert!(!table.cancel(first), "stopped what another has set");
        assert!(table.are_running());
        assert_eq!(table.take_due(10), Some(0));
        assert!(!table.cancel(second), "stopped after it has run");
        let third = table.set(10).unwrap();
        assert!(!table.cancel(second) && table.cancel(third));
    }

    #[test]
    fn all_go_at_once() {
        let table = Table::new();
        let timer = table.set(10).unwrap();
        table.clear(|| assert!(table.set(1).is_none(), "set by what is dropped"));
        assert!(!table.cancel(timer) && !table.are_running() && table.first_due().is_none());
        assert!(table.set(1).is_some() && table.set(2).is_some());
    }
}
